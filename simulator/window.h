/* The messages on their way: handed to the broker's connection and not yet acknowledged, kept
 * byte for byte so that a lost connection costs none of them. One thread sends; the connection's
 * thread reports the ends. Nothing here waits. */
#ifndef ISOLDE_SIMULATOR_WINDOW_H
#define ISOLDE_SIMULATOR_WINDOW_H

#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_SLOTS = 1000, TOPIC_SIZE = 256 };

struct message {
	uint64_t token; /* below WINDOW_SLOTS */
	char topic[TOPIC_SIZE];
	size_t len;
	char *payload; /* room for the payload_size of window_create */
};

struct window;

enum status window_create(size_t payload_size, struct window **out, struct why *why) MUST_USE;
void window_destroy(struct window *window); /* NULL is fine */

/* A message to fill in and send, on its way from now on; NULL while WINDOW_SLOTS are. */
struct message *window_take(struct window *window);

/* The oldest message that has to be sent again, on its way from now on; NULL if there is none. */
struct message *window_take_lost(struct window *window);

/* The end of a message's way: acknowledged, or to be sent again. Any thread. */
void window_end(struct window *window, uint64_t token, bool delivered);

size_t window_outstanding(struct window *window); /* taken and not acknowledged */
uint64_t window_acknowledged(struct window *window);

#endif
