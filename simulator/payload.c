#include "simulator/payload.h"
#include "common/number.h"
#include "common/text.h"

size_t payload_size(size_t features)
{
	return 96 + features * (FEATURE_NAME_MAX + NUMBER_TEXT_SIZE + 4);
}

size_t payload_encode(const struct schema *schema, const double *value, int left_out, int64_t at_ms,
	int64_t seq, char *out, size_t size)
{
	struct text text = text_start(out, size);

	text_add(&text, "{\"timestamp\":");
	text_add_time(&text, at_ms);
	text_add(&text, ",\"seq\":");
	text_add_integer(&text, seq);
	for (size_t i = 0; i < schema->count; i++) {
		if ((int)i == left_out)
			continue;
		text_add(&text, ",");
		text_add_json(&text, schema->feature[i].name);
		text_add(&text, ":");
		text_add_number(&text, value[i]);
	}
	text_add(&text, "}");
	return text_end(&text);
}
