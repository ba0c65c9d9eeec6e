/* A baseline of which only a part is kept says of all its rows what it would say of a whole one. */
#include "common/rng.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include "trainer/baseline.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 6000, KEPT = 700, FEATURES = 3, MACHINES = 3 };
static struct why why;
static struct csvfile file; /* all of it */

/* Three machines in turn, every two seconds each; slow, coarse and stuck columns; missing cells, a
 * gap, a step back, repeated rows. */
static struct csvfile_row make_row(size_t i, struct rng *rng, bool timed)
{
	static double slow, value[FEATURES];
	static int64_t at_ms;
	static uint32_t machine;

	slow = i == 0 ? 0 : 0.95 * slow + rng_normal(rng);
	value[0] = 1000 + slow;
	value[1] = floor(3 * rng_normal(rng));
	value[2] = i > 3000 && i < 3200 ? -7.5 : rng_normal(rng) * 1e-3;
	if (i % 61 == 5)
		value[i % FEATURES] = NAN;
	at_ms = 1000000 + (int64_t)(i / MACHINES) * 2000 + (i > 2500 ? 90000 : 0) -
		(i == 4000 ? 5000 : 0);
	machine = (uint32_t)(i % MACHINES);
	return (struct csvfile_row){ value, timed ? &at_ms : NULL, timed ? &machine : NULL, NULL };
}

static void set_schema(struct schema *schema)
{
	schema->count = 0;
	CU_ASSERT_EQUAL_FATAL(schema_add(schema, "slow", "", 998, 1002, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(
		schema_add(schema, "coarse", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(schema_add(schema, "fine", "", -INFINITY, 2, &why), STATUS_OK);
}

/* The same rows into `file` and a baseline; some of the last ones are the first ones again. */
static void read_both(struct baseline *b, bool timed)
{
	struct rng rng;

	csvfile_free(&file);
	set_schema(&file.schema);
	set_schema(&b->csv.schema);
	rng_seed(&rng, 11);
	for (size_t i = 0; i < ROWS; i++) {
		struct csvfile_row row = make_row(i, &rng, timed);
		if (!timed && i >= ROWS - 200)
			row.value = file.value + (i - ROWS + 200) * FEATURES;
		CU_ASSERT_TRUE_FATAL(csvfile_append(&file, &row));
		row.value = file.value + i * FEATURES; /* append may have moved it */
		CU_ASSERT_EQUAL_FATAL(baseline_add(b, &row, &why), STATUS_OK);
	}
	file.machines = timed ? MACHINES : 0;
	CU_ASSERT_EQUAL_FATAL(baseline_finish(b, &why), STATUS_OK);
}

static void compare_columns(const struct column_report *c, const struct column_report *whole)
{
	CU_ASSERT_EQUAL(c->missing, whole->missing);
	CU_ASSERT_EQUAL(c->beyond, whole->beyond);
	CU_ASSERT_EQUAL(c->low, whole->low);
	CU_ASSERT_EQUAL(c->high, whole->high);
	CU_ASSERT_EQUAL(c->longest_run, whole->longest_run);
	CU_ASSERT_DOUBLE_EQUAL(c->mean, whole->mean, 1e-12 * fabs(whole->mean) + 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(c->sd / whole->sd, 1, 1e-10);
	CU_ASSERT_DOUBLE_EQUAL(c->lag1, whole->lag1, 1e-10);
	CU_ASSERT_DOUBLE_EQUAL(c->effective / whole->effective, 1, 1e-9);
}

static void compare_reports(const struct baseline *b)
{
	struct report report, whole;

	CU_ASSERT_EQUAL_FATAL(baseline_report(b, &report, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(report_make(&file, &whole, &why), STATUS_OK);
	CU_ASSERT_EQUAL(report.rows, ROWS);
	CU_ASSERT_EQUAL(report.kept, b->csv.rows);
	CU_ASSERT_EQUAL(report.complete, whole.complete);
	CU_ASSERT_EQUAL(report.duplicates, whole.duplicates);
	CU_ASSERT_EQUAL(report.gaps, whole.gaps);
	CU_ASSERT_EQUAL(report.back, whole.back);
	CU_ASSERT_EQUAL(report.longest_step_ms, whole.longest_step_ms);
	CU_ASSERT_EQUAL(report.median_step_ms, whole.median_step_ms);
	CU_ASSERT_EQUAL(report.effective_column, whole.effective_column);
	for (size_t j = 0; j < FEATURES; j++)
		compare_columns(&report.column[j], &whole.column[j]);
}

/* The rows kept are complete rows of the file, in its order. */
static void check_kept(const struct baseline *b)
{
	size_t at = 0, strange = 0;

	for (size_t i = 0; i < b->csv.rows; i++) {
		const double *x = b->csv.value + i * FEATURES;
		while (at < ROWS &&
			memcmp(x, file.value + at * FEATURES, FEATURES * sizeof(*x)) != 0)
			at++;
		if (at == ROWS) {
			strange++;
			break;
		}
		strange += isnan(x[0]) || isnan(x[1]) || isnan(x[2]);
		if (file.at_ms)
			strange += b->csv.at_ms[i] != file.at_ms[at] ||
				b->csv.machine[i] != file.machine[at];
		at++;
	}
	CU_ASSERT_EQUAL(strange, 0);
}

static void test_rows(void)
{
	struct baseline b = { .rows_max = KEPT, .block = 1, .seed = 3 };

	read_both(&b, false);
	CU_ASSERT_EQUAL(b.csv.rows, KEPT);
	CU_ASSERT_PTR_NOT_NULL(b.tally);
	check_kept(&b);
	compare_reports(&b);
	baseline_free(&b);
}

static void test_series(void)
{
	struct baseline b = { .rows_max = KEPT, .block = 50, .seed = 3 };

	read_both(&b, true);
	CU_ASSERT_TRUE(b.csv.rows > KEPT - 50 && b.csv.rows <= KEPT);
	CU_ASSERT_EQUAL(b.csv.machines, MACHINES);
	check_kept(&b);
	compare_reports(&b);
	baseline_free(&b);
}

/* What goes into the model of all complete rows is what train_model measures on them. */
static void test_stats(void)
{
	struct baseline b = { .rows_max = KEPT, .block = 1, .seed = 3 };
	struct train_options options = {
		.kind = DETECTOR_FOREST, .trees = 2, .sample_size = 16, .quantile = 0.9
	};
	struct feature_stats stats[FEATURES_MAX];
	struct model *model = NULL;
	size_t n = 0;

	read_both(&b, false);
	for (size_t i = 0; i < ROWS; i++) {
		const double *x = file.value + i * FEATURES;
		if (!isnan(x[0]) && !isnan(x[1]) && !isnan(x[2]))
			memmove(file.value + n++ * FEATURES, x, FEATURES * sizeof(*x));
	}
	CU_ASSERT_EQUAL(tally_stats(b.tally, stats), n);
	CU_ASSERT_EQUAL_FATAL(
		train_model(&file.schema, file.value, n, &options, &model, &why), STATUS_OK);
	for (size_t j = 0; j < FEATURES; j++) {
		const struct feature_stats *s = &model->detector.stats[j];
		CU_ASSERT_DOUBLE_EQUAL(stats[j].mean, s->mean, 1e-12 * fabs(s->mean) + 1e-12);
		CU_ASSERT_DOUBLE_EQUAL(stats[j].sd / s->sd, 1, 1e-10);
		CU_ASSERT_EQUAL(stats[j].stuck_after, s->stuck_after);
	}
	CU_ASSERT_TRUE(stats[2].stuck_after > 300); /* not the usual 20 */
	model_destroy(model);
	baseline_free(&b);
}

/* As many rows as there is room for are kept as they came, empty cells and all. */
static void test_whole(void)
{
	struct baseline b = { .rows_max = ROWS, .block = 1, .seed = 3 };

	read_both(&b, true);
	CU_ASSERT_EQUAL(b.csv.rows, ROWS);
	CU_ASSERT_PTR_NULL(b.tally);
	CU_ASSERT_EQUAL(memcmp(b.csv.value, file.value, ROWS * FEATURES * sizeof(double)), 0);
	CU_ASSERT_EQUAL(memcmp(b.csv.at_ms, file.at_ms, ROWS * sizeof(int64_t)), 0);
	compare_reports(&b);
	baseline_free(&b);
}

/* No digits are lost where the mean is large beside the spread, nor where it moves. */
static void test_digits(void)
{
	struct baseline b = { .rows_max = 1000, .block = 1, .seed = 1 };
	struct report report;

	b.csv.schema.count = 0;
	CU_ASSERT_EQUAL_FATAL(
		schema_add(&b.csv.schema, "a", "", -INFINITY, INFINITY, &why), STATUS_OK);
	for (size_t i = 0; i < 100000; i++) {
		double x = 1e12 + (double)(i % 4) + (i < 50000 ? 0 : 1000);
		struct csvfile_row row = { &x, NULL, NULL, NULL };
		CU_ASSERT_EQUAL_FATAL(baseline_add(&b, &row, &why), STATUS_OK);
	}
	CU_ASSERT_EQUAL_FATAL(baseline_finish(&b, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(baseline_report(&b, &report, &why), STATUS_OK);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].mean, 1e12 + 501.5, 1e-3);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].sd, sqrt(1.25 + 250000), 1e-8);
	baseline_free(&b);
	baseline_free(&b); /* twice is safe */
}

/* What a person reads of it. */
static const char *told(struct baseline *b)
{
	static char text[4096];
	struct report report;
	FILE *out = fmemopen(text, sizeof(text), "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	CU_ASSERT_EQUAL_FATAL(baseline_finish(b, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(baseline_report(b, &report, &why), STATUS_OK);
	report_print(&report, &b->csv, "b.csv", out);
	fclose(out);
	why.text[0] = '\0';
	if (report_check(&report, &b->csv, "b.csv", &why) != STATUS_OK)
		CU_ASSERT_TRUE(*why.text != '\0'); /* the caller knows what it should say */
	return text;
}

/* One column: numbers, a gap in every `gaps`th row, one odd row behind all the others. */
static void add_numbers(struct baseline *b, size_t rows, size_t gaps, bool odd)
{
	b->csv.schema.count = 0;
	CU_ASSERT_EQUAL_FATAL(
		schema_add(&b->csv.schema, "a", "", -INFINITY, INFINITY, &why), STATUS_OK);
	for (size_t i = 0; i < rows; i++) {
		double x = odd ? (double)(i == rows - 1) : (double)(i / 2);
		if (gaps && i % gaps == 0)
			x = NAN;
		struct csvfile_row row = { &x, NULL, NULL, NULL };
		CU_ASSERT_EQUAL_FATAL(baseline_add(b, &row, &why), STATUS_OK);
	}
}

static void test_told(void)
{
	struct baseline drawn = { .rows_max = 100, .block = 1, .seed = 2 };
	struct baseline complete = drawn, constant = drawn;

	add_numbers(&drawn, 300, 0, false);
	const char *text = told(&drawn);
	ASSERT_HOLDS(text, "rows           300 (300 complete)\n");
	ASSERT_HOLDS(text, "kept           100 of them, drawn at random: ");
	ASSERT_HOLDS(text, "repeated rows  about 150\n");
	CU_ASSERT_STRING_EQUAL(why.text, "");
	baseline_free(&drawn);

	add_numbers(&complete, 180, 2, false);
	ASSERT_HOLDS(told(&complete), "kept           90 of them, all that are complete: ");
	baseline_free(&complete);

	add_numbers(&constant, 100000, 0, true); /* one in a thousand that the odd row is drawn */
	(void)told(&constant);
	ASSERT_HOLDS(why.text, "column a is constant in the rows kept: it says nothing");
	baseline_free(&constant);
}

static CU_TestInfo cases[] = {
	{ "rows drawn one by one, and the figures of all", test_rows },
	{ "a series keeps blocks, and the figures of all", test_series },
	{ "the model's statistics are those of all complete rows", test_stats },
	{ "what fits is kept as it is", test_whole },
	{ "the report says what was kept, and why", test_told },
	{ "a large or moving mean costs no digits", test_digits },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int failures = unit_run("baseline", cases);

	csvfile_free(&file);
	return failures;
}
