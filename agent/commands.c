#include "agent/commands.h"
#include "common/jsontext.h"
#include "common/timeutil.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const names[COMMAND_VERBS] = {
	[COMMAND_ACK] = "ack",
	[COMMAND_SHELVE] = "shelve",
	[COMMAND_UNSHELVE] = "unshelve",
	[COMMAND_FALSE_ALARM] = "false-alarm",
	[COMMAND_STOP] = "stop",
	[COMMAND_START] = "start",
	[COMMAND_FORGET] = "forget",
};

const char *command_name(enum command_verb verb)
{
	return names[verb];
}

bool command_parse_verb(const char *name, enum command_verb *out)
{
	for (int i = 0; i < COMMAND_VERBS; i++) {
		if (strcmp(name, names[i]) == 0) {
			*out = (enum command_verb)i;
			return true;
		}
	}
	return false;
}

bool command_of_machine(enum command_verb verb)
{
	return verb >= COMMAND_STOP;
}

/* Shown to people, in logs and in pages: no control bytes. */
static bool take_text(const cJSON *body, const char *name, char *out, size_t size, struct why *why)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(body, name);
	const char *text = cJSON_GetStringValue(item);

	*out = '\0';
	if (!item || cJSON_IsNull(item))
		return true;
	size_t len = text ? strlen(text) : 0;
	if (!text || len >= size) {
		(void)fail(why, STATUS_BAD_INPUT, "must be a text of at most %zu bytes", size - 1);
		return false;
	}
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
			(void)fail(why, STATUS_BAD_INPUT, "holds a control byte");
			return false;
		}
	}
	memcpy(out, text, len + 1);
	return true;
}

static const char *take_time(
	const cJSON *body, int64_t most_h, struct command *out, struct why *why)
{
	const cJSON *minutes = cJSON_GetObjectItemCaseSensitive(body, "minutes");
	const cJSON *until = cJSON_GetObjectItemCaseSensitive(body, "until");
	const char *text = cJSON_GetStringValue(until);
	const char *field = minutes ? "minutes" : "until";

	if (!minutes == !until) {
		(void)fail(why, STATUS_BAD_INPUT,
			"a shelf ends by itself: give \"minutes\" or \"until\"");
		return "minutes";
	}
	if (minutes && (!cJSON_IsNumber(minutes) || !isfinite(minutes->valuedouble))) {
		(void)fail(why, STATUS_BAD_INPUT, "must be a number");
		return field;
	}
	if (minutes)
		out->until_ms = minutes->valuedouble > 1e8
			? INT64_MAX
			: out->at_ms + (int64_t)(minutes->valuedouble * 60000);
	else if (!text || time_parse(text, strlen(text), &out->until_ms, NULL, NULL) != STATUS_OK) {
		(void)fail(why, STATUS_BAD_INPUT, "must be a time such as 2026-11-23T12:00:00Z");
		return field;
	}
	if (out->until_ms > out->at_ms && out->until_ms <= out->at_ms + most_h * 3600000)
		return NULL;
	(void)fail(why, STATUS_BAD_INPUT, "must lie in the next %lld hours (alarm.shelve_max_h)",
		(long long)most_h);
	return field;
}

static const char *take_name(const cJSON *body, struct command *out, struct why *why)
{
	bool of_machine = command_of_machine(out->verb);

	if (!take_text(body, "machine", out->machine, sizeof(out->machine), why))
		return "machine";
	if (!of_machine && !take_text(body, "id", out->id, sizeof(out->id), why))
		return "id";
	if (out->machine[0] || out->id[0])
		return NULL;
	(void)fail(why, STATUS_BAD_INPUT,
		of_machine ? "is missing" : "\"id\" or \"machine\" is missing");
	return of_machine ? "machine" : "id";
}

static const char *take_members(
	const cJSON *body, bool named, int64_t most_h, struct command *out, struct why *why)
{
	const char *wrong = NULL;

	if (!take_text(body, "operator", out->operator_name, sizeof(out->operator_name), why))
		return "operator";
	if (!take_text(body, "reason", out->reason, sizeof(out->reason), why))
		return "reason";
	if (named && (wrong = take_name(body, out, why)))
		return wrong;
	if (out->verb != COMMAND_SHELVE)
		return NULL;
	if (!out->reason[0]) {
		(void)fail(why, STATUS_BAD_INPUT, "is missing: why is the alarm shelved?");
		return "reason";
	}
	return take_time(body, most_h, out, why);
}

enum status command_parse(const struct cJSON *body, bool named, int64_t most_h, struct command *out,
	const char **field, struct why *why)
{
	if (body && !cJSON_IsObject(body)) {
		*field = "";
		return fail(why, STATUS_BAD_INPUT, "must be a JSON object");
	}
	*field = take_members(body, named, most_h, out, why);
	return *field ? STATUS_BAD_INPUT : STATUS_OK;
}
