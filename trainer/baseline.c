#include "trainer/baseline.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* `row` may be the one that is there. */
static void put_row(struct csvfile *csv, size_t place, const struct csvfile_row *row)
{
	size_t width = csv->schema.count;

	memmove(csv->value + place * width, row->value, width * sizeof(*csv->value));
	if (row->at_ms)
		csv->at_ms[place] = *row->at_ms;
	if (row->machine)
		csv->machine[place] = *row->machine;
	if (row->label)
		csv->label[place] = *row->label;
}

static bool complete(const struct baseline *b, const struct csvfile_row *row)
{
	for (size_t j = 0; j < b->csv.schema.count; j++) {
		if (isnan(row->value[j]))
			return false;
	}
	return true;
}

/* Only complete rows can be trained on: the others are looked at, and take no place. */
static enum status place_row(struct baseline *b, const struct csvfile_row *row, struct why *why)
{
	size_t place;
	enum status st =
		thin_next(b->thin, row->machine ? *row->machine : 0, complete(b, row), &place, why);

	if (st == STATUS_OK && place != THIN_NOWHERE)
		put_row(&b->csv, place, row);
	return st;
}

/* It is one row too many: those that are there become the first of the sample. As long as there is
 * room places are given in order, so that a row moves to the front or stays. */
static enum status start_thinning(struct baseline *b, struct why *why)
{
	enum status st = tally_create(&b->csv, &b->tally, why);

	if (st == STATUS_OK)
		st = thin_create(b->rows_max, b->block, b->seed, &b->thin, why);
	for (size_t i = 0; i < b->csv.rows && st == STATUS_OK; i++) {
		struct csvfile_row row = csvfile_row_at(&b->csv, i);
		st = place_row(b, &row, why);
	}
	return st;
}

enum status baseline_add(struct baseline *b, const struct csvfile_row *row, struct why *why)
{
	enum status st = STATUS_OK;

	if (row->machine && *row->machine >= b->csv.machines)
		b->csv.machines = *row->machine + 1;
	if (!b->thin && b->csv.rows < b->rows_max)
		return csvfile_append(&b->csv, row)
			? STATUS_OK
			: fail(why, STATUS_NO_MEMORY, "no memory for %zu rows", b->csv.rows + 1);
	if (!b->thin)
		st = start_thinning(b, why);
	if (st == STATUS_OK)
		st = tally_add(b->tally, row, why);
	return st == STATUS_OK ? place_row(b, row, why) : st;
}

static void swap_bytes(void *a, void *b, size_t n)
{
	char x[FEATURES_MAX * sizeof(double)];

	memcpy(x, a, n);
	memcpy(a, b, n);
	memcpy(b, x, n);
}

static void swap_rows(struct csvfile *csv, size_t a, size_t b)
{
	size_t width = csv->schema.count;

	swap_bytes(csv->value + a * width, csv->value + b * width, width * sizeof(*csv->value));
	if (csv->at_ms)
		swap_bytes(csv->at_ms + a, csv->at_ms + b, sizeof(*csv->at_ms));
	if (csv->machine)
		swap_bytes(csv->machine + a, csv->machine + b, sizeof(*csv->machine));
	if (csv->label)
		swap_bytes(csv->label + a, csv->label + b, sizeof(*csv->label));
}

/* Each swap brings a row to where it belongs. */
static void order(struct csvfile *csv, uint32_t *rank)
{
	for (size_t i = 0; i < csv->rows; i++) {
		while (rank[i] != i) {
			uint32_t to = rank[i];
			swap_rows(csv, i, to);
			rank[i] = rank[to];
			rank[to] = to;
		}
	}
}

enum status baseline_finish(struct baseline *b, struct why *why)
{
	size_t taken = 0;

	if (!b->thin)
		return STATUS_OK;
	uint32_t *rank = malloc(b->rows_max * sizeof(*rank));
	if (!rank)
		return fail(why, STATUS_NO_MEMORY, "no memory to order %zu rows", b->rows_max);
	enum status st = thin_rank(b->thin, rank, &taken, why);
	if (st == STATUS_OK) {
		order(&b->csv, rank);
		b->csv.rows = taken;
	}
	free(rank);
	thin_destroy(b->thin);
	b->thin = NULL;
	return st;
}

enum status baseline_report(const struct baseline *b, struct report *out, struct why *why)
{
	enum status st = report_make(&b->csv, out, why);

	if (st == STATUS_OK && b->tally)
		tally_report(b->tally, out);
	return st;
}

void baseline_free(struct baseline *b)
{
	thin_destroy(b->thin);
	tally_destroy(b->tally);
	csvfile_free(&b->csv);
	memset(b, 0, sizeof(*b));
}
