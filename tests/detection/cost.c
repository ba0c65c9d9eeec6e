/* cost: microseconds of the fused detector's score at eight features, the median of many pieces,
 * and how often scoring asked for memory (linked with --wrap). Lines `name value`. */
#include "common/rng.h"
#include "common/timeutil.h"
#include "common/train.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 2000, FEATURES = 8, PIECES = 101, PROBES = 1000 };

static size_t asked;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
	asked++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	asked++;
	return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	asked++;
	return __real_realloc(old, size);
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static struct model *train(struct rng *rng)
{
	static double value[ROWS * FEATURES];
	const struct train_options options = { .kind = DETECTOR_FUSED,
		.trees = 100,
		.sample_size = 256,
		.seed = 42,
		.quantile = 0.99 };
	struct schema schema = { .count = 0 };
	struct model *model;
	struct why why;

	for (size_t i = 0; i < ROWS * FEATURES; i++)
		value[i] = rng_normal(rng);
	for (int j = 0; j < FEATURES; j++) {
		char name[] = { (char)('a' + j), '\0' };
		if (schema_add(&schema, name, "", -INFINITY, INFINITY, &why) != STATUS_OK)
			exit(70);
	}
	if (train_model(&schema, value, ROWS, &options, &model, &why) != STATUS_OK) {
		fprintf(stderr, "%s\n", why.text);
		exit(70);
	}
	return model;
}

int main(void)
{
	static double probe[PROBES * FEATURES], us[PIECES];
	volatile double sink = 0;
	struct rng rng;

	rng_seed(&rng, 5);
	struct model *model = train(&rng);
	for (size_t i = 0; i < PROBES * FEATURES; i++)
		probe[i] = rng_normal(&rng);
	size_t before = asked;
	for (int piece = 0; piece < PIECES; piece++) {
		int64_t began = time_monotonic_ns();
		for (size_t i = 0; i < PROBES; i++)
			sink = sink + detector_score(&model->detector, probe + i * FEATURES);
		us[piece] = (double)(time_monotonic_ns() - began) / 1e3 / PROBES;
	}
	size_t during = asked - before;
	qsort(us, PIECES, sizeof(*us), ascending);
	printf("us %g\nus_best %g\nasked_training %zu\nasked_scoring %zu\n", us[PIECES / 2], us[0],
		before, during);
	model_destroy(model);
	return 0;
}
