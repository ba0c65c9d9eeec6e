/* The plain forest, grown: Liu 2008, algorithms 1 and 2, with cuts on a grid. A cut is drawn
 * uniform in the values of the node and moved to the nearest edge of its feature's grid, so that
 * a forest knows few codes a feature and its bit tables are small (common/forest_bits). Edges are
 * dense in the tails, where an isolation forest cuts most, and an outlier takes one code however
 * far it is. */
#include "common/rng.h"
#include "common/train_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a feature. Two more codes tell what lies below and above the training values, for forests that
 * ask; 256 in all. */
enum { INNER_CODES = 254 };

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
	const struct train_grid *grid; /* [features] */
	const struct train_options *options;
	size_t sample_size;
	unsigned depth_limit;
	struct rng rng;
	uint32_t *order; /* [rows] a permutation; its head is the sample of the current tree */
	struct open_node *stack;
	struct columns columns;
	uint32_t *root; /* [trees] */
};

/* Between two values, closed below: what equals the upper one goes right. */
static void add_edge(struct train_grid *grid, double below, double above)
{
	double edge = below / 2 + above / 2;

	if (!(edge < above) || edge < below)
		edge = below;
	if (grid->count == 0 || grid->edge[grid->count - 1] < edge)
		grid->edge[grid->count++] = edge;
}

static size_t distinct(const double *ascending, size_t n)
{
	size_t count = 1;

	for (size_t i = 1; i < n; i++)
		count += ascending[i - 1] < ascending[i];
	return count;
}

enum status train_grid(const double *ascending, size_t n, struct train_grid *out, struct why *why)
{
	const double half_pi = 1.57079632679489661923;

	*out = (struct train_grid){ .edge = malloc(INNER_CODES * sizeof(*out->edge)) };
	if (!out->edge)
		return fail(why, STATUS_NO_MEMORY, "no memory for a grid");
	if (distinct(ascending, n) <= INNER_CODES) {
		for (size_t i = 1; i < n; i++)
			if (ascending[i - 1] < ascending[i])
				add_edge(out, ascending[i - 1], ascending[i]);
		return STATUS_OK;
	}
	for (int i = 1; i < INNER_CODES; i++) {
		double part = sin(half_pi * i / INNER_CODES);
		size_t rank = (size_t)((double)n * part * part + 0.5);
		if (rank < 1)
			rank = 1;
		while (rank < n && !(ascending[rank - 1] < ascending[rank]))
			rank++;
		if (rank < n)
			add_edge(out, ascending[rank - 1], ascending[rank]);
	}
	return STATUS_OK;
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

/* The first edge of those at `low` or above; the grid's count if there is none. */
static size_t edge_from(const struct train_grid *grid, double low)
{
	size_t from = 0, end = grid->count;

	while (from < end) {
		size_t middle = (from + end) / 2;
		if (grid->edge[middle] < low)
			from = middle + 1;
		else
			end = middle;
	}
	return from;
}

/* A cut uniform in low .. high, moved to the nearest edge that leaves rows on either side. False:
 * no edge does. */
static bool draw_edge(
	struct growth *g, const struct train_grid *grid, double low, double high, double *cut)
{
	size_t first = edge_from(grid, low), end = edge_from(grid, high);

	if (first == end)
		return false;
	double at = low + rng_uniform(&g->rng) * (high - low);
	size_t i = edge_from(grid, at);
	if (i == end || (i > first && at - grid->edge[i - 1] < grid->edge[i] - at))
		i--;
	*cut = grid->edge[i];
	return true;
}

/* Draws a feature that varies in the node, and a cut. False if every feature is constant there, as
 * far as its grid can tell: nothing isolates the rows. */
static bool draw_cut(struct growth *g, const struct open_node *open, size_t *feature, double *cut)
{
	uint8_t candidate[FEATURES_MAX];

	for (size_t i = 0; i < g->features; i++)
		candidate[i] = (uint8_t)i;
	for (size_t left = g->features; left > 0; left--) {
		size_t pick = (size_t)rng_below(&g->rng, left);
		double low, high;
		*feature = candidate[pick];
		if (feature_range(g, open, *feature, &low, &high) &&
			draw_edge(g, &g->grid[*feature], low, high, cut))
			return true;
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
static bool grow_trees(struct growth *g, size_t rows)
{
	for (size_t i = 0; i < rows; i++)
		g->order[i] = (uint32_t)i;
	for (size_t t = 0; t < g->options->trees; t++) {
		g->root[t] = (uint32_t)g->columns.nodes;
		if (!grow_tree(g, rows))
			return false;
		train_report(g->options, 0.5 * (double)(t + 1) / (double)g->options->trees);
	}
	return true;
}

enum status train_forest(const double *value, size_t rows, size_t features,
	const struct train_grid *grid, const struct train_options *options, struct forest **out,
	struct why *why)
{
	size_t psi = options->sample_size < rows ? options->sample_size : rows;
	struct growth g = {
		.value = value,
		.features = features,
		.grid = grid,
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
