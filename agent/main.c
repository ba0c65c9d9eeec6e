/* isolde-agent: parts are made bottom up, run until a signal, and are taken down in reverse. */
#include "agent/checkpointer.h"
#include "agent/config.h"
#include "agent/health.h"
#include "agent/healthcheck.h"
#include "agent/http.h"
#include "agent/notify.h"
#include "agent/outbox.h"
#include "agent/pipeline.h"
#include "agent/reload.h"
#include "agent/requests.h"
#include "agent/reserve.h"
#include "agent/sandbox.h"
#include "agent/topic.h"
#include "agent/worker.h"
#include "common/log.h"
#include "common/number.h"
#include "common/text.h"
#include "common/timeutil.h"
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum {
	SETS_MAX = 64,
	REQUEST_BYTES = 1048576, /* room for the retained alarms of a thousand machines */
	MQTT_STOP_MS = 1500,
	STARTING_MS = 5, /* between two looks, until ready; then */
	IDLE_MS = 500,
	READY_WAIT_MS =
		10000, /* then ready all the same: a broker that is away is no failed start */
	INFO_MAX = 32768,
};

/* ---- command line ---- */

enum mode { MODE_RUN, MODE_CHECK, MODE_PRINT, MODE_HEALTHCHECK };

struct arguments {
	enum mode mode;
	const char *config;
	const char *sets[SETS_MAX];
	size_t set_count;
};

enum { KEY_CHECK = 256, KEY_PRINT, KEY_HEALTHCHECK };

static const struct argp_option options[] = {
	{ "config", 'c', "FILE", 0, "Read settings from FILE; without it no file is read", 0 },
	{ "set", 's', "SECTION.NAME=VALUE", 0, "Set one setting; beats file and environment", 0 },
	{ "check-config", KEY_CHECK, NULL, 0,
		"Check the settings and exit: 0 if they are valid, else 78", 1 },
	{ "print-config", KEY_PRINT, NULL, 0,
		"Print the settings in force and where each comes from, secrets hidden, and exit",
		1 },
	{ "healthcheck", KEY_HEALTHCHECK, NULL, 0,
		"Ask a running agent's health port and exit: 0 if it is healthy, else 69", 1 },
	{ 0 },
};

static error_t parse_option(int key, char *value, struct argp_state *state)
{
	struct arguments *arguments = state->input;

	switch (key) {
	case 'c':
		arguments->config = value;
		return 0;
	case 's':
		if (arguments->set_count == SETS_MAX)
			argp_error(state, "more than %d --set", SETS_MAX);
		arguments->sets[arguments->set_count++] = value;
		return 0;
	case KEY_CHECK:
		arguments->mode = MODE_CHECK;
		return 0;
	case KEY_PRINT:
		arguments->mode = MODE_PRINT;
		return 0;
	case KEY_HEALTHCHECK:
		arguments->mode = MODE_HEALTHCHECK;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected word \"%s\"", value);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = { options, parse_option, NULL,
	"Scores every reading that arrives by MQTT with an isolation forest, keeps history in SQLite,"
	" publishes verdicts and alarms, and serves HTTP."
	"\vEvery setting is documented in config/agent.conf. Default < file < environment"
	" (ISOLDE_SECTION_NAME) < --set.",
	NULL, NULL, NULL };

const char *argp_program_version = "isolde-agent " ISOLDE_VERSION;

/* ---- the running agent ---- */

struct agent {
	const struct config *config;
	char filter[QUEUE_TOPIC_MAX], request_filter[128], request_prefix[128];
	char status_topic[128], info_topic[128];
	struct metrics *metrics;
	struct model_slot *slot;
	struct model_paths model_paths;
	struct store *store;
	struct checkpointer *checkpointer;
	struct reserve *reserve;
	struct outbox *outbox;
	struct queue *queue, *requests_queue;
	struct mqtt *mqtt;
	struct pipeline *pipeline;
	struct health health;
	struct probe probe;
	bool adopts; /* the history is a new one: retained alarms are taken over */
	struct requests requests;
	struct syncer *syncer;
	struct worker *worker;
	struct http *http;
	struct board *board;
	struct plant *plant;
	struct desk *desk;
	int64_t began_ns;
	bool ready;
	size_t unwoken;         /* Paho's: messages that the worker has not been woken for */
	uint64_t info_connects; /* of the connection the info was published on */
	char info_model[MODEL_ID_SIZE];
	size_t info_own;
};

/* Counted before the worker can see it, so that the ledger balances at every moment. */
static void take_reading(struct agent *agent, const struct message *message)
{
	struct ledger change = { .received = 0 };
	size_t *dropped = &change.dropped[DROP_QUEUE];

	if (!queue_admit(agent->queue, message, dropped))
		metrics_add(agent->metrics, METRIC_REFUSED, 1);
	else {
		metrics_received(agent->metrics);
		*dropped += !queue_push(agent->queue, message);
	}
	if (change.dropped[DROP_QUEUE] > 0)
		metrics_settle(agent->metrics, &change);
}

/* What it says of itself: messages it dropped, a number as text. */
static void note_broker(struct agent *agent, const struct mqtt_message *in)
{
	char text[24];
	long long dropped;

	snprintf(text, sizeof(text), "%.*s", in->len < sizeof(text) ? (int)in->len : 0,
		(const char *)in->payload);
	if (number_parse_integer(text, 0, INT64_MAX, &dropped))
		metrics_set(agent->metrics, METRIC_BROKER_DROPPED, dropped);
}

/* The worker is woken for many messages at once where they come so, but need not wait for all. */
enum { WAKE_FOR = 16 };

static void receive(struct agent *agent, const struct mqtt_message *in)
{
	struct message message = {
		.received_ms = time_now_ms(),
		.received_ns = time_monotonic_ns(),
		.receipt = in->receipt,
		.qos = in->qos,
		.retained = in->retained,
		.topic_len = in->topic_len,
		.len = in->len,
		.full_len = in->len,
		.topic = in->topic,
		.payload = in->payload,
	};

	/* These come at QoS 0, and need no acknowledgement. */
	if (strncmp(in->topic, "$SYS/", 5) == 0) {
		note_broker(agent, in);
		return;
	}
	bool alarm = strncmp(in->topic, "alerts/", 7) == 0;
	if (alarm && (!agent->adopts || !in->retained))
		return; /* our own */
	if (!alarm &&
		strncmp(in->topic, agent->request_prefix, strlen(agent->request_prefix)) != 0) {
		take_reading(agent, &message);
		return;
	}
	size_t dropped; /* those go unanswered */
	if (queue_admit(agent->requests_queue, &message, &dropped))
		(void)queue_push(agent->requests_queue, &message);
	queue_nudge(agent->queue);
}

/* Paho's thread: copies and returns. */
static void on_message(void *context, const struct mqtt_message *in)
{
	struct agent *agent = context;

	receive(agent, in);
	if (in->more && ++agent->unwoken < WAKE_FOR)
		return;
	agent->unwoken = 0;
	queue_wake(agent->queue);
}

static bool on_publish(
	void *context, const char *topic, const char *payload, size_t len, int qos, bool retain)
{
	struct agent *agent = context;
	enum status st = qos == 0 && !retain
		? mqtt_publish_soon(agent->mqtt, topic, payload, len)
		: mqtt_publish(agent->mqtt, topic, payload, len, qos, retain, MQTT_UNTOLD);

	return st == STATUS_OK;
}

static void on_flush(void *context)
{
	struct agent *agent = context;
	mqtt_flush(agent->mqtt);
}

static bool on_send(void *context, const char *topic, const char *payload, size_t len, bool retain,
	uint64_t token)
{
	struct agent *agent = context;
	return mqtt_publish(agent->mqtt, topic, payload, len, 1, retain, token) == STATUS_OK;
}

/* Paho's thread. The outbox is made before the connection is. */
static void on_published(void *context, uint64_t token, bool delivered)
{
	struct agent *agent = context;
	outbox_ended(agent->outbox, token, delivered);
}

static void wake_worker(void *context)
{
	queue_nudge(context);
}

static enum status make_mqtt(struct agent *agent, struct why *why)
{
	const struct mqtt_config *config = &agent->config->mqtt;
	struct topic_template topic;
	enum status st = topic_parse(config->topic, &topic, why);

	if (st != STATUS_OK)
		return st;
	topic_filter(&topic, agent->filter, sizeof(agent->filter));
	snprintf(agent->request_prefix, sizeof(agent->request_prefix), "isolde/%.64s/request/",
		config->client_id);
	snprintf(agent->request_filter, sizeof(agent->request_filter), "%.100s+",
		agent->request_prefix);
	snprintf(agent->status_topic, sizeof(agent->status_topic), "isolde/%.64s/status",
		config->client_id);
	snprintf(agent->info_topic, sizeof(agent->info_topic), "isolde/%.64s/info",
		config->client_id);
	const char *filters[] = { agent->filter, agent->request_filter };
	const char *optional[] = { "$SYS/broker/publish/messages/dropped", "alerts/+/alarm" };
	struct mqtt_options mqtt = {
		.url = config->url,
		.client_id = config->client_id,
		.username = config->username,
		.password = config->password,
		.ca_file = config->ca_file,
		.cert_file = config->cert_file,
		.key_file = config->key_file,
		.keepalive_s = (int)config->keepalive_s,
		.clean_session = false,
		.acknowledge_later = true,
		.filters = filters,
		.filter_count = 2,
		.optional_filters = optional,
		.optional_count = 2,
		.will_topic = agent->status_topic,
		.will_payload = "{\"state\":\"offline\"}",
		.birth_payload = "{\"state\":\"online\"}",
		.goodbye_payload = "{\"state\":\"offline\"}",
		.on_message = on_message,
		.on_published = on_published,
		.context = agent,
	};
	return mqtt_create(&mqtt, &agent->mqtt, why);
}

static enum status make_pipeline(struct agent *agent, struct why *why)
{
	const struct config *config = agent->config;
	struct pipeline_options pipeline = {
		.store = agent->store,
		.metrics = agent->metrics,
		.publish = on_publish,
		.flush = on_flush,
		.context = agent,
		.board = agent->board,
		.plant = agent->plant,
		.reserve = agent->reserve,
		.outbox = agent->outbox,
		.topic = config->mqtt.topic,
		.table_bytes = (size_t)config->model.table_bytes,
		.reading = config->reading,
		.alarm = config->alarm,
		.alerts = config->alerts,
	};
	return pipeline_create(&pipeline, &agent->pipeline, why);
}

/* With durability strict. */
static enum status make_syncer(struct agent *agent, struct why *why)
{
	const struct store_config *config = &agent->config->store;
	struct syncer_options syncer = { .path = config->path,
		.mqtt = agent->mqtt,
		.metrics = agent->metrics,
		.health = &agent->health,
		.hold_ms = config->hold_s * 1000 };

	return config->durability == DURABILITY_STRICT ? syncer_start(&syncer, &agent->syncer, why)
						       : STATUS_OK;
}

static enum status make_worker(struct agent *agent, struct why *why)
{
	agent->requests = (struct requests){
		.client_id = agent->config->mqtt.client_id,
		.model_paths = &agent->model_paths,
		.slot = agent->slot,
		.metrics = agent->metrics,
		.mqtt = agent->mqtt,
		.health = &agent->health,
		.pipeline = agent->pipeline,
		.probe = &agent->probe,
		.shelve_max_h = agent->config->alarm.shelve_max_h,
	};
	struct worker_options worker = {
		.queue = agent->queue,
		.pipeline = agent->pipeline,
		.slot = agent->slot,
		.mqtt = agent->mqtt,
		.health = &agent->health,
		.batch = (size_t)agent->config->store.batch,
		.store = agent->store,
		.retention = { .keep_ms = agent->config->store.keep_days * INT64_C(86400000),
			.max_bytes = agent->config->store.max_mb * INT64_C(1048576) },
		.syncer = agent->syncer,
		.hold_ms = agent->config->store.hold_s * 1000,
		.probe = &agent->probe,
		.desk = agent->desk,
		.requests = agent->requests_queue,
		.on_request = requests_answer,
		.context = &agent->requests,
	};
	return worker_start(&worker, &agent->worker, why);
}

static enum status make_http(struct agent *agent, struct why *why)
{
	const struct config *config = agent->config;
	struct http_options http = {
		.config = &config->http,
		.health_config = &config->health,
		.store_path = config->store.path,
		.model_paths = &agent->model_paths,
		.slot = agent->slot,
		.metrics = agent->metrics,
		.health = &agent->health,
		.board = agent->board,
		.plant = agent->plant,
		.desk = agent->desk,
		.shelve_max_h = config->alarm.shelve_max_h,
	};
	return http_start(&http, &agent->http, why);
}

static void fill_health(struct agent *agent)
{
	struct health *health = &agent->health;

	health->mqtt = agent->mqtt;
	agent->probe.client_id = agent->config->mqtt.client_id;
	health->probe = &agent->probe;
	health->slot = agent->slot;
	health->metrics = agent->metrics;
	health->store_path = agent->config->store.path;
	health->reserve_bytes = agent->config->store.reserve_mb * 1048576;
	health->balanced = agent->config->store.durability == DURABILITY_BALANCED;
	health->grace_ms = agent->config->mqtt.grace_s * 1000;
	health->started_ms = time_now_ms();
	atomic_store(&health->beat_ns, time_monotonic_ns());
}

/* An agent without a model keeps history and waits for one. */
static void load_first_model(struct agent *agent)
{
	struct why why;

	if (model_slot_load(agent->slot, &agent->model_paths, &why) != STATUS_OK) {
		log_error("no model, readings are stored unscored: %s", why.text);
		return;
	}
	const struct models *models = model_slot_hold(agent->slot);
	const struct model *model = models->usual;
	log_info("model loaded: id=%s detector=%s features=%zu trees=%zu threshold=%g", model->id,
		detector_name(model->detector.kind), model->schema.count,
		detector_trees(&model->detector), model->threshold);
	if (models_own(models) > 0)
		log_info("machines with a model of their own: %zu", models_own(models));
	model_slot_release(agent->slot, models);
	malloc_trim(0); /* parsing took many times what the model keeps */
}

/* What dashboards and people want to know of an agent: version, model, settings. */
static void publish_info(struct agent *agent)
{
	uint64_t connects = mqtt_connects(agent->mqtt);
	const struct models *models = model_slot_hold(agent->slot);
	const struct model *model = models->usual;
	const char *id = model ? model->id : "";
	size_t own = models_own(models);

	if (mqtt_connected(agent->mqtt) &&
		(connects != agent->info_connects || strcmp(id, agent->info_model) != 0 ||
			own != agent->info_own)) {
		static char body[INFO_MAX], settings[INFO_MAX / 2]; /* main thread only */
		struct text text = text_start(body, sizeof(body));
		text_add(&text, "{\"version\":\"" ISOLDE_VERSION "\",\"model\":");
		if (model) {
			text_add(&text, "{\"id\":");
			text_add_json(&text, model->id);
			text_add(&text, ",\"detector\":");
			text_add_json(&text, detector_name(model->detector.kind));
			text_add(&text, ",\"threshold\":");
			text_add_number(&text, model->threshold);
			text_add(&text, ",\"trained\":");
			text_add_time(&text, model->trained_ms);
			text_add(&text, ",\"machines_with_own\":");
			text_add_integer(&text, (int64_t)own);
			text_add(&text, "}");
		} else {
			text_add(&text, "null");
		}
		text_add(&text, ",\"settings\":");
		text_add(&text,
			config_json(agent->config, settings, sizeof(settings)) ? settings : "null");
		text_add(&text, "}");
		if (mqtt_publish(agent->mqtt, agent->info_topic, body, text_end(&text), 1, true,
			    MQTT_UNTOLD) == STATUS_OK) {
			agent->info_connects = connects;
			agent->info_own = own;
			snprintf(agent->info_model, sizeof(agent->info_model), "%s", id);
		}
	}
	model_slot_release(agent->slot, models);
}

static void note_ready(struct agent *agent)
{
	int64_t age_ms = (time_monotonic_ns() - agent->began_ns) / 1000000;

	if (agent->ready)
		return;
	if (mqtt_subscribed(agent->mqtt))
		log_info("ready: subscribed to %s after %lld ms", agent->filter, (long long)age_ms);
	else if (age_ms >= READY_WAIT_MS)
		log_warning("the broker does not answer yet, carrying on without it");
	else
		return;
	agent->ready = true;
	notify_send("READY=1\nSTATUS=running");
}

static void reload(struct agent *agent)
{
	struct why why; /* logged where it is noticed */
	char state[80], id[MODEL_ID_SIZE];

	snprintf(state, sizeof(state), "RELOADING=1\nMONOTONIC_USEC=%lld",
		(long long)(time_monotonic_ns() / 1000));
	notify_send(state);
	if (reload_model(agent->slot, &agent->model_paths, agent->metrics, "SIGHUP", id, &why) !=
		STATUS_OK)
		notify_send("STATUS=the model was not reloaded, the old one stays");
	notify_send("READY=1");
}

static void wait_for_signal(const sigset_t *signals, int timeout_ms, int *signal_out)
{
	struct timespec timeout = { .tv_sec = timeout_ms / 1000,
		.tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
	*signal_out = sigtimedwait(signals, NULL, &timeout);
}

/* Until SIGTERM or SIGINT. */
static void serve(struct agent *agent, const sigset_t *signals)
{
	int64_t watchdog_ms = notify_watchdog_ms(), fed_ns = 0;

	for (;;) {
		int signal_seen;
		note_ready(agent);
		publish_info(agent);
		int64_t now = time_monotonic_ns();
		if (watchdog_ms > 0 && now - fed_ns >= watchdog_ms * 1000000 &&
			health_live(&agent->health)) {
			notify_send("WATCHDOG=1");
			fed_ns = now;
		}
		wait_for_signal(signals, agent->ready ? IDLE_MS : STARTING_MS, &signal_seen);
		if (signal_seen == SIGHUP)
			reload(agent);
		else if (signal_seen == SIGTERM || signal_seen == SIGINT)
			return;
	}
}

/* What comes from now on is not taken, and not acknowledged: the broker keeps it in our session.
 * What is in hand is committed, acknowledged and published; then we say goodbye. */
static void stop(struct agent *agent)
{
	notify_send("STOPPING=1");
	if (agent->queue)
		queue_close(agent->queue);
	worker_join(agent->worker);
	syncer_stop(agent->syncer);
	mqtt_stop(agent->mqtt, MQTT_STOP_MS);
	if (agent->desk)
		desk_close(agent->desk); /* there may never have been a worker */
	http_stop(agent->http);
	pipeline_destroy(agent->pipeline);
	mqtt_destroy(agent->mqtt);
	queue_destroy(agent->requests_queue);
	queue_destroy(agent->queue);
	desk_destroy(agent->desk);
	board_destroy(agent->board);
	plant_destroy(agent->plant);
	outbox_destroy(agent->outbox);
	reserve_close(agent->reserve);
	checkpointer_stop(agent->checkpointer);
	store_close(agent->store);
	model_slot_destroy(agent->slot);
	metrics_destroy(agent->metrics);
}

/* A damaged history is put aside. With a disk that is full, fails or can only be read the agent
 * does without, until it can: restarting would help nobody. */
static enum status open_store(struct agent *agent, struct why *why)
{
	const char *path = agent->config->store.path;
	enum status st = store_open(path, STORE_WRITE, &agent->store, why);
	bool damaged = st == STATUS_CORRUPT;

	if (!damaged && st != STATUS_READ_ONLY && st != STATUS_FULL && st != STATUS_IO)
		return st;
	log_error("%s%s", why->text,
		damaged ? "; it is put aside, and a new history begun"
			: "; readings are scored and raise alarms, but are not stored");
	atomic_store(&agent->health.store_failing, !damaged);
	atomic_store(&agent->health.store_read_only, st == STATUS_READ_ONLY);
	st = store_open_unready(path, &agent->store, why);
	if (st == STATUS_OK && damaged) {
		st = store_reopen(agent->store, true, why);
		metrics_add(agent->metrics, METRIC_STORE_PUT_ASIDE, 1);
	}
	return st;
}

static void open_reserve(struct agent *agent)
{
	const struct store_config *config = &agent->config->store;
	struct why why;

	if (reserve_open(config->path, config->durability == DURABILITY_STRICT, &agent->reserve,
		    &why) != STATUS_OK)
		log_warning("no reserve beside the history: %s; what is counted while the history "
			    "cannot be written would not survive a kill",
			why.text);
}

static enum status make_store(struct agent *agent, struct why *why)
{
	const struct store_config *config = &agent->config->store;
	bool strict = config->durability == DURABILITY_STRICT;
	enum status st;

	if ((st = open_store(agent, why)) ||
		(st = store_set_durability(
			 agent->store, strict ? DURABILITY_LATER : config->durability, why)) ||
		(st = store_leave_checkpoints(agent->store, why)) ||
		(st = store_stop_at(
			 agent->store, config->reserve_mb * INT64_C(1048576) / 4, why)) ||
		(st = checkpointer_start(
			 config->path, agent->metrics, strict, &agent->checkpointer, why)))
		return st;
	open_reserve(agent);
	return outbox_create(agent->store, (size_t)agent->config->alerts.outbox_max, on_send, agent,
		&agent->outbox, why);
}

/* Before anything from outside is read: the store, the model, the broker. */
static enum status confine(const struct process_config *config, struct why *why)
{
	bool applied = false;
	enum status st = config->sandbox ? sandbox_apply(&applied, why) : STATUS_OK;

	if (applied)
		log_info("sandbox: system calls are filtered");
	else if (st == STATUS_OK)
		log_warning("sandbox: none (%s), carrying on without",
			config->sandbox ? "this kernel or build has none" : "process.sandbox = no");
	return st;
}

static enum status start(struct agent *agent, struct why *why)
{
	const struct config *config = agent->config;
	enum status st;

	if ((st = metrics_create(&agent->metrics)) || (st = model_slot_create(&agent->slot)) ||
		(st = queue_create((size_t)config->reading.queue_kb * 1024, &agent->queue)) ||
		(st = queue_create(REQUEST_BYTES, &agent->requests_queue)) ||
		(st = board_create(&agent->board)) || (st = plant_create(&agent->plant)) ||
		(st = desk_create(wake_worker, agent->queue, &agent->desk)))
		return fail(why, st, "no memory to start");
	agent->model_paths = (struct model_paths){ config->model.path, config->model.machines };
	if ((st = make_mqtt(agent, why)))
		return st;
	fill_health(agent);
	/* The ports first: a taken one is found before anything else moves. */
	if ((st = make_http(agent, why)) || (st = confine(&config->process, why)) ||
		(st = make_store(agent, why)))
		return st;
	load_first_model(agent);
	if ((st = make_pipeline(agent, why)) || (st = make_syncer(agent, why)) ||
		(st = make_worker(agent, why)))
		return st;
	struct ledger ledger;
	metrics_ledger(agent->metrics, &ledger);
	agent->adopts =
		ledger.stored == 0 || metrics_get(agent->metrics, METRIC_STORE_PUT_ASIDE) > 0;
	return mqtt_start(agent->mqtt, why);
}

static enum status run(const struct config *config, struct why *why)
{
	static struct agent agent; /* large, and there is one */
	sigset_t signals;

	if (config->process.sandbox)
		sandbox_hide();
	agent.config = config;
	agent.began_ns = time_monotonic_ns();
	/* Blocked before the first thread, so that only serve() sees them. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);

	log_info("isolde-agent " ISOLDE_VERSION " starts: broker=%s topic=%s store=%s model=%s",
		config->mqtt.url, config->mqtt.topic, config->store.path, config->model.path);
	enum status st = start(&agent, why);
	if (st == STATUS_OK) {
		serve(&agent, &signals);
		log_info("stopping: draining %zu messages", queue_length(agent.queue));
		sigprocmask(SIG_UNBLOCK, &signals, NULL); /* a second signal ends it at once */
	}
	stop(&agent);
	agent.config = NULL; /* the caller's, as are the paths */
	agent.model_paths = (struct model_paths){ NULL, NULL };
	if (st == STATUS_OK)
		log_info("stopped");
	return st;
}

/* A library that opens a file must never get descriptor 0, 1 or 2. */
static void guard_descriptors(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
			abort();
	}
}

int main(int argc, char **argv)
{
	struct arguments arguments = { .mode = MODE_RUN };
	struct config config = { .origin = NULL };
	struct why why = { "" };

	guard_descriptors();
	umask(027);
	argp_err_exit_status = 64;
	argp_parse(&parser, argc, argv, 0, NULL, &arguments);
	enum status st = config_load(
		arguments.config, environ, arguments.sets, arguments.set_count, &config, &why);
	if (st == STATUS_OK) {
		log_setup(config.log.level, config.log.format);
		switch (arguments.mode) {
		case MODE_CHECK:
			puts("the settings are valid");
			break;
		case MODE_PRINT:
			config_print(&config, stdout);
			break;
		case MODE_HEALTHCHECK:
			st = healthcheck(config.health.listen, &why);
			break;
		case MODE_RUN:
			st = run(&config, &why);
			break;
		}
	}
	if (st != STATUS_OK)
		log_error("%s", why.text);
	config_finish(&config);
	return status_exit_code(st);
}
