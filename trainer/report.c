#include "trainer/report.h"
#include "common/number.h"
#include "common/timeutil.h"
#include "common/train.h"
#include "trainer/series.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* A run this long, and this share of the file, is more likely a stuck sensor than a coarse one. */
enum { STUCK_RUN = 20, STUCK_SHARE = 100 };

static double cell(const struct csvfile *csv, size_t row, size_t column)
{
	return csv->value[row * csv->schema.count + column];
}

static bool complete_row(const struct csvfile *csv, size_t row)
{
	for (size_t j = 0; j < csv->schema.count; j++) {
		if (isnan(cell(csv, row, j)))
			return false;
	}
	return true;
}

/* Mean, spread, extremes and distinct values of one column; room[rows] is scratch. */
static void measure_values(
	const struct csvfile *csv, size_t column, double *room, struct column_report *c)
{
	const struct feature *f = &csv->schema.feature[column];
	size_t n = 0;
	double sum = 0, squares = 0;

	for (size_t i = 0; i < csv->rows; i++) {
		double x = cell(csv, i, column);
		if (isnan(x))
			continue;
		room[n++] = x;
		sum += x;
		c->beyond += x < f->low || x > f->high;
	}
	c->missing = csv->rows - n;
	c->mean = sum / (double)n; /* 0 / 0 is the NaN we promise */
	for (size_t i = 0; i < n; i++)
		squares += (room[i] - c->mean) * (room[i] - c->mean);
	c->sd = sqrt(squares / (double)n);
	number_sort(room, n);
	c->low = n ? room[0] : NAN;
	c->high = n ? room[n - 1] : NAN;
	for (size_t i = 0; i < n; i++)
		c->distinct += i == 0 || room[i] != room[i - 1];
}

void report_correlate(struct column_report *c, size_t n, double products, size_t pairs)
{
	bool measurable = pairs > 0 && c->low < c->high;

	c->lag1 = measurable ? products / (double)pairs / (c->sd * c->sd) : NAN;
	c->effective = n > 0 ? 1 : 0;
	if (measurable && c->lag1 < 1)
		c->effective = c->lag1 > 0 ? (double)n * (1 - c->lag1) / (1 + c->lag1) : (double)n;
	else if (c->low < c->high && pairs == 0)
		c->effective = (double)n; /* no row has a neighbour: nothing known against it */
	if (n > 0 && c->effective < 1)
		c->effective = 1;
}

void report_choose(struct report *r, size_t columns)
{
	r->effective_column = 0;
	for (size_t i = 1; i < columns; i++) {
		if (r->column[i].effective < r->column[r->effective_column].effective)
			r->effective_column = i;
	}
	r->effective_rows = r->column[r->effective_column].effective;
}

/* What depends on the order: runs and autocorrelation; run[rows] is scratch. */
static void measure_order(const struct csvfile *csv, const struct series *series, size_t column,
	size_t *run, struct column_report *c)
{
	double products = 0;
	size_t pairs = 0, n = csv->rows - c->missing;

	for (size_t i = 0; i < csv->rows; i++) {
		size_t before = series->previous[i];
		double x = cell(csv, i, column);
		double y = before == SERIES_NONE ? NAN : cell(csv, before, column);
		run[i] = isnan(x) ? 0 : x == y ? run[before] + 1 : 1;
		if (run[i] > c->longest_run)
			c->longest_run = run[i];
		if (!isnan(x) && !isnan(y)) {
			products += (x - c->mean) * (y - c->mean);
			pairs++;
		}
	}
	report_correlate(c, n, products, pairs);
}

/* The steps and constants of splitmix64 (rng.h), a word at a time: nobody gains by forging a
 * duplicate, and a keyed digest took four times as long. */
static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * UINT64_C(0xbf58476d1ce4e5b9);
	return h ^ h >> 29;
}

uint64_t report_row_digest(const double *value, size_t n, uint32_t machine, int64_t at_ms)
{
	uint64_t h = mix(mix(UINT64_C(0x9e3779b97f4a7c15), machine), (uint64_t)at_ms);

	for (size_t i = 0; i < n; i++) {
		double x = isnan(value[i]) ? NAN : value[i] + 0.0;
		uint64_t bits;
		memcpy(&bits, &x, sizeof(bits));
		h = mix(h, bits);
	}
	h *= UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static void count_rows(const struct csvfile *csv, uint64_t *digest, struct report *r)
{
	for (size_t i = 0; i < csv->rows; i++) {
		r->complete += complete_row(csv, i);
		r->anomalous += csv->label && csv->label[i] == 1;
		digest[i] = report_row_digest(&csv->value[i * csv->schema.count], csv->schema.count,
			csv->machine ? csv->machine[i] : 0, csv->at_ms ? csv->at_ms[i] : 0);
	}
	number_sort_unsigned(digest, csv->rows);
	for (size_t i = 1; i < csv->rows; i++)
		r->duplicates += digest[i] == digest[i - 1];
}

enum status report_make(const struct csvfile *csv, struct report *out, struct why *why)
{
	struct series series = { 0 };
	struct report r = { .rows = csv->rows, .kept = csv->rows };
	size_t room = csv->rows ? csv->rows : 1;
	double *value = malloc(room * sizeof(*value));
	size_t *run = malloc(room * sizeof(*run));
	uint64_t *digest = malloc(room * sizeof(*digest));
	enum status st = STATUS_OK;

	if (!value || !run || !digest)
		st = fail(why, STATUS_NO_MEMORY, "no memory to examine %zu rows", csv->rows);
	if (st == STATUS_OK)
		st = series_make(csv, &series, why);
	if (st != STATUS_OK)
		goto done;

	for (size_t i = 0; i < csv->schema.count; i++) {
		measure_values(csv, i, value, &r.column[i]);
		measure_order(csv, &series, i, run, &r.column[i]);
	}
	report_choose(&r, csv->schema.count);
	count_rows(csv, digest, &r);
	r.gaps = series.gaps;
	r.back = series.back;
	r.median_step_ms = series.median_step_ms;
	r.longest_step_ms = series.longest_step_ms;
	*out = r;
done:
	series_free(&series);
	free(value);
	free(run);
	free(digest);
	return st;
}

static int name_width(const struct csvfile *csv)
{
	size_t width = 6;

	for (size_t i = 0; i < csv->schema.count; i++) {
		size_t len = strlen(csv->schema.feature[i].name);
		width = len > width ? len : width;
	}
	return (int)width;
}

static void print_columns(const struct report *r, const struct csvfile *csv, FILE *out)
{
	int width = name_width(csv);

	fprintf(out, "\n%-*s %8s %12s %12s %12s %12s %9s %11s %7s\n", width, "column", "missing",
		"mean", "sd", "min", "max", "distinct", "longest run", "lag-1");
	for (size_t i = 0; i < csv->schema.count; i++) {
		const struct column_report *c = &r->column[i];
		fprintf(out, "%-*s %8zu %12.6g %12.6g %12.6g %12.6g %9zu %11zu %7.3f\n", width,
			csv->schema.feature[i].name, c->missing, c->mean, c->sd, c->low, c->high,
			c->distinct, c->longest_run, c->lag1);
	}
	fputc('\n', out);
}

static void print_order(const struct report *r, const struct csvfile *csv, FILE *out)
{
	fprintf(out,
		"effective rows %.0f (n(1-r)/(1+r) with the lag-1 autocorrelation r; the smallest, of %s)\n",
		r->effective_rows, csv->schema.feature[r->effective_column].name);
	if (csv->at_ms)
		fprintf(out,
			"time steps     median %.9g s, longest %.9g s; %zu gaps of more than %d medians, %zu not forward\n",
			(double)r->median_step_ms / 1000, (double)r->longest_step_ms / 1000,
			r->gaps, SERIES_GAP_STEPS, r->back);
	else
		fprintf(out,
			"time steps     no timestamp column: the rows are taken as evenly spaced, in order\n");
}

static void warn_column(
	const struct report *r, const char *name, const struct column_report *c, FILE *out)
{
	if (c->missing < r->rows && c->low == c->high)
		fprintf(out, "warning: column %s is constant\n", name);
	else if (c->longest_run >= STUCK_RUN && c->longest_run >= r->rows / STUCK_SHARE)
		fprintf(out,
			"warning: column %s holds one value for %zu rows in a row: a stuck sensor would look healthy to the model\n",
			name, c->longest_run);
}

/* Without times, a file of one coarse column repeats itself and nothing is wrong. */
static bool many_duplicates(const struct report *r, const struct csvfile *csv)
{
	return r->duplicates > r->rows / 100 && (csv->at_ms || csv->schema.count > 1);
}

static void print_warnings(const struct report *r, const struct csvfile *csv, FILE *out)
{
	for (size_t i = 0; i < csv->schema.count; i++)
		warn_column(r, csv->schema.feature[i].name, &r->column[i], out);
	if (r->complete < r->rows)
		fprintf(out,
			"warning: %zu rows with missing cells are left out of training (the forest has no rule for missing values)\n",
			r->rows - r->complete);
	if (many_duplicates(r, csv))
		fprintf(out,
			"warning: %zu of %zu rows repeat an earlier row: were files joined twice?\n",
			r->duplicates, r->rows);
	if (csv->machines > 1)
		fprintf(out,
			"warning: one model for %zu machines: what is normal for one may hide a fault of another\n",
			csv->machines);
	if (r->rows > 0 && r->effective_rows < REPORT_EFFECTIVE_MIN)
		fprintf(out,
			"warning: short or correlated baseline: below %d effective rows the false-alarm rate is uncertain\n",
			REPORT_EFFECTIVE_MIN);
}

void report_print(
	const struct report *report, const struct csvfile *csv, const char *path, FILE *out)
{
	fprintf(out, "file           %s\n", path);
	fprintf(out, "rows           %zu (%zu complete)\n", report->rows, report->complete);
	if (report->kept < report->rows)
		fprintf(out,
			"kept           %zu of them%s: what is trained on, and whose distinct values are counted\n",
			report->kept,
			report->kept < report->complete ? ", drawn at random"
							: ", all that are complete");
	fprintf(out, "features       %zu\n", csv->schema.count);
	if (csv->machine)
		fprintf(out, "machines       %zu\n", csv->machines);
	if (report->rows > 0) {
		print_columns(report, csv, out);
		fprintf(out, "repeated rows  %s%zu\n",
			report->kept < report->rows && report->duplicates > 0 ? "about " : "",
			report->duplicates);
		print_order(report, csv, out);
	}
	print_warnings(report, csv, out);
}

/* The first column that is constant in the rows that are complete, the count of columns if none
 * is: one can vary and yet be constant there. */
static size_t constant_column(const struct csvfile *csv)
{
	double low[FEATURES_MAX], high[FEATURES_MAX];
	size_t i = 0;

	for (size_t j = 0; j < csv->schema.count; j++) {
		low[j] = INFINITY;
		high[j] = -INFINITY;
	}
	for (size_t row = 0; row < csv->rows; row++) {
		if (!complete_row(csv, row))
			continue;
		for (size_t j = 0; j < csv->schema.count; j++) {
			low[j] = fmin(low[j], cell(csv, row, j));
			high[j] = fmax(high[j], cell(csv, row, j));
		}
	}
	while (i < csv->schema.count && low[i] < high[i])
		i++;
	return i;
}

enum status report_check(
	const struct report *report, const struct csvfile *csv, const char *path, struct why *why)
{
	if (report->rows == 0)
		return fail(why, STATUS_BAD_INPUT, "%s: no rows after the header", path);
	if (report->anomalous > 0)
		return fail(why, STATUS_BAD_INPUT,
			"%s: %zu of %zu rows are labelled anomalous, a baseline must be healthy",
			path, report->anomalous, report->rows);
	for (size_t i = 0; i < csv->schema.count; i++) {
		if (report->column[i].missing == report->rows)
			return fail(why, STATUS_BAD_INPUT, "%s: column %s has no value in any row",
				path, csv->schema.feature[i].name);
	}
	for (size_t i = 0; i < csv->schema.count; i++) {
		if (!isfinite(report->column[i].sd))
			return fail(why, STATUS_BAD_INPUT,
				"%s: column %s holds numbers too large to have a variance", path,
				csv->schema.feature[i].name);
	}
	if (report->complete < TRAIN_ROWS_MIN)
		return fail(why, STATUS_BAD_INPUT, "%s: %zu complete rows, at least %d are needed",
			path, report->complete, TRAIN_ROWS_MIN);
	size_t constant = constant_column(csv);
	if (constant < csv->schema.count)
		return fail(why, STATUS_BAD_INPUT,
			"%s: column %s is constant%s: it says nothing, remove it", path,
			csv->schema.feature[constant].name,
			report->kept < report->complete ? " in the rows kept" : "");
	return STATUS_OK;
}
