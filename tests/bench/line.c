#include "tests/bench/line.h"
#include "agent/pipeline.h"
#include "common/rng.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TOPIC_SIZE = 48, PAYLOAD_SIZE = 2048 };

struct line {
	const struct model *model;
	struct store *store;
	struct metrics *metrics;
	struct board *board;
	struct plant *plant;
	struct pipeline *pipeline;
	struct rng rng;
	size_t machines, made, published;
	struct message message[LINE_BATCH];
	char topic[LINE_BATCH][TOPIC_SIZE];
	char payload[LINE_BATCH][PAYLOAD_SIZE];
};

static const int64_t noon_ms = 1795435200000;

static void check(enum status status, const struct why *why)
{
	if (status == STATUS_OK)
		return;
	fprintf(stderr, "bench: %s\n", why->text);
	exit(70);
}

static bool take(
	void *context, const char *topic, const char *payload, size_t len, int qos, bool retain)
{
	struct line *line = context;

	(void)topic;
	(void)payload;
	(void)len;
	(void)qos;
	(void)retain;
	line->published++;
	return true;
}

struct line *line_create(const char *path, const struct model *model, size_t machines)
{
	struct why why = { "no memory" };
	struct line *line = calloc(1, sizeof(*line));

	if (!line)
		check(STATUS_NO_MEMORY, &why);
	line->model = model;
	line->machines = machines;
	rng_seed(&line->rng, 7);
	unlink(path);
	check(store_open(path, STORE_WRITE, &line->store, &why), &why);
	check(store_set_durability(line->store, DURABILITY_BALANCED, &why), &why);
	check(metrics_create(&line->metrics), &why);
	check(board_create(&line->board), &why);
	check(plant_create(&line->plant), &why);
	const struct pipeline_options options = { .store = line->store,
		.table_bytes = FOREST_TABLE_BYTES,
		.metrics = line->metrics,
		.board = line->board,
		.plant = line->plant,
		.publish = take,
		.context = line,
		.topic = "factory/{machine}/reading",
		.reading = { .late_s = 60, .skew_s = 300, .machines = 10000 },
		.alarm = { .raise_count = 3,
			.raise_window = 5,
			.clear_count = 5,
			.fault_count = 10,
			.latch = true,
			.silent_s = 30 },
		.alerts = { .verdicts = VERDICTS_ALL } };
	check(pipeline_create(&options, &line->pipeline, &why), &why);
	return line;
}

void line_destroy(struct line *line)
{
	pipeline_destroy(line->pipeline);
	plant_destroy(line->plant);
	board_destroy(line->board);
	metrics_destroy(line->metrics);
	store_close(line->store);
	free(line);
}

static size_t put(char *out, size_t at, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static size_t put(char *out, size_t at, const char *format, ...)
{
	va_list words;

	va_start(words, format);
	int n = vsnprintf(out + at, PAYLOAD_SIZE - at, format, words);
	va_end(words);
	return at + (size_t)n;
}

static void make_message(struct line *line, size_t i)
{
	static const double mean[] = { 60, 35, 75 };
	size_t machine = line->made % line->machines, seq = line->made / line->machines;
	const struct schema *schema = &line->model->schema;
	char *payload = line->payload[i];

	snprintf(line->topic[i], TOPIC_SIZE, "factory/press-%zu/reading", machine);
	size_t len = put(payload, 0, "{\"timestamp\":%lld,\"seq\":%zu",
		(long long)noon_ms + (long long)seq * 1000, seq);
	for (size_t f = 0; f < schema->count; f++)
		len = put(payload, len, ",\"%s\":%.2f", schema->feature[f].name,
			mean[f % 3] + 5 * rng_normal(&line->rng));
	len = put(payload, len, "}");
	line->message[i] = (struct message){ .received_ms = noon_ms + (int64_t)seq * 1000 + 3,
		.qos = 1,
		.topic_len = strlen(line->topic[i]),
		.len = len,
		.full_len = len,
		.topic = line->topic[i],
		.payload = payload };
	line->made++;
}

void line_prepare(struct line *line)
{
	for (size_t i = 0; i < LINE_BATCH; i++) {
		make_message(line, i);
		metrics_received(line->metrics);
	}
}

void line_run(struct line *line)
{
	struct batch batch = { .messages = line->message, .n = LINE_BATCH };
	struct why why;

	const struct models models = { .usual = line->model };
	check(pipeline_run(line->pipeline, &models, &batch, PIPELINE_STORE, &why), &why);
}

size_t line_published(const struct line *line)
{
	return line->published;
}
