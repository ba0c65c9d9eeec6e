/* How well scores tell labelled anomalies from healthy rows. Pure. Scores equal to each other
 * count as one step of the threshold, as in scikit-learn's roc_auc_score and
 * average_precision_score. */
#ifndef ISOLDE_TRAINER_EVALUATE_H
#define ISOLDE_TRAINER_EVALUATE_H

#include "common/status.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* All within 0 .. 1, NaN where a division by zero would be: a class is empty, or nothing was
 * flagged. */
struct figures {
	size_t rows;      /* scored: their score is not NaN */
	size_t unscored;  /* the others, left out of everything */
	size_t positives; /* scored rows with label 1 */
	double threshold;
	double roc_auc;           /* P(anomalous row scores above a healthy one), ties half */
	double average_precision; /* sum of precision times gain in recall, downwards */
	double f1, precision, recall, false_alarm_rate; /* of score > threshold */
};

struct scored {
	double score;
	int8_t label;
};

/* The rows whose score is not NaN, strangest first, into out[n]; how many there are. */
size_t evaluate_rank(const double *score, const int8_t *label, size_t n, struct scored *out);

/* score[n] may be NaN, label[n] is 0 or 1. STATUS_NO_MEMORY. */
enum status evaluate(const double *score, const int8_t *label, size_t n, double threshold,
	struct figures *out, struct why *why) MUST_USE;

/* Lines `name value`, each name with this prefix; "nan" where there is none. */
void evaluate_print(const struct figures *figures, const char *prefix, FILE *out);

/* One sentence on which figures cannot be computed and why, or NULL. */
const char *evaluate_gaps(const struct figures *figures);

#endif
