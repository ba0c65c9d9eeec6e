/* What the worker shows of the alarms to whoever asks: a copy of every machine's alarm, and how
 * they behave together. The worker writes, any thread reads; one lock, held for copies only. */
#ifndef ISOLDE_AGENT_BOARD_H
#define ISOLDE_AGENT_BOARD_H

#include "common/alarm.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct board;

enum status board_create(struct board **out) MUST_USE;
void board_destroy(struct board *board); /* NULL is fine */

/* ---- the worker ---- */

/* Shows this state of a machine's alarm. Without memory for one more the old one stays. */
void board_put(struct board *board, const char *machine, const struct alarm *alarm);
void board_remove(struct board *board, const char *machine);
/* The present alarm of a machine belongs to a group, if it is `alarm`. */
void board_group(struct board *board, const char *machine, const char *alarm, const char *group);

struct board_sums {
	size_t state[ALARM_STATES];
	size_t cause[ALARM_CAUSES]; /* machines with this cause now */
	size_t raised_10min;
	size_t chattering;
	bool flood;
};
void board_set_rates(struct board *board, size_t raised_10min, size_t chattering, bool flood);

/* ---- anybody ---- */

struct board_entry {
	char machine[MACHINE_NAME_MAX + 1];
	char group[ALARM_ID_SIZE]; /* "" if it belongs to none */
	struct alarm alarm;
};
struct board_query {
	const char *machine; /* NULL: all */
	unsigned states;     /* mask of 1 << enum alarm_state */
	size_t limit;        /* entries at most */
};
/* Copies what matches, those that need a person first: unacknowledged, then returned, acknowledged,
 * shelved, suppressed, normal; the most important, then the newest first. *out is the caller's,
 * free(); *total counts all that match. */
enum status board_find(struct board *board, const struct board_query *query,
	struct board_entry **out, size_t *count, size_t *total) MUST_USE;
void board_sum(struct board *board, struct board_sums *out);

#endif
