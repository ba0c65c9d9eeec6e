/* Do our publishes get through? MQTT 3.1.1 acknowledges a publish that an ACL forbids, so nothing
 * else would tell. On every connection the agent asks itself something, by its request topic: the
 * question has to come back. The worker's thread, but for probe_state. */
#ifndef ISOLDE_AGENT_PROBE_H
#define ISOLDE_AGENT_PROBE_H

#include "common/mqtt.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum probe_state { PROBE_WAITS, PROBE_PASSED, PROBE_FAILED };

/* Time for a question to come back; a failed one is asked again after PROBE_AGAIN_S. */
enum { PROBE_WAIT_S = 5, PROBE_AGAIN_S = 30 };

struct probe {
	const char *client_id;
	/* Its own; zero to start. */
	uint64_t connects; /* of the connection that was asked on */
	uint64_t question;
	int64_t asked_ns; /* monotonic, 0: nothing is asked */
	_Atomic int state;
};

/* Goes on: asks when the connection is new and subscribed, notices when no answer came. */
void probe_step(struct probe *probe, struct mqtt *mqtt, int64_t now_ns);

/* A message on the request topic's verb "probe"; true if it is one of ours, old or new. */
bool probe_hear(struct probe *probe, const char *payload, size_t len);

/* Any thread. */
enum probe_state probe_state(const struct probe *probe);

#endif
