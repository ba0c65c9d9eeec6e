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

static CU_TestInfo cases[] = {
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
