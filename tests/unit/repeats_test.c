#include "common/rng.h"
#include "tests/unit/unit.h"
#include "trainer/repeats.h"
#include <math.h>

static struct why why;

/* `keys` different ones, each of the first `twice` of them twice; how many repeats are counted. */
static size_t count(size_t keys, size_t twice, uint64_t seed)
{
	struct repeats *repeats = NULL;
	struct rng rng;

	CU_ASSERT_EQUAL_FATAL(repeats_create(&repeats, &why), STATUS_OK);
	for (int pass = 0; pass < 2; pass++) {
		rng_seed(&rng, seed);
		for (size_t i = 0; i < (pass ? twice : keys); i++)
			repeats_add(repeats, rng_next(&rng));
	}
	size_t n = repeats_count(repeats);
	repeats_destroy(repeats);
	return n;
}

static void test_exact(void)
{
	CU_ASSERT_EQUAL(count(0, 0, 1), 0);
	CU_ASSERT_EQUAL(count(REPEATS_KEYS_MAX, 0, 1), 0);
	CU_ASSERT_EQUAL(count(REPEATS_KEYS_MAX, 17, 1), 17);
	CU_ASSERT_EQUAL(count(REPEATS_KEYS_MAX, REPEATS_KEYS_MAX, 1), REPEATS_KEYS_MAX);
}

/* 16,384 keys at least stand for the rest: a share p of them is off by sqrt(p / 16,384); 5 of
 * these. */
static void test_estimate(void)
{
	enum { KEYS = 1000000 };
	static const double shares[] = { 0.001, 0.01, 0.1, 1 };

	for (uint64_t seed = 1; seed <= 3; seed++) {
		for (size_t i = 0; i < 4; i++) {
			double p = shares[i];
			double share = (double)count(KEYS, (size_t)(p * KEYS), seed) / KEYS;
			CU_ASSERT_DOUBLE_EQUAL(share, p, 5 * sqrt(p / 16384));
		}
		CU_ASSERT_EQUAL(count(KEYS, 0, seed), 0);
	}
}

/* One key over and over needs no room. */
static void test_one_key(void)
{
	struct repeats *repeats = NULL;

	CU_ASSERT_EQUAL_FATAL(repeats_create(&repeats, &why), STATUS_OK);
	for (size_t i = 0; i < 200000; i++)
		repeats_add(repeats, 0);
	CU_ASSERT_EQUAL(repeats_count(repeats), 199999);
	repeats_destroy(repeats);
	repeats_destroy(NULL);
}

static CU_TestInfo cases[] = {
	{ "few keys are counted exactly", test_exact },
	{ "of a million the share that repeats is near", test_estimate },
	{ "one key may come as often as it likes", test_one_key },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("repeats", cases);
}
