#include "common/status.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>

static void test_fail_writes(void)
{
	struct why why = { "before" };

	enum status st = fail(&why, STATUS_NOT_FOUND, "%s: tree %zu: no root", "m.json", (size_t)3);

	CU_ASSERT_EQUAL(st, STATUS_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(why.text, "m.json: tree 3: no root");
}

static void test_fail_silent(void)
{
	CU_ASSERT_EQUAL(fail(NULL, STATUS_IO, "%s", "nobody reads this"), STATUS_IO);
}

static void test_fail_long(void)
{
	struct why why;
	char sentence[1000];

	memset(sentence, 'x', sizeof(sentence));
	sentence[sizeof(sentence) - 1] = '\0';
	CU_ASSERT_EQUAL(fail(&why, STATUS_FULL, "%s", sentence), STATUS_FULL);

	CU_ASSERT_EQUAL(strlen(why.text), sizeof(why.text) - 1);
	CU_ASSERT_EQUAL(strspn(why.text, "x"), sizeof(why.text) - 1);
}

/* sysexits.h, as README promises them. */
static void test_exit_codes(void)
{
	static const struct {
		enum status status;
		int code;
	} rows[] = { { STATUS_OK, 0 }, { STATUS_BAD_INPUT, 65 }, { STATUS_BAD_CONFIG, 78 },
		{ STATUS_USAGE, 64 }, { STATUS_NOT_FOUND, 66 }, { STATUS_FULL, 74 },
		{ STATUS_IO, 74 }, { STATUS_UNAVAILABLE, 69 }, { STATUS_CANT_CREATE, 73 },
		{ STATUS_NO_MEMORY, 71 }, { STATUS_CONFLICT, 75 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_EQUAL(status_exit_code(rows[i].status), rows[i].code);
	CU_ASSERT_EQUAL(status_exit_code((enum status)99), 70);
}

static CU_TestInfo cases[] = {
	{ "fail writes the sentence and returns the status", test_fail_writes },
	{ "fail takes no reader", test_fail_silent },
	{ "a sentence that is too long is cut, not overrun", test_fail_long },
	{ "every status has its exit code", test_exit_codes },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("status", cases);
}
