/* How well scores find labelled events in time, beside how they rank single rows
 * (trainer/evaluate). An event is a row of anomalous readings without a healthy one between them;
 * it is found if one of its readings is above the threshold, after the time from its first reading
 * to that one. Healthy readings above the threshold that lie less than EVENTS_APART readings apart
 * are one false alarm, as an operator would see it. Neither reaches over a gap in time
 * (trainer/series). Pure. */
#ifndef ISOLDE_TRAINER_EVENTS_H
#define ISOLDE_TRAINER_EVENTS_H

#include "common/csvfile.h"
#include "common/status.h"
#include "trainer/series.h"
#include <stdio.h>

enum { EVENTS_APART = 10 }; /* readings */

struct event_figures {
	size_t events, found;
	size_t false_alarms;
	double healthy_days;   /* that the healthy readings cover, all machines together */
	double delay_s;        /* median of the found ones; NaN: none was found */
	double delay_readings; /* the same, in readings; 0: the first one was above */
};

/* csv->label and csv->at_ms are there; score[csv->rows] may be NaN: such a reading is not above.
 * STATUS_NO_MEMORY. */
enum status events_measure(const struct csvfile *csv, const struct series *series,
	const double *score, double threshold, struct event_figures *out, struct why *why) MUST_USE;

/* Lines `name value`, each name with this prefix; "nan" where there is none. */
void events_print(const struct event_figures *figures, const char *prefix, FILE *out);

#endif
