#include "common/rng.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include "trainer/score.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct csvfile csv;

static void load(const char *text)
{
	struct why why = { "" };

	csvfile_free(&csv);
	CU_ASSERT_EQUAL_FATAL(
		csvfile_load(unit_file("rows.csv", text, strlen(text)), &csv, &why), STATUS_OK);
}

static struct model *train_small(void)
{
	struct train_options options = {
		.trees = 20, .sample_size = 64, .seed = 1, .quantile = 0.99
	};
	struct schema schema = { .count = 0 };
	struct model *model = NULL;
	struct why why;
	struct rng rng;
	double value[200 * 2];

	rng_seed(&rng, 3);
	for (size_t i = 0; i < 400; i++)
		value[i] = rng_normal(&rng) + (i % 2 ? 100 : 0);
	CU_ASSERT_EQUAL(schema_add(&schema, "a", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&schema, "b", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL(train_model(&schema, value, 200, &options, &model, &why), STATUS_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(model);
	return model;
}

static void test_by_name(void)
{
	struct model *model = train_small();
	size_t column[FEATURES_MAX];
	double score[2];
	const double x[] = { 0, 100 };
	char ignored[64];
	struct why why;

	load("b,other,a,more\n100,7,0,1\n0,7,100,1\n");
	CU_ASSERT_EQUAL_FATAL(score_match(model, &csv, "r.csv", column, &why), STATUS_OK);
	score_rows(model, &csv, column, score);
	score_ignored(model, &csv, ignored, sizeof(ignored));

	CU_ASSERT_EQUAL(score[0], detector_score(&model->detector, x));
	CU_ASSERT(score[1] > model->threshold && score[0] < model->threshold);
	CU_ASSERT_STRING_EQUAL(ignored, "other, more");
	model_destroy(model);
}

static void test_column_missing(void)
{
	struct model *model = train_small();
	size_t column[FEATURES_MAX];
	struct why why = { "" };

	load("a,c\n1,2\n");

	CU_ASSERT_EQUAL(score_match(model, &csv, "r.csv", column, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "r.csv: column b of the model is missing");
	model_destroy(model);
}

static void test_print(void)
{
	static struct model model = { .threshold = 0.25 };
	const double score[] = { 0.1, NAN, 0.25, 0.5 };
	char text[256];

	FILE *out = fmemopen(text, sizeof(text), "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	score_print(&model, score, 4, out);
	fclose(out);

	CU_ASSERT_STRING_EQUAL(text, "anomaly_score,is_anomaly\n0.1,0\n,\n0.25,0\n0.5,1\n");
}

static void expect_smooth(
	const char *text, size_t width, const double *score, const double *want, size_t n)
{
	double got[16];
	struct series series;
	struct why why;

	load(text);
	CU_ASSERT_EQUAL_FATAL(csv.rows, n);
	memcpy(got, score, n * sizeof(*got));
	CU_ASSERT_EQUAL_FATAL(series_make(&csv, &series, &why), STATUS_OK);
	score_smooth(&series, csv.rows, width, got);
	series_free(&series);
	for (size_t i = 0; i < n; i++) {
		CU_ASSERT_EQUAL(isnan(got[i]), isnan(want[i]));
		CU_ASSERT(!(fabs(got[i] - want[i]) > 1e-12));
	}
}

static void test_smooth(void)
{
	const double score[] = { 3, 6, 9, 12, 3 };
	const double three[] = { 3, 4.5, 6, 9, 8 };

	expect_smooth("a\n1\n1\n1\n1\n1\n", 3, score, three, 5);
	expect_smooth("a\n1\n1\n1\n1\n1\n", 1, score, score, 5);
}

static void test_smooth_machines(void)
{
	const double score[] = { 1, 10, 3, 30, 5, 50 };
	const double want[] = { 1, 10, 2, 20, 4, 40 };

	expect_smooth("machine,a\nx,1\ny,1\nx,1\ny,1\nx,1\ny,1\n", 2, score, want, 6);
}

static void test_smooth_gaps(void)
{
	const double score[] = { 2, 4, 6, 8, 10, 20 };
	const double want[] = { 2, 3, 4, 8, 9, 20 }; /* anew at 100 s, and when time goes back */

	expect_smooth("timestamp,a\n1,1\n2,1\n3,1\n100,1\n101,1\n50,1\n", 5, score, want, 6);
}

static void test_smooth_missing(void)
{
	const double score[] = { 2, NAN, 4, 6 };
	const double want[] = { 2, NAN, 3, 5 };

	expect_smooth("a\n1\n\"\"\n1\n1\n", 2, score, want, 4);
}

static CU_TestInfo cases[] = {
	{ "columns are found by name, in any order, others named and ignored", test_by_name },
	{ "a missing column is refused by name", test_column_missing },
	{ "a row without a score prints two empty cells, the threshold itself no anomaly",
		test_print },
	{ "smoothing averages the last scores, fewer at the start", test_smooth },
	{ "smoothing keeps machines apart", test_smooth_machines },
	{ "smoothing starts anew at gaps and steps back", test_smooth_gaps },
	{ "smoothing passes over rows without a score", test_smooth_missing },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int failures = unit_run("score", cases);

	csvfile_free(&csv);
	return failures;
}
