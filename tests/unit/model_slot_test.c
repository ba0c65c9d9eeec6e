#include "agent/model_slot.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { READERS = 4, SWAPS = 2000 };

/* The smallest forest: one tree that splits two rows. `threshold` tells models apart, and
 * `seed` repeats it, so that a torn model would show. */
static const char *model_file(const char *name, double threshold)
{
	static const uint32_t root[] = { 0 }, left[] = { 1, 0, 0 }, rows[] = { 2, 1, 1 };
	static const int32_t feature[] = { 0, -1, -1 };
	static const double split[] = { 0.5, 0, 0 };
	const struct forest_columns columns = { 1, 1, 3, 2, root, feature, split, left, rows };
	struct model *model = calloc(1, sizeof(*model));
	struct why why = { "" };
	CU_ASSERT_PTR_NOT_NULL_FATAL(model);

	const char *path = unit_path(name);
	CU_ASSERT_EQUAL_FATAL(
		schema_add(&model->schema, "sound", "dB", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(forest_create(&columns, &model->detector.forest, &why), STATUS_OK);
	model->detector.features = 1;
	model->detector.stats[0] = (struct feature_stats){ 0.5, 0.5, 0.5, 0, 1, 0 };
	model->threshold = threshold;
	model->seed = (uint64_t)(threshold * 1000);
	model->quantile = 0.99;
	model->quantiles = 2;
	model->score_quantile[1] = 0.4;
	model->rows = 2;
	model->trained_ms = 1763899200000;
	strcpy(model->program, "model_slot_test");
	memset(model->data_digest, '0', DIGEST_TEXT_SIZE - 1);
	CU_ASSERT_EQUAL_FATAL(model_save(model, path, &why), STATUS_OK);
	model_destroy(model);
	return path;
}

static struct model_slot *empty_slot(void)
{
	struct model_slot *slot = NULL;

	CU_ASSERT_EQUAL_FATAL(model_slot_create(&slot), STATUS_OK);
	return slot;
}

static void load(struct model_slot *slot, const char *path)
{
	struct why why = { "" };

	enum status st = model_slot_load(slot, path, &why);
	if (st)
		fprintf(stderr, "\n%s\n", why.text);
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
}

static double threshold_in_force(struct model_slot *slot)
{
	const struct model *model = model_slot_hold(slot, "press-1");
	double threshold = model ? model->threshold : -1;

	if (model)
		model_slot_release(slot, model);
	return threshold;
}

static void test_empty(void)
{
	struct model_slot *slot = empty_slot();
	char trouble[64] = "?";

	CU_ASSERT_PTR_NULL(model_slot_hold(slot, "press-1"));
	model_slot_trouble(slot, trouble, sizeof(trouble));
	CU_ASSERT_STRING_EQUAL(trouble, "");
	model_slot_destroy(slot);
}

static void test_load(void)
{
	struct model_slot *slot = empty_slot();

	load(slot, model_file("a.json", 0.1));
	CU_ASSERT_DOUBLE_EQUAL(threshold_in_force(slot), 0.1, 0);
	load(slot, model_file("b.json", 0.2));
	CU_ASSERT_DOUBLE_EQUAL(threshold_in_force(slot), 0.2, 0);
	model_slot_destroy(slot);
}

/* Under ASan this would be a use after free. */
static void test_held(void)
{
	struct model_slot *slot = empty_slot();
	double x = 3;
	load(slot, model_file("a.json", 0.1));
	const struct model *first = model_slot_hold(slot, "press-1");
	const struct model *again = model_slot_hold(slot, "press-2");
	CU_ASSERT_PTR_EQUAL(first, again);

	load(slot, model_file("b.json", 0.2));
	const struct model *second = model_slot_hold(slot, "press-1");
	load(slot, model_file("c.json", 0.3));

	model_slot_release(slot, again);
	CU_ASSERT_DOUBLE_EQUAL(first->threshold, 0.1, 0);
	CU_ASSERT(detector_score(&first->detector, &x) <= 0.5);
	model_slot_release(slot, first);
	CU_ASSERT_DOUBLE_EQUAL(second->threshold, 0.2, 0);
	model_slot_release(slot, second);
	CU_ASSERT_DOUBLE_EQUAL(threshold_in_force(slot), 0.3, 0);
	model_slot_destroy(slot);
}

static void test_failure(void)
{
	struct model_slot *slot = empty_slot();
	struct why why = { "" };
	char trouble[400];
	load(slot, model_file("a.json", 0.1));

	CU_ASSERT_EQUAL(model_slot_load(slot, unit_path("none.json"), &why), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "none.json");
	model_slot_trouble(slot, trouble, sizeof(trouble));
	CU_ASSERT_STRING_EQUAL(trouble, why.text);
	CU_ASSERT_DOUBLE_EQUAL(threshold_in_force(slot), 0.1, 0);

	CU_ASSERT_EQUAL(model_slot_load(slot, unit_file("bad.json", "{\"trees\":", 9), NULL),
		STATUS_BAD_INPUT);
	model_slot_trouble(slot, trouble, sizeof(trouble));
	ASSERT_HOLDS(trouble, "bad.json");
	CU_ASSERT_DOUBLE_EQUAL(threshold_in_force(slot), 0.1, 0);

	load(slot, model_file("a.json", 0.2));
	model_slot_trouble(slot, trouble, sizeof(trouble));
	CU_ASSERT_STRING_EQUAL(trouble, "");
	model_slot_destroy(slot);
}

struct reader {
	pthread_t thread;
	struct model_slot *slot;
	atomic_bool *stop;
	size_t holds, wrong;
};

static void *read_on(void *context)
{
	struct reader *reader = context;
	const double x = 3;

	while (!atomic_load(reader->stop)) {
		const struct model *outer = model_slot_hold(reader->slot, "press-1");
		const struct model *inner = model_slot_hold(reader->slot, "press-2");
		reader->wrong += outer->seed != (uint64_t)(outer->threshold * 1000);
		reader->wrong += !(detector_score(&inner->detector, &x) <= 0.5);
		model_slot_release(reader->slot, outer);
		reader->wrong += strlen(inner->id) != MODEL_ID_SIZE - 1;
		model_slot_release(reader->slot, inner);
		reader->holds++;
	}
	return NULL;
}

static void test_readers(void)
{
	struct model_slot *slot = empty_slot();
	struct reader readers[READERS];
	atomic_bool stop = false;
	const char *paths[] = { model_file("a.json", 0.125), model_file("b.json", 0.25) };
	load(slot, paths[0]);
	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .slot = slot, .stop = &stop };
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}

	for (int i = 0; i < SWAPS; i++)
		if (model_slot_load(slot, paths[i % 2], NULL))
			CU_FAIL("a load failed");

	atomic_store(&stop, true);
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		CU_ASSERT_EQUAL(readers[i].wrong, 0);
		CU_ASSERT(readers[i].holds > 0);
	}
	model_slot_destroy(slot);
}

static CU_TestInfo cases[] = {
	{ "a new slot holds nothing", test_empty },
	{ "the last model loaded is in force", test_load },
	{ "a held model lives until its last holder lets go", test_held },
	{ "a failing load keeps the old model and says why", test_failure },
	{ "four readers hold whole models while 2000 are swapped", test_readers },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	model_slot_destroy(NULL);
	return unit_run("model_slot", cases);
}
