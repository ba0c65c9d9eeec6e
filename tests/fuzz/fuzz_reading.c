/* A payload from a device nobody trusts: what is accepted is finite and encodes again. */
#include "common/verdict.h"
#include "tests/fuzz/fuzz.h"
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct verdict verdict;
	static char text[VERDICT_TEXT_MAX];
	struct schema schema = { .count = 0 };
	struct why why;

	if (schema_add(&schema, "temperature", "", -INFINITY, INFINITY, &why) != STATUS_OK ||
		schema_add(&schema, "humidity", "", -INFINITY, INFINITY, &why) != STATUS_OK)
		abort();
	memset(&verdict, 0, sizeof(verdict));
	if (reading_decode((const char *)data, size, &schema, &verdict.reading, &why) ==
		REJECT_NONE) {
		size_t n = 0;
		for (size_t i = 0; i < schema.count; i++) {
			if (isinf(verdict.reading.value[i]))
				abort();
			n += isnan(verdict.reading.value[i]) != 0;
		}
		if (n != verdict.reading.missing || n == schema.count ||
			verdict_encode(&verdict, &schema, text, sizeof(text)) == 0)
			abort();
	}
	reading_discover((const char *)data, size, &schema);
	return 0;
}
