/* Verdicts on their way to the broker. A message a reading makes the broker do its work twice;
 * one message a commit costs it next to nothing, for those who can read an array. */
#include "agent/pipeline_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* Of a batched message: below config/mosquitto.conf's max_packet_size, 65,536. A commit that needs
 * more takes several. */
enum { FEED_MAX = 60000 };

struct feed {
	size_t verdicts;
	size_t len; /* of text, without the closing bracket */
	char text[FEED_MAX];
};

enum status feed_create(const struct alerts_config *alerts, struct feed **out, struct why *why)
{
	*out = NULL;
	if (alerts->verdicts != VERDICTS_BATCH)
		return STATUS_OK;
	*out = calloc(1, sizeof(**out));
	return *out ? STATUS_OK : fail(why, STATUS_NO_MEMORY, "no memory for the verdict feed");
}

static void flush_batch(struct pipeline *p)
{
	const struct pipeline_options *o = &p->options;
	struct feed *feed = p->feed;

	if (!feed || feed->verdicts == 0)
		return;
	feed->text[feed->len++] = ']';
	feed->text[feed->len] = '\0';
	if (!o->publish(o->context, "alerts/verdicts", feed->text, feed->len,
		    (int)o->alerts.verdict_qos, false))
		metrics_add(o->metrics, METRIC_VERDICTS_UNPUBLISHED, feed->verdicts);
	feed->verdicts = 0;
	feed->len = 0;
}

void feed_flush(struct pipeline *p)
{
	flush_batch(p);
	if (p->options.flush)
		p->options.flush(p->options.context);
}

static void add_to_batch(struct pipeline *p, const struct verdict *verdict)
{
	struct feed *feed = p->feed;

	if (feed->len + VERDICT_TEXT_MAX + 3 > FEED_MAX) /* comma, bracket, end */
		flush_batch(p);
	feed->text[feed->len++] = feed->verdicts ? ',' : '[';
	feed->len += verdict_encode(
		verdict, &p->schema, feed->text + feed->len, FEED_MAX - feed->len - 2);
	feed->verdicts++;
}

static bool wants_message(const struct pipeline *p, const struct judgement *j)
{
	const struct alerts_config *alerts = &p->options.alerts;

	return alerts->verdicts == VERDICTS_ALL ||
		(alerts->verdicts == VERDICTS_ANOMALIES && j->verdict.anomalous);
}

enum status feed_persist(struct pipeline *p, size_t n, struct why *why)
{
	char topic[TOPIC_SIZE], text[VERDICT_TEXT_MAX];
	enum status st = STATUS_OK;

	if (!p->options.outbox || p->options.alerts.verdict_qos == 0)
		return STATUS_OK;
	for (size_t i = 0; i < n && st == STATUS_OK; i++) {
		const struct judgement *j = &p->judged[i];
		if (j->reject != REJECT_NONE || j->duplicate || !wants_message(p, j))
			continue;
		snprintf(topic, sizeof(topic), "alerts/%s/verdict", j->machine->name);
		size_t len = verdict_encode(&j->verdict, &p->schema, text, sizeof(text));
		st = outbox_put(p->options.outbox, topic, text, len, false, why);
	}
	return st;
}

static void publish_verdict(struct pipeline *p, const struct judgement *j)
{
	const struct pipeline_options *o = &p->options;
	char topic[TOPIC_SIZE], text[VERDICT_TEXT_MAX];

	snprintf(topic, sizeof(topic), "alerts/%s/verdict", j->machine->name);
	size_t len = verdict_encode(&j->verdict, &p->schema, text, sizeof(text));
	if (!o->publish(o->context, topic, text, len, (int)o->alerts.verdict_qos, false))
		metrics_add(o->metrics, METRIC_VERDICTS_UNPUBLISHED, 1);
}

static void tell(struct pipeline *p, const struct judgement *j)
{
	if (p->feed)
		add_to_batch(p, &j->verdict);
	else if (wants_message(p, j))
		publish_verdict(p, j);
}

/* Without a model a later reading of the batch may bring another column. */
static bool tells_early(const struct pipeline *p)
{
	return p->options.alerts.verdict_qos == 0 && p->schema_known;
}

bool feed_early(struct pipeline *p, const struct judgement *j)
{
	if (!tells_early(p))
		return false;
	tell(p, j);
	return true;
}

bool feed_late(struct pipeline *p, const struct judgement *j)
{
	if (tells_early(p))
		return false;
	if (p->feed || p->options.alerts.verdict_qos == 0 || !p->in_outbox)
		tell(p, j);
	return true;
}
