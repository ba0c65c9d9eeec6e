#include "agent/pipeline.h"
#include "common/rng.h"
#include "common/store_alarm.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct why why;
static const int64_t noon = 1795435200000;
static struct model *model; /* temperature, humidity, sound around 60, 35, 75 */

#define NORMAL "\"temperature\":60.5,\"humidity\":35,\"sound\":74.5"
#define STRANGE "\"temperature\":120,\"humidity\":5,\"sound\":140"

static bool make_model(void)
{
	enum { ROWS = 500 };
	static const double mean[] = { 60, 35, 75 };
	static const char *const names[] = { "temperature", "humidity", "sound" };
	static double value[ROWS * 3];
	const struct train_options options = { .kind = DETECTOR_FOREST,
		.trees = 50,
		.sample_size = 128,
		.seed = 42,
		.quantile = 0.99 };
	struct schema schema = { .count = 0 };
	struct rng rng;

	rng_seed(&rng, 5);
	for (size_t i = 0; i < ROWS * 3; i++)
		value[i] = mean[i % 3] + 10 * rng_normal(&rng);
	for (size_t i = 0; i < 3; i++) {
		if (schema_add(&schema, names[i], "", -INFINITY, INFINITY, NULL) != STATUS_OK)
			return false;
	}
	return train_model(&schema, value, ROWS, &options, &model, NULL) == STATUS_OK &&
		model_save(model, unit_path("model.json"), NULL) == STATUS_OK;
}

/* ---- a pipeline with a store of its own, and what it publishes ---- */

enum { PUBLISHED_MAX = 400, BATCH_MAX = 400 };

struct published {
	char topic[128];
	char text[1024];
	int qos;
	bool retain;
	size_t rows;          /* in the store, as others see it at that moment */
	size_t len, verdicts; /* of the whole text, which `text` may cut */
};

struct rig {
	char path[300];
	struct store *store, *reader;
	struct metrics *metrics;
	struct pipeline_options options;
	struct pipeline *pipeline;
	bool away; /* the broker is */
	size_t published;
	struct published publish[PUBLISHED_MAX];
	/* the batch that is put together */
	size_t messages;
	struct message message[BATCH_MAX];
	char topic[BATCH_MAX][256];
	char payload[BATCH_MAX][512];
	int64_t now_ms;
};

static bool count_row(void *context, int64_t id, const struct verdict *v, const struct schema *s)
{
	(void)id;
	(void)v;
	(void)s;
	++*(size_t *)context;
	return true;
}

static size_t rows_of(struct rig *rig, const char *machine)
{
	struct store_query query = {
		.machine = machine, .to_ms = INT64_MAX, .limit = STORE_LIMIT_MAX
	};
	size_t rows = 0;

	CU_ASSERT_EQUAL_FATAL(store_find(rig->reader, &query, count_row, &rows, &why), STATUS_OK);
	return rows;
}

static bool take(
	void *context, const char *topic, const char *payload, size_t len, int qos, bool retain)
{
	struct rig *rig = context;
	struct published *p = &rig->publish[rig->published];

	if (rig->away)
		return false;
	CU_ASSERT_TRUE_FATAL(rig->published < PUBLISHED_MAX);
	CU_ASSERT_EQUAL(strlen(payload), len);
	snprintf(p->topic, sizeof(p->topic), "%s", topic);
	snprintf(p->text, sizeof(p->text), "%s", payload);
	p->len = len;
	p->verdicts = 0;
	for (const char *at = payload; (at = strstr(at, "{\"machine\":")); at++)
		p->verdicts++;
	p->qos = qos;
	p->retain = retain;
	p->rows = rows_of(rig, NULL);
	rig->published++;
	return true;
}

/* The agent's start; what the store holds is taken over. */
static void start(struct rig *rig)
{
	CU_ASSERT_EQUAL_FATAL(store_open(rig->path, STORE_WRITE, &rig->store, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(store_open(rig->path, STORE_READ, &rig->reader, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(metrics_create(&rig->metrics), STATUS_OK);
	rig->options.store = rig->store;
	rig->options.metrics = rig->metrics;
	enum status st = pipeline_create(&rig->options, &rig->pipeline, &why);
	if (st != STATUS_OK)
		fprintf(stderr, "\n%s\n", why.text);
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
}

static void stop(struct rig *rig)
{
	pipeline_destroy(rig->pipeline);
	metrics_destroy(rig->metrics);
	store_close(rig->reader);
	store_close(rig->store);
	rig->published = 0;
}

static struct rig *new_rig(void)
{
	static int number;
	struct rig *rig = calloc(1, sizeof(*rig));
	CU_ASSERT_PTR_NOT_NULL_FATAL(rig);

	snprintf(rig->path, sizeof(rig->path), "%s/rig-%d.db", unit_folder(), number++);
	rig->options = (struct pipeline_options){ .publish = take,
		.context = rig,
		.topic = "factory/{machine}/reading",
		.reading = { .late_s = 60, .skew_s = 300, .machines = 100 },
		.alarm = { .raise_count = 3,
			.raise_window = 5,
			.clear_count = 5,
			.fault_count = 10,
			.latch = true,
			.silent_s = 30 },
		.alerts = { .verdicts = VERDICTS_ALL, .verdict_qos = 0 } };
	rig->now_ms = noon;
	start(rig);
	return rig;
}

static void end(struct rig *rig)
{
	stop(rig);
	free(rig);
}

static void restart(struct rig *rig)
{
	stop(rig);
	start(rig);
}

/* Puts a message into the batch. */
static struct message *message(struct rig *rig, const char *topic, const char *payload)
{
	size_t i = rig->messages++;
	struct message *m = &rig->message[i];
	CU_ASSERT_TRUE_FATAL(i < BATCH_MAX);

	snprintf(rig->topic[i], sizeof(rig->topic[i]), "%s", topic);
	snprintf(rig->payload[i], sizeof(rig->payload[i]), "%s", payload);
	*m = (struct message){ .received_ms = rig->now_ms,
		.qos = 1,
		.topic_len = strlen(topic),
		.len = strlen(rig->payload[i]),
		.full_len = strlen(rig->payload[i]),
		.topic = rig->topic[i],
		.payload = rig->payload[i] };
	return m;
}

/* A reading `second` seconds after noon, which is also its seq. */
static void reading(struct rig *rig, const char *machine, int second, const char *values)
{
	char topic[128], payload[512];
	long long at_ms = noon + second * 1000LL;

	snprintf(topic, sizeof(topic), "factory/%s/reading", machine);
	snprintf(payload, sizeof(payload), "{\"timestamp\":%lld,\"seq\":%d,%s}", at_ms,
		second < 0 ? 1000000 - second : second, values);
	rig->now_ms = at_ms + 3;
	message(rig, topic, payload);
}

static enum status run_as(struct rig *rig, const struct model *with, enum pipeline_mode mode)
{
	why.text[0] = '\0';
	struct batch batch = { .messages = rig->message, .n = rig->messages };
	const struct models models = { .usual = with };
	enum status st = pipeline_run(rig->pipeline, &models, &batch, mode, &why);
	if (st == STATUS_OK)
		rig->messages = 0; /* else it is there to be tried again */
	return st;
}

static enum status run_with(struct rig *rig, const struct model *with)
{
	for (size_t i = 0; i < rig->messages; i++)
		metrics_received(rig->metrics);
	return run_as(rig, with, PIPELINE_STORE);
}

static void run(struct rig *rig)
{
	enum status st = run_with(rig, model);
	if (st != STATUS_OK)
		fprintf(stderr, "\n%s\n", why.text);
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
}

/* Readings of press-1, a second apart from `second` on: 'n' normal, 'a' anomalous. */
static int readings(struct rig *rig, int second, const char *kinds)
{
	for (; *kinds; kinds++)
		reading(rig, "press-1", second++, *kinds == 'n' ? NORMAL : STRANGE);
	return second;
}

static struct ledger ledger_of(struct rig *rig)
{
	struct ledger l;

	metrics_ledger(rig->metrics, &l);
	uint64_t sum = l.stored + l.duplicate + l.pending;
	for (int i = 0; i < REJECT_COUNT; i++)
		sum += l.rejected[i];
	for (int i = 0; i < DROP_COUNT; i++)
		sum += l.dropped[i];
	CU_ASSERT_EQUAL(l.received, sum);
	CU_ASSERT_EQUAL(l.pending, rig->messages);
	CU_ASSERT_EQUAL(l.rejected[REJECT_NONE], 0);
	return l;
}

/* The alarms published so far: a letter each for unacknowledged and returned. */
static const char *alarms(const struct rig *rig)
{
	static char out[PUBLISHED_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < rig->published; i++) {
		const struct published *p = &rig->publish[i];
		if (!strstr(p->topic, "/alarm"))
			continue;
		CU_ASSERT_EQUAL(p->qos, 1);
		CU_ASSERT_TRUE(p->retain);
		out[n++] = strstr(p->text, "\"state\":\"unacknowledged\"") ? 'u'
			: strstr(p->text, "\"state\":\"returned\"")        ? 'n'
									   : '?';
	}
	out[n] = '\0';
	return out;
}

static const struct published *last_of(const struct rig *rig, const char *topic)
{
	for (size_t i = rig->published; i-- > 0;) {
		if (strcmp(rig->publish[i].topic, topic) == 0)
			return &rig->publish[i];
	}
	return NULL;
}

/* ---- the straight path ---- */

struct row {
	size_t count;
	struct verdict verdict[8];
	struct schema schema[8];
};

static bool keep_row(void *context, int64_t id, const struct verdict *v, const struct schema *s)
{
	struct row *rows = context;
	(void)id;

	rows->verdict[rows->count] = *v;
	rows->schema[rows->count] = *s;
	return ++rows->count < 8;
}

/* Newest first. */
static struct row read_rows(struct rig *rig, const char *machine)
{
	struct store_query query = { .machine = machine, .to_ms = INT64_MAX, .limit = 8 };
	struct row rows = { .count = 0 };

	CU_ASSERT_EQUAL_FATAL(store_find(rig->reader, &query, keep_row, &rows, &why), STATUS_OK);
	return rows;
}

static void test_batch(void)
{
	struct rig *rig = new_rig();
	static const double strange[] = { 120, 5, 140 };

	reading(rig, "press-1", 1, NORMAL);
	reading(rig, "press-2", 2, STRANGE);
	reading(rig, "press-1", 3, NORMAL ",\"firmware\":\"1.2\"");
	run(rig);
	struct ledger l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.received, 3);
	CU_ASSERT_EQUAL(l.stored, 3);
	struct row rows = read_rows(rig, NULL);
	CU_ASSERT_EQUAL_FATAL(rows.count, 3);
	CU_ASSERT_EQUAL_FATAL(rig->published, 3);
	for (size_t i = 0; i < 3; i++) { /* what is published is what is stored */
		char text[VERDICT_TEXT_MAX], topic[128];
		const struct verdict *v = &rows.verdict[2 - i];
		const struct published *p = &rig->publish[i];
		verdict_encode(v, &rows.schema[2 - i], text, sizeof(text));
		snprintf(topic, sizeof(topic), "alerts/%s/verdict", v->reading.machine);
		CU_ASSERT_STRING_EQUAL(p->text, text);
		CU_ASSERT_STRING_EQUAL(p->topic, topic);
		CU_ASSERT_EQUAL(p->qos, 0);
		CU_ASSERT_FALSE(p->retain);
		CU_ASSERT_EQUAL(v->threshold, model->threshold);
		CU_ASSERT_STRING_EQUAL(v->model, model->id);
		CU_ASSERT_EQUAL(v->anomalous, i == 1);
	}
	CU_ASSERT_EQUAL(rows.verdict[1].score, detector_score(&model->detector, strange));
	CU_ASSERT_EQUAL(rows.verdict[1].reading.received_ms, noon + 2003);
	CU_ASSERT_EQUAL(rows.verdict[1].reading.seq, 2);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_VERDICTS_NORMAL), 2);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_VERDICTS_ANOMALY), 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_MACHINES), 2);
	run(rig); /* an empty batch is none */
	CU_ASSERT_EQUAL(ledger_of(rig).received, 3);
	end(rig);
}

static void test_missing(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-1", 1, "\"temperature\":120,\"sound\":null");
	run(rig);
	struct row rows = read_rows(rig, NULL);
	CU_ASSERT_EQUAL_FATAL(rows.count, 1);
	CU_ASSERT_EQUAL(rows.verdict[0].quality, QUALITY_MISSING);
	CU_ASSERT_TRUE(isnan(rows.verdict[0].score));
	CU_ASSERT_TRUE(isnan(rows.verdict[0].reading.value[1]));
	CU_ASSERT_EQUAL(rows.verdict[0].reading.value[0], 120);
	CU_ASSERT_EQUAL_FATAL(rig->published, 1);
	ASSERT_HOLDS(rig->publish[0].text,
		"\"temperature\":120,\"humidity\":null,\"sound\":null,\"anomaly_score\":null,"
		"\"threshold\":null,\"is_anomaly\":null,\"model\":null,\"quality\":\"missing\"}");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_VERDICTS_UNSCORED), 1);
	end(rig);
}

static void test_rejects(void)
{
	static const struct {
		const char *topic, *payload;
		enum reject reject;
	} table[] = {
		{ "factory/press 1/reading", "{" NORMAL "}", REJECT_TOPIC },
		{ "factory//reading", "{" NORMAL "}", REJECT_TOPIC },
		{ "factory/press-1/writing", "{" NORMAL "}", REJECT_TOPIC },
		{ "factory/press-1/reading/x", "{" NORMAL "}", REJECT_TOPIC },
		{ "factory/a/b/reading", "{" NORMAL "}", REJECT_TOPIC },
		{ "factory/reading", "{" NORMAL "}", REJECT_TOPIC },
		{ "", "{" NORMAL "}", REJECT_TOPIC },
		{ "factory/"
		  "0123456789012345678901234567890123456789012345678901234567890123456789/reading",
			"{" NORMAL "}", REJECT_TOPIC },
		{ "factory/press-1/reading", "{" NORMAL, REJECT_JSON },
		{ "factory/press-1/reading", "", REJECT_JSON },
		{ "factory/press-1/reading", "[1]", REJECT_TYPE },
		{ "factory/press-1/reading", "{\"sound\":\"loud\"}", REJECT_TYPE },
		{ "factory/press-1/reading", "{\"sound\":1e999}", REJECT_RANGE },
		{ "factory/press-1/reading", "{\"sound\":1,\"seq\":-1}", REJECT_RANGE },
		{ "factory/press-1/reading", "{\"pressure\":5}", REJECT_EMPTY },
	};
	struct rig *rig = new_rig();
	struct ledger expected = { .received = 0 };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		message(rig, table[i].topic, table[i].payload);
		expected.rejected[table[i].reject]++;
	}
	message(rig, "factory/press-1/reading", "{" NORMAL "}")->retained = true;
	expected.rejected[REJECT_RETAINED] = 1;
	message(rig, "factory/press-1/reading", "{" NORMAL "}")->full_len = PAYLOAD_MAX + 1;
	expected.rejected[REJECT_OVERSIZE] = 1;
	size_t all = rig->messages;
	run(rig);
	struct ledger l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.received, all);
	CU_ASSERT_EQUAL(l.stored, 0);
	for (int i = REJECT_NONE + 1; i < REJECT_COUNT; i++) {
		if (l.rejected[i] != expected.rejected[i])
			fprintf(stderr, "\n%s: %d\n", reject_name((enum reject)i),
				(int)l.rejected[i]);
		CU_ASSERT_EQUAL(l.rejected[i], expected.rejected[i]);
	}
	CU_ASSERT_EQUAL(rig->published, 0);
	CU_ASSERT_EQUAL(rows_of(rig, NULL), 0);
	/* Names that come to nothing take no place among the machines. */
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_MACHINES), 0);

	reading(rig, "press-1", 1, NORMAL); /* and the next one is as good as ever */
	run(rig);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, 1);
	end(rig);
}

static void test_duplicates(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-1", 1, STRANGE);
	reading(rig, "press-1", 1, STRANGE);
	reading(rig, "press-1", 1, NORMAL); /* other values: another reading */
	run(rig);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, 2);
	CU_ASSERT_EQUAL(ledger_of(rig).duplicate, 1);
	CU_ASSERT_EQUAL(rig->published, 2);
	for (int i = 0; i < 5; i++)
		reading(rig, "press-1", 1, STRANGE);
	run(rig);
	CU_ASSERT_EQUAL(ledger_of(rig).duplicate, 6);
	CU_ASSERT_EQUAL(rig->published, 2);
	CU_ASSERT_STRING_EQUAL(alarms(rig), ""); /* one strange reading is one, however often */
	restart(rig);
	reading(rig, "press-1", 1, STRANGE);
	run(rig);
	CU_ASSERT_EQUAL(ledger_of(rig).duplicate, 7);
	CU_ASSERT_EQUAL(rows_of(rig, "press-1"), 2);
	end(rig);
}

/* ---- alarms ---- */

static void test_alarm(void)
{
	struct rig *rig = new_rig();
	int second = 0;

	second = readings(rig, second, "nanan");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	second = readings(rig, second, "a"); /* the third of five */
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_RAISED), 1);
	const struct published *p = last_of(rig, "alerts/press-1/alarm");
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_EQUAL(p->rows, 6); /* its reading was there before it was told */
	ASSERT_HOLDS(p->text, "\"machine\":\"press-1\"");
	ASSERT_HOLDS(p->text, "\"since\":\"2026-11-23T12:00:05.000Z\"");
	ASSERT_HOLDS(p->text, "\"count\":3");
	second = readings(rig, second, "nnnn");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	readings(rig, second, "n");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "un");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	CU_ASSERT_EQUAL(last_of(rig, "alerts/press-1/alarm")->rows, 11);
	end(rig);
}

/* A backlog may hold an alarm's whole life. */
static void test_alarm_in_one_batch(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "aaannnnnaaannnnn");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "unun");
	for (size_t i = 0; i < rig->published; i++) /* alarms follow the commit */
		CU_ASSERT_EQUAL(rig->publish[i].rows, rig->publish[i].qos == 0 ? 0 : 16);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_RAISED), 2);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	end(rig);
}

static void test_alarm_of_one_machine(void)
{
	struct rig *rig = new_rig();

	for (int i = 0; i < 4; i++) {
		char name[32];
		snprintf(name, sizeof(name), "press-%d", i);
		reading(rig, name, i, STRANGE);
	}
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	end(rig);
}

static void test_late(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-1", 1000, NORMAL);
	reading(rig, "press-1", 940, NORMAL); /* just not late */
	for (int i = 0; i < 5; i++)
		reading(rig, "press-1", 935 + i, STRANGE);
	reading(rig, "press-2", 1, NORMAL); /* another machine's clock is its own */
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_LATE), 5);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, 8);
	struct row rows = read_rows(rig, "press-1");
	CU_ASSERT_EQUAL_FATAL(rows.count, 7);
	CU_ASSERT_FALSE(rows.verdict[0].late);
	CU_ASSERT_FALSE(rows.verdict[1].late);
	CU_ASSERT_TRUE(rows.verdict[2].late);
	CU_ASSERT_TRUE(rows.verdict[2].anomalous);
	restart(rig); /* what the newest one is stands in the store */
	for (int i = 0; i < 5; i++)
		reading(rig, "press-1", 900 + i, STRANGE);
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_LATE), 5);
	readings(rig, 1001, "aaa");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	end(rig);
}

static void test_republish(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-9", 0, NORMAL);
	readings(rig, 0, "aaa");
	rig->away = true;
	run(rig);
	CU_ASSERT_EQUAL(rig->published, 0);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_VERDICTS_UNPUBLISHED), 4);
	rig->away = false;
	pipeline_republish(rig->pipeline);
	pipeline_publish_unsent(rig->pipeline);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	CU_ASSERT_EQUAL(rig->published, 1); /* press-9 never had one */
	end(rig);
}

/* An alarm that could not be published is not forgotten. */
static void test_unsent(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "aaa");
	rig->away = true;
	run(rig);
	pipeline_publish_unsent(rig->pipeline);
	CU_ASSERT_EQUAL(rig->published, 0);
	rig->away = false;
	pipeline_publish_unsent(rig->pipeline);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	pipeline_publish_unsent(rig->pipeline);
	CU_ASSERT_EQUAL(rig->published, 1);
	end(rig);
}

/* One reading of the year 2100 must not make all that follow late. */
static void test_future(void)
{
	struct rig *rig = new_rig();

	message(rig, "factory/press-1/reading",
		"{\"timestamp\":\"2100-01-01T00:00:00Z\"," NORMAL "}");
	readings(rig, 0, "aaa");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_LATE), 0);
	restart(rig); /* it is the newest row of the store */
	readings(rig, 10, "nnnnn");
	run(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_LATE), 0);
	end(rig);
}

static void test_restored(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "naaa");
	reading(rig, "press-2", 1, NORMAL);
	reading(rig, "press-2", 1, NORMAL);
	message(rig, "factory/press-1/reading", "{");
	message(rig, "factory/press-1/reading", "{}");
	run(rig);
	char text[1024];
	snprintf(text, sizeof(text), "%s", last_of(rig, "alerts/press-1/alarm")->text);
	restart(rig);
	struct ledger l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.received, 8);
	CU_ASSERT_EQUAL(l.stored, 5);
	CU_ASSERT_EQUAL(l.duplicate, 1);
	CU_ASSERT_EQUAL(l.rejected[REJECT_JSON], 1);
	CU_ASSERT_EQUAL(l.rejected[REJECT_EMPTY], 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 1);
	pipeline_republish(rig->pipeline);
	pipeline_publish_unsent(rig->pipeline);
	CU_ASSERT_EQUAL_FATAL(rig->published, 1);
	CU_ASSERT_STRING_EQUAL(rig->publish[0].text, text);
	readings(rig, 10, "nnnnn");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "un");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	restart(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, 10);
	end(rig);
}

/* ---- no model ---- */

static void test_no_model(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-1", 1, "\"temperature\":60.5,\"state\":\"on\"");
	reading(rig, "pump-1", 2, "\"pressure\":3.5,\"flow\":1e999,\"label\":1");
	reading(rig, "pump-1", 3, "\"state\":\"off\"");
	CU_ASSERT_EQUAL(run_with(rig, NULL), STATUS_OK);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, 2);
	CU_ASSERT_EQUAL(ledger_of(rig).rejected[REJECT_EMPTY], 1);
	struct row rows = read_rows(rig, "pump-1");
	CU_ASSERT_EQUAL_FATAL(rows.count, 1);
	CU_ASSERT_EQUAL_FATAL(rows.schema[0].count, 2);
	CU_ASSERT_STRING_EQUAL(rows.schema[0].feature[1].name, "pressure");
	CU_ASSERT_EQUAL(rows.verdict[0].reading.value[1], 3.5);
	CU_ASSERT_TRUE(isnan(rows.verdict[0].score));
	CU_ASSERT_EQUAL(rows.verdict[0].quality, QUALITY_GOOD);
	CU_ASSERT_STRING_EQUAL(rows.verdict[0].model, "");
	CU_ASSERT_EQUAL_FATAL(rig->published, 2);
	/* A verdict may name features that were heard of later in its batch, as null. */
	ASSERT_HOLDS(rig->publish[0].text,
		"\"temperature\":60.5,\"pressure\":null,\"anomaly_score\":null");
	ASSERT_HOLDS(rig->publish[1].text, "\"is_anomaly\":null,\"model\":null}");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_VERDICTS_UNSCORED), 2);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	end(rig);
}

/* The broker repeats after a crash, in another order: nothing is stored twice. */
static void test_no_model_restart(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-1", 1, "\"temperature\":60.5");
	reading(rig, "pump-1", 2, "\"pressure\":3.5");
	reading(rig, "press-1", 3, "\"temperature\":61,\"sound\":70");
	CU_ASSERT_EQUAL(run_with(rig, NULL), STATUS_OK);
	restart(rig);
	reading(rig, "press-1", 3, "\"temperature\":61,\"sound\":70");
	reading(rig, "pump-1", 2, "\"pressure\":3.5");
	reading(rig, "press-1", 1, "\"temperature\":60.5");
	CU_ASSERT_EQUAL(run_with(rig, NULL), STATUS_OK);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, 3);
	CU_ASSERT_EQUAL(ledger_of(rig).duplicate, 3);
	end(rig);
}

static void test_model_comes_and_goes(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-1", 1, NORMAL ",\"pressure\":3");
	CU_ASSERT_EQUAL(run_with(rig, NULL), STATUS_OK);
	reading(rig, "press-1", 2, NORMAL ",\"pressure\":3");
	run(rig);
	reading(rig, "press-1", 3, NORMAL ",\"pressure\":3");
	CU_ASSERT_EQUAL(run_with(rig, NULL), STATUS_OK);
	struct row rows = read_rows(rig, "press-1");
	CU_ASSERT_EQUAL_FATAL(rows.count, 3);
	CU_ASSERT_EQUAL(rows.schema[0].count, 3); /* of the model last seen */
	CU_ASSERT_TRUE(isnan(rows.verdict[0].score));
	CU_ASSERT_EQUAL(rows.schema[1].count, 3);
	CU_ASSERT_FALSE(isnan(rows.verdict[1].score));
	CU_ASSERT_EQUAL(rows.schema[2].count, 4);
	end(rig);
}

/* ---- limits and settings ---- */

static void test_machines_limit(void)
{
	struct rig *rig = new_rig();

	stop(rig);
	rig->options.reading.machines = 2;
	start(rig);
	reading(rig, "press-1", 1, NORMAL);
	reading(rig, "press-2", 2, NORMAL);
	reading(rig, "press-3", 3, NORMAL);
	reading(rig, "press-1", 4, NORMAL);
	run(rig);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, 3);
	CU_ASSERT_EQUAL(ledger_of(rig).rejected[REJECT_MACHINES], 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_MACHINES), 2);
	CU_ASSERT_EQUAL(rows_of(rig, "press-3"), 0);
	end(rig);
}

/* A limit below the number of stored alarms costs alarms, not the start. */
static void test_limit_below_alarms(void)
{
	struct rig *rig = new_rig();

	for (int i = 0; i < 3; i++) {
		for (int machine = 1; machine <= 3; machine++) {
			char name[32];
			snprintf(name, sizeof(name), "press-%d", machine);
			reading(rig, name, i, STRANGE);
		}
	}
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "uuu");
	stop(rig);
	rig->options.reading.machines = 2;
	start(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 2);
	pipeline_republish(rig->pipeline);
	pipeline_publish_unsent(rig->pipeline);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "uu");
	end(rig);
}

static size_t verdicts_published(enum verdict_feed feed, int qos)
{
	struct rig *rig = new_rig();
	size_t n = 0;

	stop(rig);
	rig->options.alerts.verdicts = feed;
	rig->options.alerts.verdict_qos = qos;
	start(rig);
	readings(rig, 0, "nanaa");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	for (size_t i = 0; i < rig->published; i++) {
		if (!strstr(rig->publish[i].topic, "/verdict"))
			continue;
		CU_ASSERT_EQUAL(rig->publish[i].qos, qos);
		CU_ASSERT_FALSE(rig->publish[i].retain);
		n++;
	}
	end(rig);
	return n;
}

static void test_feeds(void)
{
	CU_ASSERT_EQUAL(verdicts_published(VERDICTS_ALL, 0), 5);
	CU_ASSERT_EQUAL(verdicts_published(VERDICTS_ANOMALIES, 1), 3);
	CU_ASSERT_EQUAL(verdicts_published(VERDICTS_NONE, 0), 0);
}

/* Commits of one, three and four hundred readings: an array each, in order, after the commit; what
 * is too long for the broker in several. */
static void test_batched_feed(void)
{
	struct rig *rig = new_rig();
	size_t verdicts = 0, batches = 0;

	stop(rig);
	rig->options.alerts.verdicts = VERDICTS_BATCH;
	start(rig);
	readings(rig, 0, "n");
	run(rig);
	readings(rig, 1, "nan");
	run(rig);
	CU_ASSERT_EQUAL_FATAL(rig->published, 2);
	for (size_t i = 0; i < rig->published; i++) {
		CU_ASSERT_STRING_EQUAL(rig->publish[i].topic, "alerts/verdicts");
		CU_ASSERT_FALSE(rig->publish[i].retain);
		CU_ASSERT_EQUAL(rig->publish[i].rows, i == 0 ? 0 : 1); /* before its commit */
	}
	CU_ASSERT_EQUAL(rig->publish[0].text[0], '[');
	CU_ASSERT_STRING_EQUAL(rig->publish[0].text + strlen(rig->publish[0].text) - 2, "}]");
	ASSERT_HOLDS(rig->publish[1].text, "[{\"machine\":\"press-1\"");
	ASSERT_HOLDS(rig->publish[1].text, "},{\"machine\":\"press-1\"");

	rig->away = true;
	readings(rig, 10, "nnn");
	run(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_VERDICTS_UNPUBLISHED), 3);
	rig->away = false;
	for (int i = 0; i < BATCH_MAX; i++)
		readings(rig, 100 + i, "n");
	run(rig);
	for (size_t i = 2; i < rig->published; i++) {
		if (strcmp(rig->publish[i].topic, "alerts/verdicts") != 0)
			continue;
		CU_ASSERT_TRUE(rig->publish[i].len < 65000);
		verdicts += rig->publish[i].verdicts;
		batches++;
	}
	CU_ASSERT_EQUAL(verdicts, BATCH_MAX);
	CU_ASSERT_TRUE(batches > 1);
	end(rig);
}

/* ---- a store that fails ---- */

/* Somebody else's transaction that does not end: every attempt fails. */
static sqlite3 *block(struct rig *rig)
{
	sqlite3 *other = NULL;

	CU_ASSERT_EQUAL_FATAL(sqlite3_open(rig->path, &other), SQLITE_OK);
	CU_ASSERT_EQUAL_FATAL(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return other;
}

static void test_tried_again(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-2", 0, NORMAL);
	run(rig);
	readings(rig, 0, "aaannnnnaaa");
	message(rig, "factory/press-1/reading", "{");
	sqlite3 *other = block(rig);
	CU_ASSERT_EQUAL(run_with(rig, model), STATUS_IO);
	ASSERT_HOLDS(why.text, rig->path);
	struct ledger l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.stored, 1);
	CU_ASSERT_EQUAL(l.pending, 12);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_STORE_ERRORS), 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	CU_ASSERT_EQUAL(rig->published, 1);
	sqlite3_close(other);
	CU_ASSERT_EQUAL(run_as(rig, model, PIPELINE_STORE), STATUS_OK);
	l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.stored, 12);
	CU_ASSERT_EQUAL(l.rejected[REJECT_JSON], 1);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "unu");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_RAISED), 2);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 1);
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"count\":3");
	end(rig);
}

/* The commit fails, behind all that was judged, and is tried again: every verdict has been told
 * once. Of QoS 1, after the commit. */
static void test_told_once(void)
{
	struct rig *rig = new_rig();
	struct rlimit usual, tight;
	struct stat wal;
	char path[320];

	signal(SIGXFSZ, SIG_IGN);
	readings(rig, 0, "nan");
	run(rig);
	snprintf(path, sizeof(path), "%s-wal", rig->path);
	CU_ASSERT_EQUAL_FATAL(stat(path, &wal), 0);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &usual), 0);
	tight = usual;
	tight.rlim_cur = (rlim_t)wal.st_size;
	readings(rig, 3, "nnan");
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &tight), 0);
	enum status st = run_with(rig, model);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &usual), 0);
	CU_ASSERT_NOT_EQUAL(st, STATUS_OK);
	CU_ASSERT_EQUAL(rig->published, 7);
	CU_ASSERT_EQUAL(rig->publish[6].rows, 3);
	CU_ASSERT_EQUAL(run_as(rig, model, PIPELINE_STORE), STATUS_OK);
	CU_ASSERT_EQUAL(rig->published, 7);
	readings(rig, 7, "n");
	run(rig);
	CU_ASSERT_EQUAL(rig->published, 8);

	rig->options.alerts.verdict_qos = 1;
	restart(rig);
	readings(rig, 8, "nn");
	run(rig);
	CU_ASSERT_EQUAL_FATAL(rig->published, 2);
	CU_ASSERT_EQUAL(rig->publish[0].rows, 10);
	end(rig);
}

/* The commit fails, behind all that was judged. Two strange readings raise no alarm; if the
 * attempt that failed still counted, the second one would make them four. */
static void test_commit_fails(void)
{
	struct rig *rig = new_rig();
	struct rlimit usual, tight;
	enum status st = STATUS_OK;
	int second = 0;

	signal(SIGXFSZ, SIG_IGN);
	rig->options.alerts.verdicts = VERDICTS_NONE;
	restart(rig);
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &usual), 0);
	tight = usual;
	tight.rlim_cur = 200 * 1024;
	uint64_t stored = 0;
	for (int batch = 0; batch < 1000 && st == STATUS_OK; batch++) {
		second = readings(rig, second, "nnnnn");
		run(rig);
		second = readings(rig, second, "aa");
		CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &tight), 0);
		st = run_with(rig, model);
		CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &usual), 0);
		stored += st == STATUS_OK ? 7 : 5;
	}
	CU_ASSERT_NOT_EQUAL(st, STATUS_OK);
	CU_ASSERT_TRUE(stored > 7);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, stored);
	CU_ASSERT_EQUAL(run_as(rig, model, PIPELINE_STORE), STATUS_OK);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, stored + 2);
	CU_ASSERT_EQUAL(ledger_of(rig).duplicate, 0);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	end(rig);
}

static void test_shed(void)
{
	struct rig *rig = new_rig();

	reading(rig, "press-2", 0, NORMAL);
	run(rig);
	readings(rig, 0, "aaa");
	message(rig, "factory/press-1/reading", "{");
	sqlite3 *other = block(rig);
	CU_ASSERT_NOT_EQUAL(run_with(rig, model), STATUS_OK);
	CU_ASSERT_EQUAL(run_as(rig, model, PIPELINE_SHED), STATUS_OK);
	struct ledger l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.stored, 1);
	CU_ASSERT_EQUAL(l.dropped[DROP_STORE], 3);
	CU_ASSERT_EQUAL(l.rejected[REJECT_JSON], 1);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u"); /* more important than its record */
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 1);
	sqlite3_close(other);

	/* It is back: what was counted meanwhile, and the alarm, are written with the next batch.
	 */
	reading(rig, "press-2", 1, NORMAL);
	run(rig);
	CU_ASSERT_EQUAL(rows_of(rig, "press-1"), 0);
	restart(rig);
	l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.stored, 2);
	CU_ASSERT_EQUAL(l.dropped[DROP_STORE], 3);
	CU_ASSERT_EQUAL(l.rejected[REJECT_JSON], 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 1);
	pipeline_republish(rig->pipeline);
	pipeline_publish_unsent(rig->pipeline);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	end(rig);
}

static bool take_sent(void *context, const char *topic, const char *payload, size_t len,
	bool retain, uint64_t token)
{
	(void)token;
	return take(context, topic, payload, len, 1, retain);
}

/* The broker is away, an alarm waits in the outbox, then the disk is full and the alarm ends: what
 * the broker keeps in the end is the end. */
static void test_older_does_not_come_last(void)
{
	struct rig *rig = new_rig();
	struct outbox *outbox = NULL;

	pipeline_destroy(rig->pipeline);
	CU_ASSERT_EQUAL_FATAL(
		outbox_create(rig->store, 100, take_sent, rig, &outbox, &why), STATUS_OK);
	rig->options.outbox = outbox;
	CU_ASSERT_EQUAL_FATAL(pipeline_create(&rig->options, &rig->pipeline, &why), STATUS_OK);

	rig->away = true;
	int second = readings(rig, 0, "aaa");
	run(rig);
	sqlite3 *other = block(rig);
	readings(rig, second, "nnnnn");
	CU_ASSERT_NOT_EQUAL(run_with(rig, model), STATUS_OK);
	CU_ASSERT_EQUAL(run_as(rig, model, PIPELINE_SHED), STATUS_OK);
	CU_ASSERT_EQUAL(rig->published, 0);
	rig->away = false;
	pipeline_republish(rig->pipeline);
	pipeline_publish_unsent(rig->pipeline);
	pipeline_tick(rig->pipeline, rig->now_ms, true);

	CU_ASSERT_STRING_EQUAL(alarms(rig), "un");
	sqlite3_close(other);
	end(rig);
	outbox_destroy(outbox);
}

static void test_bad_topic(void)
{
	struct rig *rig = new_rig();
	struct pipeline_options options = rig->options;
	struct pipeline *pipeline = NULL;

	options.topic = "factory/+/reading";
	CU_ASSERT_EQUAL(pipeline_create(&options, &pipeline, &why), STATUS_BAD_CONFIG);
	CU_ASSERT_PTR_NULL(pipeline);
	pipeline_destroy(NULL);
	end(rig);
}

/* An alarm that cannot be read is left out, with the others kept. */
static void test_unreadable_alarm(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "aaa");
	run(rig);
	CU_ASSERT_EQUAL_FATAL(store_begin(rig->store, &why), STATUS_OK);
	CU_ASSERT_EQUAL(store_set_alarm(rig->store, "press-7", "{\"id\":", &why), STATUS_OK);
	CU_ASSERT_EQUAL(store_set_counter(rig->store, "of a newer version", 7, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(store_commit(rig->store, &why), STATUS_OK);
	restart(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 1);
	CU_ASSERT_EQUAL(ledger_of(rig).received, 3);
	end(rig);
}

/* Whether the last verdict of a machine calls its reading anomalous; -1: it was told of none. */
static int told(const struct rig *rig, const char *machine, const char *id)
{
	char topic[128], model_id[64];
	int anomalous = -1;

	snprintf(topic, sizeof(topic), "alerts/%s/verdict", machine);
	snprintf(model_id, sizeof(model_id), "\"model\":\"%s\"", id);
	for (size_t i = 0; i < rig->published; i++) {
		if (strcmp(rig->publish[i].topic, topic) != 0)
			continue;
		ASSERT_HOLDS(rig->publish[i].text, model_id);
		anomalous = strstr(rig->publish[i].text, "\"is_anomaly\":1") != NULL;
	}
	return anomalous;
}

/* Machines side by side in a batch, one with a model of its own: threshold and alarm are its own,
 * and no other machine's. */
static void test_own_model(void)
{
	struct rig *rig = new_rig();
	struct model_slot *slot = NULL;
	struct model *own = NULL;
	const struct model_paths paths = { unit_path("model.json"), unit_path("own") };
	struct batch batch = { .messages = rig->message };
	char id[MODEL_ID_SIZE];

	CU_ASSERT_EQUAL_FATAL(mkdir(paths.machines, 0700), 0);
	CU_ASSERT_EQUAL_FATAL(model_load(paths.usual, &own, &why), STATUS_OK);
	own->threshold = own->alarm_threshold = own->alarm_clear = own->smooth_threshold = -0.4;
	own->raise_count = own->raise_window = 1; /* the plant's settings ask for 3 of 5 */
	CU_ASSERT_EQUAL_FATAL(model_save(own, unit_path("own/oven-1.json"), &why), STATUS_OK);
	memcpy(id, own->id, sizeof(id));
	model_destroy(own);
	CU_ASSERT_EQUAL_FATAL(model_slot_create(&slot), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(model_slot_load(slot, &paths, &why), STATUS_OK);
	rig->options.table_bytes = FOREST_TABLE_BYTES;
	restart(rig);

	for (int second = 0; second < 2; second++) {
		reading(rig, "press-1", second, NORMAL);
		reading(rig, "oven-1", second, NORMAL);
		reading(rig, "press-2", second, STRANGE);
	}
	batch.n = rig->messages;
	for (size_t i = 0; i < batch.n; i++)
		metrics_received(rig->metrics);
	const struct models *models = model_slot_hold(slot);
	CU_ASSERT_EQUAL(
		pipeline_run(rig->pipeline, models, &batch, PIPELINE_STORE, &why), STATUS_OK);
	model_slot_release(slot, models);
	rig->messages = 0;
	CU_ASSERT_EQUAL(told(rig, "press-1", model->id), 0);
	CU_ASSERT_EQUAL(told(rig, "oven-1", id), 1);
	CU_ASSERT_EQUAL(told(rig, "press-2", model->id), 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_RAISED), 1); /* the oven's */
	end(rig);
	model_slot_destroy(slot);
}

/* Many machines and batches; the books balance and nothing is lost. */
static void test_many(void)
{
	struct rig *rig = new_rig();
	struct rng rng;
	size_t sent = 0;

	rng_seed(&rng, 8);
	rig->options.alerts.verdicts = VERDICTS_NONE;
	restart(rig);
	for (int batch = 0; batch < 40; batch++) {
		size_t n = 1 + rng_below(&rng, 100);
		for (size_t i = 0; i < n; i++) {
			char name[32];
			snprintf(name, sizeof(name), "m-%d", (int)rng_below(&rng, 90));
			reading(rig, name, (int)rng_below(&rng, 100000),
				rng_below(&rng, 10) ? NORMAL : STRANGE);
			sent++;
		}
		run(rig);
		rig->published = 0;
	}
	struct ledger l = ledger_of(rig);
	CU_ASSERT_EQUAL(l.received, sent);
	CU_ASSERT_EQUAL(l.stored + l.duplicate, sent);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_VERDICTS_NORMAL) +
			metrics_get(rig->metrics, METRIC_VERDICTS_ANOMALY),
		(int64_t)l.stored);
	restart(rig);
	CU_ASSERT_EQUAL(ledger_of(rig).stored, l.stored);
	end(rig);
}

/* ---- between readings, and what people ask ---- */

static struct command_answer ask(struct rig *rig, enum command_verb verb, const char *machine)
{
	struct command command = {
		.verb = verb, .at_ms = rig->now_ms, .until_ms = rig->now_ms + 60000
	};
	struct command_answer answer;

	strcpy(command.operator_name, "anna");
	strcpy(command.reason, "why not");
	strcpy(command.machine, machine);
	pipeline_command(rig->pipeline, &command, &answer);
	return answer;
}

static bool join_event(void *context, int64_t id, const struct store_event *event)
{
	char *out = context;

	(void)id;
	memmove(out + 1, out, strlen(out) + 1);
	*out = event->event[0] == 's' ? event->event[1] : event->event[0];
	return true;
}

/* First letters of what the journal holds, oldest first; 'h' shelved, 't' stopped or started. */
static const char *journal(struct rig *rig)
{
	static char out[64];
	struct store_event_query query = { .to_ms = INT64_MAX, .limit = 60 };

	out[0] = '\0';
	CU_ASSERT_EQUAL(store_find_events(rig->reader, &query, join_event, out, &why), STATUS_OK);
	return out;
}

static void test_commands(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "aaa");
	run(rig);
	struct command_answer answer = ask(rig, COMMAND_ACK, "press-1");
	CU_ASSERT_EQUAL(answer.status, STATUS_OK);
	ASSERT_HOLDS(answer.alarm, "\"state\":\"acknowledged\"");
	ASSERT_HOLDS(answer.alarm, "\"operator\":\"anna\"");
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"state\":\"acknowledged\"");
	CU_ASSERT_EQUAL(ask(rig, COMMAND_ACK, "press-1").status, STATUS_CONFLICT);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_ACK, "press-2").status, STATUS_NOT_FOUND);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_STOP, "press-2").status, STATUS_NOT_FOUND);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_SHELVE, "press-1").status, STATUS_OK);
	pipeline_tick(rig->pipeline, rig->now_ms + 59999, true);
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"state\":\"shelved\"");
	restart(rig); /* the shelf is remembered, and its end */
	pipeline_tick(rig->pipeline, rig->now_ms + 60000, true);
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"state\":\"acknowledged\"");
	CU_ASSERT_EQUAL(ask(rig, COMMAND_FALSE_ALARM, "press-1").status, STATUS_OK);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_STOP, "press-1").status, STATUS_OK);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	restart(rig);
	readings(rig, 10, "aaaaa");
	run(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_START, "press-1").status, STATUS_OK);
	CU_ASSERT_STRING_EQUAL(journal(rig), "raheftt");
	end(rig);
}

static void test_forget(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "aaa");
	run(rig);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_FORGET, "press-1").status, STATUS_OK);
	const struct published *last = last_of(rig, "alerts/press-1/alarm");
	CU_ASSERT_STRING_EQUAL(last->text, "");
	CU_ASSERT_TRUE(last->retain);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 0);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_MACHINES), 0);
	CU_ASSERT_EQUAL(rows_of(rig, "press-1"), 3);
	restart(rig);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_ACK, "press-1").status, STATUS_NOT_FOUND);
	readings(rig, 10, "aaa");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	CU_ASSERT_EQUAL(ask(rig, COMMAND_FORGET, "press-1").status, STATUS_OK);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_STOP, "press-1").status, STATUS_OK); /* by its history */
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"state\":\"suppressed\"");
	end(rig);
}

/* What an operator does counts while nothing can be written, and is written when it can. */
static void test_command_unsaved(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "aaa");
	run(rig);
	sqlite3 *other = block(rig);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_ACK, "press-1").status, STATUS_OK);
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"state\":\"acknowledged\"");
	CU_ASSERT_EQUAL(ask(rig, COMMAND_FORGET, "press-1").status, STATUS_UNAVAILABLE);
	sqlite3_close(other);
	reading(rig, "press-2", 4, NORMAL);
	run(rig);
	restart(rig);
	CU_ASSERT_EQUAL(ask(rig, COMMAND_ACK, "press-1").status, STATUS_CONFLICT);
	end(rig);
}

static void test_silence(void)
{
	struct rig *rig = new_rig();
	int64_t last_ms;

	pipeline_tick(rig->pipeline, noon - 1000, true);
	readings(rig, 0, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	for (size_t i = 0; i < rig->messages; i++)
		rig->message[i].received_ms = noon + (int64_t)i * 1000;
	last_ms = noon + (int64_t)(rig->messages - 1) * 1000;
	run(rig);
	pipeline_tick(rig->pipeline, last_ms + 30000, true);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	pipeline_tick(rig->pipeline, last_ms + 31000, false); /* we are away ourselves */
	pipeline_tick(rig->pipeline, last_ms + 40000, true);
	pipeline_tick(rig->pipeline, last_ms + 70000, true);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	pipeline_tick(rig->pipeline, last_ms + 70001, true);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	pipeline_tick(rig->pipeline, last_ms + 90000, true);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_QUALITY_SILENT), 1);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_ALARMS_ACTIVE), 1);
	readings(rig, 200, "n");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "un");

	/* Its pace is known after a restart: it need not be heard of again to be missed. */
	restart(rig);
	pipeline_tick(rig->pipeline, noon + 500000, true);
	pipeline_tick(rig->pipeline, noon + 530000, true);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	pipeline_tick(rig->pipeline, noon + 530001, true);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");

	/* But for one that was forgotten. */
	CU_ASSERT_EQUAL(ask(rig, COMMAND_FORGET, "press-1").status, STATUS_OK);
	restart(rig);
	pipeline_tick(rig->pipeline, noon + 600000, true);
	pipeline_tick(rig->pipeline, noon + 900000, true);
	CU_ASSERT_EQUAL(rig->published, 0);
	end(rig);
}

/* The delay is in the store with the reading that moved it, and goes on there. */
static void test_delay_restored(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "aan");
	run(rig);
	restart(rig);
	readings(rig, 3, "na");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	restart(rig);
	readings(rig, 10, "nnn");
	run(rig);
	restart(rig);
	readings(rig, 20, "nn");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "n");
	end(rig);
}

static void test_skewed(void)
{
	struct rig *rig = new_rig();

	readings(rig, 0, "nnaaaaa");
	for (size_t i = 0; i < rig->messages; i++)
		rig->message[i].received_ms -= 301000; /* our clock, or theirs */
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	struct row rows = read_rows(rig, "press-1");
	CU_ASSERT_EQUAL(rows.verdict[0].quality, QUALITY_SKEW);
	CU_ASSERT_TRUE(rows.verdict[0].anomalous); /* it is one, whenever it was */
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_QUALITY_SKEW), 7);
	end(rig);
}

/* ---- stuck sensors, smoothed scores ---- */

/* A reading whose values move, but for those of `still`. */
static void moving(struct rig *rig, int second, const char *still)
{
	char values[128];
	double step = second % 5;

	snprintf(values, sizeof(values), "\"temperature\":%g,\"humidity\":%g,\"sound\":%g",
		strchr(still, 't') ? 60 : 60 + step, strchr(still, 'h') ? 35 : 35 + step,
		strchr(still, 's') ? 75 : 75 + step);
	reading(rig, "press-1", second, values);
}

static void test_stuck(void)
{
	struct rig *rig = new_rig();

	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(model->detector.stats[i].stuck_after, 20);
	for (int i = 0; i < 20; i++) {
		moving(rig, i, "h");
		moving(rig, i, "h"); /* again: a duplicate is no repetition */
	}
	run(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_QUALITY_STUCK), 0);
	moving(rig, 20, "h");
	run(rig);
	struct row rows = read_rows(rig, "press-1");
	CU_ASSERT_EQUAL(rows.verdict[0].quality, QUALITY_STUCK);
	CU_ASSERT_TRUE(isnan(rows.verdict[0].score)); /* the forest has no rule for a gap */
	CU_ASSERT_EQUAL(rows.verdict[0].reading.value[1], 35);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"first_sensor\":\"humidity\"");
	for (int i = 21; i < 26; i++)
		moving(rig, i, "");
	run(rig);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "un");
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_QUALITY_STUCK), 1);
	for (int i = 26; i < 326; i++)
		moving(rig, i, "ths"); /* at rest */
	run(rig);
	CU_ASSERT_EQUAL(metrics_get(rig->metrics, METRIC_QUALITY_STUCK), 1);
	end(rig);
}

/* With a smoothing model the mean feeds the alarm, by levels and delays of the model's own. */
static void test_smoothed(void)
{
	struct rig *rig = new_rig();
	struct model *smoothing = NULL;

	CU_ASSERT_EQUAL_FATAL(model_load(unit_path("model.json"), &smoothing, &why), STATUS_OK);
	smoothing->smooth = 4;
	smoothing->step_ms = 1000;
	smoothing->alarm_threshold = 0.05;
	smoothing->alarm_clear = 0;
	smoothing->raise_count = smoothing->raise_window = 1;
	smoothing->clear_count = 2;
	readings(rig, 0, "nnna");
	CU_ASSERT_EQUAL(run_with(rig, smoothing), STATUS_OK);
	struct row rows = read_rows(rig, "press-1");
	const struct verdict *v = rows.verdict;
	CU_ASSERT_TRUE(v[0].smoothed);
	CU_ASSERT_DOUBLE_EQUAL(
		v[0].alarm_score, (v[0].score + v[1].score + v[2].score + v[3].score) / 4, 1e-15);
	CU_ASSERT_TRUE(v[0].anomalous);
	CU_ASSERT_TRUE(v[0].alarm_score < 0.05);
	CU_ASSERT_STRING_EQUAL(alarms(rig), ""); /* one alone does not lift the mean */
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/verdict")->text, "\"alarm_score\":");
	readings(rig, 4, "aa");
	CU_ASSERT_EQUAL(run_with(rig, smoothing), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	readings(rig, 100, "nn"); /* behind a gap the mean begins anew */
	CU_ASSERT_EQUAL(run_with(rig, smoothing), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "un");

	strcpy(smoothing->id, "another"); /* whose scores are no matter of that one's */
	readings(rig, 102, "a");
	CU_ASSERT_EQUAL(run_with(rig, smoothing), STATUS_OK);
	rows = read_rows(rig, "press-1");
	CU_ASSERT_EQUAL(rows.verdict[0].alarm_score, rows.verdict[0].score);
	model_destroy(smoothing);
	end(rig);
}

/* Readings whose scores are all normal raise an alarm when their mean has left its place, and it
 * names the sensor; behind a gap the mean begins anew. */
static void test_drifting(void)
{
	struct rig *rig = new_rig();
	struct model *slow = NULL;

	CU_ASSERT_EQUAL_FATAL(model_load(unit_path("model.json"), &slow, &why), STATUS_OK);
	slow->smooth = 2;
	slow->step_ms = 1000;
	slow->alarm_threshold = slow->alarm_clear = 5;
	slow->raise_count = slow->raise_window = slow->clear_count = 1;
	slow->drift[0] = (struct drift_rule){ .window = 4,
		.scale = 1,
		.centre = { 60, 35, 75 },
		.reach = { 80, 80, 80 },
		.whitening = { 0.5, 0, 0.5, 0, 0, 0.5 } };
	for (int i = 0; i < 8; i++)
		reading(rig, "press-1", i, "\"temperature\":60,\"humidity\":35,\"sound\":75");
	CU_ASSERT_EQUAL(run_with(rig, slow), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "");
	for (int i = 8; i < 16; i++)
		reading(rig, "press-1", i, "\"temperature\":60,\"humidity\":46,\"sound\":74");
	CU_ASSERT_EQUAL(run_with(rig, slow), STATUS_OK);
	struct row rows = read_rows(rig, "press-1");
	CU_ASSERT_FALSE(rows.verdict[0].anomalous);
	CU_ASSERT(rows.verdict[0].alarm_score > 5);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "u");
	ASSERT_HOLDS(last_of(rig, "alerts/press-1/alarm")->text, "\"first_sensor\":\"humidity\"");
	reading(rig, "press-1", 100, "\"temperature\":60,\"humidity\":46,\"sound\":74");
	CU_ASSERT_EQUAL(run_with(rig, slow), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(alarms(rig), "un");
	rows = read_rows(rig, "press-1");
	CU_ASSERT_EQUAL(rows.verdict[0].alarm_score, rows.verdict[0].score);
	model_destroy(slow);
	end(rig);
}

static CU_TestInfo cases[] = {
	{ "a batch is scored, stored and published alike", test_batch },
	{ "a missing value is stored without a score", test_missing },
	{ "what is no reading is counted by its reason", test_rejects },
	{ "a repeated reading is stored once", test_duplicates },
	{ "three of five raise an alarm, five normal ones clear it", test_alarm },
	{ "every change of an alarm is told, even within a batch", test_alarm_in_one_batch },
	{ "machines raise no alarm together", test_alarm_of_one_machine },
	{ "late readings raise no alarm", test_late },
	{ "alarms are told again after a reconnect", test_republish },
	{ "an alarm that could not be told is told later", test_unsent },
	{ "a reading from the future makes no other late", test_future },
	{ "counters and alarms outlive a restart", test_restored },
	{ "without a model readings are stored as they come", test_no_model },
	{ "without a model a repeated reading is known after a restart", test_no_model_restart },
	{ "a model may come and go", test_model_comes_and_goes },
	{ "a machine too many is rejected", test_machines_limit },
	{ "a limit below the stored alarms does not stop the start", test_limit_below_alarms },
	{ "verdicts are published as the settings ask", test_feeds },
	{ "a batched feed is one array a commit", test_batched_feed },
	{ "a verdict is told once, however often its batch is tried", test_told_once },
	{ "a batch that fails is tried again as if it were new", test_tried_again },
	{ "a batch whose commit fails leaves nothing behind", test_commit_fails },
	{ "what is shed costs rows, but no alarm", test_shed },
	{ "an older alarm of the outbox does not come after a newer one beside it",
		test_older_does_not_come_last },
	{ "a pipeline needs a good template", test_bad_topic },
	{ "an unreadable alarm is left out", test_unreadable_alarm },
	{ "a machine is judged by its own model", test_own_model },
	{ "the books balance over many batches", test_many },
	{ "people act on alarms, and it is kept", test_commands },
	{ "a machine is forgotten, here and at the broker", test_forget },
	{ "what people do counts while nothing can be written", test_command_unsaved },
	{ "a machine that falls silent raises an alarm", test_silence },
	{ "the delays outlive a restart", test_delay_restored },
	{ "a wrong clock is flagged and raises no alarm", test_skewed },
	{ "a stuck sensor is found, and not scored as if it were good", test_stuck },
	{ "a smoothed score feeds the alarm, by the model's own delays", test_smoothed },
	{ "a mean that has left its place raises an alarm of its own", test_drifting },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int failures = make_model() ? unit_run("pipeline", cases) : 1;

	model_destroy(model);
	return failures;
}
