#include "common/csvfile.h"
#include "common/train.h"
#include "simulator/baseline.h"
#include "simulator/machine.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { READINGS = 100000, SEEDS = 3 };

/* What a run of healthy readings looks like, sensor by sensor. */
struct look {
	double mean, sd, lag1;
};

static void look_at(uint64_t seed, enum sensor sensor, struct look *out)
{
	struct machine machine;
	struct sample sample;
	double sum = 0, squares = 0, products = 0, last = 0;

	machine_init(&machine, seed, 0, 0);
	for (int i = 0; i < READINGS; i++) {
		machine_next(&machine, &sample);
		double x = sample.value[sensor] - sensor_mean[sensor];
		sum += x;
		squares += x * x;
		products += i > 0 ? x * last : 0;
		last = x;
	}
	out->mean = sum / READINGS + sensor_mean[sensor];
	out->sd = sqrt(squares / READINGS - (sum / READINGS) * (sum / READINGS));
	out->lag1 = products / squares;
}

static void test_marginals(void)
{
	struct look look;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		for (int s = 0; s < SENSORS; s++) {
			look_at(seed, (enum sensor)s, &look);
			CU_ASSERT_DOUBLE_EQUAL(look.mean, sensor_mean[s], 1.0);
			CU_ASSERT_DOUBLE_EQUAL(look.sd, SENSOR_SD, 0.5);
			CU_ASSERT_DOUBLE_EQUAL(look.lag1, 0.9, 0.01);
		}
	}
}

static void test_correlation(void)
{
	struct machine machine;
	struct sample sample;
	double heat_sound = 0, heat_humidity = 0;

	machine_init(&machine, 4, 0, 0);
	for (int i = 0; i < READINGS; i++) {
		machine_next(&machine, &sample);
		double t = (sample.value[TEMPERATURE] - sensor_mean[TEMPERATURE]) / SENSOR_SD;
		heat_humidity += t * (sample.value[HUMIDITY] - sensor_mean[HUMIDITY]) / SENSOR_SD;
		heat_sound += t * (sample.value[SOUND] - sensor_mean[SOUND]) / SENSOR_SD;
	}

	CU_ASSERT_DOUBLE_EQUAL(heat_sound / READINGS, 0.08, 0.05);
	CU_ASSERT_DOUBLE_EQUAL(heat_humidity / READINGS, -0.08, 0.05);
}

/* The default model: the default baseline, the plain forest, quantile 0.99. */
static struct model *default_model(void)
{
	const struct train_options options = { .kind = DETECTOR_FOREST,
		.trees = 100,
		.sample_size = 256,
		.seed = 42,
		.quantile = 0.99 };
	const char *path = unit_path("baseline.csv");
	struct csvfile csv;
	struct model *model = NULL;
	struct why why;

	CU_ASSERT_EQUAL_FATAL(baseline_write(path, 2000, 5, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(csvfile_load(path, &csv, &why), STATUS_OK);
	CU_ASSERT_EQUAL(csv.rows, 2000);
	CU_ASSERT_EQUAL_FATAL(
		train_model(&csv.schema, csv.value, csv.rows, &options, &model, &why), STATUS_OK);
	csvfile_free(&csv);
	return model;
}

static double flagged_share(const struct model *model, uint64_t seed)
{
	struct machine machine;
	struct sample sample;
	int flagged = 0;

	machine_init(&machine, seed, 0, 0);
	for (int i = 0; i < READINGS; i++) {
		machine_next(&machine, &sample);
		flagged += detector_score(&model->detector, sample.value) > model->threshold;
	}
	return (double)flagged / READINGS;
}

static void test_default_model(void)
{
	struct model *model = default_model();

	CU_ASSERT_DOUBLE_EQUAL(model->threshold, 0.115, 0.015);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		double share = flagged_share(model, seed);
		CU_ASSERT_TRUE(share > 0.002);
		CU_ASSERT_TRUE(share <= 0.015);
	}
	model_destroy(model);
}

static void test_anomaly_rate(void)
{
	static const double rates[] = { 0, 0.02, 0.3, 1 };

	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		long faulty = 0;
		for (uint64_t number = 0; number < 50; number++) {
			struct machine machine;
			struct sample sample;
			machine_init(&machine, 7, number, rates[r]);
			for (int i = 0; i < READINGS / 10; i++) {
				machine_next(&machine, &sample);
				faulty += sample.fault != NULL;
			}
		}
		CU_ASSERT_DOUBLE_EQUAL(
			(double)faulty / (5.0 * READINGS), rates[r], 0.15 * rates[r]);
	}
}

/* Plays until `name` has gone through one whole episode beside its healthy twin: lengths, and the
 * sensor's differences from health at every second. */
struct episode {
	int length, left_out;
	double value[200], healthy[200]; /* of the sensor that is struck */
};

static void play_episode(const char *name, struct episode *out)
{
	struct machine machine, twin;
	struct sample sample, health;

	out->length = 0;
	out->left_out = 0;
	machine_init(&machine, 11, 0, 0.2);
	machine_init(&twin, 11, 0, 0);
	for (int i = 0; i < READINGS; i++) {
		machine_next(&machine, &sample);
		machine_next(&twin, &health);
		bool ours = sample.fault && strcmp(sample.fault->name, name) == 0;
		if (!ours && out->length == 0)
			continue;
		if (!ours || out->length == sample.fault->length_s)
			return;
		out->value[out->length] = sample.value[machine.sensor];
		out->healthy[out->length++] = health.value[machine.sensor];
		out->left_out += sample.left_out >= 0;
	}
	CU_FAIL("no such episode");
}

static void test_overheating(void)
{
	struct episode e;

	play_episode("overheating", &e);

	CU_ASSERT_EQUAL(e.length, 150);
	CU_ASSERT_DOUBLE_EQUAL(e.value[0] - e.healthy[0], 0, 0.011);
	CU_ASSERT_DOUBLE_EQUAL(e.value[60] - e.healthy[60], 2 * SENSOR_SD, 0.011);
	CU_ASSERT_DOUBLE_EQUAL(e.value[120] - e.healthy[120], 4 * SENSOR_SD, 0.011);
	CU_ASSERT_DOUBLE_EQUAL(e.value[149] - e.healthy[149], 4 * SENSOR_SD, 0.011);
}

static void test_other_faults(void)
{
	struct episode e;

	play_episode("humidity_leak", &e);
	CU_ASSERT_DOUBLE_EQUAL(e.value[99] - e.healthy[99], 3.5 * SENSOR_SD, 0.011);
	play_episode("bearing_noise", &e);
	CU_ASSERT_DOUBLE_EQUAL(e.value[39] - e.healthy[39], 3 * SENSOR_SD, 0.011);
	play_episode("spike", &e);
	CU_ASSERT_EQUAL(e.length, 1);
	CU_ASSERT_DOUBLE_EQUAL(fabs(e.value[0] - e.healthy[0]), 6 * SENSOR_SD, 0.011);
	play_episode("stuck_sensor", &e);
	CU_ASSERT_EQUAL(e.length, 30);
	for (int i = 0; i < e.length; i++)
		CU_ASSERT_EQUAL(e.value[i], e.healthy[0]);
	play_episode("drop_out", &e);
	CU_ASSERT_EQUAL(e.length, 5);
	for (int i = 0; i < e.length; i++)
		CU_ASSERT_TRUE(isnan(e.value[i]));
	CU_ASSERT_TRUE(e.left_out == 0 || e.left_out == e.length);
}

static void test_every_fault_is_drawn(void)
{
	bool seen[FAULTS] = { false };

	for (int i = 0; i < 1000; i++)
		seen[fault_draw(i / 1000.0) - fault_table] = true;

	for (int i = 0; i < FAULTS; i++)
		CU_ASSERT_TRUE(seen[i]);
}

static void test_same_seed(void)
{
	struct machine a, b, other;
	struct sample x, y, z;
	int differ = 0;

	machine_init(&a, 7, 3, 0.02);
	machine_init(&b, 7, 3, 0.02);
	machine_init(&other, 8, 2, 0.02); /* seeds and numbers must not run into each other */
	for (int i = 0; i < 1000; i++) {
		machine_next(&a, &x);
		machine_next(&b, &y);
		machine_next(&other, &z);
		CU_ASSERT_EQUAL(memcmp(x.value, y.value, sizeof(x.value)), 0);
		differ += x.value[0] != z.value[0];
	}
	CU_ASSERT_TRUE(differ > 900);
}

static void test_two_decimals(void)
{
	struct machine machine;
	struct sample sample;

	machine_init(&machine, 7, 0, 0);
	for (int i = 0; i < 1000; i++) {
		machine_next(&machine, &sample);
		double cents = sample.value[SOUND] * 100;
		CU_ASSERT_DOUBLE_EQUAL(cents, round(cents), 1e-9);
	}
}

static CU_TestInfo cases[] = {
	{ "healthy sensors keep mean, spread and inertia", test_marginals },
	{ "heat ties temperature and sound together, humidity against", test_correlation },
	{ "the default model flags at most 1.5 % of health", test_default_model },
	{ "the anomaly rate is the share of faulty readings", test_anomaly_rate },
	{ "overheating climbs for 120 s and holds", test_overheating },
	{ "every other fault has its shape and size", test_other_faults },
	{ "every fault is drawn", test_every_fault_is_drawn },
	{ "same seed, same readings", test_same_seed },
	{ "values have two decimals", test_two_decimals },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("machine", cases);
}
