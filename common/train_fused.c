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

/* What the alarm is calibrated on. */
struct alarm_data {
	const struct train_options *options;
	const double *value; /* [rows][features] */
	size_t rows, passes;
	double *score; /* [passes][rows] held out; smoothed in the end */
	double *nats;  /* [DRIFT_RULES][rows] */
	double *scratch, *sorted;
	double alpha, excess;
};

/* The smoothed scores that are known into `scratch`, in time order; how many, and how many of them
 * are independent on average of the passes. */
static enum status smooth_known(struct model *model, const struct alarm_data *d, size_t *total,
	double *effective, struct why *why)
{
	enum status st = STATUS_OK;

	*total = 0;
	*effective = 0;
	for (size_t l = 0; l < d->passes && st == STATUS_OK; l++) {
		double *out = d->scratch + *total;
		size_t known = 0;
		st = train_smooth(
			d->options, model, d->score + l * d->rows, d->rows, false, out, why);
		for (size_t i = 0; i < d->rows && st == STATUS_OK; i++)
			if (!isnan(out[i]))
				out[known++] = out[i];
		if (known >= TRAIN_ROWS_MIN)
			*effective +=
				train_effective_rows(out, known, d->sorted) / (double)d->passes;
		*total += known;
	}
	return st;
}

/* Levels of the smoothed score, `total` of them in `scratch`: it spreads less than single ones, and
 * hangs together longer. */
static enum status set_levels(
	struct model *model, struct alarm_data *d, size_t total, struct why *why)
{
	size_t features = model->schema.count;

	total = sort_known(d->scratch, total);
	model->smooth_threshold = level(d->scratch, total, d->alpha);
	model->alarm_clear = level(d->scratch, total, fmin(clear * d->alpha, 0.5));
	d->excess = mean_excess(d->scratch, total);
	for (size_t i = 0; i < d->rows; i++)
		d->sorted[i] = fused_score(model->detector.fused, d->value + i * features);
	enum status st =
		train_smooth(d->options, model, d->sorted, d->rows, false, d->scratch, why);
	if (st != STATUS_OK)
		return st;
	total = sort_known(d->scratch, d->rows);
	model->smooth_threshold = fmax(model->smooth_threshold, level(d->scratch, total, d->alpha));
	model->alarm_threshold = model->smooth_threshold;
	model->alarm_clear = fmin(model->alarm_clear, model->alarm_threshold);
	return STATUS_OK;
}

/* The level at which nats[rows] alone cry as often as `rate` says; `known` of them are in `sorted`.
 */
static enum status drift_level(struct model *model, const struct alarm_data *d, const double *nats,
	size_t known, double excess, double rate, double *out, struct why *why)
{
	double threshold = model->alarm_threshold, over = model->alarm_clear;

	model->alarm_threshold = level(d->sorted, known, d->alpha);
	model->alarm_clear = level(d->sorted, known, fmin(clear * d->alpha, 0.5));
	enum status st = train_level(d->options, model, nats, 1, d->rows, excess, rate, why);
	*out = model->alarm_threshold;
	model->alarm_threshold = threshold;
	model->alarm_clear = over;
	return st;
}

/* Puts a rule's nats on the scale of the smoothed score, so that their levels for `rate` are one,
 * and above it both grow equally rare. */
static enum status place_rule(
	struct model *model, const struct alarm_data *d, size_t i, double rate, struct why *why)
{
	const double *nats = d->nats + i * d->rows;
	struct drift_rule *rule = &model->drift[i];
	double at;

	memcpy(d->sorted, nats, d->rows * sizeof(*d->sorted));
	size_t known = sort_known(d->sorted, d->rows);
	/* By peaks: a mean that wanders stays away for long, and the higher the shorter. */
	double excess = train_peak_excess(d->options, nats, d->rows, rule->window,
		train_quantile(d->sorted, known, 1 - tail_share));
	if (!(excess > 0)) /* it never moved: it is far out when it does */
		excess = 1;
	enum status st = drift_level(model, d, nats, known, excess, rate, &at, why);
	rule->scale = d->excess / excess;
	rule->offset = model->alarm_threshold - rule->scale * at;
	return st;
}

/* Each of score[rows] to what a rule says, where that is more; NaN, too young, is not. */
static void raise_scores(const struct model *model, const struct alarm_data *d, double *score)
{
	for (size_t i = 0; i < DRIFT_RULES; i++) {
		const double *nats = d->nats + i * d->rows;
		for (size_t row = 0; row < d->rows; row++)
			score[row] = fmax(score[row], drift_score(&model->drift[i], nats[row]));
	}
}

/* Of the rate, the slow mean's and the step's parts; the smoothed score has the rest. The slow mean
 * sees the smallest faults, and has the most use for it. */
static const double part[DRIFT_RULES] = { 0.5, 0.25 };

/* Where the largest of several scores feeds the alarm each may cry as often as its part; then what
 * is left to do is to look at the largest. */
static enum status join_drift(struct model *model, struct alarm_data *d, struct why *why)
{
	double rate = train_rate(d->options), rest = rate * (1 - part[0] - part[1]);
	size_t n = d->passes * d->rows;
	enum status st =
		train_level(d->options, model, d->score, d->passes, d->rows, d->excess, rest, why);

	for (size_t i = 0; i < DRIFT_RULES && st == STATUS_OK; i++)
		st = place_rule(model, d, i, rate * part[i], why);
	if (st != STATUS_OK)
		return st;
	for (size_t pass = 0; pass < d->passes; pass++)
		raise_scores(model, d, d->score + pass * d->rows);
	memcpy(d->sorted, d->score, n * sizeof(*d->sorted));
	number_sort(d->sorted, n);
	model->alarm_clear =
		fmin(level(d->sorted, n, fmin(clear * d->alpha, 0.5)), model->alarm_threshold);
	return STATUS_OK;
}

/* A smoothed score whose block is hardly longer than its window is held out by half: rows beside
 * the block look like those in it, and the members know them. So only passes of blocks of four
 * windows count, or that of the longest ones. */
static void drop_short_blocks(struct alarm_data *d, const struct fused_held_out *held)
{
	enum { WINDOWS = 4 };
	size_t pass = 0;

	while (pass + 1 < held->lengths && held->block[pass] < WINDOWS * SMOOTH_WINDOW)
		pass++;
	d->score = held->score + pass * d->rows;
	d->passes = held->lengths - pass;
}

static enum status calibrate_alarm(struct model *model, struct alarm_data *d, struct why *why)
{
	const struct train_options *o = d->options;
	double effective;
	size_t total;
	enum status st = train_step(o, d->rows, &model->step_ms, why);

	if (st != STATUS_OK || model->step_ms == 0)
		return st;
	model->smooth = SMOOTH_WINDOW;
	st = smooth_known(model, d, &total, &effective, why);
	if (st != STATUS_OK)
		return st;
	if (total < TRAIN_ROWS_MIN * d->passes) { /* gaps everywhere: nothing to average */
		model->smooth = 1;
		return train_promise(o, model, d->score, d->passes, d->rows, 0, false, why);
	}
	d->alpha /= 1 + 1 / sqrt(d->alpha * effective);
	st = set_levels(model, d, total, why);
	for (size_t l = 0; l < d->passes && st == STATUS_OK; l++) {
		double *score = d->score + l * d->rows;
		st = train_smooth(o, model, score, d->rows, true, score, why);
	}
	if (st == STATUS_OK && d->excess > 0)
		st = train_drift(o, model, d->value, d->rows, d->nats, why);
	if (st == STATUS_OK && model->drift[0].window > 0)
		st = join_drift(model, d, why);
	if (st != STATUS_OK)
		return st;
	return train_promise(
		o, model, d->score, d->passes, d->rows, d->excess, model->drift[0].window > 0, why);
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
	double *sorted = malloc((2 * held.lengths + DRIFT_RULES) * rows * sizeof(*sorted));
	if (sorted) {
		struct alarm_data data = { options, value, rows, held.lengths, held.score,
			sorted + 2 * held.lengths * rows, sorted, sorted + held.lengths * rows,
			1 - options->quantile, 0 };
		calibrate(model, value, rows, &held, sorted, options->quantile);
		model->drawn = options->drawn_from > rows ? rows : 0;
		drop_short_blocks(&data, &held);
		if (options->at_ms)
			st = calibrate_alarm(model, &data, why);
	} else {
		st = fail(why, STATUS_NO_MEMORY, "no memory to calibrate on %zu rows", rows);
	}
	free(sorted);
	free(held.score);
	return st;
}
