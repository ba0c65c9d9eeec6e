#include "tests/unit/unit.h"
#include "trainer/events.h"
#include <math.h>
#include <stdlib.h>

enum { ROWS_MAX = 128 };
static struct why why;
static int64_t at_ms[ROWS_MAX];
static int8_t label[ROWS_MAX];
static uint32_t machine[ROWS_MAX];
static double score[ROWS_MAX];

/* One reading a second: `text` has a letter for each, h healthy, a anomalous; a capital is above
 * the threshold of 0.5, `|` a gap of an hour. */
static struct event_figures measure(const char *text, size_t machines)
{
	struct csvfile csv = { .at_ms = at_ms, .label = label, .machines = machines };
	struct event_figures figures;
	struct series series;
	int64_t now = 0;

	for (; *text; text++) {
		now += *text == '|' ? 3600000 : 1000;
		if (*text == '|')
			continue;
		at_ms[csv.rows] = now;
		machine[csv.rows] = (uint32_t)(csv.rows % machines);
		label[csv.rows] = *text == 'a' || *text == 'A';
		score[csv.rows++] = *text == 'H' || *text == 'A' ? 0.9 : *text == '?' ? NAN : 0.1;
	}
	csv.machine = machines > 1 ? machine : NULL;
	CU_ASSERT_EQUAL_FATAL(series_make(&csv, &series, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(events_measure(&csv, &series, score, 0.5, &figures, &why), STATUS_OK);
	series_free(&series);
	return figures;
}

static void test_found(void)
{
	struct event_figures f = measure("hhhaaAAhhhaaahhh", 1);

	CU_ASSERT_EQUAL(f.events, 2);
	CU_ASSERT_EQUAL(f.found, 1);
	CU_ASSERT_EQUAL(f.delay_readings, 2);
	CU_ASSERT_DOUBLE_EQUAL(f.delay_s, 2, 1e-9);
	CU_ASSERT_EQUAL(f.false_alarms, 0);

	f = measure("Aha?Ahaaaaaa", 1); /* an unscored healthy reading parts two of them */
	CU_ASSERT_EQUAL(f.events, 4);
	CU_ASSERT_EQUAL(f.found, 2);
	CU_ASSERT_EQUAL(f.delay_readings, 0);

	f = measure("hhAhaAhaaaA", 1);
	CU_ASSERT_EQUAL(f.found, 3);
	CU_ASSERT_EQUAL(f.delay_readings, 1);
}

static void test_false_alarms(void)
{
	struct event_figures f = measure("hHhhHHhhhhhhhhHhhhhhhhhhhhH", 1);

	/* The third is nine readings after the one before, the last eleven. */
	CU_ASSERT_EQUAL(f.false_alarms, 2);
	CU_ASSERT_EQUAL(f.events, 0);
	CU_ASSERT_TRUE(isnan(f.delay_s));
	CU_ASSERT_DOUBLE_EQUAL(f.healthy_days, 26.0 / 86400, 1e-12);
}

static void test_gaps(void)
{
	struct event_figures f = measure("hhhaa|aaA|hH|H|hh", 1);

	CU_ASSERT_EQUAL(f.events, 2);
	CU_ASSERT_EQUAL(f.found, 1);
	CU_ASSERT_EQUAL(f.delay_readings, 2);
	CU_ASSERT_EQUAL(f.false_alarms, 2);
	CU_ASSERT_DOUBLE_EQUAL(f.healthy_days, 4.0 / 86400, 1e-12);
}

static void test_machines(void)
{
	/* Two machines in turn: the first is anomalous throughout, the second never. */
	struct event_figures f = measure("ahahAhAhaHah", 2);

	CU_ASSERT_EQUAL(f.events, 1);
	CU_ASSERT_EQUAL(f.found, 1);
	CU_ASSERT_EQUAL(f.delay_readings, 2);
	CU_ASSERT_DOUBLE_EQUAL(f.delay_s, 4, 1e-9);
	CU_ASSERT_EQUAL(f.false_alarms, 1);
	CU_ASSERT_DOUBLE_EQUAL(f.healthy_days, 10.0 / 86400, 1e-12);
}

static void test_print(void)
{
	struct event_figures f = measure("hhhaaAAhhhaaahhh", 1);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	CU_ASSERT_PTR_NOT_NULL_FATAL(out);
	events_print(&f, "smoothed_", out);
	fclose(out);
	ASSERT_HOLDS(text, "smoothed_events 2\nsmoothed_event_recall 0.5\n");
	ASSERT_HOLDS(text, "smoothed_detection_delay_readings 2\n");
	free(text);
}

static CU_TestInfo cases[] = {
	{ "an event is found by its first reading above the threshold", test_found },
	{ "healthy readings above it, close together, are one false alarm", test_false_alarms },
	{ "neither reaches over a gap", test_gaps },
	{ "machines have events of their own", test_machines },
	{ "figures are printed with their prefix", test_print },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("events", cases);
}
