#include "agent/alarm_stats.h"
#include <stdio.h>
#include <string.h>

/* The i-th newest. */
static const struct alarm_raise *newest(const struct alarm_stats *stats, size_t i)
{
	return &stats->raise[(stats->first + stats->count - 1 - i) % STATS_RAISES_MAX];
}

static void judge_flood(struct alarm_stats *stats)
{
	if (!stats->flood && stats->count > STATS_FLOOD_BEGINS) {
		stats->flood = true;
		stats->floods++;
	} else if (stats->flood && stats->count < STATS_FLOOD_ENDS) {
		stats->flood = false;
	}
}

void alarm_stats_tick(struct alarm_stats *stats, int64_t now_ms)
{
	while (stats->count > 0 && stats->raise[stats->first].at_ms <= now_ms - STATS_SPAN_MS) {
		stats->first = (stats->first + 1) % STATS_RAISES_MAX;
		stats->count--;
	}
	if (stats->in_group > 0 && stats->group_last_ms < now_ms - STATS_GROUP_MS) {
		stats->group[0] = '\0';
		stats->in_group = 0;
	}
	judge_flood(stats);
}

/* Different machines among the newest alarms that are no more than STATS_GROUP_MS apart; *alarms
 * counts these alarms. */
static size_t machines_together(const struct alarm_stats *stats, int64_t now_ms, size_t *alarms)
{
	size_t machines = 0;

	for (*alarms = 0; *alarms < stats->count; ++*alarms) {
		const struct alarm_raise *one = newest(stats, *alarms);
		bool known = false;
		if (one->at_ms < now_ms - STATS_GROUP_MS)
			break;
		for (size_t i = 0; i < *alarms && !known; i++)
			known = strcmp(newest(stats, i)->machine, one->machine) == 0;
		machines += !known;
	}
	return machines;
}

static void join_group(struct alarm_stats *stats, int64_t now_ms)
{
	size_t alarms;

	if (stats->in_group > 0) {
		stats->in_group++;
		stats->group_last_ms = now_ms;
		return;
	}
	if (stats->group_machines == 0 || stats->count < stats->group_machines ||
		machines_together(stats, now_ms, &alarms) < stats->group_machines)
		return;
	stats->in_group = alarms;
	stats->group_last_ms = now_ms;
	memcpy(stats->group, newest(stats, alarms - 1)->alarm, sizeof(stats->group));
}

void alarm_stats_raise(
	struct alarm_stats *stats, const char *machine, const char *alarm, int64_t now_ms)
{
	alarm_stats_tick(stats, now_ms);
	if (stats->count == STATS_RAISES_MAX) {
		stats->first = (stats->first + 1) % STATS_RAISES_MAX;
		stats->count--;
	}
	struct alarm_raise *one = &stats->raise[(stats->first + stats->count) % STATS_RAISES_MAX];
	stats->count++;
	one->at_ms = now_ms;
	snprintf(one->machine, sizeof(one->machine), "%s", machine);
	snprintf(one->alarm, sizeof(one->alarm), "%s", alarm);
	judge_flood(stats);
	join_group(stats, now_ms);
}

const struct alarm_raise *alarm_stats_member(const struct alarm_stats *stats, size_t i)
{
	return i < stats->in_group && i < stats->count ? newest(stats, i) : NULL;
}

size_t alarm_stats_count(const struct alarm_stats *stats, const char *machine)
{
	size_t n = 0;

	for (size_t i = 0; i < stats->count; i++)
		n += strcmp(newest(stats, i)->machine, machine) == 0;
	return n;
}

size_t alarm_stats_chattering(const struct alarm_stats *stats)
{
	size_t machines = 0;

	/* Each counts at its newest alarm; the ring is short but in the worst of floods. */
	for (size_t i = 0; i < stats->count; i++) {
		const char *machine = newest(stats, i)->machine;
		bool counted = false;
		for (size_t k = 0; k < i && !counted; k++)
			counted = strcmp(newest(stats, k)->machine, machine) == 0;
		if (!counted && alarm_stats_count(stats, machine) >= STATS_CHATTER_COUNT)
			machines++;
	}
	return machines;
}
