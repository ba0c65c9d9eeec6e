#include "agent/quality.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <string.h>

static struct schema schema, lone;
static const unsigned stuck_after[] = { 5, 0, 5 };
static struct quality_rules rules;
static const int64_t noon = 1795435200000;

static bool make_schema(void)
{
	rules = (struct quality_rules){ &schema, stuck_after, 1000, 300000, false };
	return schema_add(&schema, "temperature", "degC", -40, 150, NULL) == STATUS_OK &&
		schema_add(&schema, "humidity", "%", 0, 100, NULL) == STATUS_OK &&
		schema_add(&schema, "sound", "dB", -INFINITY, INFINITY, NULL) == STATUS_OK &&
		schema_add(&lone, "speed", "", -INFINITY, INFINITY, NULL) == STATUS_OK;
}

static struct reading at(int second, double temperature, double humidity, double sound)
{
	return (struct reading){ .at_ms = noon + second * 1000,
		.received_ms = noon + second * 1000 + 5,
		.at_sent = true,
		.value = { temperature, humidity, sound } };
}

static struct quality_finding judge(
	struct quality_state *state, const struct reading *reading, double *x)
{
	struct quality_finding f;

	quality_judge(state, &rules, reading, false, x, &f);
	return f;
}

/* One reading each, into a fresh state: what is found, and what the model gets to see. */
static void test_table(void)
{
	static const struct {
		double value[3];
		enum quality quality;
		unsigned faults;
		int sensor;
		bool seen[3];
	} table[] = {
		{ { 60, 35, 75 }, QUALITY_GOOD, 0, -1, { 1, 1, 1 } },
		{ { -40, 0, -1e300 }, QUALITY_GOOD, 0, -1,
			{ 1, 1, 1 } }, /* the ends belong to it */
		{ { 150, 100, 1e300 }, QUALITY_GOOD, 0, -1, { 1, 1, 1 } },
		{ { 150.1, 35, 75 }, QUALITY_OUT_OF_RANGE, ALARM_BIT(ALARM_OUT_OF_RANGE), 0,
			{ 0, 1, 1 } },
		{ { 60, -0.1, 75 }, QUALITY_OUT_OF_RANGE, ALARM_BIT(ALARM_OUT_OF_RANGE), 1,
			{ 1, 0, 1 } },
		{ { 60, 35, NAN }, QUALITY_MISSING, ALARM_BIT(ALARM_MISSING), 2, { 1, 1, 0 } },
		{ { NAN, 350, NAN }, QUALITY_OUT_OF_RANGE,
			ALARM_BIT(ALARM_OUT_OF_RANGE) | ALARM_BIT(ALARM_MISSING), 1, { 0, 0, 0 } },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct quality_state state = { 0 };
		double x[FEATURES_MAX];
		struct reading r = at(0, table[i].value[0], table[i].value[1], table[i].value[2]);
		struct quality_finding f = judge(&state, &r, x);
		CU_ASSERT_EQUAL(f.quality, table[i].quality);
		CU_ASSERT_EQUAL(f.faults, table[i].faults);
		CU_ASSERT_EQUAL(f.sensor, table[i].sensor);
		for (int k = 0; k < 3; k++) {
			CU_ASSERT_EQUAL(!isnan(x[k]), table[i].seen[k]);
			CU_ASSERT(isnan(x[k]) || x[k] == table[i].value[k]);
		}
	}
}

/* The number of readings until `sensor` is found stuck, 0: never. */
static int stuck_at(double temperature_step, double humidity_step, double sound_step, int sensor)
{
	struct quality_state state = { 0 };
	double x[FEATURES_MAX];

	for (int i = 0; i < 400; i++) {
		struct reading r = at(i, 60 + (i % 2) * temperature_step,
			35 + (i % 2) * humidity_step, 75 + (i % 2) * sound_step);
		struct quality_finding f = judge(&state, &r, x);
		if (f.quality == QUALITY_STUCK) {
			CU_ASSERT_EQUAL(f.sensor, sensor);
			CU_ASSERT(isnan(x[sensor]));
			CU_ASSERT_EQUAL(f.faults, ALARM_BIT(ALARM_STUCK));
			return i + 1;
		}
	}
	return 0;
}

static void test_stuck(void)
{
	CU_ASSERT_EQUAL(stuck_at(1, 1, 1, 0), 0);
	CU_ASSERT_EQUAL(stuck_at(0, 1, 1, 0), 6); /* five repetitions */
	CU_ASSERT_EQUAL(stuck_at(0, 1, 0, 0), 6);
	CU_ASSERT_EQUAL(stuck_at(1, 0, 1, 1), 0);   /* nothing is known of this one */
	CU_ASSERT_EQUAL(stuck_at(0, 0, 0, 0), 301); /* at rest: sixty times as long */
}

/* Thirty readings a second, all but one value alike: of a second's readings two count, or, where
 * all are alike, one, as a sixtieth. */
static void test_stuck_quickly(void)
{
	struct quality_state state = { 0 }, rest = { 0 };
	double x[FEATURES_MAX];
	int found = 0;

	for (int i = 0; i < 300 && !found; i++) {
		struct reading r = at(0, 60, i, 75), still = at(0, 60, 35, 75);
		r.at_ms += i * 100 / 3;
		still.received_ms += i * 100 / 3;
		still.at_ms += i * 1000; /* what it says of its own time does not help */
		CU_ASSERT_EQUAL(judge(&rest, &still, x).faults, 0);
		found = judge(&state, &r, x).quality == QUALITY_STUCK ? i : 0;
	}
	CU_ASSERT(found >= 75 && found <= 90); /* five half steps of 500 ms */
	CU_ASSERT(rest.stuck[0] <= 4);
}

static void test_stuck_alone(void)
{
	static const unsigned after[] = { 3 };
	struct quality_rules one = { &lone, after, 0, 300000, false };
	struct quality_state state = { 0 };
	struct quality_finding f;
	double x[FEATURES_MAX];

	for (int i = 0; i < 4; i++) {
		struct reading r = at(i, 7, 0, 0);
		quality_judge(&state, &one, &r, false, x, &f);
		CU_ASSERT_EQUAL(f.quality, i < 3 ? QUALITY_GOOD : QUALITY_STUCK);
	}
}

static void test_stuck_released(void)
{
	struct quality_state state = { 0 };
	double x[FEATURES_MAX];

	for (int i = 0; i < 20; i++) {
		/* A gap does not free it, a late reading says nothing of now. */
		struct reading r = at(i, i == 3 ? NAN : 60, i, i), old = at(i - 900, 50, 1, 1);
		struct quality_finding f = judge(&state, &r, x), late;
		quality_judge(&state, &rules, &old, true, x, &late);
		CU_ASSERT_EQUAL(f.quality,
			i == 3          ? QUALITY_MISSING
				: i > 5 ? QUALITY_STUCK
					: QUALITY_GOOD);
		CU_ASSERT_EQUAL(late.quality, QUALITY_GOOD);
	}
	struct reading r = at(20, 60.1, 21, 21);
	CU_ASSERT_EQUAL(judge(&state, &r, x).quality, QUALITY_GOOD);
	CU_ASSERT_EQUAL(x[0], 60.1);
}

/* A reading whose time is `ahead` of its arrival, `took` ms after the last. */
static struct quality_finding clock_of(
	struct quality_state *state, int64_t *now_ms, int64_t took_ms, int64_t ahead_ms)
{
	double x[FEATURES_MAX];
	static int turn;
	struct reading r = at(0, 60 + turn % 7, 35, 75 + turn % 3);

	turn++;
	*now_ms += took_ms;
	r.received_ms = *now_ms;
	r.at_ms = *now_ms + ahead_ms;
	return judge(state, &r, x);
}

static void test_skew(void)
{
	struct quality_state state = { 0 };
	int64_t now = noon;

	CU_ASSERT_EQUAL(clock_of(&state, &now, 1000, 300000).quality, QUALITY_GOOD);
	CU_ASSERT_EQUAL(clock_of(&state, &now, 1000, 300001).quality, QUALITY_SKEW);
	CU_ASSERT_EQUAL(clock_of(&state, &now, 1000, 0).quality, QUALITY_GOOD);
	CU_ASSERT_EQUAL(clock_of(&state, &now, 1000, -3600000).quality, QUALITY_GOOD); /* a leap */
	CU_ASSERT_EQUAL(clock_of(&state, &now, 1000, -3600000).quality, QUALITY_SKEW);
	CU_ASSERT_EQUAL(clock_of(&state, &now, 1000, -299999).quality, QUALITY_GOOD);
	CU_ASSERT_EQUAL(clock_of(&state, &now, 1000, -300000).quality, QUALITY_GOOD);

	struct quality_finding f = { 0 };
	for (int i = 0; i < 600; i++) {
		f = clock_of(&state, &now, 1000, 3600000);
		CU_ASSERT_EQUAL(f.faults, 0);
	}
	f = clock_of(&state, &now, 1000, 3600000);
	CU_ASSERT_EQUAL(f.faults, ALARM_BIT(ALARM_SKEW)); /* ten minutes of it */
	CU_ASSERT_EQUAL(f.sensor, -1);
}

/* What was kept while the broker was away comes faster than it was made. */
static void test_backlog(void)
{
	struct quality_state state = { 0 };
	double x[FEATURES_MAX];

	for (int i = 0; i < 3600; i++) {
		struct reading r = at(i, 60 + i % 2, 35, 75 + i % 2);
		r.received_ms = noon + 3600000 + i / 10;
		CU_ASSERT_EQUAL(judge(&state, &r, x).quality, QUALITY_GOOD);
	}
}

static void test_no_time_sent(void)
{
	struct quality_state state = { 0 };
	struct reading r = at(0, 60, 35, 75);
	double x[FEATURES_MAX];

	r.at_sent = false;
	r.at_ms = r.received_ms + 900000;
	CU_ASSERT_EQUAL(judge(&state, &r, x).quality, QUALITY_GOOD);
}

/* ---- silence ---- */

static struct pace paced(int n, int64_t interval_ms)
{
	struct pace pace = { 0 };

	for (int i = 0; i <= n; i++)
		(void)pace_note(&pace, noon + i * interval_ms, -1, noon);
	return pace;
}

static void test_patience(void)
{
	struct pace slow = paced(40, 60000), quick = paced(100, 1000), few = paced(19, 60000);
	struct pace burst = paced(1000, 10);

	CU_ASSERT_EQUAL(pace_patience_ms(&few, 30000), 0);
	CU_ASSERT_EQUAL(pace_patience_ms(&burst, 30000), 0); /* too short a look */
	CU_ASSERT_EQUAL(pace_patience_ms(&quick, 30000), 30000);
	CU_ASSERT(pace_patience_ms(&slow, 30000) >= 180000);
	CU_ASSERT(pace_patience_ms(&slow, 30000) < 200000);
}

static void test_silent(void)
{
	struct pace pace = paced(100, 1000);
	int64_t last = noon + 100000;

	CU_ASSERT_FALSE(pace_silent(&pace, 30000, noon, last + 30000));
	CU_ASSERT_TRUE(pace_silent(&pace, 30000, noon, last + 30001));
	/* While nobody listened, nobody could be heard. */
	CU_ASSERT_FALSE(pace_silent(&pace, 30000, last + 20000, last + 50000));
	CU_ASSERT_TRUE(pace_silent(&pace, 30000, last + 20000, last + 50001));
	struct pace nothing = { 0 };
	CU_ASSERT_FALSE(pace_silent(&nothing, 30000, noon, noon + 9999999));
	nothing.known_ms = 90000; /* from an earlier run */
	CU_ASSERT_FALSE(pace_silent(&nothing, 30000, noon, noon + 90000));
	CU_ASSERT_TRUE(pace_silent(&nothing, 30000, noon, noon + 90001));
}

static void test_break(void)
{
	struct pace pace = paced(100, 1000);
	int64_t again = noon + 100000 + 7200000;

	CU_ASSERT_EQUAL(pace_note(&pace, again, -1, again - 1),
		0); /* two hours without us are no interval */
	CU_ASSERT_EQUAL(pace_patience_ms(&pace, 1000), 3000 + (int64_t)(12 * pace.spread_ms));
	CU_ASSERT(pace.spread_ms < 10);
	CU_ASSERT_EQUAL(pace.last_ms, again);
}

/* An hour's readings that come within a second were made in an hour. */
static void test_kept(void)
{
	struct pace pace = { 0 };

	for (int i = 0; i < 60; i++)
		(void)pace_note(&pace, noon + i * 60000, noon + i * 60000, noon);
	for (int i = 60; i < 120; i++)
		(void)pace_note(&pace, noon + 7200000 + i, noon + i * 60000, noon + 7200000);
	CU_ASSERT(pace_patience_ms(&pace, 1000) >= 180000);
}

static CU_TestInfo cases[] = {
	{ "values out of range or missing are found, and kept from the model", test_table },
	{ "a sensor that repeats itself is stuck, slower when all do", test_stuck },
	{ "readings that come quicker than in training are worth less", test_stuck_quickly },
	{ "the only sensor of a machine is stuck at its own pace", test_stuck_alone },
	{ "a stuck sensor is free once it moves", test_stuck_released },
	{ "a clock ahead, or steadily behind, is skewed", test_skew },
	{ "a backlog is not", test_backlog },
	{ "who sends no time has no clock", test_no_time_sent },
	{ "patience is learnt from a machine's own intervals", test_patience },
	{ "a machine is silent when patience is over", test_silent },
	{ "a backlog does not make a machine seem quick", test_kept },
	{ "a break of ours teaches nothing", test_break },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return make_schema() ? unit_run("quality", cases) : 1;
}
