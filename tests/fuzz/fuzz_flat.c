/* The short way through a reading (common/reading_flat) against the long one by cJSON: whatever the
 * bytes are, they say the same, in kind, sentence and value. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/flat_compare.h"
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "temperature", "t", "humidity", "caf\xc3\xa9", "a b" };
	struct schema schema = { .count = 0 };
	bool taken;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (schema_add(&schema, names[i], "", -INFINITY, INFINITY, NULL) != STATUS_OK)
			abort();
	}
	if (!flat_agrees((const char *)data, size, &schema, &taken))
		abort();
	return 0;
}
