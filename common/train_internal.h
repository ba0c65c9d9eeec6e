/* What train.c and train_fused.c share; nobody else includes it. */
#ifndef ISOLDE_COMMON_TRAIN_INTERNAL_H
#define ISOLDE_COMMON_TRAIN_INTERNAL_H

#include "common/train.h"

/* Fits model->detector.fused and sets threshold and score quantiles. The schema is set. */
enum status train_fused(struct model *model, const double *value, size_t rows,
	const struct train_options *options, struct why *why) MUST_USE;

/* How many independent rows the share of high scores is worth, by the means of equal parts;
 * score[n] in time order, sorted[n]: scratch. */
double train_effective_rows(const double *score, size_t n, double *sorted);

/* train_alarm.c, for data with times. The median step of a machine, forward; 0: there is none. */
enum status train_step(const struct train_options *options, size_t rows, int64_t *step_ms,
	struct why *why) MUST_USE;

/* out[rows]: the mean of each machine's last model->smooth scores, NaN while it has fewer. */
enum status train_smooth(const struct train_options *options, const struct model *model,
	const double *score, size_t rows, double *out, struct why *why) MUST_USE;

/* Replays score[passes][rows] through the whole alarm, and writes down how often it cried, a pass
 * on average. Levels, smoothing and step of the model are set. With a tail that falls by 1/e every
 * `excess` the alarm's level is raised until it cries seldom enough; with 0, unknown, its delays
 * are what is chosen. */
enum status train_promise(const struct train_options *options, struct model *model,
	const double *score, size_t passes, size_t rows, double excess, struct why *why) MUST_USE;

#endif
