#include "tests/unit/unit.h"
#include "trainer/evaluate.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLOSE 1e-12

static struct figures judge(const double *score, const int8_t *label, size_t n, double threshold)
{
	struct figures figures;
	struct why why;

	CU_ASSERT_EQUAL_FATAL(evaluate(score, label, n, threshold, &figures, &why), STATUS_OK);
	return figures;
}

/* The example of scikit-learn's own documentation of both functions. */
static void test_documented(void)
{
	const double score[] = { 0.1, 0.4, 0.35, 0.8 };
	const int8_t label[] = { 0, 0, 1, 1 };

	struct figures f = judge(score, label, 4, 0.5);

	CU_ASSERT_DOUBLE_EQUAL(f.roc_auc, 0.75, CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(f.average_precision, 0.5 + 0.5 * 2 / 3, CLOSE); /* 0.83 */
	CU_ASSERT_EQUAL(f.rows, 4);
	CU_ASSERT_EQUAL(f.positives, 2);
}

/* scikit-learn 1.2.1: roc_auc_score 0.70833..., average_precision_score 0.7678571428571428. */
static const double tied_score[] = { 0.9, 0.5, 0.5, 0.5, 0.2, 0.1, 0.1 };
static const int8_t tied_label[] = { 1, 1, 0, 1, 0, 0, 1 };

static void test_ties(void)
{
	struct figures f = judge(tied_score, tied_label, 7, 0.3);

	/* Wins of 0.9: 3; of 0.5, twice: 2 and a tie; of 0.1: a tie. */
	CU_ASSERT_DOUBLE_EQUAL(f.roc_auc, 8.5 / 12, CLOSE);
	/* Steps 0.9, 0.5, 0.2, 0.1: recall gains 1/4, 2/4, 0, 1/4 at precision 1, 3/4, -, 4/7. */
	CU_ASSERT_DOUBLE_EQUAL(f.average_precision, 0.25 + 0.5 * 0.75 + 0.25 * 4 / 7, CLOSE);
}

static void test_order_of_rows(void)
{
	const double score[] = { 0.1, 0.5, 0.2, 0.5, 0.1, 0.9, 0.5 };
	const int8_t label[] = { 0, 0, 0, 1, 1, 1, 1 };

	struct figures a = judge(score, label, 7, 0.3);
	struct figures b = judge(tied_score, tied_label, 7, 0.3);

	CU_ASSERT_EQUAL(a.roc_auc, b.roc_auc);
	CU_ASSERT_EQUAL(a.average_precision, b.average_precision);
}

static void test_extremes(void)
{
	const double score[] = { 1, 2, 3, 4 };
	const int8_t right[] = { 0, 0, 1, 1 }, wrong[] = { 1, 1, 0, 0 };
	const double same[] = { 7, 7, 7, 7 };

	CU_ASSERT_DOUBLE_EQUAL(judge(score, right, 4, 0).roc_auc, 1, CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(judge(score, right, 4, 0).average_precision, 1, CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(judge(score, wrong, 4, 0).roc_auc, 0, CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(judge(same, wrong, 4, 0).roc_auc, 0.5, CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(judge(same, wrong, 4, 0).average_precision, 0.5, CLOSE);
}

static void test_threshold(void)
{
	/* Above 0.3: two hits, one false alarm; a score equal to the threshold is no anomaly. */
	const double score[] = { 0.9, 0.8, 0.7, 0.3, 0.3, 0.1, 0.0, 0.0 };
	const int8_t label[] = { 1, 0, 1, 1, 0, 0, 0, 1 };

	struct figures f = judge(score, label, 8, 0.3);

	CU_ASSERT_DOUBLE_EQUAL(f.precision, 2.0 / 3, CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(f.recall, 2.0 / 4, CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(f.f1, 2 * 2.0 / (3 + 4), CLOSE);
	CU_ASSERT_DOUBLE_EQUAL(f.false_alarm_rate, 1.0 / 4, CLOSE);
}

static void test_unscored(void)
{
	const double score[] = { 0.1, NAN, 0.4, 0.35, NAN, 0.8 };
	const int8_t label[] = { 0, 1, 0, 1, 0, 1 };

	struct figures f = judge(score, label, 6, 0.5);

	CU_ASSERT_EQUAL(f.rows, 4);
	CU_ASSERT_EQUAL(f.unscored, 2);
	CU_ASSERT_EQUAL(f.positives, 2);
	CU_ASSERT_DOUBLE_EQUAL(f.roc_auc, 0.75, CLOSE);
}

static void test_one_class(void)
{
	const double score[] = { 0.1, 0.9 };
	const int8_t healthy[] = { 0, 0 }, anomalous[] = { 1, 1 };

	struct figures f = judge(score, healthy, 2, 0.5);
	CU_ASSERT(isnan(f.roc_auc) && isnan(f.average_precision) && isnan(f.recall));
	CU_ASSERT(isnan(f.f1));
	CU_ASSERT_DOUBLE_EQUAL(f.false_alarm_rate, 0.5, CLOSE);
	ASSERT_HOLDS(evaluate_gaps(&f), "no scored row is labelled 1");

	f = judge(score, anomalous, 2, 0.5);
	CU_ASSERT(isnan(f.roc_auc) && isnan(f.false_alarm_rate));
	CU_ASSERT_DOUBLE_EQUAL(f.recall, 0.5, CLOSE);
	ASSERT_HOLDS(evaluate_gaps(&f), "no scored row is labelled 0");
}

static void test_nothing(void)
{
	struct figures f = judge(NULL, NULL, 0, 0.5);

	CU_ASSERT_EQUAL(f.rows, 0);
	CU_ASSERT(isnan(f.roc_auc) && isnan(f.precision) && isnan(f.false_alarm_rate));
	ASSERT_HOLDS(evaluate_gaps(&f), "no row could be scored");
}

static void test_print(void)
{
	const double score[] = { 0.1, 0.4, 0.35, 0.8, NAN };
	const int8_t label[] = { 0, 0, 1, 1, 1 };
	char *text = NULL;
	size_t len;
	struct figures f = judge(score, label, 5, 0.9);

	FILE *out = open_memstream(&text, &len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	evaluate_print(&f, "", out);
	fclose(out);

	CU_ASSERT_STRING_EQUAL(text,
		"rows 5\nunscored 1\npositives 2\nthreshold 0.900000\nroc_auc 0.750000\n"
		"average_precision 0.833333\nf1 0.000000\nprecision nan\nrecall 0.000000\n"
		"false_alarm_rate 0.000000\n");
	free(text);
}

static CU_TestInfo cases[] = {
	{ "the documented example gives AUC 0.75 and average precision 0.83", test_documented },
	{ "equal scores win half a pair and make one step of precision", test_ties },
	{ "the order of rows with equal scores changes nothing", test_order_of_rows },
	{ "a perfect, a reversed and a constant ranking give 1, 0 and one half", test_extremes },
	{ "only scores above the threshold are flagged", test_threshold },
	{ "rows without a score are counted and left out", test_unscored },
	{ "with one class, what cannot be computed is NaN and named", test_one_class },
	{ "no rows at all is no crash", test_nothing },
	{ "each figure is printed as name and value", test_print },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("evaluate", cases);
}
