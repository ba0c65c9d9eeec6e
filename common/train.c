#include "common/train.h"
#include "common/number.h"
#include "common/rng.h"
#include "common/train_internal.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A tree under construction: columns that grow, and the rows each open node still holds. */
struct columns {
	size_t nodes, room;
	int32_t *feature;
	double *split;
	uint32_t *left, *rows;
};

/* A node waiting to be split: its rows are sample[first .. first + count). */
struct open_node {
	uint32_t node, first, count;
	unsigned depth;
};

struct growth {
	const double *value; /* [rows][features] */
	size_t features;
	const struct train_options *options;
	size_t sample_size;
	unsigned depth_limit;
	struct rng rng;
	uint32_t *order; /* [rows] a permutation; its head is the sample of the current tree */
	struct open_node *stack;
	struct columns columns;
	uint32_t *root; /* [trees] */
};

double train_quantile(const double *ascending, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t below = (size_t)at;

	if (below + 1 >= n)
		return ascending[n - 1];
	double part = at - (double)below;
	return ascending[below] + part * (ascending[below + 1] - ascending[below]);
}

/* ceil(log2(n)): the height of a balanced tree over n rows (Liu 2008, algorithm 1). */
static unsigned height_limit(size_t n)
{
	unsigned height = 0;
	while (((size_t)1 << height) < n)
		height++;
	return height;
}

static bool grow_columns(struct columns *c, size_t more)
{
	if (c->nodes + more <= c->room)
		return true;
	size_t room = c->room ? c->room : 4096;
	while (room < c->nodes + more)
		room *= 2;
	void *feature = realloc(c->feature, room * sizeof(*c->feature));
	if (feature)
		c->feature = feature;
	void *split = realloc(c->split, room * sizeof(*c->split));
	if (split)
		c->split = split;
	void *left = realloc(c->left, room * sizeof(*c->left));
	if (left)
		c->left = left;
	void *rows = realloc(c->rows, room * sizeof(*c->rows));
	if (rows)
		c->rows = rows;
	if (!feature || !split || !left || !rows)
		return false;
	c->room = room;
	return true;
}

/* Room for the node was made before. */
static uint32_t add_leaf(struct columns *c, uint32_t rows)
{
	size_t i = c->nodes++;

	c->feature[i] = -1;
	c->split[i] = 0;
	c->left[i] = 0;
	c->rows[i] = rows;
	return (uint32_t)i;
}

static double value_of(const struct growth *g, uint32_t row, size_t feature)
{
	return g->value[(size_t)row * g->features + feature];
}

/* The range of a feature in an open node; false if it is constant there. */
static bool feature_range(const struct growth *g, const struct open_node *open, size_t feature,
	double *low, double *high)
{
	*low = *high = value_of(g, g->order[open->first], feature);
	for (uint32_t i = 1; i < open->count; i++) {
		double x = value_of(g, g->order[open->first + i], feature);
		if (x < *low)
			*low = x;
		if (x > *high)
			*high = x;
	}
	return *low < *high;
}

/* Draws a feature that varies in the node and a cut uniform in its range there. False if every
 * feature is constant: all rows are the same, nothing isolates them. */
static bool draw_cut(struct growth *g, const struct open_node *open, size_t *feature, double *cut)
{
	uint8_t candidate[FEATURES_MAX];

	for (size_t i = 0; i < g->features; i++)
		candidate[i] = (uint8_t)i;
	for (size_t left = g->features; left > 0; left--) {
		size_t pick = (size_t)rng_below(&g->rng, left);
		double low, high;
		*feature = candidate[pick];
		if (feature_range(g, open, *feature, &low, &high)) {
			*cut = low + rng_uniform(&g->rng) * (high - low);
			if (!(*cut < high)) /* rounded up, or an infinite span: keep both sides
					       filled */
				*cut = low;
			return true;
		}
		candidate[pick] = candidate[left - 1];
	}
	return false;
}

/* Rows with x <= cut to the front; returns how many. */
static uint32_t partition(
	struct growth *g, const struct open_node *open, size_t feature, double cut)
{
	uint32_t *row = g->order + open->first;
	uint32_t left = 0;

	for (uint32_t i = 0; i < open->count; i++) {
		if (value_of(g, row[i], feature) <= cut) {
			uint32_t swap = row[left];
			row[left++] = row[i];
			row[i] = swap;
		}
	}
	return left;
}

static bool grow_tree(struct growth *g, size_t rows)
{
	struct columns *c = &g->columns;
	uint32_t psi = (uint32_t)g->sample_size;

	for (uint32_t i = 0; i < psi; i++) { /* Fisher-Yates, as far as the sample goes */
		size_t j = i + (size_t)rng_below(&g->rng, rows - i);
		uint32_t swap = g->order[i];
		g->order[i] = g->order[j];
		g->order[j] = swap;
	}
	if (!grow_columns(c, 2 * (size_t)psi)) /* psi leaves at most, psi - 1 inner nodes */
		return false;
	size_t open = 0;
	g->stack[open++] = (struct open_node){ add_leaf(c, psi), 0, psi, 0 };
	while (open > 0) {
		struct open_node o = g->stack[--open];
		size_t feature;
		double cut;
		if (o.count < 2 || o.depth == g->depth_limit || !draw_cut(g, &o, &feature, &cut))
			continue;
		uint32_t n = partition(g, &o, feature, cut);
		c->feature[o.node] = (int32_t)feature;
		c->split[o.node] = cut;
		c->left[o.node] = add_leaf(c, n);
		uint32_t right = add_leaf(c, o.count - n);
		g->stack[open++] =
			(struct open_node){ right, o.first + n, o.count - n, o.depth + 1 };
		g->stack[open++] = (struct open_node){ right - 1, o.first, n, o.depth + 1 };
	}
	return true;
}

/* Half of the work is growing, half is scoring, as far as a progress bar is concerned. */
static void report(const struct train_options *options, double done)
{
	if (options->progress)
		options->progress(options->context, done);
}

static bool grow_trees(struct growth *g, size_t rows)
{
	for (size_t i = 0; i < rows; i++)
		g->order[i] = (uint32_t)i;
	for (size_t t = 0; t < g->options->trees; t++) {
		g->root[t] = (uint32_t)g->columns.nodes;
		if (!grow_tree(g, rows))
			return false;
		report(g->options, 0.5 * (double)(t + 1) / (double)g->options->trees);
	}
	return true;
}

static enum status grow_forest(const double *value, size_t rows, size_t features,
	const struct train_options *options, struct forest **out, struct why *why)
{
	size_t psi = options->sample_size < rows ? options->sample_size : rows;
	struct growth g = {
		.value = value,
		.features = features,
		.options = options,
		.sample_size = psi,
		.depth_limit = height_limit(psi),
		.order = malloc(rows * sizeof(*g.order)),
		/* Depth first: at most one waiting sibling a level, and the two just made. */
		.stack = malloc((FOREST_DEPTH_MAX + 2) * sizeof(*g.stack)),
		.root = malloc(options->trees * sizeof(*g.root)),
	};
	enum status st;

	rng_seed(&g.rng, options->seed);
	if (!g.order || !g.stack || !g.root || !grow_trees(&g, rows)) {
		st = fail(why, STATUS_NO_MEMORY, "no memory to grow %zu trees", options->trees);
	} else {
		struct forest_columns columns = { features, options->trees, g.columns.nodes, psi,
			g.root, g.columns.feature, g.columns.split, g.columns.left,
			g.columns.rows };
		st = forest_create(&columns, out, why);
	}
	free(g.order);
	free(g.stack);
	free(g.root);
	free(g.columns.feature);
	free(g.columns.split);
	free(g.columns.left);
	free(g.columns.rows);
	return st;
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

static enum status measure_all(struct model *model, const double *value, size_t rows,
	double *scratch, const struct train_options *o, struct why *why)
{
	const struct schema *schema = &model->schema;

	for (size_t i = 0; i < schema->count; i++) {
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
	}
	return STATUS_OK;
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
			report(options, 0.5 + 0.5 * (double)n / (double)wanted);
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
	report(options, 1);
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

enum status train_model(const struct schema *schema, const double *value, size_t rows,
	const struct train_options *options, struct model **out, struct why *why)
{
	enum status st = check_input(schema, value, rows, options, why);
	if (st != STATUS_OK)
		return st;
	struct model *model = calloc(1, sizeof(*model));
	double *scratch = malloc(rows * sizeof(*scratch));
	if (!model || !scratch)
		st = fail(why, STATUS_NO_MEMORY, "no memory to train on %zu rows", rows);
	else if (options->kind == DETECTOR_FOREST)
		st = grow_forest(value, rows, schema->count, options, &model->detector.forest, why);
	if (st != STATUS_OK) {
		free(scratch);
		model_destroy(model);
		return st;
	}

	model->schema = *schema;
	model->detector.kind = options->kind;
	model->detector.features = schema->count;
	st = measure_all(model, value, rows, scratch, options, why);
	if (st != STATUS_OK) {
		free(scratch);
		model_destroy(model);
		return st;
	}
	if (options->kind == DETECTOR_FUSED)
		st = train_fused(model, value, rows, options, why);
	else
		st = calibrate(model, value, rows, scratch, options, why);
	model->rows = options->drawn_from ? options->drawn_from : rows;
	model->seed = options->seed;
	free(scratch);
	if (st != STATUS_OK) {
		model_destroy(model);
		return st;
	}
	*out = model;
	return STATUS_OK;
}
