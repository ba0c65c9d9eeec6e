/* Bits that weigh the same share words: sum = sum over words of weight[w] * popcount(word), some
 * 190 words for 100 trees of 256 rows.
 *
 * The codes of a feature are its distinct splits in order: code(x) = how many of them x exceeds.
 * A row a code would take 12 MB for splits that no grid holds together, so that `stride` codes
 * share a row: the leaves any of them reaches. Each code then lists those of them that it does
 * not reach after all, and these bits are cleared one by one, some ten a feature at stride 4. A
 * forest whose splits lie on a grid of few codes gets a row a code and clears nothing. */
#include "common/forest_bits.h"
#include "common/number.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORDS_MAX =
		1024, /* of a row: 8 KB of stack while scoring; 400 trees of 256 rows need 700 */
	STRIDE_MAX = 16,
	/* Rows beyond this are shared even when there is room: what does not stay in the
	 * processor's caches costs more than clearing bits. */
	ROWS_BYTES = 4 << 20,
	LINE = 64, /* bytes */
	WORDS_LINE = LINE / 8,
	FEATURES = 64, /* more are walked */
	PASS = 4,      /* rows ANDed at once */
};

struct column {
	const double *edge; /* [2 top] ascending, +inf behind the last */
	uint32_t top;       /* half a power of two: where the search begins */
	uint32_t count;     /* edges */
	uint64_t *row;      /* [(count >> shift) + 1][words] */
	uint32_t *first;    /* [count + 2] where in clear[] each code's bits begin */
	uint32_t *clear;    /* bits */
};

typedef uint64_t bits_kernel(const struct forest_bits *bits, const double *x);

struct forest_bits {
	bits_kernel *kernel;
	size_t features, words; /* of a row, whole cache lines */
	unsigned shift;         /* log2 of the stride */
	uint32_t *weight;       /* [words] */
	struct column *column;  /* [features] */
	uint64_t *rows;         /* all of them */
	size_t bytes;
};

/* ---- scoring ---- */

#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define UNINITIALIZED __attribute__((uninitialized)) /* 8 KB of zeros would cost as much again */
#endif
#endif
#ifndef UNINITIALIZED
#define UNINITIALIZED
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* How many edges x exceeds; 0 for NaN. Written so that no compiler makes a branch of it. */
ALWAYS_INLINE uint32_t code_of(const struct column *column, double x)
{
	const double *edge = column->edge;
	uint32_t at = 0;

	for (uint32_t half = column->top; half > 0; half >>= 1)
		at += half & -(uint32_t)(edge[at + half - 1] < x);
	return at;
}

ALWAYS_INLINE uint64_t popcount_swar(uint64_t x)
{
	x -= (x >> 1) & 0x5555555555555555u;
	x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
	x += x >> 8;
	x += x >> 16;
	x += x >> 32;
	return x & 0x7f;
}

/* The rows ANDed, up to four features a pass. */
ALWAYS_INLINE void and_rows(
	const struct forest_bits *bits, const uint32_t *code, uint64_t *restrict t)
{
	size_t words = bits->words;
	const uint64_t *row[PASS];
	bool begun = false;

	for (size_t f = 0; f < bits->features; f += PASS) {
		for (size_t i = 0; i < PASS; i++) {
			size_t of = f + i < bits->features ? f + i : f;
			row[i] = bits->column[of].row + (code[of] >> bits->shift) * words;
		}
		const uint64_t *a = row[0], *b = row[1], *c = row[2], *d = row[3];
		if (begun)
			for (size_t w = 0; w < words; w++)
				t[w] &= a[w] & b[w] & c[w] & d[w];
		else
			for (size_t w = 0; w < words; w++)
				t[w] = a[w] & b[w] & c[w] & d[w];
		begun = true;
	}
}

ALWAYS_INLINE uint64_t sum_of(const struct forest_bits *bits, const double *x, bool hardware)
{
	uint32_t code[FEATURES];
	uint64_t t[WORDS_MAX] __attribute__((aligned(LINE))) UNINITIALIZED;
	uint64_t sum = 0;

	for (size_t f = 0; f < bits->features; f++)
		code[f] = code_of(&bits->column[f], x[f]);
	and_rows(bits, code, t);
	if (bits->shift > 0)
		for (size_t f = 0; f < bits->features; f++) {
			const struct column *column = &bits->column[f];
			for (uint32_t i = column->first[code[f]]; i < column->first[code[f] + 1];
				i++)
				t[column->clear[i] / 64] &= ~(UINT64_C(1) << column->clear[i] % 64);
		}
	for (size_t w = 0; w < bits->words; w++) {
		uint64_t n = hardware ? (uint64_t)__builtin_popcountll(t[w]) : popcount_swar(t[w]);
		sum += n * bits->weight[w];
	}
	return sum;
}

static uint64_t sum_baseline(const struct forest_bits *bits, const double *x)
{
	return sum_of(bits, x, false);
}

#if defined(__x86_64__)
/* gcc 12 takes half as wide vectors unless it is told; clang does not know the word. */
#if defined(__clang__)
#define WIDE ""
#else
#define WIDE ",prefer-vector-width=512"
#endif

__attribute__((target("avx2,popcnt,bmi,bmi2"))) static uint64_t sum_avx2(
	const struct forest_bits *bits, const double *x)
{
	return sum_of(bits, x, true);
}

__attribute__((target(
	"avx2,popcnt,bmi,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq" WIDE))) static uint64_t
sum_avx512(const struct forest_bits *bits, const double *x)
{
	return sum_of(bits, x, true);
}
#endif

static bits_kernel *kernel_of(enum bits_level level)
{
	if (level == BITS_BASELINE)
		return sum_baseline;
#if defined(__x86_64__)
	bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt") &&
		__builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
	if (level == BITS_AVX2 && avx2)
		return sum_avx2;
	if (level == BITS_AVX512 && avx2 && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512vpopcntdq"))
		return sum_avx512;
#endif
	return NULL;
}

bool forest_bits_use(struct forest_bits *bits, enum bits_level level)
{
	bits_kernel *kernel = kernel_of(level);

	if (kernel)
		bits->kernel = kernel;
	return kernel != NULL;
}

uint64_t forest_bits_sum(const struct forest_bits *bits, const double *x)
{
	return bits->kernel(bits, x);
}

size_t forest_bits_bytes(const struct forest_bits *bits)
{
	return bits->bytes;
}

/* ---- building ---- */

static int ascending_weight(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
	return (left > right) - (left < right);
}

static bool make_edges(struct forest_bits *bits, const struct forest_columns *c, size_t f)
{
	struct column *column = &bits->column[f];
	size_t n = 0, distinct = 0, size = 2;

	for (size_t i = 0; i < c->nodes; i++)
		n += c->feature[i] == (int32_t)f;
	while (size < n + 1)
		size *= 2;
	double *edge = malloc(size * sizeof(*edge));
	if (!edge)
		return false;
	column->edge = edge;
	n = 0;
	for (size_t i = 0; i < c->nodes; i++)
		if (c->feature[i] == (int32_t)f)
			edge[n++] = c->split[i];
	number_sort(edge, n);
	for (size_t i = 0; i < n; i++)
		if (distinct == 0 || edge[distinct - 1] < edge[i])
			edge[distinct++] = edge[i];
	size_t used = 2;
	while (used < distinct + 1)
		used *= 2;
	for (size_t i = distinct; i < size; i++)
		edge[i] = INFINITY;
	column->count = (uint32_t)distinct;
	column->top = (uint32_t)(used / 2);
	bits->bytes += used * sizeof(*edge);
	return true;
}

/* Gives every leaf its bit, each weight beginning with a new word: bit[nodes]. The words a row
 * needs, or 0 if there is no memory or they are too many. */
static size_t place_bits(struct forest_bits *bits, const struct forest_columns *c,
	const uint32_t *leaf, uint32_t *bit)
{
	size_t leaves = 0, kinds = 0;
	uint32_t *kind = malloc(c->nodes * sizeof(*kind));
	uint32_t *next = calloc(c->nodes + 1, sizeof(*next));

	if (!kind || !next)
		goto done;
	for (size_t i = 0; i < c->nodes; i++)
		if (c->feature[i] < 0)
			kind[leaves++] = leaf[i];
	qsort(kind, leaves, sizeof(*kind), ascending_weight);
	size_t words = 0;
	for (size_t i = 0, end; i < leaves; i = end) {
		for (end = i; end < leaves && kind[end] == kind[i]; end++)
			;
		kind[kinds] = kind[i];
		next[kinds++] = (uint32_t)(words * 64);
		words += (end - i + 63) / 64;
		if (words > WORDS_MAX)
			goto done;
	}
	if (words == 0)
		goto done; /* no leaves: no tree */
	bits->words = (words + WORDS_LINE - 1) / WORDS_LINE * WORDS_LINE;
	bits->weight = calloc(bits->words, sizeof(*bits->weight));
	if (!bits->weight) {
		bits->words = 0;
		goto done;
	}
	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] >= 0)
			continue;
		const uint32_t *found =
			bsearch(&leaf[i], kind, kinds, sizeof(*kind), ascending_weight);
		bit[i] = next[found - kind]++;
		bits->weight[bit[i] / 64] = leaf[i];
	}
done:
	free(kind);
	free(next);
	return bits->words;
}

/* The codes of feature f at which each node is reached: low[nodes] .. high[nodes]. Parents stand
 * before their children. */
static void make_intervals(const struct column *column, const struct forest_columns *c, size_t f,
	uint32_t *low, uint32_t *high)
{
	for (size_t t = 0; t < c->trees; t++) {
		low[c->root[t]] = 0;
		high[c->root[t]] = column->count;
	}
	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] < 0)
			continue;
		size_t left = c->left[i], right = left + 1;
		low[left] = low[right] = low[i];
		high[left] = high[right] = high[i];
		if (c->feature[i] != (int32_t)f)
			continue;
		uint32_t code = code_of(column, c->split[i]); /* x <= split: code or less */
		if (high[left] > code)
			high[left] = code;
		if (low[right] <= code)
			low[right] = code + 1;
	}
}

/* Counts (into first[code + 1]) or lists (at clear[first[code]++]) codes from .. to - 1. */
static void clear_at(struct column *column, uint32_t from, uint32_t to, uint32_t bit)
{
	for (uint32_t code = from; code < to; code++) {
		if (column->clear)
			column->clear[column->first[code]++] = bit;
		else
			column->first[code + 1]++;
	}
}

/* The codes that share a row with a leaf's codes but do not reach it. */
static void list_cleared(const struct forest_bits *bits, struct column *column,
	const struct forest_columns *c, const uint32_t *bit, const uint32_t *low,
	const uint32_t *high)
{
	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] >= 0 || low[i] > high[i])
			continue;
		uint32_t end = ((high[i] >> bits->shift) + 1) << bits->shift;
		clear_at(column, low[i] >> bits->shift << bits->shift, low[i], bit[i]);
		clear_at(column, high[i] + 1, end <= column->count ? end : column->count + 1,
			bit[i]);
	}
}

static bool make_cleared(struct forest_bits *bits, struct column *column,
	const struct forest_columns *c, const uint32_t *bit, const uint32_t *low,
	const uint32_t *high)
{
	uint32_t codes = column->count + 1;

	column->first = calloc(codes + 1, sizeof(*column->first));
	if (!column->first)
		return false;
	list_cleared(bits, column, c, bit, low, high);
	for (uint32_t code = 0; code < codes; code++)
		column->first[code + 1] += column->first[code];
	column->clear = malloc((column->first[codes] + (size_t)1) * sizeof(*column->clear));
	if (!column->clear)
		return false;
	bits->bytes += (codes + 1 + (size_t)column->first[codes]) * sizeof(*column->clear);
	list_cleared(bits, column, c, bit, low, high);
	/* Listing moved each code's beginning to its end. */
	memmove(column->first + 1, column->first, codes * sizeof(*column->first));
	column->first[0] = 0;
	return true;
}

static size_t rows_of(const struct forest_bits *bits, const struct column *column)
{
	return (column->count >> bits->shift) + (size_t)1;
}

/* A leaf that no value reaches (its splits contradict each other) has no bit in any row. */
static void fill_rows(const struct forest_bits *bits, struct column *column,
	const struct forest_columns *c, const uint32_t *bit, const uint32_t *low,
	const uint32_t *high)
{
	size_t rows = rows_of(bits, column), words = bits->words;

	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] >= 0 || low[i] > high[i])
			continue;
		size_t begins = low[i] >> bits->shift, behind = (high[i] >> bits->shift) + 1;
		column->row[begins * words + bit[i] / 64] ^= UINT64_C(1) << bit[i] % 64;
		if (behind < rows)
			column->row[behind * words + bit[i] / 64] ^= UINT64_C(1) << bit[i] % 64;
	}
	for (size_t w = words; w < rows * words; w++)
		column->row[w] ^= column->row[w - words];
}

/* The smallest stride whose rows stay in a cache, else the largest one; 0 bytes: no room even so.
 */
static size_t choose_stride(struct forest_bits *bits, size_t bytes_max)
{
	for (bits->shift = 0;; bits->shift++) {
		size_t rows = 0;
		for (size_t f = 0; f < bits->features; f++)
			rows += rows_of(bits, &bits->column[f]);
		size_t bytes = rows * bits->words * sizeof(uint64_t);
		if (bytes <= bytes_max && bytes <= ROWS_BYTES)
			return bytes;
		if (1 << bits->shift == STRIDE_MAX)
			return bytes <= bytes_max ? bytes : 0;
	}
}

static bool build(struct forest_bits *bits, const struct forest_columns *c, const uint32_t *leaf,
	size_t bytes_max, uint32_t *bit, uint32_t *low, uint32_t *high)
{
	bits->features = c->features;
	for (size_t f = 0; f < c->features; f++)
		if (!make_edges(bits, c, f))
			return false;
	size_t bytes = place_bits(bits, c, leaf, bit) ? choose_stride(bits, bytes_max) : 0;
	if (bytes == 0)
		return false;
	bits->rows = aligned_alloc(LINE, bytes);
	if (!bits->rows)
		return false;
	memset(bits->rows, 0, bytes);
	bits->bytes += bytes + bits->words * sizeof(*bits->weight);
	uint64_t *row = bits->rows;
	for (size_t f = 0; f < c->features; f++) {
		struct column *column = &bits->column[f];
		column->row = row;
		row += rows_of(bits, column) * bits->words;
		make_intervals(column, c, f, low, high);
		fill_rows(bits, column, c, bit, low, high);
		if (bits->shift > 0 && !make_cleared(bits, column, c, bit, low, high))
			return false;
	}
	return bits->bytes <= bytes_max;
}

struct forest_bits *forest_bits_create(
	const struct forest_columns *c, const uint32_t *leaf, size_t bytes_max)
{
	if (c->features > FEATURES)
		return NULL;
	struct forest_bits *bits = calloc(1, sizeof(*bits));
	uint32_t *scratch = malloc(3 * c->nodes * sizeof(*scratch));
	bool built = false;

	if (bits && scratch) {
		bits->column = calloc(c->features, sizeof(*bits->column));
		built = bits->column &&
			build(bits, c, leaf, bytes_max, scratch, scratch + c->nodes,
				scratch + 2 * c->nodes);
	}
	free(scratch);
	if (!built) {
		forest_bits_destroy(bits);
		return NULL;
	}
	for (int level = BITS_LEVELS - 1; !forest_bits_use(bits, (enum bits_level)level); level--)
		; /* the baseline is everywhere */
	return bits;
}

void forest_bits_destroy(struct forest_bits *bits)
{
	if (!bits)
		return;
	for (size_t f = 0; bits->column && f < bits->features; f++) {
		free((void *)bits->column[f].edge);
		free(bits->column[f].first);
		free(bits->column[f].clear);
	}
	free(bits->column);
	free(bits->weight);
	free(bits->rows);
	free(bits);
}
