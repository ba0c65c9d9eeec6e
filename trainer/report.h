/* What a baseline is worth before a model is made of it: missing cells, stuck runs, repeated
 * rows, gaps, and how many independent readings its rows amount to. Prints for people; pure
 * otherwise. */
#ifndef ISOLDE_TRAINER_REPORT_H
#define ISOLDE_TRAINER_REPORT_H

#include "common/csvfile.h"
#include "common/schema.h"
#include "common/status.h"
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Below, the false-alarm rate is uncertain: 300 rows with autocorrelation 0.9 gave 0.4 to 12 %
 * where 1 % was asked for; 500 to 2,000 independent ones 0.6 to 2.0 %. */
enum { REPORT_EFFECTIVE_MIN = 1000 };

struct column_report {
	size_t missing;             /* empty cells; all else is of the others */
	size_t beyond;              /* values outside the range the schema states */
	double mean, sd, low, high; /* sd with 1/n; NaN if every cell is missing */
	size_t distinct;            /* different values */
	size_t longest_run;         /* rows in a row with one value, in one segment */
	double lag1;                /* autocorrelation of neighbours in a segment; NaN: constant */
	double effective;           /* rows * (1 - lag1) / (1 + lag1), at most the rows there are */
};

struct report {
	size_t rows;
	size_t kept;       /* of these, and distinct values are theirs; `rows`: all */
	size_t complete;   /* rows with no missing cell: what is trained on */
	size_t anomalous;  /* rows with label 1 */
	size_t duplicates; /* rows equal to an earlier one in machine, time and every value */
	size_t gaps, back; /* struct series */
	int64_t median_step_ms, longest_step_ms;
	double effective_rows; /* the smallest of the columns' */
	size_t effective_column;
	struct column_report column[FEATURES_MAX]; /* [schema.count] */
};

/* STATUS_NO_MEMORY. */
enum status report_make(const struct csvfile *csv, struct report *out, struct why *why) MUST_USE;

/* From the sums over pairs of neighbours (struct column_report lag1) of n values: lag1, effective.
 * The others are set. */
void report_correlate(struct column_report *column, size_t n, double products, size_t pairs);

/* Effective rows of the file, from the columns'. */
void report_choose(struct report *report, size_t columns);

/* Of everything a row says; a missing machine or time is 0, -0 is 0, all NaN are one. A collision
 * among 2^64 would count one row too many: at 20 million rows once in 90,000 files. */
uint64_t report_row_digest(const double *value, size_t n, uint32_t machine, int64_t at_ms);

/* The whole report with its warnings; `path` is what the file is called. */
void report_print(
	const struct report *report, const struct csvfile *csv, const char *path, FILE *out);

/* Refuses (STATUS_BAD_INPUT, naming `path`) what no model can be made of: no rows, too few
 * complete ones (TRAIN_ROWS_MIN), an empty, constant or overflowing column, rows labelled
 * anomalous. */
enum status report_check(const struct report *report, const struct csvfile *csv, const char *path,
	struct why *why) MUST_USE;

#endif
