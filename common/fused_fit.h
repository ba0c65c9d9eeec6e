/* Fits the fused detector: members, and their tails from out-of-block scores. Pure, and
 * deterministic given the seed. */
#ifndef ISOLDE_COMMON_FUSED_FIT_H
#define ISOLDE_COMMON_FUSED_FIT_H

#include "common/fused.h"
#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum {
	FUSED_FOLDS = 5,
	FUSED_LENGTHS = 3,    /* block lengths; where the borders fall is luck */
	FUSED_ROWS_MIN = 125, /* five blocks of the shortest; fewer cannot be held out */
};

struct fused_options {
	size_t trees, sample_size; /* as struct train_options */
	uint64_t seed;
	void (*progress)(void *context, double done);
	void *context;
};

/* What the rows score by members fitted without their block. */
struct fused_held_out {
	size_t lengths;              /* that the rows allow */
	size_t block[FUSED_LENGTHS]; /* the rows of a block of each, ascending */
	double *score;               /* [lengths][rows]; free() it */
};

/* value[rows][features], all finite, in time order; rows >= FUSED_ROWS_MIN. */
enum status fused_fit(const double *value, size_t rows, size_t features,
	const struct fused_options *options, struct fused **out, struct fused_held_out *held_out,
	struct why *why) MUST_USE;

/* ---- shared with common/train_drift ---- */

/* Shrinks the covariance s[d][d], of which the lower half is set, towards a multiple of the
 * identity (Ledoit, Wolf 2004). n: independent rows it was taken from; `fourth`: the sum over them
 * of the fourth power of a row's length. */
void fused_shrink(double *s, size_t d, double n, double fourth);

/* out[d (d + 1) / 2]: the inverse of the lower Cholesky factor of s[d][d], by rows; s is lost. */
void fused_whiten(double *s, size_t d, double *out);

#endif
