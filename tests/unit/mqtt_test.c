#include "common/mqtt.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <glob.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct why why;

/* ---- a broker ---- */

struct broker {
	pid_t pid;
	int port;
	bool tls;
	char url[128];
	char config[256];
};

static const char *const mosquitto_places[] = { "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto",
	"/usr/bin/mosquitto" };

static const char *mosquitto(void)
{
	for (size_t i = 0; i < sizeof(mosquitto_places) / sizeof(mosquitto_places[0]); i++) {
		if (access(mosquitto_places[i], X_OK) == 0)
			return mosquitto_places[i];
	}
	return NULL;
}

static bool skip_without_broker(void)
{
	if (mosquitto())
		return false;
	printf("skipped: no mosquitto ");
	return true;
}

static struct sockaddr_in address(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static bool listening(int port)
{
	struct sockaddr_in a = address(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool up = connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return up;
}

/* A program that dies with us, its output in a file. */
static pid_t spawn(char *const *words)
{
	const char *log = unit_path("output");
	fflush(stdout);
	pid_t pid = fork();

	CU_ASSERT_TRUE_FATAL(pid >= 0);
	if (pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(fd, 1);
		dup2(fd, 2);
		execv(words[0], words);
		_exit(127);
	}
	return pid;
}

static int finish(pid_t pid)
{
	int status = -1;

	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return status;
}

static void start_broker(struct broker *b)
{
	char *words[] = { (char *)mosquitto(), "-c", b->config, NULL };

	b->pid = spawn(words);
	WAIT_FOR(listening(b->port));
}

static void kill_broker(struct broker *b)
{
	kill(b->pid, SIGKILL);
	finish(b->pid);
}

/* On a free port, with further lines of configuration; not started yet. */
static struct broker make_broker(const char *lines, bool tls)
{
	static int number;
	struct broker b = { .port = unit_free_port(), .tls = tls };
	char text[2048], name[32];

	snprintf(b.url, sizeof(b.url), "%s://127.0.0.1:%d", tls ? "mqtts" : "mqtt", b.port);
	int len = snprintf(text, sizeof(text),
		"user root\npersistence false\nmax_inflight_messages 1000\n"
		"max_queued_messages 100000\n%s%s\nlistener %d 127.0.0.1\n%s\n",
		strstr(lines, "allow_anonymous") ? "" : "allow_anonymous true\n", tls ? "" : lines,
		b.port, tls ? lines : "");
	snprintf(name, sizeof(name), "broker-%d.conf", number++);
	snprintf(b.config, sizeof(b.config), "%s", unit_file(name, text, (size_t)len));
	return b;
}

static struct broker run_broker(const char *lines)
{
	struct broker b = make_broker(lines, false);

	start_broker(&b);
	return b;
}

/* ---- a client that keeps what it is told ---- */

/* Most tests make do with one that hears itself: Paho looks at all connections of a process in
 * turn, and a second one may have to wait a second for its first packet. */

enum { KEPT_MAX = 64, TOKENS_MAX = 30000 };

struct kept {
	char topic[64], payload[64];
	size_t len;
	int qos;
	bool retained;
	struct mqtt_receipt receipt;
};

struct client {
	struct mqtt *mqtt;
	pthread_mutex_t lock;  /* of what follows; the callbacks are on Paho's threads */
	size_t messages, last; /* the last ones: nothing followed at once */
	struct kept kept[KEPT_MAX];
	size_t ended, delivered, repeated;
	bool token[TOKENS_MAX]; /* came to its end */
};

static void on_message(void *context, const struct mqtt_message *m)
{
	struct client *c = context;

	pthread_mutex_lock(&c->lock);
	if (c->messages < KEPT_MAX) {
		struct kept *k = &c->kept[c->messages];
		size_t n = m->len < sizeof(k->payload) - 1 ? m->len : sizeof(k->payload) - 1;
		snprintf(k->topic, sizeof(k->topic), "%.*s", (int)m->topic_len, m->topic);
		memcpy(k->payload, m->payload, n);
		k->payload[n] = '\0';
		k->len = m->len;
		k->qos = m->qos;
		k->retained = m->retained;
		k->receipt = m->receipt;
	}
	c->messages++;
	c->last += !m->more;
	pthread_mutex_unlock(&c->lock);
}

static void on_published(void *context, uint64_t token, bool delivered)
{
	struct client *c = context;

	pthread_mutex_lock(&c->lock);
	c->ended++;
	c->delivered += delivered;
	if (token < TOKENS_MAX) {
		c->repeated += c->token[token];
		c->token[token] = true;
	}
	pthread_mutex_unlock(&c->lock);
}

static size_t messages_of(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	size_t n = c->messages;
	pthread_mutex_unlock(&c->lock);
	return n;
}

static size_t ended_of(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	size_t n = c->ended;
	pthread_mutex_unlock(&c->lock);
	return n;
}

static struct kept kept_of(struct client *c, size_t i)
{
	pthread_mutex_lock(&c->lock);
	struct kept k = c->kept[i];
	pthread_mutex_unlock(&c->lock);
	return k;
}

static struct mqtt_options options_for(const struct broker *b, const char *id)
{
	return (struct mqtt_options){
		.url = b->url, .client_id = id, .keepalive_s = 5, .clean_session = true
	};
}

/* Created and started; `options` are completed with the callbacks. */
static struct client *connect_with(struct mqtt_options options)
{
	struct client *c = calloc(1, sizeof(*c));
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);

	pthread_mutex_init(&c->lock, NULL);
	options.context = c;
	options.on_published = on_published;
	if (options.filter_count > 0)
		options.on_message = on_message;
	CU_ASSERT_EQUAL_FATAL(mqtt_create(&options, &c->mqtt, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(mqtt_start(c->mqtt, &why), STATUS_OK);
	return c;
}

static struct client *publisher(const struct broker *b, const char *id)
{
	struct client *c = connect_with(options_for(b, id));

	WAIT_FOR(mqtt_connected(c->mqtt));
	return c;
}

static struct client *subscriber(const struct broker *b, const char *id, const char *filter)
{
	struct mqtt_options o = options_for(b, id);

	o.filters = &filter;
	o.filter_count = 1;
	struct client *c = connect_with(o);
	WAIT_FOR(mqtt_subscribed(c->mqtt));
	return c;
}

static void drop(struct client *c)
{
	mqtt_destroy(c->mqtt);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static void stop(struct client *c)
{
	mqtt_stop(c->mqtt, 5000);
	drop(c);
}

static enum status publish(
	struct client *c, const char *topic, const char *text, int qos, bool retain, uint64_t token)
{
	return mqtt_publish(c->mqtt, topic, text, strlen(text), qos, retain, token);
}

static void ends_with_trouble(struct client *c, const char *word)
{
	char trouble[600];

	mqtt_trouble(c->mqtt, trouble, sizeof(trouble));
	ASSERT_HOLDS(trouble, word);
}

static bool in_trouble(struct client *c)
{
	char trouble[600];

	mqtt_trouble(c->mqtt, trouble, sizeof(trouble));
	return trouble[0] != '\0';
}

/* ---- urls ---- */

/* `prefix` and `n` letters behind it. */
static const char *long_url(const char *prefix, size_t n)
{
	static char url[700];
	size_t len = strlen(prefix);

	memcpy(url, prefix, len);
	memset(url + len, 'a', n);
	url[len + n] = '\0';
	return url;
}

static void check_url(const char *url, const struct mqtt_address *expected)
{
	struct mqtt_address found = { .port = -1, .host = "untouched" };

	why.text[0] = '\0';
	enum status st = mqtt_parse_url(url, &found, &why);
	if (st != (expected ? STATUS_OK : STATUS_BAD_CONFIG))
		fprintf(stderr, "\n%s: %d\n", url, (int)st);
	CU_ASSERT_EQUAL(st, expected ? STATUS_OK : STATUS_BAD_CONFIG);
	if (expected) {
		CU_ASSERT_STRING_EQUAL(found.host, expected->host);
		CU_ASSERT_EQUAL(found.tls, expected->tls);
		CU_ASSERT_EQUAL(found.local, expected->local);
		CU_ASSERT_EQUAL(found.port, expected->port);
	} else {
		CU_ASSERT_STRING_EQUAL(found.host, "untouched");
		CU_ASSERT_NOT_EQUAL(why.text[0], '\0');
	}
}

static void test_urls(void)
{
	static const struct {
		const char *url;
		struct mqtt_address address;
	} good[] = {
		{ "mqtt://127.0.0.1", { .host = "127.0.0.1", .port = 1883 } },
		{ "mqtt://127.0.0.1:1", { .host = "127.0.0.1", .port = 1 } },
		{ "mqtt://broker.example:65535", { .host = "broker.example", .port = 65535 } },
		{ "mqtts://broker", { .tls = true, .host = "broker", .port = 8883 } },
		{ "mqtts://broker:8884", { .tls = true, .host = "broker", .port = 8884 } },
		{ "mqtt://[::1]", { .host = "[::1]", .port = 1883 } },
		{ "mqtts://[fe80::1]:99", { .tls = true, .host = "[fe80::1]", .port = 99 } },
		{ "unix:///run/broker.sock", { .local = true, .host = "/run/broker.sock" } },
		{ "unix:///a:1", { .local = true, .host = "/a:1" } },
	};
	static const char *const bad[] = { "", "mqtt://", "mqtt://:1883", "mqtt://[]",
		"mqtt://[::1", "mqtt://[::1]x", "tcp://broker", "broker:1883", "mqtt:/broker",
		"mqtt://broker:", "mqtt://broker:0", "mqtt://broker:65536", "mqtt://broker:-1",
		"mqtt://broker:18x", "mqtt://broker:1883/", "mqtt://broker/path",
		"mqtt://user@broker", "unix://", "unix:///", "unix://relative", "unix:/run/broker",
		"unix:///run/", "unix://user@/run/broker" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		check_url(good[i].url, &good[i].address);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_url(bad[i], NULL);
	check_url(long_url("mqtt://", MQTT_HOST_MAX + 1), NULL);
}

static void test_long_path(void)
{
	struct mqtt_address longest = { .local = true, .host = "/" };
	const char *url;
	char first[MQTT_URL_SIZE];
	bool tls;

	memset(longest.host + 1, 'a', MQTT_PATH_MAX - 1);
	check_url(long_url("unix:///", MQTT_PATH_MAX - 1), &longest);
	check_url(long_url("unix:///", MQTT_PATH_MAX), NULL);
	ASSERT_HOLDS(why.text, "at most 107 bytes");
	url = long_url("mqtt://here,unix:///", 500); /* longer than mqtt_next_url gives */
	CU_ASSERT_PTR_NOT_NULL(mqtt_next_url(url, first));
	CU_ASSERT_EQUAL(mqtt_check_urls(url, &tls, &why), STATUS_BAD_CONFIG);
	ASSERT_HOLDS(why.text, "at most 107 bytes");
}

static void test_lists(void)
{
	bool tls = true;

	CU_ASSERT_EQUAL(mqtt_check_urls("unix:///a, mqtt://b", &tls, &why), STATUS_OK);
	CU_ASSERT_FALSE(tls);
	CU_ASSERT_EQUAL(mqtt_check_urls("mqtts://a,unix:///b", &tls, &why), STATUS_BAD_CONFIG);
	ASSERT_HOLDS(why.text, "without TLS");
	CU_ASSERT_EQUAL(mqtt_check_urls("unix:///a,mqtts://b", &tls, &why), STATUS_BAD_CONFIG);
}

/* The sentence may be logged: a password in it would be, too. */
static void test_secret_url(void)
{
	static const char *const urls[] = { "mqtt://user:hunter2@broker", "mqtts://u:hunter2@b:1",
		"tcp://user:hunter2@broker", "user:hunter2@broker", "unix://u:hunter2@/run/b" };
	struct mqtt_address address;

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		CU_ASSERT_EQUAL(mqtt_parse_url(urls[i], &address, &why), STATUS_BAD_CONFIG);
		CU_ASSERT_PTR_NULL(strstr(why.text, "hunter2"));
		ASSERT_HOLDS(why.text, "password");
	}
}

static void test_not_started(void)
{
	struct mqtt_options o = { .url = "mqtt://127.0.0.1:1", .client_id = "c" };
	struct mqtt *mqtt = NULL;
	char trouble[8] = "?";

	CU_ASSERT_EQUAL_FATAL(mqtt_create(&o, &mqtt, &why), STATUS_OK);
	CU_ASSERT_EQUAL(mqtt_publish(mqtt, "t", "x", 1, 1, false, 0), STATUS_UNAVAILABLE);
	CU_ASSERT_FALSE(mqtt_connected(mqtt));
	CU_ASSERT_FALSE(mqtt_subscribed(mqtt));
	CU_ASSERT_EQUAL(mqtt_connects(mqtt), 0);
	CU_ASSERT_EQUAL(mqtt_unsent(mqtt), 0);
	mqtt_trouble(mqtt, trouble, sizeof(trouble));
	CU_ASSERT_STRING_EQUAL(trouble, "");
	mqtt_destroy(mqtt);
	mqtt = NULL;
	o.url = "tcp://127.0.0.1";
	CU_ASSERT_EQUAL(mqtt_create(&o, &mqtt, &why), STATUS_BAD_CONFIG);
	CU_ASSERT_PTR_NULL(mqtt);
	mqtt_destroy(NULL);
}

/* ---- with a broker ---- */

static void test_publish_subscribe(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *s = subscriber(&b, "sub", "factory/+/reading");

	CU_ASSERT_EQUAL(mqtt_connects(s->mqtt), 1);
	CU_ASSERT_EQUAL(publish(s, "factory/press-1/reading", "zero", 0, false, 0), STATUS_OK);
	CU_ASSERT_EQUAL(publish(s, "factory/press-1/other", "no", 1, false, 1), STATUS_OK);
	CU_ASSERT_EQUAL(publish(s, "factory/press-2/reading", "one", 1, true, 2), STATUS_OK);
	CU_ASSERT_EQUAL(
		mqtt_publish(s->mqtt, "factory/a/reading", "a\0b", 3, 1, false, 3), STATUS_OK);
	CU_ASSERT_EQUAL(publish(s, "factory/a/reading", "", 1, false, 4), STATUS_OK);
	WAIT_FOR(messages_of(s) == 4);
	struct kept k = kept_of(s, 0);
	CU_ASSERT_STRING_EQUAL(k.topic, "factory/press-1/reading");
	CU_ASSERT_STRING_EQUAL(k.payload, "zero");
	CU_ASSERT_EQUAL(k.len, 4);
	CU_ASSERT_EQUAL(k.qos, 0);
	CU_ASSERT_EQUAL(k.receipt.packet_id, 0);
	k = kept_of(s, 1);
	CU_ASSERT_STRING_EQUAL(k.topic, "factory/press-2/reading");
	CU_ASSERT_STRING_EQUAL(k.payload, "one");
	CU_ASSERT_EQUAL(k.qos, 1);
	CU_ASSERT_FALSE(k.retained); /* it was fresh */
	CU_ASSERT_TRUE(k.receipt.packet_id > 0);
	k = kept_of(s, 2);
	CU_ASSERT_EQUAL(k.len, 3);
	CU_ASSERT_EQUAL(memcmp(k.payload, "a\0b", 3), 0);
	CU_ASSERT_EQUAL(kept_of(s, 3).len, 0);
	WAIT_FOR(ended_of(s) == 5);
	CU_ASSERT_EQUAL(s->delivered, 5);
	CU_ASSERT_EQUAL(s->repeated, 0);
	WAIT_FOR(mqtt_unsent(s->mqtt) == 0);
	struct client *late = subscriber(&b, "late", "factory/#");
	WAIT_FOR(messages_of(late) == 1);
	CU_ASSERT_TRUE(kept_of(late, 0).retained);
	CU_ASSERT_STRING_EQUAL(kept_of(late, 0).payload, "one");
	stop(late);
	stop(s);
	kill_broker(&b);
}

/* Since the last call. */
static size_t lasts_of(struct client *c)
{
	pthread_mutex_lock(&c->lock);
	size_t n = c->last;
	c->last = 0;
	pthread_mutex_unlock(&c->lock);
	return n;
}

/* Who is woken for many messages at once is woken for the last of them. */
static void test_last(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *p = publisher(&b, "pub"), *s = subscriber(&b, "sub", "factory/+/reading");
	size_t sent = 0;

	for (int burst = 0; burst < 20; burst++) {
		for (int i = 0; i < 20; i++, sent++)
			CU_ASSERT_EQUAL(
				publish(p, "factory/a/reading", "one", 0, false, sent), STATUS_OK);
		WAIT_FOR(messages_of(s) == sent);
		CU_ASSERT_TRUE(lasts_of(s) > 0);
	}
	stop(p);
	stop(s);
	kill_broker(&b);
}

static void test_filters(void)
{
	if (skip_without_broker())
		return;
	static const char *const filters[] = { "a/+", "b", "c/#" };
	struct broker b = run_broker("");
	struct mqtt_options o = options_for(&b, "many");
	o.filters = filters;
	o.filter_count = 3;
	struct client *s = connect_with(o);

	WAIT_FOR(mqtt_subscribed(s->mqtt));
	CU_ASSERT_EQUAL(publish(s, "a/1", "", 1, false, 0), STATUS_OK);
	CU_ASSERT_EQUAL(publish(s, "b", "", 1, false, 1), STATUS_OK);
	CU_ASSERT_EQUAL(publish(s, "c/1/2", "", 1, false, 2), STATUS_OK);
	WAIT_FOR(messages_of(s) == 3);
	stop(s);
	kill_broker(&b);
}

static struct mqtt_options with_status(const struct broker *b, const char *id, const char *goodbye)
{
	struct mqtt_options o = options_for(b, id);

	o.will_topic = "isolde/agent/status";
	o.will_payload = "{\"state\":\"offline\"}";
	o.birth_payload = "{\"state\":\"online\"}";
	o.goodbye_payload = goodbye;
	return o;
}

/* What is retained on the status topic; "" if nothing comes before a later message does. */
static struct kept retained_status(const struct broker *b)
{
	struct client *s = subscriber(b, "asker", "isolde/#");

	CU_ASSERT_EQUAL(publish(s, "isolde/mark", "mark", 1, false, 0), STATUS_OK);
	WAIT_FOR(messages_of(s) > 0 && strcmp(kept_of(s, messages_of(s) - 1).payload, "mark") == 0);
	struct kept k = kept_of(s, 0);
	if (messages_of(s) == 1)
		memset(&k, 0, sizeof(k));
	CU_ASSERT_TRUE(messages_of(s) <= 2);
	stop(s);
	return k;
}

static void test_birth_goodbye(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *c = connect_with(with_status(&b, "agent", "{\"state\":\"offline\"}"));

	WAIT_FOR(mqtt_connected(c->mqtt) && mqtt_unsent(c->mqtt) == 0);
	struct kept k = retained_status(&b);
	CU_ASSERT_STRING_EQUAL(k.payload, "{\"state\":\"online\"}");
	CU_ASSERT_TRUE(k.retained);
	stop(c);
	k = retained_status(&b);
	CU_ASSERT_STRING_EQUAL(k.payload, "{\"state\":\"offline\"}");
	CU_ASSERT_TRUE(k.retained);
	c = connect_with(with_status(&b, "agent", "")); /* clears */
	WAIT_FOR(mqtt_connected(c->mqtt) && mqtt_unsent(c->mqtt) == 0);
	CU_ASSERT_STRING_EQUAL(retained_status(&b).payload, "{\"state\":\"online\"}");
	stop(c);
	CU_ASSERT_STRING_EQUAL(retained_status(&b).payload, "");
	kill_broker(&b);
}

/* This program again, as a client that is killed. */
static int live_until_killed(const char *url)
{
	struct broker b = { .port = 0 };
	struct mqtt *mqtt = NULL;

	snprintf(b.url, sizeof(b.url), "%s", url);
	struct mqtt_options o = with_status(&b, "victim", NULL);
	if (mqtt_create(&o, &mqtt, &why) != STATUS_OK || mqtt_start(mqtt, &why) != STATUS_OK)
		return 1;
	for (;;)
		pause();
}

static void test_last_will(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *s = subscriber(&b, "watcher", "isolde/+/status");
	char *words[] = { "/proc/self/exe", "live", b.url, NULL };
	pid_t victim = spawn(words);

	WAIT_FOR(messages_of(s) == 1);
	CU_ASSERT_STRING_EQUAL(kept_of(s, 0).payload, "{\"state\":\"online\"}");
	kill(victim, SIGKILL);
	finish(victim);
	WAIT_FOR(messages_of(s) == 2);
	CU_ASSERT_STRING_EQUAL(kept_of(s, 1).payload, "{\"state\":\"offline\"}");
	CU_ASSERT_STRING_EQUAL(retained_status(&b).payload, "{\"state\":\"offline\"}");
	stop(s);
	kill_broker(&b);
}

static void test_reconnect(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *s = subscriber(&b, "sub", "t");

	for (unsigned round = 1; round <= 2; round++) {
		kill_broker(&b);
		WAIT_FOR(!mqtt_connected(s->mqtt) && in_trouble(s));
		CU_ASSERT_FALSE(mqtt_subscribed(s->mqtt));
		CU_ASSERT_EQUAL(publish(s, "t", "away", 1, false, 1), STATUS_UNAVAILABLE);
		CU_ASSERT_EQUAL(mqtt_unsent(s->mqtt), 0);
		start_broker(&b);
		WAIT_FOR(mqtt_subscribed(s->mqtt));
		CU_ASSERT_EQUAL(mqtt_connects(s->mqtt), 1 + round);
		CU_ASSERT_FALSE(in_trouble(s));
		CU_ASSERT_EQUAL(publish(s, "t", "back", 1, false, 2), STATUS_OK);
		WAIT_FOR(messages_of(s) == round);
	}
	stop(s);
	kill_broker(&b);
}

static void test_broker_comes_later(void)
{
	if (skip_without_broker())
		return;
	struct broker b = make_broker("", false);
	struct mqtt_options o = with_status(&b, "early", NULL);
	const char *filter = "t";
	o.filters = &filter;
	o.filter_count = 1;
	struct client *c = connect_with(o);

	WAIT_FOR(in_trouble(c));
	ends_with_trouble(c, "no connection to the broker tcp://127.0.0.1:");
	ends_with_trouble(c, "trying again");
	CU_ASSERT_EQUAL(publish(c, "t", "x", 0, false, 0), STATUS_UNAVAILABLE);
	start_broker(&b);
	WAIT_FOR(mqtt_subscribed(c->mqtt));
	CU_ASSERT_EQUAL(mqtt_connects(c->mqtt), 1);
	CU_ASSERT_FALSE(in_trouble(c));
	CU_ASSERT_EQUAL(publish(c, "t", "x", 0, false, 0), STATUS_OK);
	WAIT_FOR(messages_of(c) == 1);
	stop(c);
	kill_broker(&b);
}

/* Stopping while there is no broker, and while one is being looked for. */
static void test_stop_while_away(void)
{
	struct broker b = { .port = unit_free_port() };
	snprintf(b.url, sizeof(b.url), "mqtt://127.0.0.1:%d", b.port);
	int64_t began = time_monotonic_ns();

	stop(connect_with(options_for(&b, "nobody")));
	struct client *c = connect_with(options_for(&b, "nobody"));
	WAIT_FOR(in_trouble(c));
	stop(c);
	CU_ASSERT_TRUE(time_monotonic_ns() - began < INT64_C(20000000000));
}

/* The dynamic security plugin: everything is allowed but to subscribe. (An ACL file of
 * Mosquitto 2.0 grants every subscription and then delivers nothing.) */
static void test_refused_subscription(void)
{
	static const char rules[] =
		"{\"defaultACLAccess\":{\"publishClientSend\":true,\"publishClientReceive\":true,"
		"\"subscribe\":false,\"unsubscribe\":true},\"clients\":[],\"groups\":[],"
		"\"roles\":[]}";
	static const char *const filters[] = { "a", "b" };
	char lines[512];
	glob_t found;

	if (skip_without_broker())
		return;
	if (glob("/usr/lib/*/mosquitto_dynamic_security.so", 0, NULL, &found) != 0) {
		printf("skipped: no dynamic security plugin ");
		return;
	}
	snprintf(lines, sizeof(lines), "plugin %s\nplugin_opt_config_file %s\n", found.gl_pathv[0],
		unit_file("rules.json", rules, sizeof(rules) - 1));
	globfree(&found);
	struct broker b = run_broker(lines);
	for (size_t n = 1; n <= 2; n++) {
		struct mqtt_options o = options_for(&b, "sub");
		o.filters = filters;
		o.filter_count = n;
		struct client *c = connect_with(o);
		WAIT_FOR(mqtt_connected(c->mqtt) && in_trouble(c));
		CU_ASSERT_FALSE(mqtt_subscribed(c->mqtt));
		ends_with_trouble(c, "refuses the subscription to a");
		stop(c);
	}
	kill_broker(&b);
}

/* Runs a program to its end; false if it is absent or fails. */
static bool run_program(char *const *words)
{
	return access(words[0], X_OK) == 0 && finish(spawn(words)) == 0;
}

static void test_password(void)
{
	char file[256], lines[512];
	char *words[] = { "/usr/bin/mosquitto_passwd", "-c", "-b", file, "agent", "right", NULL };

	if (skip_without_broker())
		return;
	snprintf(file, sizeof(file), "%s", unit_path("passwords"));
	if (!run_program(words)) {
		printf("skipped: no mosquitto_passwd ");
		return;
	}
	snprintf(lines, sizeof(lines), "allow_anonymous false\npassword_file %s\n", file);
	struct broker b = run_broker(lines);
	struct mqtt_options o = options_for(&b, "agent");
	o.username = "agent";
	o.password = "wrong";
	struct client *c = connect_with(o);
	WAIT_FOR(in_trouble(c));
	/* Mosquitto answers 5 to a 3.1.1 client whose password is wrong. */
	ends_with_trouble(c, "not allowed");
	CU_ASSERT_FALSE(mqtt_connected(c->mqtt));
	stop(c);
	o.password = "right";
	c = connect_with(o);
	WAIT_FOR(mqtt_connected(c->mqtt));
	stop(c);
	kill_broker(&b);
}

/* ---- acknowledging ---- */

static struct client *session(const struct broker *b, const char *const *filter, bool later)
{
	struct mqtt_options o = options_for(b, "session");

	o.clean_session = false;
	o.acknowledge_later = later;
	o.filters = filter;
	o.filter_count = 1;
	struct client *c = connect_with(o);
	WAIT_FOR(mqtt_subscribed(c->mqtt));
	return c;
}

static void test_acknowledge_later(void)
{
	if (skip_without_broker())
		return;
	static const char *const filter = "t";
	struct broker b = run_broker("");
	struct client *c = session(&b, &filter, true);
	struct mqtt_receipt receipts[3];

	for (uint64_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(publish(c, "t",
					i == 0           ? "0"
						: i == 1 ? "1"
							 : "2",
					1, false, i),
			STATUS_OK);
	WAIT_FOR(messages_of(c) == 3);
	receipts[0] = kept_of(c, 0).receipt;
	mqtt_acknowledge(c->mqtt, receipts, 1);
	stop(c); /* two are not acknowledged: they come again */

	c = session(&b, &filter, true);
	WAIT_FOR(messages_of(c) == 2);
	CU_ASSERT_STRING_EQUAL(kept_of(c, 0).payload, "1");
	CU_ASSERT_STRING_EQUAL(kept_of(c, 1).payload, "2");
	receipts[1] = kept_of(c, 0).receipt;
	receipts[2] = kept_of(c, 1).receipt;
	mqtt_acknowledge(c->mqtt, receipts + 1, 2);
	stop(c);

	c = session(&b, &filter, true);
	CU_ASSERT_EQUAL(publish(c, "t", "3", 1, false, 3), STATUS_OK);
	WAIT_FOR(messages_of(c) == 1);
	CU_ASSERT_STRING_EQUAL(kept_of(c, 0).payload, "3");
	stop(c);
	c = session(&b, &filter, false); /* by itself, as soon as it came */
	WAIT_FOR(messages_of(c) == 1);
	stop(c);
	c = session(&b, &filter, false);
	CU_ASSERT_EQUAL(publish(c, "t", "4", 1, false, 4), STATUS_OK);
	WAIT_FOR(messages_of(c) == 1);
	CU_ASSERT_STRING_EQUAL(kept_of(c, 0).payload, "4");
	stop(c);
	kill_broker(&b);
}

static void publish_soon(struct client *c, size_t len, char letter)
{
	static char payload[70000];

	memset(payload, letter, len);
	CU_ASSERT_EQUAL(mqtt_publish_soon(c->mqtt, "t", payload, len), STATUS_OK);
}

/* Hears itself; how to write is known. */
static struct client *ready_to_write(struct mqtt_options o)
{
	static const char *const filter = "t";

	o.acknowledge_later = true;
	o.filters = &filter;
	o.filter_count = 1;
	struct client *c = connect_with(o);
	WAIT_FOR(mqtt_subscribed(c->mqtt));
	publish_soon(c, 5, 'a'); /* by Paho */
	WAIT_FOR(messages_of(c) == 1);
	CU_ASSERT_EQUAL(publish(c, "t", "b", 1, false, 0), STATUS_OK);
	WAIT_FOR(messages_of(c) == 2);
	return c;
}

/* Every length where the packet's head grows, and what is larger than one write. */
static void check_together(struct mqtt_options o)
{
	static const size_t lengths[] = { 0, 1, 124, 125, 16380, 16381, 60000, 3 };
	enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };
	struct client *c = ready_to_write(o);

	for (size_t i = 0; i < LENGTHS; i++)
		publish_soon(c, lengths[i], (char)('c' + i));
	mqtt_flush(c->mqtt);
	WAIT_FOR(messages_of(c) == 2 + LENGTHS);
	for (size_t i = 0; i < LENGTHS; i++) {
		struct kept k = kept_of(c, 2 + i);
		CU_ASSERT_STRING_EQUAL(k.topic, "t");
		CU_ASSERT_EQUAL(k.qos, 0);
		CU_ASSERT_EQUAL(k.len, lengths[i]);
		CU_ASSERT_TRUE(k.len == 0 || k.payload[0] == (char)('c' + i));
	}
	CU_ASSERT_EQUAL(mqtt_unsent(c->mqtt), 0);
	publish_soon(c, 1, 'z'); /* the stop takes it along */
	stop(c);
}

static void test_publish_soon(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");

	check_together(options_for(&b, "together"));
	kill_broker(&b);
}

/* A broker that does not read: 4 MB wait beside what the socket holds, then nothing is taken. All
 * that was taken arrives. */
static void test_publish_soon_full(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("max_queued_messages 0\nmax_queued_bytes 0\n");
	struct client *c = ready_to_write(options_for(&b, "full"));
	static const char payload[60000];
	enum status st = STATUS_OK;
	size_t taken = 0;

	kill(b.pid, SIGSTOP);
	for (; st == STATUS_OK && taken < 5000; taken += st == STATUS_OK)
		st = mqtt_publish_soon(c->mqtt, "t", payload, sizeof(payload));
	CU_ASSERT_EQUAL(st, STATUS_FULL);
	CU_ASSERT_TRUE(taken >= 4000000 / sizeof(payload));
	kill(b.pid, SIGCONT);
	int64_t until_ns = time_monotonic_ns() + INT64_C(30000000000);
	while (messages_of(c) < 2 + taken && time_monotonic_ns() < until_ns) {
		mqtt_flush(c->mqtt);
		nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
	CU_ASSERT_EQUAL(messages_of(c), 2 + taken);
	publish_soon(c, 1, 'y');
	mqtt_flush(c->mqtt);
	WAIT_FOR(messages_of(c) == 3 + taken);
	stop(c);
	kill_broker(&b);
}

/* What waits for a connection that ends is lost with it, and breaks nothing on the next. */
static void test_publish_soon_lost(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *c = ready_to_write(options_for(&b, "lost"));

	publish_soon(c, 7, 'l');
	kill_broker(&b);
	WAIT_FOR(!mqtt_connected(c->mqtt));
	CU_ASSERT_EQUAL(mqtt_publish_soon(c->mqtt, "t", "m", 1), STATUS_UNAVAILABLE);
	start_broker(&b);
	WAIT_FOR(mqtt_subscribed(c->mqtt));
	mqtt_flush(c->mqtt);
	publish_soon(c, 9, 'n');
	mqtt_flush(c->mqtt);
	WAIT_FOR(messages_of(c) == 3);
	CU_ASSERT_EQUAL(kept_of(c, 2).len, 9);
	stop(c);
	kill_broker(&b);
}

/* A receipt of a connection that is gone acknowledges nothing on the next one, though the same
 * packet id may be in use there. */
static void test_old_receipt(void)
{
	if (skip_without_broker())
		return;
	static const char *const filter = "t";
	struct broker b = run_broker("");
	struct client *c = session(&b, &filter, true);

	CU_ASSERT_EQUAL(publish(c, "t", "old", 1, false, 0), STATUS_OK);
	WAIT_FOR(messages_of(c) == 1);
	struct mqtt_receipt old = kept_of(c, 0).receipt;
	kill_broker(&b);
	WAIT_FOR(!mqtt_connected(c->mqtt));
	start_broker(&b); /* which has forgotten everything, packet ids too */
	WAIT_FOR(mqtt_subscribed(c->mqtt));
	CU_ASSERT_EQUAL(publish(c, "t", "new", 1, false, 1), STATUS_OK);
	WAIT_FOR(messages_of(c) == 2);
	struct mqtt_receipt new = kept_of(c, 1).receipt;
	CU_ASSERT_EQUAL(old.packet_id, new.packet_id);
	CU_ASSERT_NOT_EQUAL(old.generation, new.generation);
	mqtt_acknowledge(c->mqtt, &old, 1);
	stop(c);
	c = session(&b, &filter, true);
	WAIT_FOR(messages_of(c) == 1);
	CU_ASSERT_STRING_EQUAL(kept_of(c, 0).payload, "new");
	stop(c);
	kill_broker(&b);
}

/* ---- a broker that hangs ---- */

static void test_unsent_limit(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct mqtt_options options = options_for(&b, "pub");
	options.keepalive_s = 600; /* a busy machine takes its time for so many */
	struct client *p = connect_with(options);
	uint64_t taken = 0;

	WAIT_FOR(mqtt_connected(p->mqtt));
	kill(b.pid, SIGSTOP);
	while (taken < TOKENS_MAX && publish(p, "t", "x", 1, false, taken) == STATUS_OK)
		taken++;
	CU_ASSERT_EQUAL(taken, MQTT_UNSENT_MAX);
	CU_ASSERT_EQUAL(publish(p, "t", "x", 1, false, taken), STATUS_FULL);
	CU_ASSERT_EQUAL(mqtt_unsent(p->mqtt), MQTT_UNSENT_MAX);
	kill(b.pid, SIGCONT);
	WAIT_FOR(ended_of(p) == MQTT_UNSENT_MAX && mqtt_unsent(p->mqtt) == 0);
	CU_ASSERT_EQUAL(p->repeated, 0);
	CU_ASSERT_EQUAL(p->delivered, MQTT_UNSENT_MAX);
	stop(p);
	kill_broker(&b);
}

static void test_stop_hanging(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *p = connect_with(with_status(&b, "agent", "{}"));

	WAIT_FOR(mqtt_connected(p->mqtt) && mqtt_unsent(p->mqtt) == 0);
	kill(b.pid, SIGSTOP);
	for (uint64_t i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(publish(p, "t", "x", 1, false, i), STATUS_OK);
	int64_t began = time_monotonic_ns();
	mqtt_stop(p->mqtt, 200);
	CU_ASSERT_TRUE(time_monotonic_ns() - began < INT64_C(5000000000));
	size_t ended = ended_of(p);
	CU_ASSERT_EQUAL(ended, 100); /* every one came to its end */
	CU_ASSERT_EQUAL(p->delivered, 0);
	CU_ASSERT_EQUAL(p->repeated, 0);
	kill(b.pid, SIGCONT);
	CU_ASSERT_EQUAL(publish(p, "t", "x", 1, false, 0), STATUS_UNAVAILABLE);
	mqtt_stop(p->mqtt, 1000); /* again: nothing */
	drop(p);
	kill_broker(&b);
}

/* Every publish comes to one end, whatever happens to the connection. */
static void test_ends_once(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *p = publisher(&b, "pub");
	uint64_t taken = 0;

	for (int round = 0; round < 2; round++) {
		kill(b.pid, SIGSTOP);
		for (int i = 0; i < 500; i++)
			taken += publish(p, "t", "x", i % 2, false, taken) == STATUS_OK;
		kill_broker(&b);
		WAIT_FOR(!mqtt_connected(p->mqtt));
		start_broker(&b);
		WAIT_FOR(mqtt_connected(p->mqtt));
		WAIT_FOR(mqtt_unsent(p->mqtt) == 0);
	}
	CU_ASSERT_EQUAL(taken, 1000);
	CU_ASSERT_EQUAL(ended_of(p), taken);
	CU_ASSERT_EQUAL(p->repeated, 0);
	stop(p);
	kill_broker(&b);
}

/* Four threads publish while the broker goes and comes. */
static void *publish_many(void *context)
{
	struct client *c = context;
	uintptr_t taken = 0;

	for (int i = 0; i < 2000; i++)
		taken += publish(c, "t", "x", i % 2, false, TOKENS_MAX) == STATUS_OK;
	return (void *)taken;
}

static void test_threads(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");
	struct client *p = subscriber(&b, "both", "t");
	pthread_t threads[4];
	size_t taken = 0;

	for (int i = 0; i < 4; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, publish_many, p), 0);
	kill_broker(&b);
	start_broker(&b);
	for (int i = 0; i < 4; i++) {
		void *one = NULL;
		pthread_join(threads[i], &one);
		taken += (uintptr_t)one;
	}
	WAIT_FOR(mqtt_connected(p->mqtt) && mqtt_unsent(p->mqtt) == 0);
	CU_ASSERT_EQUAL(ended_of(p), taken);
	stop(p);
	kill_broker(&b);
}

/* ---- TLS ---- */

/* A key and its certificate for an address, signed by itself. */
static bool make_certificate(
	const char *name, const char *address_text, char key[256], char certificate[256])
{
	char file[64], subject[64];

	snprintf(subject, sizeof(subject), "subjectAltName=IP:%s", address_text);

	snprintf(file, sizeof(file), "%s.key", name);
	snprintf(key, 256, "%s", unit_path(file));
	snprintf(file, sizeof(file), "%s.pem", name);
	snprintf(certificate, 256, "%s", unit_path(file));
	char *words[] = { "/usr/bin/openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes",
		"-days", "2", "-subj", "/CN=broker", "-addext", subject, "-keyout", key, "-out",
		certificate, NULL };
	return run_program(words);
}

static void test_tls(void)
{
	char key[256], certificate[256], other_key[256], other[256], lines[1024];

	if (skip_without_broker())
		return;
	if (!make_certificate("broker", "127.0.0.1", key, certificate) ||
		!make_certificate("other", "127.0.0.2", other_key, other)) {
		printf("skipped: no openssl ");
		return;
	}
	snprintf(lines, sizeof(lines), "certfile %s\nkeyfile %s\n", certificate, key);
	struct broker b = make_broker(lines, true);
	start_broker(&b);
	struct mqtt_options o = options_for(&b, "agent");
	const char *filter = "t";
	o.filters = &filter;
	o.filter_count = 1;
	o.ca_file = certificate;
	struct client *c = connect_with(o);
	WAIT_FOR(mqtt_subscribed(c->mqtt));
	CU_ASSERT_EQUAL(publish(c, "t", "secret", 1, false, 0), STATUS_OK);
	WAIT_FOR(messages_of(c) == 1);
	stop(c);
	o.filter_count = 0;
	check_together(o);
	o.filters = &filter;
	o.filter_count = 1;
	o.ca_file = other; /* signed by nobody we know */
	c = connect_with(o);
	WAIT_FOR(in_trouble(c));
	ends_with_trouble(c, "no connection");
	CU_ASSERT_FALSE(mqtt_connected(c->mqtt));
	stop(c);
	o.ca_file = NULL; /* nor does the system */
	c = connect_with(o);
	WAIT_FOR(in_trouble(c));
	CU_ASSERT_FALSE(mqtt_connected(c->mqtt));
	stop(c);
	kill_broker(&b);

	/* One that we know, but of another address. */
	snprintf(lines, sizeof(lines), "certfile %s\nkeyfile %s\n", other, other_key);
	b = make_broker(lines, true);
	start_broker(&b);
	o.url = b.url;
	o.ca_file = other;
	c = connect_with(o);
	WAIT_FOR(in_trouble(c));
	CU_ASSERT_FALSE(mqtt_connected(c->mqtt));
	stop(c);
	kill_broker(&b);
}

/* ---- reading ahead ---- */

static unsigned char byte_of(size_t message, size_t i)
{
	return (unsigned char)(message * 31 + i * 7 + i / 256);
}

/* Sizes on both sides of what is read at once, and mostly small. */
static size_t size_of(size_t message)
{
	return message % 5 == 0 ? message * 613 % 40000 : message * 17 % 300;
}

static atomic_size_t intact, broken;

static void check_bytes(void *context, const struct mqtt_message *m)
{
	const unsigned char *payload = m->payload;
	size_t message = atomic_load(&intact) + atomic_load(&broken);
	bool ok = m->len == size_of(message);

	(void)context;
	for (size_t i = 0; ok && i < m->len; i++)
		ok = payload[i] == byte_of(message, i);
	atomic_fetch_add(ok ? &intact : &broken, 1);
}

static void send_and_check(const char *url)
{
	enum { COUNT = 1500 };
	static unsigned char data[40000];
	const char *filter = "t";
	struct mqtt_options o = { .url = url,
		.client_id = "ahead",
		.keepalive_s = 5,
		.clean_session = true,
		.filters = &filter,
		.filter_count = 1,
		.on_message = check_bytes };
	struct mqtt *mqtt;

	atomic_store(&intact, 0);
	atomic_store(&broken, 0);
	CU_ASSERT_EQUAL_FATAL(mqtt_create(&o, &mqtt, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(mqtt_start(mqtt, &why), STATUS_OK);
	WAIT_FOR(mqtt_subscribed(mqtt));
	for (size_t n = 0; n < COUNT; n++) {
		for (size_t i = 0; i < size_of(n); i++)
			data[i] = byte_of(n, i);
		CU_ASSERT_EQUAL_FATAL(
			mqtt_publish(mqtt, "t", data, size_of(n), 1, false, n), STATUS_OK);
	}
	WAIT_FOR(atomic_load(&intact) + atomic_load(&broken) == COUNT);
	CU_ASSERT_EQUAL(atomic_load(&broken), 0);
	mqtt_stop(mqtt, 5000);
	mqtt_destroy(mqtt);
}

static void test_every_byte(void)
{
	if (skip_without_broker())
		return;
	struct broker b = run_broker("");

	send_and_check(b.url);
	kill_broker(&b);
}

/* ---- over a unix-domain socket ---- */

struct local_broker {
	struct broker b; /* b.url is the socket's; it listens on a port, too */
	char path[108];
};

static struct local_broker make_local_broker(void)
{
	static int number;
	struct local_broker l;
	char name[32], line[160];

	snprintf(name, sizeof(name), "broker-%d.sock", number++);
	snprintf(l.path, sizeof(l.path), "%s", unit_path(name));
	snprintf(line, sizeof(line), "listener 0 %s\n", l.path);
	l.b = make_broker(line, false);
	snprintf(l.b.url, sizeof(l.b.url), "unix://%s", l.path);
	return l;
}

/* More than the socket takes at once, both ways. */
static void test_local(void)
{
	enum { COUNT = 5000, SIZE = 1000 };
	static char text[SIZE];

	if (skip_without_broker())
		return;
	struct local_broker l = make_local_broker();
	start_broker(&l.b);
	struct client *s = subscriber(&l.b, "local", "t");
	memset(text, 'x', sizeof(text));
	for (uint64_t i = 0; i < COUNT; i++) {
		snprintf(text, sizeof(text), "%d", (int)i);
		text[strlen(text)] = ' ';
		CU_ASSERT_EQUAL_FATAL(
			mqtt_publish(s->mqtt, "t", text, SIZE, 1, false, i), STATUS_OK);
	}
	WAIT_FOR(ended_of(s) == COUNT);
	CU_ASSERT_EQUAL(s->delivered, COUNT);
	WAIT_FOR(messages_of(s) == COUNT);
	for (int i = 0; i < KEPT_MAX; i++) {
		CU_ASSERT_EQUAL(atoi(kept_of(s, (size_t)i).payload), i);
		CU_ASSERT_EQUAL(kept_of(s, (size_t)i).len, SIZE);
	}
	stop(s);
	send_and_check(l.b.url);
	kill_broker(&l.b);
}

static void test_local_later(void)
{
	if (skip_without_broker())
		return;
	struct local_broker l = make_local_broker();
	struct mqtt_options o = options_for(&l.b, "early");
	const char *filter = "t";
	o.filters = &filter;
	o.filter_count = 1;
	struct client *c = connect_with(o);

	WAIT_FOR(in_trouble(c));
	ends_with_trouble(c, l.b.url);
	ends_with_trouble(c, ".sock: No such file or directory; trying again");
	for (uint64_t connects = 1; connects <= 2; connects++) {
		start_broker(&l.b);
		WAIT_FOR(mqtt_subscribed(c->mqtt));
		CU_ASSERT_EQUAL(mqtt_connects(c->mqtt), connects);
		CU_ASSERT_FALSE(in_trouble(c));
		CU_ASSERT_EQUAL(publish(c, "t", "x", 1, false, connects), STATUS_OK);
		WAIT_FOR(messages_of(c) == connects);
		kill_broker(&l.b);                                   /* leaves its socket behind */
		WAIT_FOR(!mqtt_connected(c->mqtt) && in_trouble(c)); /* one behind the other */
	}
	stop(c);
}

/* Of two brokers the one that is there; and the other way round. */
static void test_local_or_not(void)
{
	if (skip_without_broker())
		return;
	struct local_broker l = make_local_broker();
	char url[400];
	struct mqtt_options o = options_for(&l.b, "either");
	start_broker(&l.b);

	o.url = url;
	snprintf(url, sizeof(url), "unix://%s-not,mqtt://127.0.0.1:%d", l.path, l.b.port);
	struct client *c = connect_with(o);
	WAIT_FOR(mqtt_connected(c->mqtt));
	stop(c);
	snprintf(url, sizeof(url), "mqtt://127.0.0.1:%d,unix://%s", unit_free_port(), l.path);
	c = connect_with(o);
	WAIT_FOR(mqtt_connected(c->mqtt));
	stop(c);
	kill_broker(&l.b);
}

static void test_local_certificates(void)
{
	struct mqtt_options o = {
		.url = "unix:///run/broker", .client_id = "c", .ca_file = "/etc/ssl/ca"
	};
	struct mqtt *mqtt = NULL;

	CU_ASSERT_EQUAL(mqtt_create(&o, &mqtt, &why), STATUS_BAD_CONFIG);
	CU_ASSERT_PTR_NULL(mqtt);
	ASSERT_HOLDS(why.text, "unix:///run/broker nothing is encrypted");
}

static CU_TestInfo cases[] = {
	{ "urls name scheme, host and port", test_urls },
	{ "a socket's path has an end", test_long_path },
	{ "a list of urls has TLS throughout or nowhere", test_lists },
	{ "a password in a url is not repeated", test_secret_url },
	{ "before its start nothing is sent", test_not_started },
	{ "what is published is received as it was sent", test_publish_subscribe },
	{ "the last of many messages is known", test_last },
	{ "several filters are subscribed together", test_filters },
	{ "birth and goodbye are retained", test_birth_goodbye },
	{ "the last will speaks for a killed client", test_last_will },
	{ "the connection and its subscription come back", test_reconnect },
	{ "a broker that comes later is found", test_broker_comes_later },
	{ "stopping without a broker does not hang", test_stop_while_away },
	{ "a refused subscription is trouble", test_refused_subscription },
	{ "a wrong password is trouble", test_password },
	{ "what is not acknowledged comes again", test_acknowledge_later },
	{ "publishes of QoS 0 leave together", test_publish_soon },
	{ "a broker that does not read is waited for with 4 MB", test_publish_soon_full },
	{ "what waits for a lost connection is lost with it", test_publish_soon_lost },
	{ "an old receipt acknowledges nothing new", test_old_receipt },
	{ "20,000 publishes may wait, not one more", test_unsent_limit },
	{ "a hanging broker does not hold up the stop", test_stop_hanging },
	{ "every publish comes to one end", test_ends_once },
	{ "threads may publish together", test_threads },
	{ "TLS is spoken with those whose certificate we know", test_tls },
	{ "every byte arrives, however it is read", test_every_byte },
	{ "a unix-domain socket carries both ways", test_local },
	{ "a socket that comes later, or again, is found", test_local_later },
	{ "a list may name a socket and a port", test_local_or_not },
	{ "certificates do not go with a socket", test_local_certificates },
	CU_TEST_INFO_NULL,
};

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "live") == 0)
		return live_until_killed(argv[2]);
	signal(SIGPIPE, SIG_IGN);
	return unit_run("mqtt", cases);
}
