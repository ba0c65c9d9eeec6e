/* Sorting many numbers: by their bits instead of by comparisons, in time that grows with their
 * count alone. Any thread. */
#ifndef ISOLDE_COMMON_SORT_H
#define ISOLDE_COMMON_SORT_H

#include <stddef.h>
#include <stdint.h>

/* Ascending, in place; no NaN. The same order as a stable sort by comparison: -0 equals 0, and
 * which came first stays first. Without memory for a copy (or with few numbers) it compares. */
void sort_doubles(double *x, size_t n);

void sort_integers(uint64_t *x, size_t n);

#endif
