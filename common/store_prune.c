/* Old readings go, a minute of all machines after the other, a bounded number of rows a step.
 *
 * A minute goes when everything in it arrived before the limit: `minute.received` holds the newest
 * arrival, so that neither a wrong device clock nor a late delivery takes fresh rows along, and no
 * index on arrival has to be kept up by every insert. What a row leaves behind (its minute's
 * roll-up, its day's bit) goes with the last row of the minute; until then queries meet a chain
 * that ends early. Deleting needs a few pages of the WAL and none of the file: freed pages are
 * used again, so a full history stops growing. */
#include "common/store_prune.h"
#include "common/failpoint.h"
#include "common/store_internal.h"

enum { MINUTES_A_STEP = 64 };

static const char *const prune_sql[PRUNE_SQL_COUNT] = {
	[PRUNE_SQL_OLDEST] = "SELECT minute, max(ifnull(received, 9223372036854775807)) FROM minute"
			     " WHERE minute = (SELECT min(minute) FROM minute WHERE minute > ?1)",
	[PRUNE_SQL_ROWS] = "DELETE FROM reading WHERE id IN (SELECT id FROM reading"
			   " WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3)",
	[PRUNE_SQL_MINUTE] = "DELETE FROM minute WHERE minute = ?1",
	[PRUNE_SQL_DAY] = "DELETE FROM day WHERE day = ?1 AND NOT EXISTS (SELECT 1 FROM minute"
			  " WHERE minute >= ?1 * 1440 AND minute < (?1 + 1) * 1440)",
	[PRUNE_SQL_ARRIVALS] = "DELETE FROM arrival WHERE identity IN (SELECT identity FROM arrival"
			       " WHERE identity >= ?1 ORDER BY identity LIMIT ?2)"
			       " AND received < ?3",
	[PRUNE_SQL_NEXT_ARRIVAL] = "SELECT identity FROM arrival WHERE identity >= ?1"
				   " ORDER BY identity LIMIT 1 OFFSET ?2",
	[PRUNE_SQL_USED] = "SELECT (SELECT page_count FROM pragma_page_count) -"
			   " (SELECT freelist_count FROM pragma_freelist_count)",
	[PRUNE_SQL_LAST_ARRIVAL] = "SELECT max(received) FROM minute WHERE minute >"
				   " (SELECT max(minute) FROM minute) - 10",
};

static sqlite3_stmt *statement(struct store *store, enum prune_sql which)
{
	return store->prune_statement[which];
}

static bool has_column(struct store *store, const char *table, const char *column)
{
	return sqlite3_table_column_metadata(
		       store->db, NULL, table, column, NULL, NULL, NULL, NULL, NULL) == SQLITE_OK;
}

/* Files of the first version lack the arrivals; what is in them already goes by its own time. */
enum status store_prune_set_up(struct store *store, struct why *why)
{
	if (!has_column(store, "minute", "received") &&
		sqlite3_exec(store->db,
			"ALTER TABLE minute ADD COLUMN received INTEGER;"
			"UPDATE minute SET received = (minute + 1) * 60000;",
			NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(store, "adding arrivals to minutes", why);
	if (!has_column(store, "arrival", "received") &&
		sqlite3_exec(store->db, "ALTER TABLE arrival ADD COLUMN received INTEGER", NULL,
			NULL, NULL) != SQLITE_OK)
		return store_fail(store, "adding arrivals", why);
	return STATUS_OK;
}

enum status store_prune_prepare(struct store *store, struct why *why)
{
	for (int i = 0; i < PRUNE_SQL_COUNT; i++) {
		if (sqlite3_prepare_v3(store->db, prune_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
			    &store->prune_statement[i], NULL) != SQLITE_OK)
			return store_fail(store, "preparing", why);
	}
	return STATUS_OK;
}

void store_prune_finish(struct store *store)
{
	for (int i = 0; i < PRUNE_SQL_COUNT; i++) {
		sqlite3_finalize(store->prune_statement[i]);
		store->prune_statement[i] = NULL;
	}
}

/* The oldest minute behind the cursor and its newest arrival; false if there is none. */
static enum status oldest(
	struct store *store, int64_t *minute, int64_t *received, bool *found, struct why *why)
{
	sqlite3_stmt *find = statement(store, PRUNE_SQL_OLDEST);
	enum status st = STATUS_OK;

	sqlite3_bind_int64(find, 1, store->pruned_to);
	int rc = sqlite3_step(find);
	*found = rc == SQLITE_ROW && sqlite3_column_type(find, 0) == SQLITE_INTEGER;
	if (*found) {
		*minute = sqlite3_column_int64(find, 0);
		*received = sqlite3_column_int64(find, 1);
	} else if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
		st = store_fail(store, "looking for old readings", why);
	}
	sqlite3_reset(find);
	return st;
}

static enum status delete_by(
	struct store *store, enum prune_sql which, int64_t number, struct why *why)
{
	sqlite3_stmt *remove = statement(store, which);

	sqlite3_bind_int64(remove, 1, number);
	return store_run(store, remove, "pruning", why);
}

/* Up to `rows` of a minute's readings; with the last of them its roll-ups. */
static enum status prune_minute(
	struct store *store, int64_t minute, size_t rows, size_t *removed, struct why *why)
{
	sqlite3_stmt *remove = statement(store, PRUNE_SQL_ROWS);
	int64_t end_ms = (minute + 1) * STORE_MINUTE_MS;

	sqlite3_bind_int64(remove, 1, store_id_of(minute * STORE_MINUTE_MS));
	sqlite3_bind_int64(remove, 2, end_ms > TIME_MAX_MS ? INT64_MAX : store_id_of(end_ms));
	sqlite3_bind_int64(remove, 3, (int64_t)rows);
	enum status st = store_run(store, remove, "pruning", why);
	if (st != STATUS_OK)
		return st;
	*removed = (size_t)sqlite3_changes(store->db);
	if (*removed == rows)
		return STATUS_OK; /* there may be more */
	st = delete_by(store, PRUNE_SQL_MINUTE, minute, why);
	if (st == STATUS_OK)
		st = delete_by(store, PRUNE_SQL_DAY, minute / STORE_MINUTES_A_DAY, why);
	store_forget_minute(store, minute);
	return st;
}

/* Identities of readings without a time: a piece at a time, round and round. */
static enum status prune_arrivals(
	struct store *store, int64_t before_ms, size_t rows, struct why *why)
{
	sqlite3_stmt *remove = statement(store, PRUNE_SQL_ARRIVALS);
	sqlite3_stmt *find = statement(store, PRUNE_SQL_NEXT_ARRIVAL);
	int64_t next = INT64_MIN;

	sqlite3_bind_int64(find, 1, store->arrival_cursor);
	sqlite3_bind_int64(find, 2, (int64_t)rows);
	enum status st = store_integer(store, find, &next, why);
	if (st != STATUS_OK)
		return st;
	sqlite3_bind_int64(remove, 1, store->arrival_cursor);
	sqlite3_bind_int64(remove, 2, (int64_t)rows);
	sqlite3_bind_int64(remove, 3, before_ms);
	store->arrival_cursor = next;
	return store_run(store, remove, "pruning arrivals", why);
}

static enum status is_over(struct store *store, int64_t max_bytes, bool *over, struct why *why)
{
	enum { PAGE_BYTES = 4096 };
	int64_t used = 0;

	*over = false;
	if (max_bytes == 0)
		return STATUS_OK;
	enum status st = store_integer(store, statement(store, PRUNE_SQL_USED), &used, why);
	*over = used > max_bytes / PAGE_BYTES;
	return st;
}

static enum status prune(struct store *store, const struct store_quota *quota, size_t rows,
	size_t *removed, bool *more, struct why *why)
{
	enum status st = STATUS_OK;
	bool found = true, over;

	for (int i = 0; i < MINUTES_A_STEP && st == STATUS_OK && *removed < rows; i++) {
		int64_t minute, received;
		size_t gone = 0;
		st = is_over(store, quota->max_bytes, &over, why);
		if (st == STATUS_OK)
			st = oldest(store, &minute, &received, &found, why);
		if (st != STATUS_OK || !found)
			break;
		if (over || received < quota->before_ms)
			st = prune_minute(store, minute, rows - *removed, &gone, why);
		else if (minute * STORE_MINUTE_MS < quota->before_ms)
			store->pruned_to = minute; /* arrived late: its turn comes later */
		else
			found = false;
		*removed += gone;
		if (!found)
			break;
	}
	if (!found)
		store->pruned_to = -1; /* from the first again, next time */
	*more = found;
	return st;
}

enum status store_prune(struct store *store, const struct store_quota *quota, size_t rows,
	size_t *removed, bool *more, struct why *why)
{
	enum status st = store_begin_anyway(store, why);
	size_t done = 0;
	bool left = false;

	FAILPOINT(before_prune);
	if (st == STATUS_OK)
		st = prune(store, quota, rows, &done, &left, why);
	FAILPOINT(during_prune);
	if (st == STATUS_OK && quota->before_ms > 0)
		st = prune_arrivals(store, quota->before_ms, rows, why);
	if (st == STATUS_OK)
		st = store_commit(store, why);
	else
		store_rollback(store);
	if (st == STATUS_OK) {
		*removed = done;
		*more = left;
	}
	return st;
}

enum status store_last_arrival(struct store *store, int64_t *at_ms, struct why *why)
{
	*at_ms = -1;
	return store_integer(store, statement(store, PRUNE_SQL_LAST_ARRIVAL), at_ms, why);
}
