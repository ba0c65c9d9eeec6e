#include "common/alarm.h"
#include "common/jsontext.h"
#include "common/text.h"
#include "common/timeutil.h"
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[ALARM_STATES] = {
	[ALARM_NORMAL] = "normal",
	[ALARM_UNACKNOWLEDGED] = "unacknowledged",
	[ALARM_ACKNOWLEDGED] = "acknowledged",
	[ALARM_RETURNED] = "returned",
	[ALARM_SHELVED] = "shelved",
	[ALARM_SUPPRESSED] = "suppressed",
};
static const char *const priority_names[] = {
	[ALARM_LOW] = "low",
	[ALARM_MEDIUM] = "medium",
	[ALARM_HIGH] = "high",
};
static const char *const cause_names[ALARM_CAUSES] = {
	[ALARM_ANOMALY] = "anomaly",
	[ALARM_OUT_OF_RANGE] = "out_of_range",
	[ALARM_STUCK] = "stuck",
	[ALARM_MISSING] = "missing",
	[ALARM_SKEW] = "skew",
	[ALARM_SILENT] = "silent",
};

const char *alarm_state_name(enum alarm_state state)
{
	return state_names[state];
}

const char *alarm_cause_name(enum alarm_cause cause)
{
	return cause_names[cause];
}

bool alarm_state_parse(const char *name, enum alarm_state *out)
{
	for (int i = 0; i < ALARM_STATES; i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*out = (enum alarm_state)i;
			return true;
		}
	}
	return false;
}

/* ---- writing ---- */

static void add_name(struct text *text, const char *name)
{
	text_add(text, ",\"");
	text_add(text, name);
	text_add(text, "\":");
}

static void add_word(struct text *text, const char *name, const char *word)
{
	add_name(text, name);
	text_add_json(text, word);
}

/* null for 0. */
static void add_time(struct text *text, const char *name, int64_t at_ms)
{
	add_name(text, name);
	if (at_ms)
		text_add_time(text, at_ms);
	else
		text_add(text, "null");
}

static void add_integer(struct text *text, const char *name, int64_t value)
{
	add_name(text, name);
	text_add_integer(text, value);
}

static void add_flag(struct text *text, const char *name, bool value)
{
	add_name(text, name);
	text_add(text, value ? "true" : "false");
}

static void add_causes(struct text *text, const char *name, unsigned causes)
{
	const char *comma = "";

	add_name(text, name);
	text_add(text, "[");
	for (int i = 0; i < ALARM_CAUSES; i++) {
		if (!(causes & ALARM_BIT(i)))
			continue;
		text_add(text, comma);
		text_add_json(text, cause_names[i]);
		comma = ",";
	}
	text_add(text, "]");
}

static void add_runs(struct text *text, const char *name, const uint16_t run[ALARM_CAUSES])
{
	add_name(text, name);
	for (int i = 0; i < ALARM_CAUSES; i++) {
		text_add(text, i > 0 ? "," : "[");
		text_add_integer(text, run[i]);
	}
	text_add(text, "]");
}

static void add_wire(struct text *text, const struct alarm *alarm, const char *machine)
{
	text_add(text, "{\"id\":");
	text_add_json(text, alarm->id);
	add_word(text, "machine", machine);
	add_word(text, "state", state_names[alarm_state(alarm)]);
	add_word(text, "priority", priority_names[alarm->priority]);
	add_name(text, "since");
	text_add_time(text, alarm->since_ms);
	add_name(text, "updated");
	text_add_time(text, alarm->updated_ms);
	add_integer(text, "count", (int64_t)alarm->count);
	add_name(text, "peak_score");
	text_add_number(text, alarm->peak_score);
	add_word(text, "first_sensor", alarm->first_sensor);
	add_time(text, "shelved_until", alarm->shelved_until_ms);
}

static void add_more(struct text *text, const struct alarm *alarm)
{
	add_word(text, "condition", state_names[alarm->condition]);
	add_causes(text, "causes", alarm->causes);
	add_causes(text, "told", alarm->told);
	add_time(text, "ended", alarm->ended_ms);
	add_word(text, "operator", alarm->operator_name);
	add_word(text, "reason", alarm->reason);
	add_flag(text, "false_alarm", alarm->false_alarm);
}

static void add_delays(struct text *text, const struct alarm *alarm)
{
	char recent[20];

	snprintf(recent, sizeof(recent), "%016" PRIx64, alarm->recent);
	add_word(text, "recent", recent);
	add_integer(text, "normal_run", alarm->normal_run);
	add_name(text, "run_peak");
	text_add_number(text, alarm->run_peak);
	add_flag(text, "run_severe", alarm->run_severe);
	add_time(text, "run_from", alarm->run_from_ms);
	add_runs(text, "fault_run", alarm->fault_run);
	add_runs(text, "sound_run", alarm->sound_run);
	add_time(text, "from", alarm->from_ms);
	add_time(text, "last", alarm->last_ms);
	add_flag(text, "stopped", alarm->stopped);
}

size_t alarm_encode(const struct alarm *alarm, const char *machine, char *out, size_t size)
{
	struct text text = text_start(out, size);

	add_wire(&text, alarm, machine);
	text_add(&text, "}");
	return text_end(&text);
}

size_t alarm_encode_open(const struct alarm *alarm, const char *machine, char *out, size_t size)
{
	struct text text = text_start(out, size);

	add_wire(&text, alarm, machine);
	add_more(&text, alarm);
	return text_end(&text);
}

size_t alarm_encode_record(const struct alarm *alarm, const char *machine, char *out, size_t size)
{
	struct text text = text_start(out, size);

	add_wire(&text, alarm, machine);
	add_more(&text, alarm);
	add_delays(&text, alarm);
	text_add(&text, "}");
	return text_end(&text);
}

/* ---- reading ---- */

static const char *text_of(const cJSON *item)
{
	const char *text = cJSON_GetStringValue(item);

	return text ? text : "";
}

static bool decode_word(const cJSON *item, const char *const *words, unsigned count, unsigned *out)
{
	for (unsigned i = 0; i < count; i++)
		if (strcmp(text_of(item), words[i]) == 0) {
			*out = i;
			return true;
		}
	return false;
}

static bool decode_state(const cJSON *item, enum alarm_state *out)
{
	return alarm_state_parse(text_of(item), out);
}

static bool decode_condition(const cJSON *item, void *out)
{
	enum alarm_state state;

	if (!decode_state(item, &state) || state > ALARM_RETURNED)
		return false;
	*(enum alarm_state *)out = state;
	return true;
}

static bool decode_priority(const cJSON *item, void *out)
{
	unsigned priority;

	if (!decode_word(item, priority_names, 3, &priority))
		return false;
	*(enum alarm_priority *)out = (enum alarm_priority)priority;
	return true;
}

static bool decode_time(const cJSON *item, void *out)
{
	return time_parse(text_of(item), strlen(text_of(item)), out, NULL, NULL) == STATUS_OK;
}

static bool decode_some_time(const cJSON *item, void *out)
{
	return cJSON_IsNull(item) || decode_time(item, out);
}

static bool decode_flag(const cJSON *item, void *out)
{
	*(bool *)out = cJSON_IsTrue(item);
	return cJSON_IsBool(item);
}

/* A whole number in 0 .. high. */
static bool decode_whole(const cJSON *item, double high, double *out)
{
	if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble > high ||
		item->valuedouble != floor(item->valuedouble))
		return false;
	*out = item->valuedouble;
	return true;
}

static bool decode_count(const cJSON *item, void *out)
{
	double value;

	if (!decode_whole(item, 0x1p53, &value)) /* beyond, a double is no longer a count */
		return false;
	*(uint64_t *)out = (uint64_t)value;
	return true;
}

static bool decode_run(const cJSON *item, void *out)
{
	double value;

	if (!decode_whole(item, 1e6, &value))
		return false;
	*(unsigned *)out = (unsigned)value;
	return true;
}

static bool decode_runs(const cJSON *item, void *out)
{
	uint16_t *run = out;
	double value;

	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != ALARM_CAUSES)
		return false;
	for (int i = 0; i < ALARM_CAUSES; i++) {
		if (!decode_whole(cJSON_GetArrayItem(item, i), UINT16_MAX, &value))
			return false;
		run[i] = (uint16_t)value;
	}
	return true;
}

static bool decode_score(const cJSON *item, void *out)
{
	*(double *)out = cJSON_IsNumber(item) ? item->valuedouble : NAN;
	return cJSON_IsNumber(item) || cJSON_IsNull(item);
}

static bool decode_window(const cJSON *item, void *out)
{
	const char *text = text_of(item);

	if (strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16)
		return false;
	*(uint64_t *)out = strtoull(text, NULL, 16);
	return true;
}

static bool decode_causes(const cJSON *item, void *out)
{
	const cJSON *one;
	unsigned cause, mask = 0;

	if (!cJSON_IsArray(item))
		return false;
	cJSON_ArrayForEach(one, item)
	{
		if (!decode_word(one, cause_names, ALARM_CAUSES, &cause))
			return false;
		mask |= ALARM_BIT(cause);
	}
	*(unsigned *)out = mask;
	return true;
}

static bool decode_text(const cJSON *item, char *out, size_t size)
{
	size_t len = cJSON_IsString(item) ? strlen(item->valuestring) : size;

	if (len >= size)
		return false;
	memcpy(out, item->valuestring, len + 1);
	return true;
}

static bool decode_id(const cJSON *item, void *out)
{
	return decode_text(item, out, ALARM_ID_SIZE);
}

static bool decode_sensor(const cJSON *item, void *out)
{
	return decode_text(item, out, FEATURE_NAME_MAX + 1);
}

static bool decode_operator(const cJSON *item, void *out)
{
	return decode_text(item, out, ALARM_OPERATOR_MAX + 1);
}

static bool decode_reason(const cJSON *item, void *out)
{
	return decode_text(item, out, ALARM_REASON_MAX + 1);
}

#define AT(member) offsetof(struct alarm, member)
static const struct member {
	const char *name;
	bool (*decode)(const cJSON *item, void *out);
	size_t offset;
	bool needed; /* else it may be absent, as on the wire */
} members[] = {
	{ "id", decode_id, AT(id), true },
	{ "priority", decode_priority, AT(priority), true },
	{ "since", decode_time, AT(since_ms), true },
	{ "updated", decode_time, AT(updated_ms), true },
	{ "count", decode_count, AT(count), true },
	{ "peak_score", decode_score, AT(peak_score), true },
	{ "first_sensor", decode_sensor, AT(first_sensor), true },
	{ "shelved_until", decode_some_time, AT(shelved_until_ms), false },
	{ "condition", decode_condition, AT(condition), false },
	{ "causes", decode_causes, AT(causes), false },
	{ "told", decode_causes, AT(told), false },
	{ "ended", decode_some_time, AT(ended_ms), false },
	{ "operator", decode_operator, AT(operator_name), false },
	{ "reason", decode_reason, AT(reason), false },
	{ "false_alarm", decode_flag, AT(false_alarm), false },
	{ "recent", decode_window, AT(recent), false },
	{ "normal_run", decode_run, AT(normal_run), false },
	{ "run_peak", decode_score, AT(run_peak), false },
	{ "run_severe", decode_flag, AT(run_severe), false },
	{ "run_from", decode_some_time, AT(run_from_ms), false },
	{ "fault_run", decode_runs, AT(fault_run), false },
	{ "sound_run", decode_runs, AT(sound_run), false },
	{ "from", decode_some_time, AT(from_ms), false },
	{ "last", decode_some_time, AT(last_ms), false },
	{ "stopped", decode_flag, AT(stopped), false },
};

/* The condition under a state that came alone, as on the wire. Why it was raised is not said
 * there: an anomaly, most likely. */
static void guess_condition(struct alarm *alarm, enum alarm_state state)
{
	alarm->condition = state <= ALARM_RETURNED ? state
		: state == ALARM_SHELVED           ? ALARM_UNACKNOWLEDGED
						   : ALARM_NORMAL;
	alarm->stopped = state == ALARM_SUPPRESSED;
	alarm->from_ms = alarm->since_ms;
	alarm->last_ms = alarm->updated_ms;
	alarm->told = ALARM_BIT(ALARM_ANOMALY);
	if (alarm->condition == ALARM_UNACKNOWLEDGED || alarm->condition == ALARM_ACKNOWLEDGED)
		alarm->causes = alarm->told;
	else
		alarm->ended_ms = alarm->updated_ms;
}

/* What cannot be, whoever wrote it. */
static bool consistent(const struct alarm *alarm)
{
	bool standing =
		alarm->condition == ALARM_UNACKNOWLEDGED || alarm->condition == ALARM_ACKNOWLEDGED;

	return standing == (alarm->causes != 0) && !(alarm->stopped && standing);
}

/* The first member that is missing or wrong, NULL if none is. */
static const char *decode_members(const cJSON *object, struct alarm *alarm)
{
	enum alarm_state state;

	if (!decode_state(cJSON_GetObjectItemCaseSensitive(object, "state"), &state))
		return "state";
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		const struct member *m = &members[i];
		const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, m->name);
		if (item ? !m->decode(item, (char *)alarm + m->offset) : m->needed)
			return m->name;
	}
	if (!cJSON_GetObjectItemCaseSensitive(object, "condition"))
		guess_condition(alarm, state);
	return consistent(alarm) ? NULL : "condition";
}

enum status alarm_decode(const char *json, size_t len, struct alarm *out, struct why *why)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	struct alarm alarm = { 0 };
	struct cJSON *object;

	enum status st = json_parse(json, len, &limits, &object, why);
	if (st)
		return st;
	const char *wrong = decode_members(object, &alarm);
	cJSON_Delete(object);
	if (wrong)
		return fail(why, STATUS_BAD_INPUT, "alarm: %s is missing or wrong", wrong);
	*out = alarm;
	return STATUS_OK;
}
