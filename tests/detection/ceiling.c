/* ceiling: how many of the simulator's slow faults could be found at all, at the rate of false
 * alarms that training aims at. The best filter for a known fault in known noise (whitened matched
 * filter: Kay, Fundamentals of Statistical Signal Processing II, 1998, ch. 4) knows which sensor it
 * is, which way and when it will have come to its end, and looks at nothing else; a detector that
 * has to find all kinds of faults knows none of that. Lines `name value`: NAME_found, if all false
 * alarms may be spent on that one fault, and NAME_shared_found, if a sixth: three sensors, up and
 * down. */
#include "simulator/machine.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_MAX = 150, DAYS = 10, DAY_S = 86400, PEAK_S = 300, SEEN_A_DAY = 2 };
static const double rate = 0.025; /* a day and machine, as common/train_alarm has it */

/* The parts of simulator/machine.c: share of the variance and memory of each. */
static const double heat_sign[SENSORS] = { 1, -1, 1 };
static const double work = 1 - 1 / 90.0 - 1 / 45.0, warming = 1 - 1 / 20.0;

/* Of a telegraph behind a filter: autoregression of the second order. */
static double heat(int lag)
{
	return ((1 - warming * warming) * pow(work, lag + 1) -
		       (1 - work * work) * pow(warming, lag + 1)) /
		((work - warming) * (1 + work * warming));
}

static double covariance(int a, int b, int lag)
{
	double shared = 0.08 * heat_sign[a] * heat_sign[b] * heat(lag);

	if (a != b)
		return shared;
	return shared + 0.03 * pow(0.999, lag) + 0.87 * pow(0.908, lag) + (lag == 0 ? 0.02 : 0);
}

struct filter {
	int length;
	double weight[SENSORS * LENGTH_MAX];
	double snr; /* sd of healthy values that the fault comes to at its end */
};

/* weight = inverse covariance times the fault, by Cholesky, scaled to healthy values of sd 1. */
static void make_filter(const struct fault *fault, struct filter *f)
{
	static double c[SENSORS * LENGTH_MAX][SENSORS * LENGTH_MAX];
	int length = fault->length_s, n = SENSORS * length;
	double *w = f->weight, square = 0;

	f->length = length;
	for (int i = 0; i < n; i++) {
		w[i] = i / length == (int)fault->sensor ? fault_offset_sd(fault, i % length) : 0;
		for (int j = 0; j < n; j++)
			c[i][j] = covariance(i / length, j / length, abs(i % length - j % length));
	}
	for (int j = 0; j < n; j++) {
		for (int i = j; i < n; i++) {
			for (int k = 0; k < j; k++)
				c[i][j] -= c[i][k] * c[j][k];
			c[i][j] = i == j ? sqrt(c[i][j]) : c[i][j] / c[j][j];
		}
	}
	for (int i = 0; i < n; i++) {
		for (int k = 0; k < i; k++)
			w[i] -= c[i][k] * w[k];
		w[i] /= c[i][i];
		square += w[i] * w[i];
	}
	for (int i = n - 1; i >= 0; i--) {
		for (int k = i + 1; k < n; k++)
			w[i] -= c[k][i] * w[k];
		w[i] /= c[i][i];
	}
	f->snr = sqrt(square);
	for (int i = 0; i < n; i++)
		w[i] /= f->snr;
}

static int descending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x < y) - (x > y);
}

static double filtered(const struct filter *f, double past[SENSORS][LENGTH_MAX], int newest)
{
	double sum = 0;

	for (int s = 0; s < SENSORS; s++)
		for (int k = 0; k < f->length; k++)
			sum += f->weight[s * f->length + k] * past[s][(newest + 1 + k) % f->length];
	return sum;
}

/* The level that a healthy machine passes SEEN_A_DAY times a day. */
static double healthy_level(const struct filter *f)
{
	static double peak[DAYS * DAY_S / PEAK_S], past[SENSORS][LENGTH_MAX];
	struct machine machine;
	size_t peaks = 0;
	double best = -INFINITY;

	machine_init(&machine, 99, 0, 0);
	for (int i = 0; i < DAYS * DAY_S; i++) {
		struct sample sample;
		machine_next(&machine, &sample);
		for (int s = 0; s < SENSORS; s++)
			past[s][i % f->length] = (sample.value[s] - sensor_mean[s]) / SENSOR_SD;
		if (i >= f->length)
			best = fmax(best, filtered(f, past, i % f->length));
		if ((i + 1) % PEAK_S == 0) {
			peak[peaks++] = best;
			best = -INFINITY;
		}
	}
	qsort(peak, peaks, sizeof(*peak), descending);
	return peak[SEEN_A_DAY * DAYS];
}

/* Carried on to the rate along the normal law (Rice's formula). */
static double found(const struct filter *f, double seen, double a_day)
{
	double level = sqrt(seen * seen + 2 * log(SEEN_A_DAY / a_day));
	return erfc((level - f->snr) / sqrt(2)) / 2;
}

int main(void)
{
	for (int i = 0; i < FAULTS; i++) {
		const struct fault *fault = &fault_table[i];
		static struct filter filter;
		if (fault->shape != FAULT_OFFSET || fault->length_s < 60)
			continue;
		make_filter(fault, &filter);
		double seen = healthy_level(&filter);
		printf("%s_found %g\n%s_shared_found %g\n", fault->name, found(&filter, seen, rate),
			fault->name, found(&filter, seen, rate / (2 * SENSORS)));
	}
	return 0;
}
