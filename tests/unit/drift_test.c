#include "common/drift.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <string.h>

/* Two sensors: means of sd 1 and 2 about 10 and 20; readings count up to 8 and 16 off. */
static const struct drift_rule level = { .window = 3,
	.scale = 2,
	.offset = -1,
	.centre = { 10, 20 },
	.reach = { 8, 16 },
	.whitening = { 1, 0, 0.5 } };

static double next(
	struct drift *drift, const struct drift_rule *rule, int second, double a, double b)
{
	return drift_next(drift, rule, 2, 1000, second * 1000, (double[]){ a, b });
}

/* Against the laws' closed forms and a table of the chi-square law. */
static void test_nats(void)
{
	CU_ASSERT_DOUBLE_EQUAL(drift_nats(2, 9), 4.5, 1e-12); /* exp(-y) */
	CU_ASSERT_DOUBLE_EQUAL(drift_nats(4, 9), 4.5 - log(5.5), 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(exp(-drift_nats(1, 3.841458821)), 0.05, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(exp(-drift_nats(3, 16.26623620)), 0.001, 1e-10);
	CU_ASSERT_DOUBLE_EQUAL(exp(-drift_nats(5, 11.07049769)), 0.05, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(exp(-drift_nats(65, 104.9769)), 0.00125, 2e-4);
	for (size_t degrees = 1; degrees <= FEATURES_MAX + 1; degrees++)
		CU_ASSERT_DOUBLE_EQUAL(drift_nats(degrees, 0), 0, 1e-12);
}

/* Where the share itself would be 0, and where the formula changes at sqrt(y) = 5. */
static void test_far(void)
{
	for (size_t degrees = 1; degrees <= FEATURES_MAX + 1; degrees++) {
		double last = -1;
		for (double square = 1; square < 1e30; square *= 1.1) {
			double nats = drift_nats(degrees, square);
			CU_ASSERT(isfinite(nats));
			CU_ASSERT(nats >= last - 1e-6); /* rounding, and where the series begins */
			last = nats;
		}
	}
	CU_ASSERT_DOUBLE_EQUAL(drift_nats(3, 50 - 1e-9), drift_nats(3, 50 + 1e-9), 1e-5);
}

static void test_level(void)
{
	struct drift drift = { .count = 0 };

	CU_ASSERT(isnan(next(&drift, &level, 1, 12, 20))); /* too young */
	CU_ASSERT(isnan(next(&drift, &level, 2, 12, 20)));
	double nats = next(&drift, &level, 3, 12, 24); /* means: 1.75 and 2 off */
	CU_ASSERT_DOUBLE_EQUAL(nats, drift_nats(3, 1.75 * 1.75 + 1), 1e-6); /* floats */
	CU_ASSERT_DOUBLE_EQUAL(drift_score(&level, nats), 2 * nats - 1, 1e-12);
}

static void test_reach(void)
{
	struct drift near = { .count = 0 }, far = { .count = 0 };

	for (int i = 1; i < 3; i++) {
		(void)next(&near, &level, i, 10, 20);
		(void)next(&far, &level, i, 10, 20);
	}
	CU_ASSERT_EQUAL(next(&far, &level, 3, 1e308, -1e308), next(&near, &level, 3, 18, 4));
	CU_ASSERT_EQUAL(far.mean[0], 0.5);
}

static void test_gap(void)
{
	struct drift drift = { .count = 0 };

	for (int i = 1; i <= 3; i++)
		(void)next(&drift, &level, i, 14, 20);
	CU_ASSERT_EQUAL(drift.count, 3);
	CU_ASSERT(isnan(next(&drift, &level, 14, 10, 20))); /* eleven steps on */
	CU_ASSERT_EQUAL(drift.count, 1);
	CU_ASSERT_EQUAL(drift.mean[0], 0);
}

/* A step is seen while it is new; a place far off that was always there is none. */
static void test_step(void)
{
	struct drift_rule step = level;
	struct drift drift = { .count = 0 };
	double nats = 0;

	step.window = 15;
	step.brief = 3;
	for (int i = 0; i < 200; i++)
		nats = next(&drift, &step, i, 15, 20);
	CU_ASSERT_DOUBLE_EQUAL(nats, 0, 1e-9);
	for (int i = 200; i < 203; i++)
		nats = next(&drift, &step, i, 15, 34);
	CU_ASSERT(nats > 5);
	CU_ASSERT_EQUAL(drift_sensor(&drift, &step, 2), 1);
	for (int i = 203; i < 400; i++)
		nats = next(&drift, &step, i, 15, 34);
	CU_ASSERT_DOUBLE_EQUAL(nats, 0, 1e-9);
}

static void test_sensor(void)
{
	struct drift drift = { .count = 0 };

	for (int i = 1; i <= 3; i++)
		(void)next(&drift, &level, i, 13, 24); /* 3 sd and 2 sd */
	CU_ASSERT_EQUAL(drift_sensor(&drift, &level, 2), 0);
	for (int i = 4; i <= 9; i++)
		(void)next(&drift, &level, i, 10, 28);
	CU_ASSERT_EQUAL(drift_sensor(&drift, &level, 2), 1);
}

static CU_TestInfo cases[] = {
	{ "nats are the chi-square law's tail", test_nats },
	{ "far out they grow on, and stay finite", test_far },
	{ "a mean counts when it is old enough, by its distance", test_level },
	{ "a reading farther off than the reach counts as one there", test_reach },
	{ "behind a gap it begins anew", test_gap },
	{ "a step is seen while it is new", test_step },
	{ "the sensor that has moved most is named", test_sensor },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("drift", cases);
}
