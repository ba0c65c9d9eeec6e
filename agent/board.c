#include "agent/board.h"
#include "common/hash.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct place {
	struct board_entry entry;
	UT_hash_handle hh;
};

struct board {
	pthread_mutex_t lock;
	struct place *table;
	struct board_sums sums;
};

enum status board_create(struct board **out)
{
	struct board *board = calloc(1, sizeof(*board));

	if (!board)
		return STATUS_NO_MEMORY;
	pthread_mutex_init(&board->lock, NULL);
	*out = board;
	return STATUS_OK;
}

void board_destroy(struct board *board)
{
	struct place *place, *next;

	if (!board)
		return;
	HASH_ITER(hh, board->table, place, next)
	{
		HASH_DEL(board->table, place);
		free(place);
	}
	pthread_mutex_destroy(&board->lock);
	free(board);
}

/* Takes an alarm into the sums, or out of them; needs the lock. */
static void count(struct board *board, const struct alarm *alarm, bool in)
{
	size_t one = in ? 1 : (size_t)-1;

	board->sums.state[alarm_state(alarm)] += one;
	for (int cause = 0; cause < ALARM_CAUSES; cause++) {
		if (alarm->causes & ALARM_BIT(cause))
			board->sums.cause[cause] += one;
	}
}

static struct place *find(struct board *board, const char *machine)
{
	struct place *place;

	HASH_FIND_STR(board->table, machine, place);
	return place;
}

static struct place *add(struct board *board, const char *machine)
{
	struct place *place = calloc(1, sizeof(*place));

	if (!place)
		return NULL;
	snprintf(place->entry.machine, sizeof(place->entry.machine), "%s", machine);
	HASH_ADD_STR(board->table, entry.machine, place);
	if (!place->hh.tbl) {
		free(place);
		return NULL;
	}
	return place;
}

void board_put(struct board *board, const char *machine, const struct alarm *alarm)
{
	pthread_mutex_lock(&board->lock);
	struct place *place = find(board, machine);
	if (place)
		count(board, &place->entry.alarm, false);
	else
		place = add(board, machine);
	if (place) {
		if (strcmp(place->entry.alarm.id, alarm->id) != 0)
			place->entry.group[0] = '\0';
		place->entry.alarm = *alarm;
		count(board, alarm, true);
	}
	pthread_mutex_unlock(&board->lock);
}

void board_remove(struct board *board, const char *machine)
{
	pthread_mutex_lock(&board->lock);
	struct place *place = find(board, machine);
	if (place) {
		count(board, &place->entry.alarm, false);
		HASH_DEL(board->table, place);
		free(place);
	}
	pthread_mutex_unlock(&board->lock);
}

void board_group(struct board *board, const char *machine, const char *alarm, const char *group)
{
	pthread_mutex_lock(&board->lock);
	struct place *place = find(board, machine);
	if (place && strcmp(place->entry.alarm.id, alarm) == 0)
		snprintf(place->entry.group, sizeof(place->entry.group), "%s", group);
	pthread_mutex_unlock(&board->lock);
}

void board_set_rates(struct board *board, size_t raised_10min, size_t chattering, bool flood)
{
	pthread_mutex_lock(&board->lock);
	board->sums.raised_10min = raised_10min;
	board->sums.chattering = chattering;
	board->sums.flood = flood;
	pthread_mutex_unlock(&board->lock);
}

static int rank(const struct alarm *alarm)
{
	static const int ranks[ALARM_STATES] = {
		[ALARM_UNACKNOWLEDGED] = 0,
		[ALARM_RETURNED] = 1,
		[ALARM_ACKNOWLEDGED] = 2,
		[ALARM_SHELVED] = 3,
		[ALARM_SUPPRESSED] = 4,
		[ALARM_NORMAL] = 5,
	};
	return ranks[alarm_state(alarm)];
}

static int compare(const void *a, const void *b)
{
	const struct board_entry *left = a, *right = b;
	const struct alarm *l = &left->alarm, *r = &right->alarm;

	if (rank(l) != rank(r))
		return rank(l) - rank(r);
	if (l->priority != r->priority)
		return (int)r->priority - (int)l->priority;
	if (l->since_ms != r->since_ms)
		return l->since_ms < r->since_ms ? 1 : -1;
	return strcmp(left->machine, right->machine);
}

static bool matches(const struct board_entry *entry, const struct board_query *query)
{
	return (query->states & 1u << alarm_state(&entry->alarm)) &&
		(!query->machine || strcmp(query->machine, entry->machine) == 0);
}

enum status board_find(struct board *board, const struct board_query *query,
	struct board_entry **out, size_t *found, size_t *total)
{
	size_t n = 0;

	pthread_mutex_lock(&board->lock);
	struct board_entry *entries = malloc((HASH_COUNT(board->table) + 1) * sizeof(*entries));
	for (struct place *p = board->table; entries && p; p = p->hh.next) {
		if (matches(&p->entry, query))
			entries[n++] = p->entry;
	}
	pthread_mutex_unlock(&board->lock);
	if (!entries)
		return STATUS_NO_MEMORY;
	qsort(entries, n, sizeof(*entries), compare);
	*out = entries;
	*total = n;
	*found = n < query->limit ? n : query->limit;
	return STATUS_OK;
}

void board_sum(struct board *board, struct board_sums *out)
{
	pthread_mutex_lock(&board->lock);
	*out = board->sums;
	pthread_mutex_unlock(&board->lock);
}
