#include "common/rng.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The values below come from a separate implementation (Python integers) of the published
 * algorithms; those of splitmix64 and of state 1, 2, 3, 4 stand on the net as well. */

static void test_splitmix(void)
{
	static const uint64_t expected[] = { UINT64_C(6457827717110365317),
		UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
		UINT64_C(4593380528125082431) };
	struct rng rng;

	rng_seed(&rng, 1234567);

	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(rng.s[i], expected[i]);
}

static void test_xoshiro(void)
{
	static const uint64_t expected[] = { UINT64_C(41943041), UINT64_C(58720359),
		UINT64_C(3588806011781223), UINT64_C(3591011842654386),
		UINT64_C(9228616714210784205), UINT64_C(9973669472204895162),
		UINT64_C(14011001112246962877), UINT64_C(12406186145184390807),
		UINT64_C(15849039046786891736), UINT64_C(10450023813501588000) };
	struct rng rng = { { 1, 2, 3, 4 } };

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		CU_ASSERT_EQUAL(rng_next(&rng), expected[i]);
}

static void test_seeds(void)
{
	static const struct {
		uint64_t seed, first[4];
	} rows[] = {
		{ 0,
			{ UINT64_C(0x53175d61490b23df), UINT64_C(0x61da6f3dc380d507),
				UINT64_C(0x5c0fdf91ec9a7bfc), UINT64_C(0x02eebf8c3bbe5e1a) } },
		{ 1,
			{ UINT64_C(0xcfc5d07f6f03c29b), UINT64_C(0xbf424132963fe08d),
				UINT64_C(0x19a37d5757aaf520), UINT64_C(0xbf08119f05cd56d6) } },
		{ 42,
			{ UINT64_C(0xd0764d4f4476689f), UINT64_C(0x519e4174576f3791),
				UINT64_C(0xfbe07cfb0c24ed8c), UINT64_C(0xb37d9f600cd835b8) } },
		{ UINT64_MAX,
			{ UINT64_C(0x56ccf8ce948e27b2), UINT64_C(0xe68588432e5a5b90),
				UINT64_C(0xe3e9b5a48119ca8b), UINT64_C(0x460f19495532ae73) } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rng rng;
		rng_seed(&rng, rows[i].seed);
		for (int k = 0; k < 4; k++)
			CU_ASSERT_EQUAL(rng_next(&rng), rows[i].first[k]);
	}
}

static void test_millionth(void)
{
	struct rng rng;
	uint64_t x = 0;

	rng_seed(&rng, 7);
	for (int i = 0; i < 1000000; i++)
		x = rng_next(&rng);

	CU_ASSERT_EQUAL(x, UINT64_C(0x0699fc348ddd7152));
}

static void test_uniform(void)
{
	static const double expected[] = { 0x1.a0ec9a9e88ecdp-1, 0x1.467905d15dbccp-2,
		0x1.f7c0f9f61849dp-1 };
	struct rng rng;
	double sum = 0;

	rng_seed(&rng, 42);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(rng_uniform(&rng), expected[i]);

	for (int i = 0; i < 1000000; i++) {
		double x = rng_uniform(&rng);
		if (!(x >= 0 && x < 1) || x != floor(x * 0x1p53) * 0x1p-53) {
			CU_FAIL("out of [0, 1) or finer than 2^-53");
			return;
		}
		sum += x;
	}
	CU_ASSERT_DOUBLE_EQUAL(sum / 1e6, 0.5, 0.0015); /* 5 standard errors */
}

/* The extremes of the 64 bits: neither rounds up to 1. */
static void test_uniform_ends(void)
{
	struct rng none = { { 0, 0, 0, 0 } }; /* xoshiro's fixed point: all zero bits */
	struct rng all = { { 0, 1, 2, UINT64_MAX } };

	CU_ASSERT_EQUAL(rng_uniform(&none), 0.0);
	/* rotl(s0 + s3, 23) + s0 with s0 = 0 and s3 all ones gives all ones. */
	CU_ASSERT_EQUAL(rng_uniform(&all), 1 - 0x1p-53);
}

static void test_below_values(void)
{
	static const struct {
		uint64_t n, value;
	} rows[] = { { 1, 0 }, { 2, 1 }, { 3, 0 }, { 10, 4 }, { 1000, 331 },
		{ UINT64_C(1) << 32, 1313922685 },
		{ (UINT64_C(1) << 63) + 1, UINT64_C(1939166906780535621) },
		{ UINT64_MAX, UINT64_C(3831705504650218695) } };
	struct rng rng;

	rng_seed(&rng, 42);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(rng_below(&rng, rows[i].n), rows[i].value);
}

/* Chi-square over the residues; 1e-5 quantiles, the seed is fixed. */
static void test_below_even(void)
{
	static const struct {
		unsigned n;
		double limit;
	} rows[] = { { 2, 19.6 }, { 3, 23.1 }, { 7, 33.2 }, { 10, 39.4 }, { 64, 119.0 } };
	struct rng rng;

	rng_seed(&rng, 3);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned count[64] = { 0 };
		double expected = 700000.0 / rows[i].n, chi2 = 0;
		for (int k = 0; k < 700000; k++) {
			uint64_t x = rng_below(&rng, rows[i].n);
			CU_ASSERT_FATAL(x < rows[i].n);
			count[x]++;
		}
		for (unsigned k = 0; k < rows[i].n; k++)
			chi2 += (count[k] - expected) * (count[k] - expected) / expected;
		CU_ASSERT_TRUE(chi2 < rows[i].limit);
	}
}

/* For n = 3 * 2^62 a plain modulo would give the lower third twice as often as the others. */
static void test_below_unbiased(void)
{
	uint64_t third = UINT64_C(1) << 62;
	unsigned count[3] = { 0 };
	struct rng rng;

	rng_seed(&rng, 5);
	for (int i = 0; i < 300000; i++) {
		uint64_t x = rng_below(&rng, 3 * third);
		CU_ASSERT_FATAL(x < 3 * third);
		count[x / third]++;
	}

	for (int i = 0; i < 3; i++)
		CU_ASSERT_DOUBLE_EQUAL(count[i], 100000, 1300); /* 5 sd of a binomial */
}

static void test_normal_bits(void)
{
	static const struct {
		uint64_t seed;
		double first[6];
	} rows[] = {
		{ 0,
			{ -0x1.b0e687cc8c979p-1, -0x1.30125d31b06d0p-2, -0x1.b6d0006b4b74cp-3,
				-0x1.0adb981119d9cp-1, -0x1.7598413bae72ep-1,
				0x1.e768af7cd0854p-1 } },
		{ 1,
			{ 0x1.0b74a29f6aa54p+1, 0x1.28a2232958e06p+0, 0x1.38eee52309541p-1,
				0x1.bd9d5ef5ba81cp-1, 0x1.d00869972b670p-3,
				-0x1.24871bcb4e182p-1 } },
		{ 42,
			{ -0x1.b37d9f600cd83p+0, -0x1.8f3dfa98020e8p+0, 0x1.b3d5db2bfa344p-3,
				0x1.eefa36bd30610p-5, 0x1.4aa53d77d38aap+0,
				-0x1.99e2f3688ae74p+0 } },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rng rng;
		rng_seed(&rng, rows[i].seed);
		for (int k = 0; k < 6; k++)
			CU_ASSERT_EQUAL(rng_normal(&rng), rows[i].first[k]);
	}
}

enum { NORMALS = 1000000 };

static double *normals(void)
{
	static double x[NORMALS];
	struct rng rng;

	if (x[0] == 0) {
		rng_seed(&rng, 11);
		for (int i = 0; i < NORMALS; i++)
			x[i] = rng_normal(&rng);
	}
	return x;
}

/* Tolerances are 5 standard errors of a million deviates. */
static void test_normal_moments(void)
{
	const double *x = normals();
	double m1 = 0, m2 = 0, m3 = 0, m4 = 0;

	for (int i = 0; i < NORMALS; i++) {
		double square = x[i] * x[i];
		m1 += x[i] / NORMALS;
		m2 += square / NORMALS;
		m3 += square * x[i] / NORMALS;
		m4 += square * square / NORMALS;
	}

	CU_ASSERT_DOUBLE_EQUAL(m1, 0, 5 / 1000.0);
	CU_ASSERT_DOUBLE_EQUAL(m2, 1, 5 * sqrt(2) / 1000);
	CU_ASSERT_DOUBLE_EQUAL(m3, 0, 5 * sqrt(15) / 1000);
	CU_ASSERT_DOUBLE_EQUAL(m4, 3, 5 * sqrt(96) / 1000);
}

static void test_normal_tails(void)
{
	static const double at[] = { 0.5, 1, 1.5, 2, 2.5, 3, 4 };
	const double *x = normals();

	for (size_t k = 0; k < sizeof(at) / sizeof(at[0]); k++) {
		unsigned above = 0, below = 0;
		for (int i = 0; i < NORMALS; i++) {
			above += x[i] > at[k];
			below += x[i] < -at[k];
		}
		double p = 0.5 * erfc(at[k] / sqrt(2));
		double tolerance = 5 * sqrt(NORMALS * p * (1 - p));
		CU_ASSERT_DOUBLE_EQUAL(above, NORMALS * p, tolerance);
		CU_ASSERT_DOUBLE_EQUAL(below, NORMALS * p, tolerance);
	}
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Kolmogorov-Smirnov: no step at the whole numbers, where the algorithm's parts meet. */
static void test_normal_shape(void)
{
	double *x = normals(), largest = 0;

	qsort(x, NORMALS, sizeof(double), ascending);
	for (int i = 0; i < NORMALS; i++) {
		double cdf = 0.5 * erfc(-x[i] / sqrt(2));
		largest = fmax(largest, fabs(cdf - (i + 0.5) / NORMALS));
	}

	CU_ASSERT_TRUE(largest * sqrt(NORMALS) < 2.23); /* probability 1e-4 */
}

static CU_TestInfo cases[] = {
	{ "a seed becomes a state by splitmix64", test_splitmix },
	{ "state 1, 2, 3, 4 gives the published numbers of xoshiro256++", test_xoshiro },
	{ "every seed gives its numbers, bit for bit", test_seeds },
	{ "the millionth number of seed 7 is known", test_millionth },
	{ "uniforms lie in [0, 1) on a grid of 2^-53", test_uniform },
	{ "no bits and all bits stay inside [0, 1)", test_uniform_ends },
	{ "numbers below n are known for a seed", test_below_values },
	{ "numbers below a small n are evenly spread", test_below_even },
	{ "numbers below 3/4 of 2^64 are not biased", test_below_unbiased },
	{ "normals are known bit for bit", test_normal_bits },
	{ "normals have the right first four moments", test_normal_moments },
	{ "normals have the right tails on both sides", test_normal_tails },
	{ "normals follow the normal distribution everywhere", test_normal_shape },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("rng", cases);
}
