/* What store.c, store_write.c and store_read.c share; nobody else includes it. */
#ifndef ISOLDE_COMMON_STORE_INTERNAL_H
#define ISOLDE_COMMON_STORE_INTERNAL_H

#include "common/store.h"
#include "common/store_sync.h"
#include "common/timeutil.h"
#include <sqlite3.h>
#include <stdio.h>
#include <sys/types.h>

enum {
	STORE_SLOT_BITS = 21, /* 2 million readings a millisecond; 42 + 21 bits fill a rowid */
	STORE_MINUTE_MS = 60000,
	STORE_MINUTES_A_DAY = 1440,
	STORE_DAY_BYTES = STORE_MINUTES_A_DAY / 8,
};
#define STORE_SLOT_MASK ((INT64_C(1) << STORE_SLOT_BITS) - 1)
#define TIME_LIMIT_MS (TIME_MAX_MS + 1)

static inline int64_t store_id_of(int64_t at_ms)
{
	return at_ms << STORE_SLOT_BITS;
}

static inline int64_t store_time_of(int64_t id)
{
	return id >> STORE_SLOT_BITS;
}

/* Prepared once. The first group is every connection's, the second the writer's. */
enum statement {
	SQL_BEGIN_READ,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_MACHINE_ID,
	SQL_ALARMS,
	SQL_COUNTERS,
	SQL_DAY_BEFORE,
	SQL_DAY,
	SQL_MINUTE,
	SQL_BACK,
	SQL_ROW,
	SQL_FIND_ALL,
	SQL_FIND_MACHINE_SPAN,
	SQL_FIND_ANOMALIES,
	SQL_FIND_MACHINE_ANOMALIES,
	SQL_MACHINES,
	SQL_OLDEST,
	SQL_FEATURE_SET,
	SQL_READER_COUNT,

	SQL_BEGIN_WRITE = SQL_READER_COUNT,
	SQL_ADD_MACHINE,
	SQL_ADD_MODEL,
	SQL_MODEL_ID,
	SQL_ADD_FEATURE_SET,
	SQL_FEATURE_SET_ID,
	SQL_ADD_READING,
	SQL_IDENTITY,
	SQL_ADD_ARRIVAL,
	SQL_PUT_MINUTE,
	SQL_PUT_DAY,
	SQL_ADD_REJECTED,
	SQL_PRUNE_REJECTED,
	SQL_PUT_COUNTER,
	SQL_PUT_ALARM,
	SQL_COUNT
};

/* One minute of one machine: a row of `minute`. */
struct minute {
	int64_t minute; /* since the epoch; -1: none */
	int64_t readings, anomalies;
	int64_t head;                           /* id of the reading stored last in it */
	double score_min, score_max, score_sum; /* of the scored ones */
	int64_t scored;
	int64_t received; /* the newest arrival */
};

/* What a row's blob holds at most: the values, then what store_pack adds. */
enum { STORE_PACKED_MAX = FEATURES_MAX + 2 + 6 * EXPLAINED_MAX };

/* store_pack.c. Lays a verdict's values out as they are stored; the count of doubles. Behind the
 * values: nothing, or the alarm score, or that with severity and what is explained. */
size_t store_pack(const struct verdict *verdict, size_t features, double out[STORE_PACKED_MAX]);
/* The inverse, from `bytes` at `blob`; false if it cannot be one of ours. */
bool store_unpack(const void *blob, int bytes, size_t features, struct verdict *out);

/* store_alarm.c */
enum alarm_sql {
	ALARM_SQL_ADD,
	ALARM_SQL_PRUNE,
	ALARM_SQL_FIND,
	ALARM_SQL_FIND_MACHINE,
	ALARM_SQL_FIND_ALARM,
	ALARM_SQL_PUT_LABEL,
	ALARM_SQL_LABEL_AT,
	ALARM_SQL_COUNT_LABELS,
	ALARM_SQL_COUNT
};
enum status store_alarm_set_up(struct store *store, struct why *why); /* the writer's */
void store_alarm_finish(struct store *store);

/* store_outbox.c */
enum outbox_sql {
	OUTBOX_SQL_ADD,
	OUTBOX_SQL_REMOVE,
	OUTBOX_SQL_DROP,
	OUTBOX_SQL_COUNT_ALL,
	OUTBOX_SQL_EACH,
	OUTBOX_SQL_COUNT
};
enum status store_outbox_set_up(struct store *store, struct why *why); /* the writer's */
void store_outbox_finish(struct store *store);

/* store_prune.c */
enum prune_sql {
	PRUNE_SQL_OLDEST,
	PRUNE_SQL_ROWS,
	PRUNE_SQL_MINUTE,
	PRUNE_SQL_DAY,
	PRUNE_SQL_ARRIVALS,
	PRUNE_SQL_NEXT_ARRIVAL,
	PRUNE_SQL_USED,
	PRUNE_SQL_LAST_ARRIVAL,
	PRUNE_SQL_COUNT
};
enum status store_prune_set_up(struct store *store, struct why *why); /* the writer's */
enum status store_prune_prepare(struct store *store, struct why *why);
void store_prune_finish(struct store *store);
/* store_begin for what makes the file no larger: whatever the free space. */
enum status store_begin_anyway(struct store *store, struct why *why);
/* What is remembered of a minute that is gone. */
void store_forget_minute(struct store *store, int64_t minute);

struct machine_cache;
struct feature_set {
	int64_t id;
	struct schema schema;
	struct feature_set *next;
};

struct store {
	sqlite3 *db;
	int lock; /* descriptor of the writer's lock file, -1: none */
	enum store_mode mode;
	char *path;
	sqlite3_stmt *statement[SQL_COUNT];
	sqlite3_stmt *alarm_statement[ALARM_SQL_COUNT];
	sqlite3_stmt *outbox_statement[OUTBOX_SQL_COUNT];
	sqlite3_stmt *prune_statement[PRUNE_SQL_COUNT];
	int64_t pruned_to;      /* minutes up to it were looked at in this round */
	int64_t arrival_cursor; /* the next identity to look at */
	ino_t inode;            /* of the file when it was opened */
	enum durability durability;
	struct store_sync *sync; /* with DURABILITY_LATER */
	bool checkpoints_left;   /* to others */
	int64_t stop_at_bytes;   /* of free space, 0: none */
	int64_t deadline_ns;     /* monotonic; past it what runs is interrupted */
	uint64_t key[2];
	bool in_transaction;
	struct feature_set *feature_sets; /* seen so far */
	/* the writer's */
	struct machine_cache *machines; /* uthash head */
	struct machine_cache *dirty;    /* list of those with unwritten minutes */
	int64_t model, feature_set;     /* row ids of the last ones used, 0: none */
	char model_name[MODEL_ID_SIZE];
	double model_threshold;
	struct schema schema;            /* of `feature_set` */
	double packed[STORE_PACKED_MAX]; /* of the row in hand */
	uint64_t arrivals;               /* readings without time and seq, to tell them apart */
};

/* store.c, for store_rescue.c: the steps of store_open, and of store_close. */
enum status store_lock_writer(struct store *store, struct why *why);
enum status store_open_file(struct store *store, struct why *why);
enum status store_set_up(struct store *store, struct why *why);
enum status store_apply(struct store *store, struct why *why); /* durability, checkpoints */
void store_close_file(struct store *store);
/* store_rescue.c: looks a moment; STATUS_CORRUPT if it finds some. */
enum status store_look_for_damage(struct store *store, struct why *why);

/* A statement ready to bind. */
sqlite3_stmt *store_statement(struct store *store, enum statement statement);

/* STATUS_FULL for a full disk or quota, STATUS_IO for the rest, with SQLite's words. */
enum status store_fail(struct store *store, const char *doing, struct why *why);

/* Steps a statement that gives no rows, and resets it. */
enum status store_run(
	struct store *store, sqlite3_stmt *statement, const char *doing, struct why *why);

/* Reads one integer; *out keeps its value when there is no row. */
enum status store_integer(
	struct store *store, sqlite3_stmt *statement, int64_t *out, struct why *why);

/* The minutes of one machine's day as a bit map; all 0 when it has none. */
enum status store_load_day(struct store *store, int64_t machine, int64_t day,
	unsigned char bits[STORE_DAY_BYTES], struct why *why);
/* A minute's row; readings = 0 when there is none. */
enum status store_load_minute(
	struct store *store, int64_t machine, int64_t minute, struct minute *out, struct why *why);

/* Forgets what was remembered of a transaction that is gone. */
void store_forget(struct store *store);

/* Begins a read transaction, so that several queries see one state. */
enum status store_snapshot(struct store *store, struct why *why);
void store_end_snapshot(struct store *store);

#endif
