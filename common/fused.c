#include "common/fused.h"
#include "common/forest.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

/* One choice for all data: more for the forest where healthy data have many regimes, enough for
 * the Mahalanobis distance to see a broken correlation. */
static const double weight[FUSED_MEMBERS] = { 4, 2, 3 };

struct fused *fused_create(size_t features, size_t trees, size_t nodes, size_t prototypes)
{
	struct fused *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->features = features;
	f->trees = trees;
	f->nodes = nodes;
	f->prototypes = prototypes;
	f->whitening = calloc(features * (features + 1) / 2, sizeof(*f->whitening));
	f->prototype = calloc(features * prototypes + FUSED_SPARE, sizeof(*f->prototype));
	f->root = calloc(trees, sizeof(*f->root));
	f->node = calloc(nodes, sizeof(*f->node));
	f->rows = calloc(nodes, sizeof(*f->rows));
	f->leaf = calloc(nodes + 1, sizeof(*f->leaf));
	if (f->whitening && f->prototype && f->root && f->node && f->rows && f->leaf)
		return f;
	fused_destroy(f);
	return NULL;
}

void fused_destroy(struct fused *f)
{
	if (!f)
		return;
	free(f->whitening);
	free(f->prototype);
	free(f->root);
	free(f->node);
	free(f->rows);
	free(f->leaf);
	free(f->test);
	free(f->start);
	free(f);
}

static enum status check_counts(const struct fused *f, struct why *why)
{
	if (f->features < 1 || f->features > FEATURES_MAX || f->trees < 1 ||
		f->trees > FUSED_TREES_MAX || f->nodes < f->trees || f->nodes > FUSED_NODES_MAX ||
		f->sample_size < 2 || f->sample_size > FOREST_SAMPLE_MAX || f->prototypes < 1 ||
		f->prototypes > FUSED_PROTOTYPES_MAX)
		return fail(why, STATUS_BAD_INPUT,
			"fused: %zu trees, %zu nodes, %zu prototypes: a count out of range",
			f->trees, f->nodes, f->prototypes);
	for (size_t i = 0; i < f->features * (f->features + 1) / 2; i++) {
		if (!isfinite(f->whitening[i]))
			return fail(why, STATUS_BAD_INPUT, "fused: whitening %zu is not finite", i);
	}
	for (size_t i = 0; i < f->features * f->prototypes; i++) {
		if (!isfinite(f->prototype[i]))
			return fail(why, STATUS_BAD_INPUT, "fused: prototype %zu is not finite", i);
	}
	return STATUS_OK;
}

/* One node of the tree that ends before `end`; its depth is known, its children's are set. */
static enum status check_node(
	struct fused *f, size_t tree, size_t i, size_t end, uint8_t *depth, struct why *why)
{
	const struct fused_node *n = &f->node[i];

	if (f->rows[i] < 1)
		return fail(why, STATUS_BAD_INPUT, "fused: tree %zu node %zu: no rows", tree, i);
	if (n->a >= f->features || n->b >= f->features)
		return fail(why, STATUS_BAD_INPUT,
			"fused: tree %zu node %zu: features %d and %d of %zu", tree, i, n->a, n->b,
			f->features);
	if (n->left == i) {
		f->leaf[i] =
			(int32_t)((depth[i] - 1 + forest_mean_depth(f->rows[i])) * FUSED_ONE + 0.5);
		if (depth[i] - 1u > f->depth)
			f->depth = depth[i] - 1u;
		return STATUS_OK;
	}
	if (n->left < i || n->left >= end - 1 || depth[n->left] || depth[n->left + 1])
		return fail(why, STATUS_BAD_INPUT,
			"fused: tree %zu node %zu: child %u of %zu nodes, or another's", tree, i,
			n->left, end);
	if (!isfinite(n->weight_a) || !isfinite(n->weight_b) || !isfinite(n->cut) ||
		!isfinite(n->range) || n->range < 0)
		return fail(why, STATUS_BAD_INPUT,
			"fused: tree %zu node %zu: a number that is not finite, or a negative range",
			tree, i);
	if (depth[i] > FUSED_DEPTH_MAX)
		return fail(why, STATUS_BAD_INPUT, "fused: tree %zu is deeper than %d", tree,
			FUSED_DEPTH_MAX);
	depth[n->left] = depth[n->left + 1] = depth[i] + 1;
	return STATUS_OK;
}

static enum status check_tree(struct fused *f, size_t t, uint8_t *depth, struct why *why)
{
	size_t first = f->root[t], end = t + 1 < f->trees ? f->root[t + 1] : f->nodes;

	if (first >= end || end > f->nodes || (t == 0 && first != 0))
		return fail(why, STATUS_BAD_INPUT, "fused: tree %zu: root %zu of %zu nodes", t,
			first, f->nodes);
	depth[first] = 1;
	for (size_t i = first; i < end; i++) {
		if (depth[i] == 0)
			return fail(why, STATUS_BAD_INPUT,
				"fused: tree %zu node %zu: it has no parent", t, i);
		enum status st = check_node(f, t, i, end, depth, why);
		if (st != STATUS_OK)
			return st;
	}
	return STATUS_OK;
}

enum status fused_check(struct fused *f, struct why *why)
{
	enum status st = check_counts(f, why);
	if (st != STATUS_OK)
		return st;
	uint8_t *depth = calloc(f->nodes, 1);
	if (!depth)
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu nodes", f->nodes);
	f->depth = 0;
	for (size_t t = 0; st == STATUS_OK && t < f->trees; t++)
		st = check_tree(f, t, depth, why);
	free(depth);
	/* No number exceeds a leaf's cut, none is outside its range: a walk stays there. */
	for (size_t i = 0; st == STATUS_OK && i < f->nodes; i++) {
		if (f->node[i].left == i)
			f->node[i] =
				(struct fused_node){ 0, 0, INFINITY, INFINITY, (uint32_t)i, 0, 0 };
	}
	f->scale = -1 / ((double)FUSED_ONE * (double)f->trees * forest_mean_depth(f->sample_size));
	if (st == STATUS_OK)
		fused_prepare(f);
	return st;
}

enum status fused_check_tails(const struct fused *f, struct why *why)
{
	for (size_t m = 0; m < FUSED_MEMBERS; m++) {
		const struct fused_tail *t = &f->tail[m];
		bool good = isfinite(t->excess) && t->excess > 0;
		for (size_t i = 0; i < FUSED_KNOTS; i++)
			good = good && isfinite(t->score[i]) && isfinite(t->nats[i]) &&
				t->nats[i] >= 0 &&
				(i == 0 ||
					(t->score[i] >= t->score[i - 1] &&
						t->nats[i] >= t->nats[i - 1]));
		if (!good)
			return fail(why, STATUS_BAD_INPUT,
				"fused: tail %zu does not rise in finite steps", m);
	}
	return STATUS_OK;
}

static double rarity(const struct fused_tail *t, double score)
{
	size_t low = 0, high = FUSED_KNOTS - 1;

	if (score >= t->score[high])
		return t->nats[high] + (score - t->score[high]) / t->excess;
	if (!(score > t->score[0]))
		return 0;
	while (high - low > 1) {
		size_t middle = (low + high) / 2;
		if (t->score[middle] <= score)
			low = middle;
		else
			high = middle;
	}
	double part = (score - t->score[low]) / (t->score[high] - t->score[low]);
	return t->nats[low] + part * (t->nats[high] - t->nats[low]);
}

double fused_sum(const struct fused *f, const double member[FUSED_MEMBERS])
{
	double sum = 0;

	for (size_t m = 0; m < FUSED_MEMBERS; m++)
		sum += weight[m] * rarity(&f->tail[m], member[m]);
	return sum;
}

double fused_score(const struct fused *f, const double *x)
{
	double member[FUSED_MEMBERS];

	fused_members(f, x, member);
	return fused_sum(f, member);
}
