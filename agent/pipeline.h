/* Decode, score, decide, store, publish: one batch of messages through the straight path. No
 * threads, no sockets, no clock: time comes with the messages. The caller's one thread owns it,
 * with the per-machine state inside and the writing store. */
#ifndef ISOLDE_AGENT_PIPELINE_H
#define ISOLDE_AGENT_PIPELINE_H

#include "agent/board.h"
#include "agent/commands.h"
#include "agent/config.h"
#include "agent/metrics.h"
#include "agent/model_slot.h"
#include "agent/outbox.h"
#include "agent/plant.h"
#include "agent/queue.h"
#include "agent/reserve.h"
#include "common/alarm.h"
#include "common/store.h"

struct pipeline;

/* Takes a message to the broker; false if it could not be taken. One of QoS 0 may wait for
 * pipeline_flush. */
typedef bool pipeline_publish(
	void *context, const char *topic, const char *payload, size_t len, int qos, bool retain);

/* The last message of many was handed over. */
typedef void pipeline_flush(void *context);

struct pipeline_options {
	struct store *store;     /* borrowed, STORE_WRITE */
	struct metrics *metrics; /* borrowed */
	pipeline_publish *publish;
	pipeline_flush *flush; /* NULL: nothing waits */
	void *context;
	struct board *board;     /* borrowed; NULL: nobody asks */
	struct plant *plant;     /* borrowed; NULL: nobody looks */
	struct reserve *reserve; /* borrowed: counters and alarms when the store can't be
				    written; NULL: they are lost with the process */
	struct outbox *outbox;   /* borrowed: alarms go by it, and verdicts of QoS 1; NULL: they are
				    published like the others */
	const char *topic;       /* the template, "factory/{machine}/reading" */
	size_t table_bytes;      /* what the models' bit tables may take together; 0: none */
	struct reading_config reading;
	struct alarm_config alarm;
	struct alerts_config alerts;
};

/* Takes over what the store holds: counters into the metrics' ledger, alarms into the machines. */
enum status pipeline_create(
	const struct pipeline_options *options, struct pipeline **out, struct why *why) MUST_USE;
void pipeline_destroy(struct pipeline *pipeline);

enum pipeline_mode {
	PIPELINE_STORE, /* all of the batch, or nothing: after a failure it can be tried again */
	PIPELINE_SHED,  /* without the store: readings count as dropped, alarms go out all the same
			 */
};

struct batch {
	const struct message *messages;
	size_t n;
	/* NULL: that is all. Else asked before the commit, when all so far are judged and their
	 * verdicts of QoS 0 out: may wait for more, and says whether there are. What was there
	 * stays where it is. */
	bool (*more)(void *context, struct batch *batch);
	void *context;
};

/* Without a usual model readings are stored unscored, with the features of the model last seen or,
 * before the first, with every number that was ever sent (FEATURES_MAX names). After STATUS_OK
 * every message is in the ledger and its verdict published; after a failure, which only
 * PIPELINE_STORE has, nothing has happened. */
enum status pipeline_run(struct pipeline *pipeline, const struct models *models,
	struct batch *batch, enum pipeline_mode mode, struct why *why) MUST_USE;

/* What only time changes: shelves that end, machines that fell silent, rates. `connected`: readings
 * can reach us. Call it a few times a second. */
void pipeline_tick(struct pipeline *pipeline, int64_t now_ms, bool connected);

/* What somebody asks of an alarm or a machine: carried out, stored and published, or refused. */
void pipeline_command(
	struct pipeline *pipeline, const struct command *command, struct command_answer *answer);

/* An alarm that the broker kept from an earlier run, on alerts/<machine>/alarm: taken over where
 * the machine has none, so that a history that was lost does not lose the alarms. */
void pipeline_adopt(struct pipeline *pipeline, const struct message *message);

/* After a failure that pipeline_run told of (`trouble`, *why): opens the store again, a damaged one
 * put aside. STATUS_OK: it can be tried again. */
enum status pipeline_mend(struct pipeline *pipeline, enum status trouble, struct why *why) MUST_USE;

/* Every alarm is to be published again, because the broker may have lost them. */
void pipeline_republish(struct pipeline *pipeline);

/* Publishes what could not be published before: the present state of those alarms. Stops at the
 * first that is refused again; call it now and then. */
void pipeline_publish_unsent(struct pipeline *pipeline);

#endif
