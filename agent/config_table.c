#include "agent/config_table.h"
#include "agent/topic.h"
#include "common/jsontext.h"
#include "common/mqtt.h"
#include "common/number.h"
#include "common/schema.h"
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_MIN = 16 /* characters: 64 bits even when written in hexadecimal */ };

/* Indices of choices are kept through one unsigned. */
static_assert(sizeof(enum verdict_feed) == sizeof(unsigned), "an enum is an unsigned");
static_assert(sizeof(enum log_level) == sizeof(unsigned), "an enum is an unsigned");
static_assert(sizeof(enum log_format) == sizeof(unsigned), "an enum is an unsigned");

static const char *const verdict_feeds[] = { "all", "anomalies", "batch", "none", NULL };
static const char *const durabilities[] = { "strict", "balanced", NULL };
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };
static const char *const log_formats[] = { "logfmt", "json", NULL };

static enum status check_url(const char *value, struct why *why)
{
	bool tls;

	/* Before anyone else looks: their sentence might quote the password. */
	if (strchr(value, '@'))
		return fail(why, STATUS_BAD_CONFIG,
			"a user or password does not belong in the url; "
			"use mqtt.username and mqtt.password_file");
	return mqtt_check_urls(value, &tls, why);
}

static enum status check_client_id(const char *value, struct why *why)
{
	if (machine_name_valid(value, strlen(value)))
		return STATUS_OK;
	return fail(why, STATUS_BAD_CONFIG, "\"%.60s\" is not 1 to 64 letters, digits, '_' and '-'",
		value);
}

static enum status check_topic(const char *value, struct why *why)
{
	struct topic_template topic;

	return topic_parse(value, &topic, why);
}

static enum status check_listen(const char *value, struct why *why)
{
	const char *colon = strrchr(value, ':');
	size_t host = colon ? (size_t)(colon - value) : 0;
	long long port;

	if (host > 0 && strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789.-") == host &&
		number_parse_integer(colon + 1, 0, 65535, &port))
		return STATUS_OK;
	return fail(why, STATUS_BAD_CONFIG, "\"%.60s\" is not ADDRESS:PORT, such as 127.0.0.1:8000",
		value);
}

static enum status check_hosts(const char *value, struct why *why)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_, ";

	if (value[strspn(value, letters)] == '\0')
		return STATUS_OK;
	return fail(why, STATUS_BAD_CONFIG,
		"\"%.60s\" is no list of host names, with commas between and without ports", value);
}

static enum status check_token(const char *value, struct why *why)
{
	size_t len = strlen(value);

	if (len == 0)
		return STATUS_OK;
	if (len < TOKEN_MIN)
		return fail(why, STATUS_BAD_CONFIG, "a token shorter than %d characters",
			(int)TOKEN_MIN);
	for (size_t i = 0; i < len; i++)
		if (value[i] <= ' ' || value[i] > '~')
			return fail(why, STATUS_BAD_CONFIG,
				"a token holds a blank or a character that is not ASCII");
	return STATUS_OK;
}

/* clang-format off */
#define PLACE(part, field) #part, #field
#define AT(part, field) offsetof(struct config, part.field)
/* The same, and the compiler refuses a field that is no config_text. */
#define AT_TEXT(part, field) (AT(part, field) + \
	0 * sizeof(char[sizeof(((struct config *)0)->part.field) == CONFIG_TEXT_MAX ? 1 : -1]))
#define TEXT(part, field, initial, least, rule, help) \
	{ PLACE(part, field), SETTING_TEXT, AT_TEXT(part, field), initial, least, \
		CONFIG_TEXT_MAX - 1, NULL, NULL, rule, help }
#define SECRET(part, field, rule, help) \
	{ PLACE(part, field), SETTING_SECRET, AT_TEXT(part, field), "", 0, \
		CONFIG_TEXT_MAX - 1, NULL, NULL, rule, help }
#define INTEGER(part, field, initial, low, high, unit, help) \
	{ PLACE(part, field), SETTING_INTEGER, AT(part, field), initial, low, high, unit, \
		NULL, NULL, help }
#define BOOLEAN(part, field, initial, help) \
	{ PLACE(part, field), SETTING_BOOLEAN, AT(part, field), initial, 0, 0, NULL, \
		NULL, NULL, help }
#define CHOICE(part, field, initial, words, help) \
	{ PLACE(part, field), SETTING_CHOICE, AT(part, field), initial, 0, 0, NULL, \
		words, NULL, help }

/* Every line of help stands in config/agent.conf as well; config_test holds the two together. */
const struct setting settings[] = {
	TEXT(mqtt, url, "mqtt://127.0.0.1:1883", 1, check_url,
		"Brokers tried in turn, with commas: mqtt://host[:1883], mqtts://host[:8883] or "
		"unix:///path/to/socket."),
	TEXT(mqtt, client_id, "isolde-agent", 1, check_client_id,
		"Our name at the broker and in isolde/<name>/status; unique there, and lasting."),
	TEXT(mqtt, topic, "factory/{machine}/reading", 1, check_topic,
		"Where readings arrive; the level {machine} names the machine."),
	TEXT(mqtt, username, "", 0, NULL,
		"Name to log in with; empty: none."),
	SECRET(mqtt, password, NULL,
		"Password to log in with; better kept in a file, below."),
	TEXT(mqtt, password_file, "", 0, NULL,
		"File whose first line is the password; not readable by others."),
	TEXT(mqtt, ca_file, "", 0, NULL,
		"mqtts: certificates (PEM) to trust; empty: those of the system."),
	TEXT(mqtt, cert_file, "", 0, NULL,
		"mqtts: our own certificate (PEM), if the broker wants one; with key_file."),
	TEXT(mqtt, key_file, "", 0, NULL,
		"mqtts: the key of cert_file (PEM)."),
	INTEGER(mqtt, keepalive_s, "15", 5, 120, "s",
		"Silence after which the connection is probed"),
	INTEGER(mqtt, grace_s, "10", 0, 3600, "s",
		"How long a lost connection is only \"degraded\" in /health"),

	TEXT(http, listen, "127.0.0.1:8000", 1, check_listen,
		"Address of the HTTP API and the live page."),
	TEXT(http, hosts, "", 0, check_hosts,
		"Names with a dot under which we may be called, with commas; others are refused."),
	INTEGER(http, threads, "8", 2, 64, "threads",
		"Requests served at the same time, open pages included"),
	BOOLEAN(http, open_read, "no",
		"yes: reading needs no token, even when listening beyond loopback."),
	SECRET(http, read_token, check_token,
		"Bearer token for reading, 16 characters or more; better kept in a file, below."),
	TEXT(http, read_token_file, "", 0, NULL,
		"File whose first line is the read token; not readable by others."),
	SECRET(http, write_token, check_token,
		"Bearer token for what changes state (/reload), 16 characters or more."),
	TEXT(http, write_token_file, "", 0, NULL,
		"File whose first line is the write token; not readable by others."),

	TEXT(health, listen, "127.0.0.1:8001", 1, check_listen,
		"Address of /health, /health/live and /metrics, on threads of their own."),

	TEXT(store, path, "data/history.db", 1, NULL,
		"The history, a SQLite file; made when missing."),
	CHOICE(store, durability, "strict", durabilities,
		"strict: a commit survives a power cut; balanced: all but the last second does"),
	INTEGER(store, batch, "1000", 1, 10000, "readings",
		"The largest commit"),
	INTEGER(store, hold_s, "10", 0, 3600, "s",
		"How long readings wait for a store that can't be written; then they are dropped"),
	INTEGER(store, keep_days, "0", 0, 36500, "days",
		"Readings go so long after their arrival; 0: never"),
	INTEGER(store, max_mb, "0", 0, 1048576, "MB",
		"A larger history loses its oldest readings, a minute at a time; 0: never"),
	INTEGER(store, reserve_mb, "16", 0, 1048576, "MB",
		"Free disk space below which /health complains; below a quarter, nothing is stored"),

	TEXT(model, path, "data/models/default.json", 1, NULL,
		"The model file that isolde-trainer made."),
	TEXT(model, machines, "", 0, NULL,
		"A folder with models of single machines, MACHINE.json; the others have the model of path"),
	INTEGER(model, table_bytes, "16777216", 0, 1073741824, "bytes",
		"Memory for tables that score faster, to the same bits, the busiest models first; 0: none"),

	INTEGER(reading, late_s, "60", 1, 86400, "s",
		"Older than the machine's newest by this much: stored, but raises no alarm"),
	INTEGER(reading, skew_s, "300", 1, 86400, "s",
		"A clock this wrong is flagged, and its readings raise no alarm"),
	INTEGER(reading, machines, "10000", 1, 10000, "machines",
		"Readings of further machines are rejected"),
	INTEGER(reading, queue_kb, "20480", 64, 1048576, "KB",
		"Room for readings that wait; without it QoS 1 waits at the broker, QoS 0 is dropped"),

	INTEGER(alarm, raise_count, "3", 1, 64, "readings",
		"Anomalous readings that raise an alarm ..."),
	INTEGER(alarm, raise_window, "5", 1, 64, "readings",
		"... among the last readings of the machine"),
	INTEGER(alarm, clear_count, "5", 1, 1000, "readings",
		"Normal readings in a row that clear it"),
	INTEGER(alarm, fault_count, "10", 1, 1000, "readings",
		"Readings in a row with a sensor out of range or missing that raise one"),
	BOOLEAN(alarm, latch, "yes",
		"no: an alarm that is over goes back to normal without acknowledgement."),
	INTEGER(alarm, silent_s, "30", 0, 86400, "s",
		"Least silence that raises one, once a machine's pace is learnt; 0: none does"),
	INTEGER(alarm, shelve_max_h, "24", 1, 720, "h",
		"The longest time an alarm can be shelved"),
	INTEGER(alarm, group_machines, "5", 0, 1000, "machines",
		"Alarms of as many machines, each within a minute, make a group; 0: never"),

	CHOICE(alerts, verdicts, "all", verdict_feeds,
		"Verdicts published on alerts/<machine>/verdict, or batched on alerts/verdicts"),
	INTEGER(alerts, verdict_qos, "0", 0, 1, "QoS",
		"Quality of service of these verdicts; alarms always have 1"),
	INTEGER(alerts, outbox_max, "10000", 100, 10000000, "messages",
		"Alarms (and verdicts of QoS 1) kept for a broker that is away; then the oldest go"),

	CHOICE(log, level, "info", log_levels,
		"The least important lines that are written"),
	CHOICE(log, format, "logfmt", log_formats,
		"How log lines on stderr look"),

	BOOLEAN(process, sandbox, "yes",
		"no: keep core dumps and every system call, as a debugger needs."),
};
/* clang-format on */
const size_t setting_count = sizeof(settings) / sizeof(settings[0]);

const struct setting *setting_find(const char *section, const char *name)
{
	for (size_t i = 0; i < setting_count; i++)
		if (strcmp(settings[i].section, section) == 0 &&
			strcmp(settings[i].name, name) == 0)
			return &settings[i];
	return NULL;
}

bool setting_section_known(const char *section)
{
	return strcmp(setting_nearest_section(section), section) == 0;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Insertions, deletions and replacements between two words, of which the first
 * SETTING_NAME_MAX bytes count. One row of the table at a time. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t row[SETTING_NAME_MAX + 1];
	size_t rows = strnlen(a, SETTING_NAME_MAX), columns = strnlen(b, SETTING_NAME_MAX);

	for (size_t j = 0; j <= columns; j++)
		row[j] = j;
	for (size_t i = 1; i <= rows; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= columns; j++) {
			size_t above = row[j];
			size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
			row[j] = smaller(replaced, smaller(above, row[j - 1]) + 1);
			diagonal = above;
		}
	}
	return row[columns];
}

const struct setting *setting_nearest(const char *section, const char *name)
{
	const struct setting *nearest = &settings[0];
	size_t least = SIZE_MAX;
	char wanted[SETTING_NAME_MAX], known[SETTING_NAME_MAX];

	snprintf(wanted, sizeof(wanted), "%s.%s", section, name);
	for (size_t i = 0; i < setting_count; i++) {
		snprintf(known, sizeof(known), "%s.%s", settings[i].section, settings[i].name);
		size_t distance = edit_distance(wanted, known);
		if (distance < least) {
			least = distance;
			nearest = &settings[i];
		}
	}
	return nearest;
}

const char *setting_nearest_section(const char *section)
{
	const char *nearest = settings[0].section;
	size_t least = SIZE_MAX;

	for (size_t i = 0; i < setting_count; i++) {
		size_t distance = edit_distance(section, settings[i].section);
		if (distance < least) {
			least = distance;
			nearest = settings[i].section;
		}
	}
	return nearest;
}

enum status setting_refuse_unknown(
	const char *place, const char *section, const char *name, struct why *why)
{
	if (!setting_section_known(section))
		return fail(why, STATUS_BAD_CONFIG, "%s%.60s: unknown section; did you mean %s?",
			place, section, setting_nearest_section(section));

	const struct setting *nearest = setting_nearest(section, name);
	return fail(why, STATUS_BAD_CONFIG, "%s%s.%.60s: unknown setting; did you mean %s.%s?",
		place, section, name, nearest->section, nearest->name);
}

static void *field(const struct setting *setting, struct config *config)
{
	return (char *)config + setting->offset;
}

static const void *field_const(const struct setting *setting, const struct config *config)
{
	return (const char *)config + setting->offset;
}

char *setting_text(const struct setting *setting, struct config *config)
{
	assert(setting->kind == SETTING_TEXT || setting->kind == SETTING_SECRET);
	return field(setting, config);
}

static bool printable(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return utf8_valid(text, len);
}

static enum status parse_text(const struct setting *setting, const char *value, const char *place,
	struct config *config, struct why *why)
{
	size_t len = strlen(value);
	struct why inner = { "" };

	if ((int64_t)len > setting->high)
		return fail(why, STATUS_BAD_CONFIG, "%s: longer than %" PRId64 " bytes", place,
			setting->high);
	if ((int64_t)len < setting->low)
		return fail(why, STATUS_BAD_CONFIG, "%s: must not be empty", place);
	if (!printable(value, len))
		return fail(why, STATUS_BAD_CONFIG, "%s: holds control bytes or is not valid UTF-8",
			place);
	if (setting->check && setting->check(value, &inner))
		return fail(why, STATUS_BAD_CONFIG, "%s: %s", place, inner.text);
	memcpy(field(setting, config), value, len + 1);
	return STATUS_OK;
}

static enum status parse_integer(const struct setting *setting, const char *value,
	const char *place, struct config *config, struct why *why)
{
	long long number;

	if (!number_parse_integer(value, LLONG_MIN, LLONG_MAX, &number))
		return fail(why, STATUS_BAD_CONFIG,
			"%s: \"%.60s\" is not a whole number in %" PRId64 " .. %" PRId64, place,
			value, setting->low, setting->high);
	if (number < setting->low || number > setting->high)
		return fail(why, STATUS_BAD_CONFIG, "%s: %lld is not in %" PRId64 " .. %" PRId64,
			place, number, setting->low, setting->high);
	*(int64_t *)field(setting, config) = number;
	return STATUS_OK;
}

static enum status parse_boolean(const struct setting *setting, const char *value,
	const char *place, struct config *config, struct why *why)
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(value, words[i]) == 0) {
			*(bool *)field(setting, config) = i % 2 == 1;
			return STATUS_OK;
		}
	return fail(why, STATUS_BAD_CONFIG, "%s: \"%.60s\" is neither yes nor no", place, value);
}

/* "all, anomalies, none" */
static void list_choices(const struct setting *setting, char *out, size_t size)
{
	size_t len = 0;

	for (size_t i = 0; setting->choices[i] && len < size; i++)
		len += (size_t)snprintf(
			out + len, size - len, "%s%s", i > 0 ? ", " : "", setting->choices[i]);
}

static enum status parse_choice(const struct setting *setting, const char *value, const char *place,
	struct config *config, struct why *why)
{
	char list[64];

	for (unsigned i = 0; setting->choices[i]; i++)
		if (strcmp(value, setting->choices[i]) == 0) {
			memcpy(field(setting, config), &i, sizeof(i));
			return STATUS_OK;
		}
	list_choices(setting, list, sizeof(list));
	return fail(why, STATUS_BAD_CONFIG, "%s: \"%.60s\" is none of %s", place, value, list);
}

enum status setting_parse(const struct setting *setting, const char *value, const char *place,
	struct config *config, struct why *why)
{
	switch (setting->kind) {
	case SETTING_TEXT:
	case SETTING_SECRET:
		return parse_text(setting, value, place, config, why);
	case SETTING_INTEGER:
		return parse_integer(setting, value, place, config, why);
	case SETTING_BOOLEAN:
		return parse_boolean(setting, value, place, config, why);
	case SETTING_CHOICE:
		return parse_choice(setting, value, place, config, why);
	}
	return STATUS_BAD_CONFIG;
}

void setting_format(const struct setting *setting, const struct config *config, config_text out)
{
	const void *value = field_const(setting, config);
	unsigned choice;

	switch (setting->kind) {
	case SETTING_TEXT:
		snprintf(out, CONFIG_TEXT_MAX, "%s", (const char *)value);
		break;
	case SETTING_SECRET:
		snprintf(out, CONFIG_TEXT_MAX, "%s", *(const char *)value ? "(set)" : "");
		break;
	case SETTING_INTEGER:
		snprintf(out, CONFIG_TEXT_MAX, "%" PRId64, *(const int64_t *)value);
		break;
	case SETTING_BOOLEAN:
		snprintf(out, CONFIG_TEXT_MAX, "%s", *(const bool *)value ? "yes" : "no");
		break;
	case SETTING_CHOICE:
		memcpy(&choice, value, sizeof(choice));
		snprintf(out, CONFIG_TEXT_MAX, "%s", setting->choices[choice]);
		break;
	}
}

void setting_environment_name(const struct setting *setting, char out[SETTING_NAME_MAX])
{
	snprintf(out, SETTING_NAME_MAX, "ISOLDE_%s_%s", setting->section, setting->name);
	for (char *c = out; *c; c++)
		*c = (char)toupper((unsigned char)*c);
}
