#include "common/alarm.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <string.h>

static const struct alarm_policy policy = {
	.raise_count = 3, .raise_window = 5, .clear_count = 4, .fault_count = 3
};
static struct why why;

/* Feeds one reading a letter, a second apart: 'n' normal, 'a' anomalous, 'b' between the two
 * levels, 'H' far beyond the threshold, 'u' unscored, 'R' out of range, 'S' stuck, 'M' missing
 * (these three unscored). Answers with a letter each: '.' nothing, 'r' raised, 'c' cleared, 'u'
 * updated. */
static const char *feed(struct alarm *alarm, const struct alarm_policy *rule, const char *readings)
{
	static const char answers[] = { [ALARM_SAME] = '.',
		[ALARM_RAISED] = 'r',
		[ALARM_UPDATED] = 'u',
		[ALARM_CLEARED] = 'c' };
	static char out[128];
	static int64_t at_ms;
	size_t i = 0;

	if (alarm->recent == 0 && !alarm->id[0])
		at_ms = 1000000;
	for (; readings[i]; i++) {
		char kind = readings[i];
		struct alarm_input input = {
			.at_ms = at_ms += 1000, .threshold = 0.1, .clear = 0.05
		};
		input.score = kind == 'n' ? 0.0
			: kind == 'b'     ? 0.07
			: kind == 'a'     ? 0.15
			: kind == 'H'     ? 0.25
					  : NAN;
		input.severe = kind == 'H';
		input.sensor = kind == 'a' || kind == 'H' ? "sound" : NULL;
		input.faults = kind == 'R' ? ALARM_BIT(ALARM_OUT_OF_RANGE)
			: kind == 'S'      ? ALARM_BIT(ALARM_STUCK)
			: kind == 'M'      ? ALARM_BIT(ALARM_MISSING)
					   : 0;
		input.faulty = input.faults ? "humidity" : NULL;
		out[i] = answers[alarm_next(alarm, rule, "press-1", &input)];
	}
	out[i] = '\0';
	return out;
}

static void test_raise(void)
{
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aannnaana"), "........r");
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_UNACKNOWLEDGED);
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
			.score = score[i],
			.threshold = 0.1,
			.severe = i == 0,
			.sensor = "sound" };
		(void)alarm_next(&alarm, &policy, "press-1", &input);
	}
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_UNACKNOWLEDGED);
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
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_RETURNED);
	CU_ASSERT_EQUAL(alarm.ended_ms, 1011000);
	CU_ASSERT_EQUAL(alarm.from_ms, 1001000);
	CU_ASSERT_EQUAL(alarm.last_ms, 1007000);
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
	static const struct alarm_policy quick = { 3, 5, 1, 1, false };
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &quick, "aaannaa"), "..rc...");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &quick, "a"), "r");
}

static void test_widest_window(void)
{
	static const struct alarm_policy wide = { 64, 64, 1000, 1, false };
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
	static const struct alarm_policy at_once = { 1, 1, 1, 1, false };
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &at_once, "anan"), "rcrc");
}

static void test_priorities(void)
{
	struct alarm alarm = { 0 };
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aanna"), "....r");
	CU_ASSERT_EQUAL(alarm.priority, ALARM_LOW);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaaa"), "...u"); /* all five */
	CU_ASSERT_EQUAL(alarm.priority, ALARM_MEDIUM);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aHaHn"), ".u...");
	CU_ASSERT_EQUAL(alarm.priority, ALARM_HIGH);
	CU_ASSERT_DOUBLE_EQUAL(alarm.peak_score, 0.25, 0);

	/* The next alarm starts anew. */
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "nnnaaa"), "..c..r");
	CU_ASSERT_EQUAL(alarm.priority, ALARM_LOW);
	CU_ASSERT_DOUBLE_EQUAL(alarm.peak_score, 0.15, 0);
	CU_ASSERT_EQUAL(alarm.count, 3);
}

static void test_late_update(void)
{
	static const struct alarm_policy at_once = { 1, 1, 1, 1, false };
	struct alarm_input input = {
		.at_ms = 5000, .score = 0.2, .threshold = 0.1, .sensor = "sound"
	};
	struct alarm alarm = { 0 };

	(void)alarm_next(&alarm, &at_once, "m", &input);
	input.at_ms = 4000;
	(void)alarm_next(&alarm, &at_once, "m", &input);

	CU_ASSERT_EQUAL(alarm.count, 2);
	CU_ASSERT_EQUAL(alarm.updated_ms, 5000);
}

static void raise_for(struct alarm *alarm, const char *machine, int64_t at_ms)
{
	static const struct alarm_policy at_once = { 1, 1, 1, 1, false };
	struct alarm_input input = {
		.at_ms = at_ms, .score = 0.2, .threshold = 0.1, .sensor = "sound"
	};
	struct alarm_input calm = { .at_ms = at_ms, .threshold = 0.1 };

	(void)alarm_next(alarm, &at_once, machine, &calm);
	CU_ASSERT_EQUAL(alarm_next(alarm, &at_once, machine, &input), ALARM_RAISED);
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
	struct alarm alarm = { .condition = ALARM_UNACKNOWLEDGED,
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

/* ---- levels, faults, silence ---- */

static void test_deadband(void)
{
	struct alarm alarm = { 0 };

	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "bbbbbbbb"), "........"); /* not above */
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaannnbnnnbnnnn"), "..r...........c");
}

static void test_unscored(void)
{
	struct alarm alarm = { 0 };

	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aauuuuuua"), "........r");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "nnnuuuun"), ".......c");
}

static void test_faults(void)
{
	struct alarm alarm = { 0 };

	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "RRnRRnMMn"), ".........");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "RRR"), "..r");
	CU_ASSERT_EQUAL(alarm.causes, ALARM_BIT(ALARM_OUT_OF_RANGE));
	CU_ASSERT_EQUAL(alarm.priority, ALARM_MEDIUM);
	CU_ASSERT_EQUAL(alarm.count, 3);
	CU_ASSERT_STRING_EQUAL(alarm.first_sensor, "humidity");
	CU_ASSERT(isnan(alarm.peak_score));
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "nnnRnnnn"), ".......c");
	CU_ASSERT_EQUAL(alarm.count, 4);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "S"), "r"); /* it had its own window */
	CU_ASSERT_EQUAL(alarm.priority, ALARM_LOW);
}

/* One alarm a machine: what comes on top updates it, and has to be seen again. */
static void test_causes(void)
{
	struct alarm alarm = { 0 };
	struct alarm_action action = { .at_ms = 1, .operator_name = "", .reason = "" };

	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "S"), "r");
	CU_ASSERT_EQUAL(alarm_acknowledge(&alarm, &action, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaa"), "..u");
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_UNACKNOWLEDGED);
	CU_ASSERT_EQUAL(alarm.causes, ALARM_BIT(ALARM_STUCK) | ALARM_BIT(ALARM_ANOMALY));
	CU_ASSERT_STRING_EQUAL(alarm.first_sensor, "humidity"); /* was first out */
	CU_ASSERT_EQUAL(alarm_acknowledge(&alarm, &action, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "a"), "u"); /* the stuck one moves again */
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "S"), "u"); /* and is stuck again, as known */
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_ACKNOWLEDGED);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "nnnn"), "...c");
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_NORMAL);
}

static void test_silence(void)
{
	struct alarm alarm = { 0 };

	CU_ASSERT_EQUAL(alarm_silence(&alarm, &policy, "m", 5000), ALARM_RAISED);
	CU_ASSERT_EQUAL(alarm_silence(&alarm, &policy, "m", 6000), ALARM_SAME);
	CU_ASSERT_EQUAL(alarm.priority, ALARM_MEDIUM);
	CU_ASSERT_STRING_EQUAL(alarm.first_sensor, "");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "n"), "c");
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_RETURNED);
}

/* ---- the state machine, to the letter ---- */

static const struct alarm_policy quick = { 1, 1, 1, 1, false };

static struct alarm_input input_at(int64_t at_ms, double score)
{
	return (struct alarm_input){
		.at_ms = at_ms, .score = score, .threshold = 0.1, .clear = 0.1
	};
}

static const struct alarm_action act = { 5000, "anna", "a cleaning run", 9000 };

/* Things that can happen, a letter each: '+' raised, '-' cleared, 'a' acknowledged, 'h' shelved,
 * 'u' unshelved, 'x' the shelf's time is over, 's' stopped, 'g' going, 'f' a false alarm. False:
 * refused. */
static bool happen(struct alarm *alarm, char what)
{
	struct alarm_input high = input_at(4000, 0.2), low = input_at(4500, 0.0);

	switch (what) {
	case '+':
		(void)alarm_next(alarm, &quick, "m", &high);
		return true;
	case '-':
		(void)alarm_next(alarm, &quick, "m", &low);
		return true;
	case 'a':
		return alarm_acknowledge(alarm, &act, &why) == STATUS_OK;
	case 'h':
		return alarm_shelve(alarm, &act, &why) == STATUS_OK;
	case 'u':
		return alarm_unshelve(alarm, &act, &why) == STATUS_OK;
	case 'x':
		return alarm_tick(alarm, 9000) == ALARM_UPDATED;
	case 's':
		return alarm_stop(alarm, &quick, "m", &act) != ALARM_SAME;
	case 'g':
		return alarm_start(alarm, &act) != ALARM_SAME;
	case 'f':
		return alarm_deny(alarm, &act, &why) == STATUS_OK;
	}
	return false;
}

/* What led there, what happens, and the state after it; NULL: refused. */
static const struct step {
	const char *path;
	char event;
	const char *state;
} steps[] = {
	/* normal */
	{ "", '+', "unacknowledged" },
	{ "", '-', "normal" },
	{ "", 'a', NULL },
	{ "", 'h', "shelved" },
	{ "", 'u', NULL },
	{ "", 'x', NULL },
	{ "", 's', "suppressed" },
	{ "", 'g', NULL },
	{ "", 'f', NULL },
	/* unacknowledged */
	{ "+", '+', "unacknowledged" },
	{ "+", '-', "returned" },
	{ "+", 'a', "acknowledged" },
	{ "+", 'h', "shelved" },
	{ "+", 'u', NULL },
	{ "+", 'x', NULL },
	{ "+", 's', "suppressed" },
	{ "+", 'g', NULL },
	{ "+", 'f', "acknowledged" },
	/* acknowledged */
	{ "+a", '+', "acknowledged" },
	{ "+a", '-', "normal" },
	{ "+a", 'a', NULL },
	{ "+a", 'h', "shelved" },
	{ "+a", 'u', NULL },
	{ "+a", 'x', NULL },
	{ "+a", 's', "suppressed" },
	{ "+a", 'g', NULL },
	{ "+a", 'f', "acknowledged" },
	/* returned */
	{ "+-", '+', "unacknowledged" },
	{ "+-", '-', "returned" },
	{ "+-", 'a', "normal" },
	{ "+-", 'h', "shelved" },
	{ "+-", 'u', NULL },
	{ "+-", 'x', NULL },
	{ "+-", 's', "suppressed" },
	{ "+-", 'g', NULL },
	{ "+-", 'f', "normal" },
	/* shelved: what lies under it goes on */
	{ "+h", '+', "shelved" },
	{ "+h", '-', "shelved" },
	{ "+h", 'a', "shelved" },
	{ "+h", 'h', "shelved" },
	{ "+h", 'u', "unacknowledged" },
	{ "+h", 'x', "unacknowledged" },
	{ "+h", 's', "suppressed" },
	{ "+h", 'g', NULL },
	{ "+h", 'f', "shelved" },
	{ "+h-", 'x', "returned" },
	{ "+ha", 'u', "acknowledged" },
	{ "+ha-", 'u', "normal" },
	{ "+-h", 'u', "returned" },
	{ "+ah", 'x', "acknowledged" },
	{ "h", 'x', "normal" },
	{ "h+", 'x', "unacknowledged" },
	{ "hx", 'x', NULL },
	/* suppressed: readings count for nothing, what stood is over */
	{ "s", '+', "suppressed" },
	{ "s", '-', "suppressed" },
	{ "s", 'a', NULL },
	{ "s", 'h', NULL },
	{ "s", 'u', NULL },
	{ "s", 'x', NULL },
	{ "s", 's', NULL },
	{ "s", 'g', "normal" },
	{ "s", 'f', NULL },
	{ "s+", 'g', "normal" },
	{ "+s", 'a', "suppressed" },
	{ "+s", 'g', "returned" },
	{ "+sa", 'g', "normal" },
	{ "+as", 'g', "normal" },
	{ "+-s", 'g', "returned" },
	{ "+hs", 'g', "shelved" },
	{ "+hs", 'x', "suppressed" },
	{ "+hs", 'u', "suppressed" },
	{ "+sg", '+', "unacknowledged" },
};

static void test_states(void)
{
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		const struct step *s = &steps[i];
		struct alarm alarm = { 0 }, before;
		for (const char *c = s->path; *c; c++)
			CU_ASSERT_TRUE(happen(&alarm, *c));
		before = alarm;
		bool done = happen(&alarm, s->event);
		const char *state = done ? alarm_state_name(alarm_state(&alarm)) : "refused";
		if (strcmp(state, s->state ? s->state : "refused") != 0)
			fprintf(stderr, "\n%s then %c: %s\n", s->path, s->event, state);
		CU_ASSERT_STRING_EQUAL(state, s->state ? s->state : "refused");
		if (!done) /* what is refused changes nothing */
			CU_ASSERT_TRUE(alarm_same(&alarm, &before));
	}
}

static void test_no_latch(void)
{
	static const struct alarm_policy loose = { 1, 1, 1, 1, true };
	struct alarm_input high = input_at(1000, 0.2), low = input_at(2000, 0);
	struct alarm alarm = { 0 };

	CU_ASSERT_EQUAL(alarm_next(&alarm, &loose, "m", &high), ALARM_RAISED);
	CU_ASSERT_EQUAL(alarm_next(&alarm, &loose, "m", &low), ALARM_CLEARED);
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_NORMAL);
}

/* What comes back from "returned" is another alarm, with figures of its own. */
static void test_again(void)
{
	struct alarm alarm = { 0 };
	char first[ALARM_ID_SIZE];

	feed(&alarm, &policy, "aaannnn");
	strcpy(first, alarm.id);
	CU_ASSERT_EQUAL(alarm_deny(&alarm, &act, &why), STATUS_OK);
	CU_ASSERT_TRUE(alarm.false_alarm);
	CU_ASSERT_STRING_EQUAL(alarm.operator_name, "anna");
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaa"), "..r");
	CU_ASSERT_STRING_NOT_EQUAL(alarm.id, first);
	CU_ASSERT_FALSE(alarm.false_alarm);
	CU_ASSERT_STRING_EQUAL(alarm.reason, "");
	CU_ASSERT_EQUAL(alarm.ended_ms, 0);
}

static void test_shelf(void)
{
	struct alarm alarm = { 0 };

	feed(&alarm, &policy, "aaa");
	CU_ASSERT_EQUAL(alarm_shelve(&alarm, &act, &why), STATUS_OK);
	CU_ASSERT_EQUAL(alarm_tick(&alarm, 8999), ALARM_SAME);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "nnnnaaa"), "...c..r"); /* known beneath */
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_SHELVED);
	CU_ASSERT_STRING_EQUAL(alarm.reason, "a cleaning run");
	CU_ASSERT_EQUAL(alarm_tick(&alarm, 9000), ALARM_UPDATED);
	CU_ASSERT_EQUAL(alarm_state(&alarm), ALARM_UNACKNOWLEDGED);
}

static void test_stopped(void)
{
	struct alarm alarm = { 0 };

	feed(&alarm, &policy, "aa");
	CU_ASSERT_EQUAL(alarm_stop(&alarm, &policy, "m", &act), ALARM_UPDATED);
	CU_ASSERT_EQUAL(strlen(alarm.id), 36); /* there is one to be suppressed */
	CU_ASSERT_EQUAL(alarm_silence(&alarm, &policy, "m", 6000), ALARM_SAME);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaaaaa"), "......");
	CU_ASSERT_EQUAL(alarm_start(&alarm, &act), ALARM_UPDATED);
	CU_ASSERT_STRING_EQUAL(feed(&alarm, &policy, "aaa"), "..r"); /* it starts from nothing */
	CU_ASSERT_EQUAL(alarm_stop(&alarm, &policy, "m", &act), ALARM_CLEARED);
}

/* ---- JSON ---- */

static void fill(struct alarm *alarm)
{
	*alarm = (struct alarm){ .recent = UINT64_C(0xfedcba9876543210),
		.normal_run = 1000,
		.run_peak = -0.12345678901234567e-300,
		.run_severe = true,
		.run_from_ms = 1763899200250,
		.fault_run = { UINT16_MAX, 1, 2, 3, 4, 5 },
		.sound_run = { 5, 4, 3, 2, 1, UINT16_MAX },
		.condition = ALARM_UNACKNOWLEDGED,
		.causes = ALARM_BIT(ALARM_CAUSES) - 1,
		.told = ALARM_BIT(ALARM_CAUSES) - 1,
		.shelved_until_ms = 1763899200250,
		.priority = ALARM_MEDIUM,
		.since_ms = 1763899200250,
		.updated_ms = 1763899201000,
		.ended_ms = 1763899201000,
		.from_ms = 1763899200000,
		.last_ms = 1763899202000,
		.count = UINT64_C(1) << 53,
		.peak_score = -0.12345678901234567e-300,
		.false_alarm = true };
	memset(alarm->id, 'i', ALARM_ID_SIZE - 1);
	memset(alarm->first_sensor, 's', FEATURE_NAME_MAX);
	memset(alarm->operator_name, '"', ALARM_OPERATOR_MAX);
	memset(alarm->reason, 0x1, ALARM_REASON_MAX); /* the longest escape */
}

static void test_longest_fits(void)
{
	struct alarm alarm;
	char machine[MACHINE_NAME_MAX + 1] = "", out[ALARM_RECORD_MAX];

	memset(machine, 'm', MACHINE_NAME_MAX);
	fill(&alarm);
	CU_ASSERT_NOT_EQUAL(alarm_encode(&alarm, machine, out, ALARM_TEXT_MAX), 0);
	CU_ASSERT_NOT_EQUAL(alarm_encode_open(&alarm, machine, out, sizeof(out)), 0);
	CU_ASSERT_NOT_EQUAL(alarm_encode_record(&alarm, machine, out, sizeof(out)), 0);
}

static void test_record(void)
{
	struct alarm alarm, back, states[4] = { { 0 } };
	char out[ALARM_RECORD_MAX], again[ALARM_RECORD_MAX];

	fill(&alarm);
	size_t len = alarm_encode_record(&alarm, "m", out, sizeof(out));
	CU_ASSERT_EQUAL_FATAL(alarm_decode(out, len, &back, &why), STATUS_OK);
	CU_ASSERT_EQUAL(back.recent, alarm.recent);
	CU_ASSERT_EQUAL(back.causes, alarm.causes);
	CU_ASSERT_EQUAL(memcmp(back.fault_run, alarm.fault_run, sizeof(alarm.fault_run)), 0);
	CU_ASSERT_EQUAL(back.last_ms, alarm.last_ms);
	CU_ASSERT_NOT_EQUAL(alarm_encode_record(&back, "m", again, sizeof(again)), 0);
	CU_ASSERT_STRING_EQUAL(again, out);

	CU_ASSERT_TRUE(alarm_same(&alarm, &back));

	/* Every step's outcome comes back as it was, and goes on alike. */
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct alarm *one = &states[0];
		*one = (struct alarm){ 0 };
		for (const char *c = steps[i].path; *c; c++)
			(void)happen(one, *c);
		len = alarm_encode_record(one, "m", out, sizeof(out));
		CU_ASSERT_EQUAL_FATAL(alarm_decode(out, len, &back, &why), STATUS_OK);
		CU_ASSERT_EQUAL(alarm_state(&back), alarm_state(one));
		CU_ASSERT_EQUAL(happen(&back, steps[i].event), happen(one, steps[i].event));
		/* What is the same is so in every stored member, and the other way round. */
		CU_ASSERT_NOT_EQUAL(alarm_encode_record(one, "m", again, sizeof(again)), 0);
		struct alarm before = { 0 };
		for (const char *c = steps[i].path; *c; c++)
			(void)happen(&before, *c);
		CU_ASSERT_EQUAL(alarm_same(&before, one), strcmp(out, again) == 0);
		CU_ASSERT_EQUAL(alarm_state(&back), alarm_state(one));
	}
}

static void test_decode(void)
{
	struct alarm alarm = { 0 }, back;
	char out[ALARM_TEXT_MAX], again[ALARM_TEXT_MAX];
	feed(&alarm, &policy, "aaHaHnn");
	size_t len = alarm_encode(&alarm, "press-1", out, sizeof(out));

	CU_ASSERT_EQUAL_FATAL(alarm_decode(out, len, &back, &why), STATUS_OK);

	CU_ASSERT_EQUAL(alarm_state(&back), ALARM_UNACKNOWLEDGED);
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
		"\"id\":\"0123456789012345678901234567890123456789\"", "\"state\":\"happy\"",
		"\"priority\":null", "\"since\":\"yesterday\"", "\"updated\":5", "\"count\":-1",
		"\"count\":1.5", "\"count\":1e300", "\"count\":\"1\"", "\"peak_score\":[]",
		"\"first_sensor\":[]" };
	/* Beside the eight that are there. */
	static const char *const more[] = { "\"condition\":\"shelved\"",
		"\"condition\":\"unacknowledged\"", "\"causes\":[\"fire\"]", "\"causes\":{}",
		"\"recent\":\"12\"", "\"recent\":\"000000000000000g\"", "\"normal_run\":1e9",
		"\"fault_run\":[1,2]", "\"fault_run\":[1,2,3,4,5,65536]", "\"stopped\":1",
		"\"shelved_until\":false", "\"ended\":\"\"", "\"reason\":7",
		"\"condition\":\"normal\",\"causes\":[\"anomaly\"]",
		"\"condition\":\"acknowledged\",\"causes\":[\"silent\"],\"stopped\":true" };
	enum { MEMBERS = sizeof(members) / sizeof(members[0]) };
	struct alarm alarm;
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
		for (size_t i = 0; i < sizeof(more) / sizeof(more[0]) && skip == MEMBERS; i++) {
			snprintf(json + len, sizeof(json) - len, ",%s}", more[i]);
			if (alarm_decode(json, strlen(json), &alarm, &why) != STATUS_BAD_INPUT)
				fprintf(stderr, "\n%s passed\n", more[i]);
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
	{ "an earlier time does not turn `updated` back", test_late_update },
	{ "ids are repeatable, different, and sort by time", test_ids },
	{ "between the levels is neither anomalous nor normal", test_deadband },
	{ "an unscored reading says nothing", test_unscored },
	{ "a sensor fault raises after its own delay", test_faults },
	{ "a further cause updates the alarm, and is to be acknowledged too", test_causes },
	{ "silence raises, the next reading ends it", test_silence },
	{ "every event in every state", test_states },
	{ "without the latch what is over is normal", test_no_latch },
	{ "raised again, it is another alarm", test_again },
	{ "a shelf ends by itself, the alarm under it goes on", test_shelf },
	{ "nothing counts while the machine is stopped", test_stopped },
	{ "the whole state comes back from the store", test_record },
	{ "an alarm is encoded as promised", test_encode },
	{ "the longest alarm fits its texts", test_longest_fits },
	{ "a decoded alarm goes on where it was", test_decode },
	{ "what is no alarm is refused", test_bad_json },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("alarm", cases);
}
