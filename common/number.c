#include "common/number.h"
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As doubles; those from 1 on are exact. 10^i is power_of_ten[UNIT + i]. */
enum { LEAST = -4, UNIT = -LEAST };
static const double power_of_ten[] = { 1e-4, 1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7,
	1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };

/* printf's %g writes no exponent from 1e-4 on, and 15 digits reach behind the point below 1e9. */
static bool is_plain(double value)
{
	double size = fabs(value);

	return size >= 1e-4 && size < 1e9;
}

/* digits / 10^places, at least one of them before the point. */
static size_t write_decimal(uint64_t digits, size_t places, bool negative, char *out)
{
	char reversed[NUMBER_TEXT_SIZE];
	size_t n = 0, len = 0;

	for (uint64_t rest = digits; rest > 0 || n <= places; rest /= 10) {
		reversed[len++] = (char)('0' + rest % 10);
		if (++n == places)
			reversed[len++] = '.';
	}
	if (negative)
		reversed[len++] = '-';
	for (size_t i = 0; i < len; i++)
		out[i] = reversed[len - 1 - i];
	out[len] = '\0';
	return len;
}

/* What sensors send, up to 15 digits and 6 of them behind the point: digits / 10^places is rounded
 * once, as strtod would, and the first that gives `value` is the shortest. The same text as the
 * printf below, in a tenth of its time. 0: another kind of number. */
static size_t format_short(double value, char *out)
{
	enum { PLACES_MAX = 6 };
	const double *power = power_of_ten + UNIT;
	double size = fabs(value);
	size_t places = 0;

	if (size != 0 && !is_plain(value))
		return 0;
	double digits = nearbyint(size);
	while (places < PLACES_MAX && digits / power[places] != size)
		digits = nearbyint(size * power[++places]);
	if (digits / power[places] != size)
		return 0;
	return write_decimal((uint64_t)digits, places, signbit(value), out);
}

#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 wide;

/* fraction / 2^shift to `places` decimals, ties to even. Whether a reader gets the same double
 * back: it is no further away than half a unit of the fraction, as a tie that goes to the even one
 * may be. */
static bool round_at(uint64_t fraction, unsigned shift, wide power, uint64_t *digits)
{
	wide scaled = fraction * power, one = (wide)1 << shift;
	wide rest = scaled & (one - 1);

	*digits = (uint64_t)(scaled >> shift);
	if (2 * rest > one || (2 * rest == one && *digits % 2 == 1)) {
		++*digits;
		rest = one - rest;
	}
	return fraction % 2 == 0 ? 2 * rest <= power : 2 * rest < power;
}

/* What scores are, 16 or 17 digits: value = fraction / 2^shift exactly, so that rounding and the
 * question whether it reads back are a few operations on 128 bits. The same text as the printf
 * below, in a tenth of its time. 0: another kind of number; so are powers of two, whose lower
 * neighbour is nearer. */
static size_t format_exact(double value, char *out)
{
	enum { DIGITS_MIN = 15, DIGITS_MAX = 17 };
	int exponent;
	size_t whole = 0; /* 10^(LEAST + whole) is the power of the first digit */
	uint64_t digits;

	if (!is_plain(value))
		return 0;
	uint64_t fraction = (uint64_t)ldexp(frexp(fabs(value), &exponent), DBL_MANT_DIG);
	if (fraction == UINT64_C(1) << (DBL_MANT_DIG - 1))
		return 0;
	while (fabs(value) >= power_of_ten[whole + 1])
		whole++;
	size_t places = (size_t)(DIGITS_MIN - 1 - LEAST) - whole;
	wide scale = 1;
	for (size_t i = 0; i < places; i++)
		scale *= 10;
	for (int n = DIGITS_MIN; n <= DIGITS_MAX; n++, places++, scale *= 10) {
		if (!round_at(fraction, (unsigned)(DBL_MANT_DIG - exponent), scale, &digits))
			continue;
		for (; digits % 10 == 0 && places > 0; places--)
			digits /= 10;
		return write_decimal(digits, places, value < 0, out);
	}
	return 0;
}
#else
static size_t format_exact(double value, char *out)
{
	(void)value;
	(void)out;
	return 0;
}
#endif

size_t number_format(double value, char out[NUMBER_TEXT_SIZE])
{
	if (!isfinite(value)) {
		memcpy(out, "null", 5);
		return 4;
	}
	size_t len = format_short(value, out);
	if (len == 0)
		len = format_exact(value, out);
	if (len > 0)
		return len;
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

/* Up to 15 digits without an exponent, what sensors write: digits and power of ten are doubles as
 * they are, so that one division rounds once, as strtod does (Clinger, "How to Read Floating Point
 * Numbers Accurately", PLDI 1990, section 4). A fifth of strtod's time. */
static bool parse_short(const char *text, size_t len, double *out)
{
	enum { DIGITS_MAX = 15 };
	bool negative = *text == '-';
	size_t i = negative || *text == '+', digits = 0, point = 0;
	int64_t whole = 0;

	for (; i < len; i++) {
		if (text[i] == '.' && point == 0)
			point = i + 1;
		else if (is_digit(text[i]) && digits++ < DIGITS_MAX)
			whole = 10 * whole + (text[i] - '0');
		else
			return false;
	}
	if (digits == 0)
		return false;
	double value = (double)whole / power_of_ten[UNIT + (point ? len - point : 0)];
	*out = negative ? -value : value;
	return true;
}

static bool parse_any(const char *text, size_t len, double *out)
{
	char copy[512]; /* longer numbers exist, but no sensor writes them */

	if (len >= sizeof(copy) || !decimal_grammar(text, len))
		return false;
	memcpy(copy, text, len);
	copy[len] = '\0';
	double value = strtod(copy, NULL);
	if (!isfinite(value))
		return false;
	*out = value;
	return true;
}

/* The copy is in a function of its own, because the compiler is told to fill it with zeros where it
 * begins: in here that took two thirds of a short number's time. */
bool number_parse(const char *text, size_t len, double *out)
{
	return len > 0 && (parse_short(text, len, out) || parse_any(text, len, out));
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

/* ---- order ---- */

enum { SORT_BYTES = 8, SORT_LEAST = 512 }; /* fewer are quicker by qsort */

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* One pass: in the order of byte `byte`, and where it is equal as they were. */
static void distribute(
	const uint64_t *from, uint64_t *to, size_t n, size_t byte, const size_t count[256])
{
	size_t next[256], sum = 0;

	for (size_t i = 0; i < 256; i++) {
		next[i] = sum;
		sum += count[i];
	}
	for (size_t i = 0; i < n; i++)
		to[next[from[i] >> 8 * byte & 255]++] = from[i];
}

void number_sort_unsigned(uint64_t *value, size_t n)
{
	size_t count[256];
	uint64_t *spare = n < SORT_LEAST ? NULL : malloc(n * sizeof(*spare));
	uint64_t *from = value, *to = spare;

	if (!spare) {
		qsort(value, n, sizeof(*value), ascending);
		return;
	}
	for (size_t byte = 0; byte < SORT_BYTES; byte++) {
		memset(count, 0, sizeof(count));
		for (size_t i = 0; i < n; i++)
			count[from[i] >> 8 * byte & 255]++;
		if (count[from[0] >> 8 * byte & 255] == n)
			continue; /* they all have the same one */
		distribute(from, to, n, byte, count);
		uint64_t *swap = from;
		from = to;
		to = swap;
	}
	if (from != value)
		memcpy(value, from, n * sizeof(*value));
	free(spare);
}

/* Bits of a double that order as unsigned numbers do, and back. */
static uint64_t to_key(uint64_t bits)
{
	return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static uint64_t from_key(uint64_t key)
{
	return key >> 63 ? key & ~(UINT64_C(1) << 63) : ~key;
}

static int ascending_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void number_sort(double *value, size_t n)
{
	uint64_t *key = n < SORT_LEAST ? NULL : malloc(n * sizeof(*key));

	if (!key) {
		qsort(value, n, sizeof(*value), ascending_double);
		return;
	}
	memcpy(key, value, n * sizeof(*key));
	for (size_t i = 0; i < n; i++)
		key[i] = to_key(key[i]);
	number_sort_unsigned(key, n);
	for (size_t i = 0; i < n; i++)
		key[i] = from_key(key[i]);
	memcpy(value, key, n * sizeof(*key));
	free(key);
}
