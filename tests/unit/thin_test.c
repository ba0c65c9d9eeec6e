#include "tests/unit/unit.h"
#include "trainer/thin.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct why why;

/* Sends rows through and writes down which stayed, in the file's order; how many. A row of the file
 * is of machine row % machines. */
static size_t keep(
	size_t rows, size_t machines, size_t rows_max, size_t block, uint64_t seed, size_t *kept)
{
	struct thin *thin = NULL;
	size_t *at = malloc(rows_max * sizeof(*at)), taken = 0, place;
	uint32_t *rank = malloc(rows_max * sizeof(*rank));

	CU_ASSERT_TRUE_FATAL(at && rank);
	CU_ASSERT_EQUAL_FATAL(thin_create(rows_max, block, seed, &thin, &why), STATUS_OK);
	for (size_t row = 0; row < rows; row++) {
		CU_ASSERT_EQUAL_FATAL(
			thin_next(thin, row % machines, true, &place, &why), STATUS_OK);
		if (row < rows_max)
			CU_ASSERT_EQUAL_FATAL(place, row);
		CU_ASSERT_TRUE_FATAL(place == THIN_NOWHERE || place < rows_max);
		if (place != THIN_NOWHERE)
			at[place] = row;
	}
	CU_ASSERT_EQUAL_FATAL(thin_rank(thin, rank, &taken, &why), STATUS_OK);
	CU_ASSERT_TRUE_FATAL(taken <= rows_max);
	for (size_t i = 0; i < rows_max; i++) {
		if (rank[i] < taken)
			kept[rank[i]] = at[i];
	}
	thin_destroy(thin);
	free(at);
	free(rank);
	return taken;
}

static void test_few(void)
{
	size_t kept[10];

	CU_ASSERT_EQUAL(keep(7, 1, 10, 1, 1, kept), 7);
	for (size_t i = 0; i < 7; i++)
		CU_ASSERT_EQUAL(kept[i], i);
	CU_ASSERT_EQUAL(keep(10, 3, 10, 4, 1, kept), 10);
}

static void test_rows(void)
{
	size_t kept[100], again[100], other[100];

	CU_ASSERT_EQUAL(keep(1000, 1, 100, 1, 1, kept), 100);
	for (size_t i = 1; i < 100; i++)
		CU_ASSERT_TRUE(kept[i] > kept[i - 1]);
	CU_ASSERT_TRUE(kept[99] < 1000);
	CU_ASSERT_EQUAL(keep(1000, 1, 100, 1, 1, again), 100);
	CU_ASSERT_EQUAL(memcmp(kept, again, sizeof(kept)), 0);
	CU_ASSERT_EQUAL(keep(1000, 1, 100, 1, 2, other), 100);
	CU_ASSERT_NOT_EQUAL(memcmp(kept, other, sizeof(kept)), 0);
}

/* Of 50 rows 5 stay: over 20,000 seeds each of them 2,000 times, sd 42; chi-square of 49 degrees
 * of freedom above 100 comes once in 30,000. */
static void test_uniform(void)
{
	enum { FILE_ROWS = 50, KEPT = 5, SEEDS = 20000 };
	size_t kept[KEPT], count[FILE_ROWS] = { 0 };
	double expected = (double)SEEDS * KEPT / FILE_ROWS, chi = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		CU_ASSERT_EQUAL_FATAL(keep(FILE_ROWS, 1, KEPT, 1, seed, kept), KEPT);
		for (size_t i = 0; i < KEPT; i++)
			count[kept[i]]++;
	}
	for (size_t i = 0; i < FILE_ROWS; i++)
		chi += ((double)count[i] - expected) * ((double)count[i] - expected) / expected;
	/* Without replacement the counts spread by a tenth less. */
	CU_ASSERT_TRUE(chi < 100 && chi > 15);
}

/* What stays are whole blocks of a machine, however the machines' rows stand. */
static void test_blocks(void)
{
	enum { FILE_ROWS = 6000, MACHINES = 3, KEPT = 500, BLOCK = 20 };
	size_t kept[KEPT], rows[MACHINES][FILE_ROWS / MACHINES / BLOCK] = { 0 };
	size_t taken = keep(FILE_ROWS, MACHINES, KEPT, BLOCK, 5, kept), blocks = 0;

	CU_ASSERT_TRUE(taken > KEPT - BLOCK && taken <= KEPT);
	for (size_t i = 0; i < taken; i++)
		rows[kept[i] % MACHINES][kept[i] / MACHINES / BLOCK]++;
	for (size_t m = 0; m < MACHINES; m++) {
		for (size_t b = 0; b < FILE_ROWS / MACHINES / BLOCK; b++) {
			CU_ASSERT_TRUE(rows[m][b] == 0 || rows[m][b] == BLOCK);
			blocks += rows[m][b] > 0;
		}
	}
	CU_ASSERT_EQUAL(blocks * BLOCK, taken);
	CU_ASSERT_TRUE(kept[0] < FILE_ROWS / 4 && kept[taken - 1] > FILE_ROWS / 4 * 3);
}

static void test_unwanted(void)
{
	enum { KEPT = 8, BLOCK = 4 };
	struct thin *thin = NULL;
	size_t place, taken;
	uint32_t rank[KEPT];

	CU_ASSERT_EQUAL_FATAL(thin_create(KEPT, BLOCK, 3, &thin, &why), STATUS_OK);
	for (size_t row = 0; row < 100; row++) {
		bool wanted = row % BLOCK != 1;
		CU_ASSERT_EQUAL_FATAL(thin_next(thin, 0, wanted, &place, &why), STATUS_OK);
		if (!wanted)
			CU_ASSERT_EQUAL(place, THIN_NOWHERE);
	}
	CU_ASSERT_EQUAL(thin_rank(thin, rank, &taken, &why), STATUS_OK);
	CU_ASSERT_EQUAL(taken, 6); /* two blocks without their second rows */
	thin_destroy(thin);
	thin_destroy(NULL);
}

/* A block too large for all places leaves nothing of itself. */
static void test_large_block(void)
{
	size_t kept[10];

	CU_ASSERT_TRUE(keep(1000, 1, 10, 100, 1, kept) <= 10);
	CU_ASSERT_EQUAL(keep(1000, 500, 10, 100, 1, kept), 10); /* two rows a machine */
}

static CU_TestInfo cases[] = {
	{ "what fits is kept whole and in order", test_few },
	{ "of more, exactly as many as there is room for, by the seed", test_rows },
	{ "every row is kept as often as any other", test_uniform },
	{ "a machine's blocks stay whole, or go", test_blocks },
	{ "unwanted rows count in their block and take no place", test_unwanted },
	{ "blocks larger than the room do not break it", test_large_block },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("thin", cases);
}
