/* What the detection measurements share: simulated machines, a model trained on them in process,
 * and the agent's own pipeline with a store in memory. Time is an argument; nothing waits. */
#ifndef ISOLDE_TESTS_DETECTION_RIG_H
#define ISOLDE_TESTS_DETECTION_RIG_H

#include "agent/metrics.h"
#include "agent/pipeline.h"
#include "common/model.h"
#include "simulator/machine.h"

enum { RIG_STEP_MS = 1000, RIG_NAME_MAX = 32 };

/* Trains on `machines` healthy machines of this seed, `readings` of each, one a second.
 * `false_alarms_per_day`: as asked of isolde-trainer, 0: nothing. Exits on failure. */
struct model *rig_train(enum detector_kind kind, uint64_t seed, size_t machines, size_t readings,
	double false_alarms_per_day);

struct rig {
	const struct model *model;
	struct store *store;
	struct metrics *metrics;
	struct pipeline *pipeline;
	int64_t begin_ms;                  /* the story's second 0; a day's noon */
	int64_t raised;                    /* alarms so far */
	char machine[RIG_NAME_MAX];        /* of the last one */
	char since[RIG_NAME_MAX];          /* its time */
	char sensor[FEATURE_NAME_MAX + 1]; /* its first_sensor */
};

/* A reading as it is published. */
struct rig_message {
	char topic[64], payload[512];
	size_t len;
	int64_t at_ms;
};

/* The agent's default settings. The model is borrowed. Exits on failure. */
void rig_start(struct rig *rig, const struct model *model);
void rig_stop(struct rig *rig);

/* What the machine says `second` seconds into the story with these values; NaN: it leaves them
 * out. */
void rig_write(const struct rig *rig, const char *machine, int64_t second,
	const double value[SENSORS], struct rig_message *out);
void rig_judge(struct rig *rig, const struct rig_message *message);

/* Both: lets the machine say these values, `second` seconds into the story; NaN: it leaves them
 * out. */
void rig_read(struct rig *rig, const char *machine, int64_t second, const double value[SENSORS]);

#endif
