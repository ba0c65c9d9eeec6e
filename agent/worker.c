#include "agent/worker.h"
#include "common/timeutil.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How long the worker sleeps at most: /health/live and the watchdog ask whether it moves, and an
 * idle one looks for requests as often. */
enum { BEAT_MS = 200, REQUESTS_MAX = 16 };

struct worker {
	struct worker_options options;
	pthread_t thread;
	struct mqtt_receipt *receipts; /* [options.batch + QUEUE_LOST_MAX] to acknowledge */
	uint64_t connects; /* of the connection, when alarms were last published */
};

static void run_requests(struct worker *w)
{
	const struct message *messages;
	size_t n = queue_pop(w->options.requests, 0, REQUESTS_MAX, &messages);

	for (size_t i = 0; i < n; i++) {
		/* A retained request would be carried out again at every connect. */
		if (!messages[i].retained)
			w->options.on_request(w->options.context, &messages[i]);
	}
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
}

/* One transaction, then the acknowledgements of its messages. */
static void run_batch(struct worker *w, const struct message *messages, size_t n)
{
	struct why why;
	const struct model *model = model_slot_hold(w->options.slot, NULL);
	enum status st = pipeline_run(w->options.pipeline, model, messages, n, &why);
	/* First those that were dropped while this batch was on its way: they are the older ones. */
	size_t receipts = queue_take_lost(w->options.queue, w->receipts, QUEUE_LOST_MAX);

	atomic_store(&w->options.health->store_failing, st != STATUS_OK);
	for (size_t i = 0; i < n; i++) {
		if (messages[i].qos > 0)
			w->receipts[receipts++] = messages[i].receipt;
	}
	mqtt_acknowledge(w->options.mqtt, w->receipts, receipts);
	if (model)
		model_slot_release(w->options.slot, model);
}

static void *work(void *context)
{
	struct worker *w = context;

	while (!queue_drained(w->options.queue)) {
		const struct message *messages;
		size_t n = queue_pop(w->options.queue, BEAT_MS, w->options.batch, &messages);
		note_connection(w);
		if (n > 0)
			run_batch(w, messages, n);
		run_requests(w);
	}
	return NULL;
}

enum status worker_start(const struct worker_options *options, struct worker **out, struct why *why)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (w)
		w->receipts = calloc(options->batch + QUEUE_LOST_MAX, sizeof(*w->receipts));
	if (!w || !w->receipts) {
		free(w);
		return fail(why, STATUS_NO_MEMORY, "no memory for the worker");
	}
	w->options = *options;
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
