#include "common/number.h"
#include "common/rng.h"
#include "tests/unit/unit.h"
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_format_table(void)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = { { 0, "0" }, { -0.0, "-0" }, { 1, "1" }, { -1.5, "-1.5" }, { 61.2, "61.2" },
		{ 0.1, "0.1" }, { 0.1 + 0.2, "0.30000000000000004" },
		{ 1.0 / 3, "0.3333333333333333" }, { 100, "100" },
		{ 9007199254740992, "9007199254740992" }, { 0.2381, "0.2381" },
		{ 5e-324, "5e-324" }, { 2.225e-311, "2.225e-311" },
		{ DBL_MAX, "1.7976931348623157e+308" }, { DBL_MIN, "2.2250738585072014e-308" },
		{ 1e21, "1e+21" }, { 1e-7, "1e-07" }, { NAN, "null" }, { -NAN, "null" },
		{ INFINITY, "null" }, { -INFINITY, "null" } };
	char out[NUMBER_TEXT_SIZE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = number_format(rows[i].value, out);
		CU_ASSERT_STRING_EQUAL(out, rows[i].text);
		CU_ASSERT_EQUAL(len, strlen(rows[i].text));
	}
}

static double from_bits(uint64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static bool reads_back(double value)
{
	char out[NUMBER_TEXT_SIZE];
	size_t len = number_format(value, out);
	double back = 1234.5;

	if (len == strlen(out) && len < NUMBER_TEXT_SIZE && number_parse(out, len, &back) &&
		memcmp(&back, &value, sizeof(back)) == 0)
		return true;
	fprintf(stderr, "\n%a became %s and %a\n", value, out, back);
	return false;
}

/* With one digit fewer, rounded to nearest, it is another number. */
static bool shortest(double value)
{
	char out[NUMBER_TEXT_SIZE], fewer[NUMBER_TEXT_SIZE];
	int digits = 0;

	number_format(value, out);
	for (const char *c = out; *c && *c != 'e'; c++)
		digits += *c >= '0' && *c <= '9' && (digits > 0 || *c != '0');
	while (digits > 1 && out[strlen(out) - 1] == '0' && !strpbrk(out, ".e"))
		out[strlen(out) - 1] = '\0', digits--; /* zeros that only hold a place */
	if (digits <= 1)
		return true;
	snprintf(fewer, sizeof(fewer), "%.*e", digits - 2, value);
	if (strtod(fewer, NULL) != value)
		return true;
	fprintf(stderr, "\n%s could be %s\n", out, fewer);
	return false;
}

/* Whether by the short way or by printf. */
static void test_short(void)
{
	static const double power[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10 };
	char out[NUMBER_TEXT_SIZE], expected[NUMBER_TEXT_SIZE];
	struct rng rng;
	size_t wrong = 0;

	rng_seed(&rng, 2027);
	for (int i = 0; i < 500000; i++) {
		uint64_t digits = rng_next(&rng) % 999999999999999 >> rng_below(&rng, 50);
		double value = (double)digits / power[rng_below(&rng, 11)];
		value = rng_below(&rng, 2) ? value : -value;
		snprintf(expected, sizeof(expected), "%.15g", value);
		number_format(value, out);
		wrong += strcmp(out, expected) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* Scores have all the digits of a double: the first of printf's that reads back. */
static void test_long(void)
{
	char out[NUMBER_TEXT_SIZE], expected[NUMBER_TEXT_SIZE];
	struct rng rng;
	size_t wrong = 0;

	rng_seed(&rng, 2029);
	for (int i = 0; i < 600000; i++) {
		/* Any fraction, or half a decimal, which rounding decides by the even digit. */
		double value = rng_below(&rng, 3)
			? ldexp((double)(rng_next(&rng) >> 11), -24 - (int)rng_below(&rng, 44))
			: ldexp((double)(rng_next(&rng) >> 40 | 1), -(int)rng_below(&rng, 38));
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(expected, sizeof(expected), "%.*g", digits, value);
			if (strtod(expected, NULL) == value)
				break;
		}
		number_format(-value, out);
		wrong += out[0] != '-' || strcmp(out + 1, expected) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void test_random_bits(void)
{
	struct rng rng;

	rng_seed(&rng, 2026);
	for (int i = 0; i < 2000000; i++) {
		double value = from_bits(rng_next(&rng));
		if (!isfinite(value))
			continue;
		if (!reads_back(value) || (i % 10 == 0 && !shortest(value))) {
			CU_FAIL("a double is written wrongly");
			return;
		}
	}
}

static void test_sensor_values(void)
{
	struct rng rng;
	char expected[NUMBER_TEXT_SIZE], out[NUMBER_TEXT_SIZE];

	rng_seed(&rng, 2027);
	for (int i = 0; i < 300000; i++) {
		long hundredths = (long)rng_below(&rng, 2000001) - 1000000;
		double value = (double)hundredths / 100;
		snprintf(expected, sizeof(expected), "%.2f", value);
		while (strchr(expected, '.') && strchr("0.", expected[strlen(expected) - 1])) {
			bool point = expected[strlen(expected) - 1] == '.';
			expected[strlen(expected) - 1] = '\0';
			if (point)
				break;
		}
		number_format(value, out);
		if (strcmp(out, expected) != 0 || !reads_back(value)) {
			fprintf(stderr, "\n%s is written %s\n", expected, out);
			CU_FAIL("a value of two decimals is written otherwise");
			return;
		}
	}
}

static void test_subnormals(void)
{
	struct rng rng;

	rng_seed(&rng, 2028);
	for (int i = 0; i < 200000; i++) {
		double value = from_bits(rng_next(&rng) >> (12 + rng_below(&rng, 52)));
		if (!reads_back(value) || !shortest(value)) {
			CU_FAIL("a subnormal is written wrongly");
			return;
		}
	}
	for (uint64_t bits = 0; bits < 2000; bits++)
		CU_ASSERT_TRUE(reads_back(from_bits(bits)) && shortest(from_bits(bits)));
}

static void test_powers(void)
{
	for (int e = -1074; e < 1024; e++) {
		double power = ldexp(1, e);
		CU_ASSERT_TRUE(reads_back(power));
		CU_ASSERT_TRUE(reads_back(-power));
		CU_ASSERT_TRUE(reads_back(nextafter(power, 0)));
		if (e < 1023)
			CU_ASSERT_TRUE(reads_back(nextafter(power, INFINITY)));
	}
}

static void test_parse_accepts(void)
{
	static const struct {
		const char *text;
		double value;
	} rows[] = { { "0", 0 }, { "007", 7 }, { "-12.50", -12.5 }, { "+3", 3 }, { ".5", 0.5 },
		{ "5.", 5 }, { "1e3", 1000 }, { "1E+03", 1000 }, { "2.5e-3", 0.0025 },
		{ "1.7976931348623157e308", DBL_MAX }, { "-1.7976931348623157e308", -DBL_MAX },
		{ "1e-400", 0 }, { "4.9e-324", 5e-324 }, { "9007199254740993", 9007199254740992 },
		{ "0e999999999999999999999", 0 }, { "1e-999999999999999999999", 0 } };
	double out;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		out = NAN;
		CU_ASSERT_TRUE(number_parse(rows[i].text, strlen(rows[i].text), &out));
		CU_ASSERT_EQUAL(out, rows[i].value);
	}
	CU_ASSERT_TRUE(number_parse("-0", 2, &out) && signbit(out));
	CU_ASSERT_TRUE(number_parse("12345", 2, &out));
	CU_ASSERT_EQUAL(out, 12);
}

static void test_parse_refuses(void)
{
	static const char *const rows[] = { "", " ", "-", "+", ".", "-.", "e5", ".e5", "1e", "1e+",
		"1e-", "1e5.5", "1e5e5", "--1", "+-1", "1-", "1+1", "1.2.3", "1..2", "1,5", "1_000",
		"1 000", " 1", "1 ", "\t1", "1\n", "0x10", "0x1p3", "1p3", "0b1", "nan", "NaN",
		"NAN", "-nan", "nan(1)", "inf", "-inf", "INF", "infinity", "Infinity", "1e309",
		"1e999", "-1e999", "1.7976931348623159e308", "null", "true", "abc", "1a", "a1",
		"=cmd", "1d5", "1f", "\xef\xbc\x91", "\302\2401" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double out = 77;
		bool ok = number_parse(rows[i], strlen(rows[i]), &out);
		if (ok)
			fprintf(stderr, "\n\"%s\" was taken for %g\n", rows[i], out);
		CU_ASSERT_FALSE(ok);
		CU_ASSERT_EQUAL(out, 77);
	}
}

static void test_parse_lengths(void)
{
	static char digits[100000];
	double out = 77;

	memset(digits, '9', sizeof(digits));
	CU_ASSERT_TRUE(number_parse(digits, 308, &out));
	CU_ASSERT_EQUAL(out, 1e308);
	out = 77;
	CU_ASSERT_FALSE(number_parse(digits, 310, &out)); /* beyond a double */
	CU_ASSERT_FALSE(number_parse(digits, sizeof(digits), &out));
	memset(digits, '0', sizeof(digits));
	CU_ASSERT_FALSE(number_parse(digits, sizeof(digits), &out));
	CU_ASSERT_FALSE(number_parse(digits, 512, &out));
	CU_ASSERT_TRUE(number_parse(digits, 511, &out));
	CU_ASSERT_EQUAL(out, 0);
	out = 77;
	CU_ASSERT_FALSE(number_parse("1\0", 2, &out));
	CU_ASSERT_FALSE(number_parse("\0001", 2, &out));
	CU_ASSERT_EQUAL(out, 77);
}

static void test_integer(void)
{
	static const struct {
		const char *text;
		long long low, high, value;
	} good[] = { { "0", 0, 9, 0 }, { "-0", 0, 9, 0 }, { "9", 0, 9, 9 }, { "-5", -5, 5, -5 },
		{ "007", 0, 9, 7 }, { "65535", 1, 65535, 65535 },
		{ "9223372036854775807", LLONG_MIN, LLONG_MAX, LLONG_MAX },
		{ "-9223372036854775808", LLONG_MIN, LLONG_MAX, LLONG_MIN } };
	static const char *const bad[] = { "", " ", "-", "+5", "--5", " 5", "5 ", "5\n", "5.0",
		"5.", "5e0", "0x5", "five", "5a", "1,000", "10", "-1", "9223372036854775808",
		"-9223372036854775809", "99999999999999999999999999", "18446744073709551617" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		long long out = 77;
		CU_ASSERT_TRUE(number_parse_integer(good[i].text, good[i].low, good[i].high, &out));
		CU_ASSERT_EQUAL(out, good[i].value);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		long long out = 77;
		CU_ASSERT_FALSE(number_parse_integer(bad[i], 0, 9, &out));
		CU_ASSERT_EQUAL(out, 77);
	}
	for (size_t i = 17; i < sizeof(bad) / sizeof(bad[0]); i++) {
		long long out = 77;
		CU_ASSERT_FALSE(number_parse_integer(bad[i], LLONG_MIN, LLONG_MAX, &out));
	}
}

/* What the short way reads is what strtod reads, to the bit. */
static void test_parse_as_strtod(void)
{
	struct rng rng;
	char text[64];
	double value;

	rng_seed(&rng, 7);
	for (int i = 0; i < 1000000; i++) {
		size_t len = 0, digits = 1 + (size_t)rng_below(&rng, 17);
		size_t point = (size_t)rng_below(&rng, digits + 2);
		if (rng_below(&rng, 2))
			text[len++] = "+-"[rng_below(&rng, 2)];
		for (size_t d = 0; d < digits; d++) {
			if (d == point)
				text[len++] = '.';
			text[len++] = (char)('0' + rng_below(&rng, 10));
		}
		text[len] = '\0';
		double expected = strtod(text, NULL);
		if (!number_parse(text, len, &value) ||
			memcmp(&value, &expected, sizeof(value)) != 0) {
			CU_FAIL("another number than strtod's");
			printf("%s\n", text);
			return;
		}
	}
	CU_PASS("all are the same");
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void test_sort(void)
{
	static const size_t sizes[] = { 0, 1, 2, 511, 512, 513, 100000 };
	struct rng rng;

	rng_seed(&rng, 11);
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		size_t n = sizes[s];
		double *value = malloc(n * sizeof(*value) + 1),
		       *other = malloc(n * sizeof(*value) + 1);
		CU_ASSERT_FATAL(value && other);
		for (size_t i = 0; i < n; i++) {
			do { /* any bits but NaN and 0, which have two forms */
				uint64_t bits = rng_below(&rng, 3) ? rng_next(&rng) : i % 7 * 1000;
				memcpy(&value[i], &bits, sizeof(bits));
			} while (isnan(value[i]));
			if (value[i] == 0)
				value[i] = 1;
		}
		memcpy(other, value, n * sizeof(*value));
		number_sort(value, n);
		qsort(other, n, sizeof(*other), by_value);
		CU_ASSERT_EQUAL(memcmp(value, other, n * sizeof(*value)), 0);
		free(value);
		free(other);
	}
	double few[] = { 0.0, -INFINITY, 3, INFINITY, -3 };
	number_sort(few, 5);
	CU_ASSERT_TRUE(few[0] == -INFINITY && few[1] == -3 && few[4] == INFINITY);
}

static CU_TestInfo cases[] = {
	{ "numbers are written as JSON has them, null for what is none", test_format_table },
	{ "a sensor's number is written as printf would", test_short },
	{ "a score is written as printf would", test_long },
	{ "two million random doubles read back, and no shorter", test_random_bits },
	{ "values of two decimals are written with two decimals", test_sensor_values },
	{ "subnormals read back, and no shorter", test_subnormals },
	{ "powers of two and their neighbours read back", test_powers },
	{ "decimal numbers are read", test_parse_accepts },
	{ "nan, inf, hexadecimal, blanks, commas and overflow are refused", test_parse_refuses },
	{ "a number ends where its length says and may not be endless", test_parse_lengths },
	{ "a million short numbers are what strtod makes of them", test_parse_as_strtod },
	{ "doubles are sorted as qsort sorts them", test_sort },
	{ "integers are read within their bounds and nothing else is", test_integer },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("number", cases);
}
