#include "agent/reserve.h"
#include "tests/unit/unit.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ASSERT_OK(call) CU_ASSERT_EQUAL_FATAL((call), STATUS_OK)

static struct why why;

static struct reserve *open_reserve(const char *name)
{
	struct reserve *reserve = NULL;

	ASSERT_OK(reserve_open(unit_path(name), true, &reserve, &why));
	return reserve;
}

static void test_ledger(void)
{
	struct ledger ledger = { .stored = 5, .dropped[DROP_STORE] = 7, .pending = 3 }, back;
	struct reserve *reserve = open_reserve("ledger");

	CU_ASSERT_FALSE(reserve_ledger(reserve, &back));
	for (ledger.stored = 5; ledger.stored < 10; ledger.stored++)
		reserve_save(reserve, &ledger, true);
	reserve_close(reserve);

	reserve = open_reserve("ledger");
	CU_ASSERT_TRUE_FATAL(reserve_ledger(reserve, &back));
	CU_ASSERT_EQUAL(back.stored, 9);
	CU_ASSERT_EQUAL(back.dropped[DROP_STORE], 7);
	CU_ASSERT_EQUAL(back.pending, 0);
	reserve_close(reserve);
}

static void damage(const char *name, off_t at)
{
	char path[300];
	snprintf(path, sizeof(path), "%s-reserve", unit_path(name));
	int fd = open(path, O_WRONLY);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL(pwrite(fd, "!", 1, at), 1);
	close(fd);
}

static void test_torn_write(void)
{
	struct ledger ledger = { .stored = 1 }, back;
	struct reserve *reserve = open_reserve("torn");

	reserve_save(reserve, &ledger, true); /* turn 1: the second place */
	ledger.stored = 2;
	reserve_save(reserve, &ledger, true); /* turn 2: the first one */
	reserve_close(reserve);
	damage("torn", 20);

	reserve = open_reserve("torn");
	CU_ASSERT_TRUE_FATAL(reserve_ledger(reserve, &back));
	CU_ASSERT_EQUAL(back.stored, 1);
	reserve_close(reserve);
}

static char seen[512];
static void join(void *context, const char *machine, const char *record)
{
	(void)context;
	size_t len = strlen(seen);
	snprintf(seen + len, sizeof(seen) - len, "%s=%s;", machine, record);
}

static void test_alarms(void)
{
	struct reserve *reserve = open_reserve("alarms");

	reserve_put_alarm(reserve, "press-1", "one");
	reserve_put_alarm(reserve, "press-2", "two");
	reserve_put_alarm(reserve, "press-1", "three");
	reserve_close(reserve);

	reserve = open_reserve("alarms");
	seen[0] = '\0';
	reserve_alarms(reserve, join, NULL);
	CU_ASSERT_STRING_EQUAL(seen, "press-1=three;press-2=two;");
	reserve_clear_alarms(reserve);
	reserve_close(reserve);

	reserve = open_reserve("alarms");
	seen[0] = '\0';
	reserve_alarms(reserve, join, NULL);
	CU_ASSERT_STRING_EQUAL(seen, "");
	reserve_close(reserve);
}

static void test_needs_no_space(void)
{
	char path[300];
	struct stat before, after;
	struct ledger ledger = { .stored = 1 };
	struct reserve *reserve = open_reserve("space");

	snprintf(path, sizeof(path), "%s-reserve", unit_path("space"));
	CU_ASSERT_EQUAL(stat(path, &before), 0);
	for (int i = 0; i < 2 * RESERVE_ALARMS; i++) {
		char name[32];
		snprintf(name, sizeof(name), "m%d", i);
		ledger.stored++;
		reserve_save(reserve, &ledger, true);
		reserve_put_alarm(reserve, name, "alarm");
	}
	CU_ASSERT_EQUAL(stat(path, &after), 0);
	CU_ASSERT_EQUAL(before.st_size, after.st_size);
	CU_ASSERT_EQUAL(before.st_blocks, after.st_blocks);
	reserve_close(reserve);
}

static CU_TestInfo cases[] = {
	{ "counters come back, the newest", test_ledger },
	{ "a write cut short leaves the one before", test_torn_write },
	{ "alarms come back, one a machine, until they are cleared", test_alarms },
	{ "writing takes no space that was not taken at the start", test_needs_no_space },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("reserve", cases);
}
