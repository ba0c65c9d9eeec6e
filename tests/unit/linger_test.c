#include "agent/linger.h"
#include "tests/unit/unit.h"

static const int64_t ms = 1000000;

/* A batch whose messages come `gap_ms` apart, all that the window lets through; when it ended. */
static int64_t batch(struct linger *l, int64_t now, int64_t acknowledged, size_t window, int gap_ms)
{
	size_t n = 1;

	linger_begin(l, now, acknowledged);
	for (int wait; (wait = linger_ms(l, now, n)) > 0;) {
		bool grew = n < window && gap_ms <= wait;
		now += (grew ? gap_ms : wait) * ms;
		n += grew;
		linger_waited(l, now, grew);
		if (!grew)
			break;
	}
	return now;
}

static void test_few_wait(void)
{
	struct linger l = { 0 };

	CU_ASSERT_EQUAL(batch(&l, 1000 * ms, 0, 20, 10), 1070 * ms); /* the eighth ends it */
	CU_ASSERT_EQUAL(batch(&l, 2000 * ms, 0, 20, 100), 2400 * ms);
	CU_ASSERT_EQUAL(batch(&l, 3000 * ms, 0, 20, 5000), 3400 * ms);
	CU_ASSERT_EQUAL(linger_ms(&l, 3000 * ms, LINGER_FEW), 0);
	CU_ASSERT_EQUAL(linger_ms(&l, 3000 * ms + 1, 1), 400);
	CU_ASSERT_EQUAL(linger_ms(&l, 3400 * ms, 1), 0);
}

/* The next comes when this one is acknowledged: four times, and nobody waits for a minute. */
static void test_a_window_of_one(void)
{
	struct linger l = { 0 };
	int64_t now = 5000 * ms, acknowledged = 0;

	for (int i = 0; i < 5; i++) {
		int64_t began = now;
		acknowledged = batch(&l, now, acknowledged, 1, 0) + 3 * ms;
		CU_ASSERT_EQUAL(acknowledged - began, i < 4 ? 403 * ms : 3 * ms);
		now = acknowledged + ms;
	}
	CU_ASSERT_EQUAL(linger_ms(&l, now, 1), 0);
	CU_ASSERT_EQUAL(linger_ms(&l, l.hurry_ns - 1, 1), 0);
	CU_ASSERT_EQUAL(batch(&l, l.hurry_ns, 0, 1, 0) - l.hurry_ns, 400 * ms);
}

/* Steady sensors are not taken for one: what comes next would have come all the same. */
static void test_steady(void)
{
	static const int gaps[] = { 1, 5, 49, 50, 60, 100, 190, 250, 1000 };

	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		struct linger l = { 0 };
		int64_t now = 5000 * ms, acknowledged = 0;
		for (int i = 0; i < 100; i++) {
			int64_t ended = batch(&l, now, acknowledged, 20, gaps[g]);
			acknowledged = ended + 3 * ms;
			while (now <= acknowledged)
				now += gaps[g] * ms;
		}
		CU_ASSERT_EQUAL(l.hurry_ns, 0);
	}
}

/* Fast ones share a nap after the eighth, and a commit after 12 ms; slow ones don't nap. */
static void test_naps(void)
{
	struct linger l = { 0 };
	int64_t now = 5000 * ms;
	size_t n = LINGER_FEW;
	int naps = 0;

	linger_begin(&l, now, 0);
	CU_ASSERT_EQUAL(linger_nap_us(&l, now + ms / 2, LINGER_FEW - 1), 0);
	for (now += ms / 2; linger_nap_us(&l, now, n) > 0; naps++) { /* ten a millisecond */
		now += ms;
		n += 10;
	}
	CU_ASSERT_EQUAL(naps, 12);
	linger_begin(&l, now, 0);
	CU_ASSERT_EQUAL(linger_nap_us(&l, now + ms, LINGER_FEW), 0); /* a thousand a second */
	CU_ASSERT_EQUAL(linger_nap_us(&l, now + ms, LINGER_MANY), 0);
	CU_ASSERT_EQUAL(linger_nap_us(&l, now + ms, 20), LINGER_NAP_US);
	CU_ASSERT_EQUAL(linger_nap_us(&l, now + 2 * ms, 20), 0); /* a window of 20: in vain */
	l.hurry_ns = now + 1000 * ms;
	linger_begin(&l, now, 0);
	CU_ASSERT_EQUAL(linger_nap_us(&l, now + ms, 20), 0);
}

static CU_TestInfo tests[] = {
	{ "many share naps", test_naps },
	{ "few messages wait for more", test_few_wait },
	{ "unless the broker's window is too small for that", test_a_window_of_one },
	{ "steady sensors are not taken for a small window", test_steady },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("linger", tests);
}
