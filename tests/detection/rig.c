#include "tests/detection/rig.h"
#include "common/train.h"
#include "simulator/payload.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t noon = 1795435200000;

static void must(enum status st, const struct why *why)
{
	if (st == STATUS_OK)
		return;
	fprintf(stderr, "%s\n", why->text);
	exit(70);
}

static void fill(double *value, int64_t *at_ms, uint32_t *machine, uint64_t seed, size_t machines,
	size_t readings)
{
	for (size_t m = 0; m < machines; m++) {
		struct machine one;
		machine_init(&one, seed, m, 0);
		for (size_t i = 0; i < readings; i++) {
			struct sample sample;
			size_t row = m * readings + i;
			machine_next(&one, &sample);
			memcpy(value + row * SENSORS, sample.value, sizeof(sample.value));
			at_ms[row] = noon + (int64_t)i * RIG_STEP_MS;
			machine[row] = (uint32_t)m;
		}
	}
}

struct model *rig_train(enum detector_kind kind, uint64_t seed, size_t machines, size_t readings,
	double false_alarms_per_day)
{
	size_t rows = machines * readings;
	double *value = malloc(rows * SENSORS * sizeof(*value));
	int64_t *at_ms = malloc(rows * sizeof(*at_ms));
	uint32_t *machine = malloc(rows * sizeof(*machine));
	const struct train_options options = { .kind = kind,
		.trees = 100,
		.sample_size = 256,
		.seed = 42,
		.quantile = 0.99,
		.at_ms = at_ms,
		.machine = machine,
		.false_alarms_per_day = false_alarms_per_day };
	struct schema schema = { .count = 0 };
	struct model *model;
	struct why why;

	if (!value || !at_ms || !machine)
		exit(71);
	for (int s = 0; s < SENSORS; s++)
		must(schema_add(
			     &schema, sensor_name((enum sensor)s), "", -INFINITY, INFINITY, &why),
			&why);
	fill(value, at_ms, machine, seed, machines, readings);
	must(train_model(&schema, value, rows, &options, &model, &why), &why);
	memcpy(model->id, "0123456789abcdef", sizeof(model->id)); /* a file would have given it */
	free(value);
	free(at_ms);
	free(machine);
	return model;
}

/* Copies the text that follows `key` up to the next quote. */
static void take_text(const char *json, const char *key, char *out, size_t size)
{
	const char *at = strstr(json, key);
	size_t len = at ? strcspn(at + strlen(key), "\"") : 0;

	if (at && len < size) {
		memcpy(out, at + strlen(key), len);
		out[len] = '\0';
	}
}

/* The pipeline publishes the alarm at every change; a new one has another id. */
static bool take(
	void *context, const char *topic, const char *payload, size_t len, int qos, bool retain)
{
	struct rig *rig = context;

	(void)topic;
	(void)len;
	(void)qos;
	(void)retain;
	take_text(payload, "\"machine\":\"", rig->machine, sizeof(rig->machine));
	take_text(payload, "\"since\":\"", rig->since, sizeof(rig->since));
	take_text(payload, "\"first_sensor\":\"", rig->sensor, sizeof(rig->sensor));
	return true;
}

void rig_start(struct rig *rig, const struct model *model)
{
	struct pipeline_options options = { .publish = take,
		.context = rig,
		.topic = "factory/{machine}/reading",
		.reading = { .late_s = 60, .skew_s = 300, .machines = 10000 },
		.alarm = { .raise_count = 3,
			.raise_window = 5,
			.clear_count = 5,
			.fault_count = 10,
			.latch = true,
			.silent_s = 30,
			.group_machines = 5 },
		.alerts = { .verdicts = VERDICTS_NONE } };
	struct why why;

	*rig = (struct rig){ .model = model, .begin_ms = noon };
	must(store_open(":memory:", STORE_WRITE, &rig->store, &why), &why);
	must(metrics_create(&rig->metrics), &why);
	options.store = rig->store;
	options.metrics = rig->metrics;
	must(pipeline_create(&options, &rig->pipeline, &why), &why);
}

void rig_stop(struct rig *rig)
{
	pipeline_destroy(rig->pipeline);
	metrics_destroy(rig->metrics);
	store_close(rig->store);
}

void rig_write(const struct rig *rig, const char *machine, int64_t second,
	const double value[SENSORS], struct rig_message *out)
{
	out->at_ms = rig->begin_ms + second * RIG_STEP_MS;
	snprintf(out->topic, sizeof(out->topic), "factory/%s/reading", machine);
	out->len = payload_encode(&rig->model->schema, value, -1, out->at_ms, second, out->payload,
		sizeof(out->payload));
}

void rig_judge(struct rig *rig, const struct rig_message *from)
{
	struct message message = { .received_ms = from->at_ms + 3,
		.qos = 1,
		.topic = from->topic,
		.topic_len = strlen(from->topic),
		.payload = from->payload,
		.len = from->len,
		.full_len = from->len };
	struct batch batch = { .messages = &message, .n = 1 };
	struct why why;

	metrics_received(rig->metrics);
	/* Without the store: its rows would be the week's only cost, and nobody reads them. */
	const struct models models = { .usual = rig->model };
	must(pipeline_run(rig->pipeline, &models, &batch, PIPELINE_SHED, &why), &why);
	rig->raised = metrics_get(rig->metrics, METRIC_ALARMS_RAISED);
}

void rig_read(struct rig *rig, const char *machine, int64_t second, const double value[SENSORS])
{
	struct rig_message message;

	rig_write(rig, machine, second, value, &message);
	rig_judge(rig, &message);
}
