#include "common/drift.h"
#include "common/smooth.h"
#include <math.h>

/* Beyond, nothing is told apart any more, and nats and scores stay finite. */
static const double square_max = 1e30;

static double square_of(const double *whitening, size_t features, const double *shift)
{
	const double *row = whitening;
	double square = 0;

	for (size_t i = 0; i < features; i++) {
		double sum = 0;
		for (size_t k = 0; k <= i; k++)
			sum += row[k] * shift[k];
		square += sum * sum;
		row += i + 1;
	}
	return fmin(square, square_max);
}

/* exp(u^2) erfc(u); far out by its asymptotic series (Abramowitz and Stegun 7.1.23). */
static double scaled_erfc(double u)
{
	static const double far = 5;
	double v = 1 / (2 * u * u);

	if (u < far)
		return exp(u * u) * erfc(u);
	return (1 - v * (1 - 3 * v * (1 - 5 * v * (1 - 7 * v)))) / (u * sqrt(M_PI));
}

/* With y = square / 2 the share is exp(-y) times a sum: of y^k / k! for even degrees, of
 * y^(k + 1/2) / (k + 1/2)! behind exp(y) erfc(sqrt(y)) for odd ones (Abramowitz and Stegun 26.4.4,
 * 26.4.5). So far out nothing is lost, and no share becomes 0. */
double drift_nats(size_t degrees, double square)
{
	static const double flat =
		1e6; /* beyond, the sum grows no more: its terms would overflow */
	double y = square / 2, x = fmin(y, flat);
	double half = degrees % 2 ? 0.5 : 0;
	double term = half > 0 ? 2 * sqrt(x / M_PI) : 1;
	double sum = half > 0 ? scaled_erfc(sqrt(x)) : 0;

	for (size_t k = 0; k < degrees / 2; k++) {
		sum += term;
		term *= x / ((double)(k + 1) + half);
	}
	return fmax(y - log(sum), 0);
}

double drift_place(const double *whitening, size_t features, const double *shift)
{
	return drift_nats(features + 1, square_of(whitening, features, shift));
}

static double weight(size_t window)
{
	return 2 / ((double)window + 1);
}

void drift_add(struct drift *drift, const struct drift_rule *rule, size_t features, int64_t step_ms,
	int64_t at_ms, const double *x)
{
	float slow = (float)weight(rule->window), fast = (float)weight(rule->brief);

	if (drift->count > 0 && smooth_breaks(drift->at_ms, at_ms, step_ms))
		*drift = (struct drift){ .count = 0 };
	drift->at_ms = at_ms;
	drift->count++;
	for (size_t i = 0; i < features; i++) {
		double reach = rule->reach[i];
		double off = reach > 0 ? (x[i] - rule->centre[i]) / reach : 0;
		float near = (float)fmin(fmax(off, -1), 1);
		drift->mean[i] += slow * (near - drift->mean[i]);
		if (rule->brief > 0)
			drift->brief[i] += fast * (near - drift->brief[i]);
	}
}

void drift_shift(
	const struct drift *drift, const struct drift_rule *rule, size_t features, double *shift)
{
	for (size_t i = 0; i < features; i++)
		shift[i] = rule->reach[i] *
			(double)(rule->brief > 0 ? drift->brief[i] - drift->mean[i]
						 : drift->mean[i]);
}

double drift_next(struct drift *drift, const struct drift_rule *rule, size_t features,
	int64_t step_ms, int64_t at_ms, const double *x)
{
	double shift[FEATURES_MAX];

	drift_add(drift, rule, features, step_ms, at_ms, x);
	if (drift->count < rule->window)
		return NAN;
	drift_shift(drift, rule, features, shift);
	return drift_place(rule->whitening, features, shift);
}

double drift_score(const struct drift_rule *rule, double nats)
{
	return rule->offset + rule->scale * nats;
}

size_t drift_sensor(const struct drift *drift, const struct drift_rule *rule, size_t features)
{
	double shift[FEATURES_MAX], least = INFINITY;
	size_t sensor = 0;

	drift_shift(drift, rule, features, shift);
	for (size_t i = 0; i < features; i++) {
		double held = shift[i];
		shift[i] = 0;
		double square = square_of(rule->whitening, features, shift);
		if (square < least) {
			least = square;
			sensor = i;
		}
		shift[i] = held;
	}
	return sensor;
}
