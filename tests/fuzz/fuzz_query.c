/* A query string: what is accepted is known, there once, readable and without control bytes. */
#include "agent/http_request.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const known[] = { "limit", "cursor", "machine", "since", NULL };
	struct parameters parameters;
	struct why why;
	char *query = malloc(size + 1);

	if (!query)
		abort();
	memcpy(query, data, size);
	query[size] = '\0';
	if (parameters_parse(query, known, &parameters, &why) == STATUS_OK) {
		for (size_t i = 0; i < parameters.count; i++) {
			const char *value = parameters.at[i].value;
			if (!*value || parameter(&parameters, parameters.at[i].name) != value)
				abort();
			for (; *value; value++) {
				if ((unsigned char)*value < 0x20)
					abort();
			}
		}
	}
	free(query);
	return 0;
}
