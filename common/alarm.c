#include "common/alarm.h"
#include "common/digest.h"
#include "common/timeutil.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the state machine ---- */

enum event { EVENT_RAISE, EVENT_CLEAR, EVENT_ACKNOWLEDGE, EVENTS };
enum { REFUSED = -1 };

/* Of conditions; shelf and suppression lie over them. Another cause makes an acknowledged alarm
 * unacknowledged: nobody has seen that yet. */
static const int transition[ALARM_RETURNED + 1][EVENTS] = {
	/*                         raise                 clear           acknowledge */
	[ALARM_NORMAL] = { ALARM_UNACKNOWLEDGED, ALARM_NORMAL, REFUSED },
	[ALARM_UNACKNOWLEDGED] = { ALARM_UNACKNOWLEDGED, ALARM_RETURNED, ALARM_ACKNOWLEDGED },
	[ALARM_ACKNOWLEDGED] = { ALARM_UNACKNOWLEDGED, ALARM_NORMAL, REFUSED },
	[ALARM_RETURNED] = { ALARM_UNACKNOWLEDGED, ALARM_RETURNED, ALARM_NORMAL },
};

static bool go(struct alarm *alarm, enum event event)
{
	int next = transition[alarm->condition][event];

	if (next == REFUSED)
		return false;
	alarm->condition = (enum alarm_state)next;
	return true;
}

enum alarm_state alarm_state(const struct alarm *alarm)
{
	return alarm->stopped             ? ALARM_SUPPRESSED
		: alarm->shelved_until_ms ? ALARM_SHELVED
					  : alarm->condition;
}

static bool same_delays(const struct alarm *a, const struct alarm *b)
{
	return a->recent == b->recent && a->normal_run == b->normal_run &&
		a->run_peak == b->run_peak && a->run_severe == b->run_severe &&
		a->run_from_ms == b->run_from_ms &&
		memcmp(a->fault_run, b->fault_run, sizeof(a->fault_run)) == 0 &&
		memcmp(a->sound_run, b->sound_run, sizeof(a->sound_run)) == 0;
}

static bool same_score(double a, double b)
{
	return a == b || (isnan(a) && isnan(b));
}

bool alarm_same(const struct alarm *a, const struct alarm *b)
{
	return same_delays(a, b) && a->condition == b->condition && a->causes == b->causes &&
		a->told == b->told && a->shelved_until_ms == b->shelved_until_ms &&
		a->stopped == b->stopped && a->priority == b->priority &&
		a->since_ms == b->since_ms && a->updated_ms == b->updated_ms &&
		a->ended_ms == b->ended_ms && a->from_ms == b->from_ms &&
		a->last_ms == b->last_ms && a->count == b->count &&
		same_score(a->peak_score, b->peak_score) && a->false_alarm == b->false_alarm &&
		strcmp(a->id, b->id) == 0 && strcmp(a->first_sensor, b->first_sensor) == 0 &&
		strcmp(a->operator_name, b->operator_name) == 0 &&
		strcmp(a->reason, b->reason) == 0;
}

bool alarm_active(const struct alarm *alarm)
{
	return alarm->causes != 0;
}

/* ---- raising and clearing ---- */

/* How much a cause matters by itself. A machine that says nothing, or what cannot be, is not
 * watched any more; a sensor that hangs leaves the others. */
static const enum alarm_priority fault_priority[ALARM_CAUSES] = {
	[ALARM_OUT_OF_RANGE] = ALARM_MEDIUM,
	[ALARM_STUCK] = ALARM_LOW,
	[ALARM_MISSING] = ALARM_LOW,
	[ALARM_SKEW] = ALARM_LOW,
	[ALARM_SILENT] = ALARM_MEDIUM,
};

/* Stuck and skewed were found over windows of their own. */
static unsigned delay_of(enum alarm_cause cause, const struct alarm_policy *policy)
{
	bool delayed = cause == ALARM_OUT_OF_RANGE || cause == ALARM_MISSING;

	return delayed && policy->fault_count > 1 ? policy->fault_count : 1;
}

static uint64_t window_mask(unsigned window)
{
	return window < ALARM_WINDOW_MAX ? (UINT64_C(1) << window) - 1 : UINT64_MAX;
}

static unsigned anomalous_in(uint64_t recent, unsigned window)
{
	unsigned n = 0;

	for (uint64_t bits = recent & window_mask(window); bits; bits &= bits - 1)
		n++;
	return n;
}

/* high:   a score was far beyond the threshold.
 * medium: every reading of the window is anomalous: it does not come and go.
 * low:    the rest. */
static enum alarm_priority priority_of(const struct alarm *alarm, const struct alarm_policy *policy)
{
	enum alarm_priority priority = ALARM_LOW;

	for (int cause = ALARM_ANOMALY + 1; cause < ALARM_CAUSES; cause++) {
		if ((alarm->causes & ALARM_BIT(cause)) && fault_priority[cause] > priority)
			priority = fault_priority[cause];
	}
	if (!(alarm->causes & ALARM_BIT(ALARM_ANOMALY)))
		return priority;
	if (alarm->run_severe)
		return ALARM_HIGH;
	if (anomalous_in(alarm->recent, policy->raise_window) == policy->raise_window)
		return ALARM_MEDIUM;
	return priority;
}

/* In the form of a UUID version 7 (RFC 9562): its time first, so that ids sort by time, then a
 * digest of the machine and its previous alarm instead of random bits, so that the same
 * readings give the same ids. */
static void make_id(struct alarm *alarm, const char *machine, int64_t at_ms)
{
	static const uint64_t key[2] = { 0x69736f6c64650000, 0x616c61726d000000 };
	char seed[MACHINE_NAME_MAX + 1 + ALARM_ID_SIZE];
	int len = snprintf(seed, sizeof(seed), "%s/%s", machine, alarm->id);
	uint64_t bits = digest_sip(key, seed, (size_t)len);
	uint64_t time = (uint64_t)at_ms & 0xffffffffffff;

	snprintf(alarm->id, sizeof(alarm->id), "%08x-%04x-7%03x-%04x-%012" PRIx64,
		(unsigned)(time >> 16), (unsigned)(time & 0xffff), (unsigned)(bits >> 52),
		(unsigned)(0x8000 | (bits >> 38 & 0x3fff)), bits & 0x3fffffffff);
}

static void touch(struct alarm *alarm, int64_t at_ms)
{
	if (at_ms > alarm->updated_ms)
		alarm->updated_ms = at_ms;
}

/* A fresh alarm: its own id, its own figures. A shelf stays over it. */
static void begin(struct alarm *alarm, const char *machine, int64_t at_ms)
{
	make_id(alarm, machine, at_ms);
	alarm->since_ms = alarm->updated_ms = alarm->from_ms = alarm->last_ms = at_ms;
	alarm->ended_ms = 0;
	alarm->told = 0;
	alarm->count = 0;
	alarm->peak_score = NAN;
	alarm->priority = ALARM_LOW;
	alarm->first_sensor[0] = '\0';
	alarm->false_alarm = false;
	if (!alarm->shelved_until_ms)
		alarm->operator_name[0] = alarm->reason[0] = '\0';
}

/* The readings that led to it count for it. */
static void tell_cause(
	struct alarm *alarm, const struct alarm_policy *policy, const struct alarm_input *input)
{
	bool anomaly = alarm->causes & ALARM_BIT(ALARM_ANOMALY);
	const char *sensor = anomaly ? input->sensor : input->faulty;

	snprintf(alarm->first_sensor, sizeof(alarm->first_sensor), "%s", sensor ? sensor : "");
	if (anomaly) {
		alarm->count = anomalous_in(alarm->recent, policy->raise_window);
		alarm->peak_score = alarm->run_peak;
		alarm->from_ms = alarm->run_from_ms;
	} else {
		for (int cause = 0; cause < ALARM_CAUSES; cause++) {
			if (alarm->causes & ALARM_BIT(cause) &&
				alarm->count < alarm->fault_run[cause])
				alarm->count = alarm->fault_run[cause];
		}
	}
	alarm->last_ms = input->at_ms;
}

/* What the causes that hold now make of an alarm for which `before` held. */
static enum alarm_change settle(struct alarm *alarm, const struct alarm_policy *policy,
	const char *machine, const struct alarm_input *input, unsigned before)
{
	unsigned fresh = alarm->causes & ~before;
	enum alarm_priority priority;

	if (!before && !fresh)
		return ALARM_SAME;
	if (!alarm->causes) {
		(void)go(alarm, EVENT_CLEAR); /* never refused */
		if (alarm->condition == ALARM_RETURNED && policy->no_latch)
			alarm->condition = ALARM_NORMAL;
		alarm->ended_ms = input->at_ms;
		touch(alarm, input->at_ms);
		return ALARM_CLEARED;
	}
	if (!before) {
		begin(alarm, machine, input->at_ms);
		tell_cause(alarm, policy, input);
	}
	priority = priority_of(alarm, policy);
	bool more = priority > alarm->priority, new = fresh & ~alarm->told;
	if (more || !before)
		alarm->priority = priority;
	if (!before || new)
		(void)go(alarm, EVENT_RAISE); /* never refused */
	alarm->told |= alarm->causes;
	if (!before)
		return ALARM_RAISED;
	if (fresh || alarm->causes != before || more) {
		touch(alarm, input->at_ms);
		return ALARM_UPDATED;
	}
	return ALARM_SAME;
}

/* Keeps what an alarm will tell of the readings that led to it. */
static void note_anomaly(
	struct alarm *alarm, const struct alarm_policy *policy, const struct alarm_input *input)
{
	bool alone = !(alarm->causes & ALARM_BIT(ALARM_ANOMALY)) &&
		anomalous_in(alarm->recent, policy->raise_window - 1) == 0;

	if (alone) {
		alarm->run_from_ms = input->at_ms;
		alarm->run_severe = false;
	}
	if (alone || input->score > alarm->run_peak)
		alarm->run_peak = input->score;
	alarm->run_severe |= input->severe;
}

static void judge_score(
	struct alarm *alarm, const struct alarm_policy *policy, const struct alarm_input *input)
{
	bool anomalous = input->score > input->threshold, calm = input->score <= input->clear;

	if (anomalous)
		note_anomaly(alarm, policy, input);
	/* What has left the window is forgotten, so that a quiet machine's state stays the same. */
	alarm->recent = (alarm->recent << 1 | anomalous) & window_mask(policy->raise_window);
	if (!calm) {
		alarm->normal_run = 0;
	} else if (alarm->normal_run < policy->clear_count) {
		alarm->normal_run++;
	}
	if (alarm->causes & ALARM_BIT(ALARM_ANOMALY)) {
		if (alarm->normal_run < policy->clear_count)
			return;
		alarm->causes &= ~ALARM_BIT(ALARM_ANOMALY);
		alarm->recent = 0; /* what raised this alarm must not help to raise the next */
	} else if (anomalous &&
		anomalous_in(alarm->recent, policy->raise_window) >= policy->raise_count) {
		alarm->causes |= ALARM_BIT(ALARM_ANOMALY);
	}
}

static void judge_fault(
	struct alarm *alarm, const struct alarm_policy *policy, enum alarm_cause cause, bool faulty)
{
	uint16_t *faults = &alarm->fault_run[cause], *sound = &alarm->sound_run[cause];

	if (faulty) {
		*sound = 0;
		if (*faults < UINT16_MAX)
			++*faults;
		if (*faults >= delay_of(cause, policy))
			alarm->causes |= ALARM_BIT(cause);
		return;
	}
	*faults = 0;
	if (!(alarm->causes & ALARM_BIT(cause)))
		return;
	if (++*sound >= policy->clear_count) {
		alarm->causes &= ~ALARM_BIT(cause);
		*sound = 0;
	}
}

/* A reading while it stands is counted, whatever else comes of it. */
static void count_reading(struct alarm *alarm, const struct alarm_input *input)
{
	bool anomalous = input->score > input->threshold;

	if (!anomalous && !input->faults)
		return;
	alarm->count++;
	touch(alarm, input->at_ms);
	if (input->at_ms > alarm->last_ms)
		alarm->last_ms = input->at_ms;
	if (anomalous && !(input->score <= alarm->peak_score))
		alarm->peak_score = input->score;
}

enum alarm_change alarm_next(struct alarm *alarm, const struct alarm_policy *policy,
	const char *machine, const struct alarm_input *input)
{
	unsigned before = alarm->causes;

	if (alarm->stopped)
		return ALARM_SAME;
	alarm->causes &= ~ALARM_BIT(ALARM_SILENT);
	if (before)
		count_reading(alarm, input);
	if (!isnan(input->score))
		judge_score(alarm, policy, input);
	for (int cause = ALARM_OUT_OF_RANGE; cause < ALARM_SILENT; cause++)
		judge_fault(
			alarm, policy, (enum alarm_cause)cause, input->faults & ALARM_BIT(cause));
	return settle(alarm, policy, machine, input, before);
}

enum alarm_change alarm_silence(
	struct alarm *alarm, const struct alarm_policy *policy, const char *machine, int64_t at_ms)
{
	struct alarm_input input = { .at_ms = at_ms, .score = NAN };
	unsigned before = alarm->causes;

	if (alarm->stopped)
		return ALARM_SAME;
	alarm->causes |= ALARM_BIT(ALARM_SILENT);
	return settle(alarm, policy, machine, &input, before);
}

enum alarm_change alarm_tick(struct alarm *alarm, int64_t now_ms)
{
	if (!alarm->shelved_until_ms || now_ms < alarm->shelved_until_ms)
		return ALARM_SAME;
	alarm->shelved_until_ms = 0;
	touch(alarm, now_ms);
	return ALARM_UPDATED;
}

/* ---- what people do ---- */

static void note_action(struct alarm *alarm, const struct alarm_action *action)
{
	snprintf(alarm->operator_name, sizeof(alarm->operator_name), "%s", action->operator_name);
	snprintf(alarm->reason, sizeof(alarm->reason), "%s", action->reason);
	touch(alarm, action->at_ms);
}

enum status alarm_acknowledge(
	struct alarm *alarm, const struct alarm_action *action, struct why *why)
{
	if (!go(alarm, EVENT_ACKNOWLEDGE))
		return fail(why, STATUS_CONFLICT,
			"the alarm is %s: there is nothing to acknowledge",
			alarm_state_name(alarm->condition));
	note_action(alarm, action);
	return STATUS_OK;
}

enum status alarm_shelve(struct alarm *alarm, const struct alarm_action *action, struct why *why)
{
	if (alarm->stopped)
		return fail(why, STATUS_CONFLICT,
			"the machine is declared stopped and its alarm suppressed");
	alarm->shelved_until_ms = action->until_ms;
	note_action(alarm, action);
	return STATUS_OK;
}

enum status alarm_unshelve(struct alarm *alarm, const struct alarm_action *action, struct why *why)
{
	if (!alarm->shelved_until_ms)
		return fail(why, STATUS_CONFLICT, "the alarm is not shelved");
	alarm->shelved_until_ms = 0;
	note_action(alarm, action);
	return STATUS_OK;
}

enum status alarm_deny(struct alarm *alarm, const struct alarm_action *action, struct why *why)
{
	if (alarm->false_alarm)
		return fail(why, STATUS_CONFLICT, "it is known to be a false alarm");
	if (!(alarm->told & ALARM_BIT(ALARM_ANOMALY)))
		return fail(why, STATUS_CONFLICT,
			"it was not raised for an anomaly: there is nothing to label");
	alarm->false_alarm = true;
	(void)go(alarm, EVENT_ACKNOWLEDGE); /* refused: it was acknowledged before */
	note_action(alarm, action);
	return STATUS_OK;
}

static void forget_delays(struct alarm *alarm)
{
	alarm->recent = 0;
	alarm->normal_run = 0;
	memset(alarm->fault_run, 0, sizeof(alarm->fault_run));
	memset(alarm->sound_run, 0, sizeof(alarm->sound_run));
}

enum alarm_change alarm_stop(struct alarm *alarm, const struct alarm_policy *policy,
	const char *machine, const struct alarm_action *action)
{
	struct alarm_input input = { .at_ms = action->at_ms, .score = NAN };
	unsigned before = alarm->causes;

	if (alarm->stopped)
		return ALARM_SAME;
	if (!alarm->id[0])
		begin(alarm, machine, action->at_ms); /* there has to be one to be suppressed */
	alarm->causes = 0;
	forget_delays(alarm);
	(void)settle(alarm, policy, machine, &input, before);
	alarm->stopped = true;
	note_action(alarm, action);
	return before ? ALARM_CLEARED : ALARM_UPDATED;
}

enum alarm_change alarm_start(struct alarm *alarm, const struct alarm_action *action)
{
	if (!alarm->stopped)
		return ALARM_SAME;
	alarm->stopped = false;
	note_action(alarm, action);
	return ALARM_UPDATED;
}
