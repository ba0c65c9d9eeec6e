/* The short way through a reading beside the long one, for the unit test and the fuzzer. */
#ifndef ISOLDE_TESTS_FLAT_COMPARE_H
#define ISOLDE_TESTS_FLAT_COMPARE_H

#include "common/reading_flat.h"
#include <stdio.h>
#include <string.h>

static bool flat_same(const struct reading *a, const struct reading *b, size_t features)
{
	/* memcmp: -0 is not 0, and a NaN is itself. */
	return a->at_ms == b->at_ms && a->at_ns == b->at_ns && a->at_sent == b->at_sent &&
		a->received_ms == b->received_ms && a->seq == b->seq && a->missing == b->missing &&
		strcmp(a->machine, b->machine) == 0 &&
		memcmp(a->value, b->value, features * sizeof(a->value[0])) == 0;
}

/* reading_decode says what the long way says, in kind, sentence and values, and the short way
 * accepts nothing else. *taken: it did. */
static bool flat_agrees(const char *json, size_t len, const struct schema *schema, bool *taken)
{
	struct reading flat = { .machine = "m", .received_ms = 1700000000000 };
	struct reading general = flat, both = flat;
	struct why why = { "" }, said = { "" };
	enum reject reject = len > PAYLOAD_MAX
		? REJECT_OVERSIZE
		: reading_decode_general(json, len, schema, &general, &why);

	*taken = len <= PAYLOAD_MAX && reading_decode_flat(json, len, schema, &flat);
	if (*taken && (reject != REJECT_NONE || !flat_same(&flat, &general, schema->count)))
		return false;
	if (reading_decode(json, len, schema, &both, &said) != reject)
		return false;
	if (reject == REJECT_NONE)
		return flat_same(&both, &general, schema->count);
	return reject == REJECT_OVERSIZE || strcmp(why.text, said.text) == 0;
}

#endif
