#include "tests/bench/bench.h"
#include "common/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int missed;

static int ascending(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

void bench_figure(const char *name, double *samples, size_t n, const char *unit, double at_most)
{
	qsort(samples, n, sizeof(*samples), ascending);
	double median = samples[n / 2];
	const char *mark = "";

	if (median > at_most) {
		mark = "  MISSED";
		missed++;
	}
	printf("%-52s %10.4g %-3s [%.4g - %.4g]  must <= %g%s\n", name, median, unit, samples[0],
		samples[n - 1], at_most, mark);
}

int bench_missed(void)
{
	return missed;
}

void bench_baseline(double *value, size_t rows, uint64_t seed)
{
	static const double mean[] = { 60, 35, 75 };
	struct rng rng;

	rng_seed(&rng, seed);
	for (size_t i = 0; i < rows * 3; i++)
		value[i] = round((mean[i % 3] + 10 * rng_normal(&rng)) * 100) / 100;
}

void bench_schema(struct schema *schema)
{
	static const char *const names[] = { "temperature", "humidity", "sound" };

	schema->count = 0;
	for (int i = 0; i < 3; i++) {
		if (schema_add(schema, names[i], "", -INFINITY, INFINITY, NULL) != STATUS_OK)
			abort();
	}
}
