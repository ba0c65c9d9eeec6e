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
	if (verdict->quality != QUALITY_GOOD) {
		text_add(&t, ",\"quality\":\"");
		text_add(&t, quality_name(verdict->quality));
		text_add(&t, "\"");
	}
	if (verdict->late)
		text_add(&t, ",\"late\":true");
	text_add(&t, "}");
	return text_end(&t);
}
