#include "common/schema.h"
#include "common/jsontext.h"
#include <string.h>

int schema_find(const struct schema *schema, const char *name)
{
	for (size_t i = 0; i < schema->count; i++) {
		if (strcmp(schema->feature[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

bool schema_reserved(const char *name)
{
	static const char *const words[] = { "machine", "timestamp", "received", "seq",
		"anomaly_score", "threshold", "is_anomaly", "model", "explanation", "severity",
		"quality", "late", "detector", "schema", "label", "alarm_score" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i], name) == 0)
			return true;
	}
	return false;
}

/* No escaping needed in JSON, none in CSV but for the comma, which is refused too. */
static bool plain_text(const char *text)
{
	if (!utf8_valid(text, strlen(text)))
		return false; /* a model bearing it could not be read again */
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		if (c < 0x20 || c == 0x7f || c == '"' || c == '\\' || c == ',')
			return false;
	}
	return true;
}

enum status schema_add(struct schema *schema, const char *name, const char *unit, double low,
	double high, struct why *why)
{
	if (schema->count == FEATURES_MAX)
		return fail(why, STATUS_BAD_INPUT, "more than %d features", FEATURES_MAX);
	if (*name == '\0' || strlen(name) > FEATURE_NAME_MAX)
		return fail(why, STATUS_BAD_INPUT,
			"feature %zu: a name has 1 to %d bytes, this one %zu", schema->count + 1,
			FEATURE_NAME_MAX, strlen(name));
	if (!plain_text(name))
		return fail(why, STATUS_BAD_INPUT,
			"feature %zu: its name holds a control byte, quote, backslash or comma, or "
			"is not UTF-8",
			schema->count + 1);
	if (strlen(unit) > UNIT_MAX || !plain_text(unit))
		return fail(why, STATUS_BAD_INPUT,
			"feature \"%s\": a unit has at most %d bytes of UTF-8 and no control byte, "
			"quote, backslash or comma",
			name, UNIT_MAX);
	if (schema_reserved(name))
		return fail(why, STATUS_BAD_INPUT, "feature \"%s\": this name is reserved", name);
	if (schema_find(schema, name) >= 0)
		return fail(why, STATUS_BAD_INPUT, "feature \"%s\" is there twice", name);
	if (!(low < high))
		return fail(why, STATUS_BAD_INPUT, "feature \"%s\": its range is empty", name);

	struct feature *feature = &schema->feature[schema->count++];
	memcpy(feature->name, name, strlen(name) + 1);
	memcpy(feature->unit, unit, strlen(unit) + 1);
	feature->low = low;
	feature->high = high;
	return STATUS_OK;
}

bool schema_equal(const struct schema *a, const struct schema *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		if (strcmp(a->feature[i].name, b->feature[i].name) != 0)
			return false;
	}
	return true;
}

bool machine_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > MACHINE_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
		if (!letter && !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return false;
	}
	return true;
}
