/* What the store keeps of alarms beside a machine's present one (store_set_alarm): a journal of
 * everything that happened to them, and what operators said of them. In tables of their own, which
 * the writer adds to a file that has none. Threads as in common/store.h. */
#ifndef ISOLDE_COMMON_STORE_ALARM_H
#define ISOLDE_COMMON_STORE_ALARM_H

#include "common/store.h"

/* The newest STORE_JOURNAL_MAX entries are kept. */
enum { STORE_JOURNAL_MAX = 100000 };

struct store_event {
	int64_t at_ms;
	const char *machine, *alarm; /* the alarm's id */
	const char *event;           /* "raised", "acknowledged", ... */
	const char *json;            /* the alarm after it */
};
enum status store_add_event(
	struct store *store, const struct store_event *event, struct why *why) MUST_USE;

struct store_event_query {
	const char *machine;    /* NULL: all */
	const char *alarm;      /* NULL: all */
	int64_t from_ms, to_ms; /* from <= at < to; 0 and INT64_MAX: no bound */
	int64_t before_id;      /* a cursor: only ids below; 0: none */
	size_t limit;           /* 1 .. STORE_LIMIT_MAX */
};
/* Gets a borrowed entry; false stops the walk. */
typedef bool store_each_event(void *context, int64_t id, const struct store_event *event);
/* Newest first. A file without a journal has no entries. */
enum status store_find_events(struct store *store, const struct store_event_query *query,
	store_each_event *each, void *context, struct why *why) MUST_USE;

/* A label for what a machine sent from .. to (both included). One an alarm: again, it is replaced.
 */
struct store_label {
	const char *machine, *alarm;
	int64_t from_ms, to_ms, at_ms; /* at: when it was said */
	enum label label;
	const char *operator_name, *reason;
};
enum status store_set_label(
	struct store *store, const struct store_label *label, struct why *why) MUST_USE;
/* LABEL_NONE if nobody said anything. */
enum status store_label_at(struct store *store, const char *machine, int64_t at_ms, enum label *out,
	struct why *why) MUST_USE;
enum status store_count_labels(struct store *store, int64_t *out, struct why *why) MUST_USE;

#endif
