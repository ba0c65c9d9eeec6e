/* Commands by MQTT: isolde/<agent>/request/<verb> is answered on .../response/<verb> with
 * {"status":"ok|error","error":...,"transaction":...}. Verbs: reload, health, and those
 * of agent/commands. Worker thread. */
#ifndef ISOLDE_AGENT_REQUESTS_H
#define ISOLDE_AGENT_REQUESTS_H

#include "agent/health.h"
#include "agent/pipeline.h"
#include "agent/probe.h"
#include "agent/queue.h"

struct requests {
	struct probe *probe; /* its questions come here */
	const char *client_id;
	const struct model_paths *model_paths;
	struct model_slot *slot;
	struct metrics *metrics;
	struct mqtt *mqtt;
	struct health *health;
	struct pipeline *pipeline;
	int64_t shelve_max_h;
};

/* `context` is a struct requests. */
void requests_answer(void *context, const struct message *message);

#endif
