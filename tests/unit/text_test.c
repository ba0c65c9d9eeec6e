#include "common/jsontext.h"
#include "common/rng.h"
#include "common/text.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void test_pieces(void)
{
	char buf[200];
	struct text text = text_start(buf, sizeof(buf));

	CU_ASSERT_STRING_EQUAL(buf, "");
	CU_ASSERT_EQUAL(text_end(&text), 0);
	text_add(&text, "{");
	text_add_json(&text, "machine");
	text_add(&text, ":");
	text_add_json(&text, "press-1");
	text_add_bytes(&text, ",xyz", 1);
	text_add_time(&text, 1795435200250);
	text_add(&text, ":");
	text_add_number(&text, 61.2);
	text_add(&text, "|");
	text_add_number(&text, NAN);
	text_add(&text, "|");
	text_add_integer(&text, INT64_MIN);
	text_add(&text, "|");
	text_add_integer(&text, INT64_MAX);

	CU_ASSERT_STRING_EQUAL(buf,
		"{\"machine\":\"press-1\",\"2026-11-23T12:00:00.250Z\":61.2|null|"
		"-9223372036854775808|9223372036854775807");
	CU_ASSERT_EQUAL(text_end(&text), strlen(buf));
	CU_ASSERT_FALSE(text.cut);
}

static void test_exact_fit(void)
{
	char buf[8] = "#######";
	struct text text = text_start(buf, 6);

	text_add(&text, "12345");
	CU_ASSERT_EQUAL(text_end(&text), 5);
	CU_ASSERT_STRING_EQUAL(buf, "12345");
	CU_ASSERT_EQUAL(buf[6], '#'); /* beyond its size */

	text_add(&text, ""); /* nothing more still fits */
	CU_ASSERT_EQUAL(text_end(&text), 5);
}

static void test_cut(void)
{
	char buf[8] = "#######";
	struct text text = text_start(buf, 6);

	text_add(&text, "123");
	text_add(&text, "456");
	CU_ASSERT_TRUE(text.cut);
	CU_ASSERT_EQUAL(text_end(&text), 0);
	CU_ASSERT_STRING_EQUAL(buf, "123"); /* a piece is written whole or not at all */

	text_add(&text, "4"); /* would fit, but what came before is missing */
	CU_ASSERT_STRING_EQUAL(buf, "123");
	CU_ASSERT_EQUAL(text.len, 3);
	CU_ASSERT_EQUAL(buf[6], '#');
}

static void test_no_room(void)
{
	char buf[1] = { '#' };
	struct text none = text_start(buf, 0);

	text_add(&none, "a");
	text_add_json(&none, "a");
	CU_ASSERT_EQUAL(buf[0], '#');
	CU_ASSERT_EQUAL(text_end(&none), 0);
	CU_ASSERT_TRUE(none.cut);

	struct text one = text_start(buf, 1);
	CU_ASSERT_EQUAL(buf[0], '\0');
	CU_ASSERT_FALSE(one.cut);
	text_add(&one, "a");
	CU_ASSERT_TRUE(one.cut);
	CU_ASSERT_EQUAL(buf[0], '\0');
}

static void test_json(void)
{
	static const struct {
		const char *value, *json;
	} rows[] = {
		{ "", "\"\"" },
		{ "plain", "\"plain\"" },
		{ "a\"b\\c/d", "\"a\\\"b\\\\c/d\"" },
		{ "\n\r\t\b\f", "\"\\u000a\\u000d\\u0009\\u0008\\u000c\"" },
		{ "\x01\x1f ", "\"\\u0001\\u001f \"" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
			"\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xff", "\"?\"" },
		{ "\xc3", "\"?\"" },
		{ "a\xe9z", "\"a?z\"" },
		{ "\xc3\xa4\xff\xc3\xb6", "\"\xc3\xa4?\xc3\xb6\"" }, /* neighbours stay */
		{ "\xed\xa0\x80", "\"???\"" },
		{ "\xc0\xaf", "\"??\"" },
		{ "\xe2\x82", "\"??\"" },
		{ "\xe2\x82\"", "\"??\\\"\"" },
	};
	char buf[100];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct text text = text_start(buf, sizeof(buf));
		text_add_json(&text, rows[i].value);
		CU_ASSERT_STRING_EQUAL(buf, rows[i].json);
		CU_ASSERT_EQUAL(text_end(&text), strlen(buf));
	}
}

/* Whatever the bytes, what comes out is JSON, or it is cut and says so. */
static void test_json_random(void)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	struct rng rng;

	rng_seed(&rng, 4);
	for (int i = 0; i < 200000; i++) {
		char value[40], buf[64 + 1];
		size_t n = (size_t)rng_below(&rng, sizeof(value));
		size_t size = (size_t)rng_below(&rng, sizeof(buf));
		struct why why = { "" };

		for (size_t k = 0; k < n; k++)
			value[k] = (char)(1 + rng_below(&rng, 255));
		value[n] = '\0';
		buf[size] = '#';
		struct text text = text_start(buf, size);
		text_add_json(&text, value);
		bool whole = text_end(&text) > 0;
		bool sound = whole ? json_check(buf, text.len, &limits, &why) == STATUS_OK
				   : text.cut && utf8_valid(buf, text.len);
		if (!sound || buf[size] != '#' || (size > 0 && strlen(buf) != text.len)) {
			fprintf(stderr, "\nround %d: %s: %s\n", i, buf, why.text);
			CU_FAIL("not JSON");
			return;
		}
	}
}

static CU_TestInfo cases[] = {
	{ "pieces stand one behind the other", test_pieces },
	{ "a text may fill its buffer up to the NUL", test_exact_fit },
	{ "what does not fit is not written, nor what comes after", test_cut },
	{ "a buffer of no size and of one byte are not overrun", test_no_room },
	{ "JSON strings are escaped, invalid UTF-8 becomes question marks", test_json },
	{ "random bytes become JSON, or are cut between characters", test_json_random },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("text", cases);
}
