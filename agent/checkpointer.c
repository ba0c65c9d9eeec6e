#include "agent/checkpointer.h"
#include "common/log.h"
#include "common/store.h"
#include "common/timeutil.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* Between two checkpoints: within the second that store.durability = balanced promises, and short
 * enough that a burst of 40,000 rows a second leaves some 10 MB. */
enum { PERIOD_MS = 400 };

/* Where commits are synced by others there is no hurry while the WAL is small: a checkpoint syncs
 * two files, which at ten readings a second was a fifth of what they cost. About 10 MB of it. */
enum { COMMITS_MAX = 200, ROWS_MAX = 2000, LAZY_MS = 10000 };

struct checkpointer {
	pthread_t thread;
	char *path;
	struct metrics *metrics;
	struct store *store; /* NULL: to be opened */
	bool lazy;
	uint64_t commits, rows; /* when the last one was made */
	int64_t made_ns;
	pthread_mutex_t lock;
	pthread_cond_t stopped;
	bool stop;
	struct log_limit limit;
};

static bool is_due(struct checkpointer *c)
{
	struct ledger ledger;
	uint64_t commits;
	double seconds;
	int64_t now = time_monotonic_ns();

	metrics_histogram(c->metrics, HISTOGRAM_COMMIT, &commits, &seconds);
	metrics_ledger(c->metrics, &ledger);
	if (c->lazy && commits - c->commits < COMMITS_MAX && ledger.stored - c->rows < ROWS_MAX &&
		now - c->made_ns < LAZY_MS * INT64_C(1000000))
		return false;
	c->commits = commits;
	c->rows = ledger.stored;
	c->made_ns = now;
	return true;
}

static void checkpoint(struct checkpointer *c)
{
	struct why why;
	int64_t wal_bytes;
	enum status st = STATUS_OK;

	if (c->store && store_stale(c->store)) {
		store_close(c->store);
		c->store = NULL;
	}
	if (!c->store)
		st = store_open(c->path, STORE_CHECKPOINT, &c->store, &why);
	if (st == STATUS_OK)
		st = store_checkpoint(c->store, &wal_bytes, &why);
	if (st == STATUS_OK) {
		metrics_set(c->metrics, METRIC_WAL_BYTES, wal_bytes);
		return;
	}
	/* A full disk, or a file that was put aside: with a fresh connection it goes on. */
	log_limited(&c->limit, LOG_LEVEL_WARNING, "no checkpoint, trying again: %s", why.text);
	store_close(c->store);
	c->store = NULL;
}

static void *work(void *context)
{
	struct checkpointer *c = context;

	(void)prctl(PR_SET_NAME, "checkpointer"); /* for top -H and perf */
	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		struct timespec until =
			time_spec(time_monotonic_ns() + PERIOD_MS * INT64_C(1000000));
		pthread_cond_timedwait(&c->stopped, &c->lock, &until);
		if (c->stop)
			break;
		pthread_mutex_unlock(&c->lock);
		if (is_due(c))
			checkpoint(c);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

enum status checkpointer_start(const char *path, struct metrics *metrics, bool lazy,
	struct checkpointer **out, struct why *why)
{
	struct checkpointer *c = calloc(1, sizeof(*c));
	pthread_condattr_t attributes;

	if (!c || !(c->path = strdup(path))) {
		free(c);
		return fail(why, STATUS_NO_MEMORY, "no memory for the checkpoints");
	}
	c->metrics = metrics;
	c->lazy = lazy;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&c->stopped, &attributes);
	pthread_condattr_destroy(&attributes);
	int rc = pthread_create(&c->thread, NULL, work, c);
	if (rc != 0) {
		pthread_cond_destroy(&c->stopped);
		pthread_mutex_destroy(&c->lock);
		free(c->path);
		free(c);
		return fail(why, STATUS_NO_MEMORY, "no thread for checkpoints: %s", strerror(rc));
	}
	*out = c;
	return STATUS_OK;
}

void checkpointer_stop(struct checkpointer *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->stopped);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	store_close(c->store);
	pthread_cond_destroy(&c->stopped);
	pthread_mutex_destroy(&c->lock);
	free(c->path);
	free(c);
}
