/* Paho's rules (its header and its maintainers' words): user callbacks run on its receive
 * thread under one lock for the whole process, so they start operations and never wait; a
 * message is taken by returning 1, and returning 0 is no back-pressure, because Paho has
 * acknowledged it all the same. Its own buffering and persistence are slow and not used. */
#include "common/mqtt.h"
#include "common/log.h"
#include "common/mqtt_ack.h"
#include "common/mqtt_ahead.h"
#include "common/mqtt_socket.h"
#include "common/mqtt_tls.h"
#include "common/timeutil.h"
#include <MQTTAsync.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	URL_SIZE = MQTT_URL_SIZE,
	TEXT_SIZE = 600,
	CONNECT_TIMEOUT_S = 5,
	RETRY_MIN_MS = 100,
	RETRY_MAX_MS = 30000,
};

struct mqtt {
	MQTTAsync client;
	char server[MQTT_URLS_MAX * URL_SIZE]; /* the addresses, for people */
	char uri[MQTT_URLS_MAX][URL_SIZE];     /* the same as Paho is to have them */
	char *uris[MQTT_URLS_MAX];
	int uri_count;
	bool tls;
	/* The options, copied: each NULL or our own. */
	char *client_id, *username, *password, *ca_file, *cert_file, *key_file;
	char *will_topic, *will_payload, *birth_payload, *goodbye_payload;
	char *filter[MQTT_FILTERS_MAX];
	struct subscription {
		struct mqtt *mqtt;
		size_t filter;
	} subscription[MQTT_FILTERS_MAX];
	size_t filters;
	char *optional[MQTT_FILTERS_MAX];
	size_t optionals;
	int keepalive_s;
	bool clean_session;
	struct mqtt_ack *ack; /* NULL: Paho acknowledges by itself */
	mqtt_on_message *on_message;
	mqtt_on_published *on_published;
	void *context;

	atomic_bool connected;
	atomic_bool ending;    /* it is we who end it */
	atomic_bool draining;  /* mqtt_stop waits for `unsent` to shrink */
	atomic_size_t granted; /* of the filters, on this connection */
	atomic_size_t refused; /* the first of them that was not, or SIZE_MAX */
	_Atomic uint64_t connects;
	_Atomic size_t unsent;
	_Atomic int64_t
		moved_ns;      /* monotonic: when a publish last came to its end, or began alone */
	_Atomic int64_t up_ns; /* when the connection came up */
	_Atomic int64_t short_ns[MQTT_TAKEOVERS + 1]; /* ends of short connections, by turns */
	_Atomic unsigned shorts;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t moved; /* unsent shrank (while draining), or the disconnect ended */
	bool disconnected;
	bool connecting, stopping;
	int64_t retry_ns, back_off_ms; /* the next attempt (monotonic), and what to wait after it */
	pthread_t keeper;
	bool kept;                   /* there is one */
	struct ticket *tickets;      /* on their way */
	pthread_mutex_t client_lock; /* publishing, or putting a new client in its place; never
					taken in a callback, which has Paho's lock */
	char trouble[TEXT_SIZE];
	struct log_limit connect_limit, lost_limit, takeover_limit;
};

/* What a publish carries through Paho when somebody wants to know its end. */
struct ticket {
	struct mqtt *mqtt;
	uint64_t token;
	struct ticket *previous, *next; /* of those on their way */
};

static void schedule(struct mqtt *mqtt, bool failed);

/* ---- what Paho tells; on its threads ---- */

static void set_trouble(struct mqtt *mqtt, const char *text)
{
	pthread_mutex_lock(&mqtt->lock);
	snprintf(mqtt->trouble, sizeof(mqtt->trouble), "%s", text);
	pthread_mutex_unlock(&mqtt->lock);
}

static void one_sent(struct mqtt *mqtt)
{
	atomic_fetch_sub(&mqtt->unsent, 1);
	atomic_store(&mqtt->moved_ns, time_monotonic_ns());
	/* Else only the keeper would wake, for nothing: a tenth of what a verdict costs. */
	if (!atomic_load(&mqtt->draining))
		return;
	pthread_mutex_lock(&mqtt->lock);
	pthread_cond_broadcast(&mqtt->moved);
	pthread_mutex_unlock(&mqtt->lock);
}

static void ticket_list(struct mqtt *mqtt, struct ticket *ticket)
{
	pthread_mutex_lock(&mqtt->lock);
	ticket->next = mqtt->tickets;
	if (ticket->next)
		ticket->next->previous = ticket;
	mqtt->tickets = ticket;
	pthread_mutex_unlock(&mqtt->lock);
}

static void ticket_unlist(struct mqtt *mqtt, struct ticket *ticket)
{
	pthread_mutex_lock(&mqtt->lock);
	if (ticket->previous)
		ticket->previous->next = ticket->next;
	else
		mqtt->tickets = ticket->next;
	if (ticket->next)
		ticket->next->previous = ticket->previous;
	pthread_mutex_unlock(&mqtt->lock);
}

static void ticket_end(struct ticket *ticket, bool delivered)
{
	struct mqtt *mqtt = ticket->mqtt;

	ticket_unlist(mqtt, ticket);
	mqtt->on_published(mqtt->context, ticket->token, delivered);
	free(ticket);
	one_sent(mqtt);
}

static void on_ticket_success(void *context, MQTTAsync_successData *data)
{
	(void)data;
	ticket_end(context, true);
}

static void on_ticket_failure(void *context, MQTTAsync_failureData *data)
{
	(void)data;
	ticket_end(context, false);
}

static void on_send_success(void *context, MQTTAsync_successData *data)
{
	(void)data;
	one_sent(context);
}

static void on_send_failure(void *context, MQTTAsync_failureData *data)
{
	(void)data;
	one_sent(context);
}

static int on_arrived(void *context, char *topic, int topic_len, MQTTAsync_message *message)
{
	struct mqtt *mqtt = context;
	struct mqtt_message out = {
		.topic = topic,
		.topic_len = topic_len > 0 ? (size_t)topic_len : strlen(topic),
		.payload = message->payload,
		.len = (size_t)message->payloadlen,
		.qos = message->qos,
		.retained = message->retained != 0,
		.more = mqtt_ahead_more(),
		.receipt = { .packet_id = message->msgid },
	};

	if (mqtt->ack)
		out.receipt.generation = mqtt_ack_generation(mqtt->ack);

	if (mqtt->on_message)
		mqtt->on_message(mqtt->context, &out);
	MQTTAsync_freeMessage(&message);
	MQTTAsync_free(topic);
	return 1;
}

/* Of several the first one is the trouble that is told: they stand in the order of their weight. */
static void subscription_failed(struct mqtt *mqtt, size_t filter, const char *reason)
{
	char text[TEXT_SIZE];

	snprintf(text, sizeof(text), "the broker refuses the subscription to %.300s: %s",
		mqtt->filter[filter], reason);
	if (filter < atomic_load(&mqtt->refused)) {
		atomic_store(&mqtt->refused, filter);
		set_trouble(mqtt, text);
	}
	log_error("%s", text);
}

/* A SUBACK grants QoS 0, 1 or 2; what else there is, a broker that is none may have made up. */
static void on_subscribed(void *context, MQTTAsync_successData *data)
{
	struct subscription *subscription = context;

	if (data->alt.qos < 0 || data->alt.qos > 2)
		subscription_failed(subscription->mqtt, subscription->filter, "not allowed");
	else
		atomic_fetch_add(&subscription->mqtt->granted, 1);
}

static void on_subscribe_failed(void *context, MQTTAsync_failureData *data)
{
	struct subscription *subscription = context;

	subscription_failed(subscription->mqtt, subscription->filter,
		data && data->message ? data->message : "not allowed");
}

/* One SUBSCRIBE a filter: of one for several, Paho 1.3.12 hands over as many answers as the broker
 * chose to send, in a pointer or in its place, and does not say how many. */
static void subscribe(struct mqtt *mqtt)
{
	MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;

	atomic_store(&mqtt->refused, SIZE_MAX);
	options.onSuccess = on_subscribed;
	options.onFailure = on_subscribe_failed;
	for (size_t i = 0; i < mqtt->filters; i++) {
		mqtt->subscription[i] = (struct subscription){ mqtt, i };
		options.context = &mqtt->subscription[i];
		int rc = MQTTAsync_subscribe(mqtt->client, mqtt->filter[i], 1, &options);
		if (rc != MQTTASYNC_SUCCESS)
			subscription_failed(mqtt, i, MQTTAsync_strerror(rc));
	}
	for (size_t i = 0; i < mqtt->optionals; i++)
		(void)MQTTAsync_subscribe(
			mqtt->client, mqtt->optional[i], 0, NULL); /* without it it goes on */
}

static bool send_now(struct mqtt *mqtt, const char *topic, const void *payload, size_t len, int qos,
	bool retain, struct ticket *ticket)
{
	MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;

	options.onSuccess = ticket ? on_ticket_success : on_send_success;
	options.onFailure = ticket ? on_ticket_failure : on_send_failure;
	options.context = ticket ? (void *)ticket : (void *)mqtt;
	if (atomic_fetch_add(&mqtt->unsent, 1) == 0)
		atomic_store(&mqtt->moved_ns, time_monotonic_ns());
	if (MQTTAsync_send(mqtt->client, topic, (int)len, payload, qos, retain, &options) ==
		MQTTASYNC_SUCCESS)
		return true;
	atomic_fetch_sub(&mqtt->unsent, 1);
	return false;
}

static void on_connected(void *context, char *cause)
{
	struct mqtt *mqtt = context;
	(void)cause;

	if (mqtt->ack)
		mqtt_ack_void(mqtt->ack);
	set_trouble(mqtt, "");
	(void)mqtt_tls_shaken();
	atomic_store(&mqtt->granted, 0);
	atomic_store(&mqtt->up_ns, time_monotonic_ns());
	atomic_store(&mqtt->ending, false);
	atomic_store(&mqtt->moved_ns, time_monotonic_ns());
	atomic_store(&mqtt->connected, true);
	atomic_fetch_add(&mqtt->connects, 1);
	pthread_mutex_lock(&mqtt->lock);
	mqtt->connecting = false;
	mqtt->back_off_ms = RETRY_MIN_MS;
	pthread_mutex_unlock(&mqtt->lock);
	log_info("broker connected: %s client_id=%s", mqtt->server, mqtt->client_id);
	if (mqtt->filters > 0)
		subscribe(mqtt);
	if (mqtt->will_topic && mqtt->birth_payload)
		(void)send_now(mqtt, mqtt->will_topic, mqtt->birth_payload,
			strlen(mqtt->birth_payload), 1, true,
			NULL); /* lost again: the next connect says it */
}

static void on_connect_failed(void *context, MQTTAsync_failureData *data)
{
	struct mqtt *mqtt = context;
	char text[TEXT_SIZE];

	/* A refusal bears the broker's return code (MQTT 3.1.1 table 3.1), everything else a
	 * message. */
	static const char *const refusals[] = { NULL, "unacceptable protocol version",
		"client id refused", "the broker is not available", "wrong user name or password",
		"not allowed; wrong user name or password?" };
	const char *reason = data && data->message ? data->message : "no answer";
	bool refused = data && data->code >= 1 && data->code <= 5;
	if (refused)
		reason = refusals[data->code];
	char inner[240];
	if ((mqtt->tls && mqtt_tls_trouble(inner, sizeof(inner))) ||
		(mqtt_socket_trouble(inner, sizeof(inner)) && !refused))
		reason = inner;
	else if (mqtt->tls && mqtt_tls_shaken() && !refused)
		reason = "it hung up after the TLS handshake; does it know our certificate?";
	snprintf(text, sizeof(text), "no connection to the broker %.250s: %.239s; trying again",
		mqtt->server, reason);
	set_trouble(mqtt, text);
	log_limited(&mqtt->connect_limit, LOG_LEVEL_WARNING, "%s", text);
	pthread_mutex_lock(&mqtt->lock);
	schedule(mqtt, true);
	pthread_mutex_unlock(&mqtt->lock);
}

/* A connection that ends so soon was thrown out by somebody. */
enum { SHORT_S = 10, TAKEOVER_WINDOW_S = 60 };

static void note_short(struct mqtt *mqtt)
{
	int64_t now = time_monotonic_ns();

	if (atomic_load(&mqtt->ending) ||
		now - atomic_load(&mqtt->up_ns) > SHORT_S * INT64_C(1000000000))
		return;
	unsigned turn = atomic_fetch_add(&mqtt->shorts, 1) % (MQTT_TAKEOVERS + 1);
	atomic_store(&mqtt->short_ns[turn], now);
	if (mqtt_short_connections(mqtt) > MQTT_TAKEOVERS)
		log_limited(&mqtt->takeover_limit, LOG_LEVEL_ERROR,
			"lost %d connections within a minute, each right after it was made: does "
			"another client call itself %s?",
			MQTT_TAKEOVERS + 1, mqtt->client_id);
}

unsigned mqtt_short_connections(const struct mqtt *mqtt)
{
	int64_t since = time_monotonic_ns() - TAKEOVER_WINDOW_S * INT64_C(1000000000);
	unsigned count = 0;

	for (int i = 0; i <= MQTT_TAKEOVERS; i++) {
		int64_t at = atomic_load(&mqtt->short_ns[i]);
		count += at > 0 && at >= since;
	}
	return count;
}

static void on_lost(void *context, char *cause)
{
	struct mqtt *mqtt = context;
	char text[TEXT_SIZE];

	note_short(mqtt);

	if (mqtt->ack)
		mqtt_ack_void(mqtt->ack);
	atomic_store(&mqtt->connected, false);
	atomic_store(&mqtt->granted, 0);
	char tls_reason[240];
	if (mqtt->tls && mqtt_tls_trouble(tls_reason, sizeof(tls_reason)))
		cause = tls_reason;
	snprintf(text, sizeof(text), "connection to the broker %.250s lost%s%.239s; trying again",
		mqtt->server, cause ? ": " : "", cause ? cause : "");
	set_trouble(mqtt, text);
	log_limited(&mqtt->lost_limit, LOG_LEVEL_WARNING, "%s", text);
	pthread_mutex_lock(&mqtt->lock);
	schedule(mqtt, false);
	pthread_mutex_unlock(&mqtt->lock);
}

static void disconnect_ended(struct mqtt *mqtt)
{
	pthread_mutex_lock(&mqtt->lock);
	mqtt->disconnected = true;
	pthread_cond_broadcast(&mqtt->moved);
	pthread_mutex_unlock(&mqtt->lock);
}

static void on_disconnected(void *context, MQTTAsync_successData *data)
{
	(void)data;
	disconnect_ended(context);
}

static void on_disconnect_failed(void *context, MQTTAsync_failureData *data)
{
	(void)data;
	disconnect_ended(context);
}

/* ---- making and ending it ---- */

/* "" counts as absent. */
static bool copy_text(char **out, const char *text)
{
	if (!text || !*text)
		return true;
	*out = strdup(text);
	return *out != NULL;
}

static bool copy_options(struct mqtt *mqtt, const struct mqtt_options *o)
{
	bool ok = copy_text(&mqtt->client_id, o->client_id) &&
		copy_text(&mqtt->username, o->username) &&
		copy_text(&mqtt->password, o->password) && copy_text(&mqtt->ca_file, o->ca_file) &&
		copy_text(&mqtt->cert_file, o->cert_file) &&
		copy_text(&mqtt->key_file, o->key_file) &&
		copy_text(&mqtt->will_topic, o->will_topic) &&
		copy_text(&mqtt->will_payload, o->will_payload) &&
		copy_text(&mqtt->birth_payload, o->birth_payload);

	/* An empty goodbye means something: it clears the retained topic. */
	if (ok && o->goodbye_payload)
		ok = (mqtt->goodbye_payload = strdup(o->goodbye_payload)) != NULL;
	mqtt->filters = o->filter_count < MQTT_FILTERS_MAX ? o->filter_count : MQTT_FILTERS_MAX;
	for (size_t i = 0; ok && i < mqtt->filters; i++)
		ok = copy_text(&mqtt->filter[i], o->filters[i]);
	mqtt->optionals =
		o->optional_count < MQTT_FILTERS_MAX ? o->optional_count : MQTT_FILTERS_MAX;
	for (size_t i = 0; ok && i < mqtt->optionals; i++)
		ok = copy_text(&mqtt->optional[i], o->optional_filters[i]);
	mqtt->keepalive_s = o->keepalive_s > 0 ? o->keepalive_s : 15;
	mqtt->clean_session = o->clean_session;
	mqtt->on_message = o->on_message;
	mqtt->on_published = o->on_published;
	mqtt->context = o->context;
	return ok;
}

static void free_options(struct mqtt *mqtt)
{
	if (mqtt->password)
		explicit_bzero(mqtt->password, strlen(mqtt->password));
	free(mqtt->client_id);
	free(mqtt->username);
	free(mqtt->password);
	free(mqtt->ca_file);
	free(mqtt->cert_file);
	free(mqtt->key_file);
	free(mqtt->will_topic);
	free(mqtt->will_payload);
	free(mqtt->birth_payload);
	free(mqtt->goodbye_payload);
	for (size_t i = 0; i < mqtt->filters; i++)
		free(mqtt->filter[i]);
	for (size_t i = 0; i < mqtt->optionals; i++)
		free(mqtt->optional[i]);
}

static enum status create_client(struct mqtt *mqtt, struct why *why)
{
	/* Without create options: with them Paho refuses publishes behind 100 waiting ones, and
	 * walks their whole list to count them. MQTT_UNSENT_MAX is our limit. */
	int rc = MQTTAsync_create(
		&mqtt->client, mqtt->uri[0], mqtt->client_id, MQTTCLIENT_PERSISTENCE_NONE, NULL);
	if (rc == MQTTASYNC_SUCCESS)
		rc = MQTTAsync_setCallbacks(mqtt->client, mqtt, on_lost, on_arrived, NULL);
	if (rc == MQTTASYNC_SUCCESS)
		rc = MQTTAsync_setConnected(mqtt->client, mqtt, on_connected);
	if (rc == MQTTASYNC_SUCCESS)
		return STATUS_OK;
	MQTTAsync_destroy(&mqtt->client); /* NULL is fine */
	return fail(why, STATUS_IO, "MQTT client: %s", MQTTAsync_strerror(rc));
}

static bool given(const char *text)
{
	return text && *text;
}

/* Half of TLS is none: refused, before anything is sent. */
static enum status check_tls(const struct mqtt_options *o, bool tls, struct why *why)
{
	enum status st = STATUS_OK;

	if (!tls && (given(o->ca_file) || given(o->cert_file) || given(o->key_file)))
		return fail(why, STATUS_BAD_CONFIG,
			"certificates are given, but with %.200s nothing is encrypted; use "
			"mqtts://",
			o->url);
	if (given(o->cert_file) != given(o->key_file))
		return fail(why, STATUS_BAD_CONFIG, "a certificate and its key belong together");
	if (given(o->ca_file))
		st = mqtt_check_ca(o->ca_file, why);
	if (st == STATUS_OK && given(o->cert_file))
		st = mqtt_check_key(o->cert_file, o->key_file, why);
	return st;
}

static enum status add_server(
	struct mqtt *mqtt, const struct mqtt_address *address, struct why *why)
{
	char *uri = mqtt->uri[mqtt->uri_count], name[URL_SIZE];
	size_t used = strlen(mqtt->server);

	snprintf(uri, URL_SIZE, "%s://%s:%d", address->tls ? "ssl" : "tcp", address->host,
		address->port);
	snprintf(name, sizeof(name), "%s", uri);
	if (address->local) {
		if (!mqtt_socket_uri(address->host, uri, URL_SIZE))
			return fail(why, STATUS_BAD_CONFIG,
				"more than %d different unix:// urls in one process",
				MQTT_SOCKETS_MAX);
		snprintf(name, sizeof(name), "unix://%s", address->host);
	}
	snprintf(mqtt->server + used, sizeof(mqtt->server) - used, "%s%s", used ? "," : "", name);
	mqtt->uris[mqtt->uri_count++] = uri;
	return STATUS_OK;
}

static enum status set_servers(struct mqtt *mqtt, const char *list, struct why *why)
{
	struct mqtt_address address;
	char url[MQTT_URL_SIZE];
	enum status st = STATUS_OK;

	while (st == STATUS_OK && (list = mqtt_next_url(list, url)) &&
		mqtt->uri_count < MQTT_URLS_MAX) {
		st = mqtt_parse_url(url, &address, why);
		if (st == STATUS_OK)
			st = add_server(mqtt, &address, why);
	}
	return st;
}

enum status mqtt_create(const struct mqtt_options *options, struct mqtt **out, struct why *why)
{
	bool tls;
	enum status st = mqtt_check_urls(options->url, &tls, why);
	if (st == STATUS_OK)
		st = check_tls(options, tls, why);
	if (st != STATUS_OK)
		return st;

	struct mqtt *mqtt = calloc(1, sizeof(*mqtt));
	if (!mqtt)
		return fail(why, STATUS_NO_MEMORY, "no memory for a connection");
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&mqtt->moved, &attributes);
	pthread_condattr_destroy(&attributes);
	pthread_mutex_init(&mqtt->lock, NULL);
	pthread_mutex_init(&mqtt->client_lock, NULL);
	mqtt->tls = tls;
	st = set_servers(mqtt, options->url, why);
	bool copied = copy_options(mqtt, options);
	if (copied && options->acknowledge_later)
		copied = (mqtt->ack = mqtt_ack_create(mqtt->client_id)) != NULL;
	if (st == STATUS_OK && !copied)
		st = fail(why, STATUS_NO_MEMORY, "no memory for a connection");
	if (st == STATUS_OK)
		st = create_client(mqtt, why);
	if (st != STATUS_OK) {
		mqtt_destroy(mqtt);
		return st;
	}
	*out = mqtt;
	return STATUS_OK;
}

/* Begins one attempt; its end is told to on_connected or on_connect_failed. */
static int connect_now(struct mqtt *mqtt)
{
	MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
	MQTTAsync_willOptions will = MQTTAsync_willOptions_initializer;
	MQTTAsync_SSLOptions ssl = MQTTAsync_SSLOptions_initializer;

	options.MQTTVersion = MQTTVERSION_3_1_1;
	options.keepAliveInterval = mqtt->keepalive_s;
	options.cleansession = mqtt->clean_session;
	options.connectTimeout = CONNECT_TIMEOUT_S;
	options.automaticReconnect = 0; /* it looks every 3 s only: `keep_up` is quicker */
	options.maxInflight = 65535;    /* a full window stalls Paho's send thread for a second */
	options.serverURIs = mqtt->uris;
	options.serverURIcount = mqtt->uri_count;
	options.username = mqtt->username;
	options.password = mqtt->password;
	options.onFailure = on_connect_failed;
	options.context = mqtt;
	if (mqtt->will_topic && mqtt->will_payload) {
		will.topicName = mqtt->will_topic;
		will.message = mqtt->will_payload;
		will.qos = 1;
		will.retained = 1;
		options.will = &will;
	}
	if (mqtt->tls) {
		ssl.trustStore = mqtt->ca_file;
		ssl.CApath = mqtt->ca_file ? NULL : "/etc/ssl/certs";
		ssl.keyStore = mqtt->cert_file;
		ssl.privateKey = mqtt->key_file;
		ssl.enableServerCertAuth = 1;
		ssl.verify = 1;
		ssl.sslVersion = MQTT_SSL_VERSION_TLS_1_2;
		options.ssl = &ssl;
	}
	mqtt_quick_start();
	return MQTTAsync_connect(mqtt->client, &options);
}

/* When to try again, under the lock: twice as long after each failure, a quarter more or less, so
 * that a plant's clients do not all come at once when the broker is back. */
static void schedule(struct mqtt *mqtt, bool failed)
{
	int64_t base_ms = failed ? mqtt->back_off_ms : RETRY_MIN_MS;
	int64_t spread_ms = base_ms / 2;
	int64_t noise = time_monotonic_ns() / 1000 % (spread_ms + 1);

	mqtt->retry_ns = time_monotonic_ns() + (base_ms - spread_ms / 2 + noise) * 1000000;
	mqtt->back_off_ms = failed ? 2 * base_ms : RETRY_MIN_MS;
	if (mqtt->back_off_ms > RETRY_MAX_MS)
		mqtt->back_off_ms = RETRY_MAX_MS;
	mqtt->connecting = false;
	pthread_cond_broadcast(&mqtt->moved);
}

static void wait_until(struct mqtt *mqtt, int64_t deadline_ns)
{
	struct timespec until = time_spec(deadline_ns);

	pthread_cond_timedwait(&mqtt->moved, &mqtt->lock, &until);
}

/* What was on its way on a client that is gone: the caller's to repeat. */
static void fail_all(struct mqtt *mqtt)
{
	pthread_mutex_lock(&mqtt->lock);
	struct ticket *ticket = mqtt->tickets;
	mqtt->tickets = NULL;
	pthread_mutex_unlock(&mqtt->lock);
	while (ticket) {
		struct ticket *next = ticket->next;
		mqtt->on_published(mqtt->context, ticket->token, false);
		free(ticket);
		ticket = next;
	}
	atomic_store(&mqtt->unsent, 0);
}

/* When connections keep ending right after they are made: a new Paho client. The old one sends
 * again what it had on its way, and 1.3.12 does so from memory it has freed when its socket was
 * full at the end: the broker takes that for a malformed packet and ends the connection, for ever.
 * Who needs a message to arrive sends it again anyway. The session is the broker's and stays. Not
 * at every connection: Paho does not free all of what was on its way. */
static int renew_client(struct mqtt *mqtt)
{
	struct why why;

	pthread_mutex_lock(&mqtt->client_lock);
	MQTTAsync old = mqtt->client;
	mqtt->client = NULL;
	int rc = create_client(mqtt, &why) == STATUS_OK ? MQTTASYNC_SUCCESS : MQTTASYNC_FAILURE;
	if (rc == MQTTASYNC_SUCCESS)
		MQTTAsync_destroy(&old); /* after it no callback of the old one runs */
	else
		mqtt->client = old;
	if (rc == MQTTASYNC_SUCCESS)
		fail_all(mqtt);
	pthread_mutex_unlock(&mqtt->client_lock);
	return rc;
}

/* A thread of its own: Paho's callbacks may not connect. */
static void *keep_up(void *context)
{
	struct mqtt *mqtt = context;
	const int64_t second = 1000000000;

	pthread_mutex_lock(&mqtt->lock);
	while (!mqtt->stopping) {
		int64_t now = time_monotonic_ns();
		if (mqtt->connecting || atomic_load(&mqtt->connected)) {
			wait_until(mqtt, now + second);
		} else if (now < mqtt->retry_ns) {
			wait_until(mqtt, mqtt->retry_ns);
		} else {
			mqtt->connecting = true;
			pthread_mutex_unlock(&mqtt->lock);
			bool hopeless = mqtt_short_connections(mqtt) > MQTT_TAKEOVERS;
			int rc = hopeless ? renew_client(mqtt) : MQTTASYNC_SUCCESS;
			if (rc == MQTTASYNC_SUCCESS)
				rc = connect_now(mqtt);
			pthread_mutex_lock(&mqtt->lock);
			if (rc != MQTTASYNC_SUCCESS)
				schedule(mqtt, true);
		}
	}
	pthread_mutex_unlock(&mqtt->lock);
	return NULL;
}

enum status mqtt_start(struct mqtt *mqtt, struct why *why)
{
	mqtt->connecting = true;
	mqtt->back_off_ms = RETRY_MIN_MS;
	int rc = connect_now(mqtt);
	if (rc != MQTTASYNC_SUCCESS)
		return fail(why, STATUS_IO, "MQTT client: connect: %s", MQTTAsync_strerror(rc));
	rc = pthread_create(&mqtt->keeper, NULL, keep_up, mqtt);
	if (rc != 0)
		return fail(why, STATUS_NO_MEMORY, "no thread to keep the connection: %s",
			strerror(rc));
	mqtt->kept = true;
	return STATUS_OK;
}

static void stop_keeping(struct mqtt *mqtt)
{
	if (!mqtt->kept)
		return;
	pthread_mutex_lock(&mqtt->lock);
	mqtt->stopping = true;
	pthread_cond_broadcast(&mqtt->moved);
	pthread_mutex_unlock(&mqtt->lock);
	pthread_join(mqtt->keeper, NULL);
	mqtt->kept = false;
}

/* Waits for `done` under the lock, until `deadline`. */
static void wait_for(struct mqtt *mqtt, bool (*done)(struct mqtt *), int64_t deadline_ns)
{
	struct timespec until = time_spec(deadline_ns);

	pthread_mutex_lock(&mqtt->lock);
	while (!done(mqtt)) {
		if (pthread_cond_timedwait(&mqtt->moved, &mqtt->lock, &until) != 0)
			break;
	}
	pthread_mutex_unlock(&mqtt->lock);
}

static bool all_sent(struct mqtt *mqtt)
{
	return atomic_load(&mqtt->unsent) == 0 || !atomic_load(&mqtt->connected);
}

static bool is_disconnected(struct mqtt *mqtt)
{
	return mqtt->disconnected;
}

void mqtt_stop(struct mqtt *mqtt, int timeout_ms)
{
	if (!mqtt || !mqtt->client)
		return;
	int64_t deadline = time_monotonic_ns() + (int64_t)timeout_ms * 1000000;

	stop_keeping(mqtt);
	atomic_store(&mqtt->draining, true);
	if (atomic_load(&mqtt->connected)) {
		mqtt_flush(mqtt);
		if (mqtt->will_topic && mqtt->goodbye_payload)
			(void)send_now(mqtt, mqtt->will_topic, mqtt->goodbye_payload,
				strlen(mqtt->goodbye_payload), 1, true,
				NULL); /* else the will says it */
		wait_for(mqtt, all_sent, deadline);
	}
	MQTTAsync_disconnectOptions options = MQTTAsync_disconnectOptions_initializer;
	options.timeout = 100;
	options.onSuccess = on_disconnected;
	options.onFailure = on_disconnect_failed;
	options.context = mqtt;
	if (timeout_ms > 0 && atomic_load(&mqtt->connected) &&
		MQTTAsync_disconnect(mqtt->client, &options) == MQTTASYNC_SUCCESS)
		wait_for(mqtt, is_disconnected, deadline + 1000000000);
	atomic_store(&mqtt->connected, false);
	atomic_store(&mqtt->granted, 0);
	MQTTAsync_destroy(&mqtt->client); /* waits for a running callback; sets it to NULL */
}

void mqtt_destroy(struct mqtt *mqtt)
{
	if (!mqtt)
		return;
	mqtt_stop(mqtt, 0);
	fail_all(mqtt);
	mqtt_ack_destroy(mqtt->ack);
	free_options(mqtt);
	pthread_cond_destroy(&mqtt->moved);
	pthread_mutex_destroy(&mqtt->client_lock);
	pthread_mutex_destroy(&mqtt->lock);
	free(mqtt);
}

/* ---- using it ---- */

enum status mqtt_publish(struct mqtt *mqtt, const char *topic, const void *payload, size_t len,
	int qos, bool retain, uint64_t token)
{
	if (!atomic_load(&mqtt->connected))
		return STATUS_UNAVAILABLE;
	if (atomic_load(&mqtt->unsent) >= MQTT_UNSENT_MAX)
		return STATUS_FULL;
	struct ticket *ticket = NULL;
	if (mqtt->on_published && token != MQTT_UNTOLD) {
		ticket = malloc(sizeof(*ticket));
		if (!ticket)
			return STATUS_FULL;
		*ticket = (struct ticket){ .mqtt = mqtt, .token = token };
	}
	pthread_mutex_lock(&mqtt->client_lock); /* or renew_client could end the ticket meanwhile */
	if (ticket)
		ticket_list(mqtt, ticket);
	bool sent = send_now(mqtt, topic, payload, len, qos, retain, ticket);
	if (!sent && ticket)
		ticket_unlist(mqtt, ticket);
	pthread_mutex_unlock(&mqtt->client_lock);
	if (sent)
		return STATUS_OK;
	free(ticket);
	return STATUS_UNAVAILABLE;
}

enum status mqtt_publish_soon(struct mqtt *mqtt, const char *topic, const void *payload, size_t len)
{
	enum status st = STATUS_NOT_FOUND;

	if (!atomic_load(&mqtt->connected))
		return STATUS_UNAVAILABLE;
	if (mqtt->ack)
		st = mqtt_ack_publish(mqtt->ack, topic, payload, len);
	return st == STATUS_NOT_FOUND
		? mqtt_publish(mqtt, topic, payload, len, 0, false, MQTT_UNTOLD)
		: st;
}

void mqtt_flush(struct mqtt *mqtt)
{
	if (mqtt->ack)
		mqtt_ack_flush(mqtt->ack);
}

void mqtt_acknowledge(struct mqtt *mqtt, const struct mqtt_receipt *receipts, size_t n)
{
	if (mqtt->ack)
		mqtt_ack_send(mqtt->ack, receipts, n);
}

bool mqtt_end_stalled(struct mqtt *mqtt)
{
	int64_t long_ago = time_monotonic_ns() - MQTT_STALL_S * INT64_C(1000000000);

	if (!mqtt->ack || !atomic_load(&mqtt->connected) || atomic_load(&mqtt->ending) ||
		atomic_load(&mqtt->up_ns) > long_ago)
		return false;
	bool publishes = atomic_load(&mqtt->unsent) > 0 && atomic_load(&mqtt->moved_ns) < long_ago;
	if (!publishes && !mqtt_ack_stalled_since(mqtt->ack, long_ago))
		return false;
	log_warning("the connection to the broker %s moves nothing for %d s, making it anew",
		mqtt->server, MQTT_STALL_S);
	mqtt_renew(mqtt);
	return true;
}

void mqtt_renew(struct mqtt *mqtt)
{
	if (!mqtt->ack)
		return;
	atomic_store(&mqtt->ending, true);
	mqtt_ack_break(mqtt->ack);
}

bool mqtt_connected(const struct mqtt *mqtt)
{
	return atomic_load(&mqtt->connected);
}

bool mqtt_subscribed(const struct mqtt *mqtt)
{
	return mqtt_connected(mqtt) && atomic_load(&mqtt->granted) >= mqtt->filters;
}

uint64_t mqtt_connects(const struct mqtt *mqtt)
{
	return atomic_load(&mqtt->connects);
}

size_t mqtt_unsent(const struct mqtt *mqtt)
{
	return atomic_load(&mqtt->unsent);
}

void mqtt_trouble(const struct mqtt *mqtt, char *out, size_t size)
{
	struct mqtt *m = (struct mqtt *)mqtt; /* only its lock changes */

	pthread_mutex_lock(&m->lock);
	snprintf(out, size, "%s", m->trouble);
	pthread_mutex_unlock(&m->lock);
}
