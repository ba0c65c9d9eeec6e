#include "common/rng.h"
#include "common/sort.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_double(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

static int by_integer(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return (left > right) - (left < right);
}

enum { MOST = 20000 };
static double x[MOST], expected[MOST];

static void expect_sorted(size_t n)
{
	memcpy(expected, x, n * sizeof(*x));
	qsort(expected, n, sizeof(*expected), by_double);

	sort_doubles(x, n);

	CU_ASSERT_EQUAL(memcmp(x, expected, n * sizeof(*x)), 0);
}

static void test_doubles(void)
{
	static const size_t counts[] = { 0, 1, 2, 100, 2047, 2048, 2049, MOST };
	static const double extremes[] = { INFINITY, -INFINITY, 5e-324, -5e-324, 1.7e308, -1.7e308,
		0 };
	struct rng rng;

	rng_seed(&rng, 7);
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		for (size_t i = 0; i < counts[c]; i++)
			x[i] = (rng_uniform(&rng) - 0.5) * pow(10, (double)(i % 600) - 300);
		for (size_t i = 0; i < 7 && i < counts[c]; i++)
			x[(size_t)rng_below(&rng, counts[c])] = extremes[i];
		expect_sorted(counts[c]);
	}
}

static void test_ties(void)
{
	struct rng rng;

	rng_seed(&rng, 8);
	for (size_t i = 0; i < MOST; i++)
		x[i] = (double)rng_below(&rng, 5) - 2;
	expect_sorted(MOST);
	for (size_t i = 0; i < MOST; i++)
		x[i] = 3.25;
	expect_sorted(MOST);
}

/* Bit for bit, as the order of equal numbers can be seen in a quantile's sign. */
static void test_negative_zero(void)
{
	for (size_t i = 0; i < MOST; i++)
		x[i] = i % 3 == 0 ? -0.0 : i % 3 == 1 ? 0.0 : (double)i - 10000;
	expect_sorted(MOST);
}

static void test_integers(void)
{
	static uint64_t key[MOST], sorted[MOST];
	struct rng rng;

	rng_seed(&rng, 9);
	for (size_t i = 0; i < MOST; i++)
		key[i] = rng_next(&rng) >> (i % 64);
	memcpy(sorted, key, sizeof(key));
	qsort(sorted, MOST, sizeof(*sorted), by_integer);

	sort_integers(key, MOST);

	CU_ASSERT_EQUAL(memcmp(key, sorted, sizeof(key)), 0);
}

static CU_TestInfo cases[] = {
	{ "doubles of any size and sign come in order", test_doubles },
	{ "equal numbers stay", test_ties },
	{ "-0 and 0 stay as they came", test_negative_zero },
	{ "integers come in order", test_integers },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("sort", cases);
}
