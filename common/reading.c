#include "common/reading.h"
#include "common/jsontext.h"
#include "common/reading_flat.h"
#include "common/timeutil.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <string.h>

static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };

const char *reject_name(enum reject reject)
{
	static const char *const names[REJECT_COUNT] = {
		[REJECT_NONE] = "none",
		[REJECT_TOPIC] = "topic",
		[REJECT_OVERSIZE] = "oversize",
		[REJECT_RETAINED] = "retained",
		[REJECT_JSON] = "json",
		[REJECT_TYPE] = "type",
		[REJECT_RANGE] = "range",
		[REJECT_EMPTY] = "empty",
		[REJECT_MACHINES] = "machines",
	};
	return names[reject];
}

static enum reject refuse(struct why *why, enum reject reject, const char *name, const char *reason)
{
	(void)fail(why, STATUS_BAD_INPUT, "\"%s\" %s", name, reason); /* the kind is the answer */
	return reject;
}

static enum reject decode_time(const cJSON *item, struct reading *out, struct why *why)
{
	out->at_sent = item && !cJSON_IsNull(item);
	out->at_ns = 0;
	if (!out->at_sent) {
		out->at_ms = out->received_ms;
		return REJECT_NONE;
	}
	if (cJSON_IsNumber(item))
		return time_from_number(item->valuedouble, &out->at_ms, &out->at_ns)
			? REJECT_NONE
			: refuse(why, REJECT_RANGE, "timestamp", "is outside 1970 .. 2109-05-15");
	if (!cJSON_IsString(item))
		return refuse(why, REJECT_TYPE, "timestamp", "is neither text nor a number");
	struct why reason;
	const char *text = item->valuestring;
	if (time_parse(text, strlen(text), &out->at_ms, &out->at_ns, &reason) != STATUS_OK) {
		(void)fail(why, STATUS_BAD_INPUT, "\"timestamp\": %s", reason.text);
		return REJECT_RANGE;
	}
	return REJECT_NONE;
}

static enum reject decode_seq(const cJSON *item, struct reading *out, struct why *why)
{
	out->seq = READING_NO_SEQ;
	if (!item || cJSON_IsNull(item))
		return REJECT_NONE;
	if (!cJSON_IsNumber(item))
		return refuse(why, REJECT_TYPE, "seq", "is not a number");
	double seq = item->valuedouble;
	if (!(seq >= 0 && seq <= 0x1p53 - 1) || seq != floor(seq))
		return refuse(why, REJECT_RANGE, "seq", "is not an integer of 0 .. 2^53-1");
	out->seq = (int64_t)seq;
	return REJECT_NONE;
}

static enum reject decode_feature(const cJSON *item, const char *name, double *out, struct why *why)
{
	*out = NAN;
	if (!item || cJSON_IsNull(item))
		return REJECT_NONE;
	if (!cJSON_IsNumber(item))
		return refuse(why, REJECT_TYPE, name, "is not a number");
	if (!isfinite(item->valuedouble))
		return refuse(why, REJECT_RANGE, name, "is beyond the range of a double");
	*out = item->valuedouble;
	return REJECT_NONE;
}

static enum reject decode_object(
	const cJSON *root, const struct schema *schema, struct reading *out, struct why *why)
{
	enum reject reject =
		decode_time(cJSON_GetObjectItemCaseSensitive(root, "timestamp"), out, why);

	if (reject == REJECT_NONE)
		reject = decode_seq(cJSON_GetObjectItemCaseSensitive(root, "seq"), out, why);
	out->missing = 0;
	for (size_t i = 0; i < schema->count && reject == REJECT_NONE; i++) {
		const char *name = schema->feature[i].name;
		reject = decode_feature(
			cJSON_GetObjectItemCaseSensitive(root, name), name, &out->value[i], why);
		out->missing += isnan(out->value[i]);
	}
	if (reject == REJECT_NONE && out->missing == schema->count) {
		(void)fail(why, STATUS_BAD_INPUT, "none of the %zu features is there (\"%s\"%s)",
			schema->count, schema->count ? schema->feature[0].name : "",
			schema->count > 1 ? ", ..." : "");
		reject = REJECT_EMPTY;
	}
	return reject;
}

enum reject reading_decode_general(const char *json, size_t len, const struct schema *schema,
	struct reading *out, struct why *why)
{
	cJSON *root;

	if (json_parse(json, len, &limits, &root, why) != STATUS_OK)
		return REJECT_JSON;
	enum reject reject;
	if (cJSON_IsObject(root)) {
		reject = decode_object(root, schema, out, why);
	} else {
		(void)fail(why, STATUS_BAD_INPUT, "not a JSON object");
		reject = REJECT_TYPE;
	}
	cJSON_Delete(root);
	return reject;
}

enum reject reading_decode(const char *json, size_t len, const struct schema *schema,
	struct reading *out, struct why *why)
{
	if (len > PAYLOAD_MAX) {
		(void)fail(why, STATUS_BAD_INPUT, "a payload of %zu bytes, at most %d", len,
			PAYLOAD_MAX);
		return REJECT_OVERSIZE;
	}
	if (reading_decode_flat(json, len, schema, out))
		return REJECT_NONE;
	return reading_decode_general(json, len, schema, out, why);
}

void reading_discover(const char *json, size_t len, struct schema *schema)
{
	cJSON *root;

	if (len > PAYLOAD_MAX || json_parse(json, len, &limits, &root, NULL) != STATUS_OK)
		return;
	for (const cJSON *item = cJSON_IsObject(root) ? root->child : NULL; item;
		item = item->next) {
		if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) ||
			schema_reserved(item->string))
			continue;
		if (schema_find(schema, item->string) < 0 &&
			schema_add(schema, item->string, "", -INFINITY, INFINITY, NULL) !=
				STATUS_OK)
			continue; /* full, or no name for a feature: not kept */
	}
	cJSON_Delete(root);
}
