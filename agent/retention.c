#include "agent/retention.h"
#include "common/log.h"
#include "common/store_prune.h"
#include <stdlib.h>

enum { LOOK_MS = 10000 }; /* when there was nothing to do */

/* A clock that ran on while we were away is no jump, if it was not too long. */
static void begin(struct retention *r, struct store *store, int64_t now_ms, int64_t monotonic_ms)
{
	int64_t last_ms = -1;
	struct why why;

	r->began = true;
	r->offset_ms = now_ms - monotonic_ms;
	if (store_last_arrival(store, &last_ms, &why) == STATUS_OK && last_ms >= 0 &&
		llabs(now_ms - last_ms) <= RETENTION_PAUSE_MS)
		return;
	r->paused_to_ms = last_ms < 0 ? 0 : monotonic_ms + RETENTION_PAUSE_MS;
}

static void look_for_jump(struct retention *r, int64_t now_ms, int64_t monotonic_ms)
{
	int64_t jump_ms = now_ms - monotonic_ms - r->offset_ms;

	r->offset_ms = now_ms - monotonic_ms;
	if (llabs(jump_ms) <= RETENTION_JUMP_MS)
		return;
	r->paused_to_ms = monotonic_ms + RETENTION_PAUSE_MS;
	log_warning("the clock jumped by %lld s; no reading goes for its age for a day",
		(long long)(jump_ms / 1000));
}

size_t retention_run(struct retention *r, struct store *store, size_t batch, int64_t now_ms,
	int64_t monotonic_ms)
{
	struct store_quota quota = { .max_bytes = r->max_bytes };
	size_t rows = 2 * batch > RETENTION_ROWS_MIN ? 2 * batch : RETENTION_ROWS_MIN, removed = 0;
	bool more = false;
	struct why why;

	if ((r->keep_ms == 0 && r->max_bytes == 0) || monotonic_ms < r->next_ms ||
		!store_ready(store))
		return 0;
	if (!r->began)
		begin(r, store, now_ms, monotonic_ms);
	look_for_jump(r, now_ms, monotonic_ms);
	if (r->keep_ms > 0 && monotonic_ms >= r->paused_to_ms && now_ms > r->keep_ms)
		quota.before_ms = now_ms - r->keep_ms;
	if (store_prune(store, &quota, rows, &removed, &more, &why) != STATUS_OK)
		log_warning("old readings stay for now: %s", why.text);
	r->next_ms = more ? monotonic_ms : monotonic_ms + LOOK_MS;
	return removed;
}
