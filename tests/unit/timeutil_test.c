#include "common/rng.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static int parses_to(const char *text, int64_t at_ms, int32_t at_ns)
{
	struct why why = { "" };
	int64_t ms = -7;
	int32_t ns = -7;
	enum status st = time_parse(text, strlen(text), &ms, &ns, &why);

	if (st == STATUS_OK && ms == at_ms && ns == at_ns)
		return 1;
	fprintf(stderr, "\n\"%s\": status %d, %lld ms, %d ns: %s\n", text, (int)st, (long long)ms,
		(int)ns, why.text);
	return 0;
}

static int refused(const char *text, size_t len, const char *word)
{
	struct why why = { "" };
	int64_t ms = -7;
	int32_t ns = -7;
	enum status st = time_parse(text, len, &ms, &ns, &why);

	if (st == STATUS_BAD_INPUT && ms == -7 && ns == -7 && unit_holds(why.text, word))
		return 1;
	fprintf(stderr, "\n\"%s\": status %d, %lld ms\n", text, (int)st, (long long)ms);
	return 0;
}

struct row {
	const char *text;
	int64_t ms;
	int32_t ns;
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CU_ASSERT_TRUE(parses_to(rows[i].text, rows[i].ms, rows[i].ns));
}
#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))

static void test_forms(void)
{
	static const struct row rows[] = {
		{ "2026-11-23T12:00:00.250Z", 1795435200250, 0 },
		{ "2026-11-23t12:00:00.250z", 1795435200250, 0 },
		{ "2026-11-23 12:00:00.25Z", 1795435200250, 0 },
		{ "2026-11-23T12:00:00Z", 1795435200000, 0 },
		{ "2026-11-23T12:00:00.2504567Z", 1795435200250, 456700 },
		{ "2026-11-23T12:00:00.250456789Z", 1795435200250, 456789 },
		{ "2026-11-23T12:00:00.2504567899999999999999999999Z", 1795435200250, 456789 },
		{ "2026-11-23T12:00:00.999999999Z", 1795435200999, 999999 },
		{ "2026-11-23T12:00:00.0000000004Z", 1795435200000, 0 },
	};
	CHECK_ROWS(rows);
}

static void test_offsets(void)
{
	static const struct row rows[] = {
		{ "2026-11-23T12:00:00.250+00:00", 1795435200250, 0 },
		{ "2026-11-23T12:00:00.250-00:00", 1795435200250, 0 },
		{ "2026-11-23T13:00:00.250+01:00", 1795435200250, 0 },
		{ "2026-11-23T06:30:00.250-05:30", 1795435200250, 0 },
		{ "2026-11-24T11:59:00.250+23:59", 1795435200250, 0 },
		{ "2026-11-22T12:01:00.250-23:59", 1795435200250, 0 },
		{ "2024-03-01T00:30:00+01:00", 1709249400000, 0 }, /* back into 29 February */
		{ "1969-12-31T23:00:00-01:00", 0, 0 },
	};
	CHECK_ROWS(rows);
}

static void test_calendar(void)
{
	static const struct row rows[] = {
		{ "1972-02-29T23:59:59Z", 68255999000, 0 },
		{ "1999-12-31T00:00:00Z", 946598400000, 0 },
		{ "2000-02-29T00:00:00Z", 951782400000, 0 },
		{ "2024-02-29T12:34:56.789Z", 1709210096789, 0 },
		{ "2038-01-19T03:14:08Z", 2147483648000, 0 },
		{ "2100-03-01T00:00:00Z", 4107542400000, 0 },
	};
	CHECK_ROWS(rows);
}

static void test_leap_second(void)
{
	static const struct row rows[] = {
		{ "2016-12-31T23:59:59Z", 1483228799000, 0 },
		{ "2016-12-31T23:59:60Z", 1483228800000, 0 },
		{ "2016-12-31T23:59:60.750Z", 1483228800750, 0 },
		{ "2017-01-01T00:59:60+01:00", 1483228800000, 0 },
	};
	CHECK_ROWS(rows);
}

static void test_ends(void)
{
	static const struct row rows[] = {
		{ "1970-01-01T00:00:00Z", 0, 0 },
		{ "1970-01-01T00:00:00.000000001Z", 0, 1 },
		{ "2109-05-15T07:35:11.103Z", TIME_MAX_MS, 0 },
		{ "2109-05-15T07:35:11.103999999Z", TIME_MAX_MS, 999999 },
	};
	static const char *const outside[] = { "1969-12-31T23:59:59.999Z",
		"1969-12-31T23:59:59.999999999Z", "1970-01-01T00:00:00+00:01",
		"2109-05-15T07:35:11.104Z", "2109-05-15T07:35:12Z", "0000-01-01T00:00:00Z",
		"0000-02-29T00:00:00Z", "9999-12-31T23:59:60-23:59" };

	CHECK_ROWS(rows);
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		CU_ASSERT_TRUE(refused(outside[i], strlen(outside[i]), "outside 1970"));
}

static void test_garbage(void)
{
	static const char *const rows[] = { "", "now", "1795435200250", "2026-11-23",
		"2026-11-23T12:00:00.250", /* no offset */
		"2026-11-23T12:00:00.Z", "2026-11-23T12:00:00,250Z", "2026-11-23T12:00Z",
		"2026-11-23T12Z", "2026-11-23T12:00:00.250Zx", "2026-11-23T12:00:00.250Z ",
		" 2026-11-23T12:00:00.250Z", "2026-11-23  12:00:00Z", "2026-11-23_12:00:00Z",
		"20261123T120000Z", "26-11-23T12:00:00Z", "12026-11-23T12:00:00Z",
		"+2026-11-23T12:00:00Z", "-2026-11-23T12:00:00Z", "2026-1-23T12:00:00Z",
		"2026-11-23T1:00:00Z", "2026-11-23T12:00:00+01", "2026-11-23T12:00:00+0100",
		"2026-11-23T12:00:00+01:0", "2026-11-23T12:00:00+1:00", "2026-11-23T12:00:00+24:00",
		"2026-11-23T12:00:00+01:60", "2026-11-23T12:00:00+01:00Z", "2026-11-23T12:00:00ZZ",
		"2026-00-23T12:00:00Z", "2026-13-23T12:00:00Z", "2026-11-00T12:00:00Z",
		"2026-11-31T12:00:00Z", "2026-02-29T12:00:00Z", "2100-02-29T12:00:00Z",
		"2024-02-30T12:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T12:60:00Z",
		"2026-11-23T12:00:61Z", "2026-11-23T12:00:-1Z", "2026-11-23T12:00:0xZ",
		"2026/11/23T12:00:00Z", "2026-11-23T12:00:00 +01:00", "2026-11-23T12:00:00.250UTC",
		"\xd9\xa2\xd9\xa0" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		CU_ASSERT_TRUE(refused(rows[i], strlen(rows[i]), "is not an RFC 3339 time"));
}

/* The text ends where `len` says: not before at a NUL, not behind. */
static void test_length(void)
{
	static const char text[] = "2026-11-23T12:00:00.250Z";
	static const char nul[] = "2026-11-23T12:00:00Z\0Z";
	static const char nul_inside[] = "2026-11-23\0"
					 "12:00:00Z";
	size_t whole = sizeof(text) - 1;
	int64_t ms;

	for (size_t n = 0; n < whole; n++)
		CU_ASSERT_TRUE(refused(text, n, "RFC 3339"));
	CU_ASSERT_EQUAL(time_parse(text, whole, &ms, NULL, NULL), STATUS_OK);
	CU_ASSERT_EQUAL(ms, 1795435200250);
	CU_ASSERT_TRUE(refused(nul, sizeof(nul) - 1, "RFC 3339"));
	CU_ASSERT_TRUE(refused(nul, 21, "RFC 3339"));
	CU_ASSERT_TRUE(refused(nul_inside, sizeof(nul_inside) - 1, "RFC 3339"));
}

static void test_long_garbage(void)
{
	char text[5000];

	memset(text, '9', sizeof(text));
	CU_ASSERT_TRUE(refused(text, sizeof(text), "RFC 3339"));
}

static void test_format(void)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = { { 0, "1970-01-01T00:00:00.000Z" }, { 999, "1970-01-01T00:00:00.999Z" },
		{ 1795435200250, "2026-11-23T12:00:00.250Z" },
		{ 951782400000, "2000-02-29T00:00:00.000Z" },
		{ 4107542399999, "2100-02-28T23:59:59.999Z" },
		{ 1798761599999, "2026-12-31T23:59:59.999Z" },
		{ TIME_MAX_MS, "2109-05-15T07:35:11.103Z" } };
	char out[TIME_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(time_format(rows[i].ms, out), 24);
		CU_ASSERT_STRING_EQUAL(out, rows[i].text);
	}
}

/* Every day of the 140 years, held against the C library, and back again. */
static void test_round_trip(void)
{
	struct rng rng;

	rng_seed(&rng, 1);
	for (int64_t day = 0; day * 86400000 <= TIME_MAX_MS; day++) {
		int64_t at_ms = day * 86400000 + (int64_t)rng_below(&rng, 86400000), back = -1;
		time_t seconds = (time_t)(at_ms / 1000);
		struct tm parts;
		char out[TIME_TEXT_SIZE], expected[TIME_TEXT_SIZE];

		if (at_ms > TIME_MAX_MS)
			break;
		size_t len = time_format(at_ms, out);
		strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S",
			gmtime_r(&seconds, &parts));
		snprintf(expected + 19, sizeof(expected) - 19, ".%03dZ", (int)(at_ms % 1000));
		if (strcmp(out, expected) != 0 ||
			time_parse(out, len, &back, NULL, NULL) != STATUS_OK || back != at_ms) {
			fprintf(stderr, "\n%s, expected %s, back %lld\n", out, expected,
				(long long)back);
			CU_FAIL("a day is wrong");
			return;
		}
	}
}

static void test_clocks(void)
{
	int64_t before_ns = time_monotonic_ns(), now_ms = time_now_ms();
	time_t now = time(NULL);

	for (int i = 0; i < 1000; i++) {
		int64_t next_ns = time_monotonic_ns();
		CU_ASSERT_FATAL(next_ns >= before_ns);
		before_ns = next_ns;
	}
	CU_ASSERT_TRUE(now_ms / 1000 >= now - 2 && now_ms / 1000 <= now + 2);
}

static void test_numbers(void)
{
	int64_t ms = -1;
	int32_t ns = -1;

	CU_ASSERT_TRUE(time_from_number(1.005, &ms, &ns));
	CU_ASSERT_EQUAL(ms, 1005);
	CU_ASSERT_EQUAL(ns, 0);
	CU_ASSERT_TRUE(time_from_number(1795435200250.5, &ms, &ns));
	CU_ASSERT_EQUAL(ms, 1795435200250);
	CU_ASSERT_EQUAL(ns, 500000);
	CU_ASSERT_TRUE(time_from_number(0, &ms, NULL));
	CU_ASSERT_TRUE(time_from_number((double)TIME_MAX_MS, &ms, NULL));
	CU_ASSERT_EQUAL(ms, TIME_MAX_MS);
	CU_ASSERT_FALSE(time_from_number((double)TIME_MAX_MS + 1, &ms, NULL));
	CU_ASSERT_FALSE(time_from_number(-1, &ms, NULL));
	CU_ASSERT_FALSE(time_from_number(0.0 / 0.0, &ms, NULL));
}

static CU_TestInfo cases[] = {
	{ "numbers are seconds below 1e11, else milliseconds", test_numbers },
	{ "the forms of RFC 3339 are read, to the nanosecond", test_forms },
	{ "offsets count, in both directions", test_offsets },
	{ "leap years are those of the Gregorian calendar", test_calendar },
	{ "a leap second is the next minute's first", test_leap_second },
	{ "1970 and 2109 are the ends, to the millisecond", test_ends },
	{ "everything else is refused and leaves the result alone", test_garbage },
	{ "a text ends where its length says, a NUL is no end", test_length },
	{ "a long text is refused in a short sentence", test_long_garbage },
	{ "times are written with milliseconds and Z", test_format },
	{ "every day from 1970 to 2109 agrees with the C library and reads back", test_round_trip },
	{ "the clocks run forward and tell today", test_clocks },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("timeutil", cases);
}
