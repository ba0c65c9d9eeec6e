/* What the benchmarks share: timing, medians, and one line a figure. */
#ifndef ISOLDE_TESTS_BENCH_H
#define ISOLDE_TESTS_BENCH_H

#include "common/schema.h"
#include <stddef.h>
#include <stdint.h>

/* Prints "name median unit [low-high] must" and remembers whether the must was met. */
void bench_figure(const char *name, double *samples, size_t n, const char *unit, double at_most);

/* How many musts were missed: the exit code. */
int bench_missed(void);

/* Rows of the default baseline (DESIGN "Score"): independent normals, mean 60/35/75, sd 10.
 * value: [rows][3]. */
void bench_baseline(double *value, size_t rows, uint64_t seed);
void bench_schema(struct schema *schema);

#endif
