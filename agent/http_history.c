#include "agent/http_routes.h"
#include "common/number.h"
#include "common/store_alarm.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HISTORY_LIMIT = 100 };

const char *const history_parameters[] = { "limit", "machine", "from", "to", "anomalies", "cursor",
	NULL };

/* One answer in the making. */
struct history {
	struct store *store; /* in hand, for the labels */
	struct store_query query;
	bool csv;
	size_t count;
	int64_t last_id, next_id; /* of the last row here, and of the one after it, 0: none */
	struct body items;
	struct schema *columns; /* CSV: the features of all rows */
	char *scratch;          /* [VERDICT_TEXT_MAX] */
};

enum status query_time(const char *name, const char *value, int64_t *out_ms, struct why *why)
{
	double number;

	if (!number_parse(value, strlen(value), &number)) {
		struct why inner;
		if (time_parse(value, strlen(value), out_ms, NULL, &inner) == STATUS_OK)
			return STATUS_OK;
		return fail(why, STATUS_BAD_INPUT, "%s: %s", name, inner.text);
	}
	if (!time_from_number(number, out_ms, NULL))
		return fail(why, STATUS_BAD_INPUT, "%s: \"%s\" is outside 1970 .. 2109-05-15", name,
			value);
	return STATUS_OK;
}

enum status query_cursor(const char *value, int64_t *out_id, struct why *why)
{
	if (strlen(value) == 16 && strspn(value, "0123456789abcdef") == 16) {
		unsigned long long id = strtoull(value, NULL, 16);
		if (id > 0 && id <= INT64_MAX) {
			*out_id = (int64_t)id;
			return STATUS_OK;
		}
	}
	return fail(why, STATUS_BAD_INPUT, "cursor: not one of ours");
}

enum status query_count(const char *name, const char *value, size_t *out, struct why *why)
{
	long long count;

	if (!number_parse_integer(value, 1, 1000000, &count))
		return fail(why, STATUS_BAD_INPUT, "%s: \"%s\" is not a number of 1 to 1000000",
			name, value);
	*out = (size_t)count;
	return STATUS_OK;
}

enum status query_limit(const char *value, size_t *out, struct why *why)
{
	long long limit;

	size_t digits = strspn(value, "0123456789");
	if (digits > 18 && value[digits] == '\0')
		limit = STORE_LIMIT_MAX; /* more than fits is still a number */
	else if (!number_parse_integer(value, 1, INT64_MAX, &limit))
		return fail(why, STATUS_BAD_INPUT, "limit: \"%s\" is not a whole number above 0",
			value);
	*out = limit > STORE_LIMIT_MAX ? STORE_LIMIT_MAX : (size_t)limit;
	return STATUS_OK;
}

static enum status parse_query(
	const struct parameters *parameters, struct store_query *query, struct why *why)
{
	const char *limit = parameter(parameters, "limit");
	const char *machine = parameter(parameters, "machine");
	const char *from = parameter(parameters, "from"), *to = parameter(parameters, "to");
	const char *anomalies = parameter(parameters, "anomalies");
	const char *cursor = parameter(parameters, "cursor");
	enum status status = STATUS_OK;

	*query = (struct store_query){ .machine = machine,
		.to_ms = INT64_MAX,
		.anomalies_only = true,
		.limit = HISTORY_LIMIT };
	if (limit)
		status = query_limit(limit, &query->limit, why);
	if (status == STATUS_OK && from)
		status = query_time("from", from, &query->from_ms, why);
	if (status == STATUS_OK && to)
		status = query_time("to", to, &query->to_ms, why);
	if (status == STATUS_OK && cursor)
		status = query_cursor(cursor, &query->before_id, why);
	if (status != STATUS_OK)
		return status;
	if (query->from_ms > query->to_ms)
		return fail(why, STATUS_BAD_INPUT, "from is after to");
	if (machine && !machine_name_valid(machine, strlen(machine)))
		return fail(
			why, STATUS_BAD_INPUT, "machine: \"%s\" is not a machine's name", machine);
	if (anomalies && strcmp(anomalies, "0") != 0 && strcmp(anomalies, "1") != 0)
		return fail(why, STATUS_BAD_INPUT, "anomalies: 0 or 1, not \"%s\"", anomalies);
	query->anomalies_only = !anomalies || *anomalies == '1';
	return STATUS_OK;
}

static void csv_header(struct body *out, const struct schema *columns)
{
	body_add(out, "machine,timestamp,received,seq");
	for (size_t i = 0; i < columns->count; i++)
		body_add_format(out, ",%s", columns->feature[i].name);
	body_add(out, ",anomaly_score,threshold,is_anomaly,model,quality,late\r\n");
}

static void csv_number(struct body *out, double value)
{
	body_add(out, ",");
	if (!isnan(value))
		body_add_number(out, value);
}

static void csv_row(struct body *out, const struct verdict *verdict, const struct schema *schema,
	const struct schema *columns)
{
	const struct reading *reading = &verdict->reading;
	char at[TIME_TEXT_SIZE], received[TIME_TEXT_SIZE];

	time_format(reading->at_ms, at);
	time_format(reading->received_ms, received);
	body_add_format(out, "%s,%s,%s,", reading->machine, at, received);
	if (reading->seq != READING_NO_SEQ)
		body_add_format(out, "%lld", (long long)reading->seq);
	for (size_t i = 0; i < columns->count; i++) {
		int column = schema_find(schema, columns->feature[i].name);
		csv_number(out, column < 0 ? NAN : reading->value[column]);
	}
	csv_number(out, verdict->score);
	csv_number(out, verdict->threshold);
	body_add_format(out, ",%s,%s,%s,%d\r\n",
		isnan(verdict->score)        ? ""
			: verdict->anomalous ? "1"
					     : "0",
		verdict->model, quality_name(verdict->quality), verdict->late);
}

/* Operators speak of anomalies only. A label that cannot be read costs no row. */
static enum label label_of(struct store *store, const struct verdict *verdict)
{
	const struct reading *reading = &verdict->reading;
	enum label label;
	struct why why;

	if (!verdict->anomalous ||
		store_label_at(store, reading->machine, reading->at_ms, &label, &why) != STATUS_OK)
		return LABEL_NONE;
	return label;
}

static void add_json(
	struct history *history, const struct verdict *verdict, const struct schema *schema)
{
	struct verdict labelled = *verdict;

	labelled.label = label_of(history->store, verdict);
	size_t len = verdict_encode(&labelled, schema, history->scratch, VERDICT_TEXT_MAX);
	if (history->count > 0)
		body_add(&history->items, ",");
	body_add_bytes(&history->items, history->scratch, len);
}

static bool add_row(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	struct history *history = context;

	if (history->csv) {
		if (history->count == 0)
			csv_header(&history->items, history->columns);
		csv_row(&history->items, verdict, schema, history->columns);
	} else {
		add_json(history, verdict, schema);
	}
	history->count++;
	history->last_id = id;
	return !history->items.failed;
}

/* Rows of different models bear different features: the columns are those of all rows here. */
static bool note_columns(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	struct schema *columns = ((struct history *)context)->columns;

	(void)id, (void)verdict;
	for (size_t i = 0; i < schema->count; i++) {
		const struct feature *f = &schema->feature[i];
		if (schema_find(columns, f->name) < 0 &&
			schema_add(columns, f->name, "", f->low, f->high, NULL) != STATUS_OK)
			return false; /* FEATURES_MAX columns it is */
	}
	return true;
}

static bool note_next(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	(void)verdict, (void)schema;
	((struct history *)context)->next_id = id;
	return false;
}

/* Fills in the items, and whether there are more. */
static enum status find_rows(struct store *store, void *context, struct why *why)
{
	struct history *history = context;
	enum status status = STATUS_OK;

	history->store = store;
	if (history->csv)
		status = store_find(store, &history->query, note_columns, history, why);
	if (status == STATUS_OK)
		status = store_find(store, &history->query, add_row, history, why);
	if (status == STATUS_OK && history->count == history->query.limit) {
		struct store_query next = history->query;
		next.before_id = history->last_id;
		next.limit = 1;
		status = store_find(store, &next, note_next, history, why);
	}
	return status;
}

/* The next page (RFC 8288), written anew from what was understood. */
static void link_next(struct exchange *exchange, const struct store_query *query, int64_t last_id)
{
	char from[TIME_TEXT_SIZE], to[TIME_TEXT_SIZE];
	bool bounded = query->to_ms != INT64_MAX;

	time_format(query->from_ms, from);
	time_format(bounded ? query->to_ms : 0, to);
	reply_header(exchange,
		"Link: </history?limit=%zu&anomalies=%d%s%s%s%s%s%s&cursor=%016llx>; "
		"rel=\"next\"",
		query->limit, query->anomalies_only, query->machine ? "&machine=" : "",
		query->machine ? query->machine : "", query->from_ms > 0 ? "&from=" : "",
		query->from_ms > 0 ? from : "", bounded ? "&to=" : "", bounded ? to : "",
		(unsigned long long)last_id);
}

static void reply_json(struct exchange *exchange, struct history *history)
{
	struct body body = { 0 };

	body_add_format(&body, "{\"count\":%zu,\"limit\":%zu,\"items\":[", history->count,
		history->query.limit);
	if (history->count > 0)
		body_add_bytes(&body, history->items.data, history->items.len);
	if (history->next_id)
		body_add_format(&body, "],\"next_cursor\":\"%016llx\"}\n",
			(unsigned long long)history->last_id);
	else
		body_add(&body, "],\"next_cursor\":null}\n");
	reply_body(exchange, 200, "application/json", &body);
}

static void reply_history(
	struct http_state *state, struct exchange *exchange, struct history *history)
{
	struct why why;

	if (store_pool_use(&state->stores, find_rows, history, &why) != STATUS_OK) {
		reply_problem(exchange, 503, "%s", why.text);
		return;
	}
	if (history->items.failed) {
		reply_problem(exchange, 503, "out of memory");
		return;
	}
	if (history->next_id)
		link_next(exchange, &history->query, history->last_id);
	if (!history->csv) {
		reply_json(exchange, history);
		return;
	}
	if (history->count == 0)
		csv_header(&history->items, history->columns);
	reply_body(exchange, 200, "text/csv; charset=utf-8; header=present", &history->items);
}

/* text/csv is among the media types of Accept. */
static bool wants_csv(const struct exchange *exchange)
{
	size_t count;
	const char *accept = request_header(exchange, "Accept", &count);

	for (; accept && *accept; accept++) {
		if (strncasecmp(accept, "text/csv", 8) == 0 &&
			(accept[8] == '\0' || strchr(" \t,;", accept[8])))
			return true;
	}
	return false;
}

void route_history(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	struct history history = { .csv = wants_csv(exchange) };
	struct why why;

	(void)body, (void)len;
	if (parse_query(parameters, &history.query, &why) != STATUS_OK) {
		reply_problem(exchange, 400, "%s", why.text);
		return;
	}
	reply_header(exchange, "Vary: Accept");
	history.columns = calloc(1, sizeof(*history.columns));
	history.scratch = malloc(VERDICT_TEXT_MAX);
	if (history.columns && history.scratch)
		reply_history(state, exchange, &history);
	else
		reply_problem(exchange, 503, "out of memory");
	body_free(&history.items);
	free(history.columns);
	free(history.scratch);
}
