#include "agent/topic.h"
#include "tests/unit/unit.h"
#include <string.h>

static void expect_refused(const char *text, const char *word)
{
	struct topic_template template;
	struct why why = { "" };

	CU_ASSERT_EQUAL(topic_parse(text, &template, &why), STATUS_BAD_CONFIG);
	ASSERT_HOLDS(why.text, word);
}

static void test_refusals(void)
{
	char longest[600];

	expect_refused("factory/reading", "{machine}");
	expect_refused("{machine}/{machine}", "{machine}");
	expect_refused("factory/x{machine}/reading", "whole level");
	expect_refused("factory/{machine}x", "whole level");
	expect_refused("factory/+/{machine}", "wildcards");
	expect_refused("factory/{machine}/#", "wildcards");
	expect_refused("$SYS/{machine}", "beginning");
	expect_refused("/{machine}", "beginning");
	memset(longest, 'a', sizeof(longest));
	strcpy(longest + 560, "/{machine}");
	expect_refused(longest, "more than 511 bytes");
}

static void expect(const char *text, const char *filter, const char *topic, const char *machine)
{
	struct topic_template template;
	char out[512], name[MACHINE_NAME_MAX + 1] = "";

	CU_ASSERT_EQUAL_FATAL(topic_parse(text, &template, NULL), STATUS_OK);
	topic_filter(&template, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out, filter);
	bool found = topic_machine(&template, topic, strlen(topic), name);
	CU_ASSERT_EQUAL(found, machine != NULL);
	if (found && machine)
		CU_ASSERT_STRING_EQUAL(name, machine);
}

static void test_machines(void)
{
	static const char usual[] = "factory/{machine}/reading", filter[] = "factory/+/reading";

	expect(usual, filter, "factory/press-1/reading", "press-1");
	expect(usual, filter, "factory//reading", NULL);
	expect(usual, filter, "factory/a b/reading", NULL);
	expect(usual, filter, "factory/a/b/reading", NULL);
	expect(usual, filter, "other/a/reading", NULL);
	expect(usual, filter, "factory/a/readings", NULL);
	expect(usual, filter, "factory/reading", NULL);
	expect("{machine}", "+", "a", "a");
	expect("{machine}/x", "+/x", "a/x", "a");
	expect("x/{machine}", "x/+", "x/a", "a");
}

static void test_nul(void)
{
	struct topic_template template;
	char name[MACHINE_NAME_MAX + 1];

	CU_ASSERT_EQUAL_FATAL(topic_parse("a/{machine}", &template, NULL), STATUS_OK);

	CU_ASSERT_FALSE(topic_machine(&template, "a/b\0c", 5, name));
	CU_ASSERT_TRUE(topic_machine(&template, "a/b", 3, name));
}

int main(void)
{
	CU_TestInfo cases[] = {
		{ "a template that is no topic with one machine is refused by its reason",
			test_refusals },
		{ "the filter and the machine follow from the template", test_machines },
		{ "a NUL byte in a topic names no machine", test_nul },
		CU_TEST_INFO_NULL,
	};
	return unit_run("topic", cases);
}
