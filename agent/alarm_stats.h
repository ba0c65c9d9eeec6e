/* How the alarms of all machines behave together: the rate that an operator has to bear, floods,
 * alarms that chatter, and alarms that belong together because many machines raised them at once
 * (a room, a supply, the network). The limits are those of EEMUA 191. Pure; one thread; time is
 * an argument and never far behind what it was. */
#ifndef ISOLDE_AGENT_ALARM_STATS_H
#define ISOLDE_AGENT_ALARM_STATS_H

#include "common/alarm.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	STATS_SPAN_MS = 600000,  /* 10 minutes */
	STATS_FLOOD_BEGINS = 10, /* more alarms than this in STATS_SPAN_MS: a flood ... */
	STATS_FLOOD_ENDS = 5,    /* ... until there are fewer than this */
	STATS_GROUP_MS = 60000,  /* alarms of a group: each within this of the one before */
	STATS_CHATTER_COUNT = 3, /* raised as often within STATS_SPAN_MS: it chatters */
	STATS_RAISES_MAX = 1024, /* remembered; in a worse flood the rate says no more */
};

struct alarm_raise {
	int64_t at_ms;
	char machine[MACHINE_NAME_MAX + 1];
	char alarm[ALARM_ID_SIZE];
};

/* Zero to start, but for group_machines. */
struct alarm_stats {
	size_t group_machines; /* so many within STATS_GROUP_MS make a group; 0: never */
	struct alarm_raise raise[STATS_RAISES_MAX]; /* ring, oldest at `first` */
	size_t first, count;
	bool flood;
	uint64_t floods; /* begun so far */
	/* the group that new alarms join; its id is that of its first alarm, "" if there is none */
	char group[ALARM_ID_SIZE];
	size_t in_group;
	int64_t group_last_ms;
};

/* A machine raised an alarm. */
void alarm_stats_raise(
	struct alarm_stats *stats, const char *machine, const char *alarm, int64_t now_ms);

/* Lets go of what is past; call it now and then. */
void alarm_stats_tick(struct alarm_stats *stats, int64_t now_ms);

/* The i-th newest alarm of the group in the making, i < in_group; NULL beyond what is known. */
const struct alarm_raise *alarm_stats_member(const struct alarm_stats *stats, size_t i);

/* How often this machine raised one in the last STATS_SPAN_MS. */
size_t alarm_stats_count(const struct alarm_stats *stats, const char *machine);
/* Machines that chatter. */
size_t alarm_stats_chattering(const struct alarm_stats *stats);

#endif
