/* What turns a reading into a score: the plain forest, or the fused detector (common/fused).
 * `score > threshold` means anomaly for every kind. Immutable; any thread.
 *
 * Missing values: neither kind has a rule that would make one up. A reading that lacks one is not
 * scored, and a row that lacks one is left out of training. */
#ifndef ISOLDE_COMMON_DETECTOR_H
#define ISOLDE_COMMON_DETECTOR_H

#include "common/forest.h"
#include "common/fused.h"
#include "common/schema.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>

enum detector_kind { DETECTOR_FOREST, DETECTOR_FUSED };

/* What the training data say of one feature. */
struct feature_stats {
	double mean, sd;  /* the scaler; sd with 1/n */
	double median;    /* its healthy stand-in in explanations */
	double low, high; /* the 0.01 and 0.99 quantiles: its normal range */
	/* Repetitions of one value that no healthy sensor shows: it is stuck. 0: not known. */
	size_t stuck_after;
};

struct detector {
	enum detector_kind kind;
	size_t features;
	struct forest *forest;                    /* owned; of the kind forest */
	struct fused *fused;                      /* owned; of the kind fused */
	struct feature_stats stats[FEATURES_MAX]; /* [features] */
};

const char *detector_name(enum detector_kind kind);
bool detector_parse(const char *name, enum detector_kind *out);

/* Makes bit tables of at most bytes_max bytes (forest_tabulate): scores stay the same to the bit.
 * Before other threads see it. */
void detector_tabulate(struct detector *detector, size_t bytes_max);

/* The same beside the detector (forest_tables); NULL for the kind fused, too. */
struct forest_bits *detector_tables(const struct detector *detector, size_t bytes_max);

/* Frees what only a model file needs (forest_slim). Before other threads see it. */
void detector_slim(struct detector *detector);

size_t detector_trees(const struct detector *detector);

/* Score of x[features]; larger is stranger. NaN if a value is missing and the kind has no rule
 * for that (the forest has none). Allocates nothing. */
double detector_score(const struct detector *detector, const double *x);

/* The same by tables of detector_tables, or without where they are NULL. */
double detector_score_by(
	const struct detector *detector, const struct forest_bits *tables, const double *x);

/* How much each feature adds: score minus the score with that feature at its healthy median,
 * never below 0; out[features]. `score` is detector_score(x), not NaN. Costs one scoring a
 * feature. */
void detector_explain(const struct detector *detector, const double *x, double score, double *out);

/* The feature that adds most; the one farthest from its mean in sd when none adds anything. */
size_t detector_first(const struct detector *detector, const double *x, const double *contribution);

/* The two to be named first; the second is `features` if there is none. Those that add most; but of
 * the fused detector, where the reading stays above the threshold without the first, the two
 * farthest from their means: of sensors that are usually alike two that fail together vouch for
 * each other, and neither adds much alone. */
void detector_leading(const struct detector *detector, const double *x, const double *contribution,
	double score, double threshold, size_t leading[2]);

/* Frees what it owns; accepts a zeroed one. */
void detector_finish(struct detector *detector);

#endif
