/* Bounded hand-off from the MQTT callback to the worker: a ring of bytes, so that short messages
 * take little room, begun anew whenever it is empty, so that it touches no more memory than its
 * longest backlog took.
 *
 * QoS 1 is never dropped: without room it is refused, stays unacknowledged, and the broker
 * delivers it again on the next connection. QoS 0 is dropped when room is scarce, by fair shares: a
 * topic with more bytes than the ring's divided by the topics in it loses its oldest messages, so
 * that one machine in a loop does not push the others' readings out; where nobody has more, the
 * oldest go, for a late reading is worth less than a fresh one. (Max-min fairness: Demers, Keshav,
 * Shenker, "Analysis and Simulation of a Fair Queueing Algorithm", 1989; McKenney's "Stochastic
 * Fairness Queueing", 1990, for the hashed shares.)
 *
 * One thread pushes, one pops, any may ask. Pushing waits for no more than a memcpy, or where
 * shares are cut one pass over the ring. */
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

enum { QUEUE_TOPIC_MAX = 512 };

/* To be asked before each push: drops what must go for this message, *dropped of them. False: of
 * QoS 1 and without room, or the queue is closed; it is not to be pushed. */
bool queue_admit(struct queue *queue, const struct message *message, size_t *dropped) MUST_USE;

/* Copies. Payloads are cut at PAYLOAD_MAX, topics at QUEUE_TOPIC_MAX. False: not taken, because its
 * topic has had its share or the queue is closed. Who waits does not hear of it before
 * queue_wake. */
bool queue_push(struct queue *queue, const struct message *message);
void queue_wake(struct queue *queue); /* after the last of a few pushes */

/* How many were refused, since it last said so; 0 until the queue is empty, when it is time to ask
 * the broker for them. */
size_t queue_take_refused(struct queue *queue);

/* Waits up to timeout_ms for a message, then takes what is there, at most `max`; the messages
 * are borrowed until the next call. 0 on time-out, and once closed and empty. */
size_t queue_pop(struct queue *queue, int timeout_ms, size_t max, const struct message **out);

/* After a queue_pop that gave any: waits up to timeout_ms for a message more, then takes what is
 * there. *out holds all since that queue_pop, at most `max`; how many that are. */
size_t queue_pop_more(struct queue *queue, int timeout_ms, size_t max, const struct message **out);

/* Who waits in queue_pop comes back at once, if with nothing: something else needs doing. */
void queue_nudge(struct queue *queue);

/* No more messages; what is inside can still be popped. */
void queue_close(struct queue *queue);
bool queue_closed(struct queue *queue);
bool queue_drained(struct queue *queue); /* closed and empty */
size_t queue_length(struct queue *queue);

#endif
