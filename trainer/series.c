#include "trainer/series.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Links every row to the one before of its machine, whatever the time between them. */
static bool link_machines(const struct csvfile *csv, size_t *previous)
{
	size_t machines = csv->machine ? csv->machines : 1;
	size_t *last = malloc((machines ? machines : 1) * sizeof(*last));

	if (!last)
		return false;
	for (size_t m = 0; m < machines; m++)
		last[m] = SERIES_NONE;
	for (size_t i = 0; i < csv->rows; i++) {
		size_t m = csv->machine ? csv->machine[i] : 0;
		previous[i] = last[m];
		last[m] = i;
	}
	free(last);
	return true;
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static int64_t step_ms(const struct csvfile *csv, const size_t *previous, size_t i)
{
	return csv->at_ms[i] - csv->at_ms[previous[i]];
}

/* Of the steps forward alone: a file of many repeated times must not have a median of 0, which
 * would make a gap of every step. */
static bool measure_steps(const struct csvfile *csv, struct series *s)
{
	size_t n = 0;
	int64_t *step = malloc((csv->rows ? csv->rows : 1) * sizeof(*step));

	if (!step)
		return false;
	for (size_t i = 0; i < csv->rows; i++) {
		if (s->previous[i] != SERIES_NONE && step_ms(csv, s->previous, i) > 0)
			step[n++] = step_ms(csv, s->previous, i);
	}
	qsort(step, n, sizeof(*step), by_size);
	if (n > 0) {
		s->median_step_ms = step[n / 2];
		s->longest_step_ms = step[n - 1];
	}
	free(step);
	return true;
}

static void cut_at_gaps(const struct csvfile *csv, struct series *s)
{
	for (size_t i = 0; i < csv->rows; i++) {
		if (s->previous[i] == SERIES_NONE)
			continue;
		int64_t step = step_ms(csv, s->previous, i);
		bool gap = step > SERIES_GAP_STEPS * s->median_step_ms;
		s->gaps += gap;
		s->back += step <= 0;
		if (gap || step <= 0)
			s->previous[i] = SERIES_NONE;
	}
}

enum status series_make(const struct csvfile *csv, struct series *out, struct why *why)
{
	struct series s = { .previous = malloc((csv->rows ? csv->rows : 1) * sizeof(size_t)) };

	if (!s.previous || !link_machines(csv, s.previous) ||
		(csv->at_ms && !measure_steps(csv, &s))) {
		series_free(&s);
		return fail(
			why, STATUS_NO_MEMORY, "no memory for the order of %zu rows", csv->rows);
	}
	if (csv->at_ms)
		cut_at_gaps(csv, &s);
	*out = s;
	return STATUS_OK;
}

void series_free(struct series *series)
{
	free(series->previous);
	memset(series, 0, sizeof(*series));
}
