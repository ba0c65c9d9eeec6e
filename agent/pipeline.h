/* Decode, score, decide, store, publish: one batch of messages through the straight path. No
 * threads, no sockets, no clock: time comes with the messages. The caller's one thread owns it,
 * with the per-machine state inside and the writing store. */
#ifndef ISOLDE_AGENT_PIPELINE_H
#define ISOLDE_AGENT_PIPELINE_H

#include "agent/alarm.h"
#include "agent/config.h"
#include "agent/metrics.h"
#include "agent/queue.h"
#include "common/model.h"
#include "common/store.h"

struct pipeline;

/* Takes a message to the broker; false if it could not be taken. */
typedef bool pipeline_publish(
	void *context, const char *topic, const char *payload, size_t len, int qos, bool retain);

struct pipeline_options {
	struct store *store;     /* borrowed, STORE_WRITE */
	struct metrics *metrics; /* borrowed */
	pipeline_publish *publish;
	void *context;
	const char *topic; /* the template, "factory/{machine}/reading" */
	struct reading_config reading;
	struct alarm_config alarm;
	struct alerts_config alerts;
};

/* Takes over what the store holds: counters into the metrics' ledger, alarms into the machines. */
enum status pipeline_create(
	const struct pipeline_options *options, struct pipeline **out, struct why *why) MUST_USE;
void pipeline_destroy(struct pipeline *pipeline);

/* `model` may be NULL: readings are stored unscored, with the features of the model last seen or,
 * before the first, with every number that was ever sent (FEATURES_MAX names). Every message ends
 * in the ledger. A failing store costs the batch its rows (counted as dropped) but not its
 * alarms; then the store's sentence is in *why and the status is not STATUS_OK. */
enum status pipeline_run(struct pipeline *pipeline, const struct model *model,
	const struct message *messages, size_t n, struct why *why) MUST_USE;

/* Publishes every current alarm again, after a reconnect. */
void pipeline_republish(struct pipeline *pipeline);

#endif
