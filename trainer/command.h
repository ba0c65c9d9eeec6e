/* The four commands of isolde-trainer, after the command line is understood. Results go to
 * stdout, warnings and progress to stderr; a failure comes back as status and sentence. */
#ifndef ISOLDE_TRAINER_COMMAND_H
#define ISOLDE_TRAINER_COMMAND_H

#include "common/detector.h"
#include "common/schema.h"
#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

/* What the command line says of one feature: --unit or --range. */
struct amendment {
	char name[FEATURE_NAME_MAX + 1];
	char unit[UNIT_MAX + 1]; /* empty: this one is a range */
	double low, high;
};

struct options {
	const char *baseline, *model, *input;
	const char *plot; /* file for a picture, NULL: none */
	double quantile;
	double false_alarms_per_day; /* to be promised; 0: what comes */
	size_t trees, sample_size;
	size_t rows_kept; /* of the baseline, at most */
	uint64_t seed;
	size_t smooth; /* 1: each row's own score */
	enum detector_kind detector;
	size_t amendments;
	struct amendment amendment[2 * FEATURES_MAX];
};

typedef enum status command_run(const struct options *options, struct why *why);

command_run command_train, command_score, command_evaluate, command_show;

#endif
