/* What was concluded about one reading: stored, published, served. */
#ifndef ISOLDE_COMMON_VERDICT_H
#define ISOLDE_COMMON_VERDICT_H

#include "common/model.h"
#include "common/reading.h"
#include "common/schema.h"
#include <stdbool.h>
#include <stddef.h>

enum quality { QUALITY_GOOD, QUALITY_MISSING };
const char *quality_name(enum quality quality);

struct verdict {
	struct reading reading;
	double score;     /* NaN: not scored (no model, or a missing value) */
	double threshold; /* NaN with score */
	bool anomalous;   /* score > threshold */
	bool late;        /* older than the machine's newest by late_s; raises no alarm */
	enum quality quality;
	char model[MODEL_ID_SIZE]; /* empty: no model */
};

enum { VERDICT_TEXT_MAX = 1024 + FEATURES_MAX * (FEATURE_NAME_MAX + 32) };

/* The flat JSON object of the README, without a newline; returns its length, 0 if `size` is too
 * small (VERDICT_TEXT_MAX always suffices). `quality` and `late` appear only when they differ
 * from "good" and false; an unscored verdict has null for score, threshold, is_anomaly and
 * model. */
size_t verdict_encode(
	const struct verdict *verdict, const struct schema *schema, char *out, size_t size);

#endif
