/* plant FIRST COUNT DAYS TARGET SEED: healthy simulated machines through the agent's pipeline, a
 * reading a second, as fast as they come. Prints what training promised of one machine, and what
 * happened: lines `name value`. TARGET is what was asked of the training, 0: nothing. */
#include "common/timeutil.h"
#include "tests/detection/rig.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The baseline has another seed than the plant: nobody has seen what is coming. */
enum {
	BASELINE_SEED = 11,
	PLANT_SEED = 77,
	BASELINE_MACHINES = 4,
	BASELINE_S = 6 * 3600,
	MACHINES_MAX = 100
};

int main(int argc, char **argv)
{
	if (argc != 6) {
		fprintf(stderr, "plant FIRST COUNT DAYS TARGET SEED\n");
		return 64;
	}
	uint64_t first = strtoull(argv[1], NULL, 10), count = strtoull(argv[2], NULL, 10);
	int64_t seconds = (int64_t)(strtod(argv[3], NULL) * 86400);
	struct model *model = rig_train(DETECTOR_FUSED, strtoull(argv[5], NULL, 10),
		BASELINE_MACHINES, BASELINE_S, strtod(argv[4], NULL));
	static struct machine machine[MACHINES_MAX];
	static char name[MACHINES_MAX][RIG_NAME_MAX];
	struct rig rig;

	if (count < 1 || count > MACHINES_MAX)
		return 64;
	rig_start(&rig, model);
	int64_t began = time_monotonic_ns();
	for (uint64_t m = 0; m < count; m++) {
		machine_init(&machine[m], PLANT_SEED, first + m, 0);
		snprintf(name[m], RIG_NAME_MAX, "press-%" PRIu64, first + m);
	}
	for (int64_t s = 0; s < seconds; s++) {
		for (uint64_t m = 0; m < count; m++) {
			struct sample sample;
			machine_next(&machine[m], &sample);
			rig_read(&rig, name[m], s, sample.value);
		}
	}
	double days = (double)count * (double)seconds / 86400;
	int64_t flagged = metrics_get(rig.metrics, METRIC_VERDICTS_ANOMALY);
	printf("promised %g\npromised_low %g\npromised_high %g\n", model->false_alarms_per_day,
		model->false_alarms_per_day_low, model->false_alarms_per_day_high);
	printf("threshold %g\nalarm_threshold %g\nraise_count %u\nraise_window %u\n",
		model->threshold, model->alarm_threshold, model->raise_count, model->raise_window);
	printf("machine_days %g\nalarms %" PRId64 "\nflagged %g\nus %g\n", days, rig.raised,
		(double)flagged / ((double)count * (double)seconds),
		(double)(time_monotonic_ns() - began) / 1e3 / ((double)count * (double)seconds));
	rig_stop(&rig);
	model_destroy(model);
	return 0;
}
