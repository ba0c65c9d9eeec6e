/* What was concluded about one reading: stored, published, served. */
#ifndef ISOLDE_COMMON_VERDICT_H
#define ISOLDE_COMMON_VERDICT_H

#include "common/model.h"
#include "common/reading.h"
#include "common/schema.h"
#include <stdbool.h>
#include <stddef.h>

/* What is wrong with a reading as a measurement; the numbers are stored. */
enum quality {
	QUALITY_GOOD,
	QUALITY_MISSING,      /* a value is absent or null */
	QUALITY_OUT_OF_RANGE, /* a value is physically impossible */
	QUALITY_STUCK,        /* a value has not changed for longer than a healthy one ever does */
	QUALITY_SKEW,         /* the machine's clock is wrong */
	QUALITY_COUNT
};
const char *quality_name(enum quality quality);

/* What one sensor adds to an anomaly. */
struct explained {
	size_t feature;      /* of the schema */
	double contribution; /* score minus the score with it at its healthy median */
	double share;        /* of the contributions of all sensors, 0 .. 1 */
	double low, high;    /* its normal range: the 0.01 and 0.99 quantiles of healthy data */
	double z;            /* standard deviations above the healthy mean; NaN: it never varied */
};
enum { EXPLAINED_MAX = 5 }; /* the sensors that add most; more explain nothing */

/* What an operator said afterwards: is_anomaly as it should have been. */
enum label { LABEL_NONE, LABEL_HEALTHY };

struct verdict {
	struct reading reading;
	double score;       /* NaN: not scored (no model, or a missing value) */
	double threshold;   /* NaN with score */
	bool anomalous;     /* score > threshold */
	double alarm_score; /* mean of the machine's last scores, which feeds the alarm; NaN
			       with score */
	bool smoothed;      /* alarm_score is more than the score again, and is said */
	double severity;    /* how far beyond the threshold, for ranking; of anomalies */
	size_t explained;   /* sensors, those that add most first; 0: no anomaly */
	struct explained explanation[EXPLAINED_MAX];
	enum label label; /* in history only */
	bool late;        /* older than the machine's newest by late_s; raises no alarm */
	enum quality quality;
	char model[MODEL_ID_SIZE]; /* empty: no model */
};

enum { VERDICT_TEXT_MAX = 3072 + FEATURES_MAX * (FEATURE_NAME_MAX + 32) };

/* The flat JSON object of the README, without a newline; returns its length, 0 if `size` is too
 * small (VERDICT_TEXT_MAX always suffices). `quality` and `late` appear only when they differ
 * from "good" and false, `alarm_score` with a smoothing detector, `severity` and `explanation` with
 * an anomaly, `label` where there is one; an unscored verdict has null for score, threshold,
 * is_anomaly and model. */
size_t verdict_encode(
	const struct verdict *verdict, const struct schema *schema, char *out, size_t size);

#endif
