/* A configuration file made by an enemy: it is refused with a sentence, or it loads. */
#include "agent/config.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config config = { .origin = NULL };
	struct why why = { "" };

	if (config_load(fuzz_file(data, size), NULL, NULL, 0, &config, &why) != STATUS_OK &&
		!why.text[0])
		abort();
	config_finish(&config);
	return 0;
}
