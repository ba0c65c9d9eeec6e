/* What the trainer's parts share; nobody else includes it. */
#ifndef ISOLDE_COMMON_TRAIN_INTERNAL_H
#define ISOLDE_COMMON_TRAIN_INTERNAL_H

#include "common/train.h"
#include <stdbool.h>

void train_report(const struct train_options *options, double done);

/* Where cuts of a feature may lie: ascending, each with training values on either side. */
struct train_grid {
	double *edge; /* [count] owned */
	size_t count;
};

/* train_forest.c: n > 0 values; free edge. Between neighbours where the values are few; else at
 * the ranks n sin^2(i pi / 2 B), i = 1 .. B - 1: single rows at the ends, 1.6 / B of them in the
 * middle. */
enum status train_grid(
	const double *ascending, size_t n, struct train_grid *out, struct why *why) MUST_USE;

/* Cuts lie on grid[features]. *out is the caller's, forest_destroy. */
enum status train_forest(const double *value, size_t rows, size_t features,
	const struct train_grid *grid, const struct train_options *options, struct forest **out,
	struct why *why) MUST_USE;

/* Fits model->detector.fused and sets threshold and score quantiles. The schema is set. */
enum status train_fused(struct model *model, const double *value, size_t rows,
	const struct train_options *options, struct why *why) MUST_USE;

/* How many independent rows the share of high scores is worth, by the means of equal parts;
 * score[n] in time order, sorted[n]: scratch. */
double train_effective_rows(const double *score, size_t n, double *sorted);

/* train_alarm.c. How many machines the rows are of, at least 1. */
size_t train_machines(const struct train_options *options, size_t rows);

/* For data with times. The median step of a machine, forward; 0: there is none. */
enum status train_step(const struct train_options *options, size_t rows, int64_t *step_ms,
	struct why *why) MUST_USE;

/* out[rows], which may be `score`: the mean of each machine's last model->smooth scores. While it
 * has fewer, which spread wider, NaN, or with `first` what the agent would make of them. */
enum status train_smooth(const struct train_options *options, const struct model *model,
	const double *score, size_t rows, bool first, double *out, struct why *why) MUST_USE;

/* The false alarms a day that the alarm's level is meant for: what was asked, or the usual rate. */
double train_rate(const struct train_options *options);

/* By how much the highest of each stay of series[rows] above a level exceeds it, on average of the
 * stays: what is less than `apart` readings of a machine apart is one. NaN is not above. 0: there
 * is none. */
double train_peak_excess(const struct train_options *options, const double *series, size_t rows,
	size_t apart, double from);

/* Replays series[passes][rows], what feeds the alarm, and raises the alarm's level until it cries
 * at most `rate` times a day: first along a tail that falls by 1/e every `excess`. */
enum status train_level(const struct train_options *options, struct model *model,
	const double *series, size_t passes, size_t rows, double excess, double rate,
	struct why *why) MUST_USE;

/* Replays series[passes][rows] through the whole alarm, and writes down how often it cried, a pass
 * on average. Levels and step of the model are set. With a tail that falls by 1/e every `excess`
 * the alarm's level is raised until it cries seldom enough, with `placed` from where it stands,
 * else as train_level does; with 0, unknown, its delays are what is chosen. */
enum status train_promise(const struct train_options *options, struct model *model,
	const double *series, size_t passes, size_t rows, double excess, bool placed,
	struct why *why) MUST_USE;

/* train_drift.c: fits model->drift but for scales and offsets, and gives nats[DRIFT_RULES][rows],
 * each by factors fitted without its fifth of the rows, NaN while a mean is too young. Too few
 * rows: no rules. */
enum status train_drift(const struct train_options *options, struct model *model,
	const double *value, size_t rows, double *nats, struct why *why) MUST_USE;

#endif
