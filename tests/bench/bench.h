/* What the benchmarks share: timing, medians, and one line a figure. */
#ifndef ISOLDE_TESTS_BENCH_H
#define ISOLDE_TESTS_BENCH_H

#include "common/model.h"
#include "common/schema.h"
#include <stddef.h>
#include <stdint.h>

/* Prints "name median unit [low-high] must" and remembers whether the must was met. */
void bench_figure(const char *name, double *samples, size_t n, const char *unit, double at_most);

/* How many musts were missed: the exit code. */
int bench_missed(void);

double bench_median(double *samples, size_t n); /* sorts them */

/* Rows like the default baseline's: independent normals, mean 60, 35, 75 by turns, sd 10.
 * value: [rows][features]. */
void bench_rows(double *value, size_t rows, size_t features, uint64_t seed);
void bench_schema(struct schema *schema, size_t features);

/* Trained on 2,000 of those rows; the caller's. Ends the program if it cannot be. */
struct model *bench_model(enum detector_kind kind, size_t features, size_t trees);

/* ns a reading, the mean of all of probe[n][features]. */
double bench_score_ns(const struct detector *detector, const double *probe, size_t n);

#endif
