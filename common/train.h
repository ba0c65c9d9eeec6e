/* Makes a model from rows: the scaler, the forest, the threshold. Same rows, options and seed
 * give the same model, bit for bit, on every machine with the same C library (log, exp2). Pure;
 * any thread.
 * The threshold of the fused detector comes from scores by members that were fitted without the
 * row (common/fused_fit), tightened by what its effective rows leave uncertain.
 * Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008, algorithms 1 and 2. */
#ifndef ISOLDE_COMMON_TRAIN_H
#define ISOLDE_COMMON_TRAIN_H

#include "common/model.h"
#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum { TRAIN_ROWS_MIN = 16 }; /* below, quantiles of the scores mean nothing */

/* Of how many rows a file's model is made at most, unless asked for otherwise: who reads more keeps
 * a sample of them. The forest takes its threshold from the scores of so many, drawn without
 * replacement, unless there are times. The share of all rows above it is then off by a standard
 * error of sqrt(q (1 - q) / 100,000) at the most: 0.0003 at 0.99, a thirtieth of the alarms
 * (struct model, share_error). */
enum { TRAIN_SCORED_MAX = 100000 };

struct train_options {
	enum detector_kind kind;
	size_t trees;       /* 1 .. FOREST_TREES_MAX; 100 in the paper */
	size_t sample_size; /* 2 .. FOREST_SAMPLE_MAX; 256 in the paper (section 4.1); capped at the
			       rows */
	uint64_t seed;
	double quantile; /* of the training scores, in (0, 1): the threshold */
	/* Of each row; NULL: there are no times, nothing is smoothed or promised. With times and
	 * machine NULL all rows are of one machine. */
	const int64_t *at_ms;
	const uint32_t *machine;
	/* Where the rows are a sample, whole blocks of a machine if there are times: of how many
	 * they were drawn (0: they are all there are), and mean, sd and stuck_after of each feature
	 * over all of those ([schema->count]; NULL: to be measured here). The fused detector keeps
	 * the mean and sd of the rows it is fitted to. */
	size_t drawn_from;
	const struct feature_stats *whole;
	/* The promise that is asked for, of a machine, and the alarm's delays are chosen for it; 0:
	 * what the usual delays give. Refused (STATUS_BAD_INPUT) where the data cannot show it. */
	double false_alarms_per_day;
	/* Called now and then with the share done, 0 .. 1; may be NULL. */
	void (*progress)(void *context, double done);
	void *context;
};

/* value: row-major [rows][schema->count], every one finite. The schema is copied; provenance
 * beside rows and seed is the caller's to fill in. *out is the caller's, model_destroy. */
enum status train_model(const struct schema *schema, const double *value, size_t rows,
	const struct train_options *options, struct model **out, struct why *why) MUST_USE;

/* How many repetitions of its value say that a sensor is stuck: more than twice the longest row of
 * them among `rows` healthy ones (`longest`), and so many that chance does not bring them about in
 * a billion readings if each repeats with the frequency seen (`repeated` of them did). 0 if the
 * rows are too few to tell. */
size_t train_stuck_after(size_t rows, size_t repeated, size_t longest);

/* The q quantile (0 .. 1) of n ascending numbers, linear between neighbours (Hyndman and Fan's
 * type 7, numpy's default). n > 0. */
double train_quantile(const double *ascending, size_t n, double q);

#endif
