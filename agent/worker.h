/* The one thread that turns queued messages into verdicts. */
#ifndef ISOLDE_AGENT_WORKER_H
#define ISOLDE_AGENT_WORKER_H

#include "agent/commands.h"
#include "agent/health.h"
#include "agent/model_slot.h"
#include "agent/pipeline.h"
#include "agent/queue.h"
#include "agent/retention.h"
#include "agent/syncer.h"
#include "common/status.h"

struct worker;

struct worker_options {
	struct queue *queue;
	struct pipeline *pipeline;
	struct model_slot *slot;
	struct mqtt *mqtt;
	struct health *health;
	size_t batch;               /* messages of one commit, at most */
	struct store *store;        /* the pipeline's, between batches */
	struct syncer *syncer;      /* NULL: a commit needs no sync, or has its own */
	struct retention retention; /* how long readings stay */
	int64_t hold_ms;     /* how long readings wait for a failing store before they are shed */
	struct probe *probe; /* NULL: none */
	struct desk *desk;   /* commands wait there; NULL: none come */
	struct queue *requests; /* messages on request topics; they are no readings */
	void (*on_request)(
		void *context, const struct message *message); /* on the worker's thread */
	void *context;
};

/* Everything is borrowed until worker_join. */
enum status worker_start(
	const struct worker_options *options, struct worker **out, struct why *why) MUST_USE;
/* After queue_close of `queue`: waits until it is empty and the last batch committed. NULL is fine.
 */
void worker_join(struct worker *worker);

#endif
