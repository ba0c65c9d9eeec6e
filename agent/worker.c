#include "agent/worker.h"
#include "agent/linger.h"
#include "common/log.h"
#include "common/timeutil.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* How long the worker sleeps at most: /health/live and the watchdog ask whether it moves, and an
 * idle one looks for requests as often. */
enum { BEAT_MS = 200, REQUESTS_MAX = 16 };

/* Between two looks at what only time brings: each looks at every machine. */
enum { TICK_MS = 100 };

/* Between two attempts to write a failing store. */
enum { RETRY_MS = 250 };

/* Between two attempts to open it again. */
enum { MEND_MS = 500 };

struct worker {
	struct worker_options options;
	pthread_t thread;
	struct mqtt_receipt *receipts; /* [options.batch + REQUESTS_MAX] */
	struct linger linger;
	int64_t acknowledged_ns; /* where there is no syncer: as it would say */
	uint64_t connects;       /* of the connection, when alarms were last published */
	int64_t failing_ns;      /* monotonic: since when the store fails, 0: it does not */
	int64_t retry_ns;        /* when it is tried again */
	int64_t mend_ns;         /* and opened again, at the earliest */
	int64_t ticked_ns;       /* when pipeline_tick was last called */
	struct log_limit store_limit, refused_limit;
};

/* Messages that are done with; `committed`: by a transaction, that may have to be synced. */
static void acknowledge(struct worker *w, const struct message *messages, size_t n, bool committed)
{
	size_t receipts = 0;

	for (size_t i = 0; i < n; i++) {
		if (messages[i].qos > 0)
			w->receipts[receipts++] = messages[i].receipt;
	}
	if (committed && w->options.syncer) {
		syncer_add(w->options.syncer, w->receipts, receipts);
		return;
	}
	mqtt_acknowledge(w->options.mqtt, w->receipts, receipts);
	w->acknowledged_ns = time_monotonic_ns();
}

/* Mosquitto 2.0.11 sends beyond its max_inflight_messages while it drains the queue of a client
 * that was away. What found no room here comes again with the next connection, so there has to be
 * one, as soon as there is room. */
static void ask_again(struct worker *w)
{
	size_t refused =
		queue_take_refused(w->options.queue) + queue_take_refused(w->options.requests);

	if (refused == 0)
		return;
	log_limited(&w->refused_limit, LOG_LEVEL_WARNING,
		"%zu messages found no room (reading.queue_kb) and were left to the broker; "
		"connecting anew, so that it sends them again",
		refused);
	mqtt_renew(w->options.mqtt);
}

static void run_requests(struct worker *w)
{
	const struct message *messages;
	size_t n = queue_pop(w->options.requests, 0, REQUESTS_MAX, &messages);

	for (size_t i = 0; i < n; i++) {
		/* An earlier run's alarm, kept by the broker. */
		if (strncmp(messages[i].topic, "alerts/", 7) == 0)
			pipeline_adopt(w->options.pipeline, &messages[i]);
		/* A retained request would be carried out again at every connect. */
		else if (!messages[i].retained)
			w->options.on_request(w->options.context, &messages[i]);
	}
	/* At once: what comes again would be carried out again, and what a command changed is
	 * safe when it is told. */
	if (n > 0)
		acknowledge(w, messages, n, false);
}

static void run_command(void *context, const struct command *command, struct command_answer *answer)
{
	pipeline_command(context, command, answer);
}

/* What waits beside the readings, and what only time brings. */
static void look_around(struct worker *w)
{
	if (w->options.desk)
		desk_serve(w->options.desk, run_command, w->options.pipeline);
	int64_t now = time_monotonic_ns();
	if (now - w->ticked_ns < TICK_MS * INT64_C(1000000))
		return;
	w->ticked_ns = now;
	pipeline_tick(w->options.pipeline, time_now_ms(), mqtt_subscribed(w->options.mqtt));
}

static void note_connection(struct worker *w)
{
	struct health *health = w->options.health;
	bool connected = mqtt_connected(w->options.mqtt);
	uint64_t connects = mqtt_connects(w->options.mqtt);
	int64_t now = time_monotonic_ns();

	atomic_store(&health->beat_ns, now);
	if (connected)
		atomic_store(&health->lost_ns, 0);
	else if (connects > 0 && atomic_load(&health->lost_ns) == 0)
		atomic_store(&health->lost_ns, now);
	if (connected && connects != w->connects) {
		w->connects = connects;
		pipeline_republish(w->options.pipeline); /* the broker may have lost them */
	}
	if (connected)
		pipeline_publish_unsent(w->options.pipeline);
	if (w->options.probe)
		probe_step(w->options.probe, w->options.mqtt, now);
	(void)mqtt_end_stalled(w->options.mqtt); /* it says so itself */
}

/* A full disk is waited for with the file open: a new connection would need space. */
static void mend_store(struct worker *w, enum status trouble, struct why *why)
{
	int64_t now = time_monotonic_ns();

	if (trouble == STATUS_FULL || trouble == STATUS_NO_MEMORY || now < w->mend_ns)
		return;
	w->mend_ns = now + MEND_MS * INT64_C(1000000);
	enum status st = pipeline_mend(w->options.pipeline, trouble, why);
	atomic_store(&w->options.health->store_read_only,
		st == STATUS_READ_ONLY || (st == STATUS_OK && trouble == STATUS_READ_ONLY));
	if (st == STATUS_OK)
		w->retry_ns = now; /* at once */
}

static void note_failure(struct worker *w, enum status trouble, struct why *why)
{
	int64_t now = time_monotonic_ns();

	atomic_store(&w->options.health->store_failing, true);
	if (w->failing_ns == 0)
		w->failing_ns = now;
	w->retry_ns = now + RETRY_MS * INT64_C(1000000);
	log_limited(&w->store_limit, LOG_LEVEL_ERROR,
		"history not written: %s; readings wait for %lld s, then they are dropped and counted",
		why->text, (long long)w->options.hold_ms / 1000);
	mend_store(w, trouble, why);
}

static void note_recovery(struct worker *w)
{
	if (w->failing_ns == 0)
		return;
	log_info("history is written again after %.1f s",
		(double)(time_monotonic_ns() - w->failing_ns) * 1e-9);
	w->failing_ns = 0;
	atomic_store(&w->options.health->store_failing, false);
	atomic_store(&w->options.health->store_read_only, false);
}

enum outcome { OUTCOME_STORED, OUTCOME_SHED, OUTCOME_WAIT };

/* One attempt: stored, or shed if the store has failed for longer than we hold, or to be tried
 * again. While shedding the store is tried every RETRY_MS, so intake resumes soon after it can. */
static enum outcome attempt(struct worker *w, const struct models *models, struct batch *batch)
{
	struct why why;
	int64_t now = time_monotonic_ns();

	if (w->failing_ns == 0 || now >= w->retry_ns) {
		enum status st =
			pipeline_run(w->options.pipeline, models, batch, PIPELINE_STORE, &why);
		if (st == STATUS_OK) {
			note_recovery(w);
			return OUTCOME_STORED;
		}
		note_failure(w, st, &why);
	}
	if (time_monotonic_ns() - w->failing_ns < w->options.hold_ms * 1000000)
		return OUTCOME_WAIT;
	if (pipeline_run(w->options.pipeline, models, batch, PIPELINE_SHED, &why) != STATUS_OK)
		abort(); /* shedding does not fail */
	return OUTCOME_SHED;
}

/* What came meanwhile shares the commit, and some messages wait for it (agent/linger.h). Whoever
 * wants something of the worker ends the wait. */
static bool more(void *context, struct batch *batch)
{
	struct worker *w = context;
	size_t before = batch->n;
	int64_t now = time_monotonic_ns();
	bool calm =
		w->failing_ns == 0 && before < w->options.batch && !queue_closed(w->options.queue);
	int wait_ms = calm ? linger_ms(&w->linger, now, before) : 0;

	atomic_store(&w->options.health->beat_ns, now);
	if (wait_ms > 0 && w->options.desk && !desk_may_wait(w->options.desk))
		wait_ms = 0;
	batch->n = queue_pop_more(w->options.queue, wait_ms, w->options.batch, &batch->messages);
	if (wait_ms > 0)
		linger_waited(&w->linger, time_monotonic_ns(), batch->n > before);
	return batch->n > before;
}

/* One transaction, then the acknowledgements of its messages. A stop while the store fails leaves
 * the batch unacknowledged: the broker keeps it. */
static void run_batch(struct worker *w, const struct message *messages, size_t n)
{
	struct batch batch = { .messages = messages, .n = n, .more = more, .context = w };
	const struct models *models = model_slot_hold(w->options.slot);
	const struct timespec pause = { .tv_nsec = RETRY_MS * 1000000L };
	enum outcome outcome;

	if (w->options.desk)
		desk_leave(w->options.desk);
	linger_begin(&w->linger, time_monotonic_ns(),
		w->options.syncer ? syncer_acknowledged_ns(w->options.syncer) : w->acknowledged_ns);
	while ((outcome = attempt(w, models, &batch)) == OUTCOME_WAIT &&
		!queue_closed(w->options.queue)) {
		nanosleep(&pause, NULL);
		note_connection(w);
		look_around(w);
	}
	if (outcome != OUTCOME_WAIT)
		acknowledge(w, batch.messages, batch.n, outcome == OUTCOME_STORED);
	model_slot_release(w->options.slot, models);
}

/* Nothing comes that would show whether the store can be written again: an empty batch does, and
 * takes the counters along. */
static void try_store(struct worker *w)
{
	struct batch none = { .n = 0 };
	struct why why;

	if (w->failing_ns == 0 || time_monotonic_ns() < w->retry_ns)
		return;
	const struct models *models = model_slot_hold(w->options.slot);
	enum status st = pipeline_run(w->options.pipeline, models, &none, PIPELINE_STORE, &why);
	if (st == STATUS_OK)
		note_recovery(w);
	else
		note_failure(w, st, &why);
	model_slot_release(w->options.slot, models);
}

static void prune(struct worker *w, size_t batch)
{
	size_t gone = retention_run(&w->options.retention, w->options.store, batch, time_now_ms(),
		time_monotonic_ns() / 1000000);

	if (gone > 0)
		metrics_add(w->options.health->metrics, METRIC_PRUNED, (int64_t)gone);
}

static void *work(void *context)
{
	struct worker *w = context;

	(void)prctl(PR_SET_NAME, "worker"); /* for top -H and perf */
	while (!queue_drained(w->options.queue)) {
		const struct message *messages;
		size_t n = queue_pop(w->options.queue, BEAT_MS, w->options.batch, &messages);
		note_connection(w);
		if (n > 0) {
			run_batch(w, messages, n);
		} else {
			mqtt_acknowledge(w->options.mqtt, NULL, 0);
			mqtt_flush(w->options.mqtt);
			try_store(w);
		}
		run_requests(w);
		ask_again(w);
		look_around(w);
		if (w->failing_ns == 0)
			prune(w, n);
	}
	if (w->options.desk)
		desk_close(w->options.desk);
	return NULL;
}

enum status worker_start(const struct worker_options *options, struct worker **out, struct why *why)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w)
		w->receipts = calloc(options->batch + REQUESTS_MAX, sizeof(*w->receipts));
	if (!w || !w->receipts) {
		free(w);
		return fail(why, STATUS_NO_MEMORY, "no memory for the worker");
	}
	w->options = *options;
	if (!store_ready(options->store))
		w->failing_ns = time_monotonic_ns();
	int rc = pthread_create(&w->thread, NULL, work, w);
	if (rc != 0) {
		free(w->receipts);
		free(w);
		return fail(why, STATUS_NO_MEMORY, "no thread for the worker: %s", strerror(rc));
	}
	*out = w;
	return STATUS_OK;
}

void worker_join(struct worker *worker)
{
	if (!worker)
		return;
	pthread_join(worker->thread, NULL);
	free(worker->receipts);
	free(worker);
}
