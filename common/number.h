/* Doubles as text, and in order. The C locale is assumed: no program of ours calls setlocale. */
#ifndef ISOLDE_COMMON_NUMBER_H
#define ISOLDE_COMMON_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUMBER_TEXT_SIZE = 32 };

/* The shortest decimal that reads back to the same double, as JSON writes numbers (46 of the
 * powers of two, such as 2^-24, get a 17th digit that they could do without); "null" for NaN and
 * infinities. Returns the length. */
size_t number_format(double value, char out[NUMBER_TEXT_SIZE]);

/* A whole decimal number and nothing else: digits with optional sign, point and exponent.
 * False for text, blanks, hexadecimal, "nan", "inf", and what overflows (1e999). */
bool number_parse(const char *text, size_t len, double *out);

/* A decimal integer in low .. high and nothing else. */
bool number_parse_integer(const char *text, long long low, long long high, long long *out);

/* Smallest first, -0 before 0; no NaN among them. Bytewise from the least significant one (Knuth,
 * TAOCP 3, section 5.2.5), a quarter of qsort's time for a million; where there is no memory for a
 * second copy it is qsort. */
void number_sort(double *value, size_t n);
void number_sort_unsigned(uint64_t *value, size_t n);

#endif
