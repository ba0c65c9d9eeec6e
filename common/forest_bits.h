/* A forest as bit tables: every leaf is one bit, and a reading picks one row a feature, whose AND
 * leaves the leaves it falls into. No branch depends on the reading and no tree is walked. Made at
 * load from the same trees; the sums equal the heap's bit for bit. Immutable; any thread. */
#ifndef ISOLDE_COMMON_FOREST_BITS_H
#define ISOLDE_COMMON_FOREST_BITS_H

#include "common/cpu.h"
#include "common/forest.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct forest_bits;

/* leaf[nodes]: what each leaf adds, 0 for an inner node. NULL where the tables would take more
 * than bytes_max, the forest has too many leaves for a row, or there is no memory: the caller has
 * the trees themselves to score with. */
struct forest_bits *forest_bits_create(
	const struct forest_columns *c, const uint32_t *leaf, size_t bytes_max);
void forest_bits_destroy(struct forest_bits *bits); /* NULL is fine */

/* The sum over the trees of the leaves that x[features] falls into; NaN and -inf go left at every
 * node, +inf right. Allocates nothing. */
uint64_t forest_bits_sum(const struct forest_bits *bits, const double *x);

size_t forest_bits_bytes(const struct forest_bits *bits);

/* For tests and benchmarks: false if this processor has no such level. The best one is chosen by
 * forest_bits_create. */
bool forest_bits_use(struct forest_bits *bits, enum cpu_level level);

#endif
