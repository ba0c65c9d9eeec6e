#include "agent/retention.h"
#include "common/store_prune.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASSERT_OK(call) CU_ASSERT_EQUAL_FATAL((call), STATUS_OK)

static const int64_t day_ms = 86400000, begin_ms = 1700000000000;
static struct why why;
static struct schema schema;

static struct store *open_store(const char *path)
{
	struct store *store = NULL;

	ASSERT_OK(store_open(path, STORE_WRITE, &store, &why));
	if (schema.count == 0)
		ASSERT_OK(schema_add(&schema, "sound", "dB", -INFINITY, INFINITY, &why));
	return store;
}

static void add(struct store *store, const char *machine, int64_t at_ms, int64_t received_ms)
{
	struct verdict v = { .score = 0.1, .alarm_score = 0.1, .threshold = 0.2 };
	bool duplicate;

	snprintf(v.reading.machine, sizeof(v.reading.machine), "%s", machine);
	v.reading.at_ms = at_ms;
	v.reading.at_sent = true;
	v.reading.received_ms = received_ms;
	v.reading.seq = READING_NO_SEQ;
	v.reading.value[0] = (double)(at_ms % 1000);
	ASSERT_OK(store_add(store, &v, &schema, &duplicate, &why));
	CU_ASSERT_FALSE(duplicate);
}

/* One reading a minute and machine, for `days` days, arriving at once. */
static void add_days(struct store *store, int days)
{
	ASSERT_OK(store_begin(store, &why));
	for (int64_t at = begin_ms; at < begin_ms + days * day_ms; at += 60000) {
		add(store, "press-1", at, at);
		add(store, "press-2", at + 7, at + 7);
	}
	ASSERT_OK(store_commit(store, &why));
}

struct found {
	size_t count;
	int64_t oldest_ms;
};

static bool note(void *context, int64_t id, const struct verdict *v, const struct schema *s)
{
	struct found *found = context;

	(void)id;
	(void)s;
	found->count++;
	found->oldest_ms = v->reading.at_ms;
	return true;
}

static struct found find(struct store *store, const char *machine)
{
	struct found found = { 0, 0 };
	struct store_query query = { .machine = machine, .to_ms = INT64_MAX, .limit = 1000 };
	size_t before;

	do { /* page by page */
		before = found.count;
		ASSERT_OK(store_find(store, &query, note, &found, &why));
		query.to_ms = found.oldest_ms;
	} while (found.count > before);
	return found;
}

static size_t prune_all(struct store *store, const struct store_quota *quota, size_t rows)
{
	size_t sum = 0, removed;
	bool more;

	do {
		ASSERT_OK(store_prune(store, quota, rows, &removed, &more, &why));
		CU_ASSERT_TRUE(removed <= rows);
		sum += removed;
	} while (more);
	return sum;
}

static void test_by_age(void)
{
	struct store *store = open_store(":memory:");
	struct store_quota quota = { .before_ms = begin_ms + day_ms };

	add_days(store, 2);
	CU_ASSERT_EQUAL(find(store, "press-1").count, 2880);

	size_t removed = prune_all(store, &quota, 100);

	/* Whole minutes go: the limit lies within one. */
	CU_ASSERT_TRUE(removed >= 2 * 1440 - 2 && removed <= 2 * 1440);
	CU_ASSERT_EQUAL(find(store, NULL).count, 4 * 1440 - removed);
	CU_ASSERT_EQUAL(find(store, "press-1").count, (4 * 1440 - removed) / 2);
	CU_ASSERT_TRUE(find(store, "press-2").oldest_ms >= begin_ms + day_ms - 60000);
	CU_ASSERT_EQUAL(prune_all(store, &quota, 100), 0);
	store_close(store);
}

static void test_by_arrival(void)
{
	struct store *store = open_store(":memory:");
	struct store_quota quota = { .before_ms = begin_ms + day_ms };

	ASSERT_OK(store_begin(store, &why));
	add(store, "late", begin_ms - 30 * day_ms, begin_ms + 2 * day_ms); /* delivered late */
	add(store, "wrong", begin_ms + 900 * day_ms, begin_ms);            /* a clock far ahead */
	add(store, "old", begin_ms, begin_ms);
	ASSERT_OK(store_commit(store, &why));

	prune_all(store, &quota, 100);

	CU_ASSERT_EQUAL(find(store, "late").count, 1);
	CU_ASSERT_EQUAL(find(store, "old").count, 0);
	store_close(store);
}

static void test_goes_on(void)
{
	struct store *store = open_store(":memory:");
	struct store_quota quota = { .before_ms = begin_ms + day_ms };

	ASSERT_OK(store_begin(store, &why));
	add(store, "press-1", begin_ms, begin_ms);
	ASSERT_OK(store_commit(store, &why));
	CU_ASSERT_EQUAL(prune_all(store, &quota, 100), 1);

	/* Into the very minute that went, and found by its machine. */
	ASSERT_OK(store_begin(store, &why));
	add(store, "press-1", begin_ms + 1, begin_ms + 2 * day_ms);
	ASSERT_OK(store_commit(store, &why));
	CU_ASSERT_EQUAL(find(store, "press-1").count, 1);
	CU_ASSERT_EQUAL(prune_all(store, &quota, 100), 0);
	store_close(store);
}

static void test_by_size(void)
{
	const char *path = unit_path("size.db");
	struct store *store = open_store(path);
	struct store_quota quota = { .max_bytes = 512 * 1024 };

	add_days(store, 4);
	size_t before = find(store, NULL).count, removed = prune_all(store, &quota, 100);

	CU_ASSERT_TRUE(removed > 0 && removed < before);
	CU_ASSERT_TRUE(find(store, NULL).oldest_ms > begin_ms + day_ms);
	CU_ASSERT_EQUAL(prune_all(store, &quota, 100), 0);
	store_close(store);
}

static void test_first_version(void)
{
	const char *path = unit_path("first.db");
	struct store *store = open_store(path);
	sqlite3 *db = NULL;

	add_days(store, 1);
	store_close(store);
	CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
	CU_ASSERT_EQUAL_FATAL(sqlite3_exec(db,
				      "ALTER TABLE minute DROP COLUMN received;"
				      "ALTER TABLE arrival DROP COLUMN received;"
				      "DROP TABLE outbox;",
				      NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(db);

	store = open_store(path);
	CU_ASSERT_EQUAL(find(store, "press-1").count, 1440);
	struct store_quota quota = { .before_ms = begin_ms + 2 * day_ms };
	CU_ASSERT_EQUAL(prune_all(store, &quota, 1000), 2880);
	CU_ASSERT_EQUAL(find(store, NULL).count, 0);
	store_close(store);
}

/* ---- retention ---- */

static void test_retention(void)
{
	struct store *store = open_store(":memory:");
	struct retention r = { .keep_ms = 2 * day_ms };
	int64_t end_ms = begin_ms + 3 * day_ms;

	add_days(store, 3);
	size_t gone = 0, more;
	for (int64_t mono = 1000; (more = retention_run(&r, store, 1, end_ms + mono, mono)) > 0;)
		gone += more;
	CU_ASSERT_TRUE(gone >= 2 * 1440 - 2 && gone <= 2 * 1440 + 2);
	CU_ASSERT_EQUAL(retention_run(&r, store, 1, end_ms + 1001, 1001), 0);
	store_close(store);
}

static void test_clock_jump(void)
{
	struct store *store = open_store(":memory:");
	struct retention r = { .keep_ms = 2 * day_ms };
	int64_t end_ms = begin_ms + 1 * day_ms;

	add_days(store, 1);
	CU_ASSERT_EQUAL(retention_run(&r, store, 1, end_ms, 1000), 0);
	/* Ten years ahead, within seconds. */
	for (int64_t mono = 20000; mono < day_ms; mono += 3600000)
		CU_ASSERT_EQUAL(
			retention_run(&r, store, 1, end_ms + 3650 * day_ms + mono, mono), 0);
	CU_ASSERT_EQUAL(find(store, NULL).count, 2880);
	/* A day later it is taken for true. */
	CU_ASSERT_TRUE(retention_run(&r, store, 1, end_ms + 3652 * day_ms, 2 * day_ms) > 0);
	store_close(store);
}

static void test_clock_jump_at_restart(void)
{
	struct store *store = open_store(":memory:");
	struct retention r = { .keep_ms = 2 * day_ms };

	add_days(store, 1);
	CU_ASSERT_EQUAL(retention_run(&r, store, 1, begin_ms + 3650 * day_ms, 1000), 0);
	CU_ASSERT_EQUAL(find(store, NULL).count, 2880);
	store_close(store);
}

/* ---- damage ---- */

static void write_over(const char *path, long at, size_t bytes)
{
	FILE *file = fopen(path, "r+b");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	fseek(file, at, SEEK_SET);
	for (size_t i = 0; i < bytes; i++)
		fputc(0xa5, file);
	fclose(file);
}

static void test_put_aside(void)
{
	char aside[300];
	const char *path = unit_path("damaged.db");
	struct store *store = NULL;

	for (int turn = 1; turn <= 3; turn++) {
		store = open_store(path);
		add_days(store, 1);
		store_close(store);
		write_over(path, 4096, 8192);
		CU_ASSERT_EQUAL(store_open(path, STORE_WRITE, &store, &why), STATUS_CORRUPT);
		ASSERT_HOLDS(why.text, "damaged.db");
		ASSERT_OK(store_open_unready(path, &store, &why));
		CU_ASSERT_FALSE(store_ready(store));
		CU_ASSERT_EQUAL(store_begin(store, &why), STATUS_IO);
		ASSERT_OK(store_reopen(store, true, &why));
		CU_ASSERT_TRUE(store_ready(store));
		CU_ASSERT_EQUAL(find(store, NULL).count, 0);
		store_close(store);
	}
	snprintf(aside, sizeof(aside), "%s.corrupt-1", path);
	CU_ASSERT_EQUAL(access(aside, F_OK), 0);
	snprintf(aside, sizeof(aside), "%s.corrupt-2", path);
	CU_ASSERT_EQUAL(access(aside, F_OK), 0);
	snprintf(aside, sizeof(aside), "%s.corrupt-3", path);
	CU_ASSERT_NOT_EQUAL(access(aside, F_OK), 0);
}

static void test_reopen_keeps(void)
{
	const char *path = unit_path("again.db");
	struct store *store = open_store(path);

	add_days(store, 1);
	ASSERT_OK(store_reopen(store, false, &why));
	CU_ASSERT_EQUAL(find(store, "press-2").count, 1440);
	store_close(store);
}

static CU_TestInfo cases[] = {
	{ "readings go for their age, whole minutes at a time", test_by_age },
	{ "what arrived late stays as long as what arrived with it", test_by_arrival },
	{ "a minute that went can be written again", test_goes_on },
	{ "a history too large loses its oldest", test_by_size },
	{ "a file of the first version is brought up to date", test_first_version },
	{ "retention removes what is too old, and then rests", test_retention },
	{ "a clock ten years ahead costs no reading", test_clock_jump },
	{ "nor does one that jumped while we were away", test_clock_jump_at_restart },
	{ "a damaged history is put aside, two of them are kept", test_put_aside },
	{ "a history is closed and opened again with all it holds", test_reopen_keeps },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("prune", cases);
}
