#include "common/store_outbox.h"
#include "common/store_internal.h"

static const char *const outbox_sql[OUTBOX_SQL_COUNT] = {
	[OUTBOX_SQL_ADD] = "INSERT INTO outbox(topic, payload, retain) VALUES(?1, ?2, ?3)",
	[OUTBOX_SQL_REMOVE] = "DELETE FROM outbox WHERE id = ?1",
	[OUTBOX_SQL_DROP] = "DELETE FROM outbox WHERE id IN"
			    " (SELECT id FROM outbox ORDER BY id LIMIT ?1)",
	[OUTBOX_SQL_COUNT_ALL] = "SELECT count(*) FROM outbox",
	[OUTBOX_SQL_EACH] = "SELECT id, topic, payload, retain FROM outbox WHERE id > ?1"
			    " ORDER BY id LIMIT ?2",
};

enum status store_outbox_set_up(struct store *store, struct why *why)
{
	/* AUTOINCREMENT: a number is never used twice, so a late acknowledgement cannot be taken
	 * for that of a newer message. */
	if (sqlite3_exec(store->db,
		    "CREATE TABLE IF NOT EXISTS outbox(id INTEGER PRIMARY KEY AUTOINCREMENT,"
		    " topic TEXT NOT NULL, payload BLOB NOT NULL, retain INTEGER NOT NULL)",
		    NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(store, "making the outbox", why);
	for (int i = 0; i < OUTBOX_SQL_COUNT; i++) {
		if (sqlite3_prepare_v3(store->db, outbox_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
			    &store->outbox_statement[i], NULL) != SQLITE_OK)
			return store_fail(store, "preparing", why);
	}
	return STATUS_OK;
}

void store_outbox_finish(struct store *store)
{
	for (int i = 0; i < OUTBOX_SQL_COUNT; i++) {
		sqlite3_finalize(store->outbox_statement[i]);
		store->outbox_statement[i] = NULL;
	}
}

enum status store_outbox_add(struct store *store, const char *topic, const char *payload,
	size_t len, bool retain, int64_t *id, struct why *why)
{
	sqlite3_stmt *add = store->outbox_statement[OUTBOX_SQL_ADD];

	sqlite3_bind_text(add, 1, topic, -1, SQLITE_STATIC);
	sqlite3_bind_blob(add, 2, payload, (int)len, SQLITE_STATIC);
	sqlite3_bind_int(add, 3, retain);
	enum status st = store_run(store, add, "writing the outbox", why);
	if (st == STATUS_OK)
		*id = sqlite3_last_insert_rowid(store->db);
	return st;
}

enum status store_outbox_remove(struct store *store, int64_t id, bool *there, struct why *why)
{
	sqlite3_stmt *remove = store->outbox_statement[OUTBOX_SQL_REMOVE];

	sqlite3_bind_int64(remove, 1, id);
	enum status st = store_run(store, remove, "emptying the outbox", why);
	*there = st == STATUS_OK && sqlite3_changes(store->db) > 0;
	return st;
}

enum status store_outbox_drop(struct store *store, int64_t count, int64_t *removed, struct why *why)
{
	sqlite3_stmt *drop = store->outbox_statement[OUTBOX_SQL_DROP];

	sqlite3_bind_int64(drop, 1, count);
	enum status st = store_run(store, drop, "emptying the outbox", why);
	if (st == STATUS_OK)
		*removed = sqlite3_changes(store->db);
	return st;
}

enum status store_outbox_count(struct store *store, int64_t *count, struct why *why)
{
	*count = 0;
	return store_integer(store, store->outbox_statement[OUTBOX_SQL_COUNT_ALL], count, why);
}

enum status store_outbox_each(struct store *store, int64_t after_id, size_t limit,
	store_each_unsent *each, void *context, struct why *why)
{
	sqlite3_stmt *find = store->outbox_statement[OUTBOX_SQL_EACH];
	enum status st = STATUS_OK;
	bool more = true;
	int rc = SQLITE_DONE;

	sqlite3_bind_int64(find, 1, after_id);
	sqlite3_bind_int64(find, 2, (int64_t)limit);
	while (more && (rc = sqlite3_step(find)) == SQLITE_ROW) {
		const char *topic = (const char *)sqlite3_column_text(find, 1);
		const char *payload = sqlite3_column_blob(find, 2);
		more = each(context, sqlite3_column_int64(find, 0), topic ? topic : "",
			payload ? payload : "", (size_t)sqlite3_column_bytes(find, 2),
			sqlite3_column_int(find, 3) != 0);
	}
	if (more && rc != SQLITE_DONE)
		st = store_fail(store, "reading the outbox", why);
	sqlite3_reset(find);
	return st;
}
