/* When anomalous readings become an alarm, and when it is over: raised by `raise_count` of the
 * last `raise_window` readings, cleared by `clear_count` normal ones in a row. Pure: time is an
 * argument. The words are those of ISA-18.2 / IEC 62682. */
#ifndef ISOLDE_COMMON_ALARM_H
#define ISOLDE_COMMON_ALARM_H

#include "common/schema.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum alarm_state { ALARM_NORMAL, ALARM_UNACKNOWLEDGED };
enum alarm_priority { ALARM_LOW, ALARM_MEDIUM, ALARM_HIGH };
enum { ALARM_WINDOW_MAX = 64, ALARM_ID_SIZE = 40, ALARM_TEXT_MAX = 768 };

struct alarm_policy {
	unsigned raise_count, raise_window, clear_count;
};

/* One per machine; zero to start. */
struct alarm {
	uint64_t recent; /* bit i: the reading i readings ago was anomalous */
	unsigned normal_run;
	double run_peak; /* largest score of the anomalous readings that led here, one in a window
			  */
	enum alarm_state state;
	enum alarm_priority priority;
	char id[ALARM_ID_SIZE]; /* of the current or last alarm, "" if there never was one */
	int64_t since_ms, updated_ms;
	uint64_t count; /* anomalous readings: those that raised it and those since */
	double peak_score;
	char first_sensor[FEATURE_NAME_MAX + 1]; /* that contributed most when it was raised */
};

/* What one reading says. */
struct alarm_input {
	int64_t at_ms;
	bool anomalous;
	double score, threshold;
	const char *sensor; /* that contributes most; NULL if not anomalous */
};

/* Advances by one reading in order; true if the alarm changed and is to be published: raised,
 * cleared, a higher priority. */
bool alarm_next(struct alarm *alarm, const struct alarm_policy *policy, const char *machine,
	const struct alarm_input *input);

/* The JSON object of DESIGN "Readings and topics"; length, 0 if `size` is too small. */
size_t alarm_encode(const struct alarm *alarm, const char *machine, char *out, size_t size);

/* The inverse, for what a restart left in the store; the window starts empty. */
enum status alarm_decode(const char *json, size_t len, struct alarm *out, struct why *why) MUST_USE;

#endif
