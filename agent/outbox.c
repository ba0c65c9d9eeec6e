#include "agent/outbox.h"
#include "common/failpoint.h"
#include "common/store_outbox.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum flight_state { FLIGHT_AWAY, FLIGHT_ARRIVED, FLIGHT_SETTLING, FLIGHT_LOST };

/* A message on its way, or arrived and not yet taken out of the store. */
struct flight {
	int64_t id;
	enum flight_state state;
};

struct outbox {
	struct store *store;
	outbox_send *send;
	void *context;
	int64_t max;
	int64_t length, length_before; /* with the transaction in hand, and without it */
	uint64_t dropped, dropped_before;
	int64_t sent_id;  /* the last one that was handed over */
	bool more;        /* there may be some behind it */
	bool added;       /* some, in the transaction in hand */
	size_t looked_at; /* by the pump, and whether the broker's side took all of them */
	bool refused;
	bool unreadable;                     /* the store, when it was last asked */
	pthread_mutex_t lock;                /* of what follows */
	struct flight flight[OUTBOX_WINDOW]; /* ascending ids */
	size_t flights;
};

enum status outbox_create(struct store *store, size_t max, outbox_send *send, void *context,
	struct outbox **out, struct why *why)
{
	int64_t length = 0;
	enum status st = store_ready(store) ? store_outbox_count(store, &length, why) : STATUS_OK;

	if (st != STATUS_OK)
		return st;
	struct outbox *outbox = calloc(1, sizeof(*outbox));
	if (!outbox)
		return fail(why, STATUS_NO_MEMORY, "no memory for the outbox");
	outbox->store = store;
	outbox->send = send;
	outbox->context = context;
	outbox->max = (int64_t)max;
	outbox->length = outbox->length_before = length;
	outbox->more = length > 0;
	pthread_mutex_init(&outbox->lock, NULL);
	*out = outbox;
	return STATUS_OK;
}

void outbox_destroy(struct outbox *outbox)
{
	if (!outbox)
		return;
	pthread_mutex_destroy(&outbox->lock);
	free(outbox);
}

/* ---- in the transaction ---- */

enum status outbox_put(struct outbox *outbox, const char *topic, const char *payload, size_t len,
	bool retain, struct why *why)
{
	int64_t id, removed = 0;
	enum status st = STATUS_OK;

	/* A tenth at once, so that a full outbox does not sort out its oldest at every message. */
	if (outbox->length >= outbox->max)
		st = store_outbox_drop(outbox->store,
			outbox->length - outbox->max + 1 + outbox->max / 10, &removed, why);
	if (st == STATUS_OK)
		st = store_outbox_add(outbox->store, topic, payload, len, retain, &id, why);
	if (st != STATUS_OK)
		return st;
	outbox->added = true;
	outbox->length += 1 - removed;
	outbox->dropped += (uint64_t)removed;
	return STATUS_OK;
}

enum status outbox_settle(struct outbox *outbox, struct why *why)
{
	int64_t arrived[OUTBOX_WINDOW];
	size_t count = 0;
	enum status st = STATUS_OK;

	pthread_mutex_lock(&outbox->lock);
	for (size_t i = 0; i < outbox->flights; i++) {
		struct flight *flight = &outbox->flight[i];
		if (flight->state != FLIGHT_ARRIVED)
			continue;
		flight->state = FLIGHT_SETTLING;
		arrived[count++] = flight->id;
	}
	pthread_mutex_unlock(&outbox->lock);
	for (size_t i = 0; i < count && st == STATUS_OK; i++) {
		bool there;
		st = store_outbox_remove(outbox->store, arrived[i], &there, why);
		outbox->length -= there; /* else it was dropped on its way */
	}
	return st;
}

/* Forgets flights that are over; the others keep their order. */
static void land(struct outbox *outbox)
{
	size_t kept = 0;

	for (size_t i = 0; i < outbox->flights; i++) {
		if (outbox->flight[i].state != FLIGHT_SETTLING)
			outbox->flight[kept++] = outbox->flight[i];
	}
	outbox->flights = kept;
}

void outbox_committed(struct outbox *outbox)
{
	pthread_mutex_lock(&outbox->lock);
	land(outbox);
	pthread_mutex_unlock(&outbox->lock);
	outbox->length_before = outbox->length;
	outbox->dropped_before = outbox->dropped;
	outbox->more = outbox->more || outbox->added;
	outbox->added = false;
}

void outbox_rolled_back(struct outbox *outbox)
{
	pthread_mutex_lock(&outbox->lock);
	for (size_t i = 0; i < outbox->flights; i++) {
		if (outbox->flight[i].state == FLIGHT_SETTLING)
			outbox->flight[i].state = FLIGHT_ARRIVED;
	}
	pthread_mutex_unlock(&outbox->lock);
	outbox->length = outbox->length_before;
	outbox->dropped = outbox->dropped_before;
	outbox->added = false;
}

/* ---- to the broker ---- */

/* Those that were lost on the way go first, and everything behind the first of them with them, so
 * that the order stays. */
static void call_back_lost(struct outbox *outbox)
{
	for (size_t i = 0; i < outbox->flights; i++) {
		if (outbox->flight[i].state != FLIGHT_LOST)
			continue;
		outbox->sent_id = outbox->flight[i].id - 1;
		outbox->more = true;
		/* What is away behind it may arrive twice; at least once is what is promised. */
		size_t kept = i;
		for (size_t k = i; k < outbox->flights; k++) {
			if (outbox->flight[k].state == FLIGHT_ARRIVED)
				outbox->flight[kept++] = outbox->flight[k];
		}
		outbox->flights = kept;
		return;
	}
}

static bool send_one(
	void *context, int64_t id, const char *topic, const char *payload, size_t len, bool retain)
{
	struct outbox *outbox = context;

	pthread_mutex_lock(&outbox->lock);
	bool room = outbox->flights < OUTBOX_WINDOW, known = false;
	for (size_t i = 0; i < outbox->flights; i++)
		known = known || outbox->flight[i].id == id; /* arrived, not yet settled */
	if (room && !known)
		outbox->flight[outbox->flights++] = (struct flight){ id, FLIGHT_AWAY };
	pthread_mutex_unlock(&outbox->lock);
	outbox->looked_at++;
	if (known)
		outbox->sent_id = id;
	if (known || !room)
		return room;
	FAILPOINT(before_publish);
	if (outbox->send(outbox->context, topic, payload, len, retain, (uint64_t)id)) {
		FAILPOINT(during_publish);
		outbox->sent_id = id;
		return true;
	}
	pthread_mutex_lock(&outbox->lock);
	outbox->flights--; /* the last one: only this thread adds */
	pthread_mutex_unlock(&outbox->lock);
	outbox->refused = true;
	return false;
}

void outbox_pump(struct outbox *outbox)
{
	struct why why;

	pthread_mutex_lock(&outbox->lock);
	call_back_lost(outbox);
	size_t room = OUTBOX_WINDOW - outbox->flights;
	pthread_mutex_unlock(&outbox->lock);
	if (!outbox->more || room == 0)
		return;
	outbox->looked_at = 0;
	outbox->refused = false;
	enum status st =
		store_outbox_each(outbox->store, outbox->sent_id, room, send_one, outbox, &why);
	outbox->unreadable = st != STATUS_OK;
	if (st == STATUS_OK && outbox->looked_at < room && !outbox->refused)
		outbox->more = false; /* that was all */
}

bool outbox_waits(struct outbox *outbox)
{
	bool waits = outbox->more;

	pthread_mutex_lock(&outbox->lock);
	for (size_t i = 0; i < outbox->flights && !waits; i++)
		waits = outbox->flight[i].state == FLIGHT_LOST;
	pthread_mutex_unlock(&outbox->lock);
	return waits && !outbox->unreadable;
}

bool outbox_unsettled(struct outbox *outbox)
{
	bool found = false;

	pthread_mutex_lock(&outbox->lock);
	for (size_t i = 0; i < outbox->flights && !found; i++)
		found = outbox->flight[i].state == FLIGHT_ARRIVED;
	pthread_mutex_unlock(&outbox->lock);
	return found;
}

void outbox_ended(struct outbox *outbox, uint64_t token, bool delivered)
{
	pthread_mutex_lock(&outbox->lock);
	for (size_t i = 0; i < outbox->flights; i++) {
		struct flight *flight = &outbox->flight[i];
		if (flight->id == (int64_t)token && flight->state == FLIGHT_AWAY)
			flight->state = delivered ? FLIGHT_ARRIVED : FLIGHT_LOST;
	}
	pthread_mutex_unlock(&outbox->lock);
}

size_t outbox_length(const struct outbox *outbox)
{
	return (size_t)outbox->length_before;
}

uint64_t outbox_dropped(const struct outbox *outbox)
{
	return outbox->dropped_before;
}

enum status outbox_reload(struct outbox *outbox, struct why *why)
{
	int64_t length;
	enum status st = store_outbox_count(outbox->store, &length, why);

	if (st != STATUS_OK)
		return st;
	pthread_mutex_lock(&outbox->lock);
	outbox->flights = 0;
	pthread_mutex_unlock(&outbox->lock);
	outbox->length = outbox->length_before = length;
	outbox->sent_id = 0;
	outbox->more = length > 0;
	return STATUS_OK;
}

void outbox_reconnected(struct outbox *outbox)
{
	pthread_mutex_lock(&outbox->lock);
	for (size_t i = 0; i < outbox->flights; i++) {
		if (outbox->flight[i].state == FLIGHT_AWAY)
			outbox->flight[i].state = FLIGHT_LOST;
	}
	pthread_mutex_unlock(&outbox->lock);
}
