#include "agent/pipeline_internal.h"
#include "common/store_alarm.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stored_alarm {
	char machine[MACHINE_NAME_MAX + 1];
	struct alarm alarm;
	struct stored_alarm *next;
};

static void collect_alarm(void *context, const char *machine, const char *json)
{
	struct stored_alarm **list = context, *one = calloc(1, sizeof(*one));
	struct why why;

	if (!one || alarm_decode(json, strlen(json), &one->alarm, &why) != STATUS_OK ||
		!machine_name_valid(machine, strlen(machine))) {
		log_warning("stored alarm of machine %.64s is unreadable, ignoring it", machine);
		free(one);
		return;
	}
	strcpy(one->machine, machine);
	one->next = *list;
	*list = one;
}

/* A limit that was lowered costs the alarms beyond it, not the start. */
static enum status restore_alarm(
	struct pipeline *p, const struct stored_alarm *stored, struct why *why)
{
	struct machine *machine;
	enum status st = machines_find(p->machines, stored->machine, &machine, why);

	if (st == STATUS_FULL) {
		log_warning("stored alarm of machine %s: more machines than reading.machines, "
			    "ignoring it",
			stored->machine);
		return STATUS_OK;
	}
	if (st != STATUS_OK)
		return st;
	if (machine->alarm.id[0])
		return STATUS_OK; /* the store was opened late: what is here is newer */
	machine->alarm = stored->alarm;
	alarms_show(p, machine);
	if (alarm_active(&stored->alarm))
		metrics_add(p->options.metrics, METRIC_ALARMS_ACTIVE, 1);
	return STATUS_OK;
}

static enum status restore_machines(struct pipeline *p, struct why *why)
{
	struct stored_alarm *list = NULL;
	enum status st = store_alarms(p->options.store, collect_alarm, &list, why);

	while (list) {
		struct stored_alarm *one = list;
		list = one->next;
		if (st == STATUS_OK)
			st = restore_alarm(p, one, why);
		free(one);
	}
	return st;
}

/* The paces of machines that have an alarm, or whose silence may become one. */
static void restore_pace(void *context, const char *name, int64_t value)
{
	struct pipeline *p = context;
	struct machine *machine;
	struct why why;

	if (strcmp(name, "watched_ms") == 0 && value >= 0)
		p->watched_ms = p->watched_saved_ms = value;
	if (strncmp(name, "pace.", 5) != 0 || !machine_name_valid(name + 5, strlen(name + 5)) ||
		value <= 0 || machines_find(p->machines, name + 5, &machine, &why) != STATUS_OK)
		return;
	if (machine->watch.pace.known_ms == 0)
		machine->watch.pace.known_ms = value;
	machine->saved_patience_ms = value;
}

/* Alarms of the last minutes, oldest first, so that a flood goes on where it was. */
struct recent {
	struct alarm_raise raise[STATS_RAISES_MAX];
	size_t count;
};

static bool collect_raise(void *context, int64_t id, const struct store_event *event)
{
	struct recent *recent = context;

	(void)id;
	if (strcmp(event->event, "raised") != 0)
		return true;
	struct alarm_raise *one = &recent->raise[recent->count++];
	one->at_ms = event->at_ms;
	snprintf(one->machine, sizeof(one->machine), "%s", event->machine);
	snprintf(one->alarm, sizeof(one->alarm), "%s", event->alarm);
	return recent->count < STATS_RAISES_MAX;
}

static enum status restore_rates(struct pipeline *p, struct why *why)
{
	struct recent *recent = calloc(1, sizeof(*recent));
	struct store_event_query query = { .to_ms = INT64_MAX, .limit = STORE_LIMIT_MAX };
	int64_t labels;

	if (!recent)
		return fail(why, STATUS_NO_MEMORY, "no memory for the recent alarms");
	enum status st = store_find_events(p->options.store, &query, collect_raise, recent, why);
	while (st == STATUS_OK && recent->count > 0) {
		const struct alarm_raise *one = &recent->raise[--recent->count];
		alarm_stats_raise(&p->stats, one->machine, one->alarm, one->at_ms);
	}
	free(recent);
	p->stats.floods = 0; /* counted since the start */
	if (st == STATUS_OK)
		st = store_count_labels(p->options.store, &labels, why);
	if (st == STATUS_OK)
		metrics_set(p->options.metrics, METRIC_FALSE_ALARMS, labels);
	return st;
}

/* Machines that were forgotten have a history, too, but are not among those known. */
static bool recall(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	struct pipeline *p = context;

	(void)id;
	if (machines_peek(p->machines, verdict->reading.machine))
		plant_recall(p->options.plant, verdict, schema);
	return true;
}

enum status alarms_restore(struct pipeline *p, struct why *why)
{
	enum status st = restore_machines(p, why);

	if (st == STATUS_OK)
		st = store_counters(p->options.store, restore_pace, p, why);
	if (st == STATUS_OK)
		st = restore_rates(p, why);
	if (st == STATUS_OK && p->options.plant)
		st = store_machines(p->options.store, recall, p, why);
	if (st == STATUS_OK)
		alarms_show_rates(p);
	return st;
}

static void take_reserved(void *context, const char *name, const char *record)
{
	struct pipeline *p = context;
	struct machine *machine;
	struct alarm alarm;
	struct why why;

	if (!machine_name_valid(name, strlen(name)) ||
		alarm_decode(record, strlen(record), &alarm, &why) != STATUS_OK ||
		machines_find(p->machines, name, &machine, &why) == STATUS_FULL)
		return;
	bool was = alarm_active(&machine->alarm), is = alarm_active(&alarm);
	metrics_add(p->options.metrics, METRIC_ALARMS_ACTIVE, is - was);
	machine->alarm = alarm;
	machine->alarm_unsaved = p->alarms_unsaved = true;
	machine->alarm_unsent = p->alarms_unsent = true;
	alarms_show(p, machine);
}

void alarms_restore_reserve(struct pipeline *p)
{
	reserve_alarms(p->options.reserve, take_reserved, p);
}

void pipeline_adopt(struct pipeline *p, const struct message *message)
{
	static const char prefix[] = "alerts/", suffix[] = "/alarm";
	const size_t around = sizeof(prefix) - 1 + sizeof(suffix) - 1;
	char name[MACHINE_NAME_MAX + 1];
	struct machine *machine;
	struct alarm alarm;
	struct why why;

	if (message->topic_len <= around || message->topic_len - around > MACHINE_NAME_MAX)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(message->topic_len - around),
		message->topic + sizeof(prefix) - 1);
	if (!machine_name_valid(name, strlen(name)) || message->len == 0 ||
		alarm_decode(message->payload, message->len, &alarm, &why) != STATUS_OK ||
		machines_find(p->machines, name, &machine, &why) == STATUS_FULL ||
		machine->alarm.id[0])
		return;
	machine->alarm = alarm;
	machine->alarm_unsaved = p->alarms_unsaved = true;
	if (alarm_active(&alarm))
		metrics_add(p->options.metrics, METRIC_ALARMS_ACTIVE, 1);
	log_info("alarm taken over from the broker: machine=%s alarm=%s state=%s", name, alarm.id,
		alarm_state_name(alarm_state(&alarm)));
	alarms_show(p, machine);
}
