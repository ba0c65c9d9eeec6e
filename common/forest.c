/* A reading walks all trees, eight at a time, by its codes (common/forest_codes). A leaf is its own
 * left child and its code is one that no value exceeds, so every walk takes the same number of
 * steps without a branch that depends on the data: measured 2.2 times faster than stopping at the
 * leaf, whose mispredicted branches cost more than the steps they save. */
#include "common/forest.h"
#include "common/cpu.h"
#include "common/forest_bits.h"
#include "common/forest_codes.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
	LANES = 8,
	FIXED_ONE = 1 << 20,
	/* A pass over the tables grows with the features, walking does not: level at 32
	 * (tests/bench/growth).
	 */
	TABLE_FEATURES = 24,
};

/* Half of what a split and a feature would take: more of the forest stays in a cache, and many
 * forests in memory. */
struct node {
	uint32_t left; /* the right child stands behind it */
	uint32_t test; /* feature * 2^24 + code: right when the reading's is larger */
};

enum { CODE_BITS = 24, CODE_MAX = (1 << CODE_BITS) - 1 };

struct forest {
	/* What scoring by tables reads, in one cache line. */
	struct forest_bits *bits; /* NULL: walk */
	double scale;             /* -1 / (2^20 trees c(psi)) */

	struct forest_columns columns; /* with arrays of our own */
	uint32_t *root;
	int32_t *feature; /* NULL once it is slim, like the next ones */
	double *split;
	uint32_t *left, *rows;
	struct codes *codes; /* [features] */
	double *edges;       /* of all of them */
	struct node *node;   /* [nodes] what scoring walks */
	uint32_t *leaf;      /* [nodes] path length in 2^-20 steps, 0 for an inner node */
	unsigned depth;      /* of the deepest leaf */
};

double forest_mean_depth(size_t n)
{
	const double euler_gamma = 0.57721566490153286;

	if (n <= 1)
		return 0;
	if (n == 2)
		return 1;
	return 2 * (log((double)n - 1) + euler_gamma) - 2 * ((double)n - 1) / (double)n;
}

static enum status check_counts(const struct forest_columns *c, struct why *why)
{
	if (c->features < 1 || c->features > FOREST_FEATURES_MAX)
		return fail(why, STATUS_BAD_INPUT, "forest: %zu features, 1 .. %d are possible",
			c->features, FOREST_FEATURES_MAX);
	if (c->trees < 1 || c->trees > FOREST_TREES_MAX)
		return fail(why, STATUS_BAD_INPUT, "forest: %zu trees, 1 .. %d are possible",
			c->trees, FOREST_TREES_MAX);
	if (c->nodes < c->trees || c->nodes > FOREST_NODES_MAX)
		return fail(why, STATUS_BAD_INPUT,
			"forest: %zu nodes in %zu trees, at most %d are possible", c->nodes,
			c->trees, FOREST_NODES_MAX);
	if (c->sample_size < 2 || c->sample_size > FOREST_SAMPLE_MAX)
		return fail(why, STATUS_BAD_INPUT,
			"forest: a sample size of %zu, 2 .. %d are possible", c->sample_size,
			FOREST_SAMPLE_MAX);
	return STATUS_OK;
}

/* One node of the tree that ends before `end`; its depth is known, its children's are set. */
static enum status check_node(const struct forest_columns *c, size_t tree, size_t i, size_t end,
	uint8_t *depth, struct why *why)
{
	if (c->feature[i] < 0) {
		if (c->left[i] != 0)
			return fail(why, STATUS_BAD_INPUT,
				"tree %zu node %zu: a leaf with child %u", tree, i, c->left[i]);
		return STATUS_OK;
	}
	if ((size_t)c->feature[i] >= c->features)
		return fail(why, STATUS_BAD_INPUT, "tree %zu node %zu: feature %d of %zu", tree, i,
			c->feature[i], c->features);
	if (!isfinite(c->split[i]))
		return fail(why, STATUS_BAD_INPUT, "tree %zu node %zu: its split is not finite",
			tree, i);
	size_t left = c->left[i];
	if (left <= i || left + 1 >= end)
		return fail(why, STATUS_BAD_INPUT,
			"tree %zu node %zu: children %zu and %zu do not lie between it and the tree's end %zu",
			tree, i, left, left + 1, end);
	if (depth[left] || depth[left + 1])
		return fail(why, STATUS_BAD_INPUT, "tree %zu node %zu: child %zu has two parents",
			tree, i, left);
	if (depth[i] > FOREST_DEPTH_MAX)
		return fail(why, STATUS_BAD_INPUT, "tree %zu node %zu: deeper than %d", tree, i,
			FOREST_DEPTH_MAX);
	if (c->rows[left] == 0 || c->rows[left + 1] == 0 ||
		(uint64_t)c->rows[left] + c->rows[left + 1] != c->rows[i])
		return fail(why, STATUS_BAD_INPUT,
			"tree %zu node %zu: %u rows split into %u and %u", tree, i, c->rows[i],
			c->rows[left], c->rows[left + 1]);
	depth[left] = depth[left + 1] = (uint8_t)(depth[i] + 1);
	return STATUS_OK;
}

/* Fills depth[nodes] with 1 + the depth of each node. */
static enum status check_trees(const struct forest_columns *c, uint8_t *depth, struct why *why)
{
	if (c->root[0] != 0)
		return fail(why, STATUS_BAD_INPUT, "tree 0 begins at node %u", c->root[0]);
	for (size_t t = 0; t < c->trees; t++) {
		size_t first = c->root[t], end = t + 1 < c->trees ? c->root[t + 1] : c->nodes;
		if (first >= end || end > c->nodes)
			return fail(why, STATUS_BAD_INPUT, "tree %zu: nodes %zu to %zu of %zu", t,
				first, end, c->nodes);
		if (c->rows[first] != c->sample_size)
			return fail(why, STATUS_BAD_INPUT,
				"tree %zu: %u rows at its root, the sample has %zu", t,
				c->rows[first], c->sample_size);
		depth[first] = 1;
		for (size_t i = first; i < end; i++) {
			if (depth[i] == 0)
				return fail(why, STATUS_BAD_INPUT,
					"tree %zu node %zu: it has no parent", t, i);
			enum status st = check_node(c, t, i, end, depth, why);
			if (st != STATUS_OK)
				return st;
		}
	}
	return STATUS_OK;
}

static void *copy(const void *from, size_t n, size_t size)
{
	void *to = malloc(n * size);
	if (to)
		memcpy(to, from, n * size);
	return to;
}

static bool copy_columns(struct forest *f, const struct forest_columns *c)
{
	f->root = copy(c->root, c->trees, sizeof(*c->root));
	f->feature = copy(c->feature, c->nodes, sizeof(*c->feature));
	f->split = copy(c->split, c->nodes, sizeof(*c->split));
	f->left = copy(c->left, c->nodes, sizeof(*c->left));
	f->rows = copy(c->rows, c->nodes, sizeof(*c->rows));
	f->node = malloc(c->nodes * sizeof(*f->node));
	f->leaf = calloc(c->nodes, sizeof(*f->leaf));
	f->columns = *c;
	f->columns.root = f->root;
	f->columns.feature = f->feature;
	f->columns.split = f->split;
	f->columns.left = f->left;
	f->columns.rows = f->rows;
	return f->root && f->feature && f->split && f->left && f->rows && f->node && f->leaf;
}

static bool make_codes(struct forest *f, double *split)
{
	const struct forest_columns *c = &f->columns;
	size_t edges = 0;
	double *next = split;

	f->codes = malloc(c->features * sizeof(*f->codes));
	if (!f->codes)
		return false;
	for (size_t i = 0; i < c->features; i++) {
		codes_plan(&f->codes[i], c, i, next);
		next += f->codes[i].count;
		edges += f->codes[i].edges;
	}
	f->edges = aligned_alloc(64, edges * sizeof(*f->edges));
	if (!f->edges)
		return false;
	double *edge = f->edges;
	for (size_t i = 0; i < c->features; i++) {
		f->codes[i].edge = edge;
		edge += f->codes[i].edges;
		codes_fill(&f->codes[i], split);
		split += f->codes[i].count;
	}
	return true;
}

static void lay_out(struct forest *f, const uint8_t *depth)
{
	const struct forest_columns *c = &f->columns;

	for (size_t i = 0; i < c->nodes; i++) {
		unsigned d = depth[i] - 1u;
		if (c->feature[i] >= 0) {
			uint32_t feature = (uint32_t)c->feature[i];
			f->node[i] = (struct node){ c->left[i],
				feature << CODE_BITS | code_of(&f->codes[feature], c->split[i]) };
			continue;
		}
		f->node[i] = (struct node){ (uint32_t)i, CODE_MAX };
		f->leaf[i] = (uint32_t)((d + forest_mean_depth(c->rows[i])) * FIXED_ONE + 0.5);
		if (d > f->depth)
			f->depth = d;
	}
	f->scale = -1 / ((double)FIXED_ONE * (double)c->trees * forest_mean_depth(c->sample_size));
}

static enum status make(
	const struct forest_columns *c, const uint8_t *depth, struct forest **out, struct why *why)
{
	struct forest *forest = calloc(1, sizeof(*forest));
	double *split = malloc(c->nodes * sizeof(*split));

	if (!forest || !split || !copy_columns(forest, c) || !make_codes(forest, split)) {
		forest_destroy(forest);
		free(split);
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu nodes", c->nodes);
	}
	free(split);
	lay_out(forest, depth);
	*out = forest;
	return STATUS_OK;
}

ONCE enum status forest_create(
	const struct forest_columns *columns, struct forest **out, struct why *why)
{
	enum status st = check_counts(columns, why);
	if (st != STATUS_OK)
		return st;
	uint8_t *depth = calloc(columns->nodes, 1);
	if (!depth)
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu nodes", columns->nodes);
	st = check_trees(columns, depth, why);
	if (st == STATUS_OK)
		st = make(columns, depth, out, why);
	free(depth);
	return st;
}

static void free_columns(struct forest *forest)
{
	free(forest->feature);
	free(forest->split);
	free(forest->left);
	free(forest->rows);
}

void forest_destroy(struct forest *forest)
{
	if (!forest)
		return;
	free_columns(forest);
	free(forest->root);
	free(forest->codes);
	free(forest->edges);
	free(forest->node);
	free(forest->leaf);
	forest_bits_destroy(forest->bits);
	free(forest);
}

void forest_slim(struct forest *forest)
{
	struct forest_columns *c = &forest->columns;

	free_columns(forest);
	c->feature = forest->feature = NULL;
	c->split = forest->split = NULL;
	c->left = forest->left = NULL;
	c->rows = forest->rows = NULL;
}

const struct forest_columns *forest_columns(const struct forest *forest)
{
	return &forest->columns;
}

static inline uint32_t step(const struct node *node, uint32_t at, const uint32_t *code)
{
	const struct node *n = &node[at];
	return n->left + (code[n->test >> CODE_BITS] > (n->test & CODE_MAX));
}

/* Tables of a slim forest: from the columns as they were, but for the rows. */
static struct forest_bits *tables_of_slim(const struct forest *forest, size_t bytes_max)
{
	struct forest_columns c = forest->columns;
	int32_t *feature = malloc(c.nodes * sizeof(*feature));
	uint32_t *left = malloc(c.nodes * sizeof(*left));
	double *split = malloc(c.nodes * sizeof(*split));
	struct forest_bits *tables = NULL;

	if (feature && left && split) {
		for (size_t i = 0; i < c.nodes; i++) {
			const struct node *n = &forest->node[i];
			bool leaf = n->left == i;
			const struct codes *codes = &forest->codes[n->test >> CODE_BITS];
			feature[i] = leaf ? -1 : (int32_t)(n->test >> CODE_BITS);
			left[i] = leaf ? 0 : n->left;
			split[i] = leaf ? 0
					: codes->edge[codes->level[codes->levels - 1] +
						  (n->test & CODE_MAX)];
		}
		c.feature = feature;
		c.left = left;
		c.split = split;
		tables = forest_bits_create(&c, forest->leaf, bytes_max);
	}
	free(feature);
	free(left);
	free(split);
	return tables;
}

struct forest_bits *forest_tables(const struct forest *forest, size_t bytes_max)
{
	if (bytes_max == 0 || forest->columns.features > TABLE_FEATURES)
		return NULL;
	if (!forest->feature)
		return tables_of_slim(forest, bytes_max);
	return forest_bits_create(&forest->columns, forest->leaf, bytes_max);
}

size_t forest_tabulate(struct forest *forest, size_t bytes_max)
{
	forest_bits_destroy(forest->bits);
	forest->bits = forest_tables(forest, bytes_max);
	return forest->bits ? forest_bits_bytes(forest->bits) : 0;
}

static uint64_t walk(const struct forest *forest, const double *x)
{
	const struct node *node = forest->node;
	const uint32_t *root = forest->root;
	uint32_t code[FOREST_FEATURES_MAX];
	uint64_t sum = 0;
	size_t t = 0;

	for (size_t i = 0; i < forest->columns.features; i++)
		code[i] = code_of(&forest->codes[i], x[i]);
	for (; t + LANES <= forest->columns.trees; t += LANES) {
		uint32_t at[LANES];
		memcpy(at, root + t, sizeof(at));
		for (unsigned d = 0; d < forest->depth; d++) {
#pragma GCC unroll 8 /* they stay in registers */
			for (int lane = 0; lane < LANES; lane++)
				at[lane] = step(node, at[lane], code);
		}
		for (int lane = 0; lane < LANES; lane++)
			sum += forest->leaf[at[lane]];
	}
	for (; t < forest->columns.trees; t++) {
		uint32_t at = root[t];
		for (unsigned d = 0; d < forest->depth; d++)
			at = step(node, at, code);
		sum += forest->leaf[at];
	}
	return sum;
}

double forest_score_by(
	const struct forest *forest, const struct forest_bits *tables, const double *x)
{
	uint64_t sum = tables ? forest_bits_sum(tables, x) : walk(forest, x);

	return exp2((double)sum * forest->scale) - 0.5;
}

double forest_score(const struct forest *forest, const double *x)
{
	return forest_score_by(forest, forest->bits, x);
}
