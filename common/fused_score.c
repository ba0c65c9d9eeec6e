/* The members' scores. For AVX2 once more (common/cpu.h): the prototypes' distances by the
 * compiler's own vectors, the forest's walk in AVX2 by hand, because the compiler's gathers
 * gained nothing: 0.8 us instead of 2.3 for 100 trees of 256 rows. */
#include "common/forest.h"
#include "common/fused.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
	LANES = 8,
	GROUPS = 7, /* of lanes, walked at once: their loads don't wait for each other */
	LEFT_BITS = 20,
	A_BITS = 6,
};

_Static_assert(FUSED_NODES_MAX < 1 << LEFT_BITS, "a node's index fits");
_Static_assert(FEATURES_MAX <= 1 << A_BITS, "a feature's index fits");

/* A node whose weight_a is 1, as trained ones are, within one vector. */
struct fused_test {
	float weight, cut, range;
	uint32_t where; /* left + a * 2^20 + b * 2^26 */
};

_Static_assert(sizeof(struct fused_test) == 16, "a test is one aligned load");

/* Beyond this many sd nothing is told apart any more; squares of these stay within a float. */
static const double z_max = 1e15;

/* ---- the forest ---- */

/* -2^-20 times the mean path is the exponent; a step less for each test that finds the reading
 * outside its range. */
static double forest_score_of(const struct fused *f, int64_t sum, int64_t outside)
{
	return exp2((double)(sum - outside * FUSED_ONE) * f->scale) - 0.5;
}

static inline uint32_t step(
	const struct fused_node *node, uint32_t at, const float *z, int64_t *outside)
{
	const struct fused_node *n = &node[at];
	float p = n->weight_a * z[n->a] + n->weight_b * z[n->b];

	*outside += fabsf(p - n->cut) > n->range;
	return n->left + (p > n->cut);
}

static double forest_baseline(const struct fused *f, const float *z)
{
	int64_t sum = 0, outside = 0;
	size_t t = 0;

	for (; t + LANES <= f->trees; t += LANES) {
		uint32_t at[LANES];
		memcpy(at, f->root + t, sizeof(at));
		for (unsigned d = 0; d < f->depth; d++) {
#pragma GCC unroll 8 /* they stay in registers */
			for (int lane = 0; lane < LANES; lane++)
				at[lane] = step(f->node, at[lane], z, &outside);
		}
		for (int lane = 0; lane < LANES; lane++)
			sum += f->leaf[at[lane]];
	}
	for (; t < f->trees; t++) {
		uint32_t at = f->root[t];
		for (unsigned d = 0; d < f->depth; d++)
			at = step(f->node, at, z, &outside);
		sum += f->leaf[at];
	}
	return forest_score_of(f, sum, outside);
}

#if defined(__x86_64__)

/* Eight tests as columns. */
struct tests {
	__m256 weight, cut, range;
	__m256i where;
};

TARGET_AVX2 ALWAYS_INLINE __m256 two(const struct fused_test *low, const struct fused_test *high)
{
	return _mm256_insertf128_ps(
		_mm256_castps128_ps256(_mm_load_ps(&low->weight)), _mm_load_ps(&high->weight), 1);
}

TARGET_AVX2 ALWAYS_INLINE struct tests load_tests(const struct fused_test *test, __m256i at)
{
	uint32_t i[LANES] __attribute__((aligned(32)));
	_mm256_store_si256((__m256i *)i, at);
	__m256 r0 = two(&test[i[0]], &test[i[4]]), r1 = two(&test[i[1]], &test[i[5]]);
	__m256 r2 = two(&test[i[2]], &test[i[6]]), r3 = two(&test[i[3]], &test[i[7]]);
	__m256 low01 = _mm256_unpacklo_ps(r0, r1), low23 = _mm256_unpacklo_ps(r2, r3);
	__m256 high01 = _mm256_unpackhi_ps(r0, r1), high23 = _mm256_unpackhi_ps(r2, r3);

	return (struct tests){ _mm256_shuffle_ps(low01, low23, 0x44),
		_mm256_shuffle_ps(low01, low23, 0xee), _mm256_shuffle_ps(high01, high23, 0x44),
		_mm256_castps_si256(_mm256_shuffle_ps(high01, high23, 0xee)) };
}

/* z[index & 63], or & 7 where there are `few`: those fit into one vector. */
TARGET_AVX2 ALWAYS_INLINE __m256 look_up(const float *z, __m256i index, bool few)
{
	if (few)
		return _mm256_permutevar8x32_ps(_mm256_loadu_ps(z), index);
	return _mm256_i32gather_ps(z, _mm256_and_si256(index, _mm256_set1_epi32(63)), sizeof(*z));
}

/* step() for eight trees; a true comparison is -1. */
TARGET_AVX2 ALWAYS_INLINE __m256i step_avx2(
	const struct fused_test *test, __m256i at, const float *z, bool few, __m256i *outside)
{
	struct tests n = load_tests(test, at);
	__m256 a = look_up(z, _mm256_srli_epi32(n.where, LEFT_BITS), few);
	__m256 b = look_up(z, _mm256_srli_epi32(n.where, LEFT_BITS + A_BITS), few);
	__m256 p = _mm256_add_ps(a, _mm256_mul_ps(n.weight, b));
	__m256 off = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_sub_ps(p, n.cut));
	__m256i left = _mm256_and_si256(n.where, _mm256_set1_epi32((1 << LEFT_BITS) - 1));

	*outside = _mm256_sub_epi32(
		*outside, _mm256_castps_si256(_mm256_cmp_ps(off, n.range, _CMP_GT_OQ)));
	return _mm256_sub_epi32(left, _mm256_castps_si256(_mm256_cmp_ps(p, n.cut, _CMP_GT_OQ)));
}

/* Adds the lengths of eight leaves to four sums. */
TARGET_AVX2 ALWAYS_INLINE __m256i add_leaves(const int32_t *leaf, __m256i at, __m256i sum)
{
	__m256i eight = _mm256_i32gather_epi32(leaf, at, sizeof(*leaf));

	sum = _mm256_add_epi64(sum, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(eight)));
	return _mm256_add_epi64(sum, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(eight, 1)));
}

/* z[LANES] where there are few, else z[features] */
TARGET_AVX2 ALWAYS_INLINE double forest_avx2(const struct fused *f, const float *z, bool few)
{
	__m256i outs = _mm256_setzero_si256(), sums = _mm256_setzero_si256();
	int64_t sum[4];
	int32_t outside[LANES];

	for (size_t t = 0, n; t < f->trees; t += n * LANES) {
		__m256i at[GROUPS];
		n = (f->trees - t + LANES - 1) / LANES;
		n = n < GROUPS ? n : GROUPS;
		for (size_t g = 0; g < n; g++)
			at[g] = _mm256_loadu_si256((const __m256i *)(f->start + t + g * LANES));
		for (unsigned d = 0; d < f->depth; d++) {
			for (size_t g = 0; g < n; g++)
				at[g] = step_avx2(f->test, at[g], z, few, &outs);
		}
		for (size_t g = 0; g < n; g++)
			sums = add_leaves(f->leaf, at[g], sums);
	}
	memcpy(sum, &sums, sizeof(sum));
	memcpy(outside, &outs, sizeof(outside));
	for (int i = 4; i < LANES; i++)
		outside[i - 4] += outside[i];
	for (int i = 1; i < 4; i++) {
		sum[0] += sum[i];
		outside[0] += outside[i];
	}
	return forest_score_of(f, sum[0], outside[0]);
}

#endif

/* False where the walk that takes it is not compiled, or a file from elsewhere has other weights;
 * or there is no memory. */
ONCE static bool lay_out(struct fused *f)
{
#if defined(__x86_64__)
	size_t starts = (f->trees + LANES - 1) / LANES * LANES;

	for (size_t i = 0; i < f->nodes; i++)
		if (f->node[i].left != i && f->node[i].weight_a != 1)
			return false;
	f->test = aligned_alloc(64, ((f->nodes + 1) * sizeof(*f->test) + 63) / 64 * 64);
	f->start = malloc(starts * sizeof(*f->start));
	if (!f->test || !f->start)
		return false;
	for (size_t i = 0; i < f->nodes; i++) {
		const struct fused_node *n = &f->node[i];
		/* At a leaf cut and range are infinite, whatever is weighed there. */
		f->test[i] = (struct fused_test){ n->weight_b, n->cut, n->range,
			n->left | (uint32_t)n->a << LEFT_BITS |
				(uint32_t)n->b << (LEFT_BITS + A_BITS) };
	}
	/* What fills the last lanes stays at a leaf of length 0. */
	f->test[f->nodes] = (struct fused_test){ 0, INFINITY, INFINITY, (uint32_t)f->nodes };
	f->leaf[f->nodes] = 0;
	for (size_t t = 0; t < starts; t++)
		f->start[t] = t < f->trees ? f->root[t] : (uint32_t)f->nodes;
	return true;
#else
	(void)f;
	return false;
#endif
}

/* ---- the prototypes ---- */

enum { PIECE = 256, COLUMNS = 16, WORD = FUSED_SPARE };

/* Squared distances to n prototypes, feature by feature: no branch, and the compiler makes vectors
 * of it. Up to whole words they are infinite (what is read behind the last is of the next feature,
 * or spare). Returns how many stand there. */
ALWAYS_INLINE size_t distances(
	const struct fused *f, const float *w, size_t from, size_t n, float *restrict square)
{
	size_t whole = (n + WORD - 1) / WORD * WORD;

	for (size_t j = 0; j < f->features; j++) {
		const float *p = f->prototype + j * f->prototypes + from;
		float at = w[j];
		if (j == 0) /* 0 + x, but nothing has to be set to 0 before */
			for (size_t i = 0; i < whole; i++)
				square[i] = (at - p[i]) * (at - p[i]);
		else
			for (size_t i = 0; i < whole; i++)
				square[i] += (at - p[i]) * (at - p[i]);
	}
	for (size_t i = n; i < whole; i++)
		square[i] = INFINITY;
	return whole;
}

ALWAYS_INLINE float lesser(float a, float b)
{
	return a < b ? a : b;
}

/* At least FUSED_NEAREST of n are not above it, and hardly more: so many columns have their
 * smallest at or below it. To sort those is 1.4 times faster than to keep the nearest of all as
 * they come, whose branches nothing predicts. */
ALWAYS_INLINE float bound(const float *square, size_t n)
{
	float least[COLUMNS];
	int32_t below[COLUMNS] = { 0 };

	memcpy(least, square, sizeof(least));
	for (size_t i = COLUMNS; i < n; i += COLUMNS) {
		for (size_t j = 0; j < COLUMNS; j++)
			least[j] = lesser(square[i + j], least[j]);
	}
	for (size_t i = 0; i < COLUMNS; i++) {
		for (size_t j = 0; j < COLUMNS; j++)
			below[j] += least[i] <= least[j];
	}
	for (size_t j = 0; j < COLUMNS; j++)
		least[j] = below[j] >= FUSED_NEAREST ? least[j] : INFINITY;
	for (size_t j = 0; j < 4; j++)
		least[j] =
			lesser(lesser(least[j], least[j + 4]), lesser(least[j + 8], least[j + 12]));
	return lesser(lesser(least[0], least[1]), lesser(least[2], least[3]));
}

/* One more among the nearest, ascending: what is farther moves up by one. No branch, whose outcome
 * nothing would predict. */
ALWAYS_INLINE void keep(float nearest[FUSED_NEAREST], float square)
{
#pragma GCC unroll 10 /* all of them: they stay in registers */
	for (size_t i = FUSED_NEAREST - 1; i > 0; i--) {
		float up = nearest[i - 1] > square ? nearest[i - 1] : square;
		nearest[i] = lesser(up, nearest[i]);
	}
	nearest[0] = lesser(square, nearest[0]);
}

/* Eight bytes of 0 or 1 as bits. In one expression, for the compiler makes it one load. */
ALWAYS_INLINE uint64_t bits_of(const uint8_t b[8])
{
	uint64_t eight = b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 |
		(uint64_t)b[4] << 32 | (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 |
		(uint64_t)b[7] << 56;

	return eight * 0x0102040810204080 >> 56; /* side by side in the uppermost byte */
}

/* Bit i: square[i] is at most `most`. */
ALWAYS_INLINE uint64_t within(const float square[WORD], float most)
{
	uint8_t near[WORD];
	uint64_t bits = 0;

	for (size_t i = 0; i < WORD; i++)
		near[i] = square[i] <= most;
	for (size_t i = 0; i < WORD; i += 8)
		bits |= bits_of(near + i) << i;
	return bits;
}

ALWAYS_INLINE double prototype_member(const struct fused *f, const float *w)
{
	float nearest[FUSED_NEAREST], square[PIECE] UNINITIALIZED;
	size_t kept = f->prototypes < FUSED_NEAREST ? f->prototypes : FUSED_NEAREST;

	for (size_t i = 0; i < FUSED_NEAREST; i++)
		nearest[i] = INFINITY;
	for (size_t from = 0; from < f->prototypes; from += PIECE) {
		size_t n = f->prototypes - from < PIECE ? f->prototypes - from : PIECE;
		size_t whole = distances(f, w, from, n, square);
		float most = bound(square, whole);
		for (size_t i = 0; i < whole; i += WORD) {
			for (uint64_t bits = within(square + i, most); bits; bits &= bits - 1)
				keep(nearest, square[i + (size_t)__builtin_ctzll(bits)]);
		}
	}
	double sum = 0;
	for (size_t i = 0; i < kept; i++)
		sum += sqrt((double)nearest[i]);
	return sum / (double)kept;
}

#if defined(__x86_64__)
TARGET_AVX2 static double forest_few(const struct fused *f, const float *z)
{
	return forest_avx2(f, z, true);
}

TARGET_AVX2 static double forest_many(const struct fused *f, const float *z)
{
	return forest_avx2(f, z, false);
}

TARGET_AVX2 static double prototypes_avx2(const struct fused *f, const float *w)
{
	return prototype_member(f, w);
}
#else
#define forest_few forest_baseline
#define forest_many forest_baseline
#define prototypes_avx2 prototypes_baseline
#endif

static double prototypes_baseline(const struct fused *f, const float *w)
{
	return prototype_member(f, w);
}

/* ---- all members ---- */

bool fused_use(struct fused *f, enum cpu_level level)
{
	if (!cpu_has(level))
		return false;
	bool wide = level >= CPU_AVX2;
	f->forest_member = !wide || !f->test ? forest_baseline
		: f->features <= LANES       ? forest_few
					     : forest_many;
	f->prototype_member = wide ? prototypes_avx2 : prototypes_baseline;
	return true;
}

void fused_prepare(struct fused *f)
{
	free(f->test);
	free(f->start);
	f->test = NULL;
	f->start = NULL;
	if (!cpu_has(CPU_AVX2) || !lay_out(f)) {
		free(f->test);
		f->test = NULL;
	}
	(void)fused_use(f, cpu_has(CPU_AVX2) ? CPU_AVX2 : CPU_BASELINE);
}

void fused_members(const struct fused *f, const double *x, double member[FUSED_MEMBERS])
{
	double z[FEATURES_MAX], length = 0;
	float narrow[FEATURES_MAX] = { 0 }, w[FEATURES_MAX]; /* few are read as a whole vector */
	const double *row = f->whitening;

	for (size_t i = 0; i < f->features; i++) {
		z[i] = f->sd[i] > 0 ? (x[i] - f->mean[i]) / f->sd[i] : 0;
		z[i] = fmin(fmax(z[i], -z_max), z_max);
		narrow[i] = (float)z[i];
	}
	for (size_t i = 0; i < f->features; row += ++i) {
		double sum = 0;
		for (size_t j = 0; j <= i; j++)
			sum += row[j] * z[j];
		w[i] = (float)sum;
		length += sum * sum;
	}
	member[0] = f->forest_member(f, narrow);
	member[1] = f->prototype_member(f, w);
	member[2] = sqrt(length);
}
