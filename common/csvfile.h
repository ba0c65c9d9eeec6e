/* A CSV file of numbers in memory: RFC 4180 with a header row. The columns `timestamp`,
 * `machine` and `label` are set apart, every other column is a feature. A byte order mark and
 * CRLF are fine, blank lines are skipped. An empty cell is a missing value, kept as NaN; text,
 * "nan", "inf" and numbers beyond a double are refused with line and column. */
#ifndef ISOLDE_COMMON_CSVFILE_H
#define ISOLDE_COMMON_CSVFILE_H

#include "common/schema.h"
#include "common/status.h"
#include <stdint.h>

enum {
	CSV_CELL_MAX = 1024, /* bytes */
	CSV_ROWS_MAX = 20000000,
	CSV_MACHINES_MAX = 10000,
};

struct csvfile {
	struct schema schema; /* the feature columns, in the file's order */
	size_t rows;
	double *value;     /* [rows * schema.count], row-major; NaN: missing */
	int64_t *at_ms;    /* [rows], or NULL if there is no `timestamp` column */
	uint32_t *machine; /* [rows] index into machine_name, or NULL */
	char (*machine_name)[MACHINE_NAME_MAX + 1]; /* [machines] */
	size_t machines;
	int8_t *label;  /* [rows] 0 or 1, or NULL */
	size_t missing; /* empty feature cells */
};

/* Reads `path`. A timestamp cell is RFC 3339, or a number of seconds (below 1e11) or
 * milliseconds; it may be small and need not be a date. Errors name the file, the line (1 is
 * the header) and the column. csvfile_free(*out) afterwards. */
enum status csvfile_load(const char *path, struct csvfile *out, struct why *why) MUST_USE;

/* Accepts a zeroed one. */
void csvfile_free(struct csvfile *csv);

#endif
