#include "common/store_alarm.h"
#include "common/store_internal.h"
#include <string.h>

static const char tables_sql[] =
	"CREATE TABLE IF NOT EXISTS alarm_event(id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" at INTEGER NOT NULL, machine TEXT NOT NULL, alarm TEXT NOT NULL, event TEXT NOT NULL,"
	" json TEXT NOT NULL);"
	"CREATE INDEX IF NOT EXISTS alarm_event_machine ON alarm_event(machine, id);"
	"CREATE INDEX IF NOT EXISTS alarm_event_alarm ON alarm_event(alarm, id);"
	"CREATE TABLE IF NOT EXISTS label(alarm TEXT PRIMARY KEY, machine TEXT NOT NULL,"
	" from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, at INTEGER NOT NULL,"
	" label INTEGER NOT NULL, operator TEXT NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS label_machine ON label(machine, from_ms);";

#define EVENT_COLUMNS "SELECT id, at, machine, alarm, event, json FROM alarm_event "
#define EVENT_BOUNDS "id < ?1 AND at >= ?2 AND at < ?3 "
#define EVENT_ORDER "ORDER BY id DESC LIMIT ?4"

static const char *const alarm_sql[ALARM_SQL_COUNT] = {
	[ALARM_SQL_ADD] = "INSERT INTO alarm_event(at, machine, alarm, event, json)"
			  " VALUES(?1, ?2, ?3, ?4, ?5)",
	[ALARM_SQL_PRUNE] = "DELETE FROM alarm_event WHERE id <= ?1",
	[ALARM_SQL_FIND] = EVENT_COLUMNS "WHERE " EVENT_BOUNDS EVENT_ORDER,
	[ALARM_SQL_FIND_MACHINE] = EVENT_COLUMNS "WHERE machine = ?5 AND " EVENT_BOUNDS EVENT_ORDER,
	[ALARM_SQL_FIND_ALARM] = EVENT_COLUMNS "WHERE alarm = ?5 AND " EVENT_BOUNDS EVENT_ORDER,
	[ALARM_SQL_PUT_LABEL] =
		"INSERT OR REPLACE INTO label VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	/* Alarms of a machine do not overlap: the last one that began before decides. */
	[ALARM_SQL_LABEL_AT] = "SELECT label, to_ms FROM label WHERE machine = ?1 AND from_ms <= ?2"
			       " ORDER BY from_ms DESC LIMIT 1",
	[ALARM_SQL_COUNT_LABELS] = "SELECT count(*) FROM label",
};

enum status store_alarm_set_up(struct store *store, struct why *why)
{
	if (sqlite3_exec(store->db, tables_sql, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(store, "making the tables of alarms", why);
	return STATUS_OK;
}

void store_alarm_finish(struct store *store)
{
	for (int i = 0; i < ALARM_SQL_COUNT; i++)
		sqlite3_finalize(store->alarm_statement[i]);
}

/* Prepared when first used: a reader may be there before the writer has made the tables. NULL with
 * STATUS_OK: there are none. */
static enum status prepare(
	struct store *store, enum alarm_sql which, sqlite3_stmt **out, struct why *why)
{
	sqlite3_stmt **statement = &store->alarm_statement[which];

	*out = *statement;
	if (*statement)
		return STATUS_OK;
	int rc = sqlite3_prepare_v3(
		store->db, alarm_sql[which], -1, SQLITE_PREPARE_PERSISTENT, statement, NULL);
	if (rc == SQLITE_ERROR && store->mode == STORE_READ &&
		strstr(sqlite3_errmsg(store->db), "no such table"))
		return STATUS_OK;
	if (rc != SQLITE_OK)
		return store_fail(store, "preparing", why);
	*out = *statement;
	return STATUS_OK;
}

static void bind_text(sqlite3_stmt *statement, int at, const char *text)
{
	sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

enum status store_add_event(struct store *store, const struct store_event *event, struct why *why)
{
	sqlite3_stmt *add, *prune;
	enum status st = prepare(store, ALARM_SQL_ADD, &add, why);

	if (st == STATUS_OK)
		st = prepare(store, ALARM_SQL_PRUNE, &prune, why);
	if (st != STATUS_OK)
		return st;
	sqlite3_bind_int64(add, 1, event->at_ms);
	bind_text(add, 2, event->machine);
	bind_text(add, 3, event->alarm);
	bind_text(add, 4, event->event);
	bind_text(add, 5, event->json);
	st = store_run(store, add, "writing the alarm journal", why);
	if (st != STATUS_OK)
		return st;
	sqlite3_bind_int64(prune, 1, sqlite3_last_insert_rowid(store->db) - STORE_JOURNAL_MAX);
	return store_run(store, prune, "pruning the alarm journal", why);
}

static const char *text_at(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);
	return text ? text : "";
}

enum status store_find_events(struct store *store, const struct store_event_query *query,
	store_each_event *each, void *context, struct why *why)
{
	enum alarm_sql which = query->alarm ? ALARM_SQL_FIND_ALARM
		: query->machine            ? ALARM_SQL_FIND_MACHINE
					    : ALARM_SQL_FIND;
	sqlite3_stmt *find;
	enum status st = prepare(store, which, &find, why);
	int rc;

	if (st != STATUS_OK || !find)
		return st;
	sqlite3_bind_int64(find, 1, query->before_id > 0 ? query->before_id : INT64_MAX);
	sqlite3_bind_int64(find, 2, query->from_ms);
	sqlite3_bind_int64(find, 3, query->to_ms);
	sqlite3_bind_int64(find, 4, (int64_t)query->limit);
	if (which != ALARM_SQL_FIND)
		bind_text(find, 5, query->alarm ? query->alarm : query->machine);
	bool more = true;
	while (more && (rc = sqlite3_step(find)) == SQLITE_ROW) {
		struct store_event event = { sqlite3_column_int64(find, 1), text_at(find, 2),
			text_at(find, 3), text_at(find, 4), text_at(find, 5) };
		more = each(context, sqlite3_column_int64(find, 0), &event);
	}
	if (more && rc != SQLITE_DONE)
		st = store_fail(store, "reading the alarm journal", why);
	sqlite3_reset(find);
	return st;
}

enum status store_set_label(struct store *store, const struct store_label *label, struct why *why)
{
	sqlite3_stmt *put;
	enum status st = prepare(store, ALARM_SQL_PUT_LABEL, &put, why);

	if (st != STATUS_OK)
		return st;
	bind_text(put, 1, label->alarm);
	bind_text(put, 2, label->machine);
	sqlite3_bind_int64(put, 3, label->from_ms);
	sqlite3_bind_int64(put, 4, label->to_ms);
	sqlite3_bind_int64(put, 5, label->at_ms);
	sqlite3_bind_int(put, 6, (int)label->label);
	bind_text(put, 7, label->operator_name);
	bind_text(put, 8, label->reason);
	return store_run(store, put, "writing a label", why);
}

enum status store_label_at(
	struct store *store, const char *machine, int64_t at_ms, enum label *out, struct why *why)
{
	sqlite3_stmt *find;
	enum status st = prepare(store, ALARM_SQL_LABEL_AT, &find, why);

	if (st != STATUS_OK)
		return st;
	*out = LABEL_NONE;
	if (!find)
		return STATUS_OK;
	bind_text(find, 1, machine);
	sqlite3_bind_int64(find, 2, at_ms);
	int rc = sqlite3_step(find);
	if (rc == SQLITE_ROW && sqlite3_column_int64(find, 1) >= at_ms)
		*out = sqlite3_column_int(find, 0) == LABEL_HEALTHY ? LABEL_HEALTHY : LABEL_NONE;
	else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		st = store_fail(store, "reading a label", why);
	sqlite3_reset(find);
	return st;
}

enum status store_count_labels(struct store *store, int64_t *out, struct why *why)
{
	sqlite3_stmt *count;
	enum status st = prepare(store, ALARM_SQL_COUNT_LABELS, &count, why);

	*out = 0;
	return st == STATUS_OK && count ? store_integer(store, count, out, why) : st;
}
