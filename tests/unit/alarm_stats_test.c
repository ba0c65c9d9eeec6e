#include "agent/alarm_stats.h"
#include "agent/board.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t noon = 1795435200000;

static void raise_of(struct alarm_stats *stats, int machine, int second)
{
	char name[24], id[24];
	static int number;

	snprintf(name, sizeof(name), "press-%d", machine);
	snprintf(id, sizeof(id), "id-%d", number++);
	alarm_stats_raise(stats, name, id, noon + second * 1000);
}

static void test_rate(void)
{
	static struct alarm_stats stats;

	for (int i = 0; i < 5; i++)
		raise_of(&stats, i, i * 100);
	CU_ASSERT_EQUAL(stats.count, 5);
	alarm_stats_tick(&stats, noon + 599999);
	CU_ASSERT_EQUAL(stats.count, 5);
	alarm_stats_tick(&stats, noon + 600000);
	CU_ASSERT_EQUAL(stats.count, 4);
	alarm_stats_tick(&stats, noon + 9999999);
	CU_ASSERT_EQUAL(stats.count, 0);
}

/* EEMUA 191: begins above 10 in 10 minutes, ends below 5. */
static void test_flood(void)
{
	static struct alarm_stats stats;

	for (int i = 0; i < 10; i++)
		raise_of(&stats, i, i * 10);
	CU_ASSERT_FALSE(stats.flood);
	raise_of(&stats, 10, 100);
	CU_ASSERT_TRUE(stats.flood);
	alarm_stats_tick(&stats, noon + 600000 + 50000); /* five of them are left */
	CU_ASSERT_EQUAL(stats.count, 5);
	CU_ASSERT_TRUE(stats.flood);
	alarm_stats_tick(&stats, noon + 600000 + 60000);
	CU_ASSERT_FALSE(stats.flood);
	CU_ASSERT_EQUAL(stats.floods, 1);
}

static void test_group(void)
{
	static struct alarm_stats stats = { .group_machines = 3 };

	raise_of(&stats, 1, 0);
	raise_of(&stats, 1, 61); /* the first is too far back, and of the same machine */
	raise_of(&stats, 2, 70);
	CU_ASSERT_EQUAL(stats.in_group, 0);
	raise_of(&stats, 3, 80);
	CU_ASSERT_EQUAL(stats.in_group, 3);
	CU_ASSERT_STRING_EQUAL(stats.group, alarm_stats_member(&stats, 2)->alarm);
	CU_ASSERT_STRING_EQUAL(alarm_stats_member(&stats, 2)->machine, "press-1");
	CU_ASSERT_EQUAL(alarm_stats_member(&stats, 2)->at_ms, noon + 61000);
	raise_of(&stats, 4, 139);
	CU_ASSERT_EQUAL(stats.in_group, 4);
	raise_of(&stats, 5, 200); /* more than a minute after the last */
	CU_ASSERT_EQUAL(stats.in_group, 0);
	CU_ASSERT_STRING_EQUAL(stats.group, "");
	CU_ASSERT_PTR_NULL(alarm_stats_member(&stats, 0));
}

static void test_chatter(void)
{
	static struct alarm_stats stats;

	raise_of(&stats, 1, 0);
	raise_of(&stats, 1, 10);
	raise_of(&stats, 2, 20);
	CU_ASSERT_EQUAL(alarm_stats_chattering(&stats), 0);
	raise_of(&stats, 1, 300);
	raise_of(&stats, 1, 301);
	CU_ASSERT_EQUAL(alarm_stats_chattering(&stats), 1);
	CU_ASSERT_EQUAL(alarm_stats_count(&stats, "press-1"), 4);
	CU_ASSERT_EQUAL(alarm_stats_count(&stats, "press-2"), 1);
	alarm_stats_tick(&stats, noon + 611000);
	CU_ASSERT_EQUAL(alarm_stats_chattering(&stats), 0);
}

static void test_full(void)
{
	static struct alarm_stats stats = { .group_machines = 5 };

	for (int i = 0; i < 3 * STATS_RAISES_MAX; i++)
		raise_of(&stats, i, i / 100);
	CU_ASSERT_EQUAL(stats.count, STATS_RAISES_MAX);
	CU_ASSERT_EQUAL(stats.in_group, 3 * STATS_RAISES_MAX);
	CU_ASSERT_PTR_NOT_NULL(alarm_stats_member(&stats, STATS_RAISES_MAX - 1));
	CU_ASSERT_PTR_NULL(alarm_stats_member(&stats, STATS_RAISES_MAX));
	alarm_stats_tick(&stats, noon + 9999999);
	CU_ASSERT_EQUAL(stats.count, 0);
}

/* ---- the board ---- */

static struct alarm alarm_of(enum alarm_state condition, enum alarm_priority priority, int second)
{
	struct alarm alarm = {
		.condition = condition, .priority = priority, .since_ms = noon + second * 1000
	};

	if (condition == ALARM_UNACKNOWLEDGED || condition == ALARM_ACKNOWLEDGED)
		alarm.causes = ALARM_BIT(ALARM_ANOMALY);
	snprintf(alarm.id, sizeof(alarm.id), "id-%d", second);
	return alarm;
}

/* The machines found, in order. */
static const char *find(struct board *board, struct board_query query, size_t *total)
{
	static char out[256];
	struct board_entry *entries;
	size_t count;

	out[0] = '\0';
	CU_ASSERT_EQUAL_FATAL(board_find(board, &query, &entries, &count, total), STATUS_OK);
	for (size_t i = 0; i < count; i++)
		strcat(out, entries[i].machine);
	free(entries);
	return out;
}

static void test_board(void)
{
	struct board *board;
	struct board_query all = { .states = (1u << ALARM_STATES) - 1, .limit = 100 };
	struct alarm a = alarm_of(ALARM_ACKNOWLEDGED, ALARM_HIGH, 1);
	struct alarm b = alarm_of(ALARM_UNACKNOWLEDGED, ALARM_LOW, 2);
	struct alarm c = alarm_of(ALARM_UNACKNOWLEDGED, ALARM_LOW, 3);
	struct alarm d = alarm_of(ALARM_UNACKNOWLEDGED, ALARM_MEDIUM, 0);
	struct alarm e = alarm_of(ALARM_RETURNED, ALARM_HIGH, 9);
	struct alarm f = alarm_of(ALARM_NORMAL, ALARM_HIGH, 9);
	struct board_sums sums;
	size_t total;

	CU_ASSERT_EQUAL_FATAL(board_create(&board), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(find(board, all, &total), "");
	board_put(board, "A", &a);
	board_put(board, "B", &b);
	board_put(board, "C", &c);
	board_put(board, "D", &d);
	board_put(board, "E", &e);
	board_put(board, "F", &f);
	CU_ASSERT_STRING_EQUAL(find(board, all, &total), "DCBEAF");
	all.limit = 2;
	CU_ASSERT_STRING_EQUAL(find(board, all, &total), "DC");
	CU_ASSERT_EQUAL(total, 6);
	all.states = 1u << ALARM_RETURNED;
	CU_ASSERT_STRING_EQUAL(find(board, all, &total), "E");
	all.machine = "A";
	CU_ASSERT_STRING_EQUAL(find(board, all, &total), "");
	board_sum(board, &sums);
	CU_ASSERT_EQUAL(sums.state[ALARM_UNACKNOWLEDGED], 3);
	CU_ASSERT_EQUAL(sums.cause[ALARM_ANOMALY], 4);

	a.shelved_until_ms = noon; /* what changes leaves its old sum */
	board_put(board, "A", &a);
	board_remove(board, "B");
	board_remove(board, "nobody");
	board_sum(board, &sums);
	CU_ASSERT_EQUAL(sums.state[ALARM_UNACKNOWLEDGED], 2);
	CU_ASSERT_EQUAL(sums.state[ALARM_ACKNOWLEDGED], 0);
	CU_ASSERT_EQUAL(sums.state[ALARM_SHELVED], 1);
	CU_ASSERT_EQUAL(sums.cause[ALARM_ANOMALY], 3);
	board_destroy(board);
}

static void test_board_group(void)
{
	struct board *board;
	struct board_query all = { .states = (1u << ALARM_STATES) - 1, .limit = 1 };
	struct alarm a = alarm_of(ALARM_UNACKNOWLEDGED, ALARM_LOW, 1);
	struct board_entry *entries;
	size_t count, total;
	static const char *const expected[] = { "", "g", "" };

	CU_ASSERT_EQUAL_FATAL(board_create(&board), STATUS_OK);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			board_group(board, "A", "id-1", "g");
		else
			board_group(board, "A", "other", "g"); /* of an alarm that is over */
		if (i == 2)
			a = alarm_of(ALARM_UNACKNOWLEDGED, ALARM_LOW, 2); /* another alarm */
		board_put(board, "A", &a);
		CU_ASSERT_EQUAL_FATAL(board_find(board, &all, &entries, &count, &total), STATUS_OK);
		CU_ASSERT_STRING_EQUAL(entries[0].group, i == 1 ? "g" : expected[i]);
		free(entries);
	}
	board_destroy(board);
}

static CU_TestInfo cases[] = {
	{ "the rate is of the last ten minutes", test_rate },
	{ "a flood begins above ten and ends below five", test_flood },
	{ "machines that fire within a minute of each other are a group", test_group },
	{ "three alarms in ten minutes are chatter", test_chatter },
	{ "more than can be remembered pushes out the oldest", test_full },
	{ "the board shows first what needs a person, and sums up", test_board },
	{ "a group is of an alarm, not of a machine", test_board_group },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("alarm_stats", cases);
}
