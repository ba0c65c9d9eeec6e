#include "common/schema.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct schema schema;

static enum status add(const char *name, const char *unit, struct why *why)
{
	return schema_add(&schema, name, unit, -INFINITY, INFINITY, why);
}

static void expect_refused(const char *name, const char *unit, const char *word)
{
	struct why why = { "" };
	size_t before = schema.count;

	CU_ASSERT_EQUAL(add(name, unit, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, word);
	CU_ASSERT_EQUAL(schema.count, before);
}

static void test_order(void)
{
	struct why why;

	schema.count = 0;
	CU_ASSERT_EQUAL(schema_add(&schema, "temperature", "degC", -50, 150, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&schema, "humidity", "%", 0, 100, &why), STATUS_OK);
	CU_ASSERT_EQUAL(add("sound", "", &why), STATUS_OK);

	CU_ASSERT_EQUAL(schema.count, 3);
	CU_ASSERT_EQUAL(schema_find(&schema, "temperature"), 0);
	CU_ASSERT_EQUAL(schema_find(&schema, "humidity"), 1);
	CU_ASSERT_EQUAL(schema_find(&schema, "sound"), 2);
	CU_ASSERT_EQUAL(schema_find(&schema, "Sound"), -1);
	CU_ASSERT_EQUAL(schema_find(&schema, ""), -1);
	CU_ASSERT_STRING_EQUAL(schema.feature[0].unit, "degC");
	CU_ASSERT_EQUAL(schema.feature[0].low, -50);
	CU_ASSERT_EQUAL(schema.feature[0].high, 150);
	CU_ASSERT_EQUAL(schema.feature[2].low, -INFINITY);
}

static void test_names_refused(void)
{
	struct why why;

	schema.count = 0;
	CU_ASSERT_EQUAL(add("temperature", "", &why), STATUS_OK);

	expect_refused("", "", "a name has 1 to 64 bytes, this one 0");
	expect_refused("temperature", "", "\"temperature\" is there twice");
	expect_refused("a\"b", "", "feature 2");
	expect_refused("a\\b", "", "backslash");
	expect_refused("a,b", "", "comma");
	expect_refused("a\nb", "", "control byte");
	expect_refused("a\x01", "", "control byte");
	expect_refused("a\x7f", "", "control byte");
	CU_ASSERT_EQUAL(add("Temperature", "", &why), STATUS_OK); /* case tells them apart */
	CU_ASSERT_EQUAL(add("vibration x-axis (mm/s)", "", &why), STATUS_OK);
	CU_ASSERT_EQUAL(add("Lautst\xc3\xa4rke", "", &why), STATUS_OK);
}

/* A model file is JSON: a name in Latin-1 would be written and never read again. */
static void test_utf8(void)
{
	schema.count = 0;
	expect_refused("Lautst\xe4rke", "", "not UTF-8");
	expect_refused("half\xc3", "", "not UTF-8");
	expect_refused("temperature", "\260C", "UTF-8");
}

static void test_lengths(void)
{
	char name[FEATURE_NAME_MAX + 2], unit[UNIT_MAX + 2];
	struct why why;

	memset(name, 'n', sizeof(name));
	memset(unit, 'u', sizeof(unit));
	name[FEATURE_NAME_MAX + 1] = unit[UNIT_MAX + 1] = '\0';
	schema.count = 0;

	expect_refused(name, "", "this one 65");
	expect_refused("a", unit, "a unit has at most 16 bytes");
	expect_refused("a", "d\"C", "unit");

	CU_ASSERT_EQUAL(add(name + 1, unit + 1, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(schema.feature[0].name, name + 1);
	CU_ASSERT_STRING_EQUAL(schema.feature[0].unit, unit + 1);
}

static void test_ranges(void)
{
	static const double rows[][2] = { { 1, 1 }, { 2, 1 }, { NAN, 1 }, { 1, NAN },
		{ INFINITY, -INFINITY } };

	schema.count = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct why why = { "" };
		CU_ASSERT_EQUAL(schema_add(&schema, "a", "", rows[i][0], rows[i][1], &why),
			STATUS_BAD_INPUT);
		ASSERT_HOLDS(why.text, "its range is empty");
	}
	CU_ASSERT_EQUAL(schema.count, 0);
}

static void test_full(void)
{
	struct why why;
	char name[16];

	schema.count = 0;
	for (int i = 0; i < FEATURES_MAX; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		CU_ASSERT_EQUAL(add(name, "", &why), STATUS_OK);
	}

	expect_refused("one more", "", "more than 64 features");
	CU_ASSERT_EQUAL(schema_find(&schema, "f63"), 63);
}

/* The words of a verdict and of a history item, as the README lists them. */
static void test_reserved(void)
{
	static const char *const words[] = { "machine", "timestamp", "received", "seq",
		"anomaly_score", "threshold", "is_anomaly", "model", "explanation", "severity",
		"quality", "late", "detector", "schema", "label", "alarm_score" };

	schema.count = 0;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		CU_ASSERT_TRUE(schema_reserved(words[i]));
		expect_refused(words[i], "", "this name is reserved");
	}
	CU_ASSERT_FALSE(schema_reserved("Machine"));
	CU_ASSERT_FALSE(schema_reserved("machines"));
	CU_ASSERT_FALSE(schema_reserved(""));
	CU_ASSERT_FALSE(schema_reserved("temperature"));
}

static void test_equal(void)
{
	static struct schema a, b;
	struct why why;

	a.count = b.count = 0;
	CU_ASSERT_TRUE(schema_equal(&a, &b));
	CU_ASSERT_EQUAL(schema_add(&a, "x", "mm", 0, 1, &why), STATUS_OK);
	CU_ASSERT_FALSE(schema_equal(&a, &b));
	CU_ASSERT_EQUAL(schema_add(&b, "x", "", -5, 5, &why), STATUS_OK);
	CU_ASSERT_TRUE(schema_equal(&a, &b)); /* units and ranges may differ */

	CU_ASSERT_EQUAL(schema_add(&a, "y", "", 0, 1, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&a, "z", "", 0, 1, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&b, "z", "", 0, 1, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&b, "y", "", 0, 1, &why), STATUS_OK);
	CU_ASSERT_FALSE(schema_equal(&a, &b)); /* the order counts */
}

static void test_machine_names(void)
{
	static const char *const good[] = { "press-1", "A", "0", "_", "-", "Line_3-press-12" };
	static const char *const bad[] = { "", " ", "press 1", "press.1", "press/1", "+", "#",
		"$SYS", "../x", "a\n", "pr\xc3\xa9ss", "<b>", "a\"" };
	char name[MACHINE_NAME_MAX + 1];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CU_ASSERT_TRUE(machine_name_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(machine_name_valid(bad[i], strlen(bad[i])));
	memset(name, 'm', sizeof(name));
	CU_ASSERT_TRUE(machine_name_valid(name, MACHINE_NAME_MAX));
	CU_ASSERT_FALSE(machine_name_valid(name, MACHINE_NAME_MAX + 1));
	CU_ASSERT_FALSE(machine_name_valid("a\0b", 3));
	CU_ASSERT_TRUE(machine_name_valid("press/1", 5)); /* the length ends it */
}

static CU_TestInfo cases[] = {
	{ "features keep their order, names, units and ranges", test_order },
	{ "names that are empty, repeated or need escaping are refused", test_names_refused },
	{ "names and units that are not UTF-8 are refused", test_utf8 },
	{ "a name of 64 bytes and a unit of 16 fit, longer ones do not", test_lengths },
	{ "an empty range is refused", test_ranges },
	{ "there are at most 64 features", test_full },
	{ "the words of a verdict are reserved", test_reserved },
	{ "schemas are equal by names and order alone", test_equal },
	{ "machine names are letters, digits, _ and -, 1 to 64", test_machine_names },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("schema", cases);
}
