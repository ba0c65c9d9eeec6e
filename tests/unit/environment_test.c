#include "simulator/environment.h"
#include "tests/unit/unit.h"
#include <string.h>

static const struct argp_option options[] = {
	{ "rate", 'r', "N", 0, "", 0 },
	{ "anomaly-rate", 'a', "SHARE", 0, "", 0 },
	{ "keep-timestamps", 'k', NULL, 0, "", 0 },
	{ 0 },
};

static struct why why;

/* The words, joined by blanks; "" if they were refused. */
static const char *joined(char *const *environment)
{
	static char text[256];
	char *argv[] = { "publish", "--rate", "9", NULL };
	char **words;
	int count;

	text[0] = '\0';
	if (environment_words(options, environment, 3, argv, &words, &count, &why) != STATUS_OK)
		return text;
	for (int i = 0; i < count; i++) {
		strncat(text, words[i], sizeof(text) - strlen(text) - 1);
		strncat(text, i + 1 < count ? " " : "", sizeof(text) - strlen(text) - 1);
	}
	CU_ASSERT_PTR_NULL(words[count]);
	environment_free(words, 3);
	return text;
}

static void test_words(void)
{
	char *environment[] = { "HOME=/root", "ISOLDE_SIMULATOR_RATE=2", "ISOLDE_MQTT_URL=x",
		"ISOLDE_SIMULATOR_ANOMALY_RATE=0.5", "ISOLDE_SIMULATOR_KEEP_TIMESTAMPS=yes", NULL };

	CU_ASSERT_STRING_EQUAL(joined(environment),
		"publish --rate=2 --anomaly-rate=0.5 --keep-timestamps --rate 9");
	CU_ASSERT_STRING_EQUAL(joined(NULL), "publish --rate 9");
}

static void test_absent(void)
{
	char *environment[] = { "ISOLDE_SIMULATOR_RATE=", "ISOLDE_SIMULATOR_KEEP_TIMESTAMPS=no",
		"ISOLDE_SIMULATOR_", "ISOLDE_SIMULATOR", NULL };

	CU_ASSERT_STRING_EQUAL(joined(environment + 3), "publish --rate 9");
	environment[2] = NULL;
	CU_ASSERT_STRING_EQUAL(joined(environment), "publish --rate 9");
}

static void test_refused(void)
{
	char *unknown[] = { "ISOLDE_SIMULATOR_RATE=1", "ISOLDE_SIMULATOR_SLEEP=1", NULL };
	char *neither[] = { "ISOLDE_SIMULATOR_KEEP_TIMESTAMPS=maybe", NULL };

	CU_ASSERT_STRING_EQUAL(joined(unknown), "");
	ASSERT_HOLDS(why.text, "ISOLDE_SIMULATOR_SLEEP");
	CU_ASSERT_STRING_EQUAL(joined(neither), "");
	ASSERT_HOLDS(why.text, "maybe");
}

static void test_host_prefix(void)
{
	char out[ENVIRONMENT_PREFIX_MAX + 1];

	environment_host_prefix("3f2a9c01d4e5", out);
	CU_ASSERT_STRING_EQUAL(out, "3f2a9c01d4e5");
	environment_host_prefix("plant_2 \xc3\xa4.example.org", out);
	CU_ASSERT_STRING_EQUAL(out, "plant_2---");
	environment_host_prefix("", out);
	CU_ASSERT_STRING_EQUAL(out, "");
	char longest[301];
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	environment_host_prefix(longest, out);
	CU_ASSERT_EQUAL(strlen(out), ENVIRONMENT_PREFIX_MAX);
}

static CU_TestInfo cases[] = {
	{ "variables become words before those of the command line", test_words },
	{ "an empty variable, and a no, say nothing", test_absent },
	{ "an unknown variable and a strange value are refused", test_refused },
	{ "a host name becomes a prefix", test_host_prefix },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("environment", cases);
}
