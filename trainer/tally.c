#include "trainer/tally.h"
#include "common/train.h"
#include "trainer/repeats.h"
#include "trainer/series.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Sums of a column about its shift, so that no digits are lost to a large mean. */
struct sums {
	double sum[FEATURES_MAX], square[FEATURES_MAX];
};

/* The latest row of a machine, as far as what comes next is its neighbour. */
struct latest {
	int64_t at_ms;
	bool seen;
};

struct tally {
	struct schema schema;
	int64_t gap_ms; /* a longer step is a gap */
	double shift[FEATURES_MAX];
	size_t rows, complete, anomalous, gaps, back;
	int64_t longest_step_ms;
	struct sums whole, part; /* of rows that are complete; of the others */
	size_t part_values[FEATURES_MAX], beyond[FEATURES_MAX];
	double low[FEATURES_MAX], high[FEATURES_MAX];
	/* Of neighbours x, y: about the shift. */
	double product[FEATURES_MAX], sum_x[FEATURES_MAX], sum_y[FEATURES_MAX];
	size_t pairs[FEATURES_MAX], longest_run[FEATURES_MAX];
	/* Of complete rows as they stand in the file (train_stuck_after). */
	double before[FEATURES_MAX];
	size_t repeated[FEATURES_MAX], repeats[FEATURES_MAX], most_repeats[FEATURES_MAX];
	struct repeats *seen;
	/* Per machine: */
	struct latest *latest; /* [machines] */
	double *value;         /* [machines][features] of it; NaN: missing, or no neighbour */
	uint32_t *run;         /* [machines][features] rows of one value, as long as they fit */
	size_t machines;
};

static void shift_to_means(struct tally *t, const struct csvfile *first)
{
	size_t width = t->schema.count;

	for (size_t j = 0; j < width; j++) {
		double sum = 0;
		size_t n = 0;
		for (size_t i = 0; i < first->rows; i++) {
			double x = first->value[i * width + j];
			n += !isnan(x);
			sum += isnan(x) ? 0 : x;
		}
		t->shift[j] = n > 0 && isfinite(sum) ? sum / (double)n : 0;
		t->low[j] = INFINITY;
		t->high[j] = -INFINITY;
	}
}

static enum status add_all(struct tally *t, const struct csvfile *first, struct why *why)
{
	enum status st = STATUS_OK;

	for (size_t i = 0; i < first->rows && st == STATUS_OK; i++) {
		const struct csvfile_row row = csvfile_row_at(first, i);
		st = tally_add(t, &row, why);
	}
	return st;
}

enum status tally_create(const struct csvfile *first, struct tally **out, struct why *why)
{
	struct series series;
	enum status st = series_make(first, &series, why);

	if (st != STATUS_OK)
		return st;
	int64_t gap_ms = SERIES_GAP_STEPS * series.median_step_ms;
	series_free(&series);
	struct tally *t = calloc(1, sizeof(*t));
	if (!t)
		return fail(why, STATUS_NO_MEMORY, "no memory to add up %zu rows", first->rows);
	t->schema = first->schema;
	t->gap_ms = gap_ms;
	shift_to_means(t, first);
	st = repeats_create(&t->seen, why);
	if (st == STATUS_OK)
		st = add_all(t, first, why);
	if (st == STATUS_OK)
		*out = t;
	else
		tally_destroy(t);
	return st;
}

static bool make_machine(struct tally *t, size_t machine)
{
	size_t width = t->schema.count, room = t->machines ? t->machines : 1;

	if (machine < t->machines)
		return true;
	while (room <= machine)
		room *= 2;
	void *latest = realloc(t->latest, room * sizeof(*t->latest));
	if (latest)
		t->latest = latest;
	void *value = realloc(t->value, room * width * sizeof(*t->value));
	if (value)
		t->value = value;
	void *run = realloc(t->run, room * width * sizeof(*t->run));
	if (run)
		t->run = run;
	if (!latest || !value || !run)
		return false;
	for (size_t m = t->machines; m < room; m++)
		t->latest[m] = (struct latest){ 0, false };
	t->machines = room;
	return true;
}

/* As series.h cuts: at steps back, on the spot, and at gaps. */
static bool follows(struct tally *t, struct latest *latest, const struct csvfile_row *row)
{
	bool seen = latest->seen;

	latest->seen = true;
	if (!row->at_ms)
		return seen;
	int64_t step = *row->at_ms - latest->at_ms;
	latest->at_ms = *row->at_ms;
	if (!seen)
		return false;
	if (step > t->longest_step_ms)
		t->longest_step_ms = step;
	t->back += step <= 0;
	t->gaps += step > t->gap_ms;
	return step > 0 && step <= t->gap_ms;
}

static void add_extremes(struct tally *t, const double *x)
{
	for (size_t j = 0; j < t->schema.count; j++) { /* NaN fails every comparison */
		const struct feature *f = &t->schema.feature[j];
		t->low[j] = x[j] < t->low[j] ? x[j] : t->low[j];
		t->high[j] = x[j] > t->high[j] ? x[j] : t->high[j];
		t->beyond[j] += x[j] < f->low || x[j] > f->high;
	}
}

static void add_complete(struct tally *t, const double *x)
{
	bool first = t->complete++ == 0;

	for (size_t j = 0; j < t->schema.count; j++) {
		double d = x[j] - t->shift[j];
		t->whole.sum[j] += d;
		t->whole.square[j] += d * d;
		t->repeats[j] = x[j] == t->before[j] && !first ? t->repeats[j] + 1 : 0;
		t->repeated[j] += t->repeats[j] > 0;
		if (t->repeats[j] > t->most_repeats[j])
			t->most_repeats[j] = t->repeats[j];
		t->before[j] = x[j];
	}
}

static void add_partial(struct tally *t, const double *x)
{
	for (size_t j = 0; j < t->schema.count; j++) {
		if (isnan(x[j]))
			continue;
		double d = x[j] - t->shift[j];
		t->part.sum[j] += d;
		t->part.square[j] += d * d;
		t->part_values[j]++;
	}
}

/* x and its neighbour before, y, in whose place it is put. */
static void add_order(struct tally *t, const double *x, double *y, uint32_t *run, bool neighbours)
{
	for (size_t j = 0; j < t->schema.count; j++) {
		double before = neighbours ? y[j] : NAN;
		run[j] = x[j] == before ? run[j] + (run[j] < UINT32_MAX) : !isnan(x[j]);
		if (run[j] > t->longest_run[j])
			t->longest_run[j] = run[j];
		if (!isnan(x[j]) && !isnan(before)) {
			double dx = x[j] - t->shift[j], dy = before - t->shift[j];
			t->product[j] += dx * dy;
			t->sum_x[j] += dx;
			t->sum_y[j] += dy;
			t->pairs[j]++;
		}
		y[j] = x[j];
	}
}

enum status tally_add(struct tally *t, const struct csvfile_row *row, struct why *why)
{
	size_t width = t->schema.count, machine = row->machine ? *row->machine : 0;
	bool complete = true;

	if (!make_machine(t, machine))
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu machines", machine + 1);
	for (size_t j = 0; j < width; j++)
		complete = complete && !isnan(row->value[j]);
	t->rows++;
	t->anomalous += row->label && *row->label == 1;
	add_extremes(t, row->value);
	if (complete)
		add_complete(t, row->value);
	else
		add_partial(t, row->value);
	bool neighbours = follows(t, &t->latest[machine], row);
	add_order(t, row->value, t->value + machine * width, t->run + machine * width, neighbours);
	repeats_add(t->seen,
		report_row_digest(row->value, width, row->machine ? *row->machine : 0,
			row->at_ms ? *row->at_ms : 0));
	return STATUS_OK;
}

/* sqrt of the mean square about the mean; rounding may leave a little less than nothing. */
static double spread(double n, double sum, double square)
{
	double squares = square - sum * sum / n;

	return sqrt(squares < 0 ? 0 : squares / n);
}

static void report_column(const struct tally *t, size_t j, struct column_report *c)
{
	size_t n = t->complete + t->part_values[j];
	double sum = t->whole.sum[j] + t->part.sum[j];
	double square = t->whole.square[j] + t->part.square[j];
	double by = sum / (double)n; /* from the shift to the mean; NaN of no values */

	c->missing = t->rows - n;
	c->beyond = t->beyond[j];
	c->mean = t->shift[j] + by;
	c->low = n > 0 ? t->low[j] : NAN;
	c->high = n > 0 ? t->high[j] : NAN;
	c->sd = c->low < c->high ? spread((double)n, sum, square) : n > 0 ? 0 : NAN;
	c->longest_run = t->longest_run[j];
	report_correlate(c, n,
		t->product[j] - by * (t->sum_x[j] + t->sum_y[j]) + (double)t->pairs[j] * by * by,
		t->pairs[j]);
}

void tally_report(const struct tally *t, struct report *r)
{
	for (size_t j = 0; j < t->schema.count; j++)
		report_column(t, j, &r->column[j]);
	report_choose(r, t->schema.count);
	r->rows = t->rows;
	r->complete = t->complete;
	r->anomalous = t->anomalous;
	r->duplicates = repeats_count(t->seen);
	r->gaps = t->gaps;
	r->back = t->back;
	r->longest_step_ms = t->longest_step_ms;
}

size_t tally_stats(const struct tally *t, struct feature_stats *stats)
{
	double n = (double)t->complete;

	for (size_t j = 0; j < t->schema.count; j++) {
		stats[j].mean = t->shift[j] + t->whole.sum[j] / n;
		stats[j].sd = spread(n, t->whole.sum[j], t->whole.square[j]);
		stats[j].stuck_after =
			train_stuck_after(t->complete, t->repeated[j], t->most_repeats[j]);
	}
	return t->complete;
}

void tally_destroy(struct tally *t)
{
	if (!t)
		return;
	repeats_destroy(t->seen);
	free(t->latest);
	free(t->value);
	free(t->run);
	free(t);
}
