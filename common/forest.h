/* Isolation forest, scoring side. Immutable once made: any number of threads may score.
 * Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008. The score follows scikit-learn's
 * -decision_function with contamination="auto". Grown by common/train. */
#ifndef ISOLDE_COMMON_FOREST_H
#define ISOLDE_COMMON_FOREST_H

#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum {
	FOREST_FEATURES_MAX = 64,
	FOREST_TREES_MAX = 1000,
	FOREST_NODES_MAX = 4000000, /* of all trees together */
	FOREST_DEPTH_MAX = 32,
	FOREST_SAMPLE_MAX = 65536,             /* rows of one tree */
	FOREST_TABLE_BYTES = 16 * 1024 * 1024, /* a usual limit of forest_tabulate */
};

/* The trees as columns, as the model file keeps them: node i of the whole forest. Children
 * stand side by side behind their parent (right = left + 1), which proves that there is no
 * cycle. */
struct forest_columns {
	size_t features, trees, nodes;
	size_t sample_size;     /* rows each tree was grown from, psi in the paper */
	const uint32_t *root;   /* [trees], ascending; tree t owns nodes root[t] .. root[t+1]-1 */
	const int32_t *feature; /* [nodes] column, -1 for a leaf */
	const double *split;    /* [nodes] left when x[feature] <= split; any number for a leaf */
	const uint32_t *left;   /* [nodes] left child, 0 for a leaf */
	const uint32_t *rows;   /* [nodes] training rows that came here */
};

struct forest;
struct forest_bits; /* common/forest_bits.h */

/* Checks every index, count and depth, so that scoring need not; copies. *out is the caller's,
 * forest_destroy. STATUS_BAD_INPUT names tree and node. */
enum status forest_create(
	const struct forest_columns *columns, struct forest **out, struct why *why) MUST_USE;
void forest_destroy(struct forest *forest);

/* Frees what only a model file needs, more than half of its memory: the columns keep their counts
 * and roots, their other arrays are NULL. It scores, and is tabulated, as before. Before other
 * threads see it. */
void forest_slim(struct forest *forest);

/* The columns it was made from, borrowed. */
const struct forest_columns *forest_columns(const struct forest *forest);

/* Lays the forest out a second time, as bit tables of at most bytes_max bytes, which score the
 * same bits several times faster: before other threads see it. What the tables take; 0 if they
 * would take more (or bytes_max is 0), or the features are so many that walking is as fast, and
 * scoring walks the trees as before. */
size_t forest_tabulate(struct forest *forest, size_t bytes_max);

/* The same beside the forest, for who decides for many forests which of them have tables: NULL
 * where forest_tabulate says 0; the caller's, forest_bits_destroy. With NULL forest_score_by walks.
 */
struct forest_bits *forest_tables(const struct forest *forest, size_t bytes_max);
double forest_score_by(
	const struct forest *forest, const struct forest_bits *tables, const double *x);

/* 2^(-E[h(x)] / c(psi)) - 0.5 for x[features]: about -0.1 at the centre of the healthy data, at
 * most 0.5. Larger is stranger. Path lengths are added as integers of 2^-20, so every order and
 * build gives the same sum. NaN and -inf go left, +inf right, at every node. Allocates nothing. */
double forest_score(const struct forest *forest, const double *x);

/* Mean path length of an unsuccessful search in a binary tree of n rows: c(n), the normaliser
 * of a path length. n = 0 and 1 give 0, n = 2 gives 1 (the logarithm that approximates the
 * harmonic number would give 0.15). Source: Liu 2008, eq. 1. */
double forest_mean_depth(size_t n);

#endif
