#include "agent/plant.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct schema schema;
static struct plant *plant;
static struct plant_view view;

static struct verdict verdict(const char *machine, int64_t received_ms, double score)
{
	struct verdict v = { .score = score, .alarm_score = score, .threshold = 0.1 };

	strcpy(v.reading.machine, machine);
	v.reading.at_ms = v.reading.received_ms = received_ms;
	v.reading.value[0] = 60;
	v.reading.value[1] = 30;
	v.anomalous = score > v.threshold;
	if (isnan(score))
		v.threshold = NAN;
	if (v.anomalous) {
		v.explained = 1;
		v.explanation[0] = (struct explained){ 1, 0.2, 0.8, 10, 20, 4 };
	}
	return v;
}

static void note(const char *machine, int64_t received_ms, double score)
{
	struct verdict v = verdict(machine, received_ms, score);
	plant_note(plant, &v, &schema, 5000);
}

/* The rows above `after`; the first of them. */
static const struct plant_row *see(uint64_t after)
{
	free(view.row);
	CU_ASSERT_EQUAL_FATAL(plant_see(plant, after, &view), STATUS_OK);
	return view.row;
}

static void begin(void)
{
	struct why why;

	memset(&schema, 0, sizeof(schema));
	CU_ASSERT_EQUAL(
		schema_add(&schema, "temperature", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&schema, "sound", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(plant_create(&plant), STATUS_OK);
}

static void end(void)
{
	plant_destroy(plant);
	free(view.row);
	memset(&view, 0, sizeof(view));
}

static void test_newest_reading(void)
{
	begin();
	note("press-1", 100000, 0.05);
	note("press-1", 101000, 0.3);
	note("press-1", 102000, 0.4);
	const struct plant_row *row = see(0);
	CU_ASSERT_EQUAL_FATAL(view.count, 1);
	CU_ASSERT_STRING_EQUAL(row->machine, "press-1");
	CU_ASSERT_EQUAL(row->received_ms, 102000);
	CU_ASSERT_EQUAL(row->strange_ms, 101000);
	CU_ASSERT_EQUAL(row->patience_ms, 5000);
	CU_ASSERT_EQUAL(row->values, 2);
	CU_ASSERT_EQUAL(row->why, 1);
	CU_ASSERT_STRING_EQUAL(row->explained[0].sensor, "sound");
	CU_ASSERT_EQUAL(row->explained[0].value, 30);
	note("press-1", 103000, 0.05);
	CU_ASSERT_EQUAL(see(0)->strange_ms, 0);
	end();
}

static void test_only_what_changed(void)
{
	begin();
	note("press-1", 100000, 0.05);
	note("press-2", 100000, 0.05);
	(void)see(0);
	CU_ASSERT_EQUAL(view.count, 2);
	uint64_t seen = view.version;
	(void)see(seen);
	CU_ASSERT_EQUAL(view.count, 0);
	note("press-2", 101000, 0.05);
	CU_ASSERT_STRING_EQUAL(see(seen)->machine, "press-2");
	CU_ASSERT_EQUAL(view.count, 1);
	unsigned removals = view.removals;
	plant_remove(plant, "press-1");
	plant_remove(plant, "press-9"); /* never heard of */
	(void)see(0);
	CU_ASSERT_EQUAL(view.count, 1);
	CU_ASSERT_EQUAL(view.removals, removals + 1);
	end();
}

static void test_late_readings_change_nothing(void)
{
	struct verdict late = verdict("press-1", 100000, 0.3);

	begin();
	late.late = true;
	plant_note(plant, &late, &schema, 0);
	(void)see(0);
	CU_ASSERT_EQUAL(view.count, 0);
	end();
}

static void test_recall_is_older_than_what_came(void)
{
	struct verdict old = verdict("press-1", 50000, 0.3), other = verdict("press-2", 50000, 0.3);

	begin();
	note("press-1", 100000, 0.05);
	plant_recall(plant, &old, &schema);
	CU_ASSERT_EQUAL(see(0)->received_ms, 100000);
	plant_recall(plant, &other, &schema);
	(void)see(0);
	CU_ASSERT_EQUAL(view.count, 2);
	CU_ASSERT_EQUAL(view.row[1].received_ms, 50000);
	CU_ASSERT_EQUAL(view.row[1].course[PLANT_COURSE - 1], '.'); /* not of the last minutes */
	end();
}

static void test_alarm_of_a_machine_that_sent_nothing(void)
{
	struct alarm alarm = { .id = "id-1", .condition = ALARM_UNACKNOWLEDGED, .since_ms = 7 };

	begin();
	strcpy(alarm.first_sensor, "sound");
	plant_alarm(plant, "press-1", &alarm);
	const struct plant_row *row = see(0);
	CU_ASSERT_FALSE(row->read);
	CU_ASSERT_EQUAL(row->state, ALARM_UNACKNOWLEDGED);
	CU_ASSERT_EQUAL(row->since_ms, 7);
	CU_ASSERT_STRING_EQUAL(row->first_sensor, "sound");
	end();
}

static void test_levels(void)
{
	CU_ASSERT_EQUAL(plant_level(0.1, 0.1), 'g'); /* 1 of -1 .. 3: 31.5 of 63, rounded up */
	CU_ASSERT_EQUAL(plant_level(-9, 0.1), 'A');
	CU_ASSERT_EQUAL(plant_level(9, 0.1), '_');
	CU_ASSERT_EQUAL(plant_level(NAN, 0.1), '.');
	CU_ASSERT_EQUAL(plant_level(0.1, NAN), '.');
	CU_ASSERT_TRUE(plant_level(0.01, 0) > plant_level(0, 0)); /* no division by it */
}

static void test_course(void)
{
	begin();
	note("press-1", 100000, -0.1);
	note("press-1", 101000, 0.3); /* the highest of a step stays */
	note("press-1", 102000, -0.1);
	note("press-1", 125000, 0.1); /* a step without readings between */
	const char *course = see(0)->course;
	CU_ASSERT_EQUAL(course[PLANT_COURSE - 1], 'g');
	CU_ASSERT_EQUAL(course[PLANT_COURSE - 2], '.');
	CU_ASSERT_EQUAL(course[PLANT_COURSE - 3], '_');
	CU_ASSERT_EQUAL(course[PLANT_COURSE - 4], '.');
	note("press-1", 125000 + 1000 * PLANT_COURSE_STEP_MS, 0.1); /* all is past */
	course = see(0)->course;
	CU_ASSERT_EQUAL(course[PLANT_COURSE - 2], '.');
	note("press-1", 1000, 0.3); /* a clock that went back moves nothing */
	CU_ASSERT_EQUAL(see(0)->course[PLANT_COURSE - 1], '_');
	end();
}

static void test_another_model(void)
{
	struct schema other, newest;
	struct why why;

	begin();
	note("press-1", 100000, 0.05);
	note("press-2", 100000, 0.05);
	memset(&other, 0, sizeof(other));
	CU_ASSERT_EQUAL(schema_add(&other, "flow", "", -INFINITY, INFINITY, &why), STATUS_OK);
	struct verdict v = verdict("press-2", 101000, 0.05);
	plant_note(plant, &v, &other, 0);
	(void)see(0);
	CU_ASSERT_NOT_EQUAL(view.row[0].schema, view.schema);
	CU_ASSERT_EQUAL(view.row[1].schema, view.schema);
	plant_schema(plant, &newest);
	CU_ASSERT_TRUE(schema_equal(&newest, &other));
	end();
}

static CU_TestInfo cases[] = {
	{ "a row is the newest reading of its machine", test_newest_reading },
	{ "who saw a version needs only what came after it", test_only_what_changed },
	{ "late readings change nothing", test_late_readings_change_nothing },
	{ "what is recalled is older than what came", test_recall_is_older_than_what_came },
	{ "an alarm shows a machine that sent nothing", test_alarm_of_a_machine_that_sent_nothing },
	{ "levels are of one scale", test_levels },
	{ "a course has the highest level of each step", test_course },
	{ "rows of another schema are told apart", test_another_model },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("plant", cases);
}
