/* A thread that waits for the disk, so that the worker does not: what was committed is synced,
 * and then its messages are acknowledged. Whatever commits happen meanwhile are synced together
 * next. Readings wait for a disk that
 * fails as long as the worker lets them wait for a store that does (`hold_ms`); then they are
 * acknowledged, and counted. */
#ifndef ISOLDE_AGENT_SYNCER_H
#define ISOLDE_AGENT_SYNCER_H

#include "agent/health.h"
#include "agent/metrics.h"
#include "common/mqtt.h"
#include "common/status.h"
#include <stddef.h>

struct syncer;

struct syncer_options {
	const char *path; /* of the history, whose writer has DURABILITY_LATER; copied */
	struct mqtt *mqtt;
	struct metrics *metrics;
	struct health *health; /* told since when a sync runs, and whether the last one failed */
	int64_t hold_ms;
};

/* All but the path is borrowed until syncer_stop. */
enum status syncer_start(
	const struct syncer_options *options, struct syncer **out, struct why *why) MUST_USE;

/* After a commit, by one thread: `n` receipts (copied, may be 0) of what was in it. Never waits for
 * the disk. Without memory for them their messages come again. */
void syncer_add(struct syncer *syncer, const struct mqtt_receipt *receipts, size_t n);

/* Monotonic: when messages were last acknowledged, 0: never. Any thread's. */
int64_t syncer_acknowledged_ns(const struct syncer *syncer);

/* Syncs and acknowledges what is left, tries once where the disk fails, and ends the thread. NULL
 * is fine. */
void syncer_stop(struct syncer *syncer);

#endif
