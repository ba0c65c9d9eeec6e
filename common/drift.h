/* What a machine's readings themselves say beside their scores, one rule each: that their slow mean
 * has left the healthy place (a shift too small for single scores), or that a brief mean has left
 * the one before it (a step, seen at once where sensors wander). Exponentially weighted means, and
 * how rare their place is among those of healthy machines. They begin anew at the healthy centre
 * wherever common/smooth does. Pure; allocates nothing.
 * Source: Lowry, Woodall, Champ, Rigdon, "A multivariate exponentially weighted moving average
 * control chart", Technometrics 34, 1992. Fitted by common/train_drift. */
#ifndef ISOLDE_COMMON_DRIFT_H
#define ISOLDE_COMMON_DRIFT_H

#include "common/schema.h"
#include <stddef.h>
#include <stdint.h>

enum {
	DRIFT_RULES = 2,
	DRIFT_WINDOW_MAX = 100000,
	DRIFT_FACTORS_MAX = FEATURES_MAX * (FEATURES_MAX + 1) / 2,
	DRIFT_SCALE_MAX = 1000000
};

struct drift_rule {
	/* Readings that a mean is worth: each new one has a weight of 2 / (window + 1). It counts
	 * when it is that old. 0: there is no rule. */
	size_t window;
	size_t brief; /* and those of the mean that it is taken from; 0: the centre is taken from it
		       */
	double scale, offset; /* nats onto the scale of the smoothed score */
	double centre[FEATURES_MAX];
	double reach[FEATURES_MAX]; /* from the centre, 0: a feature that never moved; a reading
				       farther off counts as one there, so that a single one far off
				       cannot lift the mean for long */
	/* Rows of the inverse Cholesky factor of the means' covariance, in the sensors' units. */
	double whitening[DRIFT_FACTORS_MAX];
};

/* One per machine and rule; zero to start. In reaches from the centre: single precision is plenty
 * for a mean of numbers of -1 .. 1, and there are many machines. */
struct drift {
	float mean[FEATURES_MAX];
	float brief[FEATURES_MAX];
	int64_t at_ms; /* of the newest reading */
	size_t count;  /* since it began */
};

/* Takes one reading, x[features], all finite. `step_ms`: as of smooth_next. */
void drift_add(struct drift *drift, const struct drift_rule *rule, size_t features, int64_t step_ms,
	int64_t at_ms, const double *x);

/* The same, and gives the place it has come to; NaN while it is too young. */
double drift_next(struct drift *drift, const struct drift_rule *rule, size_t features,
	int64_t step_ms, int64_t at_ms, const double *x);

/* Nats on the scale of the smoothed score: what feeds the alarm is the larger of the two. */
double drift_score(const struct drift_rule *rule, double nats);

/* How far the mean is out, in the features' units: shift[features]. */
void drift_shift(
	const struct drift *drift, const struct drift_rule *rule, size_t features, double *shift);

/* The sensor without whose shift that would be least far. */
size_t drift_sensor(const struct drift *drift, const struct drift_rule *rule, size_t features);

/* The place of shift[features] by such factors, in nats, 0 at the centre: -ln of how often a mean
 * that wanders by the normal law sets out beyond there, but for a factor. Such a rate falls like
 * the share of a chi-square law with a degree more than the means have (Rice's formula; Leadbetter,
 * Lindgren, Rootzen 1983, ch. 7). */
double drift_place(const double *whitening, size_t features, const double *shift);

/* -ln of the share of a chi-square law of `degrees` (1 ..) that lies above `square` (0 ..). */
double drift_nats(size_t degrees, double square);

#endif
