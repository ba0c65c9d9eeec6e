#include "agent/model_slot.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READERS = 4, SWAPS = 2000 };

/* The smallest forest: one tree that splits two rows. `threshold` tells models apart, and
 * `seed` repeats it, so that a torn model would show. */
static const char *model_of_feature(const char *name, const char *feature_name, double threshold)
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
		schema_add(&model->schema, feature_name, "", -INFINITY, INFINITY, &why), STATUS_OK);
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

static const char *model_file(const char *name, double threshold)
{
	return model_of_feature(name, "sound", threshold);
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
	const struct model_paths paths = { path, NULL };

	enum status st = model_slot_load(slot, &paths, &why);
	if (st)
		fprintf(stderr, "\n%s\n", why.text);
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
}

static double threshold_in_force(struct model_slot *slot)
{
	const struct models *models = model_slot_hold(slot);
	double threshold = models->usual ? models->usual->threshold : -1;

	model_slot_release(slot, models);
	return threshold;
}

static void test_empty(void)
{
	struct model_slot *slot = empty_slot();
	char trouble[64] = "?";

	const struct models *models = model_slot_hold(slot);
	CU_ASSERT_PTR_NULL(models->usual);
	CU_ASSERT_PTR_NULL(models_for(models, "press-1"));
	CU_ASSERT_EQUAL(models_own(models), 0);
	model_slot_release(slot, models);
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
	const struct models *first = model_slot_hold(slot);
	const struct models *again = model_slot_hold(slot);
	CU_ASSERT_PTR_EQUAL(first, again);

	load(slot, model_file("b.json", 0.2));
	const struct models *second = model_slot_hold(slot);
	load(slot, model_file("c.json", 0.3));

	model_slot_release(slot, again);
	CU_ASSERT_DOUBLE_EQUAL(first->usual->threshold, 0.1, 0);
	CU_ASSERT(detector_score(&first->usual->detector, &x) <= 0.5);
	model_slot_release(slot, first);
	CU_ASSERT_DOUBLE_EQUAL(second->usual->threshold, 0.2, 0);
	model_slot_release(slot, second);
	CU_ASSERT_DOUBLE_EQUAL(threshold_in_force(slot), 0.3, 0);
	model_slot_destroy(slot);
}

/* Paths that stay; the folder of machines is made. */
static struct model_paths paths_of(const char *usual, const char *machines)
{
	static char text[8][256];
	static size_t used;
	struct model_paths paths = { strcpy(text[used++ % 8], usual), NULL };

	if (machines) {
		paths.machines = strcpy(text[used++ % 8], unit_path(machines));
		CU_ASSERT_EQUAL_FATAL(mkdir(paths.machines, 0700), 0);
	}
	return paths;
}

static double threshold_of(struct model_slot *slot, const char *machine)
{
	const struct models *models = model_slot_hold(slot);
	double threshold = models_for(models, machine)->threshold;

	model_slot_release(slot, models);
	return threshold;
}

/* Machines of their own beside the plant's model; what is no model's name is left alone. */
static void test_own(void)
{
	struct model_slot *slot = empty_slot();
	struct why why = { "" };
	const struct model_paths paths = paths_of(model_file("usual.json", 0.1), "own");
	model_file("own/press-1.json", 0.2);
	model_file("own/press-2.json", 0.1);
	(void)unit_file("own/.press-3.json", "{", 1);
	(void)unit_file("own/notes.txt", "{", 1);

	CU_ASSERT_EQUAL_FATAL(model_slot_load(slot, &paths, &why), STATUS_OK);
	const struct models *models = model_slot_hold(slot);
	CU_ASSERT_EQUAL(models_own(models), 2);
	CU_ASSERT_DOUBLE_EQUAL(models_for(models, "press-1")->threshold, 0.2, 0);
	CU_ASSERT_PTR_EQUAL(
		models_for(models, "press-2"), models->usual); /* the same bytes, once */
	CU_ASSERT_PTR_EQUAL(models_for(models, "press-3"), models->usual);

	/* What did not change is kept; who has none any more gets the usual one. */
	model_file("own/press-2.json", 0.3);
	CU_ASSERT_EQUAL_FATAL(model_slot_load(slot, &paths, &why), STATUS_OK);
	const struct models *later = model_slot_hold(slot);
	CU_ASSERT_PTR_EQUAL(models_for(later, "press-1"), models_for(models, "press-1"));
	CU_ASSERT_DOUBLE_EQUAL(models_for(later, "press-2")->threshold, 0.3, 0);
	CU_ASSERT_DOUBLE_EQUAL(models_for(models, "press-2")->threshold, 0.1, 0);
	model_slot_release(slot, models);
	CU_ASSERT_DOUBLE_EQUAL(models_for(later, "press-1")->threshold, 0.2, 0);
	model_slot_release(slot, later);
	CU_ASSERT_EQUAL(unlink(unit_path("own/press-1.json")), 0);
	CU_ASSERT_EQUAL_FATAL(model_slot_load(slot, &paths, &why), STATUS_OK);
	CU_ASSERT_DOUBLE_EQUAL(threshold_of(slot, "press-1"), 0.1, 0);
	model_slot_destroy(slot);
}

/* One bad file, and all stay as they are. */
static void test_own_refused(void)
{
	struct model_slot *slot = empty_slot();
	struct why why = { "" };
	struct model_paths paths = paths_of(model_file("usual.json", 0.1), "refused");
	model_file("refused/press-1.json", 0.2);
	CU_ASSERT_EQUAL_FATAL(model_slot_load(slot, &paths, &why), STATUS_OK);

	model_file("usual.json", 0.4);
	const char *bad = unit_file("refused/press-2.json", "{\"trees\":", 9);
	CU_ASSERT_EQUAL(model_slot_load(slot, &paths, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "refused/press-2.json");
	CU_ASSERT_DOUBLE_EQUAL(threshold_of(slot, "press-1"), 0.2, 0);
	CU_ASSERT_DOUBLE_EQUAL(threshold_of(slot, "press-9"), 0.1, 0);

	CU_ASSERT_EQUAL(unlink(bad), 0);
	bad = model_of_feature("refused/press-2.json", "temperature", 0.2);
	CU_ASSERT_EQUAL(model_slot_load(slot, &paths, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "press-2.json: its features are not those");

	CU_ASSERT_EQUAL(unlink(bad), 0);
	bad = model_file("refused/press 2.json", 0.2);
	CU_ASSERT_EQUAL(model_slot_load(slot, &paths, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "press 2.json: no machine can have this name");

	CU_ASSERT_EQUAL(unlink(bad), 0);
	CU_ASSERT_EQUAL(model_slot_load(slot, &paths, &why), STATUS_OK);
	paths.machines = unit_path("nowhere");
	CU_ASSERT_EQUAL(model_slot_load(slot, &paths, &why), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "nowhere");
	CU_ASSERT_DOUBLE_EQUAL(threshold_of(slot, "press-1"), 0.2, 0);
	model_slot_destroy(slot);
}

static void test_failure(void)
{
	struct model_slot *slot = empty_slot();
	struct why why = { "" };
	char trouble[400];
	load(slot, model_file("a.json", 0.1));

	struct model_paths paths = { unit_path("none.json"), "" };
	CU_ASSERT_EQUAL(model_slot_load(slot, &paths, &why), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "none.json");
	model_slot_trouble(slot, trouble, sizeof(trouble));
	CU_ASSERT_STRING_EQUAL(trouble, why.text);
	CU_ASSERT_DOUBLE_EQUAL(threshold_in_force(slot), 0.1, 0);

	paths.usual = unit_file("bad.json", "{\"trees\":", 9);
	CU_ASSERT_EQUAL(model_slot_load(slot, &paths, NULL), STATUS_BAD_INPUT);
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
		const struct models *outer = model_slot_hold(reader->slot);
		const struct models *inner = model_slot_hold(reader->slot);
		const struct model *own = models_for(inner, "press-1");
		reader->wrong += outer->usual->seed != (uint64_t)(outer->usual->threshold * 1000);
		reader->wrong += own->seed != (uint64_t)(own->threshold * 1000);
		reader->wrong += !(detector_score(&inner->usual->detector, &x) <= 0.5);
		model_slot_release(reader->slot, outer);
		reader->wrong += strlen(own->id) != MODEL_ID_SIZE - 1;
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
	const struct model_paths paths[] = { paths_of(model_file("a.json", 0.125), "swapped"),
		paths_of(model_file("b.json", 0.25), NULL) };
	model_file("swapped/press-1.json", 0.5);
	CU_ASSERT_EQUAL_FATAL(model_slot_load(slot, &paths[0], NULL), STATUS_OK);
	for (int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ .slot = slot, .stop = &stop };
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}

	for (int i = 0; i < SWAPS; i++)
		if (model_slot_load(slot, &paths[i % 2], NULL))
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
	{ "a machine may have a model of its own", test_own },
	{ "one refused file keeps all models as they are", test_own_refused },
	{ "a failing load keeps the old model and says why", test_failure },
	{ "four readers hold whole models while 2000 are swapped", test_readers },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	model_slot_destroy(NULL);
	return unit_run("model_slot", cases);
}
