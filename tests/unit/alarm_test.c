#include "common/alarm.h"
#include "tests/unit/unit.h"
#include <string.h>

static const struct alarm_policy policy = { .raise_count = 3, .raise_window = 5, .clear_count = 4 };

/* Feeds one reading a letter: 'n' normal, 'a' anomalous, 'H' far beyond the threshold; a second
 * apart. Answers with a letter each: '.' nothing, 'r' raised, 'c' cleared, 'p' priority. */
static const char *feed(struct alarm *alarm, const struct alarm_policy *rule, const char *readings)
{
	static char out[128];
	static int64_t at_ms;
	size_t i = 0;

	if (alarm->recent == 0 && !alarm->id[0])
		at_ms = 1000000;
	for (; readings[i]; i++) {
		struct alarm before = *alarm;
		struct alarm_input input = { .at_ms = at_ms += 1000, .threshold = 0.1 };
		input.anomalous = readings[i] != 'n';
		input.score = readings[i] == 'n' ? 0.0 : readings[i] == 'a' ? 0.15 : 0.25;
		input.sensor = input.anomalous ? "sound" : NULL;
		bool changed = alarm_next(alarm, rule, "press-1", &input);
		out[i] = !changed                      ? '.'
			: before.state == alarm->state ? 'p'
			: alarm->state == ALARM_NORMAL ? 'c'
						       : 'r';
	}
	out[i] = '\0';
	return out;
}

static void test_raise(void)
{
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aannnaana"), "........r");
	CU_ASSERT_EQUAL(alarm.state, ALARM_UNACKNOWLEDGED);
	CU_ASSERT_EQUAL(alarm.count, 3);
	CU_ASSERT_EQUAL(alarm.since_ms, 1009000);
	CU_ASSERT_EQUAL(alarm.updated_ms, 1009000);
	CU_ASSERT_STRING_EQUAL(alarm.first_sensor, "sound");
}

/* The readings that led to an alarm count for it, not the last of them alone. */
static void test_run_peak(void)
{
	struct alarm alarm = { 0 };
	static const double score[] = { 0.40, 0.2, 0.2 };

	for (int i = 0; i < 3; i++) {
		struct alarm_input input = { .at_ms = i,
			.anomalous = true,
			.score = score[i],
			.threshold = 0.1,
			.sensor = "sound" };
		alarm_next(&alarm, &policy, "press-1", &input);
	}
	CU_ASSERT_EQUAL(alarm.state, ALARM_UNACKNOWLEDGED);
	CU_ASSERT_EQUAL(alarm.peak_score, 0.40);
	CU_ASSERT_EQUAL(alarm.priority, ALARM_HIGH);
}

static void test_lone(void)
{
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "annnnannanannnnan"), ".................");
}

static void test_clear(void)
{
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaannnannnn"), "..r.......c");
	CU_ASSERT_EQUAL(alarm.state, ALARM_NORMAL);
	CU_ASSERT_EQUAL(alarm.count, 4);
	CU_ASSERT_EQUAL(alarm.since_ms, 1003000);
	CU_ASSERT_EQUAL(alarm.updated_ms, 1011000);
}

static void test_once(void)
{
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaananaanan"), "..r........");
	CU_ASSERT_EQUAL(alarm.count, 7);
}

/* With a short clearing run the window would still hold what raised the old alarm. */
static void test_fresh_window(void)
{
	static const struct alarm_policy quick = { 3, 5, 1 };
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &quick, "aaannaa"), "..rc...");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &quick, "a"), "r");
}

static void test_widest_window(void)
{
	static const struct alarm_policy wide = { 64, 64, 1000 };
	struct alarm alarm = { 0 };
	for (int i = 0; i < 63; i++)
		CU_ASSERT_STRING_EQUAL(feed(&alarm, &wide, "a"), ".");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &wide, "a"), "r");
	for (int i = 0; i < 999; i++)
		CU_ASSERT_STRING_EQUAL(feed(&alarm, &wide, "n"), ".");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &wide, "n"), "c");
}

static void test_first_reading(void)
{
	static const struct alarm_policy at_once = { 1, 1, 1 };
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &at_once, "anan"), "rcrc");
}

static void test_priorities(void)
{
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aanna"), "....r");
	CU_ASSERT_EQUAL(alarm.priority, ALARM_LOW);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaaa"), "...p"); /* all five */
	CU_ASSERT_EQUAL(alarm.priority, ALARM_MEDIUM);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aHaHn"), ".p...");
	CU_ASSERT_EQUAL(alarm.priority, ALARM_HIGH);
	CU_ASSERT_DOUBLE_EQUAL(alarm.peak_score, 0.25, 0);

	/* The next alarm starts anew. */
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "nnnaaa"), "..c..r");
	CU_ASSERT_EQUAL(alarm.priority, ALARM_LOW);
	CU_ASSERT_DOUBLE_EQUAL(alarm.peak_score, 0.15, 0);
	CU_ASSERT_EQUAL(alarm.count, 3);
}

/* High begins a quarter of the way from the threshold to 0.5: at 0.2 for 0.1. */
static void test_high_limit(void)
{
	static const struct alarm_policy at_once = { 1, 2, 1 };
	struct alarm_input input = { 1000, true, 0.1999, 0.1, "sound" };
	struct alarm below = { 0 }, above = { 0 };

	CU_ASSERT_TRUE(alarm_next(&below, &at_once, "m", &input));
	input.score = 0.2001;
	CU_ASSERT_TRUE(alarm_next(&above, &at_once, "m", &input));

	CU_ASSERT_EQUAL(below.priority, ALARM_LOW);
	CU_ASSERT_EQUAL(above.priority, ALARM_HIGH);
}

static void test_late_update(void)
{
	static const struct alarm_policy at_once = { 1, 1, 1 };
	struct alarm_input input = { 5000, true, 0.2, 0.1, "sound" };
	struct alarm alarm = { 0 };

	(void)alarm_next(&alarm, &at_once, "m", &input);
	input.at_ms = 4000;
	(void)alarm_next(&alarm, &at_once, "m", &input);

	CU_ASSERT_EQUAL(alarm.count, 2);
	CU_ASSERT_EQUAL(alarm.updated_ms, 5000);
}

static void raise_for(struct alarm *alarm, const char *machine, int64_t at_ms)
{
	static const struct alarm_policy at_once = { 1, 1, 1 };
	struct alarm_input input = { at_ms, true, 0.2, 0.1, "sound" };
	struct alarm_input calm = { at_ms, false, 0.0, 0.1, NULL };

	(void)alarm_next(alarm, &at_once, machine, &calm);
	CU_ASSERT_TRUE(alarm_next(alarm, &at_once, machine, &input));
}

static void test_ids(void)
{
	struct alarm a = { 0 }, same = { 0 }, other = { 0 };
	char first[ALARM_ID_SIZE], longest[MACHINE_NAME_MAX + 1];
	memset(longest, 'x', MACHINE_NAME_MAX);
	longest[MACHINE_NAME_MAX] = '\0';

	raise_for(&a, "press-1", 1763899200250);
	raise_for(&same, "press-1", 1763899200250);
	raise_for(&other, "press-2", 1763899200250);
	CU_ASSERT_STRING_EQUAL(a.id, same.id);
	CU_ASSERT_STRING_NOT_EQUAL(a.id, other.id);
	CU_ASSERT_EQUAL(strlen(a.id), 36);
	CU_ASSERT_EQUAL(strncmp(a.id, "019ab095-d2fa-7", 15), 0); /* 1763899200250 ms */

	/* Another alarm of the machine in the same millisecond, and one later. */
	strcpy(first, a.id);
	raise_for(&a, "press-1", 1763899200250);
	CU_ASSERT_STRING_NOT_EQUAL(a.id, first);
	raise_for(&a, "press-1", 1763899200251);
	CU_ASSERT(strcmp(a.id, first) > 0);
	raise_for(&a, longest, INT64_C(4398046511103));
	CU_ASSERT_EQUAL(strlen(a.id), 36);
}

static void test_encode(void)
{
	struct alarm alarm = { .state = ALARM_UNACKNOWLEDGED,
		.priority = ALARM_HIGH,
		.id = "x1",
		.since_ms = 1763899200250,
		.updated_ms = 1763899201000,
		.count = 14,
		.peak_score = 0.2381,
		.first_sensor = "sound" };
	static const char expected[] =
		"{\"id\":\"x1\",\"machine\":\"press-1\",\"state\":\"unacknowledged\","
		"\"priority\":\"high\",\"since\":\"2025-11-23T12:00:00.250Z\","
		"\"updated\":\"2025-11-23T12:00:01.000Z\",\"count\":14,\"peak_score\":0.2381,"
		"\"first_sensor\":\"sound\",\"shelved_until\":null}";
	char out[ALARM_TEXT_MAX];

	CU_ASSERT_EQUAL(alarm_encode(&alarm, "press-1", out, sizeof(out)), sizeof(expected) - 1);
	CU_ASSERT_STRING_EQUAL(out, expected);
	CU_ASSERT_EQUAL(alarm_encode(&alarm, "press-1", out, sizeof(expected) - 1), 0);
	CU_ASSERT_NOT_EQUAL(alarm_encode(&alarm, "press-1", out, sizeof(expected)), 0);
}

static void test_longest_fits(void)
{
	struct alarm alarm = { .state = ALARM_UNACKNOWLEDGED,
		.priority = ALARM_MEDIUM,
		.since_ms = 1763899200250,
		.updated_ms = 1763899201000,
		.count = UINT64_C(1) << 53,
		.peak_score = -0.12345678901234567e-300 };
	char machine[MACHINE_NAME_MAX + 1] = "", out[ALARM_TEXT_MAX];
	memset(machine, 'm', MACHINE_NAME_MAX);
	memset(alarm.id, 'i', ALARM_ID_SIZE - 1);
	memset(alarm.first_sensor, 's', FEATURE_NAME_MAX);

	CU_ASSERT_NOT_EQUAL(alarm_encode(&alarm, machine, out, sizeof(out)), 0);
}

static void test_decode(void)
{
	struct alarm alarm = { 0 }, back;
	struct why why = { "" };
	char out[ALARM_TEXT_MAX], again[ALARM_TEXT_MAX];
	feed(&alarm, &policy, "aaHaHnn");
	size_t len = alarm_encode(&alarm, "press-1", out, sizeof(out));

	CU_ASSERT_EQUAL_FATAL(alarm_decode(out, len, &back, &why), STATUS_OK);

	CU_ASSERT_EQUAL(back.state, ALARM_UNACKNOWLEDGED);
	CU_ASSERT_EQUAL(back.recent, 0);
	CU_ASSERT_EQUAL(back.normal_run, 0);
	CU_ASSERT_NOT_EQUAL(alarm_encode(&back, "press-1", again, sizeof(again)), 0);
	CU_ASSERT_STRING_EQUAL(again, out);
	/* It goes on where it was: no second raise, cleared by a full run. */
	CU_ASSERT_STRING_EQUAL(feed(&back, &policy, "aaannnn"), "......c");
}

static void test_bad_json(void)
{
	static const char *const members[] = { "\"id\":\"x\"", "\"state\":\"normal\"",
		"\"priority\":\"low\"", "\"since\":\"2026-11-23T12:00:00Z\"",
		"\"updated\":\"2026-11-23T12:00:00Z\"", "\"count\":1", "\"peak_score\":0.1",
		"\"first_sensor\":\"\"" };
	static const char *const wrong[] = { "\"id\":1",
		"\"id\":\"0123456789012345678901234567890123456789\"", "\"state\":\"shelved\"",
		"\"priority\":null", "\"since\":\"yesterday\"", "\"updated\":5", "\"count\":-1",
		"\"count\":1.5", "\"count\":1e300", "\"count\":\"1\"", "\"peak_score\":null",
		"\"first_sensor\":[]" };
	enum { MEMBERS = sizeof(members) / sizeof(members[0]) };
	struct alarm alarm;
	struct why why;
	char json[1024];

	/* Each member is left out, or replaced by a wrong one; the last round is right. */
	for (size_t skip = 0; skip <= MEMBERS; skip++) {
		json[0] = '\0';
		for (size_t i = 0; i < MEMBERS; i++)
			if (i != skip)
				strcat(strcat(json, json[0] ? "," : "{"), members[i]);
		size_t len = strlen(json);
		for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]) && skip < MEMBERS; i++) {
			size_t name = strcspn(members[skip], ":");
			if (strncmp(wrong[i], members[skip], name + 1) != 0)
				continue;
			snprintf(json + len, sizeof(json) - len, ",%s}", wrong[i]);
			CU_ASSERT_EQUAL(
				alarm_decode(json, strlen(json), &alarm, &why), STATUS_BAD_INPUT);
		}
		strcpy(json + len, "}");
		CU_ASSERT_EQUAL(alarm_decode(json, len + 1, &alarm, &why),
			skip < MEMBERS ? STATUS_BAD_INPUT : STATUS_OK);
	}
	CU_ASSERT_EQUAL(alarm_decode("[]", 2, &alarm, &why), STATUS_BAD_INPUT);
	CU_ASSERT_EQUAL(alarm_decode("", 0, &alarm, &why), STATUS_BAD_INPUT);
}

static CU_TestInfo cases[] = {
	{ "three anomalous of five raise", test_raise },
	{ "its peak and priority come from all readings that led to it", test_run_peak },
	{ "lone anomalies raise nothing", test_lone },
	{ "four normal ones in a row clear, three do not", test_clear },
	{ "a raised alarm counts on without another change", test_once },
	{ "what raised an alarm does not raise the next", test_fresh_window },
	{ "the widest window is 64", test_widest_window },
	{ "one of one raises at the first reading", test_first_reading },
	{ "the priority rises with a full window and with the score", test_priorities },
	{ "high begins a quarter of the way to 0.5", test_high_limit },
	{ "an earlier time does not turn `updated` back", test_late_update },
	{ "ids are repeatable, different, and sort by time", test_ids },
	{ "an alarm is encoded as promised", test_encode },
	{ "the longest alarm fits ALARM_TEXT_MAX", test_longest_fits },
	{ "a decoded alarm goes on where it was", test_decode },
	{ "what is no alarm is refused", test_bad_json },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("alarm", cases);
}
