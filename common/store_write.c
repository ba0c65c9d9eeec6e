#include "common/digest.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include "common/store_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* What the writer remembers of a machine: its row, the minute and the day it writes into. */
struct machine_cache {
	char name[MACHINE_NAME_MAX + 1];
	int64_t id;
	struct minute minute;
	int64_t day; /* since the epoch; -1: none */
	unsigned char bits[STORE_DAY_BYTES];
	bool minute_dirty, day_dirty;
	bool listed; /* among store->dirty */
	struct machine_cache *next_dirty;
	UT_hash_handle hh;
};

void store_forget(struct store *store)
{
	struct machine_cache *machine, *next;

	HASH_ITER(hh, store->machines, machine, next)
	{
		HASH_DEL(store->machines, machine);
		free(machine);
	}
	while (store->feature_sets) {
		struct feature_set *set = store->feature_sets;
		store->feature_sets = set->next;
		free(set);
	}
	store->dirty = NULL;
	store->model = store->feature_set = 0;
}

void store_forget_minute(struct store *store, int64_t minute)
{
	struct machine_cache *machine, *next;

	HASH_ITER(hh, store->machines, machine, next)
	{
		if (machine->minute.minute == minute)
			machine->minute.minute = machine->day = -1; /* its row may be gone too */
	}
}

static bool has_space(const struct store *store)
{
	struct statvfs disk;

	/* A disk that cannot be asked shows what is wrong with it when it is written. */
	return store->stop_at_bytes == 0 || statvfs(store->path, &disk) != 0 ||
		(int64_t)(disk.f_bavail * disk.f_frsize) >= store->stop_at_bytes;
}

enum status store_begin(struct store *store, struct why *why)
{
	if (!has_space(store))
		return fail(why, STATUS_FULL, "%s: less than %lld MB free on its disk", store->path,
			(long long)(store->stop_at_bytes >> 20));
	return store_begin_anyway(store, why);
}

enum status store_begin_anyway(struct store *store, struct why *why)
{
	if (!store->db)
		return fail(why, STATUS_IO, "%s: not open", store->path);
	enum status st = store_run(store, store_statement(store, SQL_BEGIN_WRITE), "begin", why);

	store->in_transaction = st == STATUS_OK;
	return st;
}

void store_rollback(struct store *store)
{
	if (!store->in_transaction)
		return;
	store->in_transaction = false;
	/* After some errors SQLite has rolled back by itself. */
	if (!sqlite3_get_autocommit(store->db))
		(void)store_run(store, store_statement(store, SQL_ROLLBACK), "rollback", NULL);
	store_forget(store); /* rows it remembers may be gone */
}

/* ---- names to row ids ---- */

static enum status find_machine(
	struct store *store, const char *name, struct machine_cache **out, struct why *why)
{
	struct machine_cache *machine;
	enum status st;

	HASH_FIND_STR(store->machines, name, machine);
	if (machine) {
		*out = machine;
		return STATUS_OK;
	}
	int64_t id = 0;
	sqlite3_stmt *find = store_statement(store, SQL_MACHINE_ID);
	sqlite3_bind_text(find, 1, name, -1, SQLITE_STATIC);
	if ((st = store_integer(store, find, &id, why)))
		return st;
	if (id == 0) {
		sqlite3_stmt *add = store_statement(store, SQL_ADD_MACHINE);
		sqlite3_bind_text(add, 1, name, -1, SQLITE_STATIC);
		if ((st = store_run(store, add, "adding a machine", why)))
			return st;
		id = sqlite3_last_insert_rowid(store->db);
	}
	machine = calloc(1, sizeof(*machine));
	if (machine) {
		strcpy(machine->name, name);
		machine->id = id;
		machine->minute.minute = machine->day = -1;
		HASH_ADD_STR(store->machines, name, machine);
	}
	if (!machine || !machine->hh.tbl) {
		free(machine);
		return fail(why, STATUS_NO_MEMORY, "no memory for machine %s", name);
	}
	*out = machine;
	return STATUS_OK;
}

static enum status find_model(struct store *store, const struct verdict *verdict, struct why *why)
{
	enum status st;

	if (store->model && store->model_threshold == verdict->threshold &&
		strcmp(store->model_name, verdict->model) == 0)
		return STATUS_OK;
	sqlite3_stmt *add = store_statement(store, SQL_ADD_MODEL);
	sqlite3_stmt *find = store_statement(store, SQL_MODEL_ID);
	sqlite3_bind_text(add, 1, verdict->model, -1, SQLITE_STATIC);
	sqlite3_bind_double(add, 2, verdict->threshold);
	sqlite3_bind_text(find, 1, verdict->model, -1, SQLITE_STATIC);
	sqlite3_bind_double(find, 2, verdict->threshold);
	int64_t id = 0;
	if ((st = store_run(store, add, "adding a model", why)) ||
		(st = store_integer(store, find, &id, why)))
		return st;
	store->model = id;
	store->model_threshold = verdict->threshold;
	strcpy(store->model_name, verdict->model);
	return STATUS_OK;
}

static enum status find_feature_set(
	struct store *store, const struct schema *schema, struct why *why)
{
	enum status st;

	if (store->feature_set && schema_equal(&store->schema, schema))
		return STATUS_OK;
	char names[FEATURES_MAX * (FEATURE_NAME_MAX + 1)] = "";
	for (size_t i = 0; i < schema->count; i++) { /* no name holds a comma */
		strcat(names, i ? "," : "");
		strcat(names, schema->feature[i].name);
	}
	sqlite3_stmt *add = store_statement(store, SQL_ADD_FEATURE_SET);
	sqlite3_stmt *find = store_statement(store, SQL_FEATURE_SET_ID);
	sqlite3_bind_text(add, 1, names, -1, SQLITE_TRANSIENT);
	sqlite3_bind_text(find, 1, names, -1, SQLITE_TRANSIENT);
	int64_t id = 0;
	if ((st = store_run(store, add, "adding a feature set", why)) ||
		(st = store_integer(store, find, &id, why)))
		return st;
	store->feature_set = id;
	store->schema = *schema;
	return STATUS_OK;
}

/* ---- minutes and days ---- */

static enum status write_minute(struct store *store, struct machine_cache *machine, struct why *why)
{
	const struct minute *m = &machine->minute;
	sqlite3_stmt *put = store_statement(store, SQL_PUT_MINUTE);

	sqlite3_bind_int64(put, 1, m->minute);
	sqlite3_bind_int64(put, 2, machine->id);
	sqlite3_bind_int64(put, 3, m->readings);
	sqlite3_bind_int64(put, 4, m->anomalies);
	sqlite3_bind_int64(put, 5, m->head);
	sqlite3_bind_double(put, 6, m->score_min); /* NaN is stored as NULL */
	sqlite3_bind_double(put, 7, m->score_max);
	sqlite3_bind_double(put, 8, m->score_sum);
	sqlite3_bind_int64(put, 9, m->scored);
	sqlite3_bind_int64(put, 10, m->received);
	machine->minute_dirty = false;
	return store_run(store, put, "writing a minute", why);
}

static enum status write_day(struct store *store, struct machine_cache *machine, struct why *why)
{
	sqlite3_stmt *put = store_statement(store, SQL_PUT_DAY);

	sqlite3_bind_int64(put, 1, machine->day);
	sqlite3_bind_int64(put, 2, machine->id);
	sqlite3_bind_blob(put, 3, machine->bits, STORE_DAY_BYTES, SQLITE_STATIC);
	machine->day_dirty = false;
	return store_run(store, put, "writing a day", why);
}

static enum status write_dirty(struct store *store, struct why *why)
{
	enum status st = STATUS_OK;

	for (struct machine_cache *m = store->dirty; m && st == STATUS_OK; m = m->next_dirty) {
		m->listed = false;
		if (m->minute_dirty)
			st = write_minute(store, m, why);
		if (st == STATUS_OK && m->day_dirty)
			st = write_day(store, m, why);
	}
	store->dirty = NULL; /* after a failure the whole cache goes */
	return st;
}

/* Brings the minute of `at_ms` into the machine's cache, and marks it in the day. */
static enum status open_minute(
	struct store *store, struct machine_cache *machine, int64_t at_ms, struct why *why)
{
	int64_t minute = at_ms / STORE_MINUTE_MS, day = minute / STORE_MINUTES_A_DAY;
	enum status st;

	if (machine->minute.minute == minute)
		return STATUS_OK;
	if (machine->minute_dirty && (st = write_minute(store, machine, why)))
		return st;
	machine->minute.minute = -1;
	if ((st = store_load_minute(store, machine->id, minute, &machine->minute, why)))
		return st;
	if (machine->day == day)
		return STATUS_OK;
	if (machine->day_dirty && (st = write_day(store, machine, why)))
		return st;
	machine->day = -1;
	if ((st = store_load_day(store, machine->id, day, machine->bits, why)))
		return st;
	machine->day = day;
	return STATUS_OK;
}

static void count_reading(struct store *store, struct machine_cache *machine, int64_t id,
	const struct verdict *verdict)
{
	struct minute *m = &machine->minute;
	int64_t bit = m->minute % STORE_MINUTES_A_DAY;

	if (!machine->listed) {
		machine->listed = true;
		machine->next_dirty = store->dirty;
		store->dirty = machine;
	}
	machine->minute_dirty = true;
	m->readings++;
	if (verdict->reading.received_ms > m->received)
		m->received = verdict->reading.received_ms;
	m->anomalies += verdict->anomalous;
	m->head = id;
	if (!isnan(verdict->score)) {
		bool first = m->scored++ == 0;
		m->score_min = first ? verdict->score : fmin(m->score_min, verdict->score);
		m->score_max = first ? verdict->score : fmax(m->score_max, verdict->score);
		m->score_sum = (first ? 0 : m->score_sum) + verdict->score;
	}
	if (!(machine->bits[bit / 8] & (1u << (bit % 8)))) {
		machine->bits[bit / 8] |= (unsigned char)(1u << (bit % 8));
		machine->day_dirty = true;
	}
}

/* ---- readings ---- */

enum identity_kind { IDENTITY_TIME, IDENTITY_SEQ, IDENTITY_ARRIVAL };

/* Machine, time and seq as far as they were sent, and values. A reading with neither has no
 * identity beyond its arrival, so a running number makes it unlike every other. Values count by
 * the name of their feature, in any order: without a model the order is that in which features
 * were first heard of, another one after a restart. */
static uint64_t identify(struct store *store, const struct reading *reading,
	const struct schema *schema, enum identity_kind kind)
{
	int64_t head[4] = { kind, reading->seq, 0, 0 };
	unsigned char bytes[sizeof(head) + FEATURE_NAME_MAX];
	_Static_assert((int)MACHINE_NAME_MAX <= (int)FEATURE_NAME_MAX, "names share the buffer");

	if (kind == IDENTITY_TIME) {
		head[2] = reading->at_ms;
		head[3] = reading->at_ns;
	} else if (kind == IDENTITY_ARRIVAL) {
		head[2] = reading->received_ms;
		head[3] = (int64_t)store->arrivals++;
	}
	size_t name = strlen(reading->machine);
	memcpy(bytes, head, sizeof(head));
	memcpy(bytes + sizeof(head), reading->machine, name);
	uint64_t identity = digest_sip(store->key, bytes, sizeof(head) + name);
	for (size_t i = 0; i < schema->count; i++) {
		const double *value = &reading->value[i];
		if (isnan(*value))
			continue;
		name = strlen(schema->feature[i].name);
		memcpy(bytes, value, sizeof(*value));
		memcpy(bytes + sizeof(*value), schema->feature[i].name, name);
		identity += digest_sip(store->key, bytes, sizeof(*value) + name);
	}
	return identity;
}

/* True if an identity of kind IDENTITY_SEQ was seen before. */
static enum status seen_arrival(
	struct store *store, uint64_t identity, int64_t received_ms, bool *seen, struct why *why)
{
	sqlite3_stmt *add = store_statement(store, SQL_ADD_ARRIVAL);

	sqlite3_bind_int64(add, 1, (int64_t)identity);
	sqlite3_bind_int64(add, 2, received_ms);
	enum status st = store_run(store, add, "adding an arrival", why);
	*seen = st == STATUS_OK && sqlite3_changes(store->db) == 0;
	return st;
}

static void bind_reading(struct store *store, sqlite3_stmt *add, int64_t machine,
	const struct verdict *verdict, size_t features, uint64_t identity)
{
	const struct reading *reading = &verdict->reading;

	sqlite3_bind_int64(add, 2, machine);
	sqlite3_bind_int64(add, 3, reading->received_ms);
	if (reading->seq == READING_NO_SEQ)
		sqlite3_bind_null(add, 4);
	else
		sqlite3_bind_int64(add, 4, reading->seq);
	sqlite3_bind_int64(add, 5, (int64_t)identity);
	sqlite3_bind_int64(add, 7, store->feature_set);
	size_t packed = store_pack(verdict, features, store->packed);
	sqlite3_bind_blob(add, 8, store->packed, (int)(packed * sizeof(double)), SQLITE_STATIC);
	sqlite3_bind_double(add, 9, verdict->score); /* NaN is stored as NULL */
	if (verdict->model[0])
		sqlite3_bind_int64(add, 10, store->model);
	else
		sqlite3_bind_null(add, 10);
	if (verdict->anomalous)
		sqlite3_bind_int(add, 11, 1);
	else
		sqlite3_bind_null(add, 11);
	sqlite3_bind_int(add, 12, (int)verdict->quality);
	sqlite3_bind_int(add, 13, verdict->late);
}

/* Inserts at the reading's time in the slot its identity asks for, or the next free one; the
 * same identity on the way is the reading itself. */
static enum status insert(struct store *store, struct machine_cache *machine,
	const struct verdict *verdict, uint64_t identity, int64_t *out, bool *duplicate,
	struct why *why)
{
	sqlite3_stmt *add = store_statement(store, SQL_ADD_READING);
	sqlite3_stmt *find = store_statement(store, SQL_IDENTITY);
	int64_t base = store_id_of(verdict->reading.at_ms),
		slot = (int64_t)identity & STORE_SLOT_MASK;
	enum status st;

	for (int64_t probe = 0; probe <= STORE_SLOT_MASK; probe++) {
		int64_t id = base | ((slot + probe) & STORE_SLOT_MASK), other = 0;
		sqlite3_bind_int64(add, 1, id);
		/* Unsigned, as a damaged head may be anywhere. */
		uint64_t back = (uint64_t)id - (uint64_t)machine->minute.head;
		sqlite3_bind_int64(add, 6, machine->minute.readings ? (int64_t)back : 0);
		if ((st = store_run(store, add, "adding a reading", why)))
			return st;
		*out = id;
		if (sqlite3_changes(store->db) == 1)
			return STATUS_OK;
		sqlite3_bind_int64(find, 1, id);
		if ((st = store_integer(store, find, &other, why)))
			return st;
		*duplicate = other == (int64_t)identity;
		if (*duplicate)
			return STATUS_OK;
	}
	return fail(why, STATUS_FULL, "%s: more than %lld readings in one millisecond", store->path,
		(long long)STORE_SLOT_MASK + 1);
}

enum status store_add(struct store *store, const struct verdict *verdict,
	const struct schema *schema, bool *duplicate, struct why *why)
{
	const struct reading *reading = &verdict->reading;
	enum identity_kind kind = reading->at_sent ? IDENTITY_TIME
		: reading->seq != READING_NO_SEQ   ? IDENTITY_SEQ
						   : IDENTITY_ARRIVAL;
	struct machine_cache *machine = NULL;
	bool seen = false;
	enum status st;

	if ((st = find_machine(store, reading->machine, &machine, why)) ||
		(st = find_feature_set(store, schema, why)) ||
		(verdict->model[0] && (st = find_model(store, verdict, why))))
		return st;
	uint64_t identity = identify(store, reading, schema, kind);
	if (kind == IDENTITY_SEQ &&
		(st = seen_arrival(store, identity, reading->received_ms, &seen, why)))
		return st;
	if (!seen) {
		int64_t id = 0;
		if ((st = open_minute(store, machine, reading->at_ms, why)))
			return st;
		bind_reading(store, store_statement(store, SQL_ADD_READING), machine->id, verdict,
			schema->count, identity);
		if ((st = insert(store, machine, verdict, identity, &id, &seen, why)))
			return st;
		if (!seen)
			count_reading(store, machine, id, verdict);
	}
	*duplicate = seen;
	return STATUS_OK;
}

enum status store_commit(struct store *store, struct why *why)
{
	enum status st = write_dirty(store, why);

	FAILPOINT(before_commit);
	if (st == STATUS_OK)
		st = store_run(store, store_statement(store, SQL_COMMIT), "commit", why);
	FAILPOINT(after_commit);
	if (st == STATUS_OK)
		store->in_transaction = false;
	else
		store_rollback(store);
	return st;
}

/* ---- beside the readings ---- */

enum status store_add_rejected(struct store *store, int64_t received_ms, const char *topic,
	const char *reason, const char *detail, const void *payload, size_t len, struct why *why)
{
	sqlite3_stmt *add = store_statement(store, SQL_ADD_REJECTED);
	sqlite3_stmt *prune = store_statement(store, SQL_PRUNE_REJECTED);
	size_t kept = len < STORE_REJECTED_BYTES ? len : STORE_REJECTED_BYTES;

	sqlite3_bind_int64(add, 1, received_ms);
	sqlite3_bind_text(add, 2, topic, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 3, reason, -1, SQLITE_STATIC);
	sqlite3_bind_text(add, 4, detail, -1, SQLITE_STATIC);
	sqlite3_bind_blob(add, 5, payload, (int)kept, SQLITE_STATIC);
	enum status st = store_run(store, add, "keeping a rejected message", why);
	if (st != STATUS_OK)
		return st;
	sqlite3_bind_int64(prune, 1, sqlite3_last_insert_rowid(store->db) - STORE_REJECTED_MAX);
	return store_run(store, prune, "pruning rejected messages", why);
}

enum status store_set_counter(struct store *store, const char *name, int64_t value, struct why *why)
{
	sqlite3_stmt *put = store_statement(store, SQL_PUT_COUNTER);

	sqlite3_bind_text(put, 1, name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(put, 2, value);
	return store_run(store, put, "writing a counter", why);
}

enum status store_set_alarm(
	struct store *store, const char *machine, const char *json, struct why *why)
{
	sqlite3_stmt *put = store_statement(store, SQL_PUT_ALARM);

	sqlite3_bind_text(put, 1, machine, -1, SQLITE_STATIC);
	sqlite3_bind_text(put, 2, json, -1, SQLITE_STATIC);
	return store_run(store, put, "writing an alarm", why);
}
