#include "common/train.h"
#include "common/number.h"
#include "common/rng.h"
#include "common/train_internal.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

double train_quantile(const double *ascending, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t below = (size_t)at;

	if (below + 1 >= n)
		return ascending[n - 1];
	double part = at - (double)below;
	return ascending[below] + part * (ascending[below + 1] - ascending[below]);
}

/* Half of the work is growing, half is scoring, as far as a progress bar is concerned. */
void train_report(const struct train_options *options, double done)
{
	if (options->progress)
		options->progress(options->context, done);
}

size_t train_stuck_after(size_t rows, size_t repeated, size_t longest)
{
	enum { LEAST = 20 };
	static const double chance = 1e-9;
	double frequency = (double)repeated / (double)(rows - 1);
	double by_chance = repeated > 0 ? log(chance) / log(frequency) : 0;
	double after = fmax(LEAST, fmax(2 * (double)longest, ceil(by_chance)));

	return after < (double)rows ? (size_t)after : 0;
}

static size_t stuck_after(const double *value, size_t rows, size_t features, size_t feature)
{
	size_t repeated = 0, run = 0, longest = 0;

	for (size_t i = 1; i < rows; i++) {
		const double *x = &value[i * features + feature];
		run = x[0] == x[-(ptrdiff_t)features] ? run + 1 : 0;
		repeated += run > 0;
		longest = run > longest ? run : longest;
	}
	return train_stuck_after(rows, repeated, longest);
}

/* Mean and spread in the rows' order; the order statistics from a sorted copy. */
static void measure(const double *value, size_t rows, size_t features, size_t feature,
	double *sorted, struct feature_stats *out)
{
	double sum = 0, squares = 0;

	for (size_t i = 0; i < rows; i++) {
		sorted[i] = value[i * features + feature];
		sum += sorted[i];
	}
	out->mean = sum / (double)rows;
	for (size_t i = 0; i < rows; i++)
		squares += (sorted[i] - out->mean) * (sorted[i] - out->mean);
	out->sd = sqrt(squares / (double)rows);
	number_sort(sorted, rows);
	out->median = train_quantile(sorted, rows, 0.5);
	out->low = train_quantile(sorted, rows, 0.01);
	out->high = train_quantile(sorted, rows, 0.99);
	out->stuck_after = stuck_after(value, rows, features, feature);
}

/* What the data say of each feature; for the plain forest also grid[features], to be freed. */
static enum status measure_all(struct model *model, const double *value, size_t rows,
	double *scratch, struct train_grid *grid, const struct train_options *o, struct why *why)
{
	const struct schema *schema = &model->schema;
	enum status st = STATUS_OK;

	for (size_t i = 0; i < schema->count && st == STATUS_OK; i++) {
		struct feature_stats *stats = &model->detector.stats[i];
		measure(value, rows, schema->count, i, scratch, stats);
		if (o->whole) {
			stats->mean = o->whole[i].mean;
			stats->sd = o->whole[i].sd;
			stats->stuck_after = o->whole[i].stuck_after;
		}
		if (!isfinite(stats->sd)) /* a model file could not hold it */
			return fail(why, STATUS_BAD_INPUT, "%s: its values are too large",
				schema->feature[i].name);
		if (o->kind == DETECTOR_FOREST)
			st = train_grid(scratch, rows, &grid[i], why);
	}
	return st;
}

/* Of how many rows threshold and quantiles are taken; see train.h. With times all are scored: the
 * alarm's replay needs every one. */
static size_t rows_to_score(size_t rows, const struct train_options *options)
{
	return rows > TRAIN_SCORED_MAX && !options->at_ms ? TRAIN_SCORED_MAX : rows;
}

/* Scores `wanted` of the rows, each set of them as likely as any other, in order (Knuth, TAOCP 2,
 * 3.4.2, algorithm S). Rows do not depend on the trees' draws: the generator is another one. */
static void score_sample(const struct model *model, const double *value, size_t rows, size_t wanted,
	double *score, const struct train_options *options)
{
	static const uint64_t other = UINT64_C(0x9e3779b97f4a7c15);
	struct rng rng;

	rng_seed(&rng, options->seed ^ other);
	for (size_t i = 0, n = 0; n < wanted; i++) {
		if (wanted < rows && rng_below(&rng, rows - i) >= wanted - n)
			continue;
		score[n++] = detector_score(&model->detector, value + i * model->schema.count);
		if (n % 16384 == 0)
			train_report(options, 0.5 + 0.5 * (double)n / (double)wanted);
	}
}

/* How far the share of all rows above the threshold may be from that of the rows it was taken from:
 * half of the 95 % interval, binomial, less what a sample without replacement cannot miss. Rows of
 * blocks hang together: they count as what they are worth. scratch[scored] may hold the scores. */
static void state_error(struct model *model, const double *in_order, double *scratch, size_t scored,
	size_t rows, const struct train_options *o)
{
	size_t all = o->drawn_from ? o->drawn_from : rows;
	double p = 1 - o->quantile;

	if (scored >= all)
		return;
	double worth = in_order ? train_effective_rows(in_order, scored, scratch) : (double)scored;
	model->drawn = scored;
	model->share_error = 1.96 * sqrt(p * (1 - p) / worth * (1 - (double)scored / (double)all));
}

/* Scores the rows and takes threshold and quantile table from them; `score` has room for all. */
static enum status calibrate(struct model *model, const double *value, size_t rows, double *score,
	const struct train_options *options, struct why *why)
{
	size_t scored = rows_to_score(rows, options);
	enum status st = STATUS_OK;

	detector_tabulate(&model->detector, FOREST_TABLE_BYTES); /* the same scores, sooner */
	score_sample(model, value, rows, scored, score, options);
	double *in_order = options->at_ms ? malloc(rows * sizeof(*in_order)) : NULL;
	if (in_order)
		memcpy(in_order, score, rows * sizeof(*in_order));
	else if (options->at_ms)
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu scores", rows);
	state_error(model, in_order, score, scored, rows, options);
	number_sort(score, scored);
	model->threshold = train_quantile(score, scored, options->quantile);
	model_no_smoothing(model);
	if (in_order)
		st = train_step(options, rows, &model->step_ms, why);
	if (in_order && st == STATUS_OK && model->step_ms > 0)
		st = train_promise(options, model, in_order, 1, rows, 0, false, why);
	free(in_order);
	model->quantile = options->quantile;
	model->quantiles = 201;
	for (size_t i = 0; i < model->quantiles; i++)
		model->score_quantile[i] =
			train_quantile(score, scored, (double)i / (double)(model->quantiles - 1));
	train_report(options, 1);
	return st;
}

static enum status check_input(const struct schema *schema, const double *value, size_t rows,
	const struct train_options *options, struct why *why)
{
	if (schema->count == 0)
		return fail(why, STATUS_BAD_INPUT, "no features to train on");
	if (rows < TRAIN_ROWS_MIN)
		return fail(why, STATUS_BAD_INPUT, "%zu rows, at least %d are needed to train",
			rows, TRAIN_ROWS_MIN);
	if (rows > UINT32_MAX)
		return fail(why, STATUS_FULL, "%zu rows, at most %u can be trained on", rows,
			UINT32_MAX);
	if (options->trees < 1 || options->trees > FOREST_TREES_MAX)
		return fail(why, STATUS_BAD_INPUT, "%zu trees, 1 .. %d are possible",
			options->trees, FOREST_TREES_MAX);
	if (options->sample_size < 2 || options->sample_size > FOREST_SAMPLE_MAX)
		return fail(why, STATUS_BAD_INPUT, "a sample size of %zu, 2 .. %d are possible",
			options->sample_size, FOREST_SAMPLE_MAX);
	if (!(options->quantile > 0 && options->quantile < 1))
		return fail(why, STATUS_BAD_INPUT,
			"a quantile of %g, it has to lie between 0 and 1", options->quantile);
	for (size_t i = 0; i < rows * schema->count; i++) {
		if (!isfinite(value[i]))
			return fail(why, STATUS_BAD_INPUT, "row %zu, %s: not a finite number",
				i / schema->count + 1, schema->feature[i % schema->count].name);
	}
	return STATUS_OK;
}

/* scratch[rows], grid[features]. */
static enum status fit(struct model *model, const double *value, size_t rows, double *scratch,
	struct train_grid *grid, const struct train_options *options, struct why *why)
{
	enum status st = measure_all(model, value, rows, scratch, grid, options, why);

	if (st != STATUS_OK)
		return st;
	if (options->kind == DETECTOR_FUSED)
		return train_fused(model, value, rows, options, why);
	st = train_forest(
		value, rows, model->schema.count, grid, options, &model->detector.forest, why);
	if (st != STATUS_OK)
		return st;
	return calibrate(model, value, rows, scratch, options, why);
}

enum status train_model(const struct schema *schema, const double *value, size_t rows,
	const struct train_options *options, struct model **out, struct why *why)
{
	struct train_grid grid[FEATURES_MAX] = { { NULL, 0 } };
	enum status st = check_input(schema, value, rows, options, why);

	if (st != STATUS_OK)
		return st;
	struct model *model = calloc(1, sizeof(*model));
	double *scratch = malloc(rows * sizeof(*scratch));
	if (!model || !scratch) {
		st = fail(why, STATUS_NO_MEMORY, "no memory to train on %zu rows", rows);
	} else {
		model->schema = *schema;
		model->detector.kind = options->kind;
		model->detector.features = schema->count;
		model->rows = options->drawn_from ? options->drawn_from : rows;
		model->seed = options->seed;
		st = fit(model, value, rows, scratch, grid, options, why);
	}
	for (size_t i = 0; i < schema->count; i++)
		free(grid[i].edge);
	free(scratch);
	if (st != STATUS_OK) {
		model_destroy(model);
		return st;
	}
	*out = model;
	return STATUS_OK;
}
