/* A CSV from anywhere: what loads has as many values as rows and features, none infinite. */
#include "common/csvfile.h"
#include "tests/fuzz/fuzz.h"
#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct csvfile csv;
	struct why why;

	if (csvfile_load(fuzz_file(data, size), &csv, &why) != STATUS_OK)
		return 0;
	for (size_t i = 0; i < csv.rows * csv.schema.count; i++) {
		if (isinf(csv.value[i]))
			abort();
	}
	csvfile_free(&csv);
	return 0;
}
