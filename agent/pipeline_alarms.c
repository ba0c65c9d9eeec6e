#include "agent/pipeline_internal.h"
#include "common/store_alarm.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- changes ---- */

const char *change_event(enum alarm_change change)
{
	return change == ALARM_RAISED ? "raised" : change == ALARM_CLEARED ? "cleared" : "updated";
}

void change_add(struct pipeline *p, struct machine *machine, enum alarm_change change,
	const char *event, int64_t at_ms)
{
	if (change == ALARM_SAME)
		return;
	if (p->change_count == p->change_room) {
		size_t room = p->change_room ? 2 * p->change_room : 16;
		struct change *changes = realloc(p->changes, room * sizeof(*changes));
		if (!changes) { /* its present state is told later, if not what led there */
			machine->alarm_unsent = p->alarms_unsent = true;
			machine->alarm_unsaved = p->alarms_unsaved = true;
			return;
		}
		p->changes = changes;
		p->change_room = room;
	}
	p->changes[p->change_count++] = (struct change){ .machine = machine,
		.change = change,
		.event = event,
		.at_ms = at_ms,
		.alarm = machine->alarm };
}

/* ---- into the store ---- */

static enum status persist_alarm(struct pipeline *p, const struct machine *m, struct why *why)
{
	char text[ALARM_RECORD_MAX];

	alarm_encode_record(&m->alarm, m->name, text, sizeof(text));
	return store_set_alarm(p->options.store, m->name, text, why);
}

static enum status persist_event(struct pipeline *p, const struct change *c, struct why *why)
{
	char text[ALARM_RECORD_MAX];
	size_t len = alarm_encode_open(&c->alarm, c->machine->name, text, sizeof(text) - 1);
	struct store_event event = { c->at_ms, c->machine->name, c->alarm.id, c->event, text };

	memcpy(text + len, "}", 2);
	return store_add_event(p->options.store, &event, why);
}

/* What an operator called a false alarm was healthy, from its first reading to its last so far. */
static enum status persist_label(struct pipeline *p, const struct change *c, struct why *why)
{
	const struct alarm *a = &c->alarm;
	struct store_label label = { c->machine->name, a->id, a->from_ms, a->last_ms, c->at_ms,
		LABEL_HEALTHY, a->operator_name, a->reason };

	return a->false_alarm ? store_set_label(p->options.store, &label, why) : STATUS_OK;
}

/* What a machine's pace has come to; small changes are not worth a write. */
static enum status persist_pace(struct pipeline *p, struct machine *m, struct why *why)
{
	int64_t patience_ms = pace_patience_ms(&m->watch.pace, 1);
	int64_t differs_ms = llabs(patience_ms - m->saved_patience_ms);
	char name[MACHINE_NAME_MAX + 8];

	if (patience_ms == 0 || differs_ms * 4 <= m->saved_patience_ms)
		return STATUS_OK;
	snprintf(name, sizeof(name), "pace.%s", m->name);
	m->saved_patience_ms = patience_ms; /* taken back with the batch if it fails */
	return store_set_counter(p->options.store, name, patience_ms, why);
}

/* Not more often than once in this time of watching. */
enum { WATCHED_STEP_MS = 60000 };

static enum status persist_watched(struct pipeline *p, struct why *why)
{
	if (p->watched_ms - p->watched_saved_ms < WATCHED_STEP_MS)
		return STATUS_OK;
	enum status st = store_set_counter(p->options.store, "watched_ms", p->watched_ms, why);
	if (st == STATUS_OK)
		p->watched_saved_ms = p->watched_ms;
	return st;
}

static enum status persist_touched(struct pipeline *p, struct why *why)
{
	enum status st = STATUS_OK;

	for (size_t i = 0; i < p->touched_count && st == STATUS_OK; i++) {
		struct machine *m = p->touched[i].machine;
		const struct alarm *before = &p->touched[i].before.alarm;
		if (memcmp(before, &m->alarm, sizeof(*before)) != 0)
			st = persist_alarm(p, m, why);
		if (st == STATUS_OK)
			st = persist_pace(p, m, why);
	}
	return st;
}

enum status changes_persist(struct pipeline *p, struct why *why)
{
	enum status st = STATUS_OK;

	for (size_t i = 0; i < p->change_count && st == STATUS_OK; i++) {
		const struct change *c = &p->changes[i];
		st = persist_event(p, c, why);
		if (st == STATUS_OK)
			st = persist_label(p, c, why);
		if (st == STATUS_OK && !c->machine->touched)
			st = persist_alarm(p, c->machine, why);
	}
	if (st == STATUS_OK)
		st = persist_touched(p, why);
	struct machine *m = p->alarms_unsaved ? machines_first(p->machines) : NULL;
	for (; m && st == STATUS_OK; m = machines_next(m)) {
		if (m->alarm_unsaved)
			st = persist_alarm(p, m, why);
	}
	return st == STATUS_OK ? persist_watched(p, why) : st;
}

/* ---- to those who ask ---- */

static void show(struct pipeline *p, const struct machine *m)
{
	if (p->options.board && m->alarm.id[0])
		board_put(p->options.board, m->name, &m->alarm);
}

void changes_settle(struct pipeline *p, bool unsaved)
{
	for (size_t i = 0; i < p->change_count; i++) {
		struct machine *m = p->changes[i].machine;
		if (unsaved)
			m->alarm_unsaved = p->alarms_unsaved = true;
		show(p, m);
	}
	for (size_t i = 0; i < p->touched_count; i++) {
		struct machine *m = p->touched[i].machine;
		if (memcmp(&p->touched[i].before.alarm, &m->alarm, sizeof(m->alarm)) != 0)
			show(p, m);
		m->touched = false;
	}
	p->touched_count = 0;
	if (unsaved || !p->alarms_unsaved)
		return;
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m))
		m->alarm_unsaved = false;
	p->alarms_unsaved = false;
}

static bool publish_alarm(struct pipeline *p, const char *machine, const struct alarm *alarm)
{
	char topic[TOPIC_SIZE], text[ALARM_TEXT_MAX];
	size_t len = alarm_encode(alarm, machine, text, sizeof(text));

	snprintf(topic, sizeof(topic), "alerts/%s/alarm", machine);
	return p->options.publish(p->options.context, topic, text, len, 1, true);
}

/* The whole group again when it has just become one: its first members did not know. */
static void group(struct pipeline *p, bool fresh)
{
	const struct alarm_stats *stats = &p->stats;
	const struct alarm_raise *member;

	for (size_t i = 0; (member = alarm_stats_member(stats, i)) && (fresh || i == 0); i++)
		if (p->options.board)
			board_group(p->options.board, member->machine, member->alarm, stats->group);
	if (!fresh)
		return;
	metrics_add(p->options.metrics, METRIC_ALARM_GROUPS, 1);
	log_limited(&p->groups, LOG_LEVEL_WARNING,
		"alarms of %zu machines within a minute: a common cause is likely, group %s",
		stats->in_group, stats->group);
}

static void show_rates(struct pipeline *p)
{
	struct metrics *metrics = p->options.metrics;
	size_t chattering = alarm_stats_chattering(&p->stats);
	struct board_sums sums;

	metrics_set(metrics, METRIC_ALARM_RATE, (int64_t)p->stats.count);
	metrics_set(metrics, METRIC_ALARM_FLOOD, p->stats.flood);
	metrics_set(metrics, METRIC_ALARM_FLOODS, (int64_t)p->stats.floods);
	metrics_set(metrics, METRIC_ALARMS_CHATTERING, (int64_t)chattering);
	metrics_set(metrics, METRIC_WATCHED_S, p->watched_ms / 1000);
	if (!p->options.board)
		return;
	board_set_rates(p->options.board, p->stats.count, chattering, p->stats.flood);
	board_sum(p->options.board, &sums);
	for (int i = 0; i < ALARM_STATES; i++)
		metrics_set(metrics, METRIC_ALARMS_NORMAL + (enum metric)i, (int64_t)sums.state[i]);
	for (int i = 0; i < ALARM_CAUSES; i++)
		metrics_set(metrics, METRIC_CAUSE_ANOMALY + (enum metric)i, (int64_t)sums.cause[i]);
}

static void count_raise(struct pipeline *p, const struct change *c)
{
	bool grouped = p->stats.in_group > 0;

	metrics_add(p->options.metrics, METRIC_ALARMS_RAISED, 1);
	alarm_stats_raise(&p->stats, c->machine->name, c->alarm.id, c->at_ms);
	if (p->stats.in_group > 0)
		group(p, !grouped);
}

void changes_tell(struct pipeline *p, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		const struct change *c = &p->changes[i];
		if (c->change == ALARM_RAISED)
			count_raise(p, c);
		if (c->change == ALARM_RAISED || c->change == ALARM_CLEARED)
			metrics_add(p->options.metrics, METRIC_ALARMS_ACTIVE,
				c->change == ALARM_RAISED ? 1 : -1);
		if (!publish_alarm(p, c->machine->name, &c->alarm))
			c->machine->alarm_unsent = p->alarms_unsent = true;
	}
	if (end > first)
		show_rates(p);
}

/* ---- what happens between readings ---- */

/* The changes so far, in a transaction of their own; what cannot be written is told all the same,
 * and written when it can. */
static void conclude(struct pipeline *p)
{
	struct why why;

	if (p->change_count == 0)
		return;
	enum status st = store_begin(p->options.store, &why);
	if (st == STATUS_OK)
		st = changes_persist(p, &why);
	if (st == STATUS_OK)
		st = store_commit(p->options.store, &why);
	else
		store_rollback(p->options.store);
	if (st != STATUS_OK)
		metrics_add(p->options.metrics, METRIC_STORE_ERRORS, 1);
	changes_settle(p, st != STATUS_OK);
	changes_tell(p, 0, p->change_count);
	p->change_count = 0;
}

static void tick_machine(struct pipeline *p, struct machine *m, int64_t now_ms)
{
	int64_t least_ms = p->options.alarm.silent_s * 1000;

	change_add(p, m, alarm_tick(&m->alarm, now_ms), "expired", now_ms);
	if (least_ms == 0 || p->heard_ms == 0 || (m->alarm.causes & ALARM_BIT(ALARM_SILENT)) ||
		!pace_silent(&m->watch.pace, least_ms, p->heard_ms, now_ms))
		return;
	enum alarm_change change = alarm_silence(&m->alarm, &p->policy, m->name, now_ms);
	if (change == ALARM_SAME)
		return;
	metrics_add(p->options.metrics, METRIC_QUALITY_SILENT, 1);
	change_add(p, m, change, change_event(change), now_ms);
}

/* Between two looks at what only time changes. */
enum { RATES_MS = 1000 };

void pipeline_tick(struct pipeline *p, int64_t now_ms, bool connected)
{
	if (!connected)
		p->heard_ms = 0;
	else if (p->heard_ms == 0)
		p->heard_ms = now_ms;
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m))
		tick_machine(p, m, now_ms);
	conclude(p);
	if (now_ms - p->rates_ms < RATES_MS && now_ms >= p->rates_ms)
		return;
	p->rates_ms = now_ms;
	alarm_stats_tick(&p->stats, now_ms);
	show_rates(p);
}

/* ---- what people ask ---- */

static bool take_event(void *context, int64_t id, const struct store_event *event)
{
	(void)id;
	snprintf(context, MACHINE_NAME_MAX + 1, "%s", event->machine);
	return false;
}

/* No machine has this alarm now: one may have had it. */
static enum status refuse_id(struct pipeline *p, const char *id, struct why *why)
{
	char machine[MACHINE_NAME_MAX + 1] = "";
	struct store_event_query query = { .alarm = id, .to_ms = INT64_MAX, .limit = 1 };
	struct why unreadable;

	if (store_find_events(p->options.store, &query, take_event, machine, &unreadable) ==
			STATUS_OK &&
		machine[0])
		return fail(why, STATUS_CONFLICT, "alarm %s is over; machine %s has a newer one",
			id, machine);
	return fail(why, STATUS_NOT_FOUND, "there is no alarm %.40s", id);
}

static enum status find_alarm(
	struct pipeline *p, const struct command *command, struct machine **out, struct why *why)
{
	struct machine *m;

	if (command->id[0]) {
		for (m = machines_first(p->machines); m; m = machines_next(m)) {
			if (strcmp(m->alarm.id, command->id) == 0 &&
				(!command->machine[0] || strcmp(m->name, command->machine) == 0)) {
				*out = m;
				return STATUS_OK;
			}
		}
		return refuse_id(p, command->id, why);
	}
	m = machines_peek(p->machines, command->machine);
	if (!m || !m->alarm.id[0])
		return fail(why, STATUS_NOT_FOUND, "there is no alarm of a machine %s",
			command->machine);
	*out = m;
	return STATUS_OK;
}

/* One that was heard of, if only before the last start. */
static enum status find_machine(
	struct pipeline *p, const char *name, struct machine **out, struct why *why)
{
	int64_t newest_ms = -1;

	*out = machine_name_valid(name, strlen(name)) ? machines_peek(p->machines, name) : NULL;
	if (*out)
		return STATUS_OK;
	/* A store that cannot be read knows none. */
	if (!machine_name_valid(name, strlen(name)) ||
		store_newest(p->options.store, name, &newest_ms, NULL) != STATUS_OK)
		newest_ms = -1;
	if (newest_ms < 0)
		return fail(why, STATUS_NOT_FOUND, "there is no machine %.64s", name);
	return machines_find(p->machines, name, out, why);
}

static enum status act(
	struct pipeline *p, struct machine *m, const struct command *command, struct why *why)
{
	struct alarm_action action = { command->at_ms, command->operator_name, command->reason,
		command->until_ms };
	enum alarm_change change = ALARM_UPDATED;
	const char *event = "";
	enum status st = STATUS_OK;

	switch (command->verb) {
	case COMMAND_ACK:
		st = alarm_acknowledge(&m->alarm, &action, why);
		event = "acknowledged";
		break;
	case COMMAND_SHELVE:
		st = alarm_shelve(&m->alarm, &action, why);
		event = "shelved";
		break;
	case COMMAND_UNSHELVE:
		st = alarm_unshelve(&m->alarm, &action, why);
		event = "unshelved";
		break;
	case COMMAND_FALSE_ALARM:
		st = alarm_deny(&m->alarm, &action, why);
		event = "false_alarm";
		break;
	case COMMAND_STOP:
		change = alarm_stop(&m->alarm, &p->policy, m->name, &action);
		event = "stopped";
		break;
	case COMMAND_START:
		change = alarm_start(&m->alarm, &action);
		event = "started";
		break;
	case COMMAND_FORGET:
	case COMMAND_VERBS:
		return STATUS_BAD_INPUT;
	}
	if (st == STATUS_OK)
		change_add(p, m, change, event, command->at_ms);
	if (st == STATUS_OK && command->verb == COMMAND_FALSE_ALARM)
		metrics_add(p->options.metrics, METRIC_FALSE_ALARMS, 1);
	return st;
}

static enum status write_forgotten(
	struct pipeline *p, struct machine *m, const struct command *command, struct why *why)
{
	struct change change = {
		.machine = m, .event = "forgotten", .at_ms = command->at_ms, .alarm = m->alarm
	};
	enum status st = store_begin(p->options.store, why);

	if (st == STATUS_OK && m->alarm.id[0])
		st = persist_event(p, &change, why);
	if (st == STATUS_OK)
		st = store_set_alarm(p->options.store, m->name, NULL, why);
	if (st == STATUS_OK)
		return store_commit(p->options.store, why);
	store_rollback(p->options.store);
	return st;
}

/* Its alarm is gone, here, in the store and at the broker; its history stays. */
static enum status forget(
	struct pipeline *p, struct machine *m, const struct command *command, struct why *why)
{
	char topic[TOPIC_SIZE];

	if (write_forgotten(p, m, command, why) != STATUS_OK)
		return STATUS_UNAVAILABLE;
	snprintf(topic, sizeof(topic), "alerts/%s/alarm", m->name);
	if (!p->options.publish(p->options.context, topic, "", 0, 1, true))
		log_warning("the retained alarm of forgotten machine %s stays at the broker: it is "
			    "away",
			m->name);
	if (p->options.board)
		board_remove(p->options.board, m->name);
	if (alarm_active(&m->alarm))
		metrics_add(p->options.metrics, METRIC_ALARMS_ACTIVE, -1);
	machines_remove(p->machines, m);
	metrics_set(p->options.metrics, METRIC_MACHINES, (int64_t)machines_count(p->machines));
	show_rates(p);
	return STATUS_OK;
}

void pipeline_command(
	struct pipeline *p, const struct command *command, struct command_answer *answer)
{
	bool of_machine = command_of_machine(command->verb);
	struct machine *m = NULL;

	answer->alarm[0] = '\0';
	answer->status = of_machine ? find_machine(p, command->machine, &m, &answer->why)
				    : find_alarm(p, command, &m, &answer->why);
	if (answer->status == STATUS_OK)
		answer->status = command->verb == COMMAND_FORGET
			? forget(p, m, command, &answer->why)
			: act(p, m, command, &answer->why);
	if (answer->status != STATUS_OK || command->verb == COMMAND_FORGET)
		return;
	conclude(p);
	log_info("%s: machine=%s alarm=%s state=%s operator=%s", command_name(command->verb),
		m->name, m->alarm.id, alarm_state_name(alarm_state(&m->alarm)),
		command->operator_name[0] ? command->operator_name : "-");
	size_t len =
		alarm_encode_open(&m->alarm, m->name, answer->alarm, sizeof(answer->alarm) - 1);
	memcpy(answer->alarm + len, "}", 2);
}

/* ---- the broker ---- */

void pipeline_republish(struct pipeline *p)
{
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m)) {
		if (m->alarm.id[0])
			m->alarm_unsent = p->alarms_unsent = true;
	}
}

void pipeline_publish_unsent(struct pipeline *p)
{
	if (!p->alarms_unsent)
		return;
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m)) {
		if (m->alarm_unsent && !publish_alarm(p, m->name, &m->alarm))
			return;
		m->alarm_unsent = false;
	}
	p->alarms_unsent = false;
}

/* ---- after a restart ---- */

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
	machine->alarm = stored->alarm;
	show(p, machine);
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
	machine->watch.pace.known_ms = machine->saved_patience_ms = value;
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

enum status alarms_restore(struct pipeline *p, struct why *why)
{
	enum status st = restore_machines(p, why);

	if (st == STATUS_OK)
		st = store_counters(p->options.store, restore_pace, p, why);
	if (st == STATUS_OK)
		st = restore_rates(p, why);
	if (st == STATUS_OK)
		show_rates(p);
	return st;
}
