/* In the steady state the path from a message to its commit and verdict asks for no memory of its
 * own: what cJSON and SQLite ask for is counted apart. The linker's --wrap counts our own code,
 * their hooks count them. Paho's part is counted in tests/bench/PROFILE.md. */
#include "tests/bench/bench.h"
#include "tests/bench/line.h"
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINES = 50, KNOWN = 10, BATCHES = 5 };

static struct count {
	long ours, cjson, sqlite;
} count;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t size)
{
	count.ours++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	count.ours++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	count.ours++;
	return __real_realloc(block, size);
}

char *__wrap_strdup(const char *text)
{
	count.ours++;
	return __real_strdup(text);
}

static void *cjson_malloc(size_t size)
{
	count.cjson++;
	return __real_malloc(size);
}

static sqlite3_mem_methods usual;

static void *sqlite_malloc(int size)
{
	count.sqlite++;
	return usual.xMalloc(size);
}

static void *sqlite_realloc(void *block, int size)
{
	count.sqlite++;
	return usual.xRealloc(block, size);
}

static bool count_libraries(void)
{
	cJSON_Hooks hooks = { .malloc_fn = cjson_malloc, .free_fn = free };

	cJSON_InitHooks(&hooks);
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual) != SQLITE_OK)
		return false;
	sqlite3_mem_methods counted = usual;
	counted.xMalloc = sqlite_malloc;
	counted.xRealloc = sqlite_realloc;
	return sqlite3_config(SQLITE_CONFIG_MALLOC, &counted) == SQLITE_OK;
}

/* Of BATCHES batches, once every machine has been heard of often. */
static struct count steady(enum detector_kind kind)
{
	struct count sum = { 0 };
	struct model *model = bench_model(kind, 3, 100);
	struct line *line = line_create(unit_path("steady.db"), model, MACHINES);

	for (int i = 0; i < KNOWN + BATCHES; i++) {
		line_prepare(line);
		size_t published = line_published(line);
		memset(&count, 0, sizeof(count));
		line_run(line);
		CU_ASSERT_TRUE(line_published(line) >= published + LINE_BATCH);
		if (i < KNOWN)
			continue;
		sum.ours += count.ours;
		sum.cjson += count.cjson;
		sum.sqlite += count.sqlite;
	}
	line_destroy(line);
	model_destroy(model);
	return sum;
}

static void check(enum detector_kind kind)
{
	const long readings = BATCHES * LINE_BATCH;
	struct count sum = steady(kind);

	printf("(a reading: ours %.3f, cJSON %.2f, SQLite %.3f) ",
		(double)sum.ours / (double)readings, (double)sum.cjson / (double)readings,
		(double)sum.sqlite / (double)readings);
	CU_ASSERT_EQUAL(sum.ours, 0);
	CU_ASSERT_EQUAL(sum.cjson, 0); /* a flat object of numbers needs none of it */
	/* Debian's is built without lookaside memory: three cursors and a record an insert. */
	CU_ASSERT_TRUE(sum.sqlite < 5 * readings);
}

static void test_forest(void)
{
	check(DETECTOR_FOREST);
}

static void test_fused(void)
{
	check(DETECTOR_FUSED);
}

static CU_TestInfo cases[] = {
	{ "a reading to the forest asks for no memory", test_forest },
	{ "a reading to the fused detector asks for no memory", test_fused },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	if (!count_libraries())
		return 1;
	return unit_run("allocations: none a message", cases);
}
