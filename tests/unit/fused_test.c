#include "common/fileio.h"
#include "common/model.h"
#include "common/rng.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 400, FEATURES = 3 };

static struct why why;
static double value[ROWS * FEATURES];

static struct model *train(size_t rows)
{
	struct train_options options = {
		.kind = DETECTOR_FUSED, .trees = 11, .sample_size = 64, .seed = 7, .quantile = 0.99
	};
	struct schema schema = { .count = 0 };
	struct model *model = NULL;
	struct rng rng;

	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "a", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "b", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "c", "", -INFINITY, INFINITY, &why), STATUS_OK);
	rng_seed(&rng, 3);
	for (size_t i = 0; i < ROWS * FEATURES; i++)
		value[i] = 50 + 10 * rng_normal(&rng);
	if (train_model(&schema, value, rows, &options, &model, &why) != STATUS_OK)
		return NULL;
	return model;
}

static void test_far(void)
{
	struct model *model = train(ROWS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(model);
	double last = detector_score(&model->detector, (double[]){ 50, 50, 50 });

	CU_ASSERT(last < model->threshold);
	for (double x = 100; x < 1e9; x *= 10) {
		double score = detector_score(&model->detector, (double[]){ x, 50, 50 });
		CU_ASSERT(score > last);
		CU_ASSERT(score > model->threshold);
		last = score;
	}
	CU_ASSERT(isfinite(detector_score(&model->detector, (double[]){ 1e308, -1e308, 0 })));
	CU_ASSERT(isnan(detector_score(&model->detector, (double[]){ NAN, 50, 50 })));
	model_destroy(model);
}

static void test_same(void)
{
	struct model *a = train(ROWS), *b = train(ROWS), *read = NULL;
	const char *path = unit_path("fused.json");

	CU_ASSERT_PTR_NOT_NULL_FATAL(a);
	CU_ASSERT_PTR_NOT_NULL_FATAL(b);
	CU_ASSERT_EQUAL_FATAL(model_save(a, path, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(model_load(path, &read, &why), STATUS_OK);
	CU_ASSERT_EQUAL(read->detector.kind, DETECTOR_FUSED);
	CU_ASSERT_EQUAL(a->threshold, b->threshold);
	CU_ASSERT_EQUAL(a->threshold, read->threshold);
	for (size_t i = 0; i < ROWS; i++) {
		double score = detector_score(&a->detector, value + i * FEATURES);
		CU_ASSERT_EQUAL(score, detector_score(&b->detector, value + i * FEATURES));
		CU_ASSERT_EQUAL(score, detector_score(&read->detector, value + i * FEATURES));
	}
	model_destroy(a);
	model_destroy(b);
	model_destroy(read);
}

static void test_few(void)
{
	CU_ASSERT_PTR_NULL(train(124));
	CU_ASSERT_PTR_NOT_NULL(strstr(why.text, "125"));
}

/* What a file may say is checked before it is walked. */
static void test_lies(void)
{
	struct model *model = train(ROWS);
	CU_ASSERT_PTR_NOT_NULL_FATAL(model);
	struct fused *f = model->detector.fused;
	struct fused_node first = f->node[0];

	CU_ASSERT_NOT_EQUAL_FATAL(first.left, 0);
	f->node[0].left = (uint32_t)f->nodes;
	CU_ASSERT_EQUAL(fused_check(f, &why), STATUS_BAD_INPUT);
	f->node[0].left = UINT32_MAX;
	CU_ASSERT_EQUAL(fused_check(f, &why), STATUS_BAD_INPUT);
	f->node[0] = first;
	f->node[0].b = FEATURES;
	CU_ASSERT_EQUAL(fused_check(f, &why), STATUS_BAD_INPUT);
	f->node[0] = first;
	f->node[0].cut = NAN;
	CU_ASSERT_EQUAL(fused_check(f, &why), STATUS_BAD_INPUT);
	f->node[0] = first;
	CU_ASSERT_EQUAL(fused_check(f, &why), STATUS_OK);
	f->tail[1].excess = 0;
	CU_ASSERT_EQUAL(fused_check_tails(f, &why), STATUS_BAD_INPUT);
	model_destroy(model);
}

/* Two that are usually alike and fail together, and a third that contradicts them by staying. */
static void test_leading(void)
{
	struct train_options options = {
		.kind = DETECTOR_FUSED, .trees = 50, .sample_size = 128, .seed = 7, .quantile = 0.99
	};
	struct schema schema = { .count = 0 };
	struct model *model = NULL;
	struct rng rng;

	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "a", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "b", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "c", "", -INFINITY, INFINITY, &why), STATUS_OK);
	rng_seed(&rng, 3);
	for (size_t i = 0; i < ROWS; i++) {
		double common = rng_normal(&rng);
		for (size_t j = 0; j < FEATURES; j++)
			value[i * FEATURES + j] = 50 + 9 * common + 3 * rng_normal(&rng);
	}
	CU_ASSERT_EQUAL_FATAL(train_model(&schema, value, ROWS, &options, &model, &why), STATUS_OK);
	static const struct {
		double x[FEATURES];
		size_t first, second; /* FEATURES: whatever */
	} probes[] = { { { 90, 50, 51 }, 0, FEATURES }, { { 50, 49, 5 }, 2, FEATURES },
		{ { 94, 92, 50 }, 0, 1 }, { { 51, 8, 5 }, 2, 1 } };
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		double contribution[FEATURES];
		const double *x = probes[i].x;
		size_t leading[2];
		double score = detector_score(&model->detector, x);
		CU_ASSERT(score > model->threshold);
		detector_explain(&model->detector, x, score, contribution);
		detector_leading(
			&model->detector, x, contribution, score, model->threshold, leading);
		CU_ASSERT_EQUAL(leading[0], probes[i].first);
		if (probes[i].second < FEATURES)
			CU_ASSERT_EQUAL(leading[1], probes[i].second);
	}
	model_destroy(model);
}

/* ---- every level against the textbook ---- */

enum { SIZES = 6, PROBES = 200 };

static struct rng rng;

/* Often whole, so that sums hit cuts and ranges exactly. */
static double some_number(void)
{
	double x = 2 * rng_normal(&rng);
	return rng_below(&rng, 4) ? round(x) : x;
}

/* Below node `at`: nodes are taken from the end. */
static void grow(struct fused *f, uint32_t at, unsigned depth, bool trained)
{
	f->rows[at] = 1 + (uint32_t)rng_below(&rng, 256);
	f->node[at] = (struct fused_node){ .left = at };
	if (depth == 9 || rng_below(&rng, 8) == 0)
		return;
	uint32_t left = (uint32_t)f->nodes;
	f->nodes += 2;
	f->node[at] = (struct fused_node){ trained ? 1 : (float)some_number(), (float)some_number(),
		(float)some_number(), fabsf((float)some_number()), left,
		(uint16_t)rng_below(&rng, (uint32_t)f->features),
		(uint16_t)rng_below(&rng, (uint32_t)f->features) };
	grow(f, left, depth + 1, trained);
	grow(f, left + 1, depth + 1, trained);
}

static struct fused *some_fused(size_t features, size_t trees, size_t prototypes, bool trained)
{
	struct fused *f = fused_create(features, trees, trees << 10, prototypes);

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	f->sample_size = 256;
	f->nodes = 0;
	for (size_t t = 0; t < trees; t++) {
		f->root[t] = (uint32_t)f->nodes++;
		grow(f, f->root[t], 0, trained);
	}
	for (size_t i = 0; i < features; i++) {
		f->mean[i] = some_number();
		f->sd[i] = fabs(some_number());
	}
	for (size_t i = 0; i < features * (features + 1) / 2; i++)
		f->whitening[i] = rng_normal(&rng);
	for (size_t i = 0; i < features * prototypes; i++)
		f->prototype[i] = (float)rng_below(&rng, 4); /* many at one distance */
	CU_ASSERT_EQUAL_FATAL(fused_check(f, &why), STATUS_OK);
	return f;
}

static double textbook_forest(const struct fused *f, const float *z)
{
	int64_t sum = 0;

	for (size_t t = 0; t < f->trees; t++) {
		uint32_t at = f->root[t];
		while (f->node[at].left != at) {
			const struct fused_node *n = &f->node[at];
			float p = n->weight_a * z[n->a] + n->weight_b * z[n->b];
			sum -= fabsf(p - n->cut) > n->range ? FUSED_ONE : 0;
			at = n->left + (p > n->cut);
		}
		sum += f->leaf[at];
	}
	return exp2((double)sum * f->scale) - 0.5;
}

static int ascending(const void *a, const void *b)
{
	float left = *(const float *)a, right = *(const float *)b;
	return (left > right) - (left < right);
}

static double textbook_prototypes(const struct fused *f, const float *w)
{
	static float square[FUSED_PROTOTYPES_MAX];
	size_t nearest = f->prototypes < FUSED_NEAREST ? f->prototypes : FUSED_NEAREST;
	double sum = 0;

	for (size_t i = 0; i < f->prototypes; i++) {
		square[i] = 0;
		for (size_t j = 0; j < f->features; j++) {
			float off = w[j] - f->prototype[j * f->prototypes + i];
			square[i] += off * off;
		}
	}
	qsort(square, f->prototypes, sizeof(*square), ascending);
	for (size_t i = 0; i < nearest; i++)
		sum += sqrt((double)square[i]);
	return sum / (double)nearest;
}

static void textbook(const struct fused *f, const double *x, double member[FUSED_MEMBERS])
{
	double z[FEATURES_MAX], length = 0;
	float narrow[FEATURES_MAX], w[FEATURES_MAX];

	for (size_t i = 0; i < f->features; i++) {
		z[i] = f->sd[i] > 0 ? (x[i] - f->mean[i]) / f->sd[i] : 0;
		z[i] = fmin(fmax(z[i], -1e15), 1e15);
		narrow[i] = (float)z[i];
	}
	for (size_t i = 0; i < f->features; i++) {
		double sum = 0;
		for (size_t j = 0; j <= i; j++)
			sum += f->whitening[i * (i + 1) / 2 + j] * z[j];
		w[i] = (float)sum;
		length += sum * sum;
	}
	member[0] = textbook_forest(f, narrow);
	member[1] = textbook_prototypes(f, w);
	member[2] = sqrt(length);
}

static void compare(const struct fused *f)
{
	static const double far[] = { 1e3, -1e6, 1e15, -1e300, 1e308 };
	unsigned wrong = 0;

	for (int probe = 0; probe < PROBES; probe++) {
		double x[FEATURES_MAX], ours[FUSED_MEMBERS], plain[FUSED_MEMBERS];
		for (size_t i = 0; i < f->features; i++)
			x[i] = rng_below(&rng, 30) ? 2 * rng_normal(&rng) : far[rng_below(&rng, 5)];
		fused_members(f, x, ours);
		textbook(f, x, plain);
		wrong += memcmp(ours, plain, sizeof(ours)) != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void test_levels(void)
{
	static const size_t features[SIZES] = { 1, 3, 8, 9, 16, 64 };
	static const size_t trees[SIZES] = { 1, 55, 100, 57, 56, 8 };
	static const size_t prototypes[SIZES] = { 1, 9, 256, 10, 300, 1000 };

	rng_seed(&rng, 11);
	for (size_t i = 0; i < SIZES; i++) {
		for (int trained = 0; trained < 2; trained++) {
			struct fused *f = some_fused(features[i], trees[i], prototypes[i], trained);
			for (int level = 0; level < CPU_LEVELS; level++)
				if (fused_use(f, (enum cpu_level)level))
					compare(f);
			fused_destroy(f);
		}
	}
}

static CU_TestInfo cases[] = {
	{ "on every level of the processor the members are the textbook's", test_levels },
	{ "of one sensor or two that fail together, those are named", test_leading },
	{ "farther is stranger without end; what is missing is not scored", test_far },
	{ "same rows and seed, or the file read back: the same scores", test_same },
	{ "too few rows to hold some out are refused", test_few },
	{ "wrong children, features, cuts and tails are refused", test_lies },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("fused", cases);
}
