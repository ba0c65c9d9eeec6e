#include "common/forest.h"
#include "common/rng.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct why why;

/* Columns that a test may bend. */
enum { ROOM = 80 };
struct sample {
	struct forest_columns columns;
	uint32_t root[ROOM];
	int32_t feature[ROOM];
	double split[ROOM];
	uint32_t left[ROOM], rows[ROOM];
};

static void put(struct sample *s, size_t i, int feature, double split, unsigned left, unsigned rows)
{
	s->feature[i] = feature;
	s->split[i] = split;
	s->left[i] = left;
	s->rows[i] = rows;
}

/* Two trees over four rows of two features:
 *   x0 <= 10 ? (two rows) : x1 <= 5 ? (one row) : (one row)
 *   x1 <= 7 ? (one row) : (three rows) */
static void make(struct sample *s)
{
	memset(s, 0, sizeof(*s));
	s->columns = (struct forest_columns){ 2, 2, 8, 4, s->root, s->feature, s->split, s->left,
		s->rows };
	s->root[1] = 5;
	put(s, 0, 0, 10, 1, 4);
	put(s, 1, -1, 0, 0, 2);
	put(s, 2, 1, 5, 3, 2);
	put(s, 3, -1, 0, 0, 1);
	put(s, 4, -1, 0, 0, 1);
	put(s, 5, 1, 7, 6, 4);
	put(s, 6, -1, 0, 0, 1);
	put(s, 7, -1, 0, 0, 3);
}

static struct forest *create(const struct forest_columns *columns)
{
	struct forest *forest = NULL;

	enum status st = forest_create(columns, &forest, &why);
	if (st != STATUS_OK)
		fprintf(stderr, "\n%s\n", why.text);
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
	return forest;
}

static void test_mean_depth(void)
{
	static const struct {
		size_t n;
		double depth;
	} table[] = { { 0, 0 }, { 1, 0 }, { 2, 1 }, { 3, 1.207392357589623 },
		{ 5, 2.327020052042847 }, { 256, 10.244770920119917 }, { 999, 12.967939884427995 },
		{ 65536, 21.335141107488486 } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		CU_ASSERT_DOUBLE_EQUAL(forest_mean_depth(table[i].n), table[i].depth, 1e-12);
}

/* The mean path length that a score of a forest over four rows stands for. */
static double score_of(double mean_path)
{
	return exp2(-mean_path / forest_mean_depth(4)) - 0.5;
}

static void test_known_scores(void)
{
	struct sample s;
	make(&s);
	struct forest *forest = create(&s.columns);
	const double c3 = 2 * (log(2) + 0.57721566490153286) - 4.0 / 3;
	static const double left[] = { 10, 7 }, deep[] = { 11, 5 }, other[] = { 11, 8 };

	/* Leaf of two rows: 1 + c(2) = 2; lone leaf: its depth; of three rows: 1 + c(3). */
	CU_ASSERT_DOUBLE_EQUAL(forest_score(forest, left), score_of((2.0 + 1) / 2), 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(forest_score(forest, deep), score_of((2.0 + 1) / 2), 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(forest_score(forest, other), score_of((2.0 + 1 + c3) / 2), 1e-6);
	forest_destroy(forest);
}

static void test_lone_tree(void)
{
	static const uint32_t root[] = { 0 }, left[] = { 1, 0, 0 }, rows[] = { 2, 1, 1 };
	static const int32_t feature[] = { 0, -1, -1 };
	static const double split[] = { 0.5, NAN, INFINITY }; /* any number for a leaf */
	const struct forest_columns columns = { 1, 1, 3, 2, root, feature, split, left, rows };
	struct forest *forest = create(&columns);
	const double x = 0;

	CU_ASSERT_EQUAL(forest_score(forest, &x), 0); /* 2^(-1/1) - 0.5 */
	forest_destroy(forest);
}

/* All rows were the same: the roots are leaves, and every path has the length c(psi). */
static void test_stumps(void)
{
	static const uint32_t root[] = { 0, 1 }, left[] = { 0, 0 }, rows[] = { 256, 256 };
	static const int32_t feature[] = { -1, -1 };
	static const double split[] = { 0, 0 };
	const struct forest_columns columns = { 3, 2, 2, 256, root, feature, split, left, rows };
	struct forest *forest = create(&columns);
	static const double x[] = { 1, 2, 3 };

	CU_ASSERT_DOUBLE_EQUAL(forest_score(forest, x), 0, 1e-6);
	forest_destroy(forest);
}

static void test_edges(void)
{
	struct sample s;
	make(&s);
	struct forest *forest = create(&s.columns);
	static const double low[] = { -1e300, -1e300 }, high[] = { 1e300, 1e300 };
	const double nan[] = { NAN, NAN }, minus[] = { -INFINITY, -INFINITY },
		     plus[] = { INFINITY, INFINITY }, mixed[] = { NAN, INFINITY },
		     finite[] = { 0, 100 };

	CU_ASSERT_NOT_EQUAL(forest_score(forest, low), forest_score(forest, high));
	CU_ASSERT_EQUAL(forest_score(forest, nan), forest_score(forest, low));
	CU_ASSERT_EQUAL(forest_score(forest, minus), forest_score(forest, low));
	CU_ASSERT_EQUAL(forest_score(forest, plus), forest_score(forest, high));
	CU_ASSERT_EQUAL(forest_score(forest, mixed), forest_score(forest, finite));
	forest_destroy(forest);
}

static void test_copies(void)
{
	struct sample s;
	make(&s);
	struct forest *forest = create(&s.columns);
	static const double x[] = { 11, 8 };
	double before = forest_score(forest, x);

	memset(&s, 0xff, sizeof(s));
	CU_ASSERT_EQUAL(forest_score(forest, x), before);
	make(&s);
	const struct forest_columns *c = forest_columns(forest);
	CU_ASSERT_EQUAL(c->features, 2);
	CU_ASSERT_EQUAL(c->trees, 2);
	CU_ASSERT_EQUAL(c->sample_size, 4);
	CU_ASSERT_EQUAL_FATAL(c->nodes, 8);
	CU_ASSERT_EQUAL(memcmp(c->root, s.root, 2 * sizeof(s.root[0])), 0);
	CU_ASSERT_EQUAL(memcmp(c->feature, s.feature, 8 * sizeof(s.feature[0])), 0);
	CU_ASSERT_EQUAL(memcmp(c->split, s.split, 8 * sizeof(s.split[0])), 0);
	CU_ASSERT_EQUAL(memcmp(c->left, s.left, 8 * sizeof(s.left[0])), 0);
	CU_ASSERT_EQUAL(memcmp(c->rows, s.rows, 8 * sizeof(s.rows[0])), 0);
	forest_destroy(forest);
}

/* The path length of x in one tree, as the paper's algorithm 3 walks it. */
static double walk(const struct forest_columns *c, size_t tree, const double *x)
{
	uint32_t at = c->root[tree];
	double depth = 0;

	for (; c->feature[at] >= 0; depth++)
		at = c->left[at] + (x[c->feature[at]] > c->split[at]);
	return depth + forest_mean_depth(c->rows[at]);
}

/* 1 to 20 stumps of different splits: full lanes, the rest behind them, and both. */
static void test_every_count(void)
{
	for (size_t trees = 1; trees <= 20; trees++) {
		struct sample s;
		memset(&s, 0, sizeof(s));
		s.columns = (struct forest_columns){ 1, trees, 3 * trees, 9, s.root, s.feature,
			s.split, s.left, s.rows };
		for (size_t t = 0; t < trees; t++) {
			s.root[t] = (uint32_t)(3 * t);
			put(&s, 3 * t, 0, (double)t, (unsigned)(3 * t + 1), 9);
			put(&s, 3 * t + 1, -1, 0, 0, 1 + (unsigned)t % 8);
			put(&s, 3 * t + 2, -1, 0, 0, 8 - (unsigned)t % 8);
		}
		struct forest *forest = create(&s.columns);
		for (double x = -0.5; x < (double)trees; x++) {
			double sum = 0;
			for (size_t t = 0; t < trees; t++)
				sum += walk(&s.columns, t, &x);
			double mean = sum / (double)trees;
			CU_ASSERT_DOUBLE_EQUAL(forest_score(forest, &x),
				exp2(-mean / forest_mean_depth(9)) - 0.5, 1e-6);
		}
		forest_destroy(forest);
	}
}

/* A tree that splits one row off at each of `depth` levels. */
static void make_chain(struct sample *s, unsigned depth)
{
	memset(s, 0, sizeof(*s));
	s->columns = (struct forest_columns){ 1, 1, 2 * depth + 1, depth + 1, s->root, s->feature,
		s->split, s->left, s->rows };
	for (unsigned d = 0; d < depth; d++) {
		put(s, 2 * d, 0, d, 2 * d + 1, depth + 1 - d);
		put(s, 2 * d + 1, -1, 0, 0, 1);
	}
	put(s, 2 * depth, -1, 0, 0, 1);
}

static void test_depth(void)
{
	struct sample s;
	struct forest *forest;
	const double top = -1, bottom = 1000;

	make_chain(&s, FOREST_DEPTH_MAX);
	forest = create(&s.columns);
	CU_ASSERT_DOUBLE_EQUAL(forest_score(forest, &bottom),
		exp2(-FOREST_DEPTH_MAX / forest_mean_depth(33)) - 0.5, 1e-6);
	CU_ASSERT_DOUBLE_EQUAL(
		forest_score(forest, &top), exp2(-1 / forest_mean_depth(33)) - 0.5, 1e-6);
	forest_destroy(forest);

	forest = NULL;
	make_chain(&s, FOREST_DEPTH_MAX + 1);
	CU_ASSERT_EQUAL(forest_create(&s.columns, &forest, &why), STATUS_BAD_INPUT);
	CU_ASSERT_PTR_NULL(forest);
	ASSERT_HOLDS(why.text, "tree 0 node 64: deeper than 32");
}

/* ---- what is no forest ---- */

static void no_features(struct sample *s)
{
	s->columns.features = 0;
}
static void no_trees(struct sample *s)
{
	s->columns.trees = 0;
}
static void many_trees(struct sample *s)
{
	s->columns.trees = FOREST_TREES_MAX + 1;
}
static void absurd_trees(struct sample *s)
{
	s->columns.trees = SIZE_MAX;
}
static void fewer_nodes(struct sample *s)
{
	s->columns.nodes = 1;
}
static void many_nodes(struct sample *s)
{
	s->columns.nodes = FOREST_NODES_MAX + 1;
}
static void absurd_nodes(struct sample *s)
{
	s->columns.nodes = SIZE_MAX;
}
static void small_sample(struct sample *s)
{
	s->columns.sample_size = 1;
}
static void large_sample(struct sample *s)
{
	s->columns.sample_size = FOREST_SAMPLE_MAX + 1;
}
static void other_sample(struct sample *s)
{
	s->columns.sample_size = 5;
}
static void late_start(struct sample *s)
{
	s->root[0] = 1;
}
static void root_beyond(struct sample *s)
{
	s->root[1] = 8;
}
static void root_far_beyond(struct sample *s)
{
	s->root[1] = UINT32_MAX;
}
static void same_root(struct sample *s)
{
	s->root[1] = 0;
}
static void root_in_tree(struct sample *s)
{
	s->root[1] = 4;
}
static void cyclic(struct sample *s)
{
	s->left[2] = 0;
}
static void own_child(struct sample *s)
{
	s->left[2] = 2;
}
static void child_before_parent(struct sample *s)
{
	s->left[2] = 1;
}
static void child_in_next_tree(struct sample *s)
{
	s->left[2] = 6;
}
static void child_astride(struct sample *s)
{
	s->left[2] = 4;
}
static void child_beyond(struct sample *s)
{
	s->left[5] = 7;
}
static void child_far_beyond(struct sample *s)
{
	s->left[5] = UINT32_MAX;
}
static void two_parents(struct sample *s)
{
	put(s, 1, 0, 1, 3, 2);
}
/* Inner nodes 1 and 2 with the children 4, 5 and 3, 4: only the second child is shared. */
static void half_shared(struct sample *s)
{
	put(s, 0, 0, 10, 1, 4);
	put(s, 1, 0, 5, 4, 2);
	put(s, 2, 0, 15, 3, 2);
	for (size_t i = 3; i < 6; i++)
		put(s, i, -1, 0, 0, 1);
	s->columns.trees = 1;
	s->columns.nodes = 6;
}
static void orphan(struct sample *s)
{
	put(s, 2, -1, 0, 0, 2);
}
static void leaf_with_child(struct sample *s)
{
	s->left[1] = 3;
}
static void feature_beyond(struct sample *s)
{
	s->feature[2] = 2;
}
static void feature_far_beyond(struct sample *s)
{
	s->feature[2] = INT32_MAX;
}
static void nan_split(struct sample *s)
{
	s->split[2] = NAN;
}
static void infinite_split(struct sample *s)
{
	s->split[5] = -INFINITY;
}
static void rows_lost(struct sample *s)
{
	s->rows[7] = 2;
}
static void rows_won(struct sample *s)
{
	s->rows[1] = 3;
}
static void rows_overflow(struct sample *s)
{
	s->rows[6] = 5; /* 5 + (2^32 - 1) is 4 in 32 bits */
	s->rows[7] = UINT32_MAX;
}
static void no_rows(struct sample *s)
{
	s->rows[6] = 0;
	s->rows[7] = 4;
}

static void test_refusals(void)
{
	static const struct {
		void (*bend)(struct sample *s);
		const char *word;
	} refusals[] = {
		{ no_features, "0 features" },
		{ no_trees, "0 trees" },
		{ many_trees, "1001 trees" },
		{ absurd_trees, "trees" },
		{ fewer_nodes, "1 nodes in 2 trees" },
		{ many_nodes, "4000001 nodes" },
		{ absurd_nodes, "nodes" },
		{ small_sample, "sample size of 1" },
		{ large_sample, "sample size of 65537" },
		{ other_sample, "tree 0: 4 rows at its root, the sample has 5" },
		{ late_start, "tree 0 begins at node 1" },
		{ root_beyond, "tree 0 node 5: it has no parent" },
		{ root_far_beyond, "tree 0" },
		{ same_root, "tree 0" },
		{ root_in_tree, "tree 0 node 2" },
		{ cyclic, "tree 0 node 2" },
		{ own_child, "tree 0 node 2" },
		{ child_before_parent, "tree 0 node 2" },
		{ child_in_next_tree, "tree 0 node 2" },
		{ child_astride, "tree 0 node 2" },
		{ child_beyond, "tree 1 node 5" },
		{ child_far_beyond, "tree 1 node 5" },
		{ two_parents, "tree 0 node 2: child 3 has two parents" },
		{ half_shared, "tree 0 node 2: child 3 has two parents" },
		{ orphan, "tree 0 node 3: it has no parent" },
		{ leaf_with_child, "tree 0 node 1: a leaf with child 3" },
		{ feature_beyond, "tree 0 node 2: feature 2 of 2" },
		{ feature_far_beyond, "tree 0 node 2: feature 2147483647" },
		{ nan_split, "tree 0 node 2: its split" },
		{ infinite_split, "tree 1 node 5: its split" },
		{ rows_lost, "tree 1 node 5: 4 rows split into 1 and 2" },
		{ rows_won, "tree 0 node 0: 4 rows split into 3 and 2" },
		{ rows_overflow, "tree 1 node 5" },
		{ no_rows, "tree 1 node 5" },
	};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct sample s;
		struct forest *forest = NULL;
		make(&s);
		refusals[i].bend(&s);
		enum status st = forest_create(&s.columns, &forest, &why);
		if (st != STATUS_BAD_INPUT)
			fprintf(stderr, "\nnot refused: \"%s\"\n", refusals[i].word);
		CU_ASSERT_EQUAL(st, STATUS_BAD_INPUT);
		CU_ASSERT_PTR_NULL(forest);
		ASSERT_HOLDS(why.text, refusals[i].word);
	}
	forest_destroy(NULL);
}

/* Any bytes in the columns: refused, or a forest that scores within bounds. */
static void test_random_columns(void)
{
	struct rng rng;
	size_t made = 0;

	rng_seed(&rng, 11);
	for (int i = 0; i < 200000; i++) {
		struct sample s;
		struct forest *forest = NULL;
		make(&s);
		for (uint64_t n = 1 + rng_below(&rng, 3); n > 0; n--) {
			size_t at = rng_below(&rng, 8);
			uint32_t to = (uint32_t)rng_below(&rng, 9);
			switch (rng_below(&rng, 5)) {
			case 0:
				s.root[at % 2] = to;
				break;
			case 1:
				s.feature[at] = (int32_t)to % 4 - 1;
				break;
			case 2:
				s.left[at] = to;
				break;
			case 3:
				s.rows[at] = to;
				break;
			default:
				s.columns.nodes = to;
			}
		}
		if (forest_create(&s.columns, &forest, &why) != STATUS_OK)
			continue;
		const double x[] = { 20 * rng_uniform(&rng), 20 * rng_uniform(&rng) };
		double score = forest_score(forest, x);
		CU_ASSERT_TRUE(score > -0.5 && score <= 0.5);
		forest_destroy(forest);
		made++;
	}
	CU_ASSERT_TRUE(made > 1000 && made < 199000);
}

static CU_TestInfo cases[] = {
	{ "the mean depth is that of an unsuccessful search", test_mean_depth },
	{ "a hand-made forest gives the scores of its paths", test_known_scores },
	{ "one tree is a forest", test_lone_tree },
	{ "trees without a split score zero", test_stumps },
	{ "NaN and -inf go left, +inf right", test_edges },
	{ "the columns are copied", test_copies },
	{ "any number of trees is walked", test_every_count },
	{ "32 levels are deep enough", test_depth },
	{ "what is no forest is refused with its place", test_refusals },
	{ "bent columns never make a forest that misleads", test_random_columns },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("forest", cases);
}
