/* Whether a reading can be believed as a measurement, before anyone asks whether it is strange:
 * sensors out of physical range, stuck, missing; a wrong clock; a machine that fell silent.
 * What cannot be believed is never fed to the model as if it were good. Pure: time comes as an
 * argument; one small state a machine. */
#ifndef ISOLDE_AGENT_QUALITY_H
#define ISOLDE_AGENT_QUALITY_H

#include "common/alarm.h"
#include "common/reading.h"
#include "common/schema.h"
#include "common/verdict.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- one reading ---- */

/* Zero to start. */
struct quality_state {
	bool begun;
	double last[FEATURES_MAX];     /* NaN: it was missing */
	uint32_t stuck[FEATURES_MAX];  /* evidence, see quality_judge */
	int64_t at_ms, received_ms;    /* of the last reading in order */
	int64_t counted_ms, rested_ms; /* when a repetition last counted: own time, arrival */
	int64_t skewed_ms;             /* arrival of the first of an unbroken row of skewed
					  readings, 0: the last was not */
};

struct quality_rules {
	const struct schema *schema; /* whose ranges hold */
	/* [schema->count]: repetitions that no healthy sensor shows, 0: not known, never stuck. */
	const unsigned *stuck_after; /* NULL: none is known */
	int64_t step_ms; /* between the readings that this was learnt from, 0: not known */
	int64_t skew_ms;
	bool open; /* nobody says which values have to be there */
};

struct quality_finding {
	enum quality quality; /* the worst */
	unsigned faults;      /* ALARM_BITs of all */
	bool skewed;          /* says nothing about now, whatever else is wrong */
	int sensor;           /* column of the sensor at fault, -1: none in particular */
};

/* How long a clock is wrong before it is an alarm: a machine whose readings say nothing about now
 * is not watched. */
enum { QUALITY_SKEW_ALARM_MS = 600000, QUALITY_STEP_MIN_MS = 50, QUALITY_REST_MS = 1000 };

/* Judges one reading; x[schema->count] gets its values, NaN where the model must not see them.
 *
 * Stuck: a sensor that repeated its value stuck_after times while another one moved. Repetitions
 * count half a step apart (QUALITY_STEP_MIN_MS if the step is not known): read more often than in
 * training, a healthy sensor repeats itself. Where all repeat themselves the machine may be at
 * rest: that counts a sixtieth, once a second of arrival at most. Skew: a timestamp more than
 * skew_ms ahead of its arrival; or behind it, if readings arrive at the pace of their timestamps.
 * What arrives faster was kept somewhere, and its clock is right. `late` readings are no news about
 * the sensors: they leave the state as it is. */
void quality_judge(struct quality_state *state, const struct quality_rules *rules,
	const struct reading *reading, bool late, double *x, struct quality_finding *out);

/* ---- silence ---- */

/* How often a machine is heard of, learnt from its own intervals. Zero to start. */
struct pace {
	int64_t first_ms, last_ms; /* arrivals, 0: none yet */
	int64_t at_ms;             /* the last one's own time, -1: it sent none */
	uint32_t count;            /* intervals */
	double mean_ms, spread_ms; /* moving, of about the last 16; mean absolute deviation */
	int64_t known_ms;          /* what an earlier run had learnt, 0: nothing */
};

enum { PACE_COUNT_MIN = 20 };

/* Notes an arrival, and the time the reading bears (-1: none): what was kept somewhere comes faster
 * than it was made, so the longer of the two intervals counts. `heard_ms`: since when we have been
 * listening without a break; an interval that began before says nothing. The interval that was
 * counted, 0: none. */
int64_t pace_note(struct pace *pace, int64_t received_ms, int64_t at_ms, int64_t heard_ms);

/* How long it may be silent: three times its usual interval with some allowance for its spread, at
 * least `least_ms`. 0: not learnt yet, which takes PACE_COUNT_MIN intervals over 2 * least_ms. */
int64_t pace_patience_ms(const struct pace *pace, int64_t least_ms);

/* It has been silent for longer than that while we were listening. */
bool pace_silent(const struct pace *pace, int64_t least_ms, int64_t heard_ms, int64_t now_ms);

#endif
