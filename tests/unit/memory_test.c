/* Every allocation of the pure modules fails once: each gives up with its status, crashes nothing,
 * and leaves nothing behind (the sanitizers' runs look for leaks). The linker's --wrap puts the
 * functions below in the place of malloc and its kin in our own code; cJSON is given them by its
 * hooks. */
#include "agent/board.h"
#include "agent/commands.h"
#include "agent/config.h"
#include "agent/metrics.h"
#include "agent/model_slot.h"
#include "agent/queue.h"
#include "common/alarm.h"
#include "common/csvfile.h"
#include "common/jsontext.h"
#include "common/model.h"
#include "common/reading.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include "trainer/baseline.h"
#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALLOCATIONS_MAX = 20000 };

static long countdown; /* the allocation that fails, 1: the next; 0: none does */
static bool hit;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static bool fails(void)
{
	if (countdown == 0 || --countdown > 0)
		return false;
	return hit = true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	return fails() ? NULL : __real_realloc(block, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
	return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

char *__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

/* Runs `work` until no allocation is left to fail. It may go on without what it asked for, but
 * must not fail for another reason, nor fail when nothing was refused. */
static void fail_each(enum status (*work)(struct why *why))
{
	struct why why = { .text = "" };
	long n = 1;

	CU_ASSERT_EQUAL_FATAL(work(&why), STATUS_OK);
	for (; n <= ALLOCATIONS_MAX; n++) {
		hit = false;
		countdown = n;
		enum status st = work(&why);
		countdown = 0;
		if (!hit) {
			CU_ASSERT_EQUAL(st, STATUS_OK);
			break;
		}
		CU_ASSERT(st == STATUS_NO_MEMORY || st == STATUS_OK);
	}
	CU_ASSERT(n > 1); /* there was something to fail */
	CU_ASSERT(n <= ALLOCATIONS_MAX);
}

enum { ROWS = 200 };
static double rows[ROWS * 2];
static const char *model_path, *fused_path, *csv_path, *config_path, *long_path;

static enum status train(enum detector_kind kind, struct model **out, struct why *why)
{
	struct train_options options = {
		.kind = kind, .trees = 3, .sample_size = 16, .seed = 7, .quantile = 0.99
	};
	struct schema schema = { .count = 0 };

	for (size_t i = 0; i < ROWS * 2; i++)
		rows[i] = 50 + (double)(i * 7919 % 101) / 10;
	enum status st = schema_add(&schema, "a", "", -INFINITY, INFINITY, why);
	if (!st)
		st = schema_add(&schema, "b", "", -INFINITY, INFINITY, why);
	return st ? st : train_model(&schema, rows, ROWS, &options, out, why);
}

static enum status train_forest(struct why *why)
{
	struct model *model = NULL;
	enum status st = train(DETECTOR_FOREST, &model, why);

	model_destroy(model);
	return st;
}

static enum status train_fused(struct why *why)
{
	struct model *model = NULL;
	enum status st = train(DETECTOR_FUSED, &model, why);

	model_destroy(model);
	return st;
}

/* *score: of a reading, the first time, when nothing fails; the same ever after. */
static enum status load_and_save(const char *path, double *score, struct why *why)
{
	static const double reading[] = { 52.5, 49 };
	struct model *model = NULL;
	enum status st = model_load(path, &model, why);

	if (!st)
		st = model_save(model, unit_path("again.json"), why);
	if (!st) {
		detector_tabulate(&model->detector, 1 << 20); /* without tables it scores too */
		double here = detector_score(&model->detector, reading);
		*score = *score == 0 ? here : *score;
		CU_ASSERT_EQUAL(here, *score);
	}
	model_destroy(model);
	return st;
}

static enum status forest_file(struct why *why)
{
	static double score;

	return load_and_save(model_path, &score, why);
}

static enum status fused_file(struct why *why)
{
	static double score;

	return load_and_save(fused_path, &score, why);
}

static enum status csv_file(struct why *why)
{
	struct csvfile csv = { .rows = 0 };
	enum status st = csvfile_load(csv_path, &csv, why);

	if (!st)
		csvfile_free(&csv);
	return st;
}

static enum status take_row(
	void *context, const struct csvfile *head, const struct csvfile_row *row, struct why *why)
{
	struct baseline *baseline = context;

	baseline->csv.schema = head->schema;
	return baseline_add(baseline, row, why);
}

/* More rows than are kept, of more and more machines. */
static enum status thinned(struct why *why)
{
	struct baseline baseline = { .rows_max = 20, .block = 4, .seed = 1 };
	struct csvfile head = { .rows = 0 };
	struct report report;
	enum status st = csvfile_each(long_path, take_row, &baseline, &head, why);

	if (!st)
		st = baseline_finish(&baseline, why);
	if (!st)
		st = baseline_report(&baseline, &report, why);
	csvfile_free(&head);
	baseline_free(&baseline);
	return st;
}

static enum status settings(struct why *why)
{
	struct config config = { .origin = NULL };
	const char *set = "mqtt.client_id=other";
	char *environment[] = { (char *)"ISOLDE_LOG_LEVEL=debug", NULL };
	enum status st = config_load(config_path, environment, &set, 1, &config, why);

	config_finish(&config);
	return st;
}

static enum status json(struct why *why)
{
	static const char text[] = "{\"a\":[1,2,{\"b\":\"c\\u00e9\"}],\"d\":null}";
	const struct json_limits limits = { .depth = 4, .members = 4 };
	cJSON *tree = NULL;
	enum status st = json_parse(text, sizeof(text) - 1, &limits, &tree, why);

	cJSON_Delete(tree);
	return st;
}

static enum status decoded(struct why *why)
{
	static const char text[] = "{\"a\":1.5,\"b\":2,\"note\":\"x\"}";
	struct schema schema = { .count = 0 };
	struct reading reading;
	enum status st = schema_add(&schema, "a", "", -INFINITY, INFINITY, why);

	if (st)
		return st;
	/* A reading that no memory is there for is refused like one that cannot be read. */
	enum reject reject = reading_decode(text, sizeof(text) - 1, &schema, &reading, why);
	return reject == REJECT_NONE ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status alarm(struct why *why)
{
	static const char text[] =
		"{\"id\":\"01a21c3e-2782-7e85-9c05-00032f569c32\",\"state\":\"unacknowledged\","
		"\"priority\":\"high\",\"since\":\"2026-11-27T09:02:45.122Z\","
		"\"updated\":\"2026-11-27T09:02:45.122Z\",\"count\":3,\"peak_score\":0.2,"
		"\"first_sensor\":\"a\",\"shelved_until\":null}";
	struct alarm alarm;

	return alarm_decode(text, sizeof(text) - 1, &alarm, why);
}

static enum status agents_parts(struct why *why)
{
	struct queue *queue = NULL;
	struct metrics *metrics = NULL;
	struct board *board = NULL;
	struct desk *desk = NULL;
	struct model_slot *slot = NULL;
	enum status st;

	(void)why;
	(void)((st = queue_create(65536, &queue)) || (st = metrics_create(&metrics)) ||
		(st = board_create(&board)) || (st = desk_create(NULL, NULL, &desk)) ||
		(st = model_slot_create(&slot)));
	model_slot_destroy(slot);
	desk_destroy(desk);
	board_destroy(board);
	metrics_destroy(metrics);
	queue_destroy(queue);
	return st;
}

/* clang-format off: one line each */
static void test_train_forest(void)
{
	fail_each(train_forest);
}
static void test_train_fused(void)
{
	fail_each(train_fused);
}
static void test_forest_file(void)
{
	fail_each(forest_file);
}
static void test_fused_file(void)
{
	fail_each(fused_file);
}
static void test_csv(void)
{
	fail_each(csv_file);
}
static void test_thinned(void)
{
	fail_each(thinned);
}
static void test_settings(void)
{
	fail_each(settings);
}
static void test_json(void)
{
	fail_each(json);
}
static void test_reading(void)
{
	fail_each(decoded);
}
static void test_alarm(void)
{
	fail_each(alarm);
}
static void test_parts(void)
{
	fail_each(agents_parts);
}
/* clang-format on */

static const char *kept(const char *path)
{
	return __real_strdup(path); /* unit_path's buffers are used in turn */
}

static bool prepare(void)
{
	static const char csv[] = "timestamp,machine,a,b,label\n2026-11-23T12:00:00Z,m-1,1,2,0\n"
				  "2026-11-23T12:00:01Z,m-2,3,,1\n";
	static const char config[] = "http { threads = 5 }\nmqtt { topic = \"f/{machine}/r\" }\n";
	cJSON_Hooks hooks = { .malloc_fn = __wrap_malloc, .free_fn = free };
	struct model *forest = NULL, *fused = NULL;
	struct why why;

	cJSON_InitHooks(&hooks);
	char text[8192];
	size_t at = (size_t)snprintf(text, sizeof(text), "timestamp,machine,a\n");
	for (int i = 0; i < 200; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%d,m-%d,%d\n", i,
			i % (1 + i / 9), i * 7 % 31);
	long_path = kept(unit_file("long.csv", text, at));
	csv_path = kept(unit_file("rows.csv", csv, sizeof(csv) - 1));
	config_path = kept(unit_file("agent.conf", config, sizeof(config) - 1));
	model_path = kept(unit_path("forest.json"));
	fused_path = kept(unit_path("fused.json"));
	bool done = train(DETECTOR_FOREST, &forest, &why) == STATUS_OK &&
		model_save(forest, model_path, &why) == STATUS_OK &&
		train(DETECTOR_FUSED, &fused, &why) == STATUS_OK &&
		model_save(fused, fused_path, &why) == STATUS_OK;
	model_destroy(forest);
	model_destroy(fused);
	return done;
}

static CU_TestInfo cases[] = {
	{ "training a forest", test_train_forest },
	{ "training a fused detector", test_train_fused },
	{ "reading and writing a forest's file", test_forest_file },
	{ "reading and writing a fused model's file", test_fused_file },
	{ "reading a CSV file", test_csv },
	{ "keeping a part of a CSV file", test_thinned },
	{ "reading the settings", test_settings },
	{ "parsing JSON", test_json },
	{ "decoding a reading", test_reading },
	{ "decoding an alarm", test_alarm },
	{ "queue, metrics, board, desk and model slot", test_parts },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	if (!prepare())
		return 1;
	int failures = unit_run("memory: every allocation failed once", cases);

	free((void *)csv_path);
	free((void *)long_path);
	free((void *)config_path);
	free((void *)model_path);
	free((void *)fused_path);
	return failures;
}
