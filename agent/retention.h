/* When old readings go: a few at a time, between batches, by store.keep_days and store.max_mb.
 *
 * Age is measured by the clock, and clocks jump. After a jump of more than RETENTION_JUMP_MS, also
 * one that a restart hides, nothing goes for its age for RETENTION_PAUSE_MS: time enough to see
 * the warning, and no history is lost to a clock set ten years ahead. The worker's thread. */
#ifndef ISOLDE_AGENT_RETENTION_H
#define ISOLDE_AGENT_RETENTION_H

#include "common/store.h"
#include <stdint.h>

enum { RETENTION_JUMP_MS = 3600000, RETENTION_PAUSE_MS = 86400000, RETENTION_ROWS_MIN = 256 };

struct retention {
	int64_t keep_ms;   /* 0: for ever */
	int64_t max_bytes; /* 0: no end */
	/* Its own; zero to start. */
	int64_t next_ms, paused_to_ms; /* monotonic */
	int64_t offset_ms;             /* clock less monotonic time, at the last look */
	bool began;
};

/* Removes up to twice the `batch` (at least RETENTION_ROWS_MIN) readings if it is time to; how
 * many went. `now_ms` is the clock's time, `monotonic_ms` that which never jumps. A store that
 * fails is tried again later. */
size_t retention_run(struct retention *retention, struct store *store, size_t batch, int64_t now_ms,
	int64_t monotonic_ms);

#endif
