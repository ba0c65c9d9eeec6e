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
	linger_begin(&l, 3000 * ms, 0);
	CU_ASSERT_EQUAL(linger_ms(&l, 3000 * ms, 2 * LINGER_FEW), 0); /* more than the first time */
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

/* Sensors that send every millisecond: how many messages of theirs share the last of `batches`
 * commits, if no more than `most` come until the commit is acknowledged; those behind come
 * `later_ms` after that. */
static size_t share(struct linger *l, int64_t *now, size_t most, int later_ms, int batches)
{
	int64_t acknowledged = 0;

	for (int i = 0; i < batches; i++) {
		acknowledged = batch(l, *now, acknowledged, most, 1) + 3 * ms;
		*now = acknowledged + later_ms * ms;
	}
	return l->n;
}

static void test_many_share(void)
{
	struct linger l = { 0 };
	int64_t now = 5000 * ms;

	CU_ASSERT_EQUAL(share(&l, &now, 1000, 0, 1), LINGER_FEW);
	CU_ASSERT_EQUAL(share(&l, &now, 1000, 0, 1), 2 * (size_t)LINGER_FEW);
	CU_ASSERT_EQUAL(share(&l, &now, 1000, 0, 10), LINGER_MANY);
	CU_ASSERT_EQUAL(batch(&l, now, 0, 1000, 100), now + 400 * ms); /* slow ones as ever */
}

/* 20 messages: one silence, then half as many are enough for a while. */
static void test_a_window_of_twenty(void)
{
	struct linger l = { 0 };
	int64_t now = 5000 * ms;

	CU_ASSERT_EQUAL(share(&l, &now, 20, 0, 2), 16);
	int64_t began = now;
	CU_ASSERT_EQUAL(share(&l, &now, 20, 0, 1), 20);
	CU_ASSERT_EQUAL(now - began, (19 + LINGER_SILENCE_MS + 3) * ms);
	linger_begin(&l, now, now - ms); /* what the broker held back */
	CU_ASSERT_EQUAL(linger_ms(&l, now, 10), 0);
	CU_ASSERT_EQUAL(share(&l, &now, 20, 0, 100), 10);
	CU_ASSERT_EQUAL(l.hurry_ns, 0);
	now = l.grow_ns;
	CU_ASSERT_EQUAL(share(&l, &now, 20, 0, 1), 20); /* just not too many */
	CU_ASSERT_EQUAL(share(&l, &now, 20, 0, 1), 20); /* another silence */
	linger_begin(&l, now, now - ms);
	CU_ASSERT_EQUAL(linger_ms(&l, now, 10), 0);
}

/* As far away as radio is: what it holds back comes late, but never before. */
static void test_a_window_far_away(void)
{
	struct linger l = { 0 };
	int64_t now = 5000 * ms;

	CU_ASSERT_EQUAL(share(&l, &now, 20, 100, 2), 16);
	CU_ASSERT_EQUAL(share(&l, &now, 20, 100, LINGER_IN_A_ROW), 20); /* in silence */
	linger_begin(&l, now, now - 100 * ms);
	CU_ASSERT_EQUAL(linger_ms(&l, now, 10), 0);
}

/* A broker that stops now and then, and goes on by itself, is not taken for one. */
static void test_a_stall(void)
{
	struct linger l = { 0 };
	int64_t now = 5000 * ms;

	for (int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(share(&l, &now, 1000, 0, 10), LINGER_MANY);
		CU_ASSERT_EQUAL(share(&l, &now, 50, LINGER_AT_ONCE_MS, 1), 50);
		linger_begin(&l, now, now - 30 * ms); /* what came before we acknowledged */
	}
}

static CU_TestInfo tests[] = {
	{ "many messages share a commit", test_many_share },
	{ "as far as the broker's window lets them", test_a_window_of_twenty },
	{ "and a far one's", test_a_window_far_away },
	{ "a stall is not taken for a small window", test_a_stall },
	{ "few messages wait for more", test_few_wait },
	{ "unless the broker's window is too small for that", test_a_window_of_one },
	{ "steady sensors are not taken for a small window", test_steady },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("linger", tests);
}
