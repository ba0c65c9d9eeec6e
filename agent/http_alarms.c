#include "agent/http_routes.h"
#include "common/jsontext.h"
#include "common/number.h"
#include "common/store_alarm.h"
#include "common/timeutil.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALARMS_LIMIT = STORE_LIMIT_MAX, JOURNAL_LIMIT = 100, RETRY_AFTER_S = 2 };

const char *const alarms_parameters[] = { "state", "machine", "limit", "history", "from", "to",
	"cursor", NULL };

static const char json_type[] = "application/json";

/* ---- GET /alarms ---- */

/* All but normal, unless a state is asked for. */
static enum status parse_state(const char *value, unsigned *out, struct why *why)
{
	enum alarm_state state;

	*out = (1u << ALARM_STATES) - 1;
	if (!value) {
		*out &= ~(1u << ALARM_NORMAL);
	} else if (strcmp(value, "all") != 0) {
		if (!alarm_state_parse(value, &state))
			return fail(why, STATUS_BAD_INPUT,
				"state: \"%.40s\" is none of unacknowledged, acknowledged, "
				"returned, shelved, suppressed, normal, all",
				value);
		*out = 1u << state;
	}
	return STATUS_OK;
}

static void add_entry(struct body *body, const struct board_entry *entry, char *scratch)
{
	size_t len = alarm_encode_open(&entry->alarm, entry->machine, scratch, ALARM_RECORD_MAX);

	body_add_bytes(body, scratch, len);
	body_add(body, ",\"group\":");
	if (entry->group[0])
		body_add_json(body, entry->group);
	else
		body_add(body, "null");
	body_add(body, "}");
}

static void reply_current(
	struct http_state *state, struct exchange *exchange, const struct board_query *query)
{
	struct board_entry *entries = NULL;
	struct board_sums sums;
	struct body body = { 0 };
	size_t count, total;
	char *scratch = malloc(ALARM_RECORD_MAX);

	if (!scratch || board_find(state->options.board, query, &entries, &count, &total)) {
		reply_problem(exchange, 503, "out of memory");
		free(scratch);
		return;
	}
	board_sum(state->options.board, &sums);
	body_add_format(&body,
		"{\"count\":%zu,\"total\":%zu,\"limit\":%zu,\"raised_10min\":%zu,\"flood\":%s,"
		"\"chattering\":%zu,\"items\":[",
		count, total, query->limit, sums.raised_10min, sums.flood ? "true" : "false",
		sums.chattering);
	for (size_t i = 0; i < count; i++) {
		body_add(&body, i > 0 ? "," : "");
		add_entry(&body, &entries[i], scratch);
	}
	body_add(&body, "]}\n");
	free(entries);
	free(scratch);
	reply_body(exchange, 200, json_type, &body);
}

/* ---- GET /alarms?history=1 ---- */

struct journal {
	struct store_event_query query;
	struct body items;
	size_t count;
	int64_t last_id;
	bool more;
};

static bool add_event(void *context, int64_t id, const struct store_event *event)
{
	struct journal *journal = context;
	char at[TIME_TEXT_SIZE];
	size_t len = strlen(event->json);

	if (journal->count + 1 == journal->query.limit) {
		journal->more = true; /* one more was asked for than is shown */
		return false;
	}
	if (len < 2 || event->at_ms < 0 || event->at_ms > TIME_MAX_MS)
		return true; /* a damaged one */
	time_format(event->at_ms, at);
	body_add(&journal->items, journal->count > 0 ? "," : "");
	body_add_format(&journal->items, "{\"event\":\"%s\",\"at\":\"%s\",", event->event, at);
	body_add_bytes(&journal->items, event->json + 1, len - 1); /* without its brace */
	journal->count++;
	journal->last_id = id;
	return !journal->items.failed;
}

static enum status find_events(struct store *store, void *context, struct why *why)
{
	struct journal *journal = context;

	return store_find_events(store, &journal->query, add_event, journal, why);
}

static void reply_journal(
	struct http_state *state, struct exchange *exchange, struct store_event_query query)
{
	size_t limit = query.limit;
	struct journal journal = { .query = query };
	struct body body = { 0 };
	struct why why;

	journal.query.limit++;
	if (store_pool_use(&state->stores, find_events, &journal, &why) != STATUS_OK) {
		reply_problem(exchange, 503, "%s", why.text);
		body_free(&journal.items);
		return;
	}
	body_add_format(&body, "{\"count\":%zu,\"limit\":%zu,\"items\":[", journal.count, limit);
	if (journal.count > 0)
		body_add_bytes(&body, journal.items.data, journal.items.len);
	if (journal.more)
		body_add_format(&body, "],\"next_cursor\":\"%016llx\"}\n",
			(unsigned long long)journal.last_id);
	else
		body_add(&body, "],\"next_cursor\":null}\n");
	body.failed |= journal.items.failed;
	body_free(&journal.items);
	reply_body(exchange, 200, json_type, &body);
}

/* ---- the query ---- */

static enum status parse_journal(
	const struct parameters *parameters, struct store_event_query *query, struct why *why)
{
	const char *from = parameter(parameters, "from"), *to = parameter(parameters, "to");
	const char *cursor = parameter(parameters, "cursor");
	enum status status = STATUS_OK;

	if (parameter(parameters, "state"))
		return fail(why, STATUS_BAD_INPUT, "state: is for current alarms, not for history");
	if (from)
		status = query_time("from", from, &query->from_ms, why);
	if (status == STATUS_OK && to)
		status = query_time("to", to, &query->to_ms, why);
	if (status == STATUS_OK && cursor)
		status = query_cursor(cursor, &query->before_id, why);
	return status;
}

static bool bears(const struct parameters *parameters, const char *name, struct why *why)
{
	if (!parameter(parameters, name))
		return false;
	(void)fail(why, STATUS_BAD_INPUT, "%s: is for history=1", name);
	return true;
}

/* The parameters of both forms. */
static enum status parse_common(const struct parameters *parameters, bool *history,
	const char **machine, size_t *limit, struct why *why)
{
	const char *form = parameter(parameters, "history");
	const char *count = parameter(parameters, "limit");

	if (form && strcmp(form, "0") != 0 && strcmp(form, "1") != 0)
		return fail(why, STATUS_BAD_INPUT, "history: 0 or 1, not \"%s\"", form);
	*history = form && *form == '1';
	*machine = parameter(parameters, "machine");
	if (*machine && !machine_name_valid(*machine, strlen(*machine)))
		return fail(
			why, STATUS_BAD_INPUT, "machine: \"%s\" is not a machine's name", *machine);
	*limit = *history ? JOURNAL_LIMIT : ALARMS_LIMIT;
	return count ? query_limit(count, limit, why) : STATUS_OK;
}

void route_alarms(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	struct store_event_query past = { .to_ms = INT64_MAX };
	struct board_query now = { 0 };
	struct why why;
	bool history = false;
	size_t limit;

	(void)body, (void)len;
	enum status status = parse_common(parameters, &history, &past.machine, &limit, &why);
	if (status == STATUS_OK && history)
		status = parse_journal(parameters, &past, &why);
	else if (status == STATUS_OK &&
		(bears(parameters, "from", &why) || bears(parameters, "to", &why) ||
			bears(parameters, "cursor", &why)))
		status = STATUS_BAD_INPUT;
	else if (status == STATUS_OK)
		status = parse_state(parameter(parameters, "state"), &now.states, &why);
	now.machine = past.machine;
	now.limit = past.limit = limit;
	if (status != STATUS_OK)
		reply_problem(exchange, 400, "%s", why.text);
	else if (history)
		reply_journal(state, exchange, past);
	else
		reply_current(state, exchange, &now);
}

/* ---- POST /alarms/{id}/<verb>, POST /machines/{name}/<verb> ---- */

/* "/alarms/<name>/<verb>" */
static bool split_path(const char *path, struct command *command)
{
	const char *name = strchr(path + 1, '/') + 1, *verb = strrchr(path, '/') + 1;
	size_t len = (size_t)(verb - 1 - name);
	bool machine = strncmp(path, "/machines/", 10) == 0;
	size_t size = machine ? sizeof(command->machine) : sizeof(command->id);

	if (!command_parse_verb(verb, &command->verb) || len >= size)
		return false;
	memcpy(machine ? command->machine : command->id, name, len);
	return true;
}

static void reply_field(struct exchange *exchange, const char *field, const struct why *why)
{
	struct body error = { 0 };

	body_add(&error, "{\"field\":");
	body_add_json(&error, field);
	body_add(&error, ",\"detail\":");
	body_add_json(&error, why->text);
	body_add(&error, "}");
	reply_invalid(exchange, "the request cannot be carried out as it is", &error);
	body_free(&error);
}

static void reply_answer(struct exchange *exchange, const struct command_answer *answer)
{
	static const char forgotten[] = "{\"status\":\"forgotten\"}\n";
	struct body body = { 0 };

	switch (answer->status) {
	case STATUS_OK:
		body_add(&body, answer->alarm[0] ? answer->alarm : forgotten);
		body_add(&body, answer->alarm[0] ? "\n" : "");
		reply_body(exchange, 200, json_type, &body);
		return;
	case STATUS_NOT_FOUND:
		reply_problem(exchange, 404, "%s", answer->why.text);
		return;
	case STATUS_CONFLICT:
		reply_problem(exchange, 409, "%s", answer->why.text);
		return;
	case STATUS_FULL:
		reply_header(exchange, "Retry-After: %d", RETRY_AFTER_S);
		reply_problem(exchange, 429, "%s", answer->why.text);
		return;
	default:
		reply_header(exchange, "Retry-After: %d", RETRY_AFTER_S);
		reply_problem(exchange, 503, "%s", answer->why.text);
	}
}

/* The worker alone may touch an alarm: the command waits for it at the desk. */
static void ask(struct http_state *state, struct exchange *exchange, const struct command *command)
{
	struct command_answer *answer = calloc(1, sizeof(*answer)); /* large for this stack */

	if (!answer) {
		reply_problem(exchange, 503, "out of memory");
		return;
	}
	desk_ask(state->options.desk, command, answer);
	reply_answer(exchange, answer);
	free(answer);
}

void route_command(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	struct command command = { .at_ms = time_now_ms() };
	struct cJSON *json = NULL;
	const char *field = "";
	struct why why = { "" };

	(void)parameters;
	if (!split_path(exchange->path, &command)) {
		reply_problem(exchange, 404, "there is no such alarm or machine");
		return;
	}
	if (len > 0 && json_parse(body, len, &limits, &json, &why) != STATUS_OK) {
		reply_problem(exchange, 400, "%s", why.text);
		return;
	}
	enum status status =
		command_parse(json, false, state->options.shelve_max_h, &command, &field, &why);
	cJSON_Delete(json);
	if (status != STATUS_OK)
		reply_field(exchange, field, &why);
	else
		ask(state, exchange, &command);
}
