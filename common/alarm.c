#include "common/alarm.h"
#include "common/digest.h"
#include "common/jsontext.h"
#include "common/text.h"
#include "common/timeutil.h"
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
	[ALARM_NORMAL] = "normal",
	[ALARM_UNACKNOWLEDGED] = "unacknowledged",
};
static const char *const priority_names[] = {
	[ALARM_LOW] = "low",
	[ALARM_MEDIUM] = "medium",
	[ALARM_HIGH] = "high",
};

/* ---- raising and clearing ---- */

static unsigned anomalous_in(uint64_t recent, unsigned window)
{
	uint64_t mask = window < ALARM_WINDOW_MAX ? (UINT64_C(1) << window) - 1 : UINT64_MAX;
	unsigned n = 0;

	for (uint64_t bits = recent & mask; bits; bits &= bits - 1)
		n++;
	return n;
}

/* high:   a score was beyond the threshold by a quarter of the way that is left to 0.5, the
 *         largest score there is. All sensors far off reach it; one alone hardly does.
 * medium: every reading of the window is anomalous: it does not come and go.
 * low:    the rest. */
static enum alarm_priority priority_of(const struct alarm *alarm, const struct alarm_policy *policy,
	const struct alarm_input *input)
{
	if (alarm->run_peak > input->threshold + fmax(0.5 - input->threshold, 0) / 4)
		return ALARM_HIGH;
	if (anomalous_in(alarm->recent, policy->raise_window) == policy->raise_window)
		return ALARM_MEDIUM;
	return ALARM_LOW;
}

/* In the form of a UUID version 7 (RFC 9562): its time first, so that ids sort by time, then a
 * digest of the machine and its previous alarm instead of random bits, so that the same
 * readings give the same ids. */
static void make_id(struct alarm *alarm, const char *machine, int64_t at_ms)
{
	static const uint64_t key[2] = { 0x69736f6c64650000, 0x616c61726d000000 };
	char seed[MACHINE_NAME_MAX + 1 + ALARM_ID_SIZE];
	int len = snprintf(seed, sizeof(seed), "%s/%s", machine, alarm->id);
	uint64_t bits = digest_sip(key, seed, (size_t)len);
	uint64_t time = (uint64_t)at_ms & 0xffffffffffff;

	snprintf(alarm->id, sizeof(alarm->id), "%08x-%04x-7%03x-%04x-%012" PRIx64,
		(unsigned)(time >> 16), (unsigned)(time & 0xffff), (unsigned)(bits >> 52),
		(unsigned)(0x8000 | (bits >> 38 & 0x3fff)), bits & 0x3fffffffff);
}

/* Keeps what an alarm will tell of the readings that led to it. */
static void note_anomaly(
	struct alarm *alarm, const struct alarm_policy *policy, const struct alarm_input *input)
{
	bool alone = alarm->state == ALARM_NORMAL &&
		anomalous_in(alarm->recent, policy->raise_window - 1) == 0;

	if (alone || input->score > alarm->run_peak)
		alarm->run_peak = input->score;
}

static void raise_alarm(struct alarm *alarm, const struct alarm_policy *policy, const char *machine,
	const struct alarm_input *input)
{
	make_id(alarm, machine, input->at_ms);
	alarm->state = ALARM_UNACKNOWLEDGED;
	alarm->priority = priority_of(alarm, policy, input);
	alarm->since_ms = alarm->updated_ms = input->at_ms;
	alarm->count = anomalous_in(alarm->recent, policy->raise_window);
	alarm->peak_score = alarm->run_peak;
	snprintf(alarm->first_sensor, sizeof(alarm->first_sensor), "%s",
		input->sensor ? input->sensor : "");
}

/* Another anomalous reading while it is raised; true if that makes it more important. */
static bool continue_alarm(
	struct alarm *alarm, const struct alarm_policy *policy, const struct alarm_input *input)
{
	enum alarm_priority priority = priority_of(alarm, policy, input);

	alarm->count++;
	if (input->at_ms > alarm->updated_ms)
		alarm->updated_ms = input->at_ms;
	if (input->score > alarm->peak_score)
		alarm->peak_score = input->score;
	if (priority <= alarm->priority)
		return false;
	alarm->priority = priority;
	return true;
}

static void clear_alarm(struct alarm *alarm, int64_t at_ms)
{
	alarm->state = ALARM_NORMAL;
	if (at_ms > alarm->updated_ms)
		alarm->updated_ms = at_ms;
	/* What raised this alarm must not help to raise the next one. */
	alarm->recent = 0;
}

bool alarm_next(struct alarm *alarm, const struct alarm_policy *policy, const char *machine,
	const struct alarm_input *input)
{
	bool raised = alarm->state != ALARM_NORMAL;

	if (input->anomalous)
		note_anomaly(alarm, policy, input);
	alarm->recent = alarm->recent << 1 | input->anomalous;
	if (!input->anomalous) {
		if (alarm->normal_run < policy->clear_count)
			alarm->normal_run++;
		if (!raised || alarm->normal_run < policy->clear_count)
			return false;
		clear_alarm(alarm, input->at_ms);
		return true;
	}
	alarm->normal_run = 0;
	if (raised)
		return continue_alarm(alarm, policy, input);
	if (anomalous_in(alarm->recent, policy->raise_window) < policy->raise_count)
		return false;
	raise_alarm(alarm, policy, machine, input);
	return true;
}

/* ---- JSON ---- */

size_t alarm_encode(const struct alarm *alarm, const char *machine, char *out, size_t size)
{
	struct text text = text_start(out, size);

	text_add(&text, "{\"id\":");
	text_add_json(&text, alarm->id);
	text_add(&text, ",\"machine\":");
	text_add_json(&text, machine);
	text_add(&text, ",\"state\":");
	text_add_json(&text, state_names[alarm->state]);
	text_add(&text, ",\"priority\":");
	text_add_json(&text, priority_names[alarm->priority]);
	text_add(&text, ",\"since\":");
	text_add_time(&text, alarm->since_ms);
	text_add(&text, ",\"updated\":");
	text_add_time(&text, alarm->updated_ms);
	text_add(&text, ",\"count\":");
	text_add_integer(&text, (int64_t)alarm->count);
	text_add(&text, ",\"peak_score\":");
	text_add_number(&text, alarm->peak_score);
	text_add(&text, ",\"first_sensor\":");
	text_add_json(&text, alarm->first_sensor);
	text_add(&text, ",\"shelved_until\":null}");
	return text_end(&text);
}

static const char *text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));

	return text ? text : "";
}

static bool decode_word(const cJSON *object, const char *name, const char *const *words,
	unsigned count, unsigned *out)
{
	const char *text = text_of(object, name);

	for (unsigned i = 0; i < count; i++)
		if (strcmp(text, words[i]) == 0) {
			*out = i;
			return true;
		}
	return false;
}

static bool decode_time(const cJSON *object, const char *name, int64_t *out)
{
	const char *text = text_of(object, name);

	return time_parse(text, strlen(text), out, NULL, NULL) == STATUS_OK;
}

/* A text of at most size - 1 bytes. */
static bool decode_text(const cJSON *object, const char *name, char *out, size_t size)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
	size_t len = cJSON_IsString(item) ? strlen(item->valuestring) : size;

	if (len >= size)
		return false;
	memcpy(out, item->valuestring, len + 1);
	return true;
}

static bool decode_numbers(const cJSON *object, struct alarm *alarm)
{
	const cJSON *count = cJSON_GetObjectItemCaseSensitive(object, "count");
	const cJSON *peak = cJSON_GetObjectItemCaseSensitive(object, "peak_score");

	/* Beyond 2^53 a double is no longer a count. */
	if (!cJSON_IsNumber(count) || !cJSON_IsNumber(peak) || count->valuedouble < 0 ||
		count->valuedouble > 0x1p53 || count->valuedouble != floor(count->valuedouble))
		return false;
	alarm->count = (uint64_t)count->valuedouble;
	alarm->peak_score = peak->valuedouble;
	return true;
}

/* The first member that is missing or wrong, NULL if none is. */
static const char *decode_members(const cJSON *object, struct alarm *alarm)
{
	unsigned state, priority;

	if (!decode_text(object, "id", alarm->id, sizeof(alarm->id)))
		return "id";
	if (!decode_word(object, "state", state_names, 2, &state))
		return "state";
	if (!decode_word(object, "priority", priority_names, 3, &priority))
		return "priority";
	if (!decode_time(object, "since", &alarm->since_ms))
		return "since";
	if (!decode_time(object, "updated", &alarm->updated_ms))
		return "updated";
	if (!decode_numbers(object, alarm))
		return "count or peak_score";
	if (!decode_text(object, "first_sensor", alarm->first_sensor, sizeof(alarm->first_sensor)))
		return "first_sensor";
	alarm->state = (enum alarm_state)state;
	alarm->priority = (enum alarm_priority)priority;
	return NULL;
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
