#include "common/store_alarm.h"
#include "tests/unit/unit.h"
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

static struct why why;

#define ASSERT_OK(call)                                                 \
	do {                                                            \
		enum status st_ = (call);                               \
		if (st_ != STATUS_OK)                                   \
			fprintf(stderr, "\n%s: %s\n", #call, why.text); \
		CU_ASSERT_EQUAL_FATAL(st_, STATUS_OK);                  \
	} while (0)

static void add(struct store *store, int64_t at_ms, const char *machine, const char *event)
{
	struct store_event e = { at_ms, machine, "id", event, "{}" };

	ASSERT_OK(store_begin(store, &why));
	ASSERT_OK(store_add_event(store, &e, &why));
	ASSERT_OK(store_commit(store, &why));
}

struct seen {
	char events[64];
	int64_t last_id;
};

static bool note(void *context, int64_t id, const struct store_event *event)
{
	struct seen *seen = context;

	strcat(seen->events, event->event);
	seen->last_id = id;
	return strcmp(event->event, "!") != 0;
}

static struct seen find(struct store *store, struct store_event_query query)
{
	struct seen seen = { "", 0 };

	if (query.to_ms == 0)
		query.to_ms = INT64_MAX;
	if (query.limit == 0)
		query.limit = 10;
	ASSERT_OK(store_find_events(store, &query, note, &seen, &why));
	return seen;
}

static void test_journal(void)
{
	const char *path = unit_path("journal.db");
	struct store *store, *reader;

	ASSERT_OK(store_open(path, STORE_WRITE, &store, &why));
	add(store, 100, "a", "1");
	add(store, 300, "b", "2");
	add(store, 200, "a", "3"); /* clocks may step back: the order is that of writing */
	ASSERT_OK(store_open(path, STORE_READ, &reader, &why));
	CU_ASSERT_STRING_EQUAL(find(reader, (struct store_event_query){ 0 }).events, "321");
	CU_ASSERT_STRING_EQUAL(
		find(reader, (struct store_event_query){ .machine = "a" }).events, "31");
	CU_ASSERT_STRING_EQUAL(
		find(reader, (struct store_event_query){ .alarm = "id" }).events, "321");
	CU_ASSERT_STRING_EQUAL(
		find(reader, (struct store_event_query){ .alarm = "none" }).events, "");
	CU_ASSERT_STRING_EQUAL(
		find(reader, (struct store_event_query){ .from_ms = 200, .to_ms = 300 }).events,
		"3");
	struct seen first = find(reader, (struct store_event_query){ .limit = 2 });
	CU_ASSERT_STRING_EQUAL(first.events, "32");
	CU_ASSERT_STRING_EQUAL(
		find(reader, (struct store_event_query){ .before_id = first.last_id }).events, "1");
	add(store, 400, "a", "!"); /* stops the walk */
	CU_ASSERT_STRING_EQUAL(find(reader, (struct store_event_query){ 0 }).events, "!");
	store_close(reader);
	store_close(store);
}

static void test_prune(void)
{
	struct store *store;
	int64_t count = 0;
	struct store_event e = { 1, "a", "id", "x", "{}" };
	struct store_event_query first = { .to_ms = INT64_MAX, .limit = 1, .before_id = 11 };
	struct seen seen = { "", 0 };

	ASSERT_OK(store_open(":memory:", STORE_WRITE, &store, &why));
	ASSERT_OK(store_begin(store, &why));
	for (; count < STORE_JOURNAL_MAX + 10; count++)
		ASSERT_OK(store_add_event(store, &e, &why));
	ASSERT_OK(store_commit(store, &why));
	ASSERT_OK(store_find_events(store, &first, note, &seen, &why));
	CU_ASSERT_EQUAL(seen.last_id, 0); /* the first ten are gone */
	first.before_id = 12;
	ASSERT_OK(store_find_events(store, &first, note, &seen, &why));
	CU_ASSERT_EQUAL(seen.last_id, 11);
	store_close(store);
}

static enum label label_at(struct store *store, const char *machine, int64_t at_ms)
{
	enum label label;

	ASSERT_OK(store_label_at(store, machine, at_ms, &label, &why));
	return label;
}

static void test_labels(void)
{
	struct store *store;
	int64_t count;
	struct store_label one = { "a", "id-1", 100, 200, 900, LABEL_HEALTHY, "anna", "x" };
	struct store_label two = { "a", "id-2", 300, 300, 900, LABEL_HEALTHY, "", "" };

	ASSERT_OK(store_open(":memory:", STORE_WRITE, &store, &why));
	CU_ASSERT_EQUAL(label_at(store, "a", 100), LABEL_NONE);
	ASSERT_OK(store_begin(store, &why));
	ASSERT_OK(store_set_label(store, &one, &why));
	ASSERT_OK(store_set_label(store, &two, &why));
	ASSERT_OK(store_commit(store, &why));
	CU_ASSERT_EQUAL(label_at(store, "a", 99), LABEL_NONE);
	CU_ASSERT_EQUAL(label_at(store, "a", 100), LABEL_HEALTHY);
	CU_ASSERT_EQUAL(label_at(store, "a", 200), LABEL_HEALTHY);
	CU_ASSERT_EQUAL(label_at(store, "a", 201), LABEL_NONE);
	CU_ASSERT_EQUAL(label_at(store, "a", 300), LABEL_HEALTHY);
	CU_ASSERT_EQUAL(label_at(store, "b", 150), LABEL_NONE);

	one.to_ms = 250; /* the alarm went on */
	ASSERT_OK(store_begin(store, &why));
	ASSERT_OK(store_set_label(store, &one, &why));
	ASSERT_OK(store_commit(store, &why));
	CU_ASSERT_EQUAL(label_at(store, "a", 250), LABEL_HEALTHY);
	ASSERT_OK(store_count_labels(store, &count, &why));
	CU_ASSERT_EQUAL(count, 2);
	store_close(store);
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db;

	CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
	CU_ASSERT_EQUAL(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* A file of before there were journals: readers find nothing in it, a writer adds the tables. */
static void test_older_file(void)
{
	const char *path = unit_path("older.db");
	struct store *store, *reader;

	ASSERT_OK(store_open(path, STORE_WRITE, &store, &why));
	store_close(store);
	run_sql(path, "DROP TABLE alarm_event; DROP TABLE label;");

	ASSERT_OK(store_open(path, STORE_READ, &reader, &why));
	CU_ASSERT_STRING_EQUAL(find(reader, (struct store_event_query){ 0 }).events, "");
	CU_ASSERT_EQUAL(label_at(reader, "a", 1), LABEL_NONE);
	ASSERT_OK(store_open(path, STORE_WRITE, &store, &why));
	add(store, 1, "a", "new");
	CU_ASSERT_STRING_EQUAL(find(reader, (struct store_event_query){ 0 }).events, "new");
	store_close(reader);
	store_close(store);
}

static CU_TestInfo cases[] = {
	{ "the journal is read newest first, by machine, alarm and time", test_journal },
	{ "it keeps its newest entries", test_prune },
	{ "a label covers what its alarm spoke of", test_labels },
	{ "an older file is given the tables", test_older_file },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("store_alarm", cases);
}
