#include "common/failpoint.h"
#include "common/fileio.h"
#include "common/store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are stored little-endian");

enum { APPLICATION_ID = 0x49534f4c /* "ISOL" */, SCHEMA_VERSION = 1, BUSY_MS = 2000 };

static const char schema_sql[] =
	"CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"CREATE TABLE machine(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, alarm TEXT);"
	"CREATE TABLE model(id INTEGER PRIMARY KEY, name TEXT NOT NULL, threshold REAL NOT NULL,"
	" UNIQUE(name, threshold));"
	"CREATE TABLE feature_set(id INTEGER PRIMARY KEY, names TEXT NOT NULL UNIQUE);"
	/* id = at_ms << 21 | slot; back = id - id of the previous reading in the minute, 0: none */
	"CREATE TABLE reading(id INTEGER PRIMARY KEY, machine INTEGER NOT NULL,"
	" received INTEGER NOT NULL, seq INTEGER, identity INTEGER NOT NULL,"
	" back INTEGER NOT NULL, feature_set INTEGER NOT NULL, \"values\" BLOB NOT NULL,"
	" score REAL, model INTEGER, anomaly INTEGER, quality INTEGER NOT NULL,"
	" late INTEGER NOT NULL);"
	"CREATE INDEX anomaly_by_time ON reading(anomaly) WHERE anomaly = 1;"
	"CREATE INDEX anomaly_by_machine ON reading(machine) WHERE anomaly = 1;"
	/* identities of readings that bore a seq but no time: their id cannot be found again */
	"CREATE TABLE arrival(identity INTEGER PRIMARY KEY, received INTEGER);"
	"CREATE TABLE minute(minute INTEGER, machine INTEGER, readings INTEGER NOT NULL,"
	" anomalies INTEGER NOT NULL, head INTEGER NOT NULL, score_min REAL, score_max REAL,"
	" score_sum REAL, scored INTEGER NOT NULL, received INTEGER,"
	" PRIMARY KEY(minute, machine)) WITHOUT ROWID;"
	"CREATE TABLE day(day INTEGER, machine INTEGER, minutes BLOB NOT NULL,"
	" PRIMARY KEY(day, machine)) WITHOUT ROWID;"
	"CREATE TABLE rejected(id INTEGER PRIMARY KEY, received INTEGER NOT NULL, topic TEXT,"
	" reason TEXT NOT NULL, detail TEXT NOT NULL, payload BLOB);"
	"CREATE TABLE counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
	"INSERT INTO meta VALUES('identity_key', randomblob(16));";

#define ROW_COLUMNS                                                                                  \
	"reading.id, machine.name, received, seq, feature_set, \"values\", score, anomaly, quality," \
	" late, model.name, model.threshold FROM reading JOIN machine ON machine.id ="               \
	" reading.machine LEFT JOIN model ON model.id = reading.model "

static const char *const sql[SQL_COUNT] = {
	[SQL_BEGIN_READ] = "BEGIN",
	[SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_MACHINE_ID] = "SELECT id FROM machine WHERE name = ?1",
	[SQL_ALARMS] = "SELECT name, alarm FROM machine WHERE alarm IS NOT NULL",
	[SQL_COUNTERS] = "SELECT name, value FROM counter",
	[SQL_DAY_BEFORE] = "SELECT max(day) FROM day WHERE day <= ?1",
	[SQL_DAY] = "SELECT minutes FROM day WHERE day = ?1 AND machine = ?2",
	[SQL_MINUTE] = "SELECT readings, anomalies, head, score_min, score_max, score_sum, scored,"
		       " received FROM minute WHERE minute = ?1 AND machine = ?2",
	[SQL_BACK] = "SELECT back FROM reading WHERE id = ?1",
	[SQL_ROW] = "SELECT " ROW_COLUMNS "WHERE reading.id = ?1",
	[SQL_FIND_ALL] = "SELECT " ROW_COLUMNS "WHERE reading.id >= ?1 AND reading.id < ?2"
			 " ORDER BY reading.id DESC LIMIT ?3",
	[SQL_FIND_MACHINE_SPAN] = "SELECT " ROW_COLUMNS "WHERE reading.id >= ?1 AND reading.id < ?2"
				  " AND +reading.machine = ?4 ORDER BY reading.id DESC LIMIT ?3",
	[SQL_FIND_ANOMALIES] = "SELECT " ROW_COLUMNS "WHERE anomaly = 1 AND reading.id >= ?1 AND"
			       " reading.id < ?2 ORDER BY reading.id DESC LIMIT ?3",
	[SQL_FIND_MACHINE_ANOMALIES] =
		"SELECT " ROW_COLUMNS
		"WHERE anomaly = 1 AND reading.machine = ?4 AND reading.id >= ?1"
		" AND reading.id < ?2 ORDER BY reading.id DESC LIMIT ?3",
	[SQL_OLDEST] = "SELECT min(id) FROM reading",
	[SQL_MACHINES] = "SELECT id FROM machine ORDER BY name",
	[SQL_FEATURE_SET] = "SELECT names FROM feature_set WHERE id = ?1",
	[SQL_ADD_MACHINE] = "INSERT INTO machine(name) VALUES(?1)",
	[SQL_ADD_MODEL] = "INSERT OR IGNORE INTO model(name, threshold) VALUES(?1, ?2)",
	[SQL_MODEL_ID] = "SELECT id FROM model WHERE name = ?1 AND threshold = ?2",
	[SQL_ADD_FEATURE_SET] = "INSERT OR IGNORE INTO feature_set(names) VALUES(?1)",
	[SQL_FEATURE_SET_ID] = "SELECT id FROM feature_set WHERE names = ?1",
	[SQL_ADD_READING] =
		"INSERT OR IGNORE INTO reading VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9,"
		" ?10, ?11, ?12, ?13)",
	[SQL_IDENTITY] = "SELECT identity FROM reading WHERE id = ?1",
	[SQL_ADD_ARRIVAL] = "INSERT OR IGNORE INTO arrival(identity, received) VALUES(?1, ?2)",
	[SQL_PUT_MINUTE] =
		"INSERT OR REPLACE INTO minute(minute, machine, readings, anomalies, head,"
		" score_min, score_max, score_sum, scored, received)"
		" VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	[SQL_PUT_DAY] = "INSERT OR REPLACE INTO day VALUES(?1, ?2, ?3)",
	[SQL_ADD_REJECTED] = "INSERT INTO rejected(received, topic, reason, detail, payload)"
			     " VALUES(?1, ?2, ?3, ?4, ?5)",
	[SQL_PRUNE_REJECTED] = "DELETE FROM rejected WHERE id <= ?1",
	[SQL_PUT_COUNTER] = "INSERT OR REPLACE INTO counter VALUES(?1, ?2)",
	[SQL_PUT_ALARM] = "INSERT INTO machine(name, alarm) VALUES(?1, ?2)"
			  " ON CONFLICT(name) DO UPDATE SET alarm = excluded.alarm",
};

enum status store_fail(struct store *store, const char *doing, struct why *why)
{
	int code = sqlite3_extended_errcode(store->db);
	enum status status = STATUS_IO;

	switch (code & 0xff) {
	case SQLITE_FULL:
		status = STATUS_FULL;
		break;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		status = STATUS_CORRUPT;
		break;
	case SQLITE_READONLY:
		status = STATUS_READ_ONLY;
		break;
	case SQLITE_INTERRUPT:
		return fail(
			why, STATUS_UNAVAILABLE, "%s: %s: it took too long", store->path, doing);
	case SQLITE_CANTOPEN:
	case SQLITE_IOERR: /* what a full disk makes of a file that has to grow to be opened */
		if (sqlite3_system_errno(store->db) == ENOSPC || code == SQLITE_IOERR_SHMSIZE)
			status = STATUS_FULL;
		break;
	}
	return fail(why, status, "%s: %s: %s (SQLite %d)", store->path, doing,
		sqlite3_errmsg(store->db), code);
}

sqlite3_stmt *store_statement(struct store *store, enum statement statement)
{
	return store->statement[statement];
}

enum status store_run(
	struct store *store, sqlite3_stmt *statement, const char *doing, struct why *why)
{
	enum status st = STATUS_OK;

	if (sqlite3_step(statement) != SQLITE_DONE)
		st = store_fail(store, doing, why);
	sqlite3_reset(statement);
	return st;
}

enum status store_integer(
	struct store *store, sqlite3_stmt *statement, int64_t *out, struct why *why)
{
	enum status st = STATUS_OK;
	int rc = sqlite3_step(statement);

	if (rc == SQLITE_ROW && sqlite3_column_type(statement, 0) == SQLITE_INTEGER)
		*out = sqlite3_column_int64(statement, 0);
	else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		st = store_fail(store, "reading", why);
	sqlite3_reset(statement);
	return st;
}

static enum status execute(struct store *store, const char *text, struct why *why)
{
	if (sqlite3_exec(store->db, text, NULL, NULL, NULL) != SQLITE_OK)
		return store_fail(store, "opening", why);
	return STATUS_OK;
}

static enum status pragma_integer(
	struct store *store, const char *text, int64_t *out, struct why *why)
{
	sqlite3_stmt *statement;

	if (sqlite3_prepare_v2(store->db, text, -1, &statement, NULL) != SQLITE_OK)
		return store_fail(store, "opening", why);
	enum status st = store_integer(store, statement, out, why);
	sqlite3_finalize(statement);
	return st;
}

static enum status create_schema(struct store *store, struct why *why)
{
	char text[128];
	enum status st;

	snprintf(text, sizeof(text), "PRAGMA application_id=%d;PRAGMA user_version=%d;COMMIT",
		APPLICATION_ID, SCHEMA_VERSION);
	if ((st = execute(store, "BEGIN IMMEDIATE", why)) ||
		(st = execute(store, schema_sql, why)) || (st = execute(store, text, why)))
		return st;
	return STATUS_OK;
}

/* Ours, of a version we know; *empty: a new file. */
static enum status check_file(struct store *store, bool *empty, struct why *why)
{
	int64_t application = 0, version = 0, tables = 0;
	enum status st;

	if ((st = pragma_integer(store, "PRAGMA application_id", &application, why)) ||
		(st = pragma_integer(store, "PRAGMA user_version", &version, why)) ||
		(st = pragma_integer(store, "SELECT count(*) FROM sqlite_schema", &tables, why)))
		return st;
	*empty = application == 0 && version == 0 && tables == 0;
	if (*empty)
		return STATUS_OK;
	if (application != APPLICATION_ID)
		return fail(
			why, STATUS_BAD_INPUT, "%s: a database of another program", store->path);
	if (version != SCHEMA_VERSION)
		return fail(why, STATUS_BAD_INPUT, "%s: schema version %lld, this program knows %d",
			store->path, (long long)version, SCHEMA_VERSION);
	return STATUS_OK;
}

static enum status load_key(struct store *store, struct why *why)
{
	sqlite3_stmt *statement;
	enum status st = STATUS_OK;

	if (sqlite3_prepare_v2(store->db, "SELECT value FROM meta WHERE name = 'identity_key'", -1,
		    &statement, NULL) != SQLITE_OK)
		return store_fail(store, "opening", why);
	if (sqlite3_step(statement) == SQLITE_ROW &&
		sqlite3_column_bytes(statement, 0) == (int)sizeof(store->key))
		memcpy(store->key, sqlite3_column_blob(statement, 0), sizeof(store->key));
	else
		st = fail(why, STATUS_BAD_INPUT, "%s: its identity key is missing", store->path);
	sqlite3_finalize(statement);
	return st;
}

enum status store_set_up(struct store *store, struct why *why)
{
	bool writer = store->mode == STORE_WRITE, empty;
	enum status st;

	sqlite3_extended_result_codes(store->db, 1);
	sqlite3_busy_timeout(store->db, BUSY_MS);
	/* A file from an unknown hand can't run code of its own through its schema. */
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	/* There are none of ours; somebody else's could undo what is stored. */
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
	sqlite3_limit(store->db, SQLITE_LIMIT_ATTACHED, 0);
	if ((st = execute(store,
		     "PRAGMA cell_size_check=ON;PRAGMA mmap_size=0;PRAGMA temp_store=MEMORY;"
		     "PRAGMA cache_size=-1024",
		     why)) ||
		(st = check_file(store, &empty, why)))
		return st;
	if (empty && !writer)
		return fail(why, STATUS_NOT_FOUND, "%s: no history yet", store->path);
	if (store->mode == STORE_WRITE && !empty && (st = store_look_for_damage(store, why)))
		return st;
	/* FULL: a committed transaction survives a power cut; group commit hides what it costs. */
	if (writer &&
		(st = execute(store,
			 "PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
			 "PRAGMA journal_size_limit=67108864",
			 why)))
		return st;
	if (empty && (st = create_schema(store, why)))
		return st;
	if (writer &&
		((st = store_alarm_set_up(store, why)) || (st = store_outbox_set_up(store, why)) ||
			(st = store_prune_set_up(store, why)) ||
			(st = store_prune_prepare(store, why))))
		return st;
	store->pruned_to = -1;
	store->arrival_cursor = INT64_MIN;
	if (store->mode == STORE_CHECKPOINT)
		return execute(store, "PRAGMA busy_timeout=100", why);
	if ((st = load_key(store, why)))
		return st;
	for (int i = 0; i < (writer ? SQL_COUNT : SQL_READER_COUNT); i++) {
		if (sqlite3_prepare_v3(store->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
			    &store->statement[i], NULL) != SQLITE_OK)
			return store_fail(store, "preparing", why);
	}
	return STATUS_OK;
}

enum status store_apply(struct store *store, struct why *why)
{
	enum status st = execute(store,
		store->durability == DURABILITY_STRICT ? "PRAGMA synchronous=FULL"
						       : "PRAGMA synchronous=NORMAL",
		why);

	if (st == STATUS_OK && store->checkpoints_left)
		st = execute(store, "PRAGMA wal_autocheckpoint=0", why);
	return st;
}

enum status store_set_durability(struct store *store, enum durability durability, struct why *why)
{
	enum status st = STATUS_OK;

	if (durability == DURABILITY_LATER && !store->sync)
		st = store_sync_create(store->path, &store->sync, why);
	if (st != STATUS_OK)
		return st;
	store->durability = durability;
	return store->db ? store_apply(store, why) : STATUS_OK;
}

enum status store_secure(struct store *store, struct why *why)
{
	return store->durability == DURABILITY_LATER ? store_sync_now(store->sync, why) : STATUS_OK;
}

enum status store_leave_checkpoints(struct store *store, struct why *why)
{
	store->checkpoints_left = true;
	return store->db ? store_apply(store, why) : STATUS_OK;
}

bool store_stale(const struct store *store)
{
	struct stat now;

	return stat(store->path, &now) != 0 || now.st_ino != store->inode;
}

/* RESTART holds the writer off until the rest is moved and synced, and while it waits for readers:
 * only when next to nothing is left, and not for long. A passive one moves what came by its
 * beginning, so that a few of them get there. */
enum { RESTART_FRAMES = 100, RESTART_MS = 20, PASSES = 4, FRAME_BYTES = 4096 };

enum status store_checkpoint(struct store *store, int64_t *wal_bytes, struct why *why)
{
	char path[4096];
	struct stat wal = { .st_size = 0 };
	int frames = 0, moved = 0, rc = SQLITE_OK;
	bool restart = false;

	FAILPOINT(during_checkpoint);
	snprintf(path, sizeof(path), "%s-wal", store->path);
	*wal_bytes = stat(path, &wal) == 0 ? wal.st_size : 0;
	for (int pass = 0; pass < PASSES && rc == SQLITE_OK && !restart; pass++) {
		rc = sqlite3_wal_checkpoint_v2(
			store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
		if ((int64_t)frames * FRAME_BYTES < STORE_WAL_BYTES)
			break;
		restart = frames - moved < RESTART_FRAMES;
	}
	if (rc == SQLITE_OK && restart) {
		sqlite3_busy_timeout(store->db, RESTART_MS);
		rc = sqlite3_wal_checkpoint_v2(
			store->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
	}
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY && (rc & 0xff) != SQLITE_LOCKED)
		return store_fail(store, "moving the WAL into the file", why);
	return STATUS_OK;
}

/* The disk's troubles may pass; whatever else keeps a file from being made does not. */
static enum status status_of_errno(int error)
{
	switch (error) {
	case EROFS:
		return STATUS_READ_ONLY;
	case ENOSPC:
		return STATUS_FULL;
	case EIO:
		return STATUS_IO;
	default:
		return STATUS_CANT_CREATE;
	}
}

/* One writer a file: two agents would overwrite each other's counters. The kernel lets go of the
 * lock when the process ends, however it ends. */
enum status store_lock_writer(struct store *store, struct why *why)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s-lock", store->path);

	if (strcmp(store->path, ":memory:") == 0)
		return STATUS_OK;
	if (n < 0 || (size_t)n >= sizeof(path))
		return fail(why, STATUS_CANT_CREATE, "%.60s...: the path is too long", store->path);
	store->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	if (store->lock < 0)
		return fail(why, status_of_errno(errno), "%s: %s", path, strerror(errno));
	if (flock(store->lock, LOCK_EX | LOCK_NB) != 0)
		return fail(why, STATUS_CANT_CREATE, "%s: another agent writes it already",
			store->path);
	return STATUS_OK;
}

enum status store_open_file(struct store *store, struct why *why)
{
	bool writer = store->mode == STORE_WRITE;
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
		(writer ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
				: store->mode == STORE_CHECKPOINT ? SQLITE_OPEN_READWRITE
								  : SQLITE_OPEN_READONLY);

	if (sqlite3_open_v2(store->path, &store->db, flags, NULL) == SQLITE_OK) {
		struct stat now;
		store->inode = stat(store->path, &now) == 0 ? now.st_ino : 0;
		return STATUS_OK;
	}
	if (!writer && errno == ENOENT)
		return fail(why, STATUS_NOT_FOUND, "%s: no history yet", store->path);
	if (writer && access(store->path, F_OK) != 0)
		return fail(why, STATUS_CANT_CREATE, "%s: %s", store->path, strerror(errno));
	return store_fail(store, "opening", why);
}

enum status store_open(const char *path, enum store_mode mode, struct store **out, struct why *why)
{
	enum status st;

	if (mode == STORE_WRITE && strcmp(path, ":memory:") != 0 &&
		(st = file_make_folders(path, why)) != STATUS_OK)
		return st;
	struct store *store = calloc(1, sizeof(*store));
	if (!store || !(store->path = strdup(path))) {
		free(store);
		return fail(why, STATUS_NO_MEMORY, "%s: no memory", path);
	}
	store->mode = mode;
	store->lock = -1;
	st = mode == STORE_WRITE ? store_lock_writer(store, why) : STATUS_OK;
	if (st == STATUS_OK)
		st = store_open_file(store, why);
	if (st == STATUS_OK)
		st = store_set_up(store, why);
	if (st != STATUS_OK) {
		store_close(store);
		return st;
	}
	*out = store;
	return STATUS_OK;
}

void store_close_file(struct store *store)
{
	store_rollback(store);
	store_forget(store);
	for (int i = 0; i < SQL_COUNT; i++) {
		sqlite3_finalize(store->statement[i]);
		store->statement[i] = NULL;
	}
	store_alarm_finish(store);
	store_outbox_finish(store);
	store_prune_finish(store);
	sqlite3_close(store->db); /* the last connection moves the WAL into the file */
	store->db = NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	store_close_file(store);
	store_sync_destroy(store->sync);
	if (store->lock >= 0)
		close(store->lock);
	free(store->path);
	free(store);
}
