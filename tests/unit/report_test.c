#include "tests/unit/unit.h"
#include "trainer/report.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct csvfile csv;
static struct report report;

/* Reads `text` as a CSV file and examines it. */
static void examine(const char *text)
{
	struct why why = { "" };

	csvfile_free(&csv);
	const char *path = unit_file("baseline.csv", text, strlen(text));
	CU_ASSERT_EQUAL(csvfile_load(path, &csv, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(why.text, "");
	CU_ASSERT_EQUAL_FATAL(report_make(&csv, &report, &why), STATUS_OK);
}

static void expect_refused(const char *word)
{
	struct why why = { "" };

	CU_ASSERT_EQUAL(report_check(&report, &csv, "b.csv", &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "b.csv: ");
	ASSERT_HOLDS(why.text, word);
}

static void expect_accepted(void)
{
	struct why why = { "" };

	CU_ASSERT_EQUAL(report_check(&report, &csv, "b.csv", &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(why.text, "");
}

/* What report_print writes, until the next call. */
static const char *printed(void)
{
	static char text[8192];
	FILE *out = fmemopen(text, sizeof(text), "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	report_print(&report, &csv, "b.csv", out);
	fclose(out);
	return text;
}

/* A CSV file of `n` rows and `tail`. A column is a letter: i the row number, j one that jumps
 * about, c one that changes every ten rows, 4 and 0 themselves, - an empty cell. */
static const char *rows(const char *header, const char *columns, int n, const char *tail)
{
	static char text[16384];
	size_t at = (size_t)snprintf(text, sizeof(text), "%s\n", header);

	for (int i = 0; i < n; i++) {
		for (const char *c = columns; *c; c++) {
			int value = *c == 'i' ? i
				: *c == 'j'   ? i * 37 % 101
				: *c == 'c'   ? i / 10
					      : *c - '0';
			if (*c != '-')
				at += (size_t)snprintf(text + at, sizeof(text) - at, "%d", value);
			text[at++] = c[1] ? ',' : '\n';
		}
	}
	snprintf(text + at, sizeof(text) - at, "%s", tail);
	return text;
}

static void test_values(void)
{
	examine("a,b\n1,5\n2,5\n3,\n4,7\n");

	CU_ASSERT_EQUAL(report.rows, 4);
	CU_ASSERT_EQUAL(report.complete, 3);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].mean, 2.5, 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].sd, sqrt(1.25), 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].low, 1, 0);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].high, 4, 0);
	CU_ASSERT_EQUAL(report.column[0].distinct, 4);
	CU_ASSERT_EQUAL(report.column[1].missing, 1);
	CU_ASSERT_EQUAL(report.column[1].distinct, 2);
	CU_ASSERT_EQUAL(report.column[1].longest_run, 2);
}

static void test_autocorrelation(void)
{
	/* Mean 2.5, deviations -1.5 -.5 .5 1.5: mean of 3 products 1.25/3, variance 1.25. */
	examine("a\n1\n2\n3\n4\n");

	CU_ASSERT_DOUBLE_EQUAL(report.column[0].lag1, 1.0 / 3, 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].effective, 4 * (2.0 / 3) / (4.0 / 3), 1e-12);

	examine("a\n1\n2\n1\n2\n1\n2\n"); /* alternating is no loss, and no gain either */
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].lag1, -1, 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].effective, 6, 1e-12);
}

static void test_smallest_counts(void)
{
	examine(rows("slow,fast", "ij", 100, ""));

	CU_ASSERT_EQUAL(report.effective_column, 0);
	CU_ASSERT(report.effective_rows < 5);
	CU_ASSERT(report.column[1].effective > 20);
	ASSERT_HOLDS(printed(), "the smallest, of slow");
	ASSERT_HOLDS(printed(), "warning: short or correlated baseline");
}

static void test_machines_apart(void)
{
	/* Two machines interleaved, each stuck: no neighbour in the file is equal. */
	examine("machine,a\nx,1\ny,2\nx,1\ny,2\nx,1\ny,2\n");

	CU_ASSERT_EQUAL(report.column[0].longest_run, 3);
	CU_ASSERT_DOUBLE_EQUAL(report.column[0].lag1, 1, 1e-12);
	ASSERT_HOLDS(printed(), "one model for 2 machines");
}

static void test_gaps(void)
{
	examine("timestamp,a\n0,1\n1,1\n2,1\n12,1\n22.5,2\n23,2\n23,2\n20,3\n");

	/* Steps 1 1 10 10.5 0.5 0 -3: median of the five forward 1 s. */
	CU_ASSERT_EQUAL(report.median_step_ms, 1000);
	CU_ASSERT_EQUAL(report.longest_step_ms, 10500);
	CU_ASSERT_EQUAL(report.gaps, 1); /* 10 medians are no gap */
	CU_ASSERT_EQUAL(report.back, 2);
	CU_ASSERT_EQUAL(report.column[0].longest_run, 4);
	ASSERT_HOLDS(printed(), "1 gaps of more than 10 medians, 2 not forward");
}

static void test_duplicates(void)
{
	examine("a,b\n1,2\n2,1\n1,2\n1,\n1,\n1,2\n");
	CU_ASSERT_EQUAL(report.duplicates, 3);

	/* The same values at another time, or of another machine, are no repetition. */
	examine("timestamp,a\n1,5\n2,5\n2,5\n");
	CU_ASSERT_EQUAL(report.duplicates, 1);
	ASSERT_HOLDS(printed(), "1 of 3 rows repeat an earlier row");
	examine("machine,a\nx,5\ny,5\nx,5\n");
	CU_ASSERT_EQUAL(report.duplicates, 1);
}

static void test_stuck(void)
{
	examine(rows("a,b", "cj", 100, ""));
	CU_ASSERT_PTR_NULL(strstr(printed(), "stuck"));

	char text[2048] = "a\n";
	for (int i = 0; i < 50; i++)
		strcat(text, i < 25 ? "3\n" : i % 2 ? "4\n" : "5\n");
	examine(text);
	CU_ASSERT_EQUAL(report.column[0].longest_run, 25);
	ASSERT_HOLDS(printed(), "column a holds one value for 25 rows in a row");
}

static void test_missing_rows(void)
{
	examine(rows("a,b", "ij", 100, ""));
	CU_ASSERT_PTR_NULL(strstr(printed(), "left out"));
	expect_accepted();

	examine(rows("a,b", "ij", 100, "1,\n,2\n"));
	CU_ASSERT_EQUAL(report.complete, 100);
	ASSERT_HOLDS(printed(), "2 rows with missing cells are left out");
	expect_accepted();
}

static void test_refuse_few(void)
{
	examine("a,b\n");
	expect_refused("no rows");
	ASSERT_HOLDS(printed(), "rows           0");

	examine(rows("a,b", "ij", 15, ""));
	expect_refused("15 complete rows, at least 16");

	examine(rows("a,b", "ij", 16, ""));
	expect_accepted();
}

static void test_refuse_constant(void)
{
	examine(rows("a,still,b", "i4j", 50, ""));

	expect_refused("column still is constant");
	ASSERT_HOLDS(printed(), "warning: column still is constant");
}

static void test_refuse_constant_where_complete(void)
{
	/* `still` moves only where b is missing, and those rows are not trained on. */
	examine(rows("a,still,b", "i4j", 50, "8,9,\n"));

	CU_ASSERT_EQUAL(report.column[1].distinct, 2);
	expect_refused("column still is constant");
}

static void test_refuse_empty_column(void)
{
	examine(rows("a,none,b", "i-j", 50, ""));

	CU_ASSERT(isnan(report.column[1].mean));
	expect_refused("column none has no value");
}

static void test_refuse_anomalous(void)
{
	examine(rows("a,b,label", "ij0", 50, ""));
	expect_accepted();

	examine(rows("a,b,label", "ij0", 50, "8,9,1\n9,8,1\n"));
	expect_refused("2 of 52 rows are labelled anomalous");
}

static void test_refuse_huge(void)
{
	examine(rows("a,b", "ij", 50, "1e300,1\n"));

	expect_refused("column a");
}

static CU_TestInfo cases[] = {
	{ "mean, spread, extremes, distinct values and missing cells of a column", test_values },
	{ "autocorrelation shrinks the effective rows, never adds any", test_autocorrelation },
	{ "the most correlated column decides on the effective rows", test_smallest_counts },
	{ "runs and correlation are looked for machine by machine", test_machines_apart },
	{ "steps of more than ten medians and steps not forward are counted", test_gaps },
	{ "repeated rows are counted, with time and machine if there are any", test_duplicates },
	{ "a long run of one value is called stuck, a coarse column is not", test_stuck },
	{ "rows with missing cells are counted and left out", test_missing_rows },
	{ "no rows and too few rows are refused", test_refuse_few },
	{ "a constant column is refused by name", test_refuse_constant },
	{ "so is one that is constant in the complete rows", test_refuse_constant_where_complete },
	{ "a column without a value is refused by name", test_refuse_empty_column },
	{ "rows labelled anomalous are refused with their number", test_refuse_anomalous },
	{ "numbers too large for a variance are refused", test_refuse_huge },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int failures = unit_run("report", cases);

	csvfile_free(&csv);
	return failures;
}
