#include "common/smooth.h"
#include "tests/unit/unit.h"
#include <math.h>

static void test_mean(void)
{
	struct smooth s = { .count = 0 };

	CU_ASSERT_EQUAL(smooth_next(&s, 3, 1000, 1000, 3), 3);
	CU_ASSERT_EQUAL(smooth_next(&s, 3, 1000, 2000, 6), 4.5);
	CU_ASSERT_EQUAL(smooth_next(&s, 3, 1000, 3000, 9), 6);
	CU_ASSERT_EQUAL(smooth_next(&s, 3, 1000, 4000, 0), 5);
	CU_ASSERT_EQUAL(smooth_next(&s, 1, 1000, 5000, 7), 7);
}

static void test_gaps(void)
{
	struct smooth s = { .count = 0 };

	(void)smooth_next(&s, 10, 1000, 1000, 1);
	CU_ASSERT_EQUAL(smooth_next(&s, 10, 1000, 11000, 3), 2); /* ten steps are none */
	CU_ASSERT_EQUAL(smooth_next(&s, 10, 1000, 21001, 5), 5);
	CU_ASSERT_EQUAL(smooth_next(&s, 10, 1000, 21001, 7), 7);  /* on the spot */
	CU_ASSERT_EQUAL(smooth_next(&s, 10, 1000, 20000, 8), 8);  /* back */
	CU_ASSERT_EQUAL(smooth_next(&s, 10, 0, 99999999, 10), 9); /* no step is known */
}

static void test_unscored(void)
{
	struct smooth s = { .count = 0 };

	CU_ASSERT(isnan(smooth_next(&s, 2, 1000, 1000, NAN)));
	CU_ASSERT_EQUAL(smooth_next(&s, 2, 1000, 2000, 4), 4);
	CU_ASSERT(isnan(smooth_next(&s, 2, 1000, 3000, NAN)));
	CU_ASSERT_EQUAL(smooth_next(&s, 2, 1000, 4000, 8), 6);
}

static void test_widest(void)
{
	struct smooth s = { .count = 0 };
	double mean = 0;

	for (int i = 0; i < 1000; i++)
		mean = smooth_next(&s, SMOOTH_WINDOW_MAX, 1000, i * 1000, i);
	CU_ASSERT_EQUAL(mean, 999 - (SMOOTH_WINDOW_MAX - 1) / 2.0);
}

static CU_TestInfo cases[] = {
	{ "the mean is of the last ones, fewer at the start", test_mean },
	{ "it begins anew at a gap and where time does not go on", test_gaps },
	{ "what was not scored is not counted", test_unscored },
	{ "the widest window", test_widest },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("smooth", cases);
}
