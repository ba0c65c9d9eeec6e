/* Bits that weigh the same share words: sum = sum over words of weight[w] * popcount(word), some
 * 420 words for 100 trees of 256 rows. Words of 16 bits: of 64 a third would be padding, and the
 * compiler makes vectors of all that is done with these, on every level. Products of 16 bits are
 * summed in 32, so that a weight is two: high * 2^15 + low.
 *
 * The codes of a feature are its distinct splits in order: code(x) = how many of them x exceeds.
 * A row a code would take 12 MB for splits that no grid holds together, so that `stride` codes
 * share a row: the leaves any of them reaches. Each code then lists those of them that it does
 * not reach after all, and these bits are cleared one by one, some ten a feature at stride 4. A
 * forest whose splits lie on a grid of few codes gets a row a code and clears nothing. */
#include "common/forest_bits.h"
#include "common/forest_codes.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORDS_MAX =
		4096,  /* of a row: 8 KB of stack while scoring; 400 trees of 256 rows need 1,500 */
	BITS = 16,     /* of a word */
	LOW_BITS = 15, /* of a weight */
	STRIDE_MAX = 16,
	/* Rows beyond this are shared even when there is room: what does not stay in the
	 * processor's caches costs more than clearing bits. */
	ROWS_BYTES = 4 << 20,
	LINE = 64, /* bytes */
	WORDS_LINE = LINE / 2,
	PASS = 4, /* rows ANDed at once */
};

struct column {
	struct codes codes;
	uint16_t *row;   /* [(codes.count >> shift) + 1][words] */
	uint32_t *first; /* [codes.count + 2] where in clear[] each code's bits begin */
	uint32_t *clear; /* bits */
};

typedef uint64_t bits_kernel(const struct forest_bits *bits, const double *x);

struct forest_bits {
	bits_kernel *kernel;
	size_t features, lines; /* of a row: cache lines */
	unsigned shift;         /* log2 of the stride */
	int16_t *low, *high;    /* [lines * WORDS_LINE] of the weights */
	size_t bytes;
	struct column column[]; /* [features]; then edges, weights and rows: side by side they share
				   pages, which cold caches make dear */
};

/* ---- scoring ---- */

/* So that the compiler sees that vectors leave no rest. */
ALWAYS_INLINE size_t words_of(const struct forest_bits *bits)
{
	return bits->lines * WORDS_LINE;
}

ALWAYS_INLINE uint16_t popcount16(uint16_t x)
{
	x = (uint16_t)(x - ((x >> 1) & 0x5555));
	x = (uint16_t)((x & 0x3333) + ((x >> 2) & 0x3333));
	x = (x + (x >> 4)) & 0x0f0f;
	return (x + (x >> 8)) & 0x1f;
}

/* The rows ANDed, up to four features a pass. */
ALWAYS_INLINE void and_rows(
	const struct forest_bits *bits, const uint32_t *code, uint16_t *restrict t)
{
	size_t words = words_of(bits);
	const uint16_t *row[PASS];
	bool begun = false;

	for (size_t f = 0; f < bits->features; f += PASS) {
		for (size_t i = 0; i < PASS; i++) {
			size_t of = f + i < bits->features ? f + i : f;
			row[i] = bits->column[of].row + (code[of] >> bits->shift) * words;
		}
		const uint16_t *a = row[0], *b = row[1], *c = row[2], *d = row[3];
		if (begun)
			for (size_t w = 0; w < words; w++)
				t[w] &= a[w] & b[w] & c[w] & d[w];
		else
			for (size_t w = 0; w < words; w++)
				t[w] = a[w] & b[w] & c[w] & d[w];
		begun = true;
	}
}

ALWAYS_INLINE void clear_strays(const struct forest_bits *bits, const uint32_t *code, uint16_t *t)
{
	for (size_t f = 0; f < bits->features; f++) {
		const struct column *column = &bits->column[f];
		const uint32_t *end = column->clear + column->first[code[f] + 1];
		for (const uint32_t *bit = column->clear + column->first[code[f]]; bit < end; bit++)
			t[*bit / BITS] &= (uint16_t) ~(1u << *bit % BITS);
	}
}

/* A bit a tree is left, at most FOREST_TREES_MAX: no sum overflows. */
ALWAYS_INLINE uint64_t sum_of(const struct forest_bits *bits, const double *x)
{
	uint32_t code[FOREST_FEATURES_MAX];
	uint16_t t[WORDS_MAX] __attribute__((aligned(LINE))) UNINITIALIZED;
	size_t words = words_of(bits);
	int32_t low = 0, high = 0;

	for (size_t f = 0; f < bits->features; f++)
		code[f] = code_of(&bits->column[f].codes, x[f]);
	and_rows(bits, code, t);
	if (bits->shift > 0)
		clear_strays(bits, code, t);
	for (size_t w = 0; w < words; w++)
		t[w] = popcount16(t[w]);
	const int16_t *n =
		(const int16_t *)t; /* signed: products of such pairs are one instruction */
	for (size_t w = 0; w < words; w++) {
		low += n[w] * bits->low[w];
		high += n[w] * bits->high[w];
	}
	return ((uint64_t)high << LOW_BITS) + (uint64_t)low;
}

static uint64_t sum_baseline(const struct forest_bits *bits, const double *x)
{
	return sum_of(bits, x);
}

#if defined(__x86_64__)
TARGET_AVX2 static uint64_t sum_avx2(const struct forest_bits *bits, const double *x)
{
	return sum_of(bits, x);
}

TARGET_AVX512 static uint64_t sum_avx512(const struct forest_bits *bits, const double *x)
{
	return sum_of(bits, x);
}
#else
#define sum_avx2 sum_baseline
#define sum_avx512 sum_baseline
#endif

bool forest_bits_use(struct forest_bits *bits, enum cpu_level level)
{
	static bits_kernel *const kernels[CPU_LEVELS] = { sum_baseline, sum_avx2, sum_avx512 };

	if (cpu_has(level))
		bits->kernel = kernels[level];
	return cpu_has(level);
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

/* Gives every leaf its bit, each weight beginning with a new word: bit[nodes]. The cache lines a
 * row needs, or 0 if there is no memory or they are too many. */
ONCE static size_t place_bits(struct forest_bits *bits, const struct forest_columns *c,
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
		next[kinds++] = (uint32_t)(words * BITS);
		words += (end - i + BITS - 1) / BITS;
		if (words > WORDS_MAX)
			goto done;
	}
	if (words == 0)
		goto done; /* no leaves: no tree */
	bits->lines = (words + WORDS_LINE - 1) / WORDS_LINE;
	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] >= 0)
			continue;
		const uint32_t *found =
			bsearch(&leaf[i], kind, kinds, sizeof(*kind), ascending_weight);
		bit[i] = next[found - kind]++;
	}
done:
	free(kind);
	free(next);
	return bits->lines;
}

/* The codes of feature f at which each node is reached: low[nodes] .. high[nodes]. Parents stand
 * before their children. */
static void make_intervals(const struct column *column, const struct forest_columns *c, size_t f,
	uint32_t *low, uint32_t *high)
{
	for (size_t t = 0; t < c->trees; t++) {
		low[c->root[t]] = 0;
		high[c->root[t]] = column->codes.count;
	}
	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] < 0)
			continue;
		size_t left = c->left[i], right = left + 1;
		low[left] = low[right] = low[i];
		high[left] = high[right] = high[i];
		if (c->feature[i] != (int32_t)f)
			continue;
		uint32_t code = code_of(&column->codes, c->split[i]); /* x <= split: code or less */
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
		clear_at(column, high[i] + 1,
			end <= column->codes.count ? end : column->codes.count + 1, bit[i]);
	}
}

ONCE static bool make_cleared(struct forest_bits *bits, struct column *column,
	const struct forest_columns *c, const uint32_t *bit, const uint32_t *low,
	const uint32_t *high)
{
	uint32_t codes = column->codes.count + 1;

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
	return (column->codes.count >> bits->shift) + (size_t)1;
}

/* A leaf that no value reaches (its splits contradict each other) has no bit in any row. */
static void fill_rows(const struct forest_bits *bits, struct column *column,
	const struct forest_columns *c, const uint32_t *bit, const uint32_t *low,
	const uint32_t *high)
{
	size_t rows = rows_of(bits, column), words = words_of(bits);

	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] >= 0 || low[i] > high[i])
			continue;
		size_t begins = low[i] >> bits->shift, behind = (high[i] >> bits->shift) + 1;
		column->row[begins * words + bit[i] / BITS] ^= (uint16_t)(1u << bit[i] % BITS);
		if (behind < rows)
			column->row[behind * words + bit[i] / BITS] ^=
				(uint16_t)(1u << bit[i] % BITS);
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
		size_t bytes = rows * bits->lines * LINE;
		if (bytes <= bytes_max && bytes <= ROWS_BYTES)
			return bytes;
		if (1 << bits->shift == STRIDE_MAX)
			return bytes <= bytes_max ? bytes : 0;
	}
}

static void fill_weights(struct forest_bits *bits, const struct forest_columns *c,
	const uint32_t *leaf, const uint32_t *bit)
{
	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] >= 0)
			continue;
		bits->low[bit[i] / BITS] = (int16_t)(leaf[i] & ((1 << LOW_BITS) - 1));
		bits->high[bit[i] / BITS] = (int16_t)(leaf[i] >> LOW_BITS);
	}
}

static size_t header_bytes(size_t features)
{
	size_t bytes = sizeof(struct forest_bits) + features * sizeof(struct column);

	return (bytes + LINE - 1) / LINE * LINE;
}

/* A place with room for everything, where *plan moves to; rungs and rows are whole cache lines. */
ONCE static bool make_room(struct forest_bits **plan, size_t edges, size_t rows_bytes)
{
	struct forest_bits *bits = *plan;
	size_t header = header_bytes(bits->features);
	size_t bytes = header + edges * sizeof(double) + 2 * bits->lines * LINE + rows_bytes;
	char *room = aligned_alloc(LINE, bytes);

	if (!room)
		return false;
	memset(room, 0, bytes);
	memcpy(room, bits, header);
	free(bits);
	bits = *plan = (struct forest_bits *)room;
	bits->bytes = bytes;
	double *edge = (double *)(room + header);
	for (size_t f = 0; f < bits->features; f++) {
		bits->column[f].codes.edge = edge;
		edge += bits->column[f].codes.edges;
	}
	bits->low = (int16_t *)edge;
	bits->high = bits->low + words_of(bits);
	uint16_t *row = (uint16_t *)(bits->high + words_of(bits));
	for (size_t f = 0; f < bits->features; f++) {
		bits->column[f].row = row;
		row += rows_of(bits, &bits->column[f]) * words_of(bits);
	}
	return true;
}

/* What building needs for a while. */
struct scratch {
	uint32_t *bit, *low, *high; /* [nodes] */
	double *split;              /* [nodes] */
};

static bool build(struct forest_bits **plan, const struct forest_columns *c, const uint32_t *leaf,
	size_t bytes_max, const struct scratch *s)
{
	struct forest_bits *bits = *plan;
	size_t edges = 0;
	double *split = s->split;

	for (size_t f = 0; f < c->features; f++) {
		codes_plan(&bits->column[f].codes, c, f, split);
		split += bits->column[f].codes.count;
		edges += bits->column[f].codes.edges;
	}
	size_t rows = place_bits(bits, c, leaf, s->bit) ? choose_stride(bits, bytes_max) : 0;
	if (rows == 0 || !make_room(plan, edges, rows))
		return false;
	bits = *plan;
	fill_weights(bits, c, leaf, s->bit);
	split = s->split;
	for (size_t f = 0; f < c->features; f++) {
		struct column *column = &bits->column[f];
		codes_fill(&column->codes, split);
		split += column->codes.count;
		make_intervals(column, c, f, s->low, s->high);
		fill_rows(bits, column, c, s->bit, s->low, s->high);
		if (bits->shift > 0 && !make_cleared(bits, column, c, s->bit, s->low, s->high))
			return false;
	}
	return bits->bytes <= bytes_max;
}

struct forest_bits *forest_bits_create(
	const struct forest_columns *c, const uint32_t *leaf, size_t bytes_max)
{
	if (c->features > FOREST_FEATURES_MAX)
		return NULL;
	struct forest_bits *bits = calloc(1, header_bytes(c->features));
	uint32_t *index = malloc(3 * c->nodes * sizeof(*index));
	double *split = malloc(c->nodes * sizeof(*split));
	bool built = false;

	if (bits && index && split) {
		const struct scratch scratch = { index, index + c->nodes, index + 2 * c->nodes,
			split };
		bits->features = c->features;
		built = build(&bits, c, leaf, bytes_max, &scratch);
	}
	free(index);
	free(split);
	if (!built) {
		forest_bits_destroy(bits);
		return NULL;
	}
	for (int level = CPU_LEVELS - 1; !forest_bits_use(bits, (enum cpu_level)level); level--)
		; /* the baseline is everywhere */
	return bits;
}

void forest_bits_destroy(struct forest_bits *bits)
{
	if (!bits)
		return;
	for (size_t f = 0; f < bits->features; f++) {
		free(bits->column[f].first);
		free(bits->column[f].clear);
	}
	free(bits);
}
