#include "simulator/window.h"
#include <pthread.h>
#include <stdlib.h>

enum slot_state { SLOT_FREE, SLOT_ON_ITS_WAY, SLOT_LOST };

struct slot {
	struct message message;
	enum slot_state state;
	uint64_t number; /* of its first sending: what is lost is sent again in that order */
};

struct window {
	pthread_mutex_t lock; /* of all that changes; never held while sending */
	struct slot slot[WINDOW_SLOTS];
	uint16_t free[WINDOW_SLOTS]; /* a stack of slots */
	size_t frees, lost;
	uint64_t taken, acknowledged;
	char *payloads;
};

enum status window_create(size_t payload_size, struct window **out, struct why *why)
{
	struct window *window = calloc(1, sizeof(*window));
	char *payloads = calloc(WINDOW_SLOTS, payload_size);

	if (!window || !payloads) {
		free(window);
		free(payloads);
		return fail(why, STATUS_NO_MEMORY, "no memory for %d messages", WINDOW_SLOTS);
	}
	pthread_mutex_init(&window->lock, NULL);
	window->payloads = payloads;
	window->frees = WINDOW_SLOTS;
	for (size_t i = 0; i < WINDOW_SLOTS; i++) {
		window->free[i] = (uint16_t)i;
		window->slot[i].message.token = i;
		window->slot[i].message.payload = payloads + i * payload_size;
	}
	*out = window;
	return STATUS_OK;
}

void window_destroy(struct window *window)
{
	if (!window)
		return;
	pthread_mutex_destroy(&window->lock);
	free(window->payloads);
	free(window);
}

struct message *window_take(struct window *window)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&window->lock);
	if (window->frees > 0) {
		slot = &window->slot[window->free[--window->frees]];
		slot->state = SLOT_ON_ITS_WAY;
		slot->number = window->taken++;
	}
	pthread_mutex_unlock(&window->lock);
	return slot ? &slot->message : NULL;
}

static struct slot *oldest_lost(struct window *window)
{
	struct slot *oldest = NULL;

	for (size_t i = 0; i < WINDOW_SLOTS; i++) {
		struct slot *slot = &window->slot[i];
		if (slot->state == SLOT_LOST && (!oldest || slot->number < oldest->number))
			oldest = slot;
	}
	return oldest;
}

struct message *window_take_lost(struct window *window)
{
	struct slot *slot = NULL;

	pthread_mutex_lock(&window->lock);
	if (window->lost > 0) {
		slot = oldest_lost(window);
		slot->state = SLOT_ON_ITS_WAY;
		window->lost--;
	}
	pthread_mutex_unlock(&window->lock);
	return slot ? &slot->message : NULL;
}

void window_end(struct window *window, uint64_t token, bool delivered)
{
	struct slot *slot = &window->slot[token];

	pthread_mutex_lock(&window->lock);
	slot->state = delivered ? SLOT_FREE : SLOT_LOST;
	if (delivered) {
		window->free[window->frees++] = (uint16_t)token;
		window->acknowledged++;
	} else {
		window->lost++;
	}
	pthread_mutex_unlock(&window->lock);
}

size_t window_outstanding(struct window *window)
{
	pthread_mutex_lock(&window->lock);
	size_t n = WINDOW_SLOTS - window->frees;
	pthread_mutex_unlock(&window->lock);
	return n;
}

uint64_t window_acknowledged(struct window *window)
{
	pthread_mutex_lock(&window->lock);
	uint64_t n = window->acknowledged;
	pthread_mutex_unlock(&window->lock);
	return n;
}
