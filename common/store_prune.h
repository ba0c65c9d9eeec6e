/* How long and how large a history may get. Part of the store: its one writer's thread. */
#ifndef ISOLDE_COMMON_STORE_PRUNE_H
#define ISOLDE_COMMON_STORE_PRUNE_H

#include "common/store.h"

struct store_quota {
	int64_t before_ms; /* what arrived before goes; 0: nothing for its age */
	int64_t max_bytes; /* of the file's used pages, WAL left aside; 0: no end */
};

/* One step, in a transaction of its own: at most `rows` of the oldest readings that are too many
 * or too old. *removed says how many went, *more that there may be others. By
 * age a reading goes by its arrival, by size by its own time, a minute after the other. */
enum status store_prune(struct store *store, const struct store_quota *quota, size_t rows,
	size_t *removed, bool *more, struct why *why) MUST_USE;
/* The arrival of the newest readings by their own time, -1 if there are none. */
enum status store_last_arrival(struct store *store, int64_t *at_ms, struct why *why) MUST_USE;

#endif
