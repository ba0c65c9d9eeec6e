/* Scores the rows of a CSV file with a model. The file's columns are matched to the model's
 * features by name, in any order; others are ignored. */
#ifndef ISOLDE_TRAINER_SCORE_H
#define ISOLDE_TRAINER_SCORE_H

#include "common/csvfile.h"
#include "common/model.h"
#include "common/status.h"
#include "trainer/series.h"
#include <stddef.h>
#include <stdio.h>

enum { SMOOTH_MAX = 10000 };

/* column[model->schema.count]: where the file keeps each feature. STATUS_BAD_INPUT names `path`
 * and the feature it lacks. */
enum status score_match(const struct model *model, const struct csvfile *csv, const char *path,
	size_t column[FEATURES_MAX], struct why *why) MUST_USE;

/* The file's feature columns that the model does not know, "a, b, c", cut at size; empty if
 * there are none. */
void score_ignored(const struct model *model, const struct csvfile *csv, char *out, size_t size);

/* score[csv->rows]: each row's own score; NaN where a value is missing. */
void score_rows(const struct model *model, const struct csvfile *csv,
	const size_t column[FEATURES_MAX], double *score);

/* Replaces each of score[rows] by the mean of the last `width` (1 .. SMOOTH_MAX) of its segment,
 * itself included; fewer at the start. Missing scores stay and do not count. */
void score_smooth(const struct series *series, size_t rows, size_t width, double *score);

/* Raises score[csv->rows], smoothed ones, to what the model's rules of means say of the rows
 * (common/drift), where that is more: what feeds the alarm. */
enum status score_drift(const struct model *model, const struct csvfile *csv,
	const size_t column[FEATURES_MAX], const struct series *series, double *score,
	struct why *why) MUST_USE;

/* CSV: anomaly_score,is_anomaly; a line for every row, both cells empty where there is no
 * score. */
void score_print(const struct model *model, const double *score, size_t rows, FILE *out);

#endif
