#define _GNU_SOURCE /* unshare: a small file system of our own */
#include "common/digest.h"
#include "common/fileio.h"
#include "common/rng.h"
#include "common/store.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct why why;
static struct schema pair, triple; /* a, b and a, b, c */
static const int64_t noon = 1795435200000;

static bool make_schemas(void)
{
	static const char *const names[] = { "a", "b", "c" };

	for (size_t i = 0; i < 3; i++) {
		if ((i < 2 &&
			    schema_add(&pair, names[i], "", -INFINITY, INFINITY, NULL) !=
				    STATUS_OK) ||
			schema_add(&triple, names[i], "", -INFINITY, INFINITY, NULL) != STATUS_OK)
			return false;
	}
	return true;
}

/* Statuses that have to be OK say why if they are not. */
#define ASSERT_OK(call) CU_ASSERT_TRUE_FATAL(is_ok(call))
static bool is_ok(enum status status)
{
	if (status != STATUS_OK)
		fprintf(stderr, "\n%s\n", why.text);
	return status == STATUS_OK;
}

static struct store *open_store(const char *path, enum store_mode mode)
{
	struct store *store = NULL;

	ASSERT_OK(store_open(path, mode, &store, &why));
	return store;
}

static const char *fresh_path(void)
{
	static int number;
	char name[32];

	snprintf(name, sizeof(name), "history-%d.db", number++);
	return unit_path(name);
}

/* A scored normal reading of two values, told from others by its seq. */
static struct verdict make(const char *machine, int64_t at_ms, int64_t seq)
{
	struct verdict v = { .score = -0.1, .threshold = 0.1, .model = "0123456789abcdef" };

	snprintf(v.reading.machine, sizeof(v.reading.machine), "%s", machine);
	v.reading.at_ms = at_ms;
	v.reading.at_sent = true;
	v.reading.received_ms = at_ms + 7 > TIME_MAX_MS ? TIME_MAX_MS : at_ms + 7;
	v.reading.seq = seq;
	v.reading.value[0] = (double)seq / 3;
	v.reading.value[1] = -40.5;
	return v;
}

/* True if it is a duplicate. */
static bool add_to(struct store *store, const struct verdict *v, const struct schema *schema)
{
	bool duplicate = true;

	ASSERT_OK(store_add(store, v, schema, &duplicate, &why));
	return duplicate;
}

static bool add(struct store *store, const struct verdict *v)
{
	return add_to(store, v, &pair);
}

static void begin(struct store *store)
{
	ASSERT_OK(store_begin(store, &why));
}

static void commit(struct store *store)
{
	ASSERT_OK(store_commit(store, &why));
}

/* One reading in a transaction of its own. */
static bool add_alone(struct store *store, const struct verdict *v)
{
	begin(store);
	bool duplicate = add(store, v);
	commit(store);
	return duplicate;
}

/* ---- what a query gives ---- */

struct found {
	size_t count, room, stop_at; /* stop_at 0: never */
	int64_t *id;
	struct verdict *verdict;
	size_t *features;
};

static bool collect(void *context, int64_t id, const struct verdict *v, const struct schema *schema)
{
	struct found *f = context;

	if (f->count == f->room) {
		f->room = f->room ? 2 * f->room : 64;
		f->id = realloc(f->id, f->room * sizeof(*f->id));
		f->verdict = realloc(f->verdict, f->room * sizeof(*f->verdict));
		f->features = realloc(f->features, f->room * sizeof(*f->features));
	}
	f->id[f->count] = id;
	f->verdict[f->count] = *v;
	f->features[f->count] = schema->count;
	f->count++;
	return f->count != f->stop_at;
}

static void empty(struct found *f)
{
	free(f->id);
	free(f->verdict);
	free(f->features);
	memset(f, 0, sizeof(*f));
}

static struct store_query everything(const char *machine, bool anomalies_only)
{
	return (struct store_query){ .machine = machine,
		.to_ms = INT64_MAX,
		.anomalies_only = anomalies_only,
		.limit = STORE_LIMIT_MAX };
}

/* All rows of a query, page by page. */
static void page_through(struct store *store, struct store_query query, struct found *f)
{
	size_t before;

	do {
		before = f->count;
		ASSERT_OK(store_find(store, &query, collect, f, &why));
		CU_ASSERT_TRUE(f->count - before <= query.limit);
		if (f->count > 0)
			query.before_id = f->id[f->count - 1];
	} while (f->count - before == query.limit);
}

static size_t count_of(struct store *store, const char *machine)
{
	struct found f = { .count = 0 };

	page_through(store, everything(machine, false), &f);
	size_t count = f.count;
	empty(&f);
	return count;
}

/* ---- one reading ---- */

static bool same_double(double a, double b)
{
	return (isnan(a) && isnan(b)) || a == b;
}

static bool same_verdict(const struct verdict *a, const struct verdict *b, size_t features)
{
	const struct reading *r = &a->reading, *s = &b->reading;

	for (size_t i = 0; i < features; i++) {
		if (!same_double(r->value[i], s->value[i]))
			return false;
	}
	return strcmp(r->machine, s->machine) == 0 && r->at_ms == s->at_ms &&
		r->received_ms == s->received_ms && r->seq == s->seq &&
		same_double(a->score, b->score) && same_double(a->threshold, b->threshold) &&
		a->anomalous == b->anomalous && a->late == b->late && a->quality == b->quality &&
		strcmp(a->model, b->model) == 0;
}

static void test_one(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct verdict v = make("press-1", noon, 18231);
	struct found f = { .count = 0 };

	v.reading.value[1] = NAN;
	v.score = v.threshold = NAN;
	v.model[0] = '\0';
	v.quality = QUALITY_MISSING;
	v.late = true;
	CU_ASSERT_FALSE(add_alone(store, &v));
	struct verdict w = make("press-1", noon + 1, READING_NO_SEQ);
	w.score = 0.1 + 0.2;
	w.anomalous = true;
	w.threshold = 0.112;
	CU_ASSERT_FALSE(add_alone(store, &w));
	page_through(store, everything(NULL, false), &f);
	CU_ASSERT_EQUAL_FATAL(f.count, 2);
	CU_ASSERT_TRUE(same_verdict(&f.verdict[0], &w, 2));
	CU_ASSERT_TRUE(same_verdict(&f.verdict[1], &v, 2));
	empty(&f);
	store_close(store);
}

static void explain(struct verdict *v, size_t n)
{
	v->anomalous = true;
	v->severity = 3.25;
	v->explained = n;
	for (size_t i = 0; i < n; i++)
		v->explanation[i] = (struct explained){ i % 2, 0.1 + 0.2, 0.5, -INFINITY, 76.2,
			i ? -6.9 : NAN };
}

static bool same_explanation(const struct verdict *a, const struct verdict *b)
{
	if (a->explained != b->explained || a->smoothed != b->smoothed)
		return false;
	for (size_t i = 0; i < a->explained; i++) {
		const struct explained *e = &a->explanation[i], *f = &b->explanation[i];
		if (e->feature != f->feature || e->contribution != f->contribution ||
			e->share != f->share || e->low != f->low || e->high != f->high ||
			!same_double(e->z, f->z))
			return false;
	}
	return same_double(a->alarm_score, b->alarm_score) &&
		(a->explained == 0 || a->severity == b->severity);
}

/* What explains a verdict lies behind its values, in the same row. */
static void test_explained(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct verdict v[6];
	struct found f = { .count = 0 };

	begin(store);
	for (int i = 0; i < 6; i++) {
		v[i] = make("press-1", noon + i, i);
		v[i].alarm_score = v[i].score; /* as it is when there is no smoothing */
		if (i % 2) {
			v[i].smoothed = true;
			v[i].alarm_score = i == 5 ? NAN : 0.123;
		}
		if (i >= 2)
			explain(&v[i], i == 4 ? EXPLAINED_MAX : 2);
		CU_ASSERT_FALSE(add(store, &v[i]));
	}
	commit(store);
	page_through(store, everything(NULL, false), &f);
	CU_ASSERT_EQUAL_FATAL(f.count, 6);
	for (int i = 0; i < 6; i++) {
		CU_ASSERT_TRUE(same_verdict(&f.verdict[5 - i], &v[i], 2));
		CU_ASSERT_TRUE(same_explanation(&f.verdict[5 - i], &v[i]));
	}
	empty(&f);
	store_close(store);
}

static void test_thresholds(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct verdict v = make("press-1", noon, 1), w = make("press-1", noon + 1, 2);
	struct found f = { .count = 0 };

	w.threshold = 0.2; /* the same model, but asked to be more tolerant */
	begin(store);
	add(store, &v);
	add(store, &w);
	add(store, &v);
	commit(store);
	page_through(store, everything(NULL, false), &f);
	CU_ASSERT_EQUAL_FATAL(f.count, 2);
	CU_ASSERT_EQUAL(f.verdict[0].threshold, 0.2);
	CU_ASSERT_EQUAL(f.verdict[1].threshold, 0.1);
	empty(&f);
	store_close(store);
}

static void test_ends_of_time(void)
{
	static const int64_t times[] = { 0, 1, 59999, 60000, noon, TIME_MAX_MS - 1, TIME_MAX_MS };
	struct store *store = open_store(fresh_path(), STORE_WRITE);

	begin(store);
	for (int i = 0; i < 7; i++) {
		struct verdict v = make("press-1", times[i], i);
		v.anomalous = true;
		CU_ASSERT_FALSE(add(store, &v));
		CU_ASSERT_TRUE(add(store, &v));
	}
	commit(store);
	for (int kind = 0; kind < 4; kind++) {
		struct found f = { .count = 0 };
		struct store_query q = everything(kind & 1 ? "press-1" : NULL, kind & 2);
		q.limit = 1;
		page_through(store, q, &f);
		CU_ASSERT_EQUAL_FATAL(f.count, 7);
		for (int i = 0; i < 7; i++)
			CU_ASSERT_EQUAL(f.verdict[6 - i].reading.at_ms, times[i]);
		empty(&f);
		q.from_ms = TIME_MAX_MS;
		page_through(store, q, &f);
		CU_ASSERT_EQUAL(f.count, 1);
		q.from_ms = TIME_MAX_MS + 1;
		page_through(store, q, &f);
		q.from_ms = INT64_MAX;
		page_through(store, q, &f);
		CU_ASSERT_EQUAL(f.count, 1);
		q.from_ms = -5;
		q.to_ms = 1;
		page_through(store, q, &f);
		CU_ASSERT_EQUAL(f.count, 2);
		empty(&f);
	}
	store_close(store);
}

/* ---- paging, against a list ---- */

enum { LIST_MAX = 4000, MACHINES = 5 };
static const char *const machine_names[MACHINES + 1] = { "press-1", "press-2", "Z_9", "a",
	"press-10", "nobody" };

/* What is in the store: item i bears seq i. */
struct list {
	struct rng rng;
	size_t count;
	struct verdict verdict[LIST_MAX];
	bool wide[LIST_MAX]; /* of three values */
	bool seen[LIST_MAX];
};

/* Mostly forward in time, with some late ones, crowds in a millisecond, and leaps of days. */
static int64_t next_time(struct list *l)
{
	int64_t last = l->count ? l->verdict[l->count - 1].reading.at_ms : noon;

	switch (rng_below(&l->rng, 20)) {
	case 0:
		return noon - (int64_t)rng_below(&l->rng, 5 * 86400000);
	case 1:
		return last + (int64_t)rng_below(&l->rng, 2 * 86400000);
	case 2:
	case 3:
		return last - (int64_t)rng_below(&l->rng, 120000);
	case 4:
	case 5:
	case 6:
	case 7:
		return last;
	default:
		return last + (int64_t)rng_below(&l->rng, 5000);
	}
}

static void random_verdict(struct list *l, size_t i)
{
	const char *machine = machine_names[rng_below(&l->rng, MACHINES)];
	struct verdict v = make(machine, next_time(l), (int64_t)i);

	l->wide[i] = rng_below(&l->rng, 4) == 0;
	v.reading.value[2] = (double)i;
	v.anomalous = rng_below(&l->rng, 6) == 0;
	v.score = v.anomalous ? 0.2 : -0.05;
	v.late = rng_below(&l->rng, 10) == 0;
	v.threshold = 0.1;
	if (rng_below(&l->rng, 10) == 0 && !v.anomalous) {
		v.score = v.threshold = NAN;
		v.model[0] = '\0';
		v.reading.value[0] = NAN;
		v.quality = QUALITY_MISSING;
	} else if (rng_below(&l->rng, 3) == 0) {
		strcpy(v.model, "fedcba9876543210");
		v.threshold = 0.15;
	}
	l->verdict[i] = v;
}

/* A batch of new ones with some old ones between; now and then it is rolled back. */
static void add_batch(struct store *store, struct list *l)
{
	size_t from = l->count, n = 1 + rng_below(&l->rng, 60);

	begin(store);
	while (n-- > 0 && l->count < LIST_MAX) {
		size_t i = l->count;
		if (i > 0 && rng_below(&l->rng, 8) == 0) {
			size_t old = rng_below(&l->rng, i);
			struct verdict again = l->verdict[old];
			again.reading.received_ms += 1000;
			again.late = true;
			CU_ASSERT_TRUE(add_to(store, &again, l->wide[old] ? &triple : &pair));
			continue;
		}
		random_verdict(l, i);
		CU_ASSERT_FALSE(add_to(store, &l->verdict[i], l->wide[i] ? &triple : &pair));
		l->count++;
	}
	if (rng_below(&l->rng, 8) == 0) {
		store_rollback(store);
		l->count = from;
	} else {
		commit(store);
	}
}

static bool asked_for(const struct store_query *q, const struct verdict *v)
{
	return (!q->machine || strcmp(q->machine, v->reading.machine) == 0) &&
		v->reading.at_ms >= q->from_ms && v->reading.at_ms < q->to_ms &&
		(!q->anomalies_only || v->anomalous);
}

static void compare(struct store *store, struct list *l, const struct store_query *q)
{
	struct found f = { .count = 0 };
	size_t expected = 0, wrong = 0;

	for (size_t i = 0; i < l->count; i++)
		expected += asked_for(q, &l->verdict[i]);
	memset(l->seen, 0, sizeof(l->seen));
	page_through(store, *q, &f);
	for (size_t i = 0; i < f.count; i++) {
		size_t seq = (size_t)f.verdict[i].reading.seq;
		bool right = seq < l->count && !l->seen[seq] && asked_for(q, &l->verdict[seq]) &&
			f.features[i] == (l->wide[seq] ? 3 : 2) &&
			same_verdict(&f.verdict[i], &l->verdict[seq], f.features[i]);
		if (i > 0)
			right = right && f.id[i] < f.id[i - 1] &&
				f.verdict[i].reading.at_ms <= f.verdict[i - 1].reading.at_ms;
		wrong += !right;
		if (seq < l->count)
			l->seen[seq] = true;
	}
	if (f.count != expected || wrong)
		fprintf(stderr,
			"\nmachine %s, anomalies %d, %lld to %lld, limit %zu: %zu of %zu, "
			"%zu wrong\n",
			q->machine ? q->machine : "all", q->anomalies_only, (long long)q->from_ms,
			(long long)q->to_ms, q->limit, f.count, expected, wrong);
	CU_ASSERT_EQUAL(f.count, expected);
	CU_ASSERT_EQUAL(wrong, 0);
	empty(&f);
}

static int64_t random_bound(struct list *l)
{
	const struct verdict *v = &l->verdict[rng_below(&l->rng, l->count)];

	return v->reading.at_ms + (int64_t)rng_below(&l->rng, 3) - 1;
}

/* Every kind of query with every kind of bound. */
static void compare_all(struct store *store, struct list *l)
{
	static const size_t limits[] = { 1, 2, 7, 100, STORE_LIMIT_MAX };

	for (int kind = 0; kind < 4; kind++) {
		for (int i = 0; i < 6; i++) {
			struct store_query q = everything(
				kind & 1 ? machine_names[rng_below(&l->rng, MACHINES + 1)] : NULL,
				kind & 2);
			q.limit = limits[rng_below(&l->rng, 5)];
			if (i > 0) {
				q.from_ms = rng_below(&l->rng, 3) ? random_bound(l) : 0;
				q.to_ms = rng_below(&l->rng, 3) ? random_bound(l) : INT64_MAX;
			}
			compare(store, l, &q);
		}
	}
}

static struct list *new_list(uint64_t seed)
{
	struct list *l = calloc(1, sizeof(*l));
	CU_ASSERT_PTR_NOT_NULL_FATAL(l);

	rng_seed(&l->rng, seed);
	return l;
}

static void test_paging(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++) {
		const char *path = fresh_path();
		struct list *l = new_list(seed);
		struct store *store = open_store(path, STORE_WRITE);
		struct store *reader = open_store(path, STORE_READ);

		while (l->count < LIST_MAX / 2) {
			add_batch(store, l);
			if (l->count > 0 && rng_below(&l->rng, 8) == 0)
				compare_all(rng_below(&l->rng, 4) ? reader : store, l);
			if (rng_below(&l->rng, 40) == 0) {
				store_close(store);
				store = open_store(path, STORE_WRITE);
			}
		}
		compare_all(reader, l);
		store_close(reader);
		store_close(store);
		free(l);
	}
}

static void test_stop(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);

	begin(store);
	for (int i = 0; i < 50; i++) {
		struct verdict v = make("press-1", noon + i * 20000, i);
		v.anomalous = i % 2;
		add(store, &v);
	}
	commit(store);
	for (int kind = 0; kind < 4; kind++) {
		struct found f = { .stop_at = 3 };
		struct store_query q = everything(kind & 1 ? "press-1" : NULL, kind & 2);
		ASSERT_OK(store_find(store, &q, collect, &f, &why));
		CU_ASSERT_EQUAL(f.count, 3);
		empty(&f);
	}
	store_close(store);
}

/* More readings of a machine in a minute than its chain is followed for. */
static void test_dense_minute(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	struct store_query q = everything("press-1", false);
	struct found f = { .count = 0 };

	begin(store);
	for (int i = 0; i < 5000; i++) {
		struct verdict v = make("press-1", noon + i * 7919 % 60000, i);
		CU_ASSERT_FALSE(add(store, &v));
		v = make("press-2", noon + i * 12, i);
		CU_ASSERT_FALSE(add(store, &v));
		v = make("press-1", noon + 60000 + i * 12, 5000 + i);
		if (i < 4096)
			CU_ASSERT_FALSE(add(store, &v));
	}
	commit(store);
	q.limit = 333;
	page_through(store, q, &f);
	CU_ASSERT_EQUAL(f.count, 9096);
	for (size_t i = 1; i < f.count; i++)
		CU_ASSERT_TRUE(f.id[i] < f.id[i - 1]);
	empty(&f);
	q.from_ms = noon + 1000;
	q.to_ms = noon + 2000;
	page_through(store, q, &f);
	size_t expected = 0;
	for (int i = 0; i < 5000; i++)
		expected += i * 7919 % 60000 >= 1000 && i * 7919 % 60000 < 2000;
	CU_ASSERT_EQUAL(f.count, expected);
	CU_ASSERT_TRUE(f.count > 50);
	empty(&f);
	store_close(store);
}

/* A reader past its time gives up, and the next one is not harmed. */
static void test_deadline(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	struct store_query q = everything(NULL, false);
	struct found f = { .count = 0 };

	begin(store);
	for (int i = 0; i < 500; i++) {
		struct verdict v = make("press-1", noon + i, i);
		add(store, &v);
	}
	commit(store);
	store_set_deadline(store, time_monotonic_ns() - 1);
	CU_ASSERT_EQUAL(store_find(store, &q, collect, &f, &why), STATUS_UNAVAILABLE);
	ASSERT_HOLDS(why.text, "took too long");
	CU_ASSERT(f.count < 500);
	empty(&f);
	store_set_deadline(store, time_monotonic_ns() + INT64_C(60000000000));
	ASSERT_OK(store_find(store, &q, collect, &f, &why));
	CU_ASSERT_EQUAL(f.count, 500);
	empty(&f);
	store_set_deadline(store, 0);
	CU_ASSERT_EQUAL(count_of(store, NULL), 500);
	store_close(store);
}

/* With 6,000 in a millisecond some meet in the same slot. */
/* Commits, some 6 frames each, that a busy writer may be ahead of the last checkpoint: what comes
 * during one does not add up where the checkpoints get no CPU. */
enum { AHEAD = 150 };

struct busy_writer {
	struct store *store;
	atomic_int commits, moved; /* so far; when the last checkpoint ended */
	atomic_bool done;
	bool ok;
};

static void *write_on(void *context)
{
	struct busy_writer *w = context;

	w->ok = true;
	for (int i = 0; i < 6000 && w->ok; i++) {
		struct verdict v = make("press-1", noon + i * 1000, i);
		w->ok = store_begin(w->store, &why) == STATUS_OK && !add_to(w->store, &v, &pair) &&
			store_commit(w->store, &why) == STATUS_OK;
		atomic_fetch_add(&w->commits, 1);
		while (atomic_load(&w->commits) - atomic_load(&w->moved) > AHEAD)
			sched_yield();
	}
	if (!w->ok)
		fprintf(stderr, "\n%s\n", why.text);
	atomic_store(&w->done, true);
	return NULL;
}

/* Commits without a pause: the WAL is never wholly moved while nobody writes, and has to be begun
 * anew between two of them. */
static void test_wal_of_a_busy_writer(void)
{
	const char *path = fresh_path();
	struct busy_writer w = { .store = open_store(path, STORE_WRITE) };
	int64_t wal_bytes, most = 0;
	struct why checkpoint_why;
	pthread_t thread;

	ASSERT_OK(store_set_durability(w.store, DURABILITY_LATER, &why));
	ASSERT_OK(store_leave_checkpoints(w.store, &why));
	struct store *checkpoint = open_store(path, STORE_CHECKPOINT);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, write_on, &w), 0);
	while (!atomic_load(&w.done)) {
		CU_ASSERT_EQUAL(
			store_checkpoint(checkpoint, &wal_bytes, &checkpoint_why), STATUS_OK);
		atomic_store(&w.moved, atomic_load(&w.commits));
		most = wal_bytes > most ? wal_bytes : most;
	}
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(w.ok);
	CU_ASSERT_TRUE(most > STORE_WAL_BYTES);
	CU_ASSERT_TRUE(most < 2 * STORE_WAL_BYTES);
	store_close(w.store);
	w.store = open_store(path, STORE_READ);
	CU_ASSERT_EQUAL(count_of(w.store, "press-1"), 6000);
	store_close(checkpoint);
	store_close(w.store);
}

static void test_same_millisecond(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);

	for (int round = 0; round < 2; round++) {
		size_t wrong = 0;
		begin(store);
		for (int i = 0; i < 6000; i++) {
			struct verdict v = make(machine_names[i % 3], noon, i);
			wrong += add(store, &v) != (round == 1);
		}
		commit(store);
		CU_ASSERT_EQUAL(wrong, 0);
		store_close(store);
		store = open_store(path, STORE_WRITE);
	}
	CU_ASSERT_EQUAL(count_of(store, NULL), 6000);
	for (int m = 0; m < 3; m++)
		CU_ASSERT_EQUAL(count_of(store, machine_names[m]), 2000);
	store_close(store);
}

/* ---- identity ---- */

static void test_duplicates(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	struct verdict v = make("press-1", noon, 1), other;

	begin(store);
	CU_ASSERT_FALSE(add(store, &v));
	CU_ASSERT_TRUE(add(store, &v)); /* in the same batch */
	commit(store);
	CU_ASSERT_TRUE(add_alone(store, &v));
	begin(store);
	for (int i = 2; i < 3000; i++) {
		other = make("press-1", noon + i * 1000, i);
		CU_ASSERT_FALSE(add(store, &other));
	}
	commit(store);
	CU_ASSERT_TRUE(add_alone(store, &v)); /* fifty minutes later */
	store_close(store);
	store = open_store(path, STORE_WRITE);
	other = v; /* what we concluded is no part of what was said */
	other.reading.received_ms += 86400000;
	other.late = true;
	other.score = 0.3;
	other.anomalous = true;
	strcpy(other.model, "fedcba9876543210");
	CU_ASSERT_TRUE(add_alone(store, &other)); /* after a restart */
	CU_ASSERT_EQUAL(count_of(store, NULL), 2999);
	CU_ASSERT_EQUAL(count_of(store, "press-1"), 2999);
	store_close(store);
}

static void test_no_duplicates(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct verdict v = make("press-1", noon, 1), other;

	CU_ASSERT_FALSE(add_alone(store, &v));
	other = v;
	other.reading.seq = 2;
	CU_ASSERT_FALSE(add_alone(store, &other));
	other.reading.seq = READING_NO_SEQ;
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v;
	other.reading.at_ms++; /* a restarted seq */
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v;
	other.reading.at_ns = 1;
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v;
	other.reading.value[1] = nextafter(other.reading.value[1], 0);
	CU_ASSERT_FALSE(add_alone(store, &other));
	other.reading.value[1] = NAN;
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v;
	other.reading.value[0] = v.reading.value[1];
	other.reading.value[1] = v.reading.value[0];
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v;
	strcpy(other.reading.machine, "press-2");
	CU_ASSERT_FALSE(add_alone(store, &other));
	CU_ASSERT_EQUAL(count_of(store, NULL), 9);
	store_close(store);
}

/* Without a timestamp, arriving again a second later. */
static void test_no_time(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	struct verdict v = make("press-1", noon, 5), other;

	v.reading.at_sent = false;
	CU_ASSERT_FALSE(add_alone(store, &v));
	v.reading.at_ms += 1000;
	v.reading.received_ms += 1000;
	CU_ASSERT_TRUE(add_alone(store, &v));
	store_close(store);
	store = open_store(path, STORE_WRITE);
	CU_ASSERT_TRUE(add_alone(store, &v));
	other = v;
	other.reading.seq = 6;
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v;
	other.reading.value[0] = 0.25;
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v;
	strcpy(other.reading.machine, "press-2");
	CU_ASSERT_FALSE(add_alone(store, &other));
	other = v; /* the same seq, values and millisecond, but sent with its time */
	other.reading.at_sent = true;
	CU_ASSERT_FALSE(add_alone(store, &other));
	CU_ASSERT_EQUAL(count_of(store, NULL), 5);

	begin(store); /* one that was rolled back was not seen */
	other = v;
	other.reading.seq = 7;
	CU_ASSERT_FALSE(add(store, &other));
	store_rollback(store);
	CU_ASSERT_FALSE(add_alone(store, &other));
	store_close(store);
}

static void test_no_identity(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	struct verdict v = make("press-1", noon, READING_NO_SEQ);

	v.reading.at_sent = false;
	begin(store);
	for (int i = 0; i < 100; i++)
		CU_ASSERT_FALSE(add(store, &v));
	commit(store);
	CU_ASSERT_FALSE(add_alone(store, &v));
	CU_ASSERT_EQUAL(count_of(store, "press-1"), 101);
	store_close(store);
}

/* Without a model the order of the features is the order in which they were first heard of:
 * another one after a restart, and more of them later. */
static void test_other_feature_order(void)
{
	static const char *const names[] = { "c", "b", "d", "a" };
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct schema mixed = { .count = 0 };
	struct verdict v = make("press-1", noon, 1), w = v, x;

	for (size_t i = 0; i < 4; i++)
		ASSERT_OK(schema_add(&mixed, names[i], "", -INFINITY, INFINITY, &why));
	begin(store);
	CU_ASSERT_FALSE(add_to(store, &v, &pair));
	w.reading.value[3] = v.reading.value[0];
	w.reading.value[0] = w.reading.value[2] = NAN;
	CU_ASSERT_TRUE(add_to(store, &w, &mixed));
	x = v;
	x.reading.value[2] = NAN;
	CU_ASSERT_TRUE(add_to(store, &x, &triple));
	x.reading.value[2] = 0;
	CU_ASSERT_FALSE(add_to(store, &x, &triple));
	commit(store);
	CU_ASSERT_EQUAL(count_of(store, NULL), 2);
	store_close(store);
}

/* ---- transactions ---- */

static void test_rollback(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct verdict v = make("press-1", noon, 1), w = make("press-2", noon, 1);
	struct found f = { .count = 0 };
	int64_t newest = 0;

	begin(store);
	CU_ASSERT_FALSE(add_to(store, &v, &triple));
	ASSERT_OK(store_set_counter(store, "stored", 5, &why));
	store_rollback(store);
	CU_ASSERT_EQUAL(count_of(store, NULL), 0);
	CU_ASSERT_EQUAL(count_of(store, "press-1"), 0);

	begin(store); /* the same once more: the rows it refers to are gone */
	CU_ASSERT_FALSE(add_to(store, &v, &triple));
	commit(store);
	page_through(store, everything("press-1", false), &f);
	CU_ASSERT_EQUAL_FATAL(f.count, 1);
	CU_ASSERT_TRUE(same_verdict(&f.verdict[0], &v, 3));
	empty(&f);
	store_close(store);

	/* Row ids of machine, model and feature set go to others now. */
	store = open_store(fresh_path(), STORE_WRITE);
	begin(store);
	add_to(store, &v, &triple);
	store_rollback(store);
	strcpy(w.model, "fedcba9876543210");
	w.threshold = 0.3;
	CU_ASSERT_FALSE(add_alone(store, &w));
	CU_ASSERT_FALSE(add_alone(store, &v));
	page_through(store, everything(NULL, false), &f);
	CU_ASSERT_EQUAL_FATAL(f.count, 2);
	size_t second = strcmp(f.verdict[0].reading.machine, "press-2") == 0 ? 0 : 1;
	CU_ASSERT_TRUE(same_verdict(&f.verdict[second], &w, 2));
	CU_ASSERT_TRUE(same_verdict(&f.verdict[1 - second], &v, 2));
	CU_ASSERT_EQUAL(f.features[0], 2);
	empty(&f);
	CU_ASSERT_EQUAL(count_of(store, "press-1"), 1);
	CU_ASSERT_EQUAL(count_of(store, "press-2"), 1);

	begin(store); /* a minute that is known, counted on in vain */
	struct verdict more = make("press-1", noon + 1, 2);
	CU_ASSERT_FALSE(add(store, &more));
	store_rollback(store);
	more = make("press-1", noon + 2, 3);
	CU_ASSERT_FALSE(add_alone(store, &more));
	CU_ASSERT_EQUAL(count_of(store, "press-1"), 2);
	ASSERT_OK(store_newest(store, "press-1", &newest, &why));
	CU_ASSERT_EQUAL(newest, noon + 2);
	store_rollback(store); /* none is open: nothing happens */
	CU_ASSERT_EQUAL(count_of(store, NULL), 3);
	store_close(store);
}

/* The writer looks at rows of its own transaction, which then goes, and their feature set's
 * number with it. */
static void test_rollback_feature_set(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct verdict v = make("press-1", noon, 1), w = make("press-1", noon + 86400000, 2);
	struct found f = { .count = 0 };
	int64_t newest = 0;

	begin(store);
	add_to(store, &v, &triple);
	add_to(store, &w, &triple); /* another day: the first one's is written */
	ASSERT_OK(store_newest(store, "press-1", &newest, &why));
	store_rollback(store);
	CU_ASSERT_FALSE(add_alone(store, &v));
	page_through(store, everything(NULL, false), &f);
	CU_ASSERT_EQUAL_FATAL(f.count, 1);
	CU_ASSERT_EQUAL(f.features[0], 2);
	empty(&f);
	store_close(store);
}

static void test_begin_twice(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	struct verdict v = make("press-1", noon, 1);

	begin(store);
	add(store, &v);
	store_close(store); /* with an open transaction */
	store_close(NULL);
}

static void test_reopen(void)
{
	const char *path = fresh_path();
	struct list *l = new_list(9);
	struct store *store = open_store(path, STORE_WRITE);

	while (l->count < 500)
		add_batch(store, l);
	store_close(store);
	store = open_store(path, STORE_READ);
	compare_all(store, l);
	store_close(store);
	store = open_store(path, STORE_WRITE);
	compare_all(store, l);
	while (l->count < 1000)
		add_batch(store, l);
	compare_all(store, l);
	store_close(store);
	free(l);
}

struct meddler {
	struct store *writer;
	struct found found;
	int64_t next;
};

/* For every row that is read, one older and one newer are written. */
static bool meddle(void *context, int64_t id, const struct verdict *v, const struct schema *schema)
{
	struct meddler *m = context;
	struct verdict older = make("press-1", noon - m->next, 1000 + m->next),
		       newer = make("press-1", noon + 100 + m->next, 2000 + m->next);

	m->next++;
	begin(m->writer);
	add(m->writer, &older);
	add(m->writer, &newer);
	commit(m->writer);
	return collect(&m->found, id, v, schema);
}

static void test_reader_sees_one_state(void)
{
	const char *path = fresh_path();
	struct meddler m = { .writer = open_store(path, STORE_WRITE), .next = 1 };
	struct store *reader = open_store(path, STORE_READ);

	begin(m.writer);
	for (int i = 0; i < 20; i++) {
		struct verdict v = make("press-1", noon + i, i);
		add(m.writer, &v);
	}
	CU_ASSERT_EQUAL(count_of(reader, NULL), 0);
	CU_ASSERT_EQUAL(count_of(reader, "press-1"), 0);
	commit(m.writer);
	CU_ASSERT_EQUAL(count_of(reader, NULL), 20);
	for (int kind = 0; kind < 2; kind++) {
		struct store_query q = everything(kind ? "press-1" : NULL, false);
		size_t before = count_of(reader, NULL);
		ASSERT_OK(store_find(reader, &q, meddle, &m, &why));
		CU_ASSERT_EQUAL(m.found.count, before);
		CU_ASSERT_EQUAL(count_of(reader, "press-1"), 3 * before);
		empty(&m.found);
	}
	store_close(reader);
	store_close(m.writer);
}

static enum status open_status(const char *path, enum store_mode mode)
{
	struct store *store = NULL;

	why.text[0] = '\0';
	enum status st = store_open(path, mode, &store, &why);
	CU_ASSERT_EQUAL(st == STATUS_OK, store != NULL);
	store_close(store);
	return st;
}

/* A second writer is turned away, until the first has gone. */
static void test_second_writer(void)
{
	const char *path = fresh_path();
	struct store *first = open_store(path, STORE_WRITE);

	CU_ASSERT_EQUAL(open_status(path, STORE_WRITE), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "another agent writes it already");
	CU_ASSERT_EQUAL(open_status(path, STORE_READ), STATUS_OK);
	store_close(first);
	CU_ASSERT_EQUAL(open_status(path, STORE_WRITE), STATUS_OK);
}

/* ---- beside the readings ---- */

static void test_newest(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	static const int64_t later[] = { 0, -5000, 90000, 20, INT64_C(86400000) * 40, 86400000 };
	int64_t newest = 0, highest = -1;

	ASSERT_OK(store_newest(store, "press-1", &newest, &why));
	CU_ASSERT_EQUAL(newest, -1);
	for (int i = 0; i < 6; i++) {
		struct verdict v = make("press-1", noon + later[i], i);
		add_alone(store, &v);
		highest = v.reading.at_ms > highest ? v.reading.at_ms : highest;
		ASSERT_OK(store_newest(store, "press-1", &newest, &why));
		CU_ASSERT_EQUAL(newest, highest);
		ASSERT_OK(store_newest(store, "press-2", &newest, &why));
		CU_ASSERT_EQUAL(newest, -1);
	}
	store_close(store);
	store = open_store(path, STORE_READ);
	ASSERT_OK(store_newest(store, "press-1", &newest, &why));
	CU_ASSERT_EQUAL(newest, highest);
	store_close(store);
}

static void test_machines(void)
{
	struct store *store = open_store(fresh_path(), STORE_WRITE);
	static const char *const order[] = { "Z_9", "a", "press-1", "press-10", "press-2" };
	struct found f = { .count = 0 };

	ASSERT_OK(store_machines(store, collect, &f, &why));
	CU_ASSERT_EQUAL(f.count, 0);
	begin(store);
	for (int i = 0; i < 50; i++) {
		struct verdict v = make(machine_names[i % MACHINES], noon + i * 40000, i);
		add(store, &v);
	}
	struct verdict late = make("a", noon - 86400000, 100);
	add(store, &late);
	ASSERT_OK(store_set_alarm(store, "silent", "{}", &why)); /* never sent a reading */
	commit(store);
	ASSERT_OK(store_machines(store, collect, &f, &why));
	CU_ASSERT_EQUAL_FATAL(f.count, 5);
	for (int i = 0; i < 5; i++) {
		CU_ASSERT_STRING_EQUAL(f.verdict[i].reading.machine, order[i]);
		CU_ASSERT_TRUE(f.verdict[i].reading.seq >= 45 && f.verdict[i].reading.seq < 50);
	}
	empty(&f);
	f.stop_at = 2;
	ASSERT_OK(store_machines(store, collect, &f, &why));
	CU_ASSERT_EQUAL(f.count, 2);
	empty(&f);
	store_close(store);
}

/* One integer that SQL gives, from a connection of its own. */
static int64_t ask(const char *path, const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *statement = NULL;
	int64_t answer = -1;

	CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
	CU_ASSERT_EQUAL_FATAL(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	if (sqlite3_step(statement) == SQLITE_ROW)
		answer = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return answer;
}

static void test_rejected(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	char payload[2 * STORE_REJECTED_BYTES];

	memset(payload, 'x', sizeof(payload));
	begin(store);
	ASSERT_OK(store_add_rejected(store, noon, "t", "json", "empty", NULL, 0, &why));
	for (int i = 0; i < 1500; i++)
		ASSERT_OK(store_add_rejected(store, noon + i, "factory/press-1/reading", "json",
			"not valid JSON", payload, sizeof(payload), &why));
	commit(store);
	CU_ASSERT_EQUAL(ask(path, "SELECT count(*) FROM rejected"), STORE_REJECTED_MAX);
	CU_ASSERT_EQUAL(ask(path, "SELECT min(received) FROM rejected"), noon + 500);
	CU_ASSERT_EQUAL(ask(path, "SELECT max(received) FROM rejected"), noon + 1499);
	CU_ASSERT_EQUAL(
		ask(path, "SELECT max(length(payload)) FROM rejected"), STORE_REJECTED_BYTES);
	store_close(store);
	store = open_store(path, STORE_WRITE);
	begin(store);
	ASSERT_OK(store_add_rejected(store, noon, "t", "topic", "?", "y", 1, &why));
	commit(store);
	CU_ASSERT_EQUAL(ask(path, "SELECT count(*) FROM rejected"), STORE_REJECTED_MAX);
	store_close(store);
}

static void sum_counter(void *context, const char *name, int64_t value)
{
	int64_t *sum = context;
	*sum += value *
		(strcmp(name, "stored") == 0                         ? 1
				: strcmp(name, "rejected.json") == 0 ? 100
								     : 1000000);
}

static void join_alarm(void *context, const char *machine, const char *json)
{
	char *out = context;
	snprintf(out + strlen(out), 256 - strlen(out), "%s=%s;", machine, json);
}

static void test_counters_alarms(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	struct verdict v = make("press-2", noon, 1);
	int64_t sum = 0;
	char alarms[256] = "";

	begin(store);
	add(store, &v); /* a machine without an alarm */
	ASSERT_OK(store_set_counter(store, "stored", 1, &why));
	ASSERT_OK(store_set_counter(store, "rejected.json", 2, &why));
	ASSERT_OK(store_set_alarm(store, "press-1", "{\"state\":\"normal\"}", &why));
	commit(store);
	begin(store);
	ASSERT_OK(store_set_counter(store, "stored", 7, &why));
	ASSERT_OK(store_set_alarm(store, "press-1", "{\"count\":3}", &why));
	v = make("press-1", noon, 1);
	CU_ASSERT_FALSE(add(store, &v)); /* the alarm made the machine known */
	commit(store);
	begin(store);
	ASSERT_OK(store_set_counter(store, "stored", 99, &why));
	ASSERT_OK(store_set_alarm(store, "press-1", "lost", &why));
	ASSERT_OK(store_set_alarm(store, "press-3", "lost", &why));
	store_rollback(store);
	store_close(store);
	store = open_store(path, STORE_WRITE);
	ASSERT_OK(store_counters(store, sum_counter, &sum, &why));
	CU_ASSERT_EQUAL(sum, 207);
	ASSERT_OK(store_alarms(store, join_alarm, alarms, &why));
	CU_ASSERT_STRING_EQUAL(alarms, "press-1={\"count\":3};");
	CU_ASSERT_EQUAL(count_of(store, "press-1"), 1);
	store_close(store);
}

/* ---- what is no history, or not ours ---- */

static void execute(const char *path, const char *sql)
{
	sqlite3 *db = NULL;

	CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
	CU_ASSERT_EQUAL_FATAL(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	CU_ASSERT_EQUAL_FATAL(sqlite3_close(db), SQLITE_OK);
}

static void refused(const char *path, const char *word)
{
	char before[DIGEST_TEXT_SIZE], after[DIGEST_TEXT_SIZE];

	ASSERT_OK(digest_file_hex(path, before, &why));
	for (int mode = STORE_WRITE; mode <= STORE_READ; mode++) {
		enum status st = open_status(path, (enum store_mode)mode);
		CU_ASSERT_TRUE(st == STATUS_BAD_INPUT || st == STATUS_IO || st == STATUS_CORRUPT);
		ASSERT_HOLDS(why.text, path);
		ASSERT_HOLDS(why.text, word);
	}
	ASSERT_OK(digest_file_hex(path, after, &why));
	CU_ASSERT_STRING_EQUAL(before, after);
}

static void test_foreign(void)
{
	const char *path = fresh_path();

	execute(path, "CREATE TABLE reading(id INTEGER PRIMARY KEY)");
	refused(path, "another program");
	path = fresh_path();
	execute(path, "PRAGMA application_id=7; CREATE TABLE t(x)");
	refused(path, "another program");
	path = fresh_path();
	execute(path, "PRAGMA user_version=1; CREATE TABLE t(x)");
	refused(path, "another program");
}

static void test_other_version(void)
{
	static const char *const versions[] = { "2", "0", "-1" };

	for (int i = 0; i < 3; i++) {
		const char *path = fresh_path();
		char sql[64], word[64];
		store_close(open_store(path, STORE_WRITE));
		snprintf(sql, sizeof(sql), "PRAGMA user_version=%s", versions[i]);
		snprintf(
			word, sizeof(word), "schema version %s, this program knows 1", versions[i]);
		execute(path, sql);
		refused(path, word);
	}
}

static void test_missing_parts(void)
{
	const char *path = fresh_path();

	store_close(open_store(path, STORE_WRITE));
	execute(path, "DELETE FROM meta");
	refused(path, "identity key");
	path = fresh_path();
	store_close(open_store(path, STORE_WRITE));
	execute(path, "DROP TABLE day");
	refused(path, "day");
}

static void test_garbage(void)
{
	char bytes[8192];
	struct rng rng;

	rng_seed(&rng, 6);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)rng_next(&rng);
	refused(unit_file("garbage.db", bytes, sizeof(bytes)), "not a database");
	refused(unit_file("text.db", "machine,score\n", 14), "not a database");
	memcpy(bytes, "SQLite format 3", 16);
	refused(unit_file("header.db", bytes, sizeof(bytes)), "");
	refused(unit_file("page.db", bytes, 100), "");
}

static void test_no_file(void)
{
	char path[300];

	CU_ASSERT_EQUAL(open_status(unit_path("absent.db"), STORE_READ), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "absent.db: no history yet");
	CU_ASSERT_EQUAL(open_status(unit_file("zero.db", "", 0), STORE_READ), STATUS_NOT_FOUND);
	CU_ASSERT_EQUAL(open_status(unit_path("zero.db"), STORE_WRITE), STATUS_OK);
	CU_ASSERT_EQUAL(open_status(unit_path("zero.db"), STORE_READ), STATUS_OK);
	CU_ASSERT_EQUAL(open_status(unit_path("no/folder/h.db"), STORE_WRITE), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "No such file or directory");
	CU_ASSERT_NOT_EQUAL(open_status(unit_folder(), STORE_WRITE), STATUS_OK);
	snprintf(path, sizeof(path), "%s/h.db", unit_file("plain", "x", 1));
	CU_ASSERT_NOT_EQUAL(open_status(path, STORE_WRITE), STATUS_OK);
	ASSERT_HOLDS(why.text, "plain");
	CU_ASSERT_EQUAL(open_status(":memory:", STORE_WRITE), STATUS_OK);
}

static bool ignore_row(void *context, int64_t id, const struct verdict *v, const struct schema *s)
{
	char text[VERDICT_TEXT_MAX];
	(void)context;
	(void)id;

	(void)verdict_encode(v, s, text, sizeof(text)); /* nothing to hold it against */
	return true;
}

static void ignore_counter(void *context, const char *name, int64_t value)
{
	(void)context;
	(void)value;
	CU_ASSERT_PTR_NOT_NULL(name);
}

static void ignore_alarm(void *context, const char *machine, const char *json)
{
	(void)context;
	CU_ASSERT_TRUE(machine && json);
}

/* Reads and writes all it can; what comes of it does not matter. */
static bool use(struct store *store, enum store_mode mode)
{
	bool sound = true, duplicate;
	int64_t newest;

	for (int kind = 0; kind < 4; kind++) {
		struct store_query q = everything(kind & 1 ? "press-1" : NULL, kind & 2);
		sound &= store_find(store, &q, ignore_row, NULL, &why) == STATUS_OK;
	}
	sound &= store_machines(store, ignore_row, NULL, &why) == STATUS_OK;
	sound &= store_newest(store, "press-2", &newest, &why) == STATUS_OK;
	sound &= store_counters(store, ignore_counter, NULL, &why) == STATUS_OK;
	sound &= store_alarms(store, ignore_alarm, NULL, &why) == STATUS_OK;
	if (mode == STORE_READ || store_begin(store, &why) != STATUS_OK)
		return sound;
	for (int i = 0; i < 4; i++) {
		struct verdict v = make(machine_names[i], noon + i * 30000, 10000 + i);
		sound &= store_add(store, &v, &pair, &duplicate, &why) == STATUS_OK;
	}
	return store_commit(store, &why) == STATUS_OK && sound;
}

/* A few bytes of a good file changed at a time. */
static void test_damaged(void)
{
	const char *good = fresh_path(), *bad = unit_path("damaged.db");
	struct list *l = new_list(12);
	struct store *store = open_store(good, STORE_WRITE);
	char *bytes = NULL;
	size_t len, noticed = 0;

	while (l->count < 300)
		add_batch(store, l);
	begin(store);
	ASSERT_OK(store_set_counter(store, "stored", 1, &why));
	ASSERT_OK(store_set_alarm(store, "press-1", "{}", &why));
	commit(store);
	store_close(store);
	ASSERT_OK(file_read(good, 1 << 24, &bytes, &len, &why));
	for (int i = 0; i < 1500; i++) {
		char *copy = malloc(len);
		CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
		memcpy(copy, bytes, len);
		for (uint64_t n = 1 + rng_below(&l->rng, 40); n > 0; n--)
			copy[100 + rng_below(&l->rng, len - 100)] = (char)rng_next(&l->rng);
		unit_file("damaged.db", copy, len);
		enum store_mode mode = i % 2 ? STORE_READ : STORE_WRITE;
		bool sound = store_open(bad, mode, &store, &why) == STATUS_OK;
		if (sound) {
			sound = use(store, mode);
			store_close(store);
		}
		noticed += !sound;
		free(copy);
	}
	CU_ASSERT_TRUE(noticed > 100);
	free(bytes);
	free(l);
}

/* ---- a disk that takes no more ---- */

/* The file system refuses to let files grow. */
static void test_no_room_to_grow(void)
{
	const char *path = fresh_path();
	struct store *store = open_store(path, STORE_WRITE);
	struct verdict v = make("press-1", noon, 1);
	struct rlimit usual, tight;
	enum status st = STATUS_OK;
	bool duplicate;

	add_alone(store, &v);
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &usual), 0);
	tight = usual;
	tight.rlim_cur = 256 * 1024;
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &tight), 0);
	size_t stored = 1;
	for (int batch = 0; batch < 1000 && st == STATUS_OK; batch++) {
		begin(store);
		for (int i = 0; i < 100; i++) {
			v = make("press-1", noon + 1000 * (batch * 100 + i), 10 + batch * 100 + i);
			if (st == STATUS_OK)
				st = store_add(store, &v, &pair, &duplicate, &why);
		}
		if (st == STATUS_OK)
			st = store_commit(store, &why);
		else
			store_rollback(store);
		stored += st == STATUS_OK ? 100 : 0;
	}
	CU_ASSERT_TRUE(st == STATUS_IO || st == STATUS_FULL);
	ASSERT_HOLDS(why.text, path);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &usual), 0);
	CU_ASSERT_EQUAL(count_of(store, NULL), stored);
	CU_ASSERT_EQUAL(count_of(store, "press-1"), stored);
	CU_ASSERT_FALSE(add_alone(store, &v)); /* of the batch that failed */
	CU_ASSERT_EQUAL(count_of(store, "press-1"), stored + 1);
	store_close(store);
}

enum { SKIPPED = 77 };

/* In a child process with a file system of 1 MB of its own; returns what it exits with. */
static int fill_disk(const char *folder)
{
	char path[300], ballast[300], kilobyte[1024] = "";
	struct store *store = NULL;
	enum status st = STATUS_OK;
	size_t stored = 0;
	bool duplicate;

	if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
		mount("none", folder, "tmpfs", 0, "size=1m") != 0)
		return SKIPPED;
	snprintf(path, sizeof(path), "%s/h.db", folder);
	snprintf(ballast, sizeof(ballast), "%s/ballast", folder);
	FILE *file = fopen(ballast, "wb");
	for (int i = 0; file && i < 400; i++)
		fwrite(kilobyte, 1, sizeof(kilobyte), file);
	if (!file || fclose(file) != 0)
		return 1;
	if (store_open(path, STORE_WRITE, &store, &why) != STATUS_OK)
		return 2;
	for (int i = 0; st == STATUS_OK && i < 100000; i++) {
		struct verdict v = make("press-1", noon + 1000 * i, i);
		if ((st = store_begin(store, &why)) == STATUS_OK) {
			st = store_add(store, &v, &pair, &duplicate, &why);
			if (st == STATUS_OK)
				st = store_commit(store, &why);
			else
				store_rollback(store);
		}
		stored += st == STATUS_OK;
	}
	if (st != STATUS_FULL)
		return 3;
	if (!strstr(why.text, "full"))
		return 4;
	if (count_of(store, "press-1") != stored || count_of(store, NULL) != stored)
		return 5;
	unlink(ballast);
	struct verdict v = make("press-1", noon - 1, 1);
	if (store_begin(store, &why) != STATUS_OK ||
		store_add(store, &v, &pair, &duplicate, &why) != STATUS_OK || duplicate ||
		store_commit(store, &why) != STATUS_OK)
		return 6;
	if (count_of(store, "press-1") != stored + 1)
		return 7;
	store_close(store);
	return stored > 10 ? 0 : 8;
}

static void test_full_disk(void)
{
	const char *folder = unit_path("small");
	int status = 0;

	CU_ASSERT_EQUAL_FATAL(mkdir(folder, 0700), 0);
	fflush(stdout);
	pid_t child = fork();
	CU_ASSERT_TRUE_FATAL(child >= 0);
	if (child == 0)
		_exit(fill_disk(folder));
	CU_ASSERT_EQUAL_FATAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE_FATAL(WIFEXITED(status));
	if (WEXITSTATUS(status) == SKIPPED)
		printf("skipped: no right to mount a small file system\n");
	else
		CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
}

static CU_TestInfo cases[] = {
	{ "a verdict is read back as it was stored", test_one },
	{ "explanations and smoothed scores come back with their rows", test_explained },
	{ "one model may stand with two thresholds", test_thresholds },
	{ "1970 and 2109 are stored and found", test_ends_of_time },
	{ "pages give every row once, newest first, for every query", test_paging },
	{ "a walk stops when told", test_stop },
	{ "a minute of 5,000 readings is found whole", test_dense_minute },
	{ "a reader past its deadline gives up", test_deadline },
	{ "the WAL of a busy writer is begun anew", test_wal_of_a_busy_writer },
	{ "6,000 readings of one millisecond are kept apart", test_same_millisecond },
	{ "the same reading is a duplicate at any distance", test_duplicates },
	{ "what differs in seq, time or value is another reading", test_no_duplicates },
	{ "without a time, seq and values tell", test_no_time },
	{ "without time and seq nothing is a duplicate", test_no_identity },
	{ "values belong to names, not to places", test_other_feature_order },
	{ "a rollback leaves nothing, nor in the caches", test_rollback },
	{ "a rollback forgets the feature set too", test_rollback_feature_set },
	{ "closing rolls back", test_begin_twice },
	{ "all is there after a restart", test_reopen },
	{ "a reader sees one committed state", test_reader_sees_one_state },
	{ "a second writer is turned away", test_second_writer },
	{ "the newest time of a machine", test_newest },
	{ "the newest verdict of every machine, by name", test_machines },
	{ "the newest 1,000 rejected messages are kept", test_rejected },
	{ "counters and alarms outlive a restart", test_counters_alarms },
	{ "another program's database is refused untouched", test_foreign },
	{ "another schema version is refused", test_other_version },
	{ "a history without its key or a table is refused", test_missing_parts },
	{ "garbage is refused", test_garbage },
	{ "what is not there and what cannot be made", test_no_file },
	{ "a damaged history does no harm", test_damaged },
	{ "a file that may not grow costs one batch", test_no_room_to_grow },
	{ "a full disk costs one batch", test_full_disk },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return make_schemas() ? unit_run("store", cases) : 1;
}
