/* Who has bit tables: those who score most, within the limit. */
#include "agent/hot_tables.h"
#include "tests/bench/bench.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MODELS = 5 };
static struct model *model[MODELS];
static size_t one; /* bytes of a model's tables */

static void make_models(void)
{
	for (int i = 0; i < MODELS; i++) {
		model[i] = bench_model(DETECTOR_FOREST, 3, 20);
		snprintf(model[i]->id, sizeof(model[i]->id), "%016d", i); /* as if they differed */
	}
	struct forest_bits *tables = detector_tables(&model[0]->detector, FOREST_TABLE_BYTES);
	one = forest_bits_bytes(tables);
	forest_bits_destroy(tables);
}

static struct hot_tables *create(size_t bytes)
{
	struct hot_tables *hot = NULL;

	CU_ASSERT_EQUAL_FATAL(hot_tables_create(bytes, &hot), STATUS_OK);
	return hot;
}

static bool ask(struct hot_tables *hot, int i, int times)
{
	const struct forest_bits *tables = NULL;

	for (int n = 0; n < times; n++)
		tables = hot_tables_for(hot, model[i]);
	return tables != NULL;
}

static size_t holders(const struct hot_tables *hot)
{
	size_t models;
	CU_ASSERT_TRUE(hot_tables_bytes(hot, &models) <= models * one);
	return models;
}

static void test_room_for_all(void)
{
	struct hot_tables *hot = create(MODELS * one);

	for (int i = 0; i < MODELS; i++)
		CU_ASSERT_TRUE(ask(hot, i, 1));
	CU_ASSERT_EQUAL(holders(hot), MODELS);
	const double x[] = { 1, -2, 3 };
	double score = detector_score_by(&model[0]->detector, hot_tables_for(hot, model[0]), x);
	CU_ASSERT_EQUAL(score, detector_score(&model[0]->detector, x));
	const double lacking[] = { 1, NAN, 3 };
	CU_ASSERT_TRUE(isnan(
		detector_score_by(&model[0]->detector, hot_tables_for(hot, model[0]), lacking)));
	hot_tables_destroy(hot);
}

static void test_none(void)
{
	struct hot_tables *hot = create(0);

	CU_ASSERT_FALSE(ask(hot, 0, 10));
	CU_ASSERT_EQUAL(holders(hot), 0);
	hot_tables_destroy(hot);
	hot_tables_destroy(NULL);
}

/* Two may have tables; the busiest get them, whoever came first. */
static void test_hottest(void)
{
	struct hot_tables *hot = create(2 * one);

	CU_ASSERT_TRUE(ask(hot, 0, 10));
	CU_ASSERT_TRUE(ask(hot, 1, 10));
	CU_ASSERT_FALSE(ask(hot, 2, 1));
	for (int n = 0; n < HOT_TABLES_REVIEW; n++) {
		(void)ask(hot, 3, 1);
		(void)ask(hot, 4, 1);
	}
	CU_ASSERT_TRUE(ask(hot, 3, 1));
	CU_ASSERT_TRUE(ask(hot, 4, 1));
	CU_ASSERT_FALSE(ask(hot, 0, 1));
	CU_ASSERT_EQUAL(holders(hot), 2);
	hot_tables_destroy(hot);
}

/* Alike is no reason to change. */
static void test_no_quarrel(void)
{
	struct hot_tables *hot = create(2 * one);
	bool had[MODELS];

	for (int i = 0; i < MODELS; i++)
		had[i] = ask(hot, i, 1);
	for (int n = 0; n < 5 * HOT_TABLES_REVIEW; n++)
		for (int i = 0; i < MODELS; i++)
			CU_ASSERT_EQUAL(ask(hot, i, 1), had[i]);
	hot_tables_destroy(hot);
}

/* Models that are gone give their room back. */
static void test_gone(void)
{
	struct hot_tables *hot = create(one);

	CU_ASSERT_TRUE(ask(hot, 0, 100));
	(void)ask(hot, 1, 20 * HOT_TABLES_REVIEW);
	CU_ASSERT_TRUE(ask(hot, 1, 1));
	CU_ASSERT_EQUAL(holders(hot), 1);
	hot_tables_destroy(hot);
}

/* A kind without tables, and tables larger than the limit, take nobody's room. */
static void test_never(void)
{
	struct model *fused = bench_model(DETECTOR_FUSED, 3, 20);
	struct model *large = bench_model(DETECTOR_FOREST, 3, 100);
	struct hot_tables *hot = create(one);

	strcpy(fused->id, "fused");
	strcpy(large->id, "large");
	CU_ASSERT_TRUE(ask(hot, 0, 1));
	for (int n = 0; n < 3 * HOT_TABLES_REVIEW; n++) {
		CU_ASSERT_PTR_NULL(hot_tables_for(hot, fused));
		(void)hot_tables_for(hot, large);
	}
	(void)ask(hot, 0, 4 * HOT_TABLES_REVIEW);
	CU_ASSERT_TRUE(ask(hot, 0, 1));
	CU_ASSERT_EQUAL(holders(hot), 1);
	hot_tables_destroy(hot);
	model_destroy(fused);
	model_destroy(large);
}

static CU_TestInfo cases[] = {
	{ "with room every model has tables, and scores the same", test_room_for_all },
	{ "without room none has", test_none },
	{ "the busiest have them", test_hottest },
	{ "models that are alike don't take each other's", test_no_quarrel },
	{ "a model that is gone gives its room back", test_gone },
	{ "a model that can't have tables takes nobody's room", test_never },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	make_models();
	int failures = unit_run("hot_tables", cases);
	for (int i = 0; i < MODELS; i++)
		model_destroy(model[i]);
	return failures;
}
