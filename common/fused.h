/* The fused detector: a forest with informed cuts, the distance to prototypes of the healthy data
 * and the shrunk Mahalanobis distance, added up as the rarity each had among healthy readings it
 * had not been fitted to. In nats and without an upper end: farther is always stranger. Immutable
 * once checked; any thread.
 * Sources: SCiForest (Liu, Ting, Zhou, ECML 2010) for the penalty and the gain; Ledoit and Wolf
 * (JMVA 2004) for the shrinkage. Fitted by common/fused_fit. */
#ifndef ISOLDE_COMMON_FUSED_H
#define ISOLDE_COMMON_FUSED_H

#include "common/cpu.h"
#include "common/schema.h"
#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum {
	FUSED_TREES_MAX = 1000,
	FUSED_NODES_MAX = 1000000, /* of all trees together */
	FUSED_DEPTH_MAX = 16,
	FUSED_PROTOTYPES_MAX = 4096,
	FUSED_NEAREST = 10, /* prototypes whose mean distance counts */
	FUSED_KNOTS = 64,
	FUSED_MEMBERS = 3,   /* forest, prototypes, Mahalanobis */
	FUSED_SPARE = 64,    /* floats that may be read behind the prototypes */
	FUSED_ONE = 1 << 20, /* a step of a path */
};

/* Left when weight_a z[a] + weight_b z[b] <= cut, a step less when farther from it than `range`. */
struct fused_node {
	float weight_a, weight_b, cut, range;
	uint32_t left; /* the right child stands behind it; a leaf is its own */
	uint16_t a, b;
};

/* -ln of the share of healthy scores above a score: knots, then an exponential tail. */
struct fused_tail {
	double score[FUSED_KNOTS], nats[FUSED_KNOTS]; /* ascending */
	double excess;                                /* mean, beyond the last knot; > 0 */
};

struct fused_test; /* common/fused_score.c */

struct fused;
typedef double fused_member(const struct fused *fused, const float *z);

struct fused {
	size_t features, trees, nodes, sample_size, prototypes;
	double mean[FEATURES_MAX], sd[FEATURES_MAX]; /* z = (x - mean) / sd; 0 where sd is 0 */
	double *whitening;                           /* [features (features + 1) / 2] rows of the
							inverse Cholesky factor */
	float *prototype;                            /* [features][prototypes] whitened, and
							FUSED_SPARE behind them */
	uint32_t *root;                              /* [trees] ascending */
	struct fused_node *node;                     /* [nodes] */
	uint32_t *rows;                              /* [nodes] training rows that came here */
	struct fused_tail tail[FUSED_MEMBERS];
	/* set by fused_check */
	int32_t *leaf; /* [nodes + 1] path length in 2^-20 steps */
	unsigned depth;
	double scale;
	/* set by fused_prepare */
	fused_member *forest_member, *prototype_member;
	struct fused_test *test; /* [nodes + 1] the nodes once more, for vectors; or NULL */
	uint32_t *start;         /* their roots, filled up to whole vectors */
};

/* Room for its arrays from the counts that are set; false: no memory. */
struct fused *fused_create(size_t features, size_t trees, size_t nodes, size_t prototypes);
void fused_destroy(struct fused *fused); /* NULL is fine */

/* Checks every index, count and number but the tails, and makes it ready to score. */
enum status fused_check(struct fused *fused, struct why *why) MUST_USE;
enum status fused_check_tails(const struct fused *fused, struct why *why) MUST_USE;

/* Chooses how it is scored: by the best level of this processor for which it has a layout. What
 * fused_check does last; without memory for a layout the nodes serve. */
void fused_prepare(struct fused *fused);

/* For tests and benchmarks, as forest_bits_use: every level gives the same bits. */
bool fused_use(struct fused *fused, enum cpu_level level);

/* Each member's score of x[features], all finite; larger is stranger. Allocates nothing. */
void fused_members(const struct fused *fused, const double *x, double member[FUSED_MEMBERS]);

/* Their sum in nats. */
double fused_sum(const struct fused *fused, const double member[FUSED_MEMBERS]);

double fused_score(const struct fused *fused, const double *x);

#endif
