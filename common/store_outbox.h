/* Messages that have to reach the broker, kept in the same transaction as the readings that led
 * to them. Part of the store: its one writer's thread. */
#ifndef ISOLDE_COMMON_STORE_OUTBOX_H
#define ISOLDE_COMMON_STORE_OUTBOX_H

#include "common/store.h"

/* Adds behind all others; *id takes its number, which only grows while there are any. */
enum status store_outbox_add(struct store *store, const char *topic, const char *payload,
	size_t len, bool retain, int64_t *id, struct why *why) MUST_USE;

/* It has arrived; *there says whether it was still kept. */
enum status store_outbox_remove(
	struct store *store, int64_t id, bool *there, struct why *why) MUST_USE;

/* The oldest `count` ones are given up; *removed says how many there were. */
enum status store_outbox_drop(
	struct store *store, int64_t count, int64_t *removed, struct why *why) MUST_USE;

enum status store_outbox_count(struct store *store, int64_t *count, struct why *why) MUST_USE;

/* Up to `limit` messages behind `after_id` (0: from the first), oldest first; false from `each`
 * ends it. */
typedef bool store_each_unsent(
	void *context, int64_t id, const char *topic, const char *payload, size_t len, bool retain);
enum status store_outbox_each(struct store *store, int64_t after_id, size_t limit,
	store_each_unsent *each, void *context, struct why *why) MUST_USE;

#endif
