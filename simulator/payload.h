/* A reading as the JSON that machines publish. Pure. */
#ifndef ISOLDE_SIMULATOR_PAYLOAD_H
#define ISOLDE_SIMULATOR_PAYLOAD_H

#include "common/schema.h"
#include <stddef.h>
#include <stdint.h>

/* Room that every reading of `features` features fits into, the NUL included. */
size_t payload_size(size_t features);

/* {"timestamp":"...","seq":N,"temperature":61.2,...}: value[schema->count], NaN becomes null;
 * the feature `left_out` (-1: none) is not written at all. Returns the length. */
size_t payload_encode(const struct schema *schema, const double *value, int left_out, int64_t at_ms,
	int64_t seq, char *out, size_t size);

#endif
