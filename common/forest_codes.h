/* A feature's values as codes: code(x) = how many of the distinct splits of the feature x exceeds,
 * so that x > split[i] says the same as code(x) > i, and a forest is walked and tabulated in whole
 * numbers. NaN and -inf have code 0, +inf the last. For common/forest and common/forest_bits. */
#ifndef ISOLDE_COMMON_FOREST_CODES_H
#define ISOLDE_COMMON_FOREST_CODES_H

#include "common/forest.h"

enum {
	CODES_RUNG = 16,
	CODES_LEVELS_MAX = 6, /* 16^6 is more than FOREST_NODES_MAX */
};

/* Every CODES_RUNG-th edge of a level is one of the level above it: a search looks at a few whole
 * cache lines, and the lines of a level do not wait for each other. */
struct codes {
	double *edge; /* of all levels, the coarsest first: ascending, +inf behind the last */
	uint32_t levels;
	uint32_t level[CODES_LEVELS_MAX]; /* where each begins */
	uint32_t edges;                   /* of all levels, whole rungs */
	uint32_t count;                   /* of the last one: splits */
};

/* Puts the splits of feature f into split[count], each once, ascending, and lays out the levels:
 * edge[edges] is to be given to it, at a whole cache line, and filled from them. While it sorts it
 * needs room for every node of the feature; c->nodes have room for the splits of all features one
 * behind the other. */
void codes_plan(struct codes *codes, const struct forest_columns *c, size_t f, double *split);
void codes_fill(struct codes *codes, const double *split);

/* In a header because each level of forest_bits compiles it for its own vectors. */
static inline __attribute__((always_inline)) uint32_t code_of(const struct codes *codes, double x)
{
	uint32_t at = 0;

	for (uint32_t k = 0; k < codes->levels; k++) {
		const double *edge = codes->edge + codes->level[k] + at * CODES_RUNG;
		int64_t exceeded = 0;
#pragma GCC unroll 1 /* else gcc 12 unrolls it before it could make vectors of it */
		for (int i = 0; i < CODES_RUNG; i++)
			exceeded += edge[i] < x;
		at = at * CODES_RUNG + (uint32_t)exceeded;
	}
	return at;
}

#endif
