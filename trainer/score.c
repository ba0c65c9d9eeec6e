#include "trainer/score.h"
#include "common/number.h"
#include "common/text.h"
#include <math.h>
#include <stdlib.h>

enum status score_match(const struct model *model, const struct csvfile *csv, const char *path,
	size_t column[FEATURES_MAX], struct why *why)
{
	for (size_t i = 0; i < model->schema.count; i++) {
		int at = schema_find(&csv->schema, model->schema.feature[i].name);
		if (at < 0)
			return fail(why, STATUS_BAD_INPUT, "%s: column %s of the model is missing",
				path, model->schema.feature[i].name);
		column[i] = (size_t)at;
	}
	return STATUS_OK;
}

void score_ignored(const struct model *model, const struct csvfile *csv, char *out, size_t size)
{
	struct text text = text_start(out, size);

	for (size_t i = 0; i < csv->schema.count; i++) {
		const char *name = csv->schema.feature[i].name;
		if (schema_find(&model->schema, name) >= 0)
			continue;
		if (text.len > 0)
			text_add(&text, ", ");
		text_add(&text, name);
	}
}

/* A row's values in the model's order. */
static void pick(const struct model *model, const struct csvfile *csv,
	const size_t column[FEATURES_MAX], size_t row, double *x)
{
	const double *value = &csv->value[row * csv->schema.count];

	for (size_t i = 0; i < model->schema.count; i++)
		x[i] = value[column[i]];
}

void score_rows(const struct model *model, const struct csvfile *csv,
	const size_t column[FEATURES_MAX], double *score)
{
	double x[FEATURES_MAX];

	for (size_t row = 0; row < csv->rows; row++) {
		pick(model, csv, column, row, x);
		score[row] = detector_score(&model->detector, x);
	}
}

/* O(width), and again for every row: no running sum, whose rounding would depend on the rows
 * before the window. */
static double window_mean(
	const struct series *series, const double *score, size_t row, size_t width)
{
	double sum = 0;
	size_t n = 0;

	for (size_t i = row; i != SERIES_NONE && n < width; i = series->previous[i]) {
		if (isnan(score[i]))
			continue;
		sum += score[i];
		n++;
	}
	return sum / (double)n;
}

void score_smooth(const struct series *series, size_t rows, size_t width, double *score)
{
	/* From the end, because a row only looks at rows before it. */
	for (size_t row = rows; row-- > 0;) {
		if (!isnan(score[row]))
			score[row] = window_mean(series, score, row, width);
	}
}

/* One rule over all rows; drift[machines]. */
static void raise_scores(const struct model *model, const struct drift_rule *rule,
	const struct csvfile *csv, const size_t column[FEATURES_MAX], const struct series *series,
	struct drift *drift, double *score)
{
	double x[FEATURES_MAX];

	for (size_t row = 0; row < csv->rows; row++) {
		struct drift *one = &drift[csv->machine ? csv->machine[row] : 0];
		if (series->previous[row] == SERIES_NONE)
			*one = (struct drift){ .count = 0 };
		if (isnan(score[row]))
			continue;
		pick(model, csv, column, row, x);
		double nats = drift_next(
			one, rule, model->schema.count, model->step_ms, csv->at_ms[row], x);
		score[row] = fmax(score[row], drift_score(rule, nats));
	}
}

enum status score_drift(const struct model *model, const struct csvfile *csv,
	const size_t column[FEATURES_MAX], const struct series *series, double *score,
	struct why *why)
{
	size_t machines = csv->machine && csv->machines > 0 ? csv->machines : 1;

	for (size_t i = 0; i < DRIFT_RULES && model->drift[i].window > 0; i++) {
		struct drift *drift = calloc(machines, sizeof(*drift));
		if (!drift)
			return fail(why, STATUS_NO_MEMORY, "no memory for %zu machines", machines);
		raise_scores(model, &model->drift[i], csv, column, series, drift, score);
		free(drift);
	}
	return STATUS_OK;
}

void score_print(const struct model *model, const double *score, size_t rows, FILE *out)
{
	char number[NUMBER_TEXT_SIZE];

	fputs("anomaly_score,is_anomaly\n", out);
	for (size_t i = 0; i < rows; i++) {
		if (isnan(score[i])) {
			fputs(",\n", out);
			continue;
		}
		number_format(score[i], number);
		fprintf(out, "%s,%d\n", number, score[i] > model->threshold);
	}
}
