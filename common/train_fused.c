#include "common/fused_fit.h"
#include "common/number.h"
#include "common/smooth.h"
#include "common/train_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 25 };
static const double tail_share = 0.02; /* beyond, the tail is taken as exponential */

double train_effective_rows(const double *score, size_t n, double *sorted)
{
	double square = 0, sum = 0;

	memcpy(sorted, score, n * sizeof(*sorted));
	number_sort(sorted, n);
	double high = train_quantile(sorted, n, 1 - tail_share);
	for (size_t part = 0; part < PARTS; part++) {
		size_t from = part * n / PARTS, to = (part + 1) * n / PARTS;
		double count = 0;
		for (size_t i = from; i < to; i++)
			count += score[i] > high;
		double mean = count / (double)(to - from);
		sum += mean;
		square += mean * mean;
	}
	double p = sum / PARTS, variance = square / PARTS - p * p;
	return variance > 0 ? fmin((double)n, p * (1 - p) / (variance / PARTS)) : (double)n;
}

/* By how much those of n ascending scores that lie in the tail exceed its beginning, on average. */
static double mean_excess(const double *sorted, size_t n)
{
	double from = train_quantile(sorted, n, 1 - tail_share), sum = 0;
	size_t above = 0;

	for (size_t i = n; i-- > 0 && sorted[i] > from; above++)
		sum += sorted[i] - from;
	return above ? sum / (double)above : 0;
}

/* Of n ascending scores; where they are too few, along an exponential tail. */
static double level(const double *sorted, size_t n, double alpha)
{
	if (alpha * (double)n >= 10 || alpha >= tail_share)
		return train_quantile(sorted, n, 1 - alpha);
	return train_quantile(sorted, n, 1 - tail_share) +
		mean_excess(sorted, n) * log(tail_share / alpha);
}

static const double clear =
	5; /* times as many readings lie above the clear level as above the other */

/* The numbers to the front, ascending; how many there are. */
static size_t sort_known(double *value, size_t n)
{
	size_t known = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isnan(value[i]))
			value[known++] = value[i];
	}
	number_sort(value, known);
	return known;
}

/* Smoothed scores have levels of their own: they spread less, and hang together longer. `scratch`
 * has room for two of everything. */
static enum status calibrate_alarm(struct model *model, const double *value, size_t rows,
	const struct fused_held_out *held, double *scratch, const struct train_options *o,
	struct why *why)
{
	double alpha = 1 - o->quantile, effective = 0, *sorted = scratch + held->lengths * rows;
	size_t features = model->schema.count, total = 0;
	enum status st = train_step(o, rows, &model->step_ms, why);

	if (st != STATUS_OK || model->step_ms == 0)
		return st;
	model->smooth = SMOOTH_WINDOW;
	for (size_t l = 0; l < held->lengths && st == STATUS_OK; l++) {
		st = train_smooth(o, model, held->score + l * rows, rows, scratch + total, why);
		size_t known = 0; /* in time order still */
		for (size_t i = 0; i < rows && st == STATUS_OK; i++)
			if (!isnan(scratch[total + i]))
				scratch[total + known++] = scratch[total + i];
		if (known >= TRAIN_ROWS_MIN)
			effective += train_effective_rows(scratch + total, known, sorted) /
				(double)held->lengths;
		total += known;
	}
	if (st != STATUS_OK)
		return st;
	if (total < TRAIN_ROWS_MIN * held->lengths) { /* gaps everywhere: nothing to average */
		model->smooth = 1;
		return train_promise(o, model, held->score, held->lengths, rows, 0, why);
	}
	alpha /= 1 + 1 / sqrt(alpha * effective);
	total = sort_known(scratch, total);
	model->smooth_threshold = level(scratch, total, alpha);
	double excess = mean_excess(scratch, total);
	model->alarm_clear = level(scratch, total, fmin(clear * alpha, 0.5));
	for (size_t i = 0; i < rows; i++)
		sorted[i] = fused_score(model->detector.fused, value + i * features);
	st = train_smooth(o, model, sorted, rows, scratch, why);
	if (st != STATUS_OK)
		return st;
	total = sort_known(scratch, rows);
	model->smooth_threshold = fmax(model->smooth_threshold, level(scratch, total, alpha));
	model->alarm_threshold = model->smooth_threshold;
	model->alarm_clear = fmin(model->alarm_clear, model->alarm_threshold);
	return train_promise(o, model, held->score, held->lengths, rows, excess, why);
}

static void calibrate(struct model *model, const double *value, size_t rows,
	const struct fused_held_out *held, double *sorted, double quantile)
{
	double alpha = 1 - quantile, effective = 0;
	size_t n = held->lengths * rows, features = model->schema.count;

	for (size_t l = 0; l < held->lengths; l++)
		effective += train_effective_rows(held->score + l * rows, rows, sorted) /
			(double)held->lengths;
	alpha /= 1 + 1 / sqrt(alpha * effective);
	memcpy(sorted, held->score, n * sizeof(*sorted));
	number_sort(sorted, n);
	model->threshold = level(sorted, n, alpha);
	model->quantiles = 201;
	for (size_t i = 0; i < model->quantiles; i++)
		model->score_quantile[i] =
			train_quantile(sorted, n, (double)i / (double)(model->quantiles - 1));
	/* The fits without a block and the final one differ: never below what the final one says
	 * of its own rows. */
	for (size_t i = 0; i < rows; i++)
		sorted[i] = fused_score(model->detector.fused, value + i * features);
	number_sort(sorted, rows);
	model->threshold = fmax(model->threshold, level(sorted, rows, alpha));
	model->quantile = quantile;
	model->rate = alpha;
	model->effective_rows = effective;
	model_no_smoothing(model);
}

enum status train_fused(struct model *model, const double *value, size_t rows,
	const struct train_options *options, struct why *why)
{
	struct fused_options o = { options->trees < FUSED_TREES_MAX ? options->trees
								    : FUSED_TREES_MAX,
		options->sample_size, options->seed, options->progress, options->context };
	struct fused_held_out held;

	if (rows < FUSED_ROWS_MIN)
		return fail(why, STATUS_BAD_INPUT,
			"%zu rows, the fused detector needs at least %d to hold some out; "
			"--detector forest needs %d",
			rows, FUSED_ROWS_MIN, TRAIN_ROWS_MIN);
	enum status st =
		fused_fit(value, rows, model->schema.count, &o, &model->detector.fused, &held, why);
	if (st != STATUS_OK)
		return st;
	/* The file keeps one mean and one spread of each feature: those it scores with, to the bit.
	 */
	for (size_t i = 0; i < model->schema.count; i++) {
		model->detector.stats[i].mean = model->detector.fused->mean[i];
		model->detector.stats[i].sd = model->detector.fused->sd[i];
	}
	double *sorted = malloc(2 * held.lengths * rows * sizeof(*sorted));
	if (sorted) {
		calibrate(model, value, rows, &held, sorted, options->quantile);
		model->drawn = options->drawn_from > rows ? rows : 0;
		if (options->at_ms)
			st = calibrate_alarm(model, value, rows, &held, sorted, options, why);
	} else {
		st = fail(why, STATUS_NO_MEMORY, "no memory to calibrate on %zu rows", rows);
	}
	free(sorted);
	free(held.score);
	return st;
}
