/* One set of measurements from one machine at one moment, and how it is read from JSON. */
#ifndef ISOLDE_COMMON_READING_H
#define ISOLDE_COMMON_READING_H

#include "common/schema.h"
#include "common/status.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	PAYLOAD_MAX = 16384, /* bytes of one reading */
	READING_NO_SEQ = -1,
};

struct reading {
	char machine[MACHINE_NAME_MAX + 1];
	int64_t at_ms;       /* the machine's time; the arrival time if it sent none */
	int32_t at_ns;       /* nanoseconds below at_ms, 0 .. 999999; only for its identity */
	bool at_sent;        /* the payload bore a timestamp */
	int64_t received_ms; /* arrival */
	int64_t seq;         /* 0 .. 2^53-1, READING_NO_SEQ if absent */
	size_t missing;      /* features absent or null */
	double value[FEATURES_MAX]; /* [schema->count], NaN where missing */
};

/* Why a payload was refused: the label of isolde_messages_rejected_total. */
enum reject {
	REJECT_NONE,
	REJECT_TOPIC,    /* the topic names no valid machine */
	REJECT_OVERSIZE, /* more than PAYLOAD_MAX bytes */
	REJECT_RETAINED, /* a retained message on a reading topic */
	REJECT_JSON,     /* not JSON, too deep, too many members, repeated names */
	REJECT_TYPE,     /* not an object; a feature, timestamp or seq of a wrong type */
	REJECT_RANGE,    /* a number that is not finite, a seq or timestamp out of range */
	REJECT_EMPTY,    /* none of the model's features is there */
	REJECT_MACHINES, /* more machines than the limit */
	REJECT_COUNT
};
const char *reject_name(enum reject reject);

/* {"timestamp":...,"seq":...,"temperature":61.2,...} -> *out, all but `machine` and
 * `received_ms`, which the caller fills in before (they stay as they are). Unknown members are
 * ignored. On failure the reason's kind is returned, the sentence is in *why, and the rest of
 * *out is undefined. */
enum reject reading_decode(const char *json, size_t len, const struct schema *schema,
	struct reading *out, struct why *why) MUST_USE;

/* Without a model nobody says what the features are: appends the payload's finite numbers, all
 * but reserved names, to the schema, as far as it has room. Payloads that can't be parsed add
 * nothing; reading_decode will say why. */
void reading_discover(const char *json, size_t len, struct schema *schema);

#endif
