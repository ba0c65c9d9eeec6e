#include "common/fused_fit.h"
#include "common/train_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS = 25 };
static const double tail_share = 0.02; /* beyond, the tail is taken as exponential */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* How many independent rows the share of high scores is worth, by the means of equal parts. */
static double effective_rows(const double *score, size_t n, double *sorted)
{
	double square = 0, sum = 0;

	memcpy(sorted, score, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), ascending);
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

/* Of n ascending scores; where they are too few, along an exponential tail. */
static double level(const double *sorted, size_t n, double alpha)
{
	double from = train_quantile(sorted, n, 1 - tail_share), sum = 0;
	size_t above = 0;

	if (alpha * (double)n >= 10 || alpha >= tail_share)
		return train_quantile(sorted, n, 1 - alpha);
	for (size_t i = n; i-- > 0 && sorted[i] > from; above++)
		sum += sorted[i] - from;
	return from + (above ? sum / (double)above : 0) * log(tail_share / alpha);
}

static void calibrate(struct model *model, const double *value, size_t rows,
	const struct fused_held_out *held, double *sorted, double quantile)
{
	double alpha = 1 - quantile, effective = 0;
	size_t n = held->lengths * rows, features = model->schema.count;

	for (size_t l = 0; l < held->lengths; l++)
		effective += effective_rows(held->score + l * rows, rows, sorted) /
			(double)held->lengths;
	alpha /= 1 + 1 / sqrt(alpha * effective);
	memcpy(sorted, held->score, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), ascending);
	model->threshold = level(sorted, n, alpha);
	model->quantiles = 201;
	for (size_t i = 0; i < model->quantiles; i++)
		model->score_quantile[i] =
			train_quantile(sorted, n, (double)i / (double)(model->quantiles - 1));
	/* The fits without a block and the final one differ: never below what the final one says
	 * of its own rows. */
	for (size_t i = 0; i < rows; i++)
		sorted[i] = fused_score(model->detector.fused, value + i * features);
	qsort(sorted, rows, sizeof(*sorted), ascending);
	model->threshold = fmax(model->threshold, level(sorted, rows, alpha));
	model->quantile = quantile;
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
	double *sorted = malloc(held.lengths * rows * sizeof(*sorted));
	if (sorted)
		calibrate(model, value, rows, &held, sorted, options->quantile);
	else
		st = fail(why, STATUS_NO_MEMORY, "no memory to calibrate on %zu rows", rows);
	free(sorted);
	free(held.score);
	return st;
}
