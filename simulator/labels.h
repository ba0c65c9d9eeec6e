/* The truth beside the published readings: a CSV with one row a reading,
 * machine,timestamp,seq,label,fault. label is 1 and fault its name when the reading is faulty. */
#ifndef ISOLDE_SIMULATOR_LABELS_H
#define ISOLDE_SIMULATOR_LABELS_H

#include "common/status.h"
#include <stdbool.h>
#include <stdint.h>

struct labels;

/* Makes the file anew, and missing folders. STATUS_CANT_CREATE. *out is the caller's. */
enum status labels_create(const char *path, struct labels **out, struct why *why) MUST_USE;

/* `fault` may be "". Buffered: a failure shows at the next flush. */
void labels_add(struct labels *labels, const char *machine, int64_t at_ms, int64_t seq, bool faulty,
	const char *fault);

/* STATUS_IO: the file lacks rows; said by every later flush too. NULL is fine. */
enum status labels_flush(struct labels *labels, struct why *why) MUST_USE;

/* Flushes and closes. NULL is fine. */
enum status labels_destroy(struct labels *labels, struct why *why) MUST_USE;

#endif
