/* A baseline that is read once, row by row: all of it is looked at, but no more than a given number
 * of rows is kept. Up to that number they are all there, in order; of more, a uniform sample of
 * whole blocks (trainer/thin), and the figures of all rows (trainer/tally). */
#ifndef ISOLDE_TRAINER_BASELINE_H
#define ISOLDE_TRAINER_BASELINE_H

#include "common/csvfile.h"
#include "common/status.h"
#include "trainer/report.h"
#include "trainer/tally.h"
#include "trainer/thin.h"
#include <stddef.h>
#include <stdint.h>

/* Rows of a machine that are kept or left out together where their order matters: fifteen of the
 * longest stretches that the fused detector holds out (common/fused_fit), and a hundred smoothing
 * windows; a hundred blocks of them at least are kept of a large file. */
enum { BASELINE_BLOCK = 1000 };

struct baseline {
	size_t rows_max; /* to keep, at least 1 */
	size_t block;    /* 1: single rows, whose order is lost to who needs neighbours */
	uint64_t seed;
	struct csvfile
		csv; /* the rows kept, in the file's order; its schema is set before the first */
	struct tally *tally; /* of all rows; NULL: they are all kept */
	struct thin *thin;
};

/* The next row, of the same columns. STATUS_NO_MEMORY. */
enum status baseline_add(
	struct baseline *baseline, const struct csvfile_row *row, struct why *why) MUST_USE;

/* After the last row: csv is in order. STATUS_NO_MEMORY. */
enum status baseline_finish(struct baseline *baseline, struct why *why) MUST_USE;

/* Examines it, after baseline_finish: report_make, of all rows. STATUS_NO_MEMORY. */
enum status baseline_report(
	const struct baseline *baseline, struct report *out, struct why *why) MUST_USE;

/* Frees what is in it; accepts a zeroed one. */
void baseline_free(struct baseline *baseline);

#endif
