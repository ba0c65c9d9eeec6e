#include "agent/pipeline_internal.h"
#include "common/failpoint.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- decode ---- */

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

/* Remembers a machine as it was before the batch. */
static bool touch(struct pipeline *p, struct machine *machine)
{
	if (machine->touched)
		return true;
	if (p->touched_count == p->touched_room) {
		size_t room = p->touched_room ? 2 * p->touched_room : 16;
		struct touched *touched = realloc(p->touched, room * sizeof(*touched));
		if (!touched)
			return false;
		p->touched = touched;
		p->touched_room = room;
	}
	struct touched *one = &p->touched[p->touched_count++];
	one->machine = machine;
	one->before = *machine;
	machine->touched = true;
	return true;
}

static enum reject find_machine(struct pipeline *p, struct judgement *j, struct why *why)
{
	const char *name = j->verdict.reading.machine;
	struct machine *machine;
	enum status st = machines_find(p->machines, name, &machine, why);

	if (st == STATUS_FULL)
		return REJECT_MACHINES;
	/* Of a failing store only the newest time is missing: the reading counts as not late. */
	if (!touch(p, machine)) {
		(void)fail(why, STATUS_FULL, "no memory for machine %s", name);
		return REJECT_MACHINES;
	}
	j->machine = machine;
	metrics_set(p->options.metrics, METRIC_MACHINES, (int64_t)machines_count(p->machines));
	return REJECT_NONE;
}

/* ---- time ---- */

/* Readings from the future say nothing about which ones are late: one of the year 2100 would make
 * all that follow late, and silence the machine's alarms. */
static bool is_ahead(const struct pipeline *p, int64_t at_ms, int64_t received_ms)
{
	return at_ms > received_ms + p->options.reading.skew_s * 1000;
}

static bool is_late(const struct pipeline *p, const struct judgement *j)
{
	const struct reading *reading = &j->verdict.reading;
	int64_t newest_ms = j->machine->newest_ms;

	return !is_ahead(p, newest_ms, reading->received_ms) &&
		reading->at_ms < newest_ms - p->options.reading.late_s * 1000;
}

static void note_newest(
	const struct pipeline *p, struct machine *machine, const struct reading *reading)
{
	if (is_ahead(p, reading->at_ms, reading->received_ms))
		return;
	/* One from the future may have been stored before a restart. */
	if (reading->at_ms > machine->newest_ms ||
		is_ahead(p, machine->newest_ms, reading->received_ms))
		machine->newest_ms = reading->at_ms;
}

/* Numbers that never came: lost on the way to us. One that starts again, or an old one, skips
 * nothing. */
static int64_t note_seq(struct machine *machine, const struct reading *reading)
{
	int64_t last = machine->newest_seq, seq = reading->seq;

	if (seq == READING_NO_SEQ || (seq < last && reading->at_ms < machine->newest_ms))
		return 0;
	machine->newest_seq = seq;
	return last >= 0 && seq > last ? seq - last - 1 : 0;
}

/* An hour of silence is no watching. */
enum { WATCHED_MAX_MS = 3600000 };

static void note_pace(struct pipeline *p, struct machine *machine, const struct reading *reading)
{
	int64_t interval_ms = pace_note(&machine->watch.pace, reading->received_ms,
		reading->at_sent ? reading->at_ms : -1, p->heard_ms);

	if (interval_ms < WATCHED_MAX_MS)
		p->watched_ms += interval_ms;
}

/* ---- score and explain ---- */

static void score(struct pipeline *p, const struct model *model, const double *x, struct verdict *v)
{
	v->score = v->threshold = v->alarm_score = NAN;
	if (!model)
		return;
	int64_t began = time_monotonic_ns();
	double s = detector_score_by(&model->detector, hot_tables_for(p->tables, model), x);
	metrics_observe(
		p->options.metrics, HISTOGRAM_SCORE, (double)(time_monotonic_ns() - began) * 1e-9);
	if (isnan(s))
		return;
	v->score = s;
	v->threshold = model->threshold;
	v->anomalous = s > model->threshold;
	memcpy(v->model, model->id, sizeof(v->model));
}

static double distance(const struct feature_stats *stats, double x)
{
	return stats->sd > 0 ? (x - stats->mean) / stats->sd : NAN;
}

/* The sensor that adds most of those not yet listed; `features` if none adds anything. */
static size_t next_sensor(const double *contribution, size_t features, const struct verdict *v)
{
	size_t best = features;

	for (size_t i = 0; i < features; i++) {
		bool listed = false;
		for (size_t k = 0; k < v->explained && !listed; k++)
			listed = v->explanation[k].feature == i;
		if (!listed && contribution[i] > 0 &&
			(best == features || contribution[i] > contribution[best]))
			best = i;
	}
	return best;
}

static void add_sensor(struct verdict *v, const struct detector *detector, const double *x,
	size_t feature, double contribution, double sum)
{
	const struct feature_stats *stats = &detector->stats[feature];

	v->explanation[v->explained++] = (struct explained){ .feature = feature,
		.contribution = contribution,
		.share = sum > 0 ? contribution / sum : 0,
		.low = stats->low,
		.high = stats->high,
		.z = distance(stats, x[feature]) };
}

/* Less than this of all that the sensors add is not worth a line. */
static const double share_min = 0.01;

/* Of two that fail together the second may add nothing alone (detector_leading). */
static bool is_second(const struct detector *detector, const struct verdict *v)
{
	return detector->kind == DETECTOR_FUSED && v->explained == 1;
}

static void explain(const struct model *model, const double *x, struct verdict *v)
{
	const struct detector *detector = &model->detector;
	double contribution[FEATURES_MAX], sum = 0;

	detector_explain(detector, x, v->score, contribution);
	for (size_t i = 0; i < detector->features; i++) {
		double z = fabs(distance(&detector->stats[i], x[i]));
		if (z > v->severity)
			v->severity = z;
		sum += contribution[i];
	}
	size_t leading[2];
	detector_leading(detector, x, contribution, v->score, v->threshold, leading);
	add_sensor(v, detector, x, leading[0], contribution[leading[0]], sum);
	size_t next = leading[1];
	while (v->explained < EXPLAINED_MAX && next < detector->features &&
		(contribution[next] >= share_min * sum || is_second(detector, v))) {
		add_sensor(v, detector, x, next, contribution[next], sum);
		next = next_sensor(contribution, detector->features, v);
	}
}

/* ---- decide ---- */

/* Beyond the alarm's level by a quarter of the way that is left to 0.5, the largest score of a
 * forest: all sensors far off reach it; one alone hardly does. Scores of a kind without an upper
 * end: by half that level. */
static bool is_severe(const struct model *model, const struct verdict *v)
{
	double level = model->alarm_threshold;
	double beyond = level < 0.5 ? (0.5 - level) / 4 : level / 2;

	return v->score > level + beyond;
}

static const char *sensor_name(const struct pipeline *p, int column)
{
	return column >= 0 ? p->schema.feature[column].name : NULL;
}

/* What feeds the alarm. Late readings are out of order: they have no part in the means. */
static void smooth(const struct model *model, const double *x, struct judgement *j)
{
	struct watch *watch = &j->machine->watch;
	struct verdict *v = &j->verdict;

	j->drifting = DRIFT_RULES;
	if (!model || isnan(v->score))
		return;
	v->smoothed = model->smooth > 1;
	v->alarm_score = v->score;
	if (!v->smoothed || v->late)
		return;
	v->alarm_score = smooth_next(
		&watch->smooth, model->smooth, model->step_ms, v->reading.at_ms, v->score);
	if (!watch->drift && model->drift[0].window > 0)
		watch->drift = calloc(DRIFT_RULES, sizeof(*watch->drift));
	for (size_t i = 0; watch->drift && i < DRIFT_RULES && model->drift[i].window > 0; i++) {
		const struct drift_rule *rule = &model->drift[i];
		double nats = drift_next(&watch->drift[i], rule, model->schema.count,
			model->step_ms, v->reading.at_ms, x);
		double more = drift_score(rule, nats);
		if (more > v->alarm_score) {
			j->drifting = i;
			v->alarm_score = more;
		}
	}
}

/* The sensor that an alarm raised by this reading would name first; NULL if it knows none. */
static const char *first_out(
	const struct pipeline *p, const struct model *model, const struct judgement *j)
{
	size_t rule = j->drifting;

	if (rule < DRIFT_RULES)
		return sensor_name(p,
			(int)drift_sensor(&j->machine->watch.drift[rule], &model->drift[rule],
				model->schema.count));
	if (j->verdict.explained > 0)
		return sensor_name(p, (int)j->verdict.explanation[0].feature);
	return NULL;
}

/* Late readings say nothing about now; skewed ones nothing but that. */
static void decide(struct pipeline *p, const struct model *model, struct judgement *j,
	const struct quality_finding *found)
{
	const struct verdict *v = &j->verdict;
	struct alarm *alarm = &j->machine->alarm;

	if (v->late)
		return;
	struct alarm_input input = { .at_ms = v->reading.at_ms,
		.score = found->skewed ? NAN : v->alarm_score,
		.threshold = model ? model->alarm_threshold : NAN,
		.clear = model ? model->alarm_clear : NAN,
		.severe = v->anomalous && is_severe(model, v),
		.faults = found->faults,
		.faulty = sensor_name(p, found->sensor) };
	if (input.score > input.threshold && !(alarm->causes & ALARM_BIT(ALARM_ANOMALY)))
		input.sensor = first_out(p, model, j);
	enum alarm_change change = alarm_next(alarm, &p->policy, j->machine->name, &input);
	change_add(p, j->machine, change, change_event(change), v->reading.received_ms);
}

/* The policy and the limits of a model, NULL: of none. */
static void take_in_hand(struct pipeline *p, const struct model *model)
{
	const struct alarm_config *alarm = &p->options.alarm;

	p->policy = (struct alarm_policy){ .raise_count = (unsigned)alarm->raise_count,
		.raise_window = (unsigned)alarm->raise_window,
		.clear_count = (unsigned)alarm->clear_count,
		.fault_count = (unsigned)alarm->fault_count,
		.no_latch = !alarm->latch };
	if (!model) {
		p->model[0] = '\0';
		return;
	}
	memcpy(p->model, model->id, sizeof(p->model));
	p->step_ms = model->step_ms;
	for (size_t i = 0; i < model->schema.count; i++)
		p->stuck_after[i] = (unsigned)model->detector.stats[i].stuck_after;
	/* What was promised holds for the delays it was worked out for. */
	if (model->raise_count > 0) {
		p->policy.raise_count = model->raise_count;
		p->policy.raise_window = model->raise_window;
	}
	if (model->clear_count > 0)
		p->policy.clear_count = model->clear_count;
}

void judge_by(struct pipeline *p, const struct models *models)
{
	static const struct models none = { NULL, NULL };

	p->models = models ? models : &none;
	take_in_hand(p, p->models->usual);
	if (p->models->usual && (!p->schema_known || strcmp(p->schema_of, p->model) != 0)) {
		memcpy(p->schema_of, p->model, sizeof(p->schema_of));
		p->schema = p->models->usual->schema;
		p->schema_known = true;
	}
}

/* The machine's model, in hand. */
static const struct model *model_of(struct pipeline *p, const struct machine *machine)
{
	const struct model *model = models_for(p->models, machine->name);

	if (model && strcmp(p->model, model->id) != 0)
		take_in_hand(p, model);
	return model;
}

/* ---- one message ---- */

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

/* Another model's scores have another scale, and its columns may have another order. */
static void forget_other_model(const struct pipeline *p, struct watch *watch)
{
	if (p->model[0] == '\0' || strcmp(watch->model, p->model) == 0)
		return;
	memcpy(watch->model, p->model, sizeof(watch->model));
	watch->smooth = (struct smooth){ .count = 0 };
	if (watch->drift)
		memset(watch->drift, 0, DRIFT_RULES * sizeof(*watch->drift));
	watch->quality = (struct quality_state){ .begun = false };
}

/* Whether it can be believed, and x as the model may see it. */
static void check(struct pipeline *p, struct judgement *j, double *x, struct quality_finding *found)
{
	struct verdict *v = &j->verdict;
	struct quality_rules rules = { &p->schema, p->stuck_after, p->step_ms,
		p->options.reading.skew_s * 1000, !p->schema_known };

	v->late = is_late(p, j);
	forget_other_model(p, &j->machine->watch);
	quality_judge(&j->machine->watch.quality, &rules, &v->reading, v->late, x, found);
	v->quality = found->quality;
}

/* What a reading that turns out to be there already takes back. */
struct before {
	struct watch watch;
	struct drift drift[DRIFT_RULES]; /* if the watch has them */
};

static void remember(const struct watch *watch, struct before *before)
{
	before->watch = *watch;
	if (watch->drift)
		memcpy(before->drift, watch->drift, sizeof(before->drift));
}

static void put_back(struct watch *watch, const struct before *before)
{
	struct drift *drift = watch->drift;

	*watch = before->watch;
	watch->drift = drift;
	if (drift && before->watch.drift)
		memcpy(drift, before->drift, sizeof(before->drift));
	else if (drift)
		memset(drift, 0, sizeof(before->drift));
}

enum status judge_message(struct pipeline *p, const struct message *message, struct judgement *j,
	enum pipeline_mode mode, struct why *why)
{
	struct why reason = { "" };
	struct quality_finding found;
	double x[FEATURES_MAX];
	enum status st = STATUS_OK;

	memset(j, 0, sizeof(*j));
	j->changes = p->change_count;
	j->reject = decode(p, message, &j->verdict.reading, &reason);
	if (j->reject == REJECT_NONE)
		j->reject = find_machine(p, j, &reason);
	if (j->reject != REJECT_NONE)
		return note_rejected(p, message, j, &reason, mode, why);
	const struct model *model = model_of(p, j->machine);
	struct before before;
	remember(&j->machine->watch, &before);
	check(p, j, x, &found);
	score(p, model, x, &j->verdict);
	smooth(model, x, j);
	if (j->verdict.anomalous)
		explain(model, x, &j->verdict);
	FAILPOINT(before_insert);
	if (mode == PIPELINE_STORE)
		st = store_add(p->options.store, &j->verdict, &p->schema, &j->duplicate, why);
	FAILPOINT(after_insert);
	if (st != STATUS_OK || j->duplicate) {
		put_back(&j->machine->watch, &before); /* it says nothing again */
		return st;
	}
	j->skipped = note_seq(j->machine, &j->verdict.reading);
	note_newest(p, j->machine, &j->verdict.reading);
	note_pace(p, j->machine, &j->verdict.reading);
	decide(p, model, j, &found);
	j->changes = p->change_count;
	return STATUS_OK;
}
