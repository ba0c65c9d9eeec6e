/* A history to measure on: readings of a thousand machines, one a millisecond, one in a hundred an
 * anomaly; and one quiet machine with a reading in 100,000. What goes wrong ends the program. */
#ifndef ISOLDE_TESTS_BENCH_HISTORY_H
#define ISOLDE_TESTS_BENCH_HISTORY_H

#include "common/store.h"
#include <stddef.h>

enum { HISTORY_BATCH = 1000 };

/* The rows from number `first` up to `end` of a history that ends about now when it has `all`. */
void history_fill(struct store *store, size_t first, size_t end, size_t all);

/* Asks for 50 rows n times, ms each; how many were found. `machine` NULL: all. */
size_t history_query(
	struct store *store, const char *machine, bool anomalies_only, double *ms, size_t n);

struct store *history_open(const char *path, enum store_mode mode);

#endif
