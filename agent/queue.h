/* Bounded hand-off from the MQTT callback to the worker: a ring of bytes, so that short messages
 * take little room, begun anew whenever it is empty, so that it touches no more memory than its
 * longest backlog took. Full, it drops the oldest: a late reading is worth less than a fresh one.
 * Before that, from three quarters on, a topic that fills more than its share gets nothing more in,
 * so that one machine in a loop does not push the others' readings out.
 * Any number of threads push, one pops. Pushing never waits longer than a memcpy. */
#ifndef ISOLDE_AGENT_QUEUE_H
#define ISOLDE_AGENT_QUEUE_H

#include "common/mqtt.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message in the worker's hands; topic and payload point into the batch. */
struct message {
	int64_t received_ms; /* wall clock */
	int64_t received_ns; /* monotonic */
	struct mqtt_receipt receipt;
	int qos;
	bool retained;
	size_t topic_len, len; /* of what is kept */
	size_t full_len;       /* of the payload as sent; larger than `len` if it was cut */
	unsigned share;        /* the queue's own: where the topic's bytes are counted */
	const char *topic;     /* NUL-terminated */
	const char *payload;   /* NUL-terminated */
};

struct queue;

/* `bytes`: room for messages, at least 64 KiB. */
enum status queue_create(size_t bytes, struct queue **out) MUST_USE;
void queue_destroy(struct queue *queue); /* NULL is fine */

/* Copies. Payloads are cut at PAYLOAD_MAX, topics at QUEUE_TOPIC_MAX. Returns how many
 * messages were dropped: old ones to make room, or this one. A closed queue does not take the
 * message: unacknowledged, it comes again on the next connection. */
enum { QUEUE_TOPIC_MAX = 512 };
size_t queue_push(struct queue *queue, const struct message *message);

/* Waits up to timeout_ms for a message, then takes what is there, at most `max`; the messages
 * are borrowed until the next call. 0 on time-out, and once closed and empty. */
size_t queue_pop(struct queue *queue, int timeout_ms, size_t max, const struct message **out);

/* Who waits in queue_pop comes back at once, if with nothing: something else needs doing. */
void queue_nudge(struct queue *queue);

/* The receipts of dropped QoS-1 messages, at most `max` of them: they are counted, and have to be
 * acknowledged, or they would hold their place in the broker's window. Beyond QUEUE_LOST_MAX they
 * are forgotten, and come again with the next connection. */
enum { QUEUE_LOST_MAX = 1024 };
size_t queue_take_lost(struct queue *queue, struct mqtt_receipt *out, size_t max);

/* No more messages; what is inside can still be popped. */
void queue_close(struct queue *queue);
bool queue_closed(struct queue *queue);
bool queue_drained(struct queue *queue); /* closed and empty */
size_t queue_length(struct queue *queue);

#endif
