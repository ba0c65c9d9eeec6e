#include "agent/config.h"
#include "agent/config_file.h"
#include "agent/config_table.h"
#include "common/mqtt.h"
#include "common/text.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum source { SOURCE_NONE, SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_SET };

struct origin {
	enum source source;
	int line; /* in the file */
};

struct config_origin {
	char *path;         /* of the file, NULL: none */
	struct origin of[]; /* [setting_count] */
};

static struct origin *origin_of(const struct config *config, const struct setting *setting)
{
	return &config->origin->of[setting - settings];
}

/* "agent.conf:12: mqtt.url", "environment ISOLDE_MQTT_URL", "--set mqtt.url" */
static void place_of(const struct config *config, const struct setting *setting,
	struct origin origin, char out[SETTING_PLACE_MAX])
{
	char variable[SETTING_NAME_MAX];
	const char *path = config->origin->path;

	switch (origin.source) {
	case SOURCE_FILE:
		if (strlen(path) > 100)
			path += strlen(path) - 100; /* of a long path the end says more */
		snprintf(out, SETTING_PLACE_MAX, "%s:%d: %s.%s", path, origin.line,
			setting->section, setting->name);
		return;
	case SOURCE_ENVIRONMENT:
		setting_environment_name(setting, variable);
		snprintf(out, SETTING_PLACE_MAX, "environment %s", variable);
		return;
	case SOURCE_SET:
		snprintf(out, SETTING_PLACE_MAX, "--set %s.%s", setting->section, setting->name);
		return;
	case SOURCE_NONE:
	case SOURCE_DEFAULT:
		snprintf(out, SETTING_PLACE_MAX, "%s.%s", setting->section, setting->name);
		return;
	}
}

/* ---- loading ---- */

static enum status refuse_repeated(const char *place, struct origin earlier, struct why *why)
{
	if (earlier.source == SOURCE_FILE)
		return fail(why, STATUS_BAD_CONFIG, "%s: is set twice, first in line %d", place,
			earlier.line);
	return fail(why, STATUS_BAD_CONFIG, "%s: is set twice", place);
}

/* Every value goes through here, the defaults too. */
static enum status assign(struct config *config, const struct setting *setting, const char *value,
	struct origin origin, struct why *why)
{
	struct origin *earlier = origin_of(config, setting);
	char place[SETTING_PLACE_MAX];

	place_of(config, setting, origin, place);
	if (earlier->source == origin.source)
		return refuse_repeated(place, *earlier, why);
	enum status st = setting_parse(setting, value, place, config, why);
	if (!st)
		*earlier = origin;
	return st;
}

static enum status load_defaults(struct config *config, struct why *why)
{
	const struct origin origin = { SOURCE_DEFAULT, 0 };
	enum status st = STATUS_OK;

	for (size_t i = 0; i < setting_count && !st; i++)
		st = assign(config, &settings[i], settings[i].value, origin, why);
	return st;
}

static enum status on_file_value(
	void *context, const struct setting *setting, const char *value, int line, struct why *why)
{
	const struct origin origin = { SOURCE_FILE, line };

	return assign(context, setting, value, origin, why);
}

static enum status load_file(struct config *config, const char *path, struct why *why)
{
	config->origin->path = strdup(path);
	if (!config->origin->path)
		return fail(why, STATUS_NO_MEMORY, "%s: out of memory", path);
	return config_file_read(path, on_file_value, config, why);
}

/* "MQTT_URL" -> "mqtt", "url"; false if no section begins it: then it is none of ours. */
static bool split_variable(const char *variable, size_t len, char section[SETTING_NAME_MAX],
	char name[SETTING_NAME_MAX])
{
	const char *underscore = memchr(variable, '_', len);
	if (!underscore)
		return false;

	int section_len = (int)(underscore - variable);
	int name_len = (int)(len - (size_t)section_len - 1);
	snprintf(section, SETTING_NAME_MAX, "%.*s", section_len, variable);
	snprintf(name, SETTING_NAME_MAX, "%.*s", name_len, underscore + 1);
	for (char *c = section; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	return setting_section_known(section);
}

/* `entry` is "ISOLDE_MQTT_URL=..."; ISOLDE_DATASETS and the like, which begin with no section,
 * belong to others. */
static enum status load_variable(struct config *config, const char *entry, struct why *why)
{
	static const char prefix[] = "ISOLDE_";
	const struct origin origin = { SOURCE_ENVIRONMENT, 0 };
	const char *equals = strchr(entry, '=');
	char section[SETTING_NAME_MAX], name[SETTING_NAME_MAX], variable[SETTING_NAME_MAX];

	if (!equals || strncmp(entry, prefix, sizeof(prefix) - 1) != 0)
		return STATUS_OK;
	const char *rest = entry + sizeof(prefix) - 1;
	if (!split_variable(rest, (size_t)(equals - rest), section, name))
		return STATUS_OK;
	for (size_t i = 0; i < setting_count; i++) {
		setting_environment_name(&settings[i], variable);
		size_t len = strlen(variable);
		if (strncmp(entry, variable, len) == 0 && entry[len] == '=')
			return assign(config, &settings[i], equals + 1, origin, why);
	}
	setting_environment_name(setting_nearest(section, name), variable);
	return fail(why, STATUS_BAD_CONFIG, "environment %.*s: unknown setting; did you mean %s?",
		(int)(equals - entry > 60 ? 60 : equals - entry), entry, variable);
}

static enum status load_environment(
	struct config *config, char *const *environment, struct why *why)
{
	enum status st = STATUS_OK;

	for (; environment && *environment && !st; environment++)
		st = load_variable(config, *environment, why);
	return st;
}

static enum status load_set(struct config *config, const char *word, struct why *why)
{
	const struct origin origin = { SOURCE_SET, 0 };
	char section[SETTING_NAME_MAX], name[SETTING_NAME_MAX];
	const char *equals = strchr(word, '=');
	const char *dot = equals ? memchr(word, '.', (size_t)(equals - word)) : NULL;

	if (!dot)
		return fail(why, STATUS_USAGE, "--set %.60s: want section.name=VALUE", word);
	snprintf(section, sizeof(section), "%.*s", (int)(dot - word), word);
	snprintf(name, sizeof(name), "%.*s", (int)(equals - dot - 1), dot + 1);
	const struct setting *setting = setting_find(section, name);
	if (!setting)
		return setting_refuse_unknown("--set ", section, name, why);
	return assign(config, setting, equals + 1, origin, why);
}

/* ---- secrets kept in files ---- */

static enum status refuse_setting(const struct config *config, const struct setting *setting,
	struct why *why, const char *text)
{
	char place[SETTING_PLACE_MAX];

	place_of(config, setting, *origin_of(config, setting), place);
	return fail(why, STATUS_BAD_CONFIG, "%s: %s", place, text);
}

/* Reads the first bytes of an open file; the number of them, or -1. */
static ssize_t read_start(int fd, char *out, size_t size)
{
	size_t len = 0;

	while (len < size) {
		ssize_t n = read(fd, out + len, size - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* The first line of `path` -> out; else a sentence about the file. Not file_read: that would
 * leave the secret on the heap. */
static const char *read_secret(const char *path, char out[CONFIG_TEXT_MAX + 2])
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return strerror(errno);

	bool known = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
	bool open_to_all = known && (info.st_mode & (S_IROTH | S_IWOTH));
	ssize_t len = known && !open_to_all ? read_start(fd, out, CONFIG_TEXT_MAX + 1) : 0;
	close(fd);
	if (!known)
		return "is not a regular file";
	if (open_to_all)
		return "others may read or write it; chmod o-rw";
	if (len < 0)
		return "cannot be read";
	if (memchr(out, '\0', (size_t)len))
		return "holds a NUL byte";
	out[len] = '\0';
	out[strcspn(out, "\r\n")] = '\0';
	return out[0] ? NULL : "its first line is empty";
}

static enum status load_secret(struct config *config, const struct setting *secret,
	const struct setting *file, struct why *why)
{
	char line[CONFIG_TEXT_MAX + 2], place[2 * CONFIG_TEXT_MAX];
	const char *path = setting_text(file, config);

	if (!*path)
		return STATUS_OK;
	if (*setting_text(secret, config)) {
		snprintf(place, sizeof(place), "%s.%s is set as well; one of the two has to go",
			secret->section, secret->name);
		return refuse_setting(config, file, why, place);
	}
	const char *trouble = read_secret(path, line);
	place_of(config, file, *origin_of(config, file), place);
	size_t len = strlen(place);
	snprintf(place + len, sizeof(place) - len, ": %.100s", path);
	enum status st = trouble ? fail(why, STATUS_BAD_CONFIG, "%s: %s", place, trouble)
				 : setting_parse(secret, line, place, config, why);
	explicit_bzero(line, sizeof(line));
	return st;
}

/* The setting that names a secret's file: password -> password_file. */
static const struct setting *file_of(const struct setting *secret)
{
	char name[SETTING_NAME_MAX];

	snprintf(name, sizeof(name), "%s_file", secret->name);
	return setting_find(secret->section, name);
}

static enum status load_secrets(struct config *config, struct why *why)
{
	enum status st = STATUS_OK;

	for (size_t i = 0; i < setting_count && !st; i++)
		if (settings[i].kind == SETTING_SECRET)
			st = load_secret(config, &settings[i], file_of(&settings[i]), why);
	return st;
}

/* ---- settings that need each other ---- */

static enum status check_tls(const struct config *config, struct why *why)
{
	const struct mqtt_config *mqtt = &config->mqtt;
	bool tls = false;

	enum status st = mqtt_check_urls(mqtt->url, &tls, why);
	if (st)
		return st;
	if (*mqtt->cert_file && !*mqtt->key_file)
		return refuse_setting(
			config, setting_find("mqtt", "cert_file"), why, "needs mqtt.key_file too");
	if (*mqtt->key_file && !*mqtt->cert_file)
		return refuse_setting(
			config, setting_find("mqtt", "key_file"), why, "needs mqtt.cert_file too");
	if (*mqtt->ca_file && !tls)
		return refuse_setting(config, setting_find("mqtt", "ca_file"), why,
			"needs an mqtts:// url; with others nothing is encrypted");
	if (*mqtt->cert_file && !tls)
		return refuse_setting(config, setting_find("mqtt", "cert_file"), why,
			"needs an mqtts:// url; with others nothing is encrypted");
	struct why inner;
	if (*mqtt->ca_file && mqtt_check_ca(mqtt->ca_file, &inner) != STATUS_OK)
		return refuse_setting(config, setting_find("mqtt", "ca_file"), why, inner.text);
	if (*mqtt->cert_file &&
		mqtt_check_key(mqtt->cert_file, mqtt->key_file, &inner) != STATUS_OK)
		return refuse_setting(config, setting_find("mqtt", "cert_file"), why, inner.text);
	return STATUS_OK;
}

static enum status check_access(const struct config *config, struct why *why)
{
	const struct http_config *http = &config->http;

	if (*http->read_token && strcmp(http->read_token, http->write_token) == 0)
		return refuse_setting(config, setting_find("http", "write_token"), why,
			"is the read token, too: whoever may read could write");
	if (*http->read_token && http->open_read)
		return refuse_setting(config, setting_find("http", "open_read"), why,
			"is yes, so the read token would guard nothing; choose one of them");
	return STATUS_OK;
}

static enum status check_together(const struct config *config, struct why *why)
{
	if (config->alarm.raise_count > config->alarm.raise_window)
		return refuse_setting(config, setting_find("alarm", "raise_count"), why,
			"is larger than alarm.raise_window, so no alarm would ever be raised");
	/* MQTT 3.1.1, section 3.1.2.9 */
	if (*config->mqtt.password && !*config->mqtt.username)
		return refuse_setting(config, setting_find("mqtt", "username"), why,
			"is empty, but a password is set; MQTT needs both");
	/* A broker that knows certificates needs neither. */
	if (*config->mqtt.username && !*config->mqtt.password && !*config->mqtt.cert_file)
		return refuse_setting(config, setting_find("mqtt", "username"), why,
			"is set, but no password; mqtt.password_file names its file");
	enum status st = check_access(config, why);
	return st ? st : check_tls(config, why);
}

static enum status load_all(struct config *config, const char *path, char *const *environment,
	const char *const *sets, size_t count, struct why *why)
{
	enum status st = load_defaults(config, why);

	if (!st && path)
		st = load_file(config, path, why);
	if (!st)
		st = load_environment(config, environment, why);
	for (size_t i = 0; i < count && !st; i++)
		st = load_set(config, sets[i], why);
	if (!st)
		st = load_secrets(config, why);
	return st ? st : check_together(config, why);
}

enum status config_load(const char *path, char *const *environment, const char *const *sets,
	size_t count, struct config *out, struct why *why)
{
	struct config config = { 0 };

	config.origin = calloc(1, sizeof(*config.origin) + setting_count * sizeof(struct origin));
	if (!config.origin)
		return fail(why, STATUS_NO_MEMORY, "out of memory");
	enum status st = load_all(&config, path, environment, sets, count, why);
	if (!st) {
		*out = config;
		config.origin = NULL; /* it is *out's now */
	}
	config_finish(&config);
	return st;
}

void config_finish(struct config *config)
{
	if (config->origin)
		free(config->origin->path);
	free(config->origin);
	explicit_bzero(config, sizeof(*config));
}

/* ---- showing ---- */

static void print_range(const struct setting *setting, FILE *out)
{
	if (setting->kind == SETTING_INTEGER)
		fprintf(out, " (%lld .. %lld %s)", (long long)setting->low,
			(long long)setting->high, setting->unit);
	for (size_t i = 0; setting->choices && setting->choices[i]; i++)
		fprintf(out, "%s%s%s", i > 0 ? ", " : " (", setting->choices[i],
			setting->choices[i + 1] ? "" : ")");
}

/* What libconfuse reads back as the same text: $ would begin a variable. */
static void print_quoted(const char *text, FILE *out)
{
	fputc('"', out);
	for (; *text; text++) {
		if (strchr("\"\\$", *text))
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void print_origin(const struct config *config, const struct setting *setting, FILE *out)
{
	struct origin origin = *origin_of(config, setting);
	char variable[SETTING_NAME_MAX];

	fputs(" # ", out);
	switch (origin.source) {
	case SOURCE_NONE:
	case SOURCE_DEFAULT:
		fputs("default", out);
		break;
	case SOURCE_FILE:
		for (const char *c = config->origin->path; *c; c++)
			fputc((unsigned char)*c < ' ' ? '?' : *c, out); /* stays one line */
		fprintf(out, ":%d", origin.line);
		break;
	case SOURCE_ENVIRONMENT:
		setting_environment_name(setting, variable);
		fprintf(out, "environment %s", variable);
		break;
	case SOURCE_SET:
		fputs("--set", out);
		break;
	}
}

static void print_setting(const struct config *config, const struct setting *setting, FILE *out)
{
	config_text value;
	setting_format(setting, config, value);
	bool hidden = setting->kind == SETTING_SECRET && *value;

	fprintf(out, "\t# %s", setting->help);
	print_range(setting, out);
	/* A secret that is hidden is a comment, so that "(set)" is never taken for one. */
	fprintf(out, "\n\t%s%s = ", hidden ? "#" : "", setting->name);
	if (setting->kind == SETTING_TEXT || setting->kind == SETTING_SECRET)
		print_quoted(value, out);
	else
		fputs(value, out);
	if (hidden && origin_of(config, setting)->source == SOURCE_DEFAULT)
		fprintf(out, " # %s", file_of(setting)->name);
	else
		print_origin(config, setting, out);
	fputc('\n', out);
}

void config_print(const struct config *config, FILE *out)
{
	const char *section = "";

	for (size_t i = 0; i < setting_count; i++) {
		if (strcmp(settings[i].section, section) != 0) {
			fprintf(out, "%s%s {\n", i > 0 ? "}\n\n" : "", settings[i].section);
			section = settings[i].section;
		}
		print_setting(config, &settings[i], out);
	}
	fputs("}\n", out);
}

static void add_json_value(
	struct text *text, const struct config *config, const struct setting *setting)
{
	config_text value;

	setting_format(setting, config, value);
	if (setting->kind == SETTING_INTEGER)
		text_add(text, value);
	else if (setting->kind == SETTING_BOOLEAN)
		text_add(text, strcmp(value, "yes") == 0 ? "true" : "false");
	else
		text_add_json(text, value);
}

size_t config_json(const struct config *config, char *out, size_t size)
{
	struct text text = text_start(out, size);

	for (size_t i = 0; i < setting_count; i++) {
		if (settings[i].kind == SETTING_SECRET)
			continue;
		text_add(&text, text.len == 0 ? "{\"" : ",\"");
		text_add(&text, settings[i].section);
		text_add(&text, ".");
		text_add(&text, settings[i].name);
		text_add(&text, "\":");
		add_json_value(&text, config, &settings[i]);
	}
	text_add(&text, "}");
	return text_end(&text);
}
