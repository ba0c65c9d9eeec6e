/* Readings and verdicts in one SQLite file (WAL). A struct store is one connection: one thread
 * at a time. One writer; readers open their own and never wait for it.
 *
 * Layout (schema version 1). A reading's row id is its time and a slot:
 *   id = at_ms << 21 | slot, slot = 21 bits of its identity, the next free one on a collision,
 * so rows lie in time order, appends go to the end with any number of machines, and the same
 * reading always meets its own row: a duplicate is recognised at any distance without a second
 * index. `identity` is SipHash-2-4 (with the file's own key) of machine, time and seq, plus that
 * of each value with its feature's name, so that the order of features does not matter.
 * The values are one blob in the order of the row's feature set: no column per sensor.
 * Queries of one machine never scan: a row per minute and machine counts its readings and heads
 * a chain through them (`back`: how far the id of the previous one lies below), a row per day
 * and machine says which minutes have any. Anomalies have partial indices. */
#ifndef ISOLDE_COMMON_STORE_H
#define ISOLDE_COMMON_STORE_H

#include "common/schema.h"
#include "common/status.h"
#include "common/verdict.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct store;
enum store_mode {
	STORE_WRITE,
	STORE_READ,
	STORE_CHECKPOINT, /* beside a writer; only for store_checkpoint */
};

/* STORE_WRITE makes the file (and its folders) when it is missing, refuses one of another
 * program or of a newer schema. ":memory:" works for a writer. *out is the caller's. */
enum status store_open(
	const char *path, enum store_mode mode, struct store **out, struct why *why) MUST_USE;
void store_close(struct store *store); /* NULL is fine; a writer checkpoints */

/* ---- the writer ---- */

/* A damaged file (STATUS_CORRUPT) or one on a disk that can only be read (STATUS_READ_ONLY) does
 * not open. store_open_unready makes a store without its file: store_begin fails, until
 * store_reopen has opened it. store_reopen also closes and opens a file whose disk went away and
 * came back; `aside` puts it aside before, as <path>.corrupt-1 (the one before becomes -2, older
 * ones go), and begins a new one. After a failure it is not ready. */
enum status store_open_unready(const char *path, struct store **out, struct why *why) MUST_USE;
enum status store_reopen(struct store *store, bool aside, struct why *why) MUST_USE;
bool store_ready(const struct store *store);
const char *store_location(const struct store *store);

/* What a commit survives. STRICT: a power cut (the WAL is synced at every commit; group commit
 * hides what it costs); what a writer has when it is opened. BALANCED: the end of the process, and
 * of a power cut all but what came since the last store_checkpoint. LATER: a power cut, once
 * somebody has synced it: store_secure in the writer's thread, store_sync.h in another. */
enum durability { DURABILITY_STRICT, DURABILITY_BALANCED, DURABILITY_LATER };
enum status store_set_durability(
	struct store *store, enum durability durability, struct why *why) MUST_USE;

/* Below so much free space on its disk store_begin fails with STATUS_FULL: what is left is for
 * pruning, and for others. 0, the default: until it is really full. */
enum status store_stop_at(struct store *store, int64_t free_bytes, struct why *why) MUST_USE;

/* From now on somebody else calls store_checkpoint: commits leave the WAL alone. Done by a commit
 * it stalls intake by 20 to 60 ms now and then. */
enum status store_leave_checkpoints(struct store *store, struct why *why) MUST_USE;

enum status store_begin(struct store *store, struct why *why) MUST_USE;
/* All, or none: after a failure the transaction is gone and store_begin starts anew. */
enum status store_commit(struct store *store, struct why *why) MUST_USE;
void store_rollback(struct store *store);
/* With DURABILITY_LATER: what was committed is on the disk when it returns STATUS_OK. With the
 * others there is nothing to do. */
enum status store_secure(struct store *store, struct why *why) MUST_USE;

/* Adds one verdict in the order of `schema`. *duplicate says that this very reading is there
 * already, and nothing was added. */
enum status store_add(struct store *store, const struct verdict *verdict,
	const struct schema *schema, bool *duplicate, struct why *why) MUST_USE;

/* Keeps a refused message, the newest STORE_REJECTED_MAX of them, the first
 * STORE_REJECTED_BYTES of each. */
enum { STORE_REJECTED_MAX = 1000, STORE_REJECTED_BYTES = 1024 };
enum status store_add_rejected(struct store *store, int64_t received_ms, const char *topic,
	const char *reason, const char *detail, const void *payload, size_t len,
	struct why *why) MUST_USE;

/* Small named numbers (the ledger's counters) and texts (a machine's alarm), in the same
 * transaction as the readings. */
enum status store_set_counter(
	struct store *store, const char *name, int64_t value, struct why *why) MUST_USE;
enum status store_set_alarm(
	struct store *store, const char *machine, const char *json, struct why *why) MUST_USE;
typedef void store_each_counter(void *context, const char *name, int64_t value);
enum status store_counters(
	struct store *store, store_each_counter *each, void *context, struct why *why) MUST_USE;
typedef void store_each_alarm(void *context, const char *machine, const char *json);
enum status store_alarms(
	struct store *store, store_each_alarm *each, void *context, struct why *why) MUST_USE;

/* The time of a machine's newest stored reading, -1 if there is none. */
enum status store_newest(
	struct store *store, const char *machine, int64_t *at_ms, struct why *why) MUST_USE;

/* ---- STORE_CHECKPOINT ---- */

/* Syncs what was committed and moves it from the WAL into the file, beside the writer. *wal_bytes
 * is the WAL's size on disk. Where more than STORE_WAL_BYTES are in it, it is begun anew at its
 * front: a file that grows costs the file system's journal with every sync. For that
 * the writer may have to wait a moment. STATUS_OK too when readers keep it from doing all. */
enum { STORE_WAL_BYTES = 16 * 1024 * 1024 };
enum status store_checkpoint(struct store *store, int64_t *wal_bytes, struct why *why) MUST_USE;

/* ---- readers ---- */

/* From now on a call that still runs at `at_ns` (monotonic) fails with STATUS_UNAVAILABLE; 0: none
 * does. A reader that takes long keeps the WAL from being begun anew. */
void store_set_deadline(struct store *store, int64_t at_ns);

/* The file it has open is no longer the one at its path: it was put aside. Close it. */
bool store_stale(const struct store *store);
enum { STORE_LIMIT_MAX = 1000 };
struct store_query {
	const char *machine;    /* NULL: all */
	int64_t from_ms, to_ms; /* from <= at_ms < to; 0 and INT64_MAX: no bound */
	bool anomalies_only;
	int64_t before_id; /* a cursor: only ids below; 0: none */
	size_t limit;      /* 1 .. STORE_LIMIT_MAX */
};
/* Gets a borrowed row and the schema of its values; false stops the walk. */
typedef bool store_each(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema);
/* Newest first by time, then id descending. */
enum status store_find(struct store *store, const struct store_query *query, store_each *each,
	void *context, struct why *why) MUST_USE;

/* The time of the oldest reading of all, -1 if there is none. */
enum status store_oldest(struct store *store, int64_t *at_ms, struct why *why) MUST_USE;

/* The newest verdict of every machine, by name. */
enum status store_machines(
	struct store *store, store_each *each, void *context, struct why *why) MUST_USE;

#endif
