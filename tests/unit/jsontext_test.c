#include "common/jsontext.h"
#include "common/rng.h"
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };

/* Parses a copy without a NUL behind it, so that a sanitizer sees one byte too many. */
static enum status parse(const char *text, size_t len, cJSON **out, struct why *why)
{
	char *copy = malloc(len ? len : 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	memcpy(copy, text, len);
	enum status st = json_parse(copy, len, &limits, out, why);
	free(copy);
	return st;
}

static cJSON *accepted_bytes(const char *text, size_t len)
{
	struct why why = { "" };
	cJSON *json = NULL;
	enum status st = parse(text, len, &json, &why);

	if (st != STATUS_OK)
		fprintf(stderr, "\n%.*s\n is refused: %s\n", (int)len, text, why.text);
	CU_ASSERT_EQUAL(st, STATUS_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	return json;
}

static cJSON *accepted(const char *text)
{
	return accepted_bytes(text, strlen(text));
}

static void expect_refused_bytes(const char *text, size_t len, const char *word)
{
	struct why why = { "" };
	cJSON *json = NULL;
	enum status st = parse(text, len, &json, &why);

	if (st != STATUS_BAD_INPUT)
		fprintf(stderr, "\n%.*s\n gives status %d\n", (int)len, text, (int)st);
	CU_ASSERT_EQUAL(st, STATUS_BAD_INPUT);
	CU_ASSERT_PTR_NULL(json);
	ASSERT_HOLDS(why.text, word);
	cJSON_Delete(json);
}

static void expect_refused(const char *text, const char *word)
{
	expect_refused_bytes(text, strlen(text), word);
}

static void test_numbers(void)
{
	static const struct {
		const char *text;
		double value;
	} rows[] = { { "0", 0 }, { "-0", -0.0 }, { "1", 1 }, { "-12.50", -12.5 }, { "1e3", 1000 },
		{ "1E+03", 1000 }, { "2.5e-3", 0.0025 }, { "0.1", 0.1 }, { "1e-400", 0 },
		{ "1e400", INFINITY }, { "-1e999", -INFINITY }, { "61.2", 61.2 },
		{ "9007199254740993", 9007199254740992 }, { "0e0", 0 },
		{ "1234567890123456789012345678901234567890123456789012345678901234567890",
			1234567890123456789012345678901234567890123456789012345678901234567890.0 },
		{ "0.2999999999999999888977697537484345957636833190917968750000000000000000", 0.3 },
		{ "4.9406564584124654e-324", 5e-324 } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cJSON *json = accepted(rows[i].text);
		CU_ASSERT_TRUE(cJSON_IsNumber(json));
		CU_ASSERT_EQUAL(json->valuedouble, rows[i].value);
		CU_ASSERT_EQUAL(signbit(json->valuedouble), signbit(rows[i].value));
		cJSON_Delete(json);
	}
}

static void test_not_numbers(void)
{
	static const char *const rows[] = { "NaN", "nan", "Infinity", "-Infinity", "inf", "0x10",
		"+1", ".5", "-.5", "1e", "1e+", "1E-", "--1", "-", "1.2.3", "5.", "5.e1", "01",
		"-01", "00", "1,5", "1 2", "1_0", "1d", "\xef\xbc\x91", "0b1", "1f", "- 1" };
	char text[100];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		expect_refused(rows[i], "at byte");
		snprintf(text, sizeof(text), "{\"x\":%s}", rows[i]);
		expect_refused(text, "at byte");
		snprintf(text, sizeof(text), "[%s]", rows[i]);
		if (strcmp(rows[i], "1,5") != 0)
			expect_refused(text, "at byte");
	}
}

static void test_number_lengths(void)
{
	char digits[500];

	memset(digits, '1', sizeof(digits));
	cJSON_Delete(accepted_bytes(digits, 400));
	expect_refused_bytes(digits, 401, "more than 400 characters");
	memset(digits, '0', sizeof(digits));
	memcpy(digits, "0.", 2);
	cJSON *json = accepted_bytes(digits, 400);
	CU_ASSERT_EQUAL(json->valuedouble, 0);
	cJSON_Delete(json);
}

static void test_values(void)
{
	static const char *const rows[] = { "{}", "[]", "true", "false", "null", "\"\"", "[[]]",
		"[{}]", "{\"a\":{}}", "{\"a\":[]}", " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : null }\n",
		"[1,\"a\",true,false,null,{\"b\":[]}]", "{\"\":1}", "{\"a\":{\"a\":{\"a\":1}}}",
		"\xef\xbb\xbf{}", "\357\273\2771", "\xef\xbb\xbf []", "\xef\xbb\xbf\"\"",
		"[[],[],{},{}]" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		cJSON_Delete(accepted(rows[i]));

	cJSON *json = accepted("{\"Temperature\":1,\"temperature\":2,\"list\":[3,{\"x\":4}]}");
	CU_ASSERT_EQUAL(cJSON_GetObjectItemCaseSensitive(json, "temperature")->valuedouble, 2);
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "list");
	CU_ASSERT_EQUAL(cJSON_GetArraySize(list), 2);
	CU_ASSERT_EQUAL(
		cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(list, 1), "x")->valuedouble, 4);
	cJSON_Delete(json);
}

static void test_not_values(void)
{
	static const struct {
		const char *text, *word;
	} rows[] = {
		{ "", "it is empty" }, { " \n", "it is empty" },
		{ "\xef\xbb\xbf", "at byte 3: it is empty" },
		{ "\xef\xbb\xbf\xef\xbb\xbf{}", "at byte 3: a value is expected" },
		{ " \xef\xbb\xbf{}", "at byte 1: a value is expected" },
		{ "\xef\xbb", "a value is expected" }, { "\xfe\xff\0{", "a value is expected" },
		{ "{\"x\":1} junk", "at byte 8: text after the end" },
		{ "nullnull", "at byte 4: text after the end" },
		{ "{}{}", "at byte 2: text after the end" }, { "1 1", "text after the end" },
		{ "[]]", "text after the end" }, { "truex", "text after the end" },
		{ "tru", "a value is expected" }, { "True", "a value is expected" },
		{ "nul", "a value is expected" }, { "undefined", "a value is expected" },
		{ "'a'", "a value is expected" }, { "{'a':1}", "a name in quotes is expected" },
		{ "{a:1}", "a name in quotes is expected" },
		{ "{1:1}", "a name in quotes is expected" },
		{ "{\"a\":1,}", "a name in quotes is expected" },
		{ "{,}", "a name in quotes is expected" }, { "{\"a\"}", "a colon is expected" },
		{ "{\"a\",1}", "a colon is expected" }, { "{\"a\":}", "a value is expected" },
		{ "{\"a\"::1}", "a value is expected" },
		{ "{\"a\":1 \"b\":2}", "a comma or an end is expected" },
		{ "{\"a\":1]", "a comma or an end is expected" },
		{ "[1}", "a comma or an end is expected" },
		{ "[1 2]", "a comma or an end is expected" },
		{ "[1:2]", "a comma or an end is expected" }, { "[1,]", "a value is expected" },
		{ "[,1]", "a value is expected" }, { "[,]", "a value is expected" },
		{ "]", "a value is expected" }, { "}", "a value is expected" },
		{ ",", "a value is expected" }, { ":", "a value is expected" },
		{ "[", "a value is expected" }, { "{", "a name in quotes is expected" },
		{ "[1", "it ends too early" }, { "{\"a\":1", "it ends too early" },
		{ "\"a", "a string does not end" }, { "/* c */ 1", "a value is expected" },
		{ "1 // c", "text after the end" },
		{ "{\"a\":1\x0b}",
			"a comma or an end is expected" }, /* vertical tab: cJSON skips it */
		{ "\x01{}", "a value is expected" }, { "[\0141]", "a value is expected" },
		{ "\xc2\xa0{}", "a value is expected" },
		{ "\x1f\x8b\x08", "a value is expected" }, /* gzip */
	};
	static const char after_nul[] = "{\"x\":1}\0junk", nul_last[] = "{}\0";

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_refused(rows[i].text, rows[i].word);
	expect_refused_bytes(after_nul, sizeof(after_nul) - 1, "text after the end");
	expect_refused_bytes(nul_last, 3, "text after the end");
	expect_refused_bytes("\0", 1, "a value is expected");
}

static void test_strings(void)
{
	static const struct {
		const char *text, *value;
	} rows[] = {
		{ "\"plain\"", "plain" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00e4\\u20AC\\ud83d\\ude00\"",
			"A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\"\\u0001\\u001f\"", "\x01\x1f" },
		{ "\"\\uffff\\udbff\\udfff\"", "\xef\xbf\xbf\xf4\x8f\xbf\xbf" },
		{ "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
			"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\"\x7f\"", "\x7f" },
		{ "\"{[,:]}\"", "{[,:]}" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cJSON *json = accepted(rows[i].text);
		CU_ASSERT_FATAL(cJSON_IsString(json));
		CU_ASSERT_STRING_EQUAL(json->valuestring, rows[i].value);
		cJSON_Delete(json);
	}
}

static void test_not_strings(void)
{
	static const struct {
		const char *inside, *word;
	} rows[] = {
		{ "a\nb", "a control byte" },
		{ "a\tb", "a control byte" },
		{ "\x01", "a control byte" },
		{ "\x1f", "a control byte" },
		{ "\\u0000", "\\u0000" },
		{ "a\\u0000b", "\\u0000" },
		{ "\\x41", "an unknown escape" },
		{ "\\'", "an unknown escape" },
		{ "\\0", "an unknown escape" },
		{ "\\U0041", "an unknown escape" },
		{ "\\u004", "four hexadecimal digits" },
		{ "\\u00g0", "four hexadecimal digits" },
		{ "\\u+041", "four hexadecimal digits" },
		{ "\\u 041", "four hexadecimal digits" },
		{ "\\ud83d", "half of a surrogate pair" },
		{ "\\ud83dx", "half of a surrogate pair" },
		{ "\\ud83d\\n", "half of a surrogate pair" },
		{ "\\ud83d\\u0041", "half of a surrogate pair" },
		{ "\\ud83d\\ud83d", "half of a surrogate pair" },
		{ "\\ude00", "half of a surrogate pair" },
		{ "\\ude00\\ud83d", "half of a surrogate pair" },
		{ "\xff", "invalid UTF-8" },
		{ "\x80", "invalid UTF-8" },
		{ "\xc3", "invalid UTF-8" },
		{ "\xc0\xaf", "invalid UTF-8" },
		{ "\xed\xa0\x80", "invalid UTF-8" },
		{ "\xf4\x90\x80\x80", "invalid UTF-8" },
		{ "\xe4", "invalid UTF-8" },
	};
	char text[100];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "\"%s\"", rows[i].inside);
		expect_refused(text, rows[i].word);
		snprintf(text, sizeof(text), "{\"%s\":1}", rows[i].inside);
		expect_refused(text, rows[i].word);
	}
	expect_refused_bytes("\"\0\"", 3, "a control byte");
	expect_refused_bytes("\"\\\0\"", 4, "an unknown escape");
	expect_refused("\"\\", "an unknown escape");
	expect_refused("\"\\u12", "four hexadecimal digits");
}

static const char *nested(char open, size_t depth)
{
	static char text[200000];
	char *at = text;

	for (size_t i = 0; i < depth; i++)
		at = stpcpy(at, open == '[' ? "[" : i + 1 < depth ? "{\"a\":" : "{");
	for (size_t i = 0; i < depth; i++)
		at = stpcpy(at, open == '[' ? "]" : "}");
	return text;
}

static void test_depth(void)
{
	static const size_t deeper[] = { 9, 16, 17, 650, 1001, 16384 };
	static const struct json_limits shallow = { 1, 1 }, generous = { 100, 100 };
	struct why why;

	cJSON_Delete(accepted(nested('[', 8)));
	cJSON_Delete(accepted(nested('{', 8)));
	for (size_t i = 0; i < sizeof(deeper) / sizeof(deeper[0]); i++) {
		expect_refused(nested('[', deeper[i]), "at byte 8: nested deeper than 8");
		expect_refused(nested('{', deeper[i]), "nested deeper than 8");
	}
	cJSON_Delete(accepted("[[],[[]],[[[[[[[]]]]]]],[[[[[[[]]]]]]]]")); /* one after the other */

	CU_ASSERT_EQUAL(json_check("[1]", 3, &shallow, &why), STATUS_OK);
	CU_ASSERT_EQUAL(json_check("[[]]", 4, &shallow, &why), STATUS_BAD_INPUT);
	/* A careless limit does not overrun the scanner's own 16 levels. */
	CU_ASSERT_EQUAL(json_check(nested('[', 16), 32, &generous, &why), STATUS_OK);
	CU_ASSERT_EQUAL(json_check(nested('[', 17), 34, &generous, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "at byte 16: nested deeper");
	/* An unfinished one is refused for its depth, too: nobody reads on. */
	expect_refused_bytes(nested('[', 5000), 5000, "nested deeper than 8");
}

static const char *members(size_t n, const char *around)
{
	static char text[100000];
	char *at = stpcpy(text, around[0] ? "[{\"x\":0},{" : "{");

	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%s\"m%zu\":%zu", i ? "," : "", i, i);
	strcpy(at, around[0] ? "}]" : "}");
	return text;
}

static void test_members(void)
{
	cJSON *json = accepted(members(256, ""));
	CU_ASSERT_EQUAL(cJSON_GetArraySize(json), 256);
	cJSON_Delete(json);
	expect_refused(members(257, ""), "more than 256 members");
	expect_refused(members(5000, ""), "more than 256 members");
	cJSON_Delete(accepted(members(256, "[]"))); /* counted for each object */
	expect_refused(members(257, "[]"), "more than 256 members");
}

static void test_repeats(void)
{
	expect_refused("{\"x\":1,\"x\":2}", "\"x\" is there twice");
	expect_refused("{\"x\":1,\"y\":0,\"x\":1}", "\"x\" is there twice");
	expect_refused("{\"a\":{\"b\":[1,{\"c\":1,\"d\":2,\"c\":3}]}}", "\"c\" is there twice");
	expect_refused("[{\"a\":1},{\"b\":1,\"b\":1}]", "\"b\" is there twice");
	expect_refused("{\"\":1,\"\":2}", "\"\" is there twice");
	/* Written differently, the same name. */
	expect_refused("{\"x\":1,\"\\u0078\":2}", "\"x\" is there twice");
	expect_refused("{\"a/b\":1,\"a\\/b\":2}", "\"a/b\" is there twice");
	cJSON_Delete(accepted("{\"x\":1,\"X\":2,\"x \":3,\"xx\":4,\"\":5}"));
	cJSON_Delete(accepted("[{\"x\":1},{\"x\":1},{\"x\":{\"x\":1}}]"));
}

static const char sample[] =
	"\xef\xbb\xbf{\"timestamp\":\"2026-11-23T12:00:00.250Z\",\"seq\":18231,\"temperature\":61.2,"
	"\"humidity\":-3.85e+1,\"sound\":null,\"ok\":[true,false,{\"e\":[]}],"
	"\"name\":\"\xc3\xa4\\u00e4\\ud83d\\ude00\\n\xf0\x9f\x98\x80\"}";

/* Only the whole document closes its first brace. */
static void test_truncated(void)
{
	size_t whole = sizeof(sample) - 1;

	for (size_t n = 0; n < whole; n++)
		expect_refused_bytes(sample, n, "not valid JSON at byte");
	cJSON_Delete(accepted_bytes(sample, whole));
}

/* A number alone may be cut and still be one; each piece is judged as what it is. */
static void test_truncated_number(void)
{
	static const char text[] = "-10.25e-10";
	static const char valid[] = "..11.11..11"; /* by the number of bytes */

	for (size_t n = 0; n < sizeof(text); n++) {
		struct why why;
		cJSON *json = NULL;
		enum status st = parse(text, n, &json, &why);
		CU_ASSERT_EQUAL(st == STATUS_OK, valid[n] == '1');
		cJSON_Delete(json);
	}
}

static size_t mutate(struct rng *rng, char *text, size_t len, size_t size)
{
	static const char spice[] = "\"\\{}[],:0123456789.eE+-utrfn \n\x00\x01\x80\xc3\xed\xf4\xff";
	size_t changes = 1 + (size_t)rng_below(rng, 4);

	while (changes-- > 0) {
		size_t at = (size_t)rng_below(rng, len + 1);
		char c = spice[rng_below(rng, sizeof(spice) - 1)];
		switch (rng_below(rng, 4)) {
		case 0: /* another byte */
			if (at < len)
				text[at] = c;
			break;
		case 1: /* one bit */
			if (at < len)
				text[at] = (char)(text[at] ^ (1 << rng_below(rng, 8)));
			break;
		case 2: /* one more */
			if (len < size) {
				memmove(text + at + 1, text + at, len - at);
				text[at] = c;
				len++;
			}
			break;
		default: /* one less */
			if (at < len) {
				memmove(text + at, text + at + 1, len - at - 1);
				len--;
			}
			break;
		}
	}
	return len;
}

/* Whatever passes the check is JSON for cJSON as well, and printing it gives JSON again. */
static void test_mutations(void)
{
	struct rng rng;
	unsigned passed = 0, refused = 0;

	rng_seed(&rng, 2026);
	for (int i = 0; i < 100000; i++) {
		char text[sizeof(sample) + 8];
		struct why why = { "" };
		cJSON *json = NULL;

		memcpy(text, sample, sizeof(sample) - 1);
		size_t len = mutate(&rng, text, sizeof(sample) - 1, sizeof(text));
		enum status st = parse(text, len, &json, &why);
		if (st == STATUS_OK) {
			char *printed = cJSON_PrintUnformatted(json);
			CU_ASSERT_PTR_NOT_NULL_FATAL(printed);
			CU_ASSERT_EQUAL(
				json_check(printed, strlen(printed), &limits, &why), STATUS_OK);
			cJSON_free(printed);
			passed++;
		} else if (st == STATUS_BAD_INPUT && why.text[0] && !json) {
			refused++;
		} else {
			fprintf(stderr, "\nround %d: status %d: %s\n", i, (int)st, why.text);
			CU_FAIL("neither read nor refused");
		}
		cJSON_Delete(json);
	}
	CU_ASSERT_TRUE(passed > 5000); /* both ways are really taken */
	CU_ASSERT_TRUE(refused > 50000);
}

static void test_check_alone(void)
{
	struct why why = { "" };

	CU_ASSERT_EQUAL(json_check(sample, sizeof(sample) - 1, &limits, &why), STATUS_OK);
	CU_ASSERT_EQUAL(json_check("{\"a\":01}", 8, &limits, &why), STATUS_BAD_INPUT);
	CU_ASSERT_STRING_EQUAL(why.text, "not valid JSON at byte 6: a comma or an end is expected");
	CU_ASSERT_EQUAL(json_check("[5.]", 4, &limits, NULL), STATUS_BAD_INPUT);
}

/* RFC 3629 and the table of well-formed sequences in the Unicode standard (3-7). */
static void test_utf8(void)
{
	static const char *const good[] = { "", "plain", "\x01\x7f", "\xc2\x80", "\xdf\xbf",
		"\xe0\xa0\x80", "\xec\xbf\xbf", "\xed\x80\x80", "\xed\x9f\xbf", "\xee\x80\x80",
		"\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf3\xbf\xbf\xbf", "\xf4\x80\x80\x80",
		"\xf4\x8f\xbf\xbf", "a\xc3\xa4z\xe2\x82\xac\xf0\x9f\x98\x80" };
	static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
		"\xc2\x7f", "\xc2\xc0", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe0\xa0", "\xe0\xa0\x7f",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xe2\x28\xa1", "\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf", "\xf0\x90\x80", "\xf0\x90\x28\xbc", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xf7\xbf\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfe", "\xff",
		"ok\xc3", "\xc3\xa4\x80" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CU_ASSERT_TRUE(utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CU_ASSERT_FALSE(utf8_valid(bad[i], strlen(bad[i])));
	CU_ASSERT_TRUE(utf8_valid("a\0b", 3));
	CU_ASSERT_FALSE(utf8_valid("\xc3\xa4", 1));
	CU_ASSERT_EQUAL(utf8_length("", 0), 0);
	CU_ASSERT_EQUAL(utf8_length("ab", 2), 1);
	CU_ASSERT_EQUAL(utf8_length("\xe2\x82\xac!", 4), 3);
	CU_ASSERT_EQUAL(utf8_length("\xe2\x82\xac!", 2), 0);
}

/* Every character there is, and every pair and triple of bytes, against the definition. */
static void test_utf8_all(void)
{
	unsigned valid[5] = { 0 };

	for (unsigned word = 0; word < 0x1000000; word++) {
		char bytes[3] = { (char)(word >> 16), (char)(word >> 8), (char)word };
		if ((word & 0xffff) == 0)
			valid[1] += utf8_length(bytes, 1) == 1;
		if ((word & 0xff) == 0)
			valid[2] += utf8_length(bytes, 2) == 2;
		valid[3] += utf8_length(bytes, 3) == 3;
	}
	for (unsigned word = 0; word < 0x800000; word++) { /* f0 .. f7 in front */
		char bytes[4] = { (char)(0xf0 + word / 0x100000),
			(char)(0x80 + (word >> 12 & 0xff)), (char)(0x80 + (word >> 6 & 0x3f)),
			(char)(0x80 + (word & 0x3f)) };
		valid[4] += utf8_length(bytes, 4) == 4;
	}

	CU_ASSERT_EQUAL(valid[1], 0x80);
	CU_ASSERT_EQUAL(valid[2], 0x800 - 0x80);
	CU_ASSERT_EQUAL(valid[3], 0x10000 - 0x800 - 0x800);
	CU_ASSERT_EQUAL(valid[4], 0x110000 - 0x10000);
}

static CU_TestInfo cases[] = {
	{ "numbers are read; beyond a double they are infinite, not refused", test_numbers },
	{ "NaN, 0x10, +1, .5, 5., 01 and their like are refused", test_not_numbers },
	{ "a number has at most 400 characters", test_number_lengths },
	{ "every kind of value is read, with blanks and a mark", test_values },
	{ "what is not one JSON value is refused, with byte and reason", test_not_values },
	{ "strings and their escapes are read", test_strings },
	{ "control bytes, \\u0000, half pairs and invalid UTF-8 are refused", test_not_strings },
	{ "8 levels are accepted, 9 refused", test_depth },
	{ "256 members are accepted, 257 refused", test_members },
	{ "a name that is there twice is refused, at any depth", test_repeats },
	{ "a document cut after any byte is refused", test_truncated },
	{ "a number cut after any byte is judged as what is left", test_truncated_number },
	{ "100,000 mutations are read or refused, and what is read is JSON", test_mutations },
	{ "the check says where and what", test_check_alone },
	{ "UTF-8 is what RFC 3629 says", test_utf8 },
	{ "of all sequences exactly the characters of Unicode are UTF-8", test_utf8_all },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("jsontext", cases);
}
