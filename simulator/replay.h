/* A recorded CSV as one machine's readings. Pure but for loading. */
#ifndef ISOLDE_SIMULATOR_REPLAY_H
#define ISOLDE_SIMULATOR_REPLAY_H

#include "common/csvfile.h"
#include "common/status.h"
#include <stdbool.h>
#include <stdint.h>

struct replay {
	struct csvfile csv;
	int64_t *offset_ms; /* [csv.rows] from the first row, rising */
};

/* A step of the file that is not positive, or longer than 10 median steps, becomes one median
 * step: recordings have gaps, and rows out of order. Without timestamps (or without one step
 * forward in them) a step is `step_ms`. STATUS_BAD_INPUT for a file without rows.
 * replay_free(*out) afterwards. */
enum status replay_load(
	const char *path, double step_ms, struct replay *out, struct why *why) MUST_USE;

/* The file's own timestamps can be published: it has them, within what a reading may bear. */
enum status replay_check_timestamps(
	const struct replay *replay, const char *path, struct why *why) MUST_USE;

/* Accepts a zeroed one. */
void replay_free(struct replay *replay);

#endif
