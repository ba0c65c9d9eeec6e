#include "agent/syncer.h"
#include "common/log.h"
#include "common/store_sync.h"
#include "common/timeutil.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/* Between two attempts on a disk that fails. */
enum { RETRY_MS = 250 };

struct receipts {
	struct mqtt_receipt *receipt; /* [room] */
	size_t count, room;
};

struct syncer {
	struct syncer_options options;
	struct store_sync *sync;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows, but for `busy` */
	pthread_cond_t changed;
	struct receipts waiting, busy; /* for the next sync; of the one that runs */
	bool dirty;                    /* there was a commit since the last sync began */
	bool stop;
	_Atomic int64_t acknowledged_ns; /* monotonic: when messages were last acknowledged */
	int64_t failing_ns;              /* the thread's: since when, 0: it does not */
	struct log_limit limit;
};

/* Waits for RETRY_MS; false: it is time to stop. */
static bool pause_for_retry(struct syncer *s)
{
	struct timespec until = time_spec(time_monotonic_ns() + RETRY_MS * INT64_C(1000000));

	pthread_mutex_lock(&s->lock);
	while (!s->stop && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0)
		;
	bool go_on = !s->stop;
	pthread_mutex_unlock(&s->lock);
	return go_on;
}

static enum status sync_timed(struct syncer *s, bool rescue, struct why *why)
{
	int64_t began = time_monotonic_ns();

	atomic_store(&s->options.health->sync_ns, began);
	enum status st = rescue ? store_sync_rescue(s->sync, why) : store_sync_now(s->sync, why);
	atomic_store(&s->options.health->sync_ns, 0);
	metrics_observe(
		s->options.metrics, HISTOGRAM_SYNC, (double)(time_monotonic_ns() - began) * 1e-9);
	return st;
}

static void note_failure(struct syncer *s, const struct why *why)
{
	if (s->failing_ns == 0)
		s->failing_ns = time_monotonic_ns();
	atomic_store(&s->options.health->sync_failing, true);
	metrics_add(s->options.metrics, METRIC_STORE_ERRORS, 1);
	log_limited(&s->limit, LOG_LEVEL_ERROR,
		"history not safe on its disk: %s; readings wait for %lld s, then they are "
		"acknowledged and counted as unsynced",
		why->text, (long long)s->options.hold_ms / 1000);
}

static void note_success(struct syncer *s)
{
	if (s->failing_ns == 0)
		return;
	log_info("history is safe on its disk again after %.1f s",
		(double)(time_monotonic_ns() - s->failing_ns) * 1e-9);
	s->failing_ns = 0;
	atomic_store(&s->options.health->sync_failing, false);
}

/* What was committed before is on the disk, or was held back long enough. False: neither, and it
 * is time to stop; the broker keeps the messages. */
static bool make_safe(struct syncer *s)
{
	struct why why;
	bool rescue = s->failing_ns != 0;

	for (;;) {
		if (sync_timed(s, rescue, &why) == STATUS_OK) {
			note_success(s);
			return true;
		}
		note_failure(s, &why);
		rescue = true;
		if (time_monotonic_ns() - s->failing_ns >= s->options.hold_ms * 1000000) {
			metrics_add(s->options.metrics, METRIC_UNSYNCED, (int64_t)s->busy.count);
			return true;
		}
		if (!pause_for_retry(s))
			return false;
	}
}

static void *work(void *context)
{
	struct syncer *s = context;

	(void)prctl(PR_SET_NAME, "syncer"); /* for top -H and perf */
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->dirty && !s->stop)
			pthread_cond_wait(&s->changed, &s->lock);
		if (!s->dirty)
			break;
		struct receipts next = s->busy;
		s->busy = s->waiting;
		s->waiting = next;
		s->waiting.count = 0;
		s->dirty = false;
		pthread_mutex_unlock(&s->lock);
		if (make_safe(s)) {
			mqtt_acknowledge(s->options.mqtt, s->busy.receipt, s->busy.count);
			atomic_store(&s->acknowledged_ns, time_monotonic_ns());
		}
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static bool make_room(struct receipts *receipts, size_t n)
{
	size_t room = receipts->room ? receipts->room : 256;

	while (room < receipts->count + n)
		room *= 2;
	if (room == receipts->room)
		return true;
	struct mqtt_receipt *larger = realloc(receipts->receipt, room * sizeof(*larger));
	if (!larger)
		return false;
	receipts->receipt = larger;
	receipts->room = room;
	return true;
}

void syncer_add(struct syncer *s, const struct mqtt_receipt *receipts, size_t n)
{
	pthread_mutex_lock(&s->lock);
	if (n > 0 && make_room(&s->waiting, n)) {
		memcpy(s->waiting.receipt + s->waiting.count, receipts, n * sizeof(*receipts));
		s->waiting.count += n;
	}
	s->dirty = true;
	pthread_mutex_unlock(&s->lock);
	pthread_cond_signal(&s->changed);
}

int64_t syncer_acknowledged_ns(const struct syncer *s)
{
	return atomic_load(&s->acknowledged_ns);
}

static void destroy(struct syncer *s)
{
	store_sync_destroy(s->sync);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s->waiting.receipt);
	free(s->busy.receipt);
	free(s);
}

enum status syncer_start(const struct syncer_options *options, struct syncer **out, struct why *why)
{
	struct syncer *s = calloc(1, sizeof(*s));
	pthread_condattr_t attributes;

	if (!s)
		return fail(why, STATUS_NO_MEMORY, "no memory for the syncer");
	s->options = *options;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	enum status st = store_sync_create(options->path, &s->sync, why);
	if (st == STATUS_OK) {
		int rc = pthread_create(&s->thread, NULL, work, s);
		if (rc != 0)
			st = fail(why, STATUS_NO_MEMORY, "no thread to sync: %s", strerror(rc));
	}
	if (st != STATUS_OK) {
		destroy(s);
		return st;
	}
	*out = s;
	return STATUS_OK;
}

void syncer_stop(struct syncer *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	destroy(s);
}
