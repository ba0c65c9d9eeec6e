/* GET /events: the plant as it changes, as Server-Sent Events (WHATWG HTML, section 9.2). An event
 * `machines` five times a second at most with the machines that changed since the last one, however
 * often they did (EVENT_MACHINES at most, several events where there are more: a page can draw
 * between them; the last of them bears the id); an event `status` every two seconds, so that
 * silence means trouble. The readings between are in /history. An id names a state of the plant: a
 * stream that is resumed with it (Last-Event-ID) begins with all that changed since; `resync` says
 * that there is no way on from it, and all machines follow.
 *
 * CivetWeb gives no hold on the socket and does not notice a reader that stalls for a long time, so
 * a stream lives for STREAM_LIFE_MS and there is a bounded number of them, each with a thread that
 * other requests don't need. */
#include "agent/http_routes.h"
#include "common/timeutil.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	STREAM_STEP_MS = 200,
	STREAM_STATUS_MS = 2000,
	STREAM_LIFE_MS = 120000,
	EVENT_MACHINES = 100,
	STREAM_WAIT_S = 2, /* until another try, or between two looks at /plant */
};

void streams_init(struct streams *streams)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&streams->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&streams->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

void streams_finish(struct streams *streams)
{
	pthread_cond_destroy(&streams->wake);
	pthread_mutex_destroy(&streams->lock);
}

void streams_end(struct streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	streams->ending = true;
	pthread_cond_broadcast(&streams->wake);
	pthread_mutex_unlock(&streams->lock);
}

static bool enter(struct streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	bool room = streams->open < HTTP_STREAMS_MAX;
	streams->open += room;
	pthread_mutex_unlock(&streams->lock);
	return room;
}

static void leave(struct streams *streams)
{
	pthread_mutex_lock(&streams->lock);
	streams->open--;
	pthread_mutex_unlock(&streams->lock);
}

/* Until the next step; false: all streams are to end. */
static bool wait_a_step(struct streams *streams)
{
	struct timespec at = time_spec(time_monotonic_ns() + STREAM_STEP_MS * INT64_C(1000000));
	int rc = 0;

	pthread_mutex_lock(&streams->lock);
	while (!streams->ending && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&streams->wake, &streams->lock, &at);
	bool ending = streams->ending;
	pthread_mutex_unlock(&streams->lock);
	return !ending;
}

struct stream {
	struct http_state *state;
	uint64_t seen;     /* the version the client has */
	unsigned removals; /* and how many were forgotten by then */
	bool resync;       /* it has nothing to go on from */
	int64_t told_ns;   /* when it last got a status, 0: never */
};

/* "<boot>-<removals>-<version>", hexadecimal. */
static void resume(struct stream *stream, const struct exchange *exchange)
{
	size_t count;
	const char *id = request_header(exchange, "Last-Event-ID", &count);
	char *end;

	if (count == 0)
		return;
	stream->resync = true;
	if (count > 1 || strtoull(id, &end, 16) != (unsigned long long)stream->state->boot ||
		*end != '-')
		return;
	unsigned long removals = strtoul(end + 1, &end, 16);
	if (*end != '-')
		return;
	unsigned long long seen = strtoull(end + 1, &end, 16);
	if (*end != '\0')
		return;
	stream->resync = false;
	stream->removals = (unsigned)removals;
	stream->seen = seen;
}

static void add_machines(
	struct body *text, const struct stream *stream, const struct plant_view *view)
{
	for (size_t from = 0; from < view->count; from += EVENT_MACHINES) {
		struct plant_view part = *view;

		part.row += from;
		part.count -= from;
		if (part.count > EVENT_MACHINES) {
			part.count = EVENT_MACHINES;
		} else {
			body_add(text, "id: ");
			plant_add_cursor(text, stream->state, view);
			body_add(text, "\n");
		}
		body_add_format(text, "event: machines\ndata: {\"now\":%lld,\"machines\":",
			(long long)time_now_ms());
		plant_add_rows(text, &part, false);
		body_add(text, "}\n\n");
	}
}

static void add_status(struct body *text, struct stream *stream)
{
	int64_t now_ns = time_monotonic_ns();

	if (stream->told_ns && now_ns - stream->told_ns < STREAM_STATUS_MS * INT64_C(1000000))
		return;
	stream->told_ns = now_ns;
	body_add(text, "event: status\ndata: ");
	plant_add_status(text, stream->state);
	body_add(text, "\n\n");
}

static bool send_step(struct stream *stream, struct exchange *exchange)
{
	struct body text = { 0 };
	struct plant_view view;

	if (plant_see(stream->state->options.plant, stream->seen, &view) != STATUS_OK)
		return false;
	if (view.removals != stream->removals || view.version < stream->seen || stream->resync) {
		body_add(&text, "event: resync\ndata: {}\n\n");
		free(view.row);
		if (plant_see(stream->state->options.plant, 0, &view) != STATUS_OK)
			return false;
	}
	stream->resync = false;
	add_machines(&text, stream, &view);
	stream->seen = view.version;
	stream->removals = view.removals;
	free(view.row);
	add_status(&text, stream);
	bool sent = !text.failed && (text.len == 0 || reply_piece(exchange, text.data, text.len));
	body_free(&text);
	return sent;
}

void route_events(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	struct stream stream = { .state = state };
	int64_t end_ns = time_monotonic_ns() + STREAM_LIFE_MS * INT64_C(1000000);

	(void)parameters, (void)body, (void)len;
	if (!enter(&state->streams)) {
		reply_header(exchange, "Retry-After: %d", STREAM_WAIT_S);
		reply_problem(exchange, 503,
			"all %d streams are taken; ask /plant now and then instead",
			HTTP_STREAMS_MAX);
		return;
	}
	struct plant_view view = { 0 };
	if (plant_see(state->options.plant, UINT64_MAX, &view) == STATUS_OK)
		stream.removals = view.removals;
	free(view.row);
	resume(&stream, exchange);
	reply_stream(exchange, "text/event-stream; charset=utf-8");
	while (!exchange->head && time_monotonic_ns() < end_ns && send_step(&stream, exchange) &&
		wait_a_step(&state->streams))
		;
	leave(&state->streams);
}
