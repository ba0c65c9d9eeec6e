/* The short way through a reading: one flat object of numbers, as machines send it all day, read
 * where it lies. It only ever accepts, and only what reading_decode_general accepts with the same
 * result; whatever is unusual it leaves to that: escapes, bytes beyond ASCII, nested values, words,
 * unknown or repeated members, a byte order mark, long or infinite numbers, times and seqs out of
 * range, nothing but missing features, and every mistake. */
#ifndef ISOLDE_COMMON_READING_FLAT_H
#define ISOLDE_COMMON_READING_FLAT_H

#include "common/reading.h"
#include <stdbool.h>

/* As reading_decode. False: not its case, and *out is undefined but for machine and received_ms. */
bool reading_decode_flat(
	const char *json, size_t len, const struct schema *schema, struct reading *out) MUST_USE;

/* The long way, by cJSON: what reading_decode does with all the others. Public for the tests that
 * compare the two. */
enum reject reading_decode_general(const char *json, size_t len, const struct schema *schema,
	struct reading *out, struct why *why) MUST_USE;

#endif
