/* Which rows of a CSV file follow each other in time: the rows of one machine, in the file's
 * order, as long as time goes on. A step back or on the spot, or one of more than ten median
 * steps, begins a new segment. Without a `timestamp` column each machine is one segment. */
#ifndef ISOLDE_TRAINER_SERIES_H
#define ISOLDE_TRAINER_SERIES_H

#include "common/csvfile.h"
#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum { SERIES_GAP_STEPS = 10 };
#define SERIES_NONE SIZE_MAX

struct series {
	size_t *previous;       /* [rows] the row before in its segment, or SERIES_NONE */
	int64_t median_step_ms; /* of the steps forward; 0: there is none */
	int64_t longest_step_ms;
	size_t gaps; /* steps of more than SERIES_GAP_STEPS medians */
	size_t back; /* steps of zero or less */
};

/* series_free(*out) afterwards. STATUS_NO_MEMORY. */
enum status series_make(const struct csvfile *csv, struct series *out, struct why *why) MUST_USE;

/* Accepts a zeroed one. */
void series_free(struct series *series);

#endif
