#include "agent/pipeline_internal.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a batch ---- */

/* Takes back what the batch did to its machines. */
static void undo(struct pipeline *p)
{
	for (size_t i = 0; i < p->touched_count; i++)
		*p->touched[i].machine = p->touched[i].before;
	p->touched_count = 0;
	p->change_count = 0;
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

static void show(struct pipeline *p, const struct judgement *j, const struct message *message)
{
	if (p->options.plant)
		plant_note(p->options.plant, &j->verdict, &p->schema,
			pace_patience_ms(
				&j->machine->watch.pace, p->options.alarm.silent_s * 1000));
	metrics_observe(p->options.metrics, HISTOGRAM_LATENCY,
		(double)(time_monotonic_ns() - message->received_ns) * 1e-9);
}

static bool is_reading(const struct judgement *j)
{
	return j->reject == REJECT_NONE && !j->duplicate;
}

/* Message i of the batch is judged: what need not be safe is told and shown at once, because a
 * commit takes many times as long as a score. A batch that is tried again tells each once. */
static void tell_early(struct pipeline *p, size_t i, const struct message *message)
{
	const struct judgement *j = &p->judged[i];

	if (i < p->fed)
		return;
	p->fed = i + 1;
	if (is_reading(j) && feed_early(p, j))
		show(p, j, message);
}

static void publish(struct pipeline *p, const struct message *messages, size_t n)
{
	struct metrics *metrics = p->options.metrics;
	size_t told = 0;

	for (size_t i = 0; i < n; i++) {
		const struct judgement *j = &p->judged[i];
		if (!is_reading(j))
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
		if (j->skipped > 0)
			metrics_gap(metrics, j->machine->name, j->skipped);
		metrics_add(metrics, METRIC_QUALITY_GOOD + (enum metric)v->quality, 1);
		bool late = feed_late(p, j);
		changes_tell(p, told, j->changes);
		told = j->changes;
		if (late)
			show(p, j, &messages[i]);
	}
	feed_flush(p);
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

/* Alarms, and verdicts that have to be safe before they are told, don't wait for others. */
static bool may_wait(const struct pipeline *p, const struct batch *batch)
{
	return batch->more && p->change_count == 0 && p->options.alerts.verdict_qos == 0;
}

static enum status judge_batch(struct pipeline *p, struct batch *batch, struct why *why)
{
	enum status st = STATUS_OK;
	size_t i = 0;

	do {
		st = make_room(p, batch->n, why);
		for (; i < batch->n && st == STATUS_OK; i++) {
			st = judge_message(
				p, &batch->messages[i], &p->judged[i], PIPELINE_STORE, why);
			if (st == STATUS_OK)
				tell_early(p, i, &batch->messages[i]);
		}
		feed_flush(p);
	} while (st == STATUS_OK && may_wait(p, batch) && batch->more(batch->context, batch));
	return st;
}

/* Judges all messages inside one transaction, and commits it. After a failure nothing of it is
 * left, here or in the store. */
static enum status store_batch(
	struct pipeline *p, struct batch *batch, struct ledger *change, struct why *why)
{
	int64_t watched_ms = p->watched_ms, saved_ms = p->watched_saved_ms;
	enum status st = store_begin(p->options.store, why);

	if (st == STATUS_OK)
		st = judge_batch(p, batch, why);
	if (st == STATUS_OK) {
		count(p->judged, batch->n, PIPELINE_STORE, change);
		st = persist_ledger(p, change, why);
	}
	if (st == STATUS_OK)
		st = feed_persist(p, batch->n, why);
	if (st == STATUS_OK)
		st = changes_persist(p, why);
	int64_t began = time_monotonic_ns();
	st = transaction_end(p, st, why);
	if (st == STATUS_OK) {
		p->persisted = p->persisting;
	} else {
		undo(p);
		p->watched_ms = watched_ms;
		p->watched_saved_ms = saved_ms;
	}
	metrics_observe(
		p->options.metrics, HISTOGRAM_COMMIT, (double)(time_monotonic_ns() - began) * 1e-9);
	return st;
}

static void shed_batch(struct pipeline *p, const struct batch *batch, struct ledger *change)
{
	struct why why;

	for (size_t i = 0; i < batch->n; i++) {
		if (judge_message(p, &batch->messages[i], &p->judged[i], PIPELINE_SHED, &why) !=
			STATUS_OK)
			abort(); /* only the store can fail */
		tell_early(p, i, &batch->messages[i]);
	}
	feed_flush(p);
	count(p->judged, batch->n, PIPELINE_SHED, change);
}

enum status pipeline_run(struct pipeline *p, const struct models *models, struct batch *batch,
	enum pipeline_mode mode, struct why *why)
{
	struct ledger change;
	enum status st = make_room(p, batch->n, why);

	if (st != STATUS_OK && mode == PIPELINE_SHED) {
		change = (struct ledger){ .dropped[DROP_STORE] = batch->n };
		metrics_settle(p->options.metrics, &change);
		return STATUS_OK;
	}
	if (st != STATUS_OK)
		return st;
	judge_by(p, models);
	if (mode == PIPELINE_STORE) {
		st = store_batch(p, batch, &change, why);
		if (st != STATUS_OK) {
			metrics_add(p->options.metrics, METRIC_STORE_ERRORS, 1);
			return st;
		}
	} else {
		shed_batch(p, batch, &change);
		p->in_outbox = false;
	}
	p->fed = 0;
	if (mode == PIPELINE_STORE && (p->change_count > 0 || p->options.alerts.verdict_qos > 0))
		make_safe(p);
	changes_settle(p, mode == PIPELINE_SHED);
	metrics_settle(p->options.metrics, &change);
	if (mode == PIPELINE_SHED)
		ledger_reserve(p, true);
	publish(p, batch->messages, batch->n);
	p->change_count = 0;
	if (p->in_outbox)
		outbox_pump(p->options.outbox);
	judge_by(p, models); /* ticks and commands go by the plant's, not by the last machine's */
	return STATUS_OK;
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

void ledger_beyond(const struct ledger *later, const struct ledger *earlier, struct ledger *out)
{
	struct ledger a = *later, b = *earlier;
	char name[COUNTER_NAME_SIZE];
	uint64_t *counter;

	memset(out, 0, sizeof(*out));
	for (int i = 0; (counter = counter_of(out, i, name)); i++) {
		uint64_t one = *counter_of(&a, i, name), other = *counter_of(&b, i, name);
		*counter = one > other ? one - other : 0;
	}
}

void ledger_reserve(struct pipeline *p, bool safe)
{
	struct ledger ledger;

	if (!p->options.reserve)
		return;
	metrics_ledger(p->options.metrics, &ledger);
	reserve_save(p->options.reserve, &ledger, safe);
}

/* The store's counters, and what only the reserve knows: all of them if the store is a new one,
 * else what was refused and dropped while the store could not be written. Rows decide how many
 * were stored. */
static void merge_ledger(const struct pipeline *p, struct ledger *out)
{
	struct ledger reserved;
	bool fresh = out->stored == 0 && out->duplicate == 0;

	if (!reserve_ledger(p->options.reserve, &reserved))
		return;
	if (fresh) {
		out->stored = reserved.stored;
		out->duplicate = reserved.duplicate;
	}
	for (int i = 0; i < REJECT_COUNT; i++)
		out->rejected[i] = out->rejected[i] > reserved.rejected[i] ? out->rejected[i]
									   : reserved.rejected[i];
	for (int i = 0; i < DROP_COUNT; i++)
		out->dropped[i] = out->dropped[i] > reserved.dropped[i] ? out->dropped[i]
									: reserved.dropped[i];
}

enum status pipeline_take_over(struct pipeline *p, struct why *why)
{
	enum status st = store_counters(p->options.store, restore_counter, &p->persisted, why);

	if (st == STATUS_OK)
		st = alarms_restore(p, why);
	if (st == STATUS_OK && p->options.outbox)
		st = outbox_reload(p->options.outbox, why);
	return st;
}

static enum status restore(struct pipeline *p, struct why *why)
{
	enum status st = STATUS_OK;

	p->store_known = store_ready(p->options.store);
	if (p->store_known)
		st = pipeline_take_over(p, why);
	if (st != STATUS_OK)
		return st;
	struct ledger ledger = p->persisted;
	merge_ledger(p, &ledger);
	metrics_restore(p->options.metrics, &ledger);
	p->began = ledger;
	alarms_restore_reserve(p);
	return STATUS_OK;
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
	p->stats.group_machines = (size_t)options->alarm.group_machines;
	judge_by(p, NULL);
	st = feed_create(&options->alerts, &p->feed, why);
	if (st == STATUS_OK && hot_tables_create(options->table_bytes, &p->tables) != STATUS_OK)
		st = fail(why, STATUS_NO_MEMORY, "no memory for the pipeline");
	if (st == STATUS_OK)
		st = machines_create(
			options->store, (size_t)options->reading.machines, &p->machines, why);
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
	ledger_reserve(p, true);
	machines_destroy(p->machines);
	hot_tables_destroy(p->tables);
	free(p->judged);
	free(p->touched);
	free(p->changes);
	free(p->feed);
	free(p);
}
