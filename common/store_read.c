#include "common/store_internal.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A minute with more readings than this is scanned along the primary key: its machine's share of
 * the rows is then too large for following the chain to be cheaper. */
enum { CHAIN_MAX = 4096 };

enum { DEADLINE_STEPS = 200 }; /* of SQLite's machine, between two looks at the clock */

static int past_deadline(void *context)
{
	return time_monotonic_ns() > ((const struct store *)context)->deadline_ns;
}

void store_set_deadline(struct store *store, int64_t at_ns)
{
	store->deadline_ns = at_ns;
	sqlite3_progress_handler(
		store->db, at_ns ? DEADLINE_STEPS : 0, at_ns ? past_deadline : NULL, store);
}

enum status store_snapshot(struct store *store, struct why *why)
{
	return store_run(store, store_statement(store, SQL_BEGIN_READ), "begin", why);
}

void store_end_snapshot(struct store *store)
{
	(void)store_run(
		store, store_statement(store, SQL_COMMIT), "commit", NULL); /* nothing to lose */
}

/* Text of a row, "" where a damaged file has none. */
static const char *text_at(sqlite3_stmt *row, int column)
{
	const char *text = (const char *)sqlite3_column_text(row, column);
	return text ? text : "";
}

enum status store_counters(
	struct store *store, store_each_counter *each, void *context, struct why *why)
{
	sqlite3_stmt *find = store_statement(store, SQL_COUNTERS);
	int rc;

	while ((rc = sqlite3_step(find)) == SQLITE_ROW)
		each(context, text_at(find, 0), sqlite3_column_int64(find, 1));
	enum status st = rc == SQLITE_DONE ? STATUS_OK : store_fail(store, "reading counters", why);
	sqlite3_reset(find);
	return st;
}

enum status store_alarms(
	struct store *store, store_each_alarm *each, void *context, struct why *why)
{
	sqlite3_stmt *find = store_statement(store, SQL_ALARMS);
	int rc;

	while ((rc = sqlite3_step(find)) == SQLITE_ROW)
		each(context, text_at(find, 0), text_at(find, 1));
	enum status st = rc == SQLITE_DONE ? STATUS_OK : store_fail(store, "reading alarms", why);
	sqlite3_reset(find);
	return st;
}

enum status store_load_day(struct store *store, int64_t machine, int64_t day,
	unsigned char bits[STORE_DAY_BYTES], struct why *why)
{
	sqlite3_stmt *find = store_statement(store, SQL_DAY);
	enum status st = STATUS_OK;

	memset(bits, 0, STORE_DAY_BYTES);
	sqlite3_bind_int64(find, 1, day);
	sqlite3_bind_int64(find, 2, machine);
	int rc = sqlite3_step(find);
	if (rc == SQLITE_ROW && sqlite3_column_bytes(find, 0) == STORE_DAY_BYTES)
		memcpy(bits, sqlite3_column_blob(find, 0), STORE_DAY_BYTES);
	else if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		st = store_fail(store, "reading a day", why);
	sqlite3_reset(find);
	return st;
}

enum status store_load_minute(
	struct store *store, int64_t machine, int64_t minute, struct minute *out, struct why *why)
{
	sqlite3_stmt *find = store_statement(store, SQL_MINUTE);
	struct minute m = {
		.minute = minute, .score_min = NAN, .score_max = NAN, .score_sum = NAN
	};

	sqlite3_bind_int64(find, 1, minute);
	sqlite3_bind_int64(find, 2, machine);
	int rc = sqlite3_step(find);
	if (rc == SQLITE_ROW) {
		m.readings = sqlite3_column_int64(find, 0);
		m.anomalies = sqlite3_column_int64(find, 1);
		m.head = sqlite3_column_int64(find, 2);
		m.scored = sqlite3_column_int64(find, 6);
		m.received = sqlite3_column_int64(find, 7);
		if (m.scored > 0) {
			m.score_min = sqlite3_column_double(find, 3);
			m.score_max = sqlite3_column_double(find, 4);
			m.score_sum = sqlite3_column_double(find, 5);
		}
	}
	enum status st = rc == SQLITE_ROW || rc == SQLITE_DONE
		? STATUS_OK
		: store_fail(store, "reading a minute", why);
	sqlite3_reset(find);
	if (st == STATUS_OK)
		*out = m;
	return st;
}

/* ---- rows to verdicts ---- */

/* The schema of a feature set, from what was seen before or from its names. */
static enum status find_schema(
	struct store *store, int64_t id, const struct schema **out, struct why *why)
{
	for (struct feature_set *set = store->feature_sets; set; set = set->next) {
		if (set->id == id) {
			*out = &set->schema;
			return STATUS_OK;
		}
	}
	struct feature_set *set = calloc(1, sizeof(*set));
	if (!set)
		return fail(why, STATUS_NO_MEMORY, "no memory for a feature set");
	sqlite3_stmt *find = store_statement(store, SQL_FEATURE_SET);
	sqlite3_bind_int64(find, 1, id);
	enum status st = sqlite3_step(find) == SQLITE_ROW
		? STATUS_OK
		: fail(why, STATUS_BAD_INPUT, "%s: feature set %lld is missing", store->path,
			  (long long)id);
	const char *at = st == STATUS_OK ? text_at(find, 0) : "";
	while (st == STATUS_OK && *at) {
		char name[FEATURE_NAME_MAX + 1];
		size_t n = strcspn(at, ",");
		snprintf(name, sizeof(name), "%.*s", (int)n, at);
		st = schema_add(&set->schema, name, "", -INFINITY, INFINITY, why);
		at += n + (at[n] == ',');
	}
	sqlite3_reset(find);
	if (st != STATUS_OK) {
		free(set);
		return st;
	}
	set->id = id;
	set->next = store->feature_sets;
	store->feature_sets = set;
	*out = &set->schema;
	return STATUS_OK;
}

/* The columns of ROW_COLUMNS, in order. */
static enum status to_verdict(struct store *store, sqlite3_stmt *row, struct verdict *out,
	const struct schema **schema, struct why *why)
{
	struct reading *reading = &out->reading;
	enum status st = find_schema(store, sqlite3_column_int64(row, 4), schema, why);

	if (st != STATUS_OK)
		return st;
	memset(out, 0, sizeof(*out));
	if (!store_unpack(sqlite3_column_blob(row, 5), sqlite3_column_bytes(row, 5),
		    (*schema)->count, out))
		return fail(why, STATUS_BAD_INPUT,
			"%s: reading %lld has not the values of its feature set", store->path,
			(long long)sqlite3_column_int64(row, 0));
	snprintf(reading->machine, sizeof(reading->machine), "%s", text_at(row, 1));
	reading->at_ms = store_time_of(sqlite3_column_int64(row, 0));
	reading->received_ms = sqlite3_column_int64(row, 2);
	if (reading->received_ms < 0 || reading->received_ms > TIME_MAX_MS)
		return fail(why, STATUS_BAD_INPUT, "%s: reading %lld arrived outside all time",
			store->path, (long long)sqlite3_column_int64(row, 0));
	reading->seq = sqlite3_column_type(row, 3) == SQLITE_NULL ? READING_NO_SEQ
								  : sqlite3_column_int64(row, 3);
	bool scored = sqlite3_column_type(row, 6) != SQLITE_NULL;
	out->score = scored ? sqlite3_column_double(row, 6) : NAN;
	out->threshold = scored ? sqlite3_column_double(row, 11) : NAN;
	if (!out->smoothed)
		out->alarm_score = out->score;
	out->anomalous = sqlite3_column_int(row, 7) == 1;
	out->quality = (enum quality)sqlite3_column_int(row, 8);
	out->late = sqlite3_column_int(row, 9) != 0;
	snprintf(out->model, sizeof(out->model), "%s", text_at(row, 10));
	return STATUS_OK;
}

/* What a walk carries along. */
struct walk {
	struct store *store;
	store_each *each;
	void *context;
	int64_t from_id, to_id; /* from <= id < to */
	size_t left;            /* rows still wanted */
	bool stopped;           /* the caller has had enough */
	struct why *why;
};

/* Hands every row of a bound statement to the caller. */
static enum status emit_rows(struct walk *w, sqlite3_stmt *find)
{
	enum status st = STATUS_OK;
	int rc = SQLITE_DONE;

	while (st == STATUS_OK && w->left > 0 && !w->stopped &&
		(rc = sqlite3_step(find)) == SQLITE_ROW) {
		struct verdict verdict;
		const struct schema *schema = NULL;
		st = to_verdict(w->store, find, &verdict, &schema, w->why);
		if (st != STATUS_OK)
			break;
		w->left--;
		w->stopped = !w->each(w->context, sqlite3_column_int64(find, 0), &verdict, schema);
	}
	if (st == STATUS_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
		st = store_fail(w->store, "reading", w->why);
	sqlite3_reset(find);
	return st;
}

static enum status emit_span(
	struct walk *w, enum statement statement, int64_t machine, int64_t from_id, int64_t to_id)
{
	sqlite3_stmt *find = store_statement(w->store, statement);

	sqlite3_bind_int64(find, 1, from_id);
	sqlite3_bind_int64(find, 2, to_id);
	sqlite3_bind_int64(find, 3, (int64_t)w->left);
	if (sqlite3_bind_parameter_count(find) == 4)
		sqlite3_bind_int64(find, 4, machine);
	return emit_rows(w, find);
}

/* ---- one machine, minute by minute ---- */

static int descending(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return (left < right) - (left > right);
}

/* The ids of a minute's readings, newest first, from its chain; *count is set to what is there. */
static enum status follow_chain(struct store *store, const struct minute *minute, int64_t *ids,
	size_t *count, struct why *why)
{
	sqlite3_stmt *find = store_statement(store, SQL_BACK);
	int64_t id = minute->head;
	size_t n = 0;

	while (n < (size_t)minute->readings) {
		int64_t back = 0;
		ids[n++] = id;
		sqlite3_bind_int64(find, 1, id);
		enum status st = store_integer(store, find, &back, why);
		if (st != STATUS_OK)
			return st;
		if (back == 0)
			break;
		id = (int64_t)((uint64_t)id - (uint64_t)back); /* a damaged one may overflow */
	}
	qsort(ids, n, sizeof(*ids), descending);
	*count = n;
	return STATUS_OK;
}

static enum status emit_minute(struct walk *w, int64_t machine, int64_t minute)
{
	struct minute m;
	enum status st = store_load_minute(w->store, machine, minute, &m, w->why);

	if (st != STATUS_OK)
		return st;
	if (m.readings > CHAIN_MAX || m.readings < 0) { /* below 0: damaged, but its rows count */
		int64_t first = store_id_of(minute * STORE_MINUTE_MS);
		int64_t end_ms = (minute + 1) * STORE_MINUTE_MS;
		int64_t end = end_ms > TIME_MAX_MS ? INT64_MAX : store_id_of(end_ms);
		return emit_span(w, SQL_FIND_MACHINE_SPAN, machine,
			first > w->from_id ? first : w->from_id, end < w->to_id ? end : w->to_id);
	}
	int64_t *ids = malloc((size_t)m.readings * sizeof(*ids) + 1);
	if (!ids)
		return fail(w->why, STATUS_NO_MEMORY, "no memory for a minute's readings");
	size_t n = 0;
	if (m.readings > 0)
		st = follow_chain(w->store, &m, ids, &n, w->why);
	sqlite3_stmt *row = store_statement(w->store, SQL_ROW);
	for (size_t i = 0; i < n && st == STATUS_OK && w->left > 0 && !w->stopped; i++) {
		if (ids[i] >= w->to_id || ids[i] < w->from_id)
			continue;
		sqlite3_bind_int64(row, 1, ids[i]);
		st = emit_rows(w, row);
	}
	free(ids);
	return st;
}

static enum status emit_day(struct walk *w, int64_t machine, int64_t day)
{
	unsigned char bits[STORE_DAY_BYTES];
	enum status st = store_load_day(w->store, machine, day, bits, w->why);
	int64_t last = store_time_of(w->to_id - 1) / STORE_MINUTE_MS;
	int64_t first = store_time_of(w->from_id) / STORE_MINUTE_MS;

	for (int i = STORE_MINUTES_A_DAY - 1;
		i >= 0 && st == STATUS_OK && w->left > 0 && !w->stopped; i--) {
		int64_t minute = day * STORE_MINUTES_A_DAY + i;
		if ((bits[i / 8] & (1u << (i % 8))) && minute >= first && minute <= last)
			st = emit_minute(w, machine, minute);
	}
	return st;
}

static enum status emit_machine(struct walk *w, int64_t machine)
{
	sqlite3_stmt *before = store_statement(w->store, SQL_DAY_BEFORE);
	const int64_t day_ms = (int64_t)STORE_MINUTE_MS * STORE_MINUTES_A_DAY;
	int64_t first = store_time_of(w->from_id) / day_ms;
	int64_t day = w->to_id > 0 ? store_time_of(w->to_id - 1) / day_ms : -1;
	enum status st = STATUS_OK;

	while (st == STATUS_OK && w->left > 0 && !w->stopped) {
		int64_t found = -1; /* skips days that no machine has */
		sqlite3_bind_int64(before, 1, day);
		st = store_integer(w->store, before, &found, w->why);
		if (st != STATUS_OK || found < first)
			break;
		st = emit_day(w, machine, found);
		day = found - 1;
	}
	return st;
}

static enum status machine_id(struct store *store, const char *name, int64_t *out, struct why *why)
{
	sqlite3_stmt *find = store_statement(store, SQL_MACHINE_ID);

	*out = 0;
	sqlite3_bind_text(find, 1, name, -1, SQLITE_STATIC);
	return store_integer(store, find, out, why);
}

enum status store_find(struct store *store, const struct store_query *query, store_each *each,
	void *context, struct why *why)
{
	struct walk w = {
		.store = store, .each = each, .context = context, .left = query->limit, .why = why
	};
	int64_t to_ms = query->to_ms > TIME_LIMIT_MS ? TIME_LIMIT_MS : query->to_ms, machine = 0;

	if (query->from_ms >= TIME_LIMIT_MS)
		return STATUS_OK; /* its id would not fit */
	w.from_id = store_id_of(query->from_ms < 0 ? 0 : query->from_ms);
	w.to_id = to_ms <= 0 ? 0 : to_ms == TIME_LIMIT_MS ? INT64_MAX : store_id_of(to_ms);
	if (query->before_id > 0 && query->before_id < w.to_id)
		w.to_id = query->before_id;
	if (w.from_id >= w.to_id)
		return STATUS_OK;

	enum status st = store_snapshot(store, why);
	if (st != STATUS_OK)
		return st;
	if (query->machine)
		st = machine_id(store, query->machine, &machine, why);
	if (st == STATUS_OK && query->machine && machine == 0)
		; /* never heard of: nothing to find */
	else if (st == STATUS_OK && query->anomalies_only)
		st = emit_span(&w, machine ? SQL_FIND_MACHINE_ANOMALIES : SQL_FIND_ANOMALIES,
			machine, w.from_id, w.to_id);
	else if (st == STATUS_OK && machine)
		st = emit_machine(&w, machine);
	else if (st == STATUS_OK)
		st = emit_span(&w, SQL_FIND_ALL, 0, w.from_id, w.to_id);
	store_end_snapshot(store);
	return st;
}

/* ---- the newest of each machine ---- */

static bool take_time(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	(void)verdict;
	(void)schema;
	*(int64_t *)context = store_time_of(id);
	return false;
}

enum status store_newest(struct store *store, const char *machine, int64_t *at_ms, struct why *why)
{
	struct walk w = { .store = store,
		.each = take_time,
		.context = at_ms,
		.to_id = INT64_MAX,
		.left = 1,
		.why = why };
	int64_t id;
	enum status st = machine_id(store, machine, &id, why);

	*at_ms = -1;
	return st == STATUS_OK && id ? emit_machine(&w, id) : st;
}

enum status store_oldest(struct store *store, int64_t *at_ms, struct why *why)
{
	int64_t id = -1;
	enum status st = store_integer(store, store_statement(store, SQL_OLDEST), &id, why);

	*at_ms = id > 0 ? store_time_of(id) : -1;
	return st;
}

enum status store_machines(struct store *store, store_each *each, void *context, struct why *why)
{
	sqlite3_stmt *list = store_statement(store, SQL_MACHINES);
	enum status st = store_snapshot(store, why);
	int rc = SQLITE_DONE;

	if (st != STATUS_OK)
		return st;
	struct walk w = {
		.store = store, .each = each, .context = context, .to_id = INT64_MAX, .why = why
	};
	while (st == STATUS_OK && !w.stopped && (rc = sqlite3_step(list)) == SQLITE_ROW) {
		w.left = 1;
		st = emit_machine(&w, sqlite3_column_int64(list, 0));
	}
	if (st == STATUS_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
		st = store_fail(store, "reading machines", why);
	sqlite3_reset(list);
	store_end_snapshot(store);
	return st;
}
