/* Every layout against a plain traversal: the sums are integers, so equal means equal. */
#include "common/forest_bits.h"
#include "common/rng.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEATURES = 64, NODES = 60000, PROBES = 400 };

static struct rng rng;
static uint32_t root[FOREST_TREES_MAX], left[NODES], rows[NODES], leaf[NODES];
static int32_t feature[NODES];
static double split[NODES];
static struct forest_columns columns = {
	.root = root, .feature = feature, .split = split, .left = left, .rows = rows
};

/* Splits at one of `grid` places a feature, or anywhere when it is 0; some contradict those
 * above them, as a file from elsewhere may have it. */
static double some_split(unsigned grid)
{
	return grid ? (double)rng_below(&rng, grid) - 3 : 20 * rng_uniform(&rng) - 10;
}

/* Below node `at`, which stands for `rows[at]` training rows; nodes are taken from the end. */
static void grow(uint32_t at, unsigned depth, unsigned grid)
{
	feature[at] = -1;
	split[at] = 0;
	left[at] = 0;
	leaf[at] = (uint32_t)((depth + forest_mean_depth(rows[at])) * (1 << 20));
	if (rows[at] < 2 || depth == 8)
		return;
	uint32_t child = (uint32_t)columns.nodes;
	columns.nodes += 2;
	feature[at] = (int32_t)rng_below(&rng, (uint32_t)columns.features);
	split[at] = some_split(grid);
	left[at] = child;
	leaf[at] = 0;
	rows[child] = 1 + (uint32_t)rng_below(&rng, rows[at] - 1);
	rows[child + 1] = rows[at] - rows[child];
	grow(child, depth + 1, grid);
	grow(child + 1, depth + 1, grid);
}

static void plant(size_t features, size_t trees, unsigned sample, unsigned grid)
{
	columns.features = features;
	columns.trees = trees;
	columns.sample_size = sample;
	columns.nodes = 0;
	for (size_t t = 0; t < trees; t++) {
		root[t] = (uint32_t)columns.nodes++;
		rows[root[t]] = sample;
		grow(root[t], 0, grid);
	}
	CU_ASSERT_TRUE_FATAL(columns.nodes <= NODES);
}

static uint64_t traverse(const double *x)
{
	uint64_t sum = 0;

	for (size_t t = 0; t < columns.trees; t++) {
		uint32_t at = root[t];
		while (feature[at] >= 0)
			at = left[at] + (x[feature[at]] > split[at]);
		sum += leaf[at];
	}
	return sum;
}

/* Values between, on, and far beyond the splits, and what is no number. */
static double some_value(void)
{
	static const double odd[] = { NAN, INFINITY, -INFINITY, 0.0, -0.0, 1e300, -1e300, 5e-324 };

	switch (rng_below(&rng, 8)) {
	case 0:
		return odd[rng_below(&rng, sizeof(odd) / sizeof(odd[0]))];
	case 1:
		return split[rng_below(&rng, (uint32_t)columns.nodes)];
	case 2:
		return nextafter(split[rng_below(&rng, (uint32_t)columns.nodes)], INFINITY);
	default:
		return 24 * rng_uniform(&rng) - 12;
	}
}

static void compare(const struct forest_bits *bits)
{
	double x[FEATURES];
	unsigned wrong = 0;

	for (int probe = 0; probe < PROBES; probe++) {
		for (size_t f = 0; f < columns.features; f++)
			x[f] = some_value();
		wrong += forest_bits_sum(bits, x) != traverse(x);
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* Whatever room there is, at every level of this processor. */
static void compare_all(void)
{
	size_t before = SIZE_MAX, strides = 0;

	for (size_t room = FOREST_TABLE_BYTES; room > 1000; room /= 2) {
		struct forest_bits *bits = forest_bits_create(&columns, leaf, room);
		if (!bits)
			continue;
		CU_ASSERT_TRUE(forest_bits_bytes(bits) <= room);
		if (forest_bits_bytes(bits) != before) {
			for (int level = 0; level < CPU_LEVELS; level++)
				if (forest_bits_use(bits, (enum cpu_level)level))
					compare(bits);
			strides++;
		}
		before = forest_bits_bytes(bits);
		forest_bits_destroy(bits);
	}
	CU_ASSERT_TRUE(strides > 0);
}

static void test_exact(void)
{
	static const size_t features[] = { 1, 2, 3, 4, 5, 8, 9, 16, 64 };

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		plant(features[i], 100, 256, 0);
		compare_all();
	}
}

static void test_grid(void)
{
	static const unsigned grid[] = { 1, 2, 7, 15, 16, 17, 255, 256 };

	for (size_t i = 0; i < sizeof(grid) / sizeof(grid[0]); i++) {
		plant(3, 100, 256, grid[i]);
		compare_all();
	}
}

static void test_counts(void)
{
	for (size_t trees = 1; trees <= 300; trees += trees < 20 ? 1 : 70) {
		plant(3, trees, trees < 20 ? 2 + (unsigned)trees * 7 : 128, 0);
		compare_all();
	}
	plant(3, 9, 2, 5);
	compare_all();
}

static void test_no_room(void)
{
	plant(3, 100, 256, 0);
	CU_ASSERT_PTR_NULL(forest_bits_create(&columns, leaf, 0));
	CU_ASSERT_PTR_NULL(forest_bits_create(&columns, leaf, 100000));
	forest_bits_destroy(NULL);
}

static void test_too_many_leaves(void)
{
	plant(2, 1000, 28, 0);
	struct forest_bits *bits = forest_bits_create(&columns, leaf, 64 * FOREST_TABLE_BYTES);
	if (bits)
		compare(bits);
	forest_bits_destroy(bits);
	plant(FEATURES, 1, 256, 0);
	columns.features = FEATURES + 1;
	CU_ASSERT_PTR_NULL(forest_bits_create(&columns, leaf, FOREST_TABLE_BYTES));
}

/* Through the forest's own door: the score is the same double with tables and without. */
static void test_forest(void)
{
	struct forest *forest = NULL;
	struct why why;
	double x[5], walked[PROBES];

	plant(5, 100, 256, 0);
	CU_ASSERT_EQUAL_FATAL(forest_create(&columns, &forest, &why), STATUS_OK);
	for (int turn = 0; turn < 4; turn++) {
		if (turn == 2) { /* and slim, walked and by tables that are made afterwards */
			forest_slim(forest);
			CU_ASSERT_EQUAL(forest_tabulate(forest, 0), 0);
		}
		rng_seed(&rng, 11);
		for (int probe = 0; probe < PROBES; probe++) {
			for (int f = 0; f < 5; f++)
				x[f] = some_value();
			double score = forest_score(forest, x);
			if (turn == 0)
				walked[probe] = score;
			else
				CU_ASSERT_EQUAL(score, walked[probe]);
		}
		CU_ASSERT_TRUE(forest_tabulate(forest, FOREST_TABLE_BYTES) > 0);
	}
	CU_ASSERT_EQUAL(forest_tabulate(forest, 1000), 0);
	CU_ASSERT_EQUAL(forest_score(forest, x), walked[PROBES - 1]);
	forest_destroy(forest);
}

static CU_TestInfo cases[] = {
	{ "splits anywhere, 1 to 64 features", test_exact },
	{ "splits on a grid", test_grid },
	{ "any number of trees", test_counts },
	{ "what does not fit is not built", test_no_room },
	{ "a forest too large for a row, or with too many features", test_too_many_leaves },
	{ "a forest scores the same doubles with tables and without, slim or not", test_forest },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	rng_seed(&rng, 7);
	return unit_run("forest_bits", cases);
}
