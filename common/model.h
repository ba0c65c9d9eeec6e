/* A model file in memory: what to measure, how to score it, when to worry, and where it comes
 * from. Immutable once loaded; any thread may read it. The file is one JSON object, described
 * in README.md "The model file". */
#ifndef ISOLDE_COMMON_MODEL_H
#define ISOLDE_COMMON_MODEL_H

#include "common/detector.h"
#include "common/digest.h"
#include "common/drift.h"
#include "common/schema.h"
#include "common/status.h"
#include <stdint.h>

enum {
	MODEL_FILE_MAX = 64 * 1024 * 1024, /* bytes */
	MODEL_QUANTILES_MAX = 1024,
	MODEL_ID_SIZE = 17,
	MODEL_TEXT_MAX = 64,
};

struct model {
	char id[MODEL_ID_SIZE]; /* first 16 hex digits of the file's SHA-256; set by load and save
				 */
	char digest[DIGEST_TEXT_SIZE]; /* all of it */
	struct schema schema;
	struct detector detector;
	double threshold; /* of detector_score; a larger score is an anomaly */
	double quantile;  /* the share of training scores at or below the threshold, as asked */
	/* The share of healthy readings that the threshold was set for, 1 - quantile less one
	 * standard error, and how many independent rows told its tail. 0: the kind, or an older
	 * file, does not say. */
	double rate, effective_rows;
	/* What feeds the alarm: the mean of the machine's last `smooth` scores (common/smooth), or
	 * its slow mean, where that is farther out (common/drift; of `fused` with enough rows).
	 * Without smoothing, as of the plain forest, that is the score itself, and all levels are
	 * the threshold. */
	size_t smooth;                        /* 1 .. SMOOTH_WINDOW_MAX */
	struct drift_rule drift[DRIFT_RULES]; /* window 0: there is no more */
	double smooth_threshold;             /* of that mean what `threshold` is of single scores */
	double alarm_threshold, alarm_clear; /* set and clear level of the largest */
	int64_t step_ms;                     /* median of the training data, 0: not known */
	unsigned raise_count, raise_window, clear_count; /* 0: the agent's settings */
	/* A machine's, as replayed through the whole alarm in training; NaN: nothing was promised.
	 */
	double false_alarms_per_day, false_alarms_per_day_low, false_alarms_per_day_high;
	size_t quantiles; /* score_quantile[i] is the i / (quantiles - 1) quantile of the training
			     scores */
	double score_quantile[MODEL_QUANTILES_MAX];
	/* provenance */
	uint64_t rows; /* that there were to train on */
	/* How many of them, drawn at random, threshold and scores were taken from, 0: all of them;
	 * and half of the 95 % interval of the share of all rows above the threshold, about 1 -
	 * quantile; 0: not stated, `rate` says more. */
	uint64_t drawn;
	double share_error;
	uint64_t seed;
	int64_t trained_ms;
	char program[MODEL_TEXT_MAX + 1];   /* "isolde-trainer 0.1.0" */
	char data_digest[DIGEST_TEXT_SIZE]; /* SHA-256 of the training file */
};

/* Every index and number in the file is checked here, so scoring need not. *out is the
 * caller's. Errors name the file and the place in it. */
enum status model_load(const char *path, struct model **out, struct why *why) MUST_USE;

/* Written beside, fsynced and renamed. Fills id and digest. */
enum status model_save(struct model *model, const char *path, struct why *why) MUST_USE;

void model_destroy(struct model *model); /* NULL is fine */

/* Sets what feeds the alarm to the score itself. */
void model_no_smoothing(struct model *model);

#endif
