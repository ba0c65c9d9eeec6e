/* Messages that reach the broker at least once, whatever happens on the way: they are written in
 * the transaction of what led to them, sent when it is committed, at most OUTBOX_WINDOW of them on
 * their way, and taken out when the broker has acknowledged them. What was not acknowledged before
 * the end of the process is sent again after the next start, in the same order.
 *
 * The worker's thread, but for outbox_ended. A full outbox drops its oldest messages. */
#ifndef ISOLDE_AGENT_OUTBOX_H
#define ISOLDE_AGENT_OUTBOX_H

#include "common/status.h"
#include "common/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox;

enum { OUTBOX_WINDOW = 500 };

/* Takes a message to the broker; false if it could not be taken now. Its end is told to
 * outbox_ended with the same token, which is never 0. */
typedef bool outbox_send(void *context, const char *topic, const char *payload, size_t len,
	bool retain, uint64_t token);

/* `store` (borrowed) is the writer; what an earlier run left in it is sent first. At most `max`
 * messages. */
enum status outbox_create(struct store *store, size_t max, outbox_send *send, void *context,
	struct outbox **out, struct why *why) MUST_USE;
void outbox_destroy(struct outbox *outbox); /* NULL is fine */

/* Adds a message inside the store's open transaction. */
enum status outbox_put(struct outbox *outbox, const char *topic, const char *payload, size_t len,
	bool retain, struct why *why) MUST_USE;

/* Takes out what has arrived, inside the store's open transaction. Call it once in each, before
 * the commit; then one of the two others. */
enum status outbox_settle(struct outbox *outbox, struct why *why) MUST_USE;
void outbox_committed(struct outbox *outbox);
void outbox_rolled_back(struct outbox *outbox);

/* Sends what may be sent now. */
void outbox_pump(struct outbox *outbox);

/* Some that were committed have still to be handed over, or again: what is published beside the
 * outbox now may be followed by something older. False when the store cannot be read: nothing
 * follows until it can. */
bool outbox_waits(struct outbox *outbox);

/* Something has arrived that outbox_settle would take out. */
bool outbox_unsettled(struct outbox *outbox);

/* A message came to its end: acknowledged, or lost and to be sent again. Any thread; never
 * waits. */
void outbox_ended(struct outbox *outbox, uint64_t token, bool delivered);

/* The connection is a new one: what was on its way on the old one is sent again. */
void outbox_reconnected(struct outbox *outbox);

size_t outbox_length(const struct outbox *outbox);    /* committed and not taken out */
uint64_t outbox_dropped(const struct outbox *outbox); /* given up since the start */

/* The store was opened again, or replaced: what it holds is sent from the first on. */
enum status outbox_reload(struct outbox *outbox, struct why *why) MUST_USE;

#endif
