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

enum status change_persist_event(struct pipeline *p, const struct change *c, struct why *why)
{
	char text[ALARM_RECORD_MAX];
	size_t len = alarm_encode_open(&c->alarm, c->machine->name, text, sizeof(text) - 1);
	struct store_event event = { c->at_ms, c->machine->name, c->alarm.id, c->event, text };

	memcpy(text + len, "}", 2);
	return store_add_event(p->options.store, &event, why);
}

/* Tells of it when it is committed, and again until the broker has it. */
static enum status put_in_outbox(struct pipeline *p, const struct change *c, struct why *why)
{
	char topic[TOPIC_SIZE], text[ALARM_TEXT_MAX];

	if (!p->options.outbox)
		return STATUS_OK;
	size_t len = alarm_encode(&c->alarm, c->machine->name, text, sizeof(text));
	snprintf(topic, sizeof(topic), "alerts/%s/alarm", c->machine->name);
	return outbox_put(p->options.outbox, topic, text, len, true, why);
}

/* What an operator called a false alarm was healthy, from its first reading to its last so far. */
static enum status persist_label(struct pipeline *p, const struct change *c, struct why *why)
{
	const struct alarm *a = &c->alarm;
	struct store_label label = { c->machine->name, a->id, a->from_ms, a->last_ms, c->at_ms,
		LABEL_HEALTHY, a->operator_name, a->reason };

	return a->false_alarm ? store_set_label(p->options.store, &label, why) : STATUS_OK;
}

enum status pace_write(
	struct pipeline *p, const char *machine, int64_t patience_ms, struct why *why)
{
	char name[MACHINE_NAME_MAX + 8];

	snprintf(name, sizeof(name), "pace.%s", machine);
	return store_set_counter(p->options.store, name, patience_ms, why);
}

/* What a machine's pace has come to; small changes are not worth a write. */
static enum status persist_pace(struct pipeline *p, struct machine *m, struct why *why)
{
	int64_t patience_ms = pace_patience_ms(&m->watch.pace, 1);
	int64_t differs_ms = llabs(patience_ms - m->saved_patience_ms);

	if (patience_ms == 0 || differs_ms * 4 <= m->saved_patience_ms)
		return STATUS_OK;
	m->saved_patience_ms = patience_ms; /* taken back with the batch if it fails */
	return pace_write(p, m->name, patience_ms, why);
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
		if (!alarm_same(before, &m->alarm))
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
		st = change_persist_event(p, c, why);
		if (st == STATUS_OK)
			st = persist_label(p, c, why);
		if (st == STATUS_OK)
			st = put_in_outbox(p, c, why);
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
	if (st == STATUS_OK)
		st = persist_watched(p, why);
	if (st == STATUS_OK && p->options.outbox)
		st = outbox_settle(p->options.outbox, why);
	return st;
}

enum status transaction_end(struct pipeline *p, enum status st, struct why *why)
{
	if (st == STATUS_OK)
		st = store_commit(p->options.store, why);
	else
		store_rollback(p->options.store);
	p->in_outbox = st == STATUS_OK && p->options.outbox;
	if (!p->options.outbox)
		return st;
	if (st == STATUS_OK)
		outbox_committed(p->options.outbox);
	else
		outbox_rolled_back(p->options.outbox);
	return st;
}

/* A disk that fails is a time for alarms: they go out all the same. */
void make_safe(struct pipeline *p)
{
	struct why why;

	if (store_secure(p->options.store, &why) == STATUS_OK)
		return;
	metrics_add(p->options.metrics, METRIC_STORE_ERRORS, 1);
	log_limited(&p->unsafe, LOG_LEVEL_ERROR,
		"an alarm is told that a power cut would take back: %s", why.text);
}

/* ---- to those who ask ---- */

void alarms_show(struct pipeline *p, const struct machine *m)
{
	if (p->options.board && m->alarm.id[0])
		board_put(p->options.board, m->name, &m->alarm);
	if (p->options.plant && m->alarm.id[0])
		plant_alarm(p->options.plant, m->name, &m->alarm);
}

static void put_in_reserve(struct pipeline *p, const struct machine *m)
{
	char text[ALARM_RECORD_MAX];

	if (!p->options.reserve)
		return;
	alarm_encode_record(&m->alarm, m->name, text, sizeof(text));
	reserve_put_alarm(p->options.reserve, m->name, text);
}

void changes_settle(struct pipeline *p, bool unsaved)
{
	for (size_t i = 0; i < p->change_count; i++) {
		struct machine *m = p->changes[i].machine;
		if (unsaved) {
			m->alarm_unsaved = p->alarms_unsaved = true;
			put_in_reserve(p, m);
		}
		alarms_show(p, m);
	}
	for (size_t i = 0; i < p->touched_count; i++) {
		struct machine *m = p->touched[i].machine;
		if (!alarm_same(&p->touched[i].before.alarm, &m->alarm))
			alarms_show(p, m);
		m->touched = false;
	}
	p->touched_count = 0;
	if (unsaved || !p->alarms_unsaved)
		return;
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m))
		m->alarm_unsaved = false;
	p->alarms_unsaved = false;
	reserve_clear_alarms(p->options.reserve);
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

/* Families of metrics are in the order of what they count. */
_Static_assert(METRIC_ALARMS_SUPPRESSED - METRIC_ALARMS_NORMAL == ALARM_SUPPRESSED, "states");
_Static_assert(METRIC_ALARMS_SHELVED - METRIC_ALARMS_NORMAL == ALARM_SHELVED, "states");
_Static_assert(METRIC_CAUSE_SILENT - METRIC_CAUSE_ANOMALY == ALARM_SILENT, "causes");
_Static_assert(METRIC_CAUSE_STUCK - METRIC_CAUSE_ANOMALY == ALARM_STUCK, "causes");
_Static_assert(METRIC_QUALITY_SKEW - METRIC_QUALITY_GOOD == QUALITY_SKEW, "qualities");
_Static_assert(METRIC_QUALITY_STUCK - METRIC_QUALITY_GOOD == QUALITY_STUCK, "qualities");

void alarms_show_rates(struct pipeline *p)
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

static bool older_waits(struct pipeline *p)
{
	return p->options.outbox && outbox_waits(p->options.outbox);
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
		/* What waits in the outbox is older, and would be what the broker keeps. */
		if (!p->in_outbox &&
			(!publish_alarm(p, c->machine->name, &c->alarm) || older_waits(p)))
			c->machine->alarm_unsent = p->alarms_unsent = true;
	}
	if (end > first)
		alarms_show_rates(p);
}

/* ---- what happens between readings ---- */

void changes_conclude(struct pipeline *p)
{
	struct why why;

	if (p->change_count == 0)
		return;
	enum status st = store_begin(p->options.store, &why);
	if (st == STATUS_OK)
		st = changes_persist(p, &why);
	st = transaction_end(p, st, &why);
	if (st == STATUS_OK)
		make_safe(p);
	else
		metrics_add(p->options.metrics, METRIC_STORE_ERRORS, 1);
	changes_settle(p, st != STATUS_OK);
	changes_tell(p, 0, p->change_count);
	p->change_count = 0;
	if (p->in_outbox)
		outbox_pump(p->options.outbox);
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

/* When no batch takes out what has arrived, and when the broker was away. */
static void tend_outbox(struct pipeline *p)
{
	struct outbox *outbox = p->options.outbox;
	struct why why;

	if (outbox_unsettled(outbox)) {
		enum status st = store_begin(p->options.store, &why);
		if (st == STATUS_OK)
			st = outbox_settle(outbox, &why);
		(void)transaction_end(p, st, &why); /* a failing store: tried again */
	}
	outbox_pump(outbox);
	metrics_set(p->options.metrics, METRIC_OUTBOX, (int64_t)outbox_length(outbox));
	metrics_set(p->options.metrics, METRIC_OUTBOX_DROPPED, (int64_t)outbox_dropped(outbox));
}

/* Between two looks at what only time changes. */
enum { RATES_MS = 1000 };

/* Between two syncs of the reserve's counters while the store can be written: they matter when it
 * was lost, and the worker waits for the disk. */
enum { RESERVE_MS = 10000 };

void pipeline_tick(struct pipeline *p, int64_t now_ms, bool connected)
{
	if (!connected)
		p->heard_ms = 0;
	else if (p->heard_ms == 0)
		p->heard_ms = now_ms;
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m))
		tick_machine(p, m, now_ms);
	changes_conclude(p);
	if (p->options.outbox)
		tend_outbox(p);
	if (now_ms - p->rates_ms < RATES_MS && now_ms >= p->rates_ms)
		return;
	p->rates_ms = now_ms;
	bool due = now_ms - p->reserved_ms >= RESERVE_MS || now_ms < p->reserved_ms;
	if (due)
		p->reserved_ms = now_ms;
	ledger_reserve(p, due);
	alarm_stats_tick(&p->stats, now_ms);
	alarms_show_rates(p);
}

/* ---- the broker ---- */

void pipeline_republish(struct pipeline *p)
{
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m)) {
		if (m->alarm.id[0])
			m->alarm_unsent = p->alarms_unsent = true;
	}
	if (p->options.outbox)
		outbox_reconnected(p->options.outbox);
}

void pipeline_publish_unsent(struct pipeline *p)
{
	if (!p->alarms_unsent)
		return;
	if (p->options.outbox)
		outbox_pump(p->options.outbox);
	if (older_waits(p))
		return; /* the latest comes last */
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m)) {
		if (m->alarm_unsent && !publish_alarm(p, m->name, &m->alarm))
			return;
		m->alarm_unsent = false;
	}
	p->alarms_unsent = false;
}
