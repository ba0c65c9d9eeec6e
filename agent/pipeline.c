#include "agent/pipeline.h"
#include "agent/machines.h"
#include "agent/topic.h"
#include "common/log.h"
#include "common/timeutil.h"
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPIC_SIZE = MACHINE_NAME_MAX + 32 };

/* What one message came to. */
struct judgement {
	enum reject reject; /* not REJECT_NONE: the rest but the message is unset */
	bool duplicate;
	bool alarm_changed;
	struct machine *machine; /* borrowed from p->machines; NULL if rejected */
	struct machine before;   /* it, for taking the message back */
	struct alarm alarm;      /* if it changed: what it changed to */
	struct verdict verdict;
};

struct pipeline {
	struct pipeline_options options;
	struct topic_template topic;
	struct machines *machines;
	struct schema schema; /* of the model last seen, or what readings bore before the first */
	bool schema_known;    /* a model was seen */
	struct ledger persisted;  /* the counters as the store has them */
	struct ledger persisting; /* and as the batch in hand will leave them */
	bool alarms_unsent;       /* of some machine */
	bool alarms_unsaved;      /* of some machine */
	struct judgement *judged; /* [room] of the current batch */
	size_t room;
	struct log_limit rejected[REJECT_COUNT];
};

/* ---- one message: decode, score, decide ---- */

static enum reject decode(
	struct pipeline *p, const struct message *message, struct reading *out, struct why *why)
{
	if (!topic_machine(&p->topic, message->topic, message->topic_len, out->machine)) {
		(void)fail(why, STATUS_BAD_INPUT, "the topic names no machine, [A-Za-z0-9_-]{1,%d}",
			MACHINE_NAME_MAX);
		return REJECT_TOPIC;
	}
	if (message->retained) {
		(void)fail(why, STATUS_BAD_INPUT, "a retained message is no fresh reading");
		return REJECT_RETAINED;
	}
	if (message->full_len > PAYLOAD_MAX) {
		(void)fail(why, STATUS_BAD_INPUT, "a payload of %zu bytes, at most %d",
			message->full_len, PAYLOAD_MAX);
		return REJECT_OVERSIZE;
	}
	out->received_ms = message->received_ms;
	if (!p->schema_known) {
		reading_discover(message->payload, message->len, &p->schema);
		for (size_t i = 0; i < FEATURES_MAX;
			i++) /* the schema may yet grow in this batch */
			out->value[i] = NAN;
	}
	return reading_decode(message->payload, message->len, &p->schema, out, why);
}

static void score(struct pipeline *p, const struct model *model, struct verdict *v)
{
	v->score = v->threshold = NAN;
	v->quality = v->reading.missing && p->schema_known ? QUALITY_MISSING : QUALITY_GOOD;
	v->anomalous = false;
	v->model[0] = '\0';
	if (!model)
		return;
	int64_t began = time_monotonic_ns();
	double s = detector_score(&model->detector, v->reading.value);
	metrics_observe(
		p->options.metrics, HISTOGRAM_SCORE, (double)(time_monotonic_ns() - began) * 1e-9);
	if (isnan(s))
		return;
	v->score = s;
	v->threshold = model->threshold;
	v->anomalous = s > model->threshold;
	memcpy(v->model, model->id, sizeof(v->model));
}

/* Beyond the threshold by a quarter of the way that is left to 0.5, the largest score of a
 * forest. All sensors far off reach it; one alone hardly does. */
static bool is_severe(const struct verdict *v)
{
	return v->score > v->threshold + fmax(0.5 - v->threshold, 0) / 4;
}

/* Late readings and unscored ones say nothing about now. */
static void decide(struct pipeline *p, const struct model *model, struct judgement *j)
{
	const struct verdict *v = &j->verdict;

	if (v->late || isnan(v->score))
		return;
	struct alarm_input input = { .at_ms = v->reading.at_ms,
		.score = v->score,
		.threshold = v->threshold,
		.clear = v->threshold,
		.severe = is_severe(v) };
	if (v->anomalous) {
		double contribution[FEATURES_MAX];
		detector_explain(&model->detector, v->reading.value, v->score, contribution);
		size_t first = detector_first(&model->detector, v->reading.value, contribution);
		input.sensor = model->schema.feature[first].name;
	}
	struct alarm_policy policy = { .raise_count = (unsigned)p->options.alarm.raise_count,
		.raise_window = (unsigned)p->options.alarm.raise_window,
		.clear_count = (unsigned)p->options.alarm.clear_count };
	j->alarm_changed =
		alarm_next(&j->machine->alarm, &policy, v->reading.machine, &input) != ALARM_SAME;
	j->alarm = j->machine->alarm;
}

static enum reject find_machine(struct pipeline *p, struct judgement *j, struct why *why)
{
	const char *name = j->verdict.reading.machine;
	enum status st = machines_find(p->machines, name, &j->machine, why);

	if (st == STATUS_FULL)
		return REJECT_MACHINES;
	/* Of a failing store only the newest time is missing: the reading counts as not late. */
	j->before = *j->machine;
	metrics_set(p->options.metrics, METRIC_MACHINES, (int64_t)machines_count(p->machines));
	return REJECT_NONE;
}

/* Readings from the future say nothing about which ones are late: one of the year 2100 would make
 * all that follow late, and silence the machine's alarms. */
enum { AHEAD_MAX_MS = 300000 };

static bool is_ahead(int64_t at_ms, int64_t received_ms)
{
	return at_ms > received_ms + AHEAD_MAX_MS;
}

static bool is_late(const struct pipeline *p, const struct judgement *j)
{
	const struct reading *reading = &j->verdict.reading;
	int64_t newest_ms = j->machine->newest_ms;

	return !is_ahead(newest_ms, reading->received_ms) &&
		reading->at_ms < newest_ms - p->options.reading.late_s * 1000;
}

static void note_newest(struct machine *machine, const struct reading *reading)
{
	if (is_ahead(reading->at_ms, reading->received_ms))
		return;
	/* One from the future may have been stored before a restart. */
	if (reading->at_ms > machine->newest_ms ||
		is_ahead(machine->newest_ms, reading->received_ms))
		machine->newest_ms = reading->at_ms;
}

static enum status note_rejected(struct pipeline *p, const struct message *message,
	const struct judgement *j, const struct why *reason, enum pipeline_mode mode,
	struct why *why)
{
	log_limited(&p->rejected[j->reject], LOG_LEVEL_WARNING,
		"message rejected: reason=%s topic=%.100s: %s", reject_name(j->reject),
		message->topic, reason->text);
	if (mode == PIPELINE_SHED)
		return STATUS_OK;
	return store_add_rejected(p->options.store, message->received_ms, message->topic,
		reject_name(j->reject), reason->text, message->payload, message->len, why);
}

/* ---- a batch ---- */

static enum status judge(struct pipeline *p, const struct model *model,
	const struct message *message, struct judgement *j, enum pipeline_mode mode,
	struct why *why)
{
	struct why reason = { "" };
	enum status st = STATUS_OK;

	memset(j, 0, offsetof(struct judgement, before));
	j->reject = decode(p, message, &j->verdict.reading, &reason);
	if (j->reject == REJECT_NONE)
		j->reject = find_machine(p, j, &reason);
	if (j->reject != REJECT_NONE)
		return note_rejected(p, message, j, &reason, mode, why);
	score(p, model, &j->verdict);
	j->verdict.late = is_late(p, j);
	if (mode == PIPELINE_STORE)
		st = store_add(p->options.store, &j->verdict, &p->schema, &j->duplicate, why);
	if (st != STATUS_OK || j->duplicate)
		return st;
	note_newest(j->machine, &j->verdict.reading);
	decide(p, model, j);
	return STATUS_OK;
}

/* Takes back what judging the first n messages did to their machines. */
static void undo(struct judgement *judged, size_t n)
{
	while (n-- > 0) {
		if (judged[n].machine)
			*judged[n].machine = judged[n].before;
	}
}

/* Sums the batch up for the ledger. */
static void count(
	const struct judgement *judged, size_t n, enum pipeline_mode mode, struct ledger *out)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < n; i++) {
		if (judged[i].reject != REJECT_NONE)
			out->rejected[judged[i].reject]++;
		else if (mode == PIPELINE_SHED)
			out->dropped[DROP_STORE]++;
		else if (judged[i].duplicate)
			out->duplicate++;
		else
			out->stored++;
	}
}

/* The persisted counters are numbered: number i of a ledger and its name, NULL behind the last. */
enum { COUNTER_NAME_SIZE = 48 };

static uint64_t *counter_of(struct ledger *ledger, int i, char name[COUNTER_NAME_SIZE])
{
	if (i == 0 || i == 1) {
		snprintf(name, COUNTER_NAME_SIZE, i ? "duplicate" : "stored");
		return i ? &ledger->duplicate : &ledger->stored;
	}
	int reject = i - 2 + REJECT_NONE + 1, drop = reject - REJECT_COUNT;
	if (reject < REJECT_COUNT) {
		snprintf(name, COUNTER_NAME_SIZE, "rejected.%s", reject_name((enum reject)reject));
		return &ledger->rejected[reject];
	}
	if (drop >= DROP_COUNT)
		return NULL;
	snprintf(name, COUNTER_NAME_SIZE, "dropped.%s", drop_name((enum drop)drop));
	return &ledger->dropped[drop];
}

/* The ledger as it will stand once this batch is committed, into the same transaction: what
 * differs from the last one that was. */
static enum status persist_ledger(struct pipeline *p, struct ledger *change, struct why *why)
{
	struct ledger *next = &p->persisting;
	char name[COUNTER_NAME_SIZE];
	uint64_t *value;

	metrics_ledger(p->options.metrics, next);
	for (int i = 0; (value = counter_of(next, i, name)); i++) {
		*value += *counter_of(change, i, name);
		if (*value == *counter_of(&p->persisted, i, name))
			continue;
		enum status st = store_set_counter(p->options.store, name, (int64_t)*value, why);
		if (st != STATUS_OK)
			return st;
	}
	return STATUS_OK;
}

static enum status persist_alarm(
	struct pipeline *p, const char *machine, const struct alarm *alarm, struct why *why)
{
	char text[ALARM_RECORD_MAX];

	alarm_encode_record(alarm, machine, text, sizeof(text));
	return store_set_alarm(p->options.store, machine, text, why);
}

/* Those that changed in this batch, and those that changed while nothing could be written. */
static enum status persist_alarms(struct pipeline *p, size_t n, struct why *why)
{
	enum status st = STATUS_OK;

	for (size_t i = 0; i < n && st == STATUS_OK; i++) {
		const struct judgement *j = &p->judged[i];
		if (j->alarm_changed)
			st = persist_alarm(p, j->machine->name, &j->machine->alarm, why);
	}
	struct machine *m = p->alarms_unsaved ? machines_first(p->machines) : NULL;
	for (; m && st == STATUS_OK; m = machines_next(m)) {
		if (m->alarm_unsaved)
			st = persist_alarm(p, m->name, &m->alarm, why);
	}
	return st;
}

/* After the commit, or after shedding. */
static void mark_saved(struct pipeline *p, size_t n, enum pipeline_mode mode)
{
	if (mode == PIPELINE_SHED) {
		for (size_t i = 0; i < n; i++) {
			if (p->judged[i].alarm_changed)
				p->judged[i].machine->alarm_unsaved = p->alarms_unsaved = true;
		}
	} else if (p->alarms_unsaved) {
		for (struct machine *m = machines_first(p->machines); m; m = machines_next(m))
			m->alarm_unsaved = false;
		p->alarms_unsaved = false;
	}
}

static void publish_verdict(struct pipeline *p, const struct judgement *j)
{
	const struct pipeline_options *o = &p->options;
	char topic[TOPIC_SIZE], text[VERDICT_TEXT_MAX];

	if (o->alerts.verdicts == VERDICTS_NONE ||
		(o->alerts.verdicts == VERDICTS_ANOMALIES && !j->verdict.anomalous))
		return;
	snprintf(topic, sizeof(topic), "alerts/%s/verdict", j->machine->name);
	size_t len = verdict_encode(&j->verdict, &p->schema, text, sizeof(text));
	if (!o->publish(o->context, topic, text, len, (int)o->alerts.verdict_qos, false))
		metrics_add(o->metrics, METRIC_VERDICTS_UNPUBLISHED, 1);
}

static bool publish_alarm(struct pipeline *p, const char *machine, const struct alarm *alarm)
{
	char topic[TOPIC_SIZE], text[ALARM_TEXT_MAX];
	size_t len = alarm_encode(alarm, machine, text, sizeof(text));

	snprintf(topic, sizeof(topic), "alerts/%s/alarm", machine);
	return p->options.publish(p->options.context, topic, text, len, 1, true);
}

static void count_alarm(struct metrics *metrics, const struct judgement *j)
{
	bool was = alarm_active(&j->before.alarm), is = alarm_active(&j->alarm);

	if (is != was)
		metrics_add(metrics, METRIC_ALARMS_ACTIVE, is ? 1 : -1);
	if (is && !was)
		metrics_add(metrics, METRIC_ALARMS_RAISED, 1);
}

static void publish(struct pipeline *p, const struct message *messages, size_t n)
{
	struct metrics *metrics = p->options.metrics;

	for (size_t i = 0; i < n; i++) {
		const struct judgement *j = &p->judged[i];
		if (j->reject != REJECT_NONE || j->duplicate)
			continue;
		const struct verdict *v = &j->verdict;
		metrics_add(metrics,
			isnan(v->score)        ? METRIC_VERDICTS_UNSCORED
				: v->anomalous ? METRIC_VERDICTS_ANOMALY
					       : METRIC_VERDICTS_NORMAL,
			1);
		if (v->late)
			metrics_add(metrics, METRIC_LATE, 1);
		metrics_machine(metrics, j->machine->name, v->score, v->reading.at_ms);
		publish_verdict(p, j);
		if (j->alarm_changed) {
			count_alarm(metrics, j);
			if (!publish_alarm(p, j->machine->name, &j->alarm))
				j->machine->alarm_unsent = p->alarms_unsent = true;
		}
		metrics_observe(metrics, HISTOGRAM_LATENCY,
			(double)(time_monotonic_ns() - messages[i].received_ns) * 1e-9);
	}
}

static enum status make_room(struct pipeline *p, size_t n, struct why *why)
{
	if (n <= p->room)
		return STATUS_OK;
	struct judgement *judged = realloc(p->judged, n * sizeof(*judged));
	if (!judged)
		return fail(why, STATUS_NO_MEMORY, "no memory for a batch of %zu", n);
	p->judged = judged;
	p->room = n;
	return STATUS_OK;
}

/* Judges all messages inside one transaction, and commits it. After a failure nothing of it is
 * left, here or in the store. */
static enum status store_batch(struct pipeline *p, const struct model *model,
	const struct message *messages, size_t n, struct ledger *change, struct why *why)
{
	size_t judged = 0;
	enum status st = store_begin(p->options.store, why);

	while (st == STATUS_OK && judged < n) {
		struct judgement *j = &p->judged[judged];
		st = judge(p, model, &messages[judged++], j, PIPELINE_STORE, why);
	}
	if (st == STATUS_OK) {
		count(p->judged, n, PIPELINE_STORE, change);
		st = persist_ledger(p, change, why);
	}
	if (st == STATUS_OK)
		st = persist_alarms(p, n, why);
	int64_t began = time_monotonic_ns();
	if (st == STATUS_OK)
		st = store_commit(p->options.store, why);
	else
		store_rollback(p->options.store);
	if (st == STATUS_OK)
		p->persisted = p->persisting;
	else
		undo(p->judged, judged);
	metrics_observe(
		p->options.metrics, HISTOGRAM_COMMIT, (double)(time_monotonic_ns() - began) * 1e-9);
	return st;
}

static void shed_batch(struct pipeline *p, const struct model *model,
	const struct message *messages, size_t n, struct ledger *change)
{
	struct why why;

	for (size_t i = 0; i < n; i++) {
		if (judge(p, model, &messages[i], &p->judged[i], PIPELINE_SHED, &why) != STATUS_OK)
			abort(); /* only the store can fail */
	}
	count(p->judged, n, PIPELINE_SHED, change);
}

enum status pipeline_run(struct pipeline *p, const struct model *model,
	const struct message *messages, size_t n, enum pipeline_mode mode, struct why *why)
{
	struct ledger change;
	enum status st = make_room(p, n, why);

	if (st != STATUS_OK && mode == PIPELINE_SHED) {
		change = (struct ledger){ .dropped[DROP_STORE] = n };
		metrics_settle(p->options.metrics, &change);
		return STATUS_OK;
	}
	if (st != STATUS_OK)
		return st;
	if (model) {
		p->schema = model->schema;
		p->schema_known = true;
	}
	if (mode == PIPELINE_STORE) {
		st = store_batch(p, model, messages, n, &change, why);
		if (st != STATUS_OK) {
			metrics_add(p->options.metrics, METRIC_STORE_ERRORS, 1);
			return st;
		}
	} else {
		shed_batch(p, model, messages, n, &change);
	}
	mark_saved(p, n, mode);
	metrics_settle(p->options.metrics, &change);
	publish(p, messages, n);
	return STATUS_OK;
}

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

/* ---- making one ---- */

static void restore_counter(void *context, const char *name, int64_t value)
{
	char known[COUNTER_NAME_SIZE];
	uint64_t *counter;

	for (int i = 0; (counter = counter_of(context, i, known)); i++) {
		if (strcmp(name, known) == 0)
			*counter = (uint64_t)value;
	}
}

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
	if (alarm_active(&stored->alarm))
		metrics_add(p->options.metrics, METRIC_ALARMS_ACTIVE, 1);
	return STATUS_OK;
}

static enum status restore_alarms(struct pipeline *p, struct why *why)
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

static enum status restore(struct pipeline *p, struct why *why)
{
	enum status st = store_counters(p->options.store, restore_counter, &p->persisted, why);

	if (st != STATUS_OK)
		return st;
	metrics_restore(p->options.metrics, &p->persisted);
	return restore_alarms(p, why);
}

enum status pipeline_create(
	const struct pipeline_options *options, struct pipeline **out, struct why *why)
{
	struct topic_template topic;
	enum status st = topic_parse(options->topic, &topic, why);

	if (st != STATUS_OK)
		return st;
	struct pipeline *p = calloc(1, sizeof(*p));
	if (!p)
		return fail(why, STATUS_NO_MEMORY, "no memory for the pipeline");
	p->options = *options;
	p->topic = topic;
	st = machines_create(options->store, (size_t)options->reading.machines, &p->machines, why);
	if (st == STATUS_OK)
		st = restore(p, why);
	if (st != STATUS_OK) {
		pipeline_destroy(p);
		return st;
	}
	*out = p;
	return STATUS_OK;
}

void pipeline_destroy(struct pipeline *p)
{
	if (!p)
		return;
	machines_destroy(p->machines);
	free(p->judged);
	free(p);
}
