#include "common/fused_fit.h"
#include "common/forest.h"
#include "common/number.h"
#include "common/rng.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Shorter ones hold out too little of a slow signal, longer ones whole regimes. */
static const size_t block_length[FUSED_LENGTHS] = { 25, 40, 64 };

enum { PROTOTYPES = 256, CANDIDATES = 10, DEPTH = 8, NODES_PER_TREE = 2 << DEPTH };
static const double shrink_min = 0.01;
static const double tail_from = 0.98; /* the exponential tail begins here */

struct cut {
	struct fused_node node;
	double gain;
};

struct open_node {
	uint32_t node, first, count;
	unsigned depth;
};

struct fit {
	struct fused *fused;
	const double *value;
	uint32_t *row; /* [count] what is fitted to; its head is the sample of a tree */
	size_t count;
	struct rng rng;
	double *z;                 /* [sample][features] of the tree */
	uint32_t *order;           /* [sample] */
	float *projected, *ranked; /* [sample] */
};

static const double *row_of(const struct fit *f, size_t i)
{
	return f->value + (size_t)f->row[i] * f->fused->features;
}

/* The first n rows become a sample without replacement. */
static void draw_rows(struct fit *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t j = i + (size_t)rng_below(&f->rng, f->count - i);
		uint32_t swap = f->row[i];
		f->row[i] = f->row[j];
		f->row[j] = swap;
	}
}

static void standardise(const struct fused *m, const double *x, double *z)
{
	for (size_t j = 0; j < m->features; j++)
		z[j] = m->sd[j] > 0 ? (x[j] - m->mean[j]) / m->sd[j] : 0;
}

static void fit_scaler(struct fit *f)
{
	struct fused *m = f->fused;
	double n = (double)f->count;

	for (size_t i = 0; i < f->count; i++) {
		for (size_t j = 0; j < m->features; j++)
			m->mean[j] += row_of(f, i)[j] / n;
	}
	for (size_t i = 0; i < f->count; i++) {
		for (size_t j = 0; j < m->features; j++) {
			double d = row_of(f, i)[j] - m->mean[j];
			m->sd[j] += d * d / n;
		}
	}
	for (size_t j = 0; j < m->features; j++)
		m->sd[j] = sqrt(m->sd[j]);
}

void fused_shrink(double *s, size_t d, double n, double fourth)
{
	double m = 0, square = 0, off = 0;

	for (size_t j = 0; j < d; j++)
		m += s[j * d + j] / (double)d;
	for (size_t j = 0; j < d; j++) {
		for (size_t k = 0; k < d; k++) {
			double x = j >= k ? s[j * d + k] : s[k * d + j];
			s[j * d + k] = x;
			square += x * x;
			off += (x - (j == k ? m : 0)) * (x - (j == k ? m : 0));
		}
	}
	double b = fourth / (n * n) - square / n;
	double shrink = off > 0 ? fmax(fmin(b, off) / off, shrink_min) : 1;
	for (size_t j = 0; j < d; j++) {
		for (size_t k = 0; k < d; k++)
			s[j * d + k] *= 1 - shrink;
		s[j * d + j] += shrink * (m > 0 ? m : 1);
	}
}

/* Shrunk covariance of z. s[d][d]. */
static void shrunk_covariance(const struct fit *f, double *s)
{
	size_t d = f->fused->features;
	double z[FEATURES_MAX], n = (double)f->count, fourth = 0;

	for (size_t i = 0; i < f->count; i++) {
		double length = 0;
		standardise(f->fused, row_of(f, i), z);
		for (size_t j = 0; j < d; j++) {
			length += z[j] * z[j];
			for (size_t k = 0; k <= j; k++)
				s[j * d + k] += z[j] * z[k] / n;
		}
		fourth += length * length;
	}
	fused_shrink(s, d, n, fourth);
}

void fused_whiten(double *s, size_t d, double *out)
{
	for (size_t j = 0; j < d; j++) {
		for (size_t k = 0; k <= j; k++) {
			double sum = s[j * d + k];
			for (size_t l = 0; l < k; l++)
				sum -= s[j * d + l] * s[k * d + l];
			s[j * d + k] = j == k ? sqrt(fmax(sum, 1e-12)) : sum / s[k * d + k];
		}
	}
	for (size_t j = 0; j < d; j++) {
		double *row = out + j * (j + 1) / 2;
		for (size_t k = 0; k < j; k++) {
			double sum = 0;
			for (size_t l = k; l < j; l++)
				sum -= s[j * d + l] * out[l * (l + 1) / 2 + k];
			row[k] = sum / s[j * d + j];
		}
		row[j] = 1 / s[j * d + j];
	}
}

static void fit_prototypes(struct fit *f)
{
	struct fused *m = f->fused;
	double z[FEATURES_MAX];

	draw_rows(f, m->prototypes);
	for (size_t i = 0; i < m->prototypes; i++) {
		standardise(m, row_of(f, i), z);
		for (size_t j = 0; j < m->features; j++) {
			const double *row = m->whitening + j * (j + 1) / 2;
			double sum = 0;
			for (size_t k = 0; k <= j; k++)
				sum += row[k] * z[k];
			m->prototype[j * m->prototypes + i] = (float)sum;
		}
	}
}

/* Shell sort with Ciura's gaps: at most a few hundred numbers, and no call a comparison. */
static void rank(float *x, size_t n)
{
	static const size_t gaps[] = { 301, 132, 57, 23, 10, 4, 1 };

	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		for (size_t i = gaps[g]; i < n; i++) {
			float held = x[i];
			size_t j = i;
			for (; j >= gaps[g] && x[j - gaps[g]] > held; j -= gaps[g])
				x[j] = x[j - gaps[g]];
			x[j] = held;
		}
	}
}

/* n times the standard deviation of n numbers of that sum and sum of squares. */
static double spread(double n, double sum, double squares)
{
	return sqrt(fmax(n * squares - sum * sum, 0));
}

/* The cut that leaves the two sides most alike within; SCiForest's gain, pooled. */
static void best_cut(const struct fit *f, const struct open_node *o, struct cut *c)
{
	size_t d = f->fused->features, n = o->count;
	double sum = 0, squares = 0, left = 0, left_squares = 0;
	float *x = f->ranked;

	for (size_t i = 0; i < n; i++) {
		const double *z = f->z + f->order[o->first + i] * d;
		x[i] = c->node.weight_a * (float)z[c->node.a] +
			c->node.weight_b * (float)z[c->node.b];
	}
	rank(x, n);
	c->gain = -1;
	c->node.range = x[n - 1] - x[0];
	for (size_t i = 0; i < n; i++) {
		double y = x[i] - x[0];
		sum += y;
		squares += y * y;
	}
	double all = spread((double)n, sum, squares);
	for (size_t i = 0; i + 1 < n && all > 0; i++) {
		double y = x[i] - x[0];
		left += y;
		left_squares += y * y;
		if (!(x[i] < x[i + 1]))
			continue;
		double gain = 1 -
			(spread((double)(i + 1), left, left_squares) +
				spread((double)(n - i - 1), sum - left, squares - left_squares)) /
				all;
		float middle = x[i] + (x[i + 1] - x[i]) / 2;
		if (gain > c->gain) {
			c->gain = gain;
			c->node.cut = middle < x[i + 1] ? middle : x[i];
		}
	}
}

/* The features that vary in the node, and their sd there. */
static size_t varying(const struct fit *f, const struct open_node *o, uint16_t *feature, double *sd)
{
	size_t d = f->fused->features, found = 0;

	for (size_t j = 0; j < d; j++) {
		double first = f->z[f->order[o->first] * d + j], sum = 0, squares = 0;
		for (size_t i = 0; i < o->count; i++) {
			double y = f->z[f->order[o->first + i] * d + j] - first;
			sum += y;
			squares += y * y;
		}
		sd[found] = spread(o->count, sum, squares) / o->count;
		feature[found] = (uint16_t)j;
		found += sd[found] > 0;
	}
	return found;
}

static bool draw_cut(struct fit *f, const struct open_node *o, struct cut *best)
{
	uint16_t feature[FEATURES_MAX + 1] = { 0 };
	double sd[FEATURES_MAX + 1] = { 0 };
	size_t n = varying(f, o, feature, sd);

	best->gain = -1;
	for (size_t i = 0; n > 0 && i < CANDIDATES; i++) {
		struct cut c = { .gain = -1 };
		size_t a = (size_t)rng_below(&f->rng, n), b = a;
		c.node.weight_a = 1;
		if (i % 2 == 0 && n > 1) {
			b = (a + 1 + (size_t)rng_below(&f->rng, n - 1)) % n;
			/* Of what cuts in one place weight_a = 1 is the one that is quick to score.
			 */
			double of_a = rng_normal(&f->rng) / sd[a];
			double ratio = rng_normal(&f->rng) / sd[b] / of_a;
			c.node.weight_b = isfinite((float)ratio) ? (float)ratio : 0;
		}
		c.node.a = feature[a];
		c.node.b = feature[b];
		best_cut(f, o, &c);
		if (c.gain > best->gain)
			*best = c;
	}
	return best->gain >= 0;
}

static uint32_t partition(const struct fit *f, const struct open_node *o, const struct cut *c)
{
	uint32_t *row = f->order + o->first, left = 0;

	for (uint32_t i = 0; i < o->count; i++) {
		const double *z = f->z + row[i] * f->fused->features;
		float x = c->node.weight_a * (float)z[c->node.a] +
			c->node.weight_b * (float)z[c->node.b];
		if (x <= c->node.cut) {
			uint32_t swap = row[left];
			row[left++] = row[i];
			row[i] = swap;
		}
	}
	return left;
}

static uint32_t add_leaf(struct fused *m, uint32_t rows)
{
	uint32_t i = (uint32_t)m->nodes++;

	m->node[i] = (struct fused_node){ .left = i };
	m->rows[i] = rows;
	return i;
}

static void grow_tree(struct fit *f)
{
	struct fused *m = f->fused;
	struct open_node stack[DEPTH + 2];
	size_t open = 0;

	draw_rows(f, m->sample_size);
	for (size_t i = 0; i < m->sample_size; i++) {
		standardise(m, row_of(f, i), f->z + i * m->features);
		f->order[i] = (uint32_t)i;
	}
	uint32_t n = (uint32_t)m->sample_size;
	stack[open++] = (struct open_node){ add_leaf(m, n), 0, n, 0 };
	while (open > 0) {
		struct open_node o = stack[--open];
		struct cut cut;
		if (o.count < 2 || o.depth == DEPTH || !draw_cut(f, &o, &cut))
			continue;
		uint32_t left = partition(f, &o, &cut);
		if (left == 0 || left == o.count)
			continue;
		cut.node.left = add_leaf(m, left);
		(void)add_leaf(m, o.count - left);
		m->node[o.node] = cut.node;
		stack[open++] = (struct open_node){ cut.node.left + 1, o.first + left,
			o.count - left, o.depth + 1 };
		stack[open++] = (struct open_node){ cut.node.left, o.first, left, o.depth + 1 };
	}
}

static enum status fit_all(struct fit *f, struct why *why)
{
	struct fused *m = f->fused;
	double *covariance = calloc(m->features * m->features, sizeof(*covariance));

	if (!covariance)
		return fail(why, STATUS_NO_MEMORY, "no memory to fit %zu features", m->features);
	fit_scaler(f);
	shrunk_covariance(f, covariance);
	fused_whiten(covariance, m->features, m->whitening);
	free(covariance);
	fit_prototypes(f);
	m->nodes = 0;
	for (size_t t = 0; t < m->trees; t++) {
		m->root[t] = (uint32_t)m->nodes;
		grow_tree(f);
	}
	return fused_check(m, why);
}

/* Members fitted to row[count], whose order is lost. */
static enum status fit_members(const double *value, uint32_t *row, size_t count, size_t features,
	const struct fused_options *o, uint64_t seed, struct fused **out, struct why *why)
{
	size_t sample = o->sample_size < count ? o->sample_size : count;
	struct fit f = { .fused = fused_create(features, o->trees, o->trees * NODES_PER_TREE,
				 count < PROTOTYPES ? count : PROTOTYPES),
		.value = value,
		.row = row,
		.count = count,
		.z = malloc(sample * features * sizeof(double) + 1), /* never 0 */
		.order = malloc(sample * sizeof(uint32_t) + 1),
		.ranked = malloc(sample * sizeof(float) + 1) };
	enum status st;

	rng_seed(&f.rng, seed);
	if (f.fused && f.z && f.order && f.ranked) {
		f.fused->sample_size = sample;
		st = fit_all(&f, why);
	} else {
		st = fail(why, STATUS_NO_MEMORY, "no memory to grow %zu trees", o->trees);
	}
	free(f.z);
	free(f.order);
	free(f.ranked);
	if (st == STATUS_OK)
		*out = f.fused;
	else
		fused_destroy(f.fused);
	return st;
}

static double quantile(const double *v, size_t n, double q)
{
	double at = q * (double)(n - 1);
	size_t below = (size_t)at;

	return below + 1 < n ? v[below] + (at - (double)below) * (v[below + 1] - v[below])
			     : v[n - 1];
}

static void fit_tail(struct fused_tail *t, double *v, size_t n)
{
	size_t above = 0;
	double sum = 0;

	number_sort(v, n);
	for (size_t i = 0; i < FUSED_KNOTS; i++) {
		double q = tail_from * (double)i / (FUSED_KNOTS - 1);
		t->score[i] = quantile(v, n, q);
		t->nats[i] = -log(1 - q);
	}
	double from = t->score[FUSED_KNOTS - 1];
	for (size_t i = n; i-- > 0 && v[i] > from; above++)
		sum += v[i] - from;
	t->excess = above > 0 ? sum / (double)above : (v[n - 1] - quantile(v, n, 0.5)) / 4;
	if (!(t->excess > 0))
		t->excess = 1; /* every row is the same to it */
}

/* Member scores of every row by a fit without its block. member[FUSED_MEMBERS][lengths][rows] */
static enum status hold_out(const double *value, size_t rows, size_t features,
	const struct fused_options *o, uint32_t *row, size_t lengths, double *member,
	struct why *why)
{
	for (size_t fit = 0; fit < lengths * FUSED_FOLDS; fit++) {
		size_t length = block_length[fit / FUSED_FOLDS], fold = fit % FUSED_FOLDS;
		struct fused *fused;
		size_t count = 0;
		for (size_t i = 0; i < rows; i++) {
			if (i / length % FUSED_FOLDS != fold)
				row[count++] = (uint32_t)i;
		}
		enum status st = fit_members(
			value, row, count, features, o, o->seed + 1 + (uint64_t)fit, &fused, why);
		if (st != STATUS_OK)
			return st;
		for (size_t i = 0; i < rows; i++) {
			double m[FUSED_MEMBERS];
			if (i / length % FUSED_FOLDS != fold)
				continue;
			fused_members(fused, value + i * features, m);
			for (size_t k = 0; k < FUSED_MEMBERS; k++)
				member[(k * lengths + fit / FUSED_FOLDS) * rows + i] = m[k];
		}
		fused_destroy(fused);
		if (o->progress)
			o->progress(o->context,
				0.9 * (double)(fit + 1) / (double)(lengths * FUSED_FOLDS));
	}
	return STATUS_OK;
}

static void fuse(struct fused *f, const double *member, double *sorted, size_t n, double *score)
{
	for (size_t k = 0; k < FUSED_MEMBERS; k++) {
		memcpy(sorted, member + k * n, n * sizeof(*sorted));
		fit_tail(&f->tail[k], sorted, n);
	}
	for (size_t i = 0; i < n; i++) {
		double m[FUSED_MEMBERS];
		for (size_t k = 0; k < FUSED_MEMBERS; k++)
			m[k] = member[k * n + i];
		score[i] = fused_sum(f, m);
	}
}

enum status fused_fit(const double *value, size_t rows, size_t features,
	const struct fused_options *o, struct fused **out, struct fused_held_out *held_out,
	struct why *why)
{
	size_t lengths = FUSED_LENGTHS;
	while (lengths > 1 && rows < FUSED_FOLDS * block_length[lengths - 1])
		lengths--;
	size_t n = lengths * rows;
	double *member = malloc(FUSED_MEMBERS * n * sizeof(*member));
	double *sorted = malloc(n * sizeof(*sorted)), *score = malloc(n * sizeof(*score));
	uint32_t *row = malloc(rows * sizeof(*row));
	struct fused *fused = NULL;
	enum status st;

	if (member && sorted && score && row)
		st = hold_out(value, rows, features, o, row, lengths, member, why);
	else
		st = fail(why, STATUS_NO_MEMORY, "no memory to train on %zu rows", rows);
	for (size_t i = 0; st == STATUS_OK && i < rows; i++)
		row[i] = (uint32_t)i;
	if (st == STATUS_OK)
		st = fit_members(value, row, rows, features, o, o->seed, &fused, why);
	if (st == STATUS_OK) {
		fuse(fused, member, sorted, n, score);
		*out = fused;
		*held_out = (struct fused_held_out){ .lengths = lengths, .score = score };
		memcpy(held_out->block, block_length, sizeof(held_out->block));
		score = NULL;
	}
	free(member);
	free(sorted);
	free(score);
	free(row);
	return st;
}
