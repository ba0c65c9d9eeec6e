/* faults: simulated machines that break, through the agent's pipeline: how many sustained faults
 * raise an alarm, after how many readings, naming which sensor; and how soon a stuck sensor is
 * found. Lines `name value`. */
#include "tests/detection/rig.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASELINE_SEED = 11, FAULTS_SEED = 555, CASES = 300, HEALTHY_S = 240, STUCK_MAX = 60 };

struct tally {
	size_t cases, found, named;
	double delay[CASES];
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void print(const char *name, struct tally *t)
{
	qsort(t->delay, t->found, sizeof(t->delay[0]), ascending);
	printf("%s_found %g\n%s_named %g\n", name, (double)t->found / (double)t->cases, name,
		t->found ? (double)t->named / (double)t->found : NAN);
	if (t->found > 0)
		printf("%s_delay %g\n%s_delay_worst %g\n", name, t->delay[t->found / 2], name,
			t->delay[t->found - 1]);
}

/* A fault of the simulator's kind in one machine's life, from second HEALTHY_S on. An alarm that
 * stands when it begins is none of its own: another machine is taken. */
static void suffer(struct rig *rig, const struct fault *fault, uint64_t number, struct tally *t)
{
	struct machine machine;
	char name[RIG_NAME_MAX];
	struct sample sample;
	enum sensor sensor =
		fault->sensor == ANY_SENSOR ? (enum sensor)(number % SENSORS) : fault->sensor;
	static int story;
	int64_t start = (int64_t)story * 3600;

	snprintf(name, sizeof(name), "press-%d", story++);
	machine_init(&machine, FAULTS_SEED, number, 0);
	for (int64_t s = 0; s < HEALTHY_S; s++) {
		machine_next(&machine, &sample);
		rig_read(rig, name, start + s, sample.value);
	}
	int64_t before = rig->raised;
	machine.fault = fault;
	machine.into_s = 0;
	machine.sensor = sensor;
	machine.sign = fault->sensor == ANY_SENSOR && number / SENSORS % 2 ? -1 : 1;
	machine.stuck_at = sample.value[sensor];
	t->cases++;
	for (int s = 0; s < fault->length_s; s++) {
		machine_next(&machine, &sample);
		rig_read(rig, name, start + HEALTHY_S + s, sample.value);
		if (rig->raised == before)
			continue;
		t->delay[t->found++] = s; /* as evaluate counts: the first one is 0 */
		t->named += strcmp(rig->sensor, sensor_name(sensor)) == 0;
		return;
	}
}

static void suffer_all(struct rig *rig, const char *name, const struct fault *fault)
{
	struct tally tally = { .cases = 0 };

	for (uint64_t i = 0; i < CASES; i++)
		suffer(rig, fault, i, &tally);
	print(name, &tally);
}

int main(void)
{
	static const struct fault steps[] = {
		{ "step", "", FAULT_OFFSET, ANY_SENSOR, 4, 0, 60, 1 },
		{ "step", "", FAULT_OFFSET, ANY_SENSOR, 5, 0, 60, 1 },
		{ "step", "", FAULT_OFFSET, ANY_SENSOR, 6, 0, 60, 1 },
	};
	static const struct fault stuck = { "stuck", "", FAULT_STUCK, ANY_SENSOR, 0, 0, STUCK_MAX,
		1 };
	struct model *model = rig_train(DETECTOR_FUSED, BASELINE_SEED, 4, 6 * 3600, 0);
	struct rig rig;

	rig_start(&rig, model);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		char name[32];
		snprintf(name, sizeof(name), "step_%g_sd", steps[i].size_sd);
		suffer_all(&rig, name, &steps[i]);
	}
	for (int i = 0; i < FAULTS; i++) {
		if (fault_table[i].shape == FAULT_OFFSET && fault_table[i].length_s >= 60)
			suffer_all(&rig, fault_table[i].name, &fault_table[i]);
	}
	suffer_all(&rig, "stuck", &stuck);
	rig_stop(&rig);
	model_destroy(model);
	return 0;
}
