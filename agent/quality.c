#include "agent/quality.h"
#include <math.h>
#include <string.h>

/* ---- one reading ---- */

enum { EVIDENCE_FULL = 60, EVIDENCE_AT_REST = 1 };

static void note(struct quality_finding *out, enum alarm_cause cause, int sensor)
{
	static const enum quality qualities[ALARM_CAUSES] = {
		[ALARM_OUT_OF_RANGE] = QUALITY_OUT_OF_RANGE,
		[ALARM_STUCK] = QUALITY_STUCK,
		[ALARM_MISSING] = QUALITY_MISSING,
	};

	out->faults |= ALARM_BIT(cause);
	if (out->quality != QUALITY_GOOD)
		return; /* found in order of weight */
	out->quality = qualities[cause];
	out->sensor = sensor;
}

/* What a repetition in this reading is worth. */
static uint32_t worth(struct quality_state *state, const struct quality_rules *rules,
	const struct reading *reading, bool moved)
{
	int64_t apart_ms = rules->step_ms > 0 ? rules->step_ms / 2 : QUALITY_STEP_MIN_MS;

	if (moved || rules->schema->count == 1) {
		if (reading->at_ms < state->counted_ms + apart_ms)
			return 0;
		state->counted_ms = reading->at_ms;
		return EVIDENCE_FULL;
	}
	if (reading->received_ms < state->rested_ms + QUALITY_REST_MS)
		return 0;
	state->rested_ms = reading->received_ms;
	return EVIDENCE_AT_REST;
}

/* Each sensor's evidence after this reading. */
static void weigh_repetitions(struct quality_state *state, const struct quality_rules *rules,
	const struct reading *reading)
{
	const struct schema *schema = rules->schema;
	const double *value = reading->value;
	bool moved = false;

	for (size_t i = 0; i < schema->count; i++)
		moved |= !isnan(value[i]) && value[i] != state->last[i];
	uint32_t more = worth(state, rules, reading, moved);
	for (size_t i = 0; i < schema->count; i++) {
		bool same = value[i] == state->last[i];
		if (isnan(value[i]))
			continue; /* a gap neither proves nor disproves */
		if (!same || !state->begun)
			state->stuck[i] = 0;
		else if (state->stuck[i] < UINT32_MAX - more)
			state->stuck[i] += more;
		state->last[i] = value[i];
	}
}

static bool is_stuck(const struct quality_state *state, const struct quality_rules *rules, size_t i)
{
	unsigned after = rules->stuck_after ? rules->stuck_after[i] : 0;

	return after > 0 && state->stuck[i] >= (uint64_t)after * EVIDENCE_FULL;
}

static bool is_skewed(const struct quality_state *state, const struct quality_rules *rules,
	const struct reading *reading)
{
	int64_t ahead_ms = reading->at_ms - reading->received_ms;

	if (!reading->at_sent)
		return false;
	if (ahead_ms > rules->skew_ms)
		return true;
	if (ahead_ms >= -rules->skew_ms || !state->begun)
		return false;
	int64_t meant_ms = reading->at_ms - state->at_ms;
	int64_t took_ms = reading->received_ms - state->received_ms;
	return meant_ms > 0 && took_ms * 2 >= meant_ms;
}

static void judge_clock(struct quality_state *state, const struct quality_rules *rules,
	const struct reading *reading, struct quality_finding *out)
{
	if (!is_skewed(state, rules, reading)) {
		state->skewed_ms = 0;
		return;
	}
	out->skewed = true;
	if (state->skewed_ms == 0)
		state->skewed_ms = reading->received_ms;
	if (out->quality == QUALITY_GOOD)
		out->quality = QUALITY_SKEW;
	if (reading->received_ms - state->skewed_ms >= QUALITY_SKEW_ALARM_MS)
		out->faults |= ALARM_BIT(ALARM_SKEW);
}

void quality_judge(struct quality_state *state, const struct quality_rules *rules,
	const struct reading *reading, bool late, double *x, struct quality_finding *out)
{
	const struct schema *schema = rules->schema;

	*out = (struct quality_finding){ .sensor = -1 };
	memcpy(x, reading->value, schema->count * sizeof(*x));
	if (!late)
		weigh_repetitions(state, rules, reading);
	for (size_t i = 0; i < schema->count; i++) {
		if (x[i] < schema->feature[i].low || x[i] > schema->feature[i].high) {
			note(out, ALARM_OUT_OF_RANGE, (int)i);
			x[i] = NAN;
		}
	}
	for (size_t i = 0; i < schema->count; i++) {
		if (!late && !isnan(x[i]) && is_stuck(state, rules, i)) {
			note(out, ALARM_STUCK, (int)i);
			x[i] = NAN;
		}
	}
	for (size_t i = 0; i < schema->count && !rules->open; i++) {
		if (isnan(reading->value[i]))
			note(out, ALARM_MISSING, (int)i);
	}
	if (late)
		return;
	judge_clock(state, rules, reading, out);
	state->at_ms = reading->at_ms;
	state->received_ms = reading->received_ms;
	state->begun = true;
}

/* ---- silence ---- */

/* The moving mean forgets at the rate of TCP's estimate of a round trip (RFC 6298), which has the
 * same question to answer: for how long is silence still usual? */
static const double mean_share = 1.0 / 16, spread_share = 1.0 / 8;

int64_t pace_note(struct pace *pace, int64_t received_ms, int64_t at_ms, int64_t heard_ms)
{
	int64_t interval_ms = received_ms - pace->last_ms;
	bool usable = pace->last_ms > 0 && pace->last_ms >= heard_ms && interval_ms >= 0;

	if (at_ms >= 0 && pace->at_ms >= 0 && at_ms - pace->at_ms > interval_ms)
		interval_ms = at_ms - pace->at_ms;
	double interval = (double)interval_ms;
	if (received_ms > pace->last_ms)
		pace->last_ms = received_ms;
	pace->at_ms = at_ms;
	if (!usable)
		return 0;
	if (pace->count++ == 0) {
		pace->first_ms = received_ms;
		pace->mean_ms = interval;
		pace->spread_ms = interval / 2;
		return interval_ms;
	}
	pace->spread_ms += spread_share * (fabs(interval - pace->mean_ms) - pace->spread_ms);
	pace->mean_ms += mean_share * (interval - pace->mean_ms);
	return interval_ms;
}

int64_t pace_patience_ms(const struct pace *pace, int64_t least_ms)
{
	bool learnt =
		pace->count >= PACE_COUNT_MIN && pace->last_ms - pace->first_ms >= 2 * least_ms;
	int64_t patience_ms =
		learnt ? (int64_t)(3 * (pace->mean_ms + 4 * pace->spread_ms)) : pace->known_ms;

	return patience_ms > 0 && patience_ms < least_ms ? least_ms : patience_ms;
}

bool pace_silent(const struct pace *pace, int64_t least_ms, int64_t heard_ms, int64_t now_ms)
{
	int64_t patience_ms = pace_patience_ms(pace, least_ms);
	int64_t since_ms = pace->last_ms > heard_ms ? pace->last_ms : heard_ms;

	return patience_ms > 0 && now_ms - since_ms > patience_ms;
}
