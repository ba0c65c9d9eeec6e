/* GET /machines/<name>/series: a machine's history as a picture needs it: steps of equal width,
 * each with the smallest, largest and mean value. What a step costs is bounded: where it holds
 * more readings than that, its newest ones and its first anomalies stand for it, and the answer
 * says `sampled`. */
#include "agent/http_routes.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	SERIES_STEPS = 300,
	SERIES_STEPS_MAX = 1000,
	SERIES_ROWS = 24000, /* read for one answer, about */
	SERIES_STEP_ROWS_MIN = 8,
	SERIES_STEP_ANOMALIES = 4,
};

const char *const series_parameters[] = { "from", "to", "steps", NULL };

struct extent {
	double min, max, sum;
	size_t count;
};

struct series {
	char machine[MACHINE_NAME_MAX + 1];
	int64_t from_ms, to_ms; /* from -1: the beginning of history */
	size_t steps, step_rows;
	struct schema columns; /* of the newest reading */
	int64_t before_ms;     /* the newest one before `from`, if there is none in between; -1 */
	bool found, sampled;
	struct body rows;
	/* the step in hand */
	int64_t at_ms; /* of its newest reading */
	size_t count, anomalies;
	double threshold;
	struct extent score, value[FEATURES_MAX];
};

static void extend(struct extent *extent, double value)
{
	if (isnan(value))
		return;
	extent->min = extent->count ? fmin(extent->min, value) : value;
	extent->max = extent->count ? fmax(extent->max, value) : value;
	extent->sum = extent->count ? extent->sum + value : value;
	extent->count++;
}

static bool take_row(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	struct series *s = context;
	bool same = schema_equal(schema, &s->columns);

	(void)id;
	if (s->count++ == 0) {
		s->at_ms = verdict->reading.at_ms;
		s->threshold = verdict->threshold;
	}
	s->anomalies += verdict->anomalous;
	extend(&s->score, verdict->score);
	for (size_t i = 0; i < s->columns.count; i++) {
		int column = same ? (int)i : schema_find(schema, s->columns.feature[i].name);
		if (column >= 0)
			extend(&s->value[i], verdict->reading.value[column]);
	}
	return true;
}

static void add_extent(struct body *body, const struct extent *extent)
{
	if (extent->count > 0)
		body_add_format(body, ",%.6g,%.6g,%.6g", extent->min, extent->max,
			extent->sum / (double)extent->count);
	else
		body_add(body, ",null,null,null");
}

static enum status add_step(
	struct series *s, struct store *store, int64_t from_ms, int64_t to_ms, struct why *why)
{
	struct store_query query = {
		.machine = s->machine, .from_ms = from_ms, .to_ms = to_ms, .limit = s->step_rows
	};

	s->count = s->anomalies = 0;
	memset(&s->score, 0, sizeof(s->score));
	memset(s->value, 0, sizeof(s->value));
	enum status st = store_find(store, &query, take_row, s, why);
	if (st == STATUS_OK && s->count >= s->step_rows) {
		s->sampled = true;
		query.anomalies_only = true;
		query.limit = SERIES_STEP_ANOMALIES;
		st = store_find(store, &query, take_row, s, why);
	}
	if (st != STATUS_OK || s->count == 0)
		return st;
	body_add_format(&s->rows, "%s[%lld,%zu,%zu,", s->rows.len > 0 ? "," : "",
		(long long)s->at_ms, s->count, s->anomalies);
	body_add_format(&s->rows, isnan(s->threshold) ? "null" : "%.6g", s->threshold);
	add_extent(&s->rows, &s->score);
	for (size_t i = 0; i < s->columns.count; i++)
		add_extent(&s->rows, &s->value[i]);
	body_add(&s->rows, "]");
	return STATUS_OK;
}

/* The newest reading of a span says which columns there are. */
static bool take_columns(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	struct series *s = context;

	(void)id;
	s->columns = *schema;
	s->before_ms = verdict->reading.at_ms;
	s->found = true;
	return false;
}

static enum status read_series(struct store *store, void *context, struct why *why)
{
	struct series *s = context;
	struct store_query newest = {
		.machine = s->machine, .from_ms = 0, .to_ms = s->to_ms, .limit = 1
	};
	enum status st = STATUS_OK;

	if (s->from_ms < 0)
		st = store_oldest(store, &s->from_ms, why);
	if (st == STATUS_OK && (s->from_ms < 0 || s->from_ms >= s->to_ms))
		s->from_ms = s->to_ms - 1; /* there is no history */
	if (st == STATUS_OK)
		st = store_find(store, &newest, take_columns, s, why);
	if (st != STATUS_OK || !s->found || s->before_ms < s->from_ms)
		return st;
	s->before_ms = -1;
	int64_t width = (s->to_ms - s->from_ms + (int64_t)s->steps - 1) / (int64_t)s->steps;
	for (int64_t at = s->from_ms; at < s->to_ms && st == STATUS_OK; at += width)
		st = add_step(s, store, at, at + width < s->to_ms ? at + width : s->to_ms, why);
	return st;
}

enum status path_machine(const char *path, char machine[MACHINE_NAME_MAX + 1], struct why *why)
{
	const char *name = path + strlen("/machines/");
	size_t len = strcspn(name, "/");

	if (!machine_name_valid(name, len))
		return fail(why, STATUS_NOT_FOUND, "there is no such machine");
	memcpy(machine, name, len);
	machine[len] = '\0';
	return STATUS_OK;
}

static enum status parse_series(
	const char *path, const struct parameters *parameters, struct series *s, struct why *why)
{
	const char *from = parameter(parameters, "from"), *to = parameter(parameters, "to");
	const char *steps = parameter(parameters, "steps");
	enum status st = path_machine(path, s->machine, why);

	if (st != STATUS_OK)
		return st;
	s->from_ms = -1;
	s->to_ms = time_now_ms() + 1;
	s->steps = SERIES_STEPS;
	if (from)
		st = query_time("from", from, &s->from_ms, why);
	if (st == STATUS_OK && to)
		st = query_time("to", to, &s->to_ms, why);
	if (st == STATUS_OK && steps && query_count("steps", steps, &s->steps, why) != STATUS_OK)
		return STATUS_BAD_INPUT;
	if (st == STATUS_OK && s->from_ms >= s->to_ms)
		return fail(why, STATUS_BAD_INPUT, "from: must lie before to");
	if (s->steps > SERIES_STEPS_MAX)
		s->steps = SERIES_STEPS_MAX;
	s->step_rows = SERIES_ROWS / s->steps;
	if (s->step_rows > STORE_LIMIT_MAX)
		s->step_rows = STORE_LIMIT_MAX;
	if (s->step_rows < SERIES_STEP_ROWS_MIN)
		s->step_rows = SERIES_STEP_ROWS_MIN;
	return st;
}

static void reply_series(struct exchange *exchange, struct series *s)
{
	struct body body = { 0 };

	body_add_format(&body,
		"{\"machine\":\"%s\",\"from\":%lld,\"to\":%lld,\"sampled\":%s,\"before\":",
		s->machine, (long long)s->from_ms, (long long)s->to_ms,
		s->sampled ? "true" : "false");
	if (s->before_ms >= 0)
		body_add_format(&body, "%lld", (long long)s->before_ms);
	else
		body_add(&body, "null");
	body_add(&body, ",\"features\":[");
	for (size_t i = 0; i < s->columns.count; i++) {
		body_add(&body, i > 0 ? "," : "");
		body_add_json(&body, s->columns.feature[i].name);
	}
	body_add(&body, "],\"steps\":[");
	if (s->rows.len > 0)
		body_add_bytes(&body, s->rows.data, s->rows.len);
	body_add(&body, "]}\n");
	body.failed |= s->rows.failed;
	reply_body(exchange, 200, "application/json", &body);
}

void route_series(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	struct series *s = calloc(1, sizeof(*s)); /* large for this stack */
	struct why why;

	(void)body, (void)len;
	if (!s) {
		reply_problem(exchange, 503, "out of memory");
		return;
	}
	s->before_ms = -1;
	enum status st = parse_series(exchange->path, parameters, s, &why);
	if (st == STATUS_NOT_FOUND)
		reply_problem(exchange, 404, "%s", why.text);
	else if (st != STATUS_OK)
		reply_problem(exchange, 400, "%s", why.text);
	else if (store_pool_use(&state->stores, read_series, s, &why) != STATUS_OK)
		reply_problem(exchange, 503, "%s", why.text);
	else
		reply_series(exchange, s);
	body_free(&s->rows);
	free(s);
}
