/* Radix sort from the least digit (Knuth, TAOCP 3, 5.2.5, algorithm R), 11 bits a digit: six
 * passes, less those in which all numbers have the same digit. A million doubles: 13 ms, qsort 110.
 */
#include "common/sort.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DIGIT_BITS = 11, DIGITS = 6, VALUES = 1 << DIGIT_BITS, FEW = 2048 };

#define SIGN (UINT64_C(1) << 63)

static int by_double(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

static int by_integer(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
	return (left > right) - (left < right);
}

static size_t digit_of(uint64_t key, unsigned digit)
{
	return (size_t)(key >> (digit * DIGIT_BITS)) & (VALUES - 1);
}

/* One pass; false if it would move nothing. */
static bool distribute(const uint64_t *from, uint64_t *to, size_t n, unsigned digit, size_t *count)
{
	if (count[digit_of(from[0], digit)] == n)
		return false;
	for (size_t value = 0, first = 0; value < VALUES; value++) {
		size_t here = count[value];
		count[value] = first;
		first += here;
	}
	for (size_t i = 0; i < n; i++)
		to[count[digit_of(from[i], digit)]++] = from[i];
	return true;
}

/* room has n numbers' room; the result is in key. */
static void sort_keys(uint64_t *key, uint64_t *room, size_t n, size_t (*count)[VALUES])
{
	uint64_t *from = key, *to = room;

	memset(count, 0, DIGITS * sizeof(*count));
	for (size_t i = 0; i < n; i++)
		for (unsigned digit = 0; digit < DIGITS; digit++)
			count[digit][digit_of(key[i], digit)]++;
	for (unsigned digit = 0; digit < DIGITS; digit++) {
		if (!distribute(from, to, n, digit, count[digit]))
			continue;
		uint64_t *swap = from;
		from = to;
		to = swap;
	}
	if (from != key)
		memcpy(key, from, n * sizeof(*key));
}

/* False without memory: nothing was done. */
static bool sort_by_digits(uint64_t *key, size_t n)
{
	uint64_t *room = malloc(n * sizeof(*room));
	size_t(*count)[VALUES] = malloc(DIGITS * sizeof(*count));
	bool able = room && count;

	if (able)
		sort_keys(key, room, n, count);
	free(room);
	free(count);
	return able;
}

void sort_integers(uint64_t *x, size_t n)
{
	if (n < FEW || !sort_by_digits(x, n))
		qsort(x, n, sizeof(*x), by_integer);
}

/* As integers that are in the same order: a negative number's bits turned round, the others above
 * them. IEEE 754 orders them so. False: there is a -0, which is no less than 0. */
static bool to_keys(const double *x, size_t n, uint64_t *key)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t bits;
		memcpy(&bits, &x[i], sizeof(bits));
		if (bits == SIGN)
			return false;
		key[i] = bits & SIGN ? ~bits : bits | SIGN;
	}
	return true;
}

static void from_keys(const uint64_t *key, size_t n, double *x)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t bits = key[i] & SIGN ? key[i] & ~SIGN : ~key[i];
		memcpy(&x[i], &bits, sizeof(bits));
	}
}

void sort_doubles(double *x, size_t n)
{
	uint64_t *key = n < FEW ? NULL : malloc(n * sizeof(*key));

	if (key && to_keys(x, n, key) && sort_by_digits(key, n))
		from_keys(key, n, x);
	else
		qsort(x, n, sizeof(*x), by_double);
	free(key);
}
