#include "common/number.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t number_format(double value, char out[NUMBER_TEXT_SIZE])
{
	if (!isfinite(value)) {
		memcpy(out, "null", 5);
		return 4;
	}
	int n = 0;
	/* 15 digits always survive text -> double -> text, so most sensor values end here; 17
	 * always survive double -> text -> double. */
	int digits = fabs(value) < DBL_MIN ? 1 : 15; /* subnormals have fewer */
	for (; digits <= 17; digits++) {
		n = snprintf(out, NUMBER_TEXT_SIZE, "%.*g", digits, value);
		if (strtod(out, NULL) == value)
			break;
	}
	return (size_t)n;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* [+-]digits[.digits][e[+-]digits], with at least one digit before the exponent. */
static bool decimal_grammar(const char *text, size_t len)
{
	size_t i = 0, mantissa = 0, exponent = 0;

	if (i < len && (text[i] == '+' || text[i] == '-'))
		i++;
	for (; i < len && is_digit(text[i]); i++)
		mantissa++;
	if (i < len && text[i] == '.')
		for (i++; i < len && is_digit(text[i]); i++)
			mantissa++;
	if (mantissa == 0)
		return false;
	if (i < len && (text[i] == 'e' || text[i] == 'E')) {
		i++;
		if (i < len && (text[i] == '+' || text[i] == '-'))
			i++;
		for (; i < len && is_digit(text[i]); i++)
			exponent++;
		if (exponent == 0)
			return false;
	}
	return i == len;
}

/* [+-]digits[.digits] of at most 15 digits, as sensors write: both the digits and the power of ten
 * are doubles exactly, so that one division rounds once, as strtod does (Clinger, "How to Read
 * Floating Point Numbers Accurately", 1990, section 4). False: anything else. */
static bool parse_short(const char *text, size_t len, double *out)
{
	static const double power[] = { 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
		1e12, 1e13, 1e14, 1e15 };
	size_t i = len > 0 && (text[0] == '-' || text[0] == '+'), digits = 0, after = 0;
	uint64_t number = 0;

	if (len > 17) /* a sign, 15 digits, a point */
		return false;
	for (; i < len && is_digit(text[i]); i++, digits++)
		number = number * 10 + (uint64_t)(text[i] - '0');
	if (i < len && text[i] == '.')
		for (i++; i < len && is_digit(text[i]); i++, digits++, after++)
			number = number * 10 + (uint64_t)(text[i] - '0');
	if (i != len || digits == 0 || digits > 15)
		return false;
	double value = (double)number / power[after];
	*out = text[0] == '-' ? -value : value;
	return true;
}

bool number_parse(const char *text, size_t len, double *out)
{
	char copy[512]; /* longer numbers exist, but no sensor writes them */

	if (parse_short(text, len, out))
		return true;
	if (len == 0 || len >= sizeof(copy) || !decimal_grammar(text, len))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	double value = strtod(copy, NULL);
	if (!isfinite(value))
		return false;
	*out = value;
	return true;
}

bool number_parse_integer(const char *text, long long low, long long high, long long *out)
{
	const char *digits = text + (*text == '-');

	if (!is_digit(*digits) || strlen(digits) > 19)
		return false;
	errno = 0;
	char *end;
	long long value = strtoll(text, &end, 10);
	if (errno || *end || value < low || value > high)
		return false;
	*out = value;
	return true;
}
