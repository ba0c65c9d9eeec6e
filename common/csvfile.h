/* A CSV file of numbers in memory: RFC 4180 with a header row. The columns `timestamp`,
 * `machine` and `label` are set apart, every other column is a feature. A byte order mark and
 * CRLF are fine, blank lines are skipped. An empty cell is a missing value, kept as NaN; text,
 * "nan", "inf" and numbers beyond a double are refused with line and column. */
#ifndef ISOLDE_COMMON_CSVFILE_H
#define ISOLDE_COMMON_CSVFILE_H

#include "common/digest.h"
#include "common/schema.h"
#include "common/status.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	CSV_CELL_MAX = 1024, /* bytes */
	CSV_ROWS_MAX = 20000000,
	CSV_MACHINES_MAX = 10000,
};

struct csvfile {
	struct schema schema; /* the feature columns, in the file's order */
	size_t rows, room;    /* there are; that fit the columns below as they are */
	double *value;        /* [rows * schema.count], row-major; NaN: missing */
	int64_t *at_ms;       /* [rows], or NULL if there is no `timestamp` column */
	uint32_t *machine;    /* [rows] index into machine_name, or NULL */
	char (*machine_name)[MACHINE_NAME_MAX + 1]; /* [machines] */
	size_t machines;
	int8_t *label;                 /* [rows] 0 or 1, or NULL */
	size_t missing;                /* empty feature cells */
	char digest[DIGEST_TEXT_SIZE]; /* SHA-256 of the file; by csvfile_each alone */
};

/* Reads `path`. A timestamp cell is RFC 3339, or a number of seconds (below 1e11) or
 * milliseconds; it may be small and need not be a date. Errors name the file, the line (1 is
 * the header) and the column. csvfile_free(*out) afterwards. */
enum status csvfile_load(const char *path, struct csvfile *out, struct why *why) MUST_USE;

/* One row as it is read, lent until the next one. A NULL: the file has no such column. */
struct csvfile_row {
	const double *value; /* [schema.count]; NaN: missing */
	const int64_t *at_ms;
	const uint32_t *machine; /* index into machine_name */
	const int8_t *label;
};

/* Takes a row. `head` holds the schema, the machines so far, and in `rows` how many came before; it
 * may be read, no more. Anything but STATUS_OK ends the reading and is its answer. */
typedef enum status csvfile_take(
	void *context, const struct csvfile *head, const struct csvfile_row *row, struct why *why);

/* Reads `path` as csvfile_load does, but hands over each row instead of keeping it: memory grows
 * with the machines alone, rows may be more than CSV_ROWS_MAX, and `path` may be a pipe: nothing is
 * read twice, the digest is of these very bytes. *out is the head after the last row, without
 * columns, csvfile_free(*out) afterwards; untouched on failure. */
enum status csvfile_each(const char *path, csvfile_take *take, void *context, struct csvfile *out,
	struct why *why) MUST_USE;

/* Appends a row to a table whose schema is set; all its rows have the same columns. False and
 * unchanged if there is no memory. */
bool csvfile_append(struct csvfile *csv, const struct csvfile_row *row) MUST_USE;

/* Row `i` of a table, which it points into. */
struct csvfile_row csvfile_row_at(const struct csvfile *csv, size_t i);

/* Accepts a zeroed one. */
void csvfile_free(struct csvfile *csv);

#endif
