#include "trainer/events.h"
#include "common/number.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

struct event {
	int64_t began_ms;
	size_t readings; /* so far */
	bool found;
	double delay_s, delay_readings;
};

/* Of each row, carried on to the next of its segment. */
struct trail {
	size_t event;      /* that it belongs to, or SERIES_NONE */
	size_t since_flag; /* readings since the last false flag, at most EVENTS_APART */
};

static double median(double *value, size_t n)
{
	if (n == 0)
		return NAN;
	number_sort(value, n);
	return n % 2 ? value[n / 2] : (value[n / 2 - 1] + value[n / 2]) / 2;
}

static void extend(struct event *event, int64_t at_ms, bool above)
{
	if (above && !event->found) {
		event->found = true;
		event->delay_s = (double)(at_ms - event->began_ms) * 1e-3;
		event->delay_readings = (double)event->readings;
	}
	event->readings++;
}

/* Walks all rows; returns how many events there are. */
static size_t walk(const struct csvfile *csv, const struct series *series, const double *score,
	double threshold, struct trail *trail, struct event *event, struct event_figures *f)
{
	size_t events = 0;

	for (size_t i = 0; i < csv->rows; i++) {
		size_t before = series->previous[i];
		bool above = score[i] > threshold, first = before == SERIES_NONE;
		size_t since = first ? EVENTS_APART : trail[before].since_flag;

		trail[i] = (struct trail){ SERIES_NONE, since < EVENTS_APART ? since + 1 : since };
		if (csv->label[i] == 1) {
			if (!first && trail[before].event != SERIES_NONE) {
				trail[i].event = trail[before].event;
			} else {
				trail[i].event = events;
				event[events++] = (struct event){ .began_ms = csv->at_ms[i] };
			}
			extend(&event[trail[i].event], csv->at_ms[i], above);
			continue;
		}
		if (!first)
			f->healthy_days += (double)(csv->at_ms[i] - csv->at_ms[before]) / 86400e3;
		if (above) {
			f->false_alarms += since >= EVENTS_APART;
			trail[i].since_flag = 0;
		}
	}
	return events;
}

enum status events_measure(const struct csvfile *csv, const struct series *series,
	const double *score, double threshold, struct event_figures *out, struct why *why)
{
	size_t room = csv->rows ? csv->rows : 1;
	struct trail *trail = malloc(room * sizeof(*trail));
	struct event *event = malloc(room * sizeof(*event));
	double *delay = malloc(room * sizeof(*delay));
	struct event_figures f = { .events = 0 };
	enum status st = STATUS_OK;

	if (trail && event && delay) {
		f.events = walk(csv, series, score, threshold, trail, event, &f);
		for (size_t i = 0; i < f.events; i++)
			if (event[i].found)
				delay[f.found++] = event[i].delay_s;
		f.delay_s = median(delay, f.found);
		f.found = 0;
		for (size_t i = 0; i < f.events; i++)
			if (event[i].found)
				delay[f.found++] = event[i].delay_readings;
		f.delay_readings = median(delay, f.found);
		*out = f;
	} else {
		st = fail(why, STATUS_NO_MEMORY, "no memory for the events of %zu rows", csv->rows);
	}
	free(trail);
	free(event);
	free(delay);
	return st;
}

static void print(FILE *out, const char *prefix, const char *name, double value)
{
	if (isnan(value))
		fprintf(out, "%s%s nan\n", prefix, name);
	else
		fprintf(out, "%s%s %.6g\n", prefix, name, value);
}

void events_print(const struct event_figures *f, const char *prefix, FILE *out)
{
	fprintf(out, "%sevents %zu\n", prefix, f->events);
	print(out, prefix, "event_recall", f->events ? (double)f->found / (double)f->events : NAN);
	print(out, prefix, "detection_delay_s", f->delay_s);
	print(out, prefix, "detection_delay_readings", f->delay_readings);
	fprintf(out, "%sfalse_alarm_episodes %zu\n", prefix, f->false_alarms);
	print(out, prefix, "false_alarm_episodes_per_day",
		f->healthy_days > 0 ? (double)f->false_alarms / f->healthy_days : NAN);
}
