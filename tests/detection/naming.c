/* naming: which sensors the explanation names, of readings of three sensors, independent or
 * correlated 0.9, of which one or two are 4 sd off. Only flagged readings are explained. Lines
 * `name value`. */
#include "common/rng.h"
#include "common/train.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 2000, SENSORS = 3, SEEDS = 5, PROBES = 2000 };
static const double off_sd = 4;

static void draw(struct rng *rng, bool correlated, double *x)
{
	double common = rng_normal(rng), share = correlated ? 0.9 : 0;

	for (int j = 0; j < SENSORS; j++)
		x[j] = 50 + 10 * (sqrt(share) * common + sqrt(1 - share) * rng_normal(rng));
}

static struct model *train(struct rng *rng, bool correlated, uint64_t seed)
{
	static double value[ROWS * SENSORS];
	const struct train_options options = { .kind = DETECTOR_FUSED,
		.trees = 100,
		.sample_size = 256,
		.seed = seed,
		.quantile = 0.99 };
	struct schema schema = { .count = 0 };
	struct model *model;
	struct why why;

	for (size_t i = 0; i < ROWS; i++)
		draw(rng, correlated, value + i * SENSORS);
	if (schema_add(&schema, "a", "", -INFINITY, INFINITY, &why) != STATUS_OK ||
		schema_add(&schema, "b", "", -INFINITY, INFINITY, &why) != STATUS_OK ||
		schema_add(&schema, "c", "", -INFINITY, INFINITY, &why) != STATUS_OK ||
		train_model(&schema, value, ROWS, &options, &model, &why) != STATUS_OK) {
		fprintf(stderr, "%s\n", why.text);
		exit(70);
	}
	return model;
}

/* Whether the first `faults` sensors named are those that are off; -1: not flagged. */
static int named(const struct model *model, struct rng *rng, bool correlated, size_t faults)
{
	double x[SENSORS], contribution[SENSORS];
	size_t order[2], odd = (size_t)rng_below(rng, SENSORS);

	draw(rng, correlated, x);
	for (size_t f = 0; f < faults; f++)
		x[(odd + f) % SENSORS] += 10 * off_sd * (rng_uniform(rng) < 0.5 ? -1 : 1);
	double score = detector_score(&model->detector, x);
	if (!(score > model->threshold))
		return -1;
	detector_explain(&model->detector, x, score, contribution);
	detector_leading(&model->detector, x, contribution, score, model->threshold, order);
	for (size_t f = 0; f < faults; f++) {
		if ((order[f] + SENSORS - odd) % SENSORS >= faults)
			return 0;
	}
	return 1;
}

static void measure(bool correlated, size_t faults)
{
	size_t flagged = 0, right = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct rng rng;
		rng_seed(&rng, 100 + seed);
		struct model *model = train(&rng, correlated, seed);
		for (int i = 0; i < PROBES; i++) {
			int answer = named(model, &rng, correlated, faults);
			flagged += answer >= 0;
			right += answer == 1;
		}
		model_destroy(model);
	}
	printf("%s_%zu_named %g\n%s_%zu_flagged %g\n", correlated ? "correlated" : "independent",
		faults, (double)right / (double)flagged, correlated ? "correlated" : "independent",
		faults, (double)flagged / (SEEDS * PROBES));
}

int main(void)
{
	for (size_t faults = 1; faults <= 2; faults++) {
		measure(false, faults);
		measure(true, faults);
	}
	return 0;
}
