#include "tests/bench/bench.h"
#include "common/rng.h"
#include "common/timeutil.h"
#include "common/train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int missed;

static int ascending(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

double bench_median(double *samples, size_t n)
{
	qsort(samples, n, sizeof(*samples), ascending);
	return samples[n / 2];
}

void bench_figure(const char *name, double *samples, size_t n, const char *unit, double at_most)
{
	double median = bench_median(samples, n);
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

void bench_rows(double *value, size_t rows, size_t features, uint64_t seed)
{
	static const double mean[] = { 60, 35, 75 };
	struct rng rng;

	rng_seed(&rng, seed);
	for (size_t i = 0; i < rows * features; i++)
		value[i] = round((mean[i % features % 3] + 10 * rng_normal(&rng)) * 100) / 100;
}

void bench_schema(struct schema *schema, size_t features)
{
	static const char *const names[] = { "temperature", "humidity", "sound" };
	char name[24];

	schema->count = 0;
	for (size_t i = 0; i < features; i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		if (schema_add(schema, i < 3 ? names[i] : name, "", -INFINITY, INFINITY, NULL) !=
			STATUS_OK)
			abort();
	}
}

struct model *bench_model(enum detector_kind kind, size_t features, size_t trees)
{
	enum { ROWS = 2000 };
	struct train_options options = {
		.kind = kind, .trees = trees, .sample_size = 256, .seed = 42, .quantile = 0.99
	};
	double *value = malloc(ROWS * features * sizeof(*value));
	struct schema schema;
	struct model *model;
	struct why why;

	if (!value)
		abort();
	bench_schema(&schema, features);
	bench_rows(value, ROWS, features, 5);
	if (train_model(&schema, value, ROWS, &options, &model, &why) != STATUS_OK) {
		fprintf(stderr, "%s\n", why.text);
		exit(70);
	}
	free(value);
	return model;
}

double bench_score_ns(const struct detector *detector, const double *probe, size_t n)
{
	volatile double sink = 0;
	int64_t began = time_monotonic_ns();

	for (size_t i = 0; i < n; i++)
		sink = sink + detector_score(detector, probe + i * detector->features);
	return (double)(time_monotonic_ns() - began) / (double)n;
}
