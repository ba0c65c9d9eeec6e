/* The ordered list of measured quantities. Column i means the same in a reading, a CSV file,
 * the trainer's matrix and a model. Pure. */
#ifndef ISOLDE_COMMON_SCHEMA_H
#define ISOLDE_COMMON_SCHEMA_H

#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>

enum {
	FEATURES_MAX = 64,
	FEATURE_NAME_MAX = 64, /* bytes, without the NUL */
	UNIT_MAX = 16,
	MACHINE_NAME_MAX = 64,
};

struct feature {
	char name[FEATURE_NAME_MAX + 1]; /* JSON key and CSV header, e.g. "temperature" */
	char unit[UNIT_MAX + 1];         /* shown to people, e.g. "degC"; empty if unknown */
	double low, high;                /* physically possible range; +-INFINITY if unknown */
};

struct schema {
	size_t count;
	struct feature feature[FEATURES_MAX];
};

/* Column of `name`, or -1. */
int schema_find(const struct schema *schema, const char *name);

/* Appends a feature. Refuses an empty, overlong, repeated or reserved name, and control bytes,
 * quotes, backslashes, commas and invalid UTF-8 in it, so that a name never needs escaping in
 * JSON or CSV. The unit, which may be empty, likewise. */
enum status schema_add(struct schema *schema, const char *name, const char *unit, double low,
	double high, struct why *why) MUST_USE;

/* The same names in the same order. Units and ranges may differ. */
bool schema_equal(const struct schema *a, const struct schema *b);

/* The words a verdict keeps for itself: machine, timestamp, received, seq, anomaly_score, ... */
bool schema_reserved(const char *name);

/* [A-Za-z0-9_-]{1,64} */
bool machine_name_valid(const char *name, size_t len);

#endif
