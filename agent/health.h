/* Is the agent doing its job? Gathers what the parts say into the checks of /health. Any
 * thread. */
#ifndef ISOLDE_AGENT_HEALTH_H
#define ISOLDE_AGENT_HEALTH_H

#include "agent/metrics.h"
#include "agent/model_slot.h"
#include "agent/probe.h"
#include "common/mqtt.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the parts tell and what health asks. Filled in by main; the atomics are written by the
 * worker and the syncer. */
struct health {
	struct mqtt *mqtt;
	const struct probe *probe; /* NULL: nobody probes */
	struct model_slot *slot;
	struct metrics *metrics;
	const char *store_path;
	int64_t reserve_bytes; /* of free disk space */
	int64_t grace_ms;      /* a lost connection is only "degraded" this long */
	int64_t started_ms;    /* wall clock */
	atomic_bool store_failing, store_read_only;
	atomic_bool sync_failing; /* by the syncer */
	_Atomic int64_t sync_ns;  /* monotonic: since when a sync runs, 0: none does */
	bool balanced;            /* store.durability */
	_Atomic int64_t beat_ns;  /* monotonic: when the worker last moved */
	_Atomic int64_t
		lost_ns; /* monotonic: since when the broker is away, 0: it never was there */
};

enum { HEALTH_TEXT_MAX = 4096, HEALTH_STUCK_S = 10 };

/* The body of /health; true: 200, false: 503. A check is ok, degraded or fail. */
bool health_write(struct health *health, char *out, size_t size);

/* The worker has moved within HEALTH_STUCK_S. */
bool health_live(struct health *health);

#endif
