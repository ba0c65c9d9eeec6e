#include "agent/config.h"
#include "tests/unit/unit.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- help ---- */

static struct why why;

static enum status load(
	const char *path, char *const *environment, const char *set, struct config *out)
{
	memset(out, 0, sizeof(*out));
	why.text[0] = '\0';
	return config_load(path, environment, &set, set ? 1 : 0, out, &why);
}

/* Refused as bad configuration; the sentence is in `why`. */
static bool refuses(const char *path, char *const *environment, const char *set)
{
	struct config config;
	enum status st = load(path, environment, set, &config);

	config_finish(&config);
	return st == STATUS_BAD_CONFIG;
}

static bool refuses_text(const char *text)
{
	return refuses(unit_file("agent.conf", text, strlen(text)), NULL, NULL);
}

static bool refuses_set(const char *set)
{
	return refuses(NULL, NULL, set);
}

static bool refuses_variable(const char *entry)
{
	char *environment[] = { (char *)entry, NULL };

	return refuses(NULL, environment, NULL);
}

static bool accepts_set(const char *set)
{
	struct config config;
	enum status st = load(NULL, NULL, set, &config);

	config_finish(&config);
	return st == STATUS_OK;
}

/* What config_print writes; the caller's to free. */
static char *printed(const struct config *config)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	config_print(config, out);
	fclose(out);
	return text;
}

static char *printed_from(const char *path, char *const *environment, const char *set)
{
	struct config config;

	CU_ASSERT_EQUAL_FATAL(load(path, environment, set, &config), STATUS_OK);
	char *text = printed(&config);
	config_finish(&config);
	return text;
}

static char *slurp(const char *path)
{
	static char text[65536];
	FILE *file = fopen(path, "r");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	return text;
}

/* Takes the origins away from what config_print wrote: the comment after each value. */
static void forget_origins(char *text)
{
	char *to = text;

	for (char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		char *origin = line[0] == '\t' && line[1] != '#' ? strstr(line, " # ") : NULL;
		size_t keep = origin && origin < line + len ? (size_t)(origin - line) : len;
		memmove(to, line, keep);
		to += keep;
		line += len + (line[len] == '\n');
		*to++ = '\n';
	}
	*to = '\0';
}

/* ---- defaults, the annotated file, printing ---- */

static void test_defaults(void)
{
	struct config config;

	CU_ASSERT_EQUAL_FATAL(load(NULL, NULL, NULL, &config), STATUS_OK);

	CU_ASSERT_STRING_EQUAL(config.mqtt.url, "mqtt://127.0.0.1:1883");
	CU_ASSERT_STRING_EQUAL(config.mqtt.topic, "factory/{machine}/reading");
	CU_ASSERT_EQUAL(config.mqtt.keepalive_s, 15);
	CU_ASSERT_EQUAL(config.http.threads, 8);
	CU_ASSERT_FALSE(config.http.open_read);
	CU_ASSERT_STRING_EQUAL(config.health.listen, "127.0.0.1:8001");
	CU_ASSERT_STRING_EQUAL(config.model.path, "data/models/default.json");
	CU_ASSERT_EQUAL(config.reading.queue_kb, 20480);
	CU_ASSERT_EQUAL(config.alarm.raise_count, 3);
	CU_ASSERT_EQUAL(config.alerts.verdicts, VERDICTS_ALL);
	CU_ASSERT_EQUAL(config.log.level, LOG_LEVEL_INFO);
	CU_ASSERT_EQUAL(config.log.format, LOG_FORMAT_LOGFMT);
	config_finish(&config);
}

/* agent.conf with every "#name = value" made a setting. */
static void uncomment(const char *text, char *out)
{
	for (; *text; text++)
		if (text[0] != '#' || text[1] == ' ' || text[1] == '\n')
			*out++ = *text;
	*out = '\0';
}

static void test_annotated_file(void)
{
	static char all[65536];
	char *expected = printed_from(NULL, NULL, NULL);
	uncomment(slurp(ISOLDE_SOURCE_DIR "/config/agent.conf"), all);

	char *found = printed_from(unit_file("all.conf", all, strlen(all)), NULL, NULL);

	CU_ASSERT_PTR_NULL(strstr(found, "# default"));
	forget_origins(expected);
	forget_origins(found);
	CU_ASSERT_STRING_EQUAL(found, expected);
	free(expected);
	free(found);
}

/* Every line that config_print writes, help and value alike, stands in the annotated file. */
static void test_annotated_help(void)
{
	char *expected = printed_from(NULL, NULL, NULL);
	const char *manual = slurp(ISOLDE_SOURCE_DIR "/config/agent.conf");

	forget_origins(expected);
	for (char *line = strtok(expected, "\n"); line; line = strtok(NULL, "\n")) {
		char wanted[256];
		bool value = line[0] == '\t' && line[1] != '#';
		snprintf(wanted, sizeof(wanted), "\n%s%s\n", value ? "\t#" : "",
			value ? line + 1 : line);
		ASSERT_HOLDS(manual, wanted);
	}
	free(expected);
}

static void test_annotated_file_as_it_is(void)
{
	char *expected = printed_from(NULL, NULL, NULL);

	char *found = printed_from(ISOLDE_SOURCE_DIR "/config/agent.conf", NULL, NULL);

	CU_ASSERT_STRING_EQUAL(found, expected);
	free(expected);
	free(found);
}

static void test_print_loads_again(void)
{
	static const char text[] = "store { path = \"a\\\"b\\\\c ${NONE:-$}{HOME} #d\" }\n"
				   "http { threads = 3 open_read = on }\n"
				   "alerts { verdicts = none }\n";
	char *first = printed_from(unit_file("first.conf", text, sizeof(text) - 1), NULL, NULL);
	ASSERT_HOLDS(first, "a\\\"b\\\\c \\${HOME} #d");

	const char *path = unit_file("again.conf", first, strlen(first));
	char *second = printed_from(path, NULL, NULL);

	struct config config;
	CU_ASSERT_EQUAL_FATAL(load(path, NULL, NULL, &config), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(config.store.path, "a\"b\\c ${HOME} #d");
	config_finish(&config);
	ASSERT_HOLDS(second, "threads = 3 # ");
	ASSERT_HOLDS(second, "open_read = yes # ");
	ASSERT_HOLDS(second, "verdicts = none # ");
	free(first);
	free(second);
}

static void test_origins(void)
{
	static const char text[] =
		"# one\n/* two\n   three */\nmqtt {\n\tclient_id = filed // x\n}\n";
	char *environment[] = { (char *)"ISOLDE_HTTP_THREADS=5", NULL };
	const char *path = unit_file("origin.conf", text, sizeof(text) - 1);

	char *found = printed_from(path, environment, "store.batch=7");

	ASSERT_HOLDS(found, "client_id = \"filed\" # ");
	ASSERT_HOLDS(found, "origin.conf:5\n");
	ASSERT_HOLDS(found, "threads = 5 # environment ISOLDE_HTTP_THREADS\n");
	ASSERT_HOLDS(found, "batch = 7 # --set\n");
	ASSERT_HOLDS(found, "level = info # default\n");
	free(found);
}

static void test_precedence(void)
{
	static const char text[] = "http { threads = 10 }";
	char *environment[] = { (char *)"ISOLDE_HTTP_THREADS=20", NULL };
	const char *path = unit_file("precedence.conf", text, sizeof(text) - 1);
	struct config config;

	CU_ASSERT_EQUAL_FATAL(load(path, NULL, NULL, &config), STATUS_OK);
	CU_ASSERT_EQUAL(config.http.threads, 10);
	config_finish(&config);

	CU_ASSERT_EQUAL_FATAL(load(path, environment, NULL, &config), STATUS_OK);
	CU_ASSERT_EQUAL(config.http.threads, 20);
	config_finish(&config);

	CU_ASSERT_EQUAL_FATAL(load(path, environment, "http.threads=30", &config), STATUS_OK);
	CU_ASSERT_EQUAL(config.http.threads, 30);
	config_finish(&config);
}

static void test_json(void)
{
	const char *sets[] = { "http.write_token=0123456789abcdef", "store.path=a\"b" };
	struct config config = { 0 };
	char json[16384];

	CU_ASSERT_EQUAL_FATAL(config_load(NULL, NULL, sets, 2, &config, &why), STATUS_OK);
	size_t len = config_json(&config, json, sizeof(json));

	CU_ASSERT_EQUAL(len, strlen(json));
	ASSERT_HOLDS(json, "{\"mqtt.url\":\"mqtt://127.0.0.1:1883\",");
	ASSERT_HOLDS(json, "\"http.open_read\":false,");
	ASSERT_HOLDS(json, "\"store.path\":\"a\\\"b\",");
	ASSERT_HOLDS(json, "\"process.sandbox\":true}");
	CU_ASSERT_PTR_NULL(strstr(json, "0123456789abcdef"));
	CU_ASSERT_PTR_NULL(strstr(json, "write_token\""));
	CU_ASSERT_EQUAL(config_json(&config, json, len), 0);
	CU_ASSERT_EQUAL(config_json(&config, json, len + 1), len);
	config_finish(&config);
}

/* ---- refusals ---- */

static void test_unknown_in_file(void)
{
	CU_ASSERT_TRUE(refuses_text("# hello\n\nmqtt {\n\t# x\n\turll = \"mqtt://a\"\n}\n"));
	ASSERT_HOLDS(why.text, "agent.conf:5: mqtt.urll: unknown setting; did you mean mqtt.url?");

	CU_ASSERT_TRUE(refuses_text("\nmqttt {\n}\n"));
	ASSERT_HOLDS(why.text, "agent.conf:2: mqttt: unknown section; did you mean mqtt?");

	CU_ASSERT_TRUE(refuses_text("log {}\nhttp.treads = 3\n"));
	ASSERT_HOLDS(why.text,
		"agent.conf:2: http.treads: unknown setting; "
		"did you mean http.threads?");

	CU_ASSERT_TRUE(refuses_text("http.threads = 3\n"));
	ASSERT_HOLDS(why.text, "a setting stands inside its section: http { threads = ... }");

	CU_ASSERT_TRUE(refuses_text("mqtt { listen = x }"));
	ASSERT_HOLDS(why.text, "did you mean http.listen?");
}

static void test_unknown_variable(void)
{
	CU_ASSERT_TRUE(refuses_variable("ISOLDE_MQTT_URLL=mqtt://a"));
	ASSERT_HOLDS(why.text, "ISOLDE_MQTT_URLL: unknown setting; did you mean ISOLDE_MQTT_URL?");
	CU_ASSERT_TRUE(refuses_variable("ISOLDE_HTTP_=1"));
	CU_ASSERT_TRUE(refuses_variable("ISOLDE_HTTP_threads=8"));
}

static void test_foreign_variables(void)
{
	char *environment[] = { (char *)"ISOLDE_DATASETS=/x", (char *)"ISOLDE_FAULT_DISK=1",
		(char *)"ISOLDE_=x", (char *)"ISOLDE_MQTT=x", (char *)"MQTT_URL=x",
		(char *)"ISOLDE", (char *)"XISOLDE_MQTT_NONE=1", NULL };
	char *expected = printed_from(NULL, NULL, NULL);

	char *found = printed_from(NULL, environment, NULL);

	CU_ASSERT_STRING_EQUAL(found, expected);
	free(expected);
	free(found);
}

static void test_set_words(void)
{
	struct config config;

	CU_ASSERT_EQUAL(load(NULL, NULL, "http.threads", &config), STATUS_USAGE);
	CU_ASSERT_EQUAL(load(NULL, NULL, "threads=5", &config), STATUS_USAGE);
	CU_ASSERT_EQUAL(load(NULL, NULL, "path=a.b", &config), STATUS_USAGE);
	ASSERT_HOLDS(why.text, "want section.name=VALUE");

	CU_ASSERT_TRUE(refuses_set("mqtt.urll=1"));
	ASSERT_HOLDS(why.text, "--set mqtt.urll: unknown setting; did you mean mqtt.url?");
	CU_ASSERT_TRUE(refuses_set("mqqt.url=1"));
	ASSERT_HOLDS(why.text, "--set mqqt: unknown section; did you mean mqtt?");
	CU_ASSERT_TRUE(refuses_set("http.threads=0"));
	ASSERT_HOLDS(why.text, "--set http.threads: 0 is not in 2 .. 64");
}

static void test_repeated(void)
{
	const char *sets[] = { "http.threads=8", "http.threads=9" };
	struct config config;

	CU_ASSERT_TRUE(refuses_text("http {\n\tthreads = 8\n\n\tthreads = 8\n}\n"));
	ASSERT_HOLDS(why.text, "agent.conf:4: http.threads: is set twice, first in line 2");

	CU_ASSERT_TRUE(refuses_text("http {\n}\nmqtt {}\nhttp {\n\tthreads = 8\n}\n"));
	ASSERT_HOLDS(why.text, "agent.conf:6: http: this section is there twice");

	CU_ASSERT_EQUAL(config_load(NULL, NULL, sets, 2, &config, &why), STATUS_BAD_CONFIG);
	ASSERT_HOLDS(why.text, "--set http.threads: is set twice");
}

static void test_integers(void)
{
	CU_ASSERT_TRUE(refuses_text("\n\n\n\n\n# x\nhttp { threads = 0 }"));
	ASSERT_HOLDS(why.text, "agent.conf:7: http.threads: 0 is not in 2 .. 64");
	CU_ASSERT_TRUE(refuses_variable("ISOLDE_HTTP_THREADS=65"));
	ASSERT_HOLDS(why.text, "environment ISOLDE_HTTP_THREADS: 65 is not in 2 .. 64");

	CU_ASSERT_TRUE(refuses_set("http.threads=eight"));
	ASSERT_HOLDS(why.text, "\"eight\" is not a whole number in 2 .. 64");
	CU_ASSERT_TRUE(refuses_set("http.threads="));
	CU_ASSERT_TRUE(refuses_set("http.threads=8.0"));
	CU_ASSERT_TRUE(refuses_set("http.threads= 8"));
	CU_ASSERT_TRUE(refuses_set("http.threads=99999999999999999999999"));
}

/* The ends of each range, and what lies beyond. */
static void test_ranges(void)
{
	static const struct {
		const char *name;
		long long low, high;
	} ranges[] = {
		{ "mqtt.keepalive_s", 5, 120 },
		{ "mqtt.grace_s", 0, 3600 },
		{ "http.threads", 2, 64 },
		{ "store.batch", 1, 10000 },
		{ "store.reserve_mb", 0, 1048576 },
		{ "reading.late_s", 1, 86400 },
		{ "reading.machines", 1, 10000 },
		{ "store.hold_s", 0, 3600 },
		{ "reading.queue_kb", 64, 1048576 },
		{ "alarm.raise_window", 3, 64 }, /* not below raise_count */
		{ "alarm.clear_count", 1, 1000 },
		{ "alerts.verdict_qos", 0, 1 },
	};

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		char set[64];
		for (long long off = -1; off <= 1; off++) {
			snprintf(set, sizeof(set), "%s=%lld", ranges[i].name, ranges[i].low + off);
			CU_ASSERT_EQUAL(accepts_set(set), off >= 0);
			snprintf(set, sizeof(set), "%s=%lld", ranges[i].name, ranges[i].high + off);
			CU_ASSERT_EQUAL(accepts_set(set), off <= 0);
		}
	}
}

/* What is right by itself and wrong together. */
static void test_tokens_together(void)
{
	CU_ASSERT_TRUE(refuses_text("http {\nread_token = \"0123456789abcdef\"\n"
				    "write_token = \"0123456789abcdef\"\n}\n"));
	ASSERT_HOLDS(why.text, "write_token");
	ASSERT_HOLDS(why.text, "whoever may read could write");
	CU_ASSERT_FALSE(refuses_text("http {\nread_token = \"0123456789abcdef\"\n"
				     "write_token = \"0123456789abcdeF\"\n}\n"));

	CU_ASSERT_TRUE(refuses_text("http {\nread_token = \"0123456789abcdef\"\n"
				    "open_read = yes\n}\n"));
	ASSERT_HOLDS(why.text, "open_read");
	ASSERT_HOLDS(why.text, "would guard nothing");
}

static void test_hosts(void)
{
	CU_ASSERT_TRUE(accepts_set("http.hosts=plant.example, b-2.example"));
	CU_ASSERT_TRUE(accepts_set("http.hosts="));
	CU_ASSERT_TRUE(refuses_set("http.hosts=plant.example:8000"));
	ASSERT_HOLDS(why.text, "plant.example:8000");
	CU_ASSERT_TRUE(refuses_set("http.hosts=*.example"));
}

static void test_words(void)
{
	CU_ASSERT_TRUE(refuses_set("http.open_read=maybe"));
	ASSERT_HOLDS(why.text, "--set http.open_read: \"maybe\" is neither yes nor no");
	CU_ASSERT_TRUE(refuses_set("alerts.verdicts=some"));
	ASSERT_HOLDS(why.text, "\"some\" is none of all, anomalies, batch, none");
	CU_ASSERT_TRUE(refuses_set("log.level=INFO"));
	CU_ASSERT_TRUE(refuses_set("log.format=xml"));
	CU_ASSERT_TRUE(accepts_set("http.open_read=true"));
	CU_ASSERT_TRUE(accepts_set("log.level=debug"));
	CU_ASSERT_TRUE(accepts_set("log.format=json"));
}

static void test_choices_meet_their_enums(void)
{
	const char *sets[] = { "alerts.verdicts=none", "log.level=error", "log.format=json" };
	struct config config = { 0 };

	CU_ASSERT_EQUAL_FATAL(config_load(NULL, NULL, sets, 3, &config, &why), STATUS_OK);
	CU_ASSERT_EQUAL(config.alerts.verdicts, VERDICTS_NONE);
	CU_ASSERT_EQUAL(config.log.level, LOG_LEVEL_ERROR);
	CU_ASSERT_EQUAL(config.log.format, LOG_FORMAT_JSON);
	config_finish(&config);
}

static void test_texts(void)
{
	char set[CONFIG_TEXT_MAX + 32] = "store.path=";

	CU_ASSERT_TRUE(refuses_set("store.path="));
	ASSERT_HOLDS(why.text, "--set store.path: must not be empty");
	CU_ASSERT_TRUE(refuses_set("store.path=a\nb"));
	CU_ASSERT_TRUE(refuses_set("store.path=a\xff"));
	CU_ASSERT_TRUE(accepts_set("store.path=h\xc3\xa4t"));

	size_t lead = strlen(set);
	memset(set + lead, 'x', CONFIG_TEXT_MAX - 1);
	CU_ASSERT_TRUE(accepts_set(set));
	set[lead + CONFIG_TEXT_MAX - 1] = 'x';
	CU_ASSERT_TRUE(refuses_set(set));
	ASSERT_HOLDS(why.text, "longer than 511 bytes");
}

static void test_checked_texts(void)
{
	CU_ASSERT_TRUE(refuses_set("mqtt.url=http://host"));
	CU_ASSERT_TRUE(refuses_set("mqtt.url=mqtt://host:0"));
	CU_ASSERT_TRUE(refuses_set("mqtt.url="));
	CU_ASSERT_TRUE(accepts_set("mqtt.url=mqtts://host"));

	CU_ASSERT_TRUE(refuses_set("mqtt.client_id=a b"));
	CU_ASSERT_TRUE(refuses_set("mqtt.client_id="));

	CU_ASSERT_TRUE(refuses_set("mqtt.topic=factory/x/reading"));
	CU_ASSERT_TRUE(refuses_set("mqtt.topic=factory/{machine}/#"));
	CU_ASSERT_TRUE(accepts_set("mqtt.topic=plant/hall/{machine}"));

	CU_ASSERT_TRUE(refuses_set("http.listen=8000"));
	CU_ASSERT_TRUE(refuses_set("http.listen=:8000"));
	CU_ASSERT_TRUE(refuses_set("http.listen=127.0.0.1:65536"));
	CU_ASSERT_TRUE(refuses_set("health.listen=127.0.0.1"));
	CU_ASSERT_TRUE(accepts_set("http.listen=0.0.0.0:80"));
}

static void test_password_in_url(void)
{
	CU_ASSERT_TRUE(refuses_set("mqtt.url=mqtt://me:hunter2@host"));

	ASSERT_HOLDS(why.text, "mqtt.password_file");
	CU_ASSERT_PTR_NULL(strstr(why.text, "hunter2"));
}

static void test_half_rules(void)
{
	CU_ASSERT_TRUE(refuses_text("mqtt {\n url = \"mqtts://a\"\n cert_file = c\n}\n"));
	ASSERT_HOLDS(why.text, "agent.conf:3: mqtt.cert_file: needs mqtt.key_file too");
	CU_ASSERT_TRUE(refuses_text("mqtt {\n url = \"mqtts://a\"\n key_file = c\n}\n"));
	ASSERT_HOLDS(why.text, "agent.conf:3: mqtt.key_file: needs mqtt.cert_file too");
	CU_ASSERT_TRUE(refuses_set("mqtt.ca_file=ca.pem"));
	ASSERT_HOLDS(why.text, "--set mqtt.ca_file: needs an mqtts:// url");
	CU_ASSERT_TRUE(refuses_text("mqtt { cert_file = c\n key_file = k }"));
	ASSERT_HOLDS(why.text, "needs an mqtts:// url");

	CU_ASSERT_TRUE(refuses_set("alarm.raise_count=6"));
	ASSERT_HOLDS(why.text, "larger than alarm.raise_window");
	CU_ASSERT_TRUE(accepts_set("alarm.raise_count=5"));

	CU_ASSERT_TRUE(refuses_set("mqtt.password=x"));
	ASSERT_HOLDS(why.text, "mqtt.username: is empty, but a password is set");
	CU_ASSERT_TRUE(refuses_set("mqtt.username=me"));
	ASSERT_HOLDS(why.text, "--set mqtt.username: is set, but no password");
}

/* ---- secrets ---- */

static const char *secret_file(const char *text, mode_t mode)
{
	const char *path = unit_file("secret", text, strlen(text));

	CU_ASSERT_EQUAL(chmod(path, mode), 0);
	return path;
}

static bool refuses_secret_file(const char *path)
{
	char set[512];

	snprintf(set, sizeof(set), "http.write_token_file=%s", path);
	return refuses_set(set);
}

static void test_secret_from_file(void)
{
	char variable[512], text[] = "0123456789abcdef\r\nsecond line\n";
	char *environment[] = { variable, NULL };
	struct config config;
	snprintf(variable, sizeof(variable), "ISOLDE_HTTP_WRITE_TOKEN_FILE=%s",
		secret_file(text, 0640));

	CU_ASSERT_EQUAL_FATAL(load(NULL, environment, NULL, &config), STATUS_OK);

	CU_ASSERT_STRING_EQUAL(config.http.write_token, "0123456789abcdef");
	char *shown = printed(&config);
	ASSERT_HOLDS(shown, "\t#write_token = \"(set)\" # write_token_file\n");
	CU_ASSERT_PTR_NULL(strstr(shown, "0123456789abcdef"));
	config_finish(&config);

	char *again = printed_from(unit_file("shown.conf", shown, strlen(shown)), NULL, NULL);
	ASSERT_HOLDS(again, "\t#write_token = \"(set)\" # write_token_file\n");
	free(again);
	free(shown);
}

static void test_secrets_are_hidden(void)
{
	static const char text[] = "mqtt { username = me password = \"hunter2\" }";
	const char *path = unit_file("hidden.conf", text, sizeof(text) - 1);

	char *shown = printed_from(path, NULL, "http.read_token=0123456789abcdef");

	ASSERT_HOLDS(shown, "\t#password = \"(set)\" # ");
	ASSERT_HOLDS(shown, "\t#read_token = \"(set)\" # --set\n");
	ASSERT_HOLDS(shown, "\twrite_token = \"\" # default\n");
	CU_ASSERT_PTR_NULL(strstr(shown, "hunter2"));
	CU_ASSERT_PTR_NULL(strstr(shown, "0123456789abcdef"));
	free(shown);
}

static void test_bad_secret_files(void)
{
	static char line[CONFIG_TEXT_MAX + 2];

	CU_ASSERT_TRUE(refuses_secret_file(unit_path("no-such-file")));
	ASSERT_HOLDS(why.text, "No such file");
	CU_ASSERT_TRUE(refuses_secret_file(unit_folder()));
	CU_ASSERT_TRUE(refuses_secret_file(secret_file("", 0600)));
	ASSERT_HOLDS(why.text, "first line is empty");
	CU_ASSERT_TRUE(refuses_secret_file(secret_file("\n0123456789abcdef\n", 0600)));
	CU_ASSERT_TRUE(refuses_secret_file(secret_file("0123456789abcdef\n", 0644)));
	ASSERT_HOLDS(why.text, "others may read or write it");
	CU_ASSERT_TRUE(refuses_secret_file(secret_file("0123456789abcdef\n", 0602)));
	CU_ASSERT_FALSE(refuses_secret_file(secret_file("0123456789abcdef\n", 0600)));

	memset(line, 'x', CONFIG_TEXT_MAX);
	CU_ASSERT_TRUE(refuses_secret_file(secret_file(line, 0600)));
	ASSERT_HOLDS(why.text, "longer than 511 bytes");
	line[CONFIG_TEXT_MAX - 1] = '\0';
	CU_ASSERT_FALSE(refuses_secret_file(secret_file(line, 0600)));
	CU_ASSERT_TRUE(refuses_secret_file(unit_file("secret", "0123456789abcdef\0x", 18)));
}

static void test_tokens(void)
{
	CU_ASSERT_TRUE(refuses_set("http.read_token=0123456789abcde"));
	ASSERT_HOLDS(why.text, "shorter than 16 characters");
	CU_ASSERT_PTR_NULL(strstr(why.text, "0123456789abcde"));
	CU_ASSERT_TRUE(refuses_set("http.write_token=0123456789 abcdef"));
	CU_ASSERT_TRUE(refuses_secret_file(secret_file("0123456789abcde\n", 0600)));
	CU_ASSERT_PTR_NULL(strstr(why.text, "0123456789abcde"));
	CU_ASSERT_TRUE(accepts_set("http.read_token=0123456789abcdef"));
}

static void test_secret_twice(void)
{
	char text[512];
	snprintf(text, sizeof(text),
		"mqtt {\n username = me\n password = \"hunter2\"\n password_file = \"%s\"\n}\n",
		secret_file("hunter3\n", 0600));

	CU_ASSERT_TRUE(refuses_text(text));

	ASSERT_HOLDS(why.text, "agent.conf:4: mqtt.password_file: mqtt.password is set as well");
}

/* ---- hostile files ---- */

static void test_missing_file(void)
{
	struct config config;

	CU_ASSERT_EQUAL(load(unit_path("none.conf"), NULL, NULL, &config), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "none.conf");
	CU_ASSERT_TRUE(refuses(unit_folder(), NULL, NULL));
}

static void test_unfinished(void)
{
	CU_ASSERT_TRUE(refuses_text("\nmqtt {\n url = \"mqtt://a\"\n"));
	ASSERT_HOLDS(why.text, "agent.conf:2: the section that begins here is never closed");
	CU_ASSERT_TRUE(refuses_text("\n\n/* mqtt {\n}\n"));
	ASSERT_HOLDS(why.text, "agent.conf:3: the comment that begins here never ends");
	CU_ASSERT_TRUE(refuses_text("mqtt {\n url = \"mqtt://a\n}\n"));
	CU_ASSERT_TRUE(refuses_text("mqtt {\n url = 'mqtt://a\\"));
	CU_ASSERT_TRUE(refuses_text("mqtt {}}\n"));
	CU_ASSERT_TRUE(refuses_text("mqtt { url }\n"));
	CU_ASSERT_TRUE(refuses_text("mqtt { url = {a, b} }\n"));
	CU_ASSERT_TRUE(refuses_text("mqtt { url += a }\n"));
	CU_ASSERT_TRUE(refuses_text("mqtt { include(\"/etc/hostname\") }\n"));
	CU_ASSERT_TRUE(refuses_text("mqtt { mqtt { } }\n"));
}

static void test_comments(void)
{
	static const char text[] = "// a { \"\n# b ' {\n/* c\n\" */ http{threads=9#x\n}\n"
				   "mqtt { url = mqtt://a // \"\n client_id='#1' }\n";

	CU_ASSERT_TRUE(refuses_text(text));

	ASSERT_HOLDS(why.text, "agent.conf:7: mqtt.client_id: \"#1\"");
}

static void test_binary(void)
{
	char text[300];
	unsigned random = 1;

	CU_ASSERT_TRUE(refuses(unit_file("nul.conf", "mqtt {\0}", 8), NULL, NULL));
	ASSERT_HOLDS(why.text, "NUL");

	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(text); i++) {
			random = random * 1103515245 + 12345;
			text[i] = (char)(random >> 16 | 1);
		}
		text[0] = 'z'; /* a first '#' would make it one comment */
		CU_ASSERT_TRUE(refuses(unit_file("binary.conf", text, sizeof(text)), NULL, NULL));
	}
}

static void test_long_lines(void)
{
	static char text[1000100];
	int lead = snprintf(text, sizeof(text), "\nmqtt { username = \"");
	memset(text + lead, 'z', 1000000);

	CU_ASSERT_TRUE(refuses_text(text));
	ASSERT_HOLDS(why.text, "agent.conf:2: this line is far too long");

	strcpy(text + 4000, "\" }");
	CU_ASSERT_TRUE(refuses_text(text));
	ASSERT_HOLDS(why.text, "agent.conf:2: mqtt.username: longer than 511 bytes");

	memset(text, 'z', 4000);
	CU_ASSERT_TRUE(refuses_text(text));
	ASSERT_HOLDS(why.text, "agent.conf:1: zzz");
}

static void test_huge(void)
{
	size_t len = 2 * 1024 * 1024;
	char *text = malloc(len);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	memset(text, '\n', len);

	CU_ASSERT_TRUE(refuses(unit_file("huge.conf", text, len), NULL, NULL));

	free(text);
}

static void test_untouched_on_failure(void)
{
	struct config config;
	const char *set = "http.threads=0";
	memset(&config, 0x5a, sizeof(config));

	CU_ASSERT_EQUAL(config_load(NULL, NULL, &set, 1, &config, &why), STATUS_BAD_CONFIG);

	CU_ASSERT_EQUAL(config.mqtt.url[0], 0x5a);
	CU_ASSERT_EQUAL(config.log.level, 0x5a5a5a5a);
}

static CU_TestInfo cases[] = {
	{ "without file, environment and words the defaults hold", test_defaults },
	{ "agent.conf with every setting uncommented equals the defaults", test_annotated_file },
	{ "agent.conf holds the help and the default of every setting", test_annotated_help },
	{ "agent.conf as it is changes nothing", test_annotated_file_as_it_is },
	{ "what config_print writes loads again", test_print_loads_again },
	{ "config_print says where each value came from", test_origins },
	{ "default < file < environment < command line", test_precedence },
	{ "config_json holds every setting but secrets", test_json },
	{ "an unknown name in the file is refused with its line and relative",
		test_unknown_in_file },
	{ "an unknown variable of a known section is refused", test_unknown_variable },
	{ "other programs' variables are left alone", test_foreign_variables },
	{ "a word that is no section.name=VALUE is bad usage", test_set_words },
	{ "repeated settings and sections are refused with their line", test_repeated },
	{ "what is no whole number or out of range is refused", test_integers },
	{ "both ends of every range belong to it", test_ranges },
	{ "words that are no choice are refused", test_words },
	{ "read and write token are not the same", test_tokens_together },
	{ "host names are a list of names", test_hosts },
	{ "choices are kept as their enums", test_choices_meet_their_enums },
	{ "empty, overlong and unprintable texts are refused", test_texts },
	{ "url, client id, topic and addresses are checked", test_checked_texts },
	{ "a password in the url is refused without repeating it", test_password_in_url },
	{ "settings that need each other are refused alone", test_half_rules },
	{ "a secret's file gives its first line", test_secret_from_file },
	{ "secrets are never shown", test_secrets_are_hidden },
	{ "secret files that are missing, empty or open to all are refused",
		test_bad_secret_files },
	{ "short tokens are refused", test_tokens },
	{ "a secret given twice is refused", test_secret_twice },
	{ "a missing file is not found", test_missing_file },
	{ "unfinished and malformed files are refused", test_unfinished },
	{ "comments may hold quotes and braces", test_comments },
	{ "binary files are refused", test_binary },
	{ "endless lines are refused", test_long_lines },
	{ "a file beyond the limit is refused", test_huge },
	{ "nothing is touched on failure", test_untouched_on_failure },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("config", cases);
}
