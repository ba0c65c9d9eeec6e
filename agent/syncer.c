#include "agent/syncer.h"
#include "common/log.h"
#include "common/store_sync.h"
#include "common/timeutil.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* Between two attempts on a disk that fails. */
enum { RETRY_MS = 250 };

/* Few messages wait for more, so that a quiet plant does not cost a sync for each: nobody waits
 * for a PUBACK but the broker, whose window (20 messages, if nobody set it) is hardly touched.
 * Where the window is smaller, the next message comes as soon as we acknowledge; IN_A_ROW times so,
 * and we don't linger for a while. */
enum { LINGER_MS = 400, FEW = 8, AT_ONCE_MS = 20, IN_A_ROW = 4, HURRY_S = 60 };

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
	int64_t first_ns;    /* monotonic: when that commit was */
	int64_t lingered_ns; /* when something was acknowledged that had lingered, 0: it had not */
	int64_t hurry_ns;    /* until then nothing lingers */
	unsigned at_once;    /* acknowledgements in a row that were followed at once */
	int64_t failing_ns;  /* the thread's: since when, 0: it does not */
	struct log_limit limit;
};

/* Under the lock; false: it is past that time. */
static bool wait_until(struct syncer *s, int64_t ns)
{
	struct timespec until = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	return pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0;
}

/* Waits for RETRY_MS; false: it is time to stop. */
static bool pause_for_retry(struct syncer *s)
{
	int64_t until_ns = time_monotonic_ns() + RETRY_MS * INT64_C(1000000);

	pthread_mutex_lock(&s->lock);
	while (!s->stop && wait_until(s, until_ns))
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

/* Under the lock: waits for company, true if it did. */
static bool linger(struct syncer *s)
{
	int64_t until_ns = s->first_ns + LINGER_MS * INT64_C(1000000);

	if (s->first_ns < s->hurry_ns)
		return false;
	while (!s->stop && s->waiting.count < FEW && wait_until(s, until_ns))
		;
	return true;
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
		bool lingered = linger(s);
		struct receipts next = s->busy;
		s->busy = s->waiting;
		s->waiting = next;
		s->waiting.count = 0;
		s->dirty = false;
		pthread_mutex_unlock(&s->lock);
		if (make_safe(s))
			mqtt_acknowledge(s->options.mqtt, s->busy.receipt, s->busy.count);
		pthread_mutex_lock(&s->lock);
		s->lingered_ns = lingered && s->busy.count > 0 ? time_monotonic_ns() : 0;
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

/* Under the lock: a commit that begins a new turn. */
static void note_first(struct syncer *s)
{
	s->first_ns = time_monotonic_ns();
	if (s->lingered_ns == 0)
		return;
	bool at_once = s->first_ns - s->lingered_ns < AT_ONCE_MS * INT64_C(1000000);
	s->at_once = at_once ? s->at_once + 1 : 0;
	s->lingered_ns = 0;
	if (s->at_once < IN_A_ROW)
		return;
	s->hurry_ns = s->first_ns + HURRY_S * INT64_C(1000000000);
	s->at_once = 0;
}

void syncer_add(struct syncer *s, const struct mqtt_receipt *receipts, size_t n)
{
	pthread_mutex_lock(&s->lock);
	if (n > 0 && make_room(&s->waiting, n)) {
		memcpy(s->waiting.receipt + s->waiting.count, receipts, n * sizeof(*receipts));
		s->waiting.count += n;
	}
	bool wake = !s->dirty || s->waiting.count >= FEW;
	if (!s->dirty)
		note_first(s);
	s->dirty = true;
	pthread_mutex_unlock(&s->lock);
	if (wake)
		pthread_cond_signal(&s->changed);
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
