/* A machine's alarm as operators know it, in the words of ISA-18.2 / IEC 62682: when anomalous
 * readings and sensor faults become an alarm, when it is over, and what people did about it.
 * One alarm a machine at a time, which is updated instead of repeated. Pure: time is an
 * argument, so that the trainer can replay it.
 *
 * Delays: an anomaly raises when `raise_count` of the last `raise_window` scores are above the
 * set level, and is over when `clear_count` in a row are at or below the clear level; what lies
 * between the two levels is neither (the deadband). A sensor fault raises after `fault_count`
 * readings in a row, one that was found over a window of its own at once, and is over after
 * `clear_count` without it; silence ends with the next reading.
 *
 * States: what the alarm's condition makes of it (normal, unacknowledged, acknowledged,
 * returned: over, and nobody has acknowledged it) lies under what people put over it (shelved;
 * suppressed, while the machine is declared stopped). Under a shelf it goes on by itself. */
#ifndef ISOLDE_COMMON_ALARM_H
#define ISOLDE_COMMON_ALARM_H

#include "common/schema.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first four are conditions, too. */
enum alarm_state {
	ALARM_NORMAL,
	ALARM_UNACKNOWLEDGED,
	ALARM_ACKNOWLEDGED,
	ALARM_RETURNED,
	ALARM_SHELVED,
	ALARM_SUPPRESSED,
	ALARM_STATES
};
enum alarm_priority { ALARM_LOW, ALARM_MEDIUM, ALARM_HIGH };
/* Why it was raised: an anomaly, or one of the sensor faults that are no anomalies. */
enum alarm_cause {
	ALARM_ANOMALY,
	ALARM_OUT_OF_RANGE,
	ALARM_STUCK,
	ALARM_MISSING,
	ALARM_SKEW,
	ALARM_SILENT,
	ALARM_CAUSES
};
#define ALARM_BIT(cause) (1u << (cause))

enum {
	ALARM_WINDOW_MAX = 64,
	ALARM_ID_SIZE = 40,
	ALARM_TEXT_MAX = 768,
	ALARM_RECORD_MAX = 2560,
	ALARM_OPERATOR_MAX = 64, /* bytes */
	ALARM_REASON_MAX = 200,
};

struct alarm_policy {
	unsigned raise_count, raise_window, clear_count;
	unsigned fault_count;
	bool no_latch; /* what is over needs no acknowledgement: it goes back to normal */
};

/* One per machine; zero to start. */
struct alarm {
	/* the delays */
	uint64_t recent; /* bit i: the score i readings ago was above the set level */
	unsigned normal_run;
	double run_peak; /* largest score of those that led here, one in a window */
	bool run_severe;
	int64_t run_from_ms;              /* when they began */
	uint16_t fault_run[ALARM_CAUSES]; /* readings in a row with the fault */
	uint16_t sound_run[ALARM_CAUSES]; /* and without it, since it was raised */
	/* the condition, and what was put over it */
	enum alarm_state condition; /* ALARM_NORMAL .. ALARM_RETURNED */
	unsigned causes;            /* ALARM_BITs that hold now */
	unsigned told;              /* and those that held since it was raised */
	int64_t shelved_until_ms;   /* 0: not shelved */
	bool stopped;               /* the machine is declared so */
	/* what it tells */
	enum alarm_priority priority;
	char id[ALARM_ID_SIZE]; /* of the current or last alarm, "" if there never was one */
	int64_t since_ms, updated_ms;
	int64_t ended_ms;         /* when its condition was over, 0: it holds */
	int64_t from_ms, last_ms; /* of its first and last anomalous or faulty reading */
	uint64_t count;           /* such readings: those that raised it and those since */
	double peak_score;        /* NaN: none of them was scored */
	char first_sensor[FEATURE_NAME_MAX + 1];    /* first out: that contributed most when it was
						       raised, or is at fault; "": the machine as a
						       whole */
	bool false_alarm;                           /* an operator said so */
	char operator_name[ALARM_OPERATOR_MAX + 1]; /* who acted last, "" */
	char reason[ALARM_REASON_MAX + 1];          /* and why, "" */
};

/* What one reading says. */
struct alarm_input {
	int64_t at_ms;
	double score;       /* NaN: nothing about anomalies */
	double threshold;   /* the set level */
	double clear;       /* the clear level, not above the threshold */
	bool severe;        /* far beyond the threshold: priority high */
	unsigned faults;    /* ALARM_BITs of the faults found in it */
	const char *sensor; /* that contributes most; NULL if not known */
	const char *faulty; /* that is at fault; NULL if it is none in particular */
};

/* What became of it; all but ALARM_SAME are to be published. */
enum alarm_change { ALARM_SAME, ALARM_RAISED, ALARM_UPDATED, ALARM_CLEARED };

/* Advances by one reading in order. ALARM_UPDATED: a higher priority, a cause more or less. */
enum alarm_change alarm_next(struct alarm *alarm, const struct alarm_policy *policy,
	const char *machine, const struct alarm_input *input);

/* The machine has not been heard of for too long. */
enum alarm_change alarm_silence(
	struct alarm *alarm, const struct alarm_policy *policy, const char *machine, int64_t at_ms);

/* Takes it off the shelf when its time has come. */
enum alarm_change alarm_tick(struct alarm *alarm, int64_t now_ms);

/* ---- what people do: STATUS_CONFLICT when its state does not allow it, and *why says so ---- */

struct alarm_action {
	int64_t at_ms;
	const char *operator_name, *reason; /* "" if not said */
	int64_t until_ms;                   /* of a shelf */
};
enum status alarm_acknowledge(
	struct alarm *alarm, const struct alarm_action *action, struct why *why) MUST_USE;
/* Again while it is shelved: the new time and reason count. */
enum status alarm_shelve(
	struct alarm *alarm, const struct alarm_action *action, struct why *why) MUST_USE;
enum status alarm_unshelve(
	struct alarm *alarm, const struct alarm_action *action, struct why *why) MUST_USE;
/* Acknowledges it as well. */
enum status alarm_deny(
	struct alarm *alarm, const struct alarm_action *action, struct why *why) MUST_USE;
/* Declares the machine stopped or running; ALARM_SAME if it was so already. While it is stopped
 * its readings and its silence count for nothing, and what stood is over. */
enum alarm_change alarm_stop(struct alarm *alarm, const struct alarm_policy *policy,
	const char *machine, const struct alarm_action *action);
enum alarm_change alarm_start(struct alarm *alarm, const struct alarm_action *action);

/* ---- what it shows ---- */

enum alarm_state alarm_state(const struct alarm *alarm);
bool alarm_active(const struct alarm *alarm);                  /* its condition holds */
bool alarm_same(const struct alarm *a, const struct alarm *b); /* in all that is stored */
const char *alarm_state_name(enum alarm_state state);
const char *alarm_cause_name(enum alarm_cause cause);
bool alarm_state_parse(const char *name, enum alarm_state *out);

/* The JSON object of DESIGN "Readings and topics"; length, 0 if `size` is too small. */
size_t alarm_encode(const struct alarm *alarm, const char *machine, char *out, size_t size);

/* The same members and further ones, without the closing brace: what GET /alarms shows. */
size_t alarm_encode_open(const struct alarm *alarm, const char *machine, char *out, size_t size);

/* The whole state, for the store. */
size_t alarm_encode_record(const struct alarm *alarm, const char *machine, char *out, size_t size);

/* The inverse of all three: what is absent is as in a fresh alarm. */
enum status alarm_decode(const char *json, size_t len, struct alarm *out, struct why *why) MUST_USE;

#endif
