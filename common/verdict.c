#include "common/verdict.h"
#include "common/text.h"
#include <math.h>

const char *quality_name(enum quality quality)
{
	switch (quality) {
	case QUALITY_GOOD:
		return "good";
	case QUALITY_MISSING:
		return "missing";
	case QUALITY_OUT_OF_RANGE:
		return "out_of_range";
	case QUALITY_STUCK:
		return "stuck";
	case QUALITY_SKEW:
		return "skew";
	case QUALITY_COUNT:
		break;
	}
	return "unknown";
}

static void add_reading(struct text *t, const struct reading *reading, const struct schema *schema)
{
	text_add(t, "{\"machine\":\"");
	text_add(t, reading->machine);
	text_add(t, "\",\"timestamp\":");
	text_add_time(t, reading->at_ms);
	text_add(t, ",\"received\":");
	text_add_time(t, reading->received_ms);
	text_add(t, ",\"seq\":");
	if (reading->seq == READING_NO_SEQ)
		text_add(t, "null");
	else
		text_add_integer(t, reading->seq);
	for (size_t i = 0; i < schema->count; i++) {
		text_add(t, ",\"");
		text_add(t,
			schema->feature[i].name); /* schema_add saw to it that it needs no escape */
		text_add(t, "\":");
		text_add_number(t, reading->value[i]);
	}
}

static void add_sensor(struct text *t, const struct explained *e, const struct schema *schema)
{
	text_add(t, "{\"sensor\":\"");
	text_add(t, e->feature < schema->count ? schema->feature[e->feature].name : "");
	text_add(t, "\",\"contribution\":");
	text_add_number(t, e->contribution);
	text_add(t, ",\"share\":");
	text_add_number(t, e->share);
	text_add(t, e->z < 0 ? ",\"direction\":\"low\"" : ",\"direction\":\"high\"");
	text_add(t, ",\"normal\":[");
	text_add_number(t, e->low);
	text_add(t, ",");
	text_add_number(t, e->high);
	text_add(t, "],\"z\":");
	text_add_number(t, e->z);
	text_add(t, "}");
}

static void add_explanation(
	struct text *t, const struct verdict *verdict, const struct schema *schema)
{
	text_add(t, ",\"severity\":");
	text_add_number(t, verdict->severity);
	text_add(t, ",\"explanation\":[");
	for (size_t i = 0; i < verdict->explained && i < EXPLAINED_MAX; i++) {
		text_add(t, i > 0 ? "," : "");
		add_sensor(t, &verdict->explanation[i], schema);
	}
	text_add(t, "]");
}

size_t verdict_encode(
	const struct verdict *verdict, const struct schema *schema, char *out, size_t size)
{
	struct text t = text_start(out, size);
	bool scored = !isnan(verdict->score);

	add_reading(&t, &verdict->reading, schema);
	text_add(&t, ",\"anomaly_score\":");
	text_add_number(&t, verdict->score);
	text_add(&t, ",\"threshold\":");
	text_add_number(&t, verdict->threshold);
	text_add(&t, ",\"is_anomaly\":");
	text_add(&t, !scored ? "null" : verdict->anomalous ? "1" : "0");
	text_add(&t, ",\"model\":");
	if (verdict->model[0])
		text_add_json(&t, verdict->model);
	else
		text_add(&t, "null");
	if (verdict->smoothed) {
		text_add(&t, ",\"alarm_score\":");
		text_add_number(&t, verdict->alarm_score);
	}
	if (verdict->explained > 0)
		add_explanation(&t, verdict, schema);
	if (verdict->quality != QUALITY_GOOD) {
		text_add(&t, ",\"quality\":\"");
		text_add(&t, quality_name(verdict->quality));
		text_add(&t, "\"");
	}
	if (verdict->late)
		text_add(&t, ",\"late\":true");
	if (verdict->label != LABEL_NONE)
		text_add(&t, ",\"label\":0");
	text_add(&t, "}");
	return text_end(&t);
}
