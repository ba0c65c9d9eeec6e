#include "trainer/evaluate.h"
#include <math.h>
#include <stdlib.h>

static int strangest_first(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;
	return (x->score < y->score) - (x->score > y->score);
}

size_t evaluate_rank(const double *score, const int8_t *label, size_t n, struct scored *out)
{
	size_t rows = 0;

	for (size_t i = 0; i < n; i++) {
		if (!isnan(score[i]))
			out[rows++] = (struct scored){ score[i], label[i] };
	}
	qsort(out, rows, sizeof(*out), strangest_first);
	return rows;
}

/* Walks down the ranking in steps of equal scores. */
static void measure_ranking(const struct scored *s, struct figures *f)
{
	double above = 0, wins = 0, precision_sum = 0;

	for (size_t i = 0; i < f->rows;) {
		size_t first = i;
		double anomalous = 0;
		for (; i < f->rows && s[i].score == s[first].score; i++)
			anomalous += s[i].label;
		double healthy = (double)(i - first) - anomalous;
		wins += healthy * (above + anomalous / 2);
		above += anomalous;
		precision_sum += anomalous * above / (double)i;
	}
	double positives = (double)f->positives, negatives = (double)(f->rows - f->positives);
	f->roc_auc = wins / (positives * negatives);
	f->average_precision = precision_sum / positives;
}

static void measure_threshold(const struct scored *s, struct figures *f)
{
	double flagged = 0, hits = 0;
	double positives = (double)f->positives, negatives = (double)(f->rows - f->positives);

	for (size_t i = 0; i < f->rows && s[i].score > f->threshold; i++) {
		flagged++;
		hits += s[i].label;
	}
	f->precision = hits / flagged;
	f->recall = hits / positives;
	f->f1 = positives > 0 ? 2 * hits / (flagged + positives) : NAN;
	f->false_alarm_rate = (flagged - hits) / negatives;
}

enum status evaluate(const double *score, const int8_t *label, size_t n, double threshold,
	struct figures *out, struct why *why)
{
	struct figures f = { .threshold = threshold };
	struct scored *s = malloc((n ? n : 1) * sizeof(*s));

	if (!s)
		return fail(why, STATUS_NO_MEMORY, "no memory to rank %zu rows", n);
	f.rows = evaluate_rank(score, label, n, s);
	f.unscored = n - f.rows;
	for (size_t i = 0; i < f.rows; i++)
		f.positives += s[i].label == 1;
	measure_ranking(s, &f);
	measure_threshold(s, &f);
	free(s);
	*out = f;
	return STATUS_OK;
}

static void print_figure(FILE *out, const char *prefix, const char *name, double value)
{
	if (isnan(value))
		fprintf(out, "%s%s nan\n", prefix, name); /* printf might add a sign */
	else
		fprintf(out, "%s%s %.6f\n", prefix, name, value);
}

void evaluate_print(const struct figures *f, const char *prefix, FILE *out)
{
	fprintf(out, "%srows %zu\n", prefix, f->rows + f->unscored);
	fprintf(out, "%sunscored %zu\n", prefix, f->unscored);
	fprintf(out, "%spositives %zu\n", prefix, f->positives);
	print_figure(out, prefix, "threshold", f->threshold);
	print_figure(out, prefix, "roc_auc", f->roc_auc);
	print_figure(out, prefix, "average_precision", f->average_precision);
	print_figure(out, prefix, "f1", f->f1);
	print_figure(out, prefix, "precision", f->precision);
	print_figure(out, prefix, "recall", f->recall);
	print_figure(out, prefix, "false_alarm_rate", f->false_alarm_rate);
}

const char *evaluate_gaps(const struct figures *f)
{
	if (f->rows == 0)
		return "no row could be scored: no figure can be computed";
	if (f->positives == 0)
		return "no scored row is labelled 1: roc_auc, average_precision, recall and f1 cannot "
		       "be computed";
	if (f->positives == f->rows)
		return "no scored row is labelled 0: roc_auc and false_alarm_rate cannot be computed";
	if (isnan(f->precision))
		return "no score is above the threshold: precision cannot be computed";
	return NULL;
}
