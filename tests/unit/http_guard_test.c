#include "agent/http_guard.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>

static const int64_t second = INT64_C(1000000000);

static void test_hosts_of_ours(void)
{
	static const char *const ours[] = { "localhost", "localhost:8000", "LocalHost", "127.0.0.1",
		"127.0.0.1:8000", "192.168.7.4", "[::1]", "[::1]:8000", "agent", "agent:8000",
		"plant.example", "Plant.Example:443", "b.example" };

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		if (!guard_host_allowed(ours[i], "plant.example, b.example"))
			CU_FAIL(ours[i]);
}

static void test_hosts_of_others(void)
{
	static const char *const others[] = { "", ":", "evil.example", "evil.example:8000",
		"plant.example.evil.example", "example", "xplant.example", "127.0.0.1.evil.example",
		"localhost.evil.example", "[::1", "[evil.example]", "[::1]evil", "a:b", "a:80x",
		"plant.example.", ".", "1.2.3", "a/b", "a b", "a,b", "a@b" };

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (strcmp(others[i], "example") != 0 &&
			guard_host_allowed(others[i], "plant.example,b.example"))
			CU_FAIL(others[i]);
	CU_ASSERT_FALSE(guard_host_allowed("plant.example", ""));
	char huge[1000];
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	CU_ASSERT_FALSE(guard_host_allowed(huge, ""));
}

static void test_failures(void)
{
	struct guard guard;
	guard_init(&guard);

	for (int i = 0; i < GUARD_FAILURES_MAX; i++) {
		CU_ASSERT_EQUAL(guard_wait_s(&guard, "10.0.0.1", 100 * second), 0);
		guard_note_failure(&guard, "10.0.0.1", 100 * second);
	}
	CU_ASSERT_EQUAL(guard_wait_s(&guard, "10.0.0.1", 100 * second), GUARD_WINDOW_S + 1);
	CU_ASSERT_EQUAL(guard_wait_s(&guard, "10.0.0.1", 159 * second + 1), 1);
	CU_ASSERT_EQUAL(guard_wait_s(&guard, "10.0.0.2", 100 * second), 0);
	CU_ASSERT_EQUAL(guard_wait_s(&guard, "10.0.0.1", 160 * second), 0);
	guard_note_failure(&guard, "10.0.0.1", 161 * second); /* a new window */
	CU_ASSERT_EQUAL(guard_wait_s(&guard, "10.0.0.1", 161 * second), 0);
	guard_finish(&guard);
}

/* An attacker with many addresses does not make us forget the one that is busiest just now. */
static void test_many_peers(void)
{
	struct guard guard;
	char peer[32];
	guard_init(&guard);

	for (int i = 0; i < 1000; i++) {
		snprintf(peer, sizeof(peer), "10.0.%d.%d", i / 250, i % 250);
		guard_note_failure(&guard, peer, (100 + i) * second);
	}
	for (int i = 0; i < GUARD_FAILURES_MAX; i++)
		guard_note_failure(&guard, "10.9.9.9", 1200 * second);
	CU_ASSERT(guard_wait_s(&guard, "10.9.9.9", 1200 * second) > 0);
	guard_finish(&guard);
}

static void test_tokens(void)
{
	CU_ASSERT_TRUE(guard_token_equal("0123456789abcdef", "0123456789abcdef"));
	CU_ASSERT_FALSE(guard_token_equal("0123456789abcdeF", "0123456789abcdef"));
	CU_ASSERT_FALSE(guard_token_equal("0123456789abcde", "0123456789abcdef"));
	CU_ASSERT_FALSE(guard_token_equal("0123456789abcdef0", "0123456789abcdef"));
	CU_ASSERT_FALSE(guard_token_equal("", ""));
	CU_ASSERT_FALSE(guard_token_equal("", "0123456789abcdef"));
}

static CU_TestInfo cases[] = {
	{ "addresses, localhost, names without a dot and those listed are ours",
		test_hosts_of_ours },
	{ "any other name is refused", test_hosts_of_others },
	{ "twenty wrong tokens a minute, then none is looked at", test_failures },
	{ "of many peers the newest are remembered", test_many_peers },
	{ "tokens are equal in every byte", test_tokens },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("http_guard", cases);
}
