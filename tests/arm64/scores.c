/* Trains both detectors on made-up readings and prints every bit that came out: thresholds, scores
 * and contributions, with and without bit tables. tests/arm64/run compares two processors' output.
 */
#include "common/rng.h"
#include "common/train.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 3000, PROBES = 2000 };

static double value[ROWS * FEATURES_MAX], probe[PROBES * FEATURES_MAX];

static void print_bits(const char *what, double x)
{
	uint64_t bits;

	memcpy(&bits, &x, sizeof(bits));
	printf("%s %016" PRIx64 "\n", what, isnan(x) ? 0 : bits); /* every NaN is one */
}

/* Two decimals, as sensors write; every tenth probe has a feature far out, infinite or missing. */
static void make_rows(size_t features, struct rng *rng)
{
	static const double odd[] = { 1e6, -1e6, INFINITY, -INFINITY, NAN, 0, -0.0, 5e-324 };

	for (size_t i = 0; i < ROWS * features; i++)
		value[i] = round((60 + 10 * rng_normal(rng)) * 100) / 100;
	for (size_t i = 0; i < PROBES; i++) {
		double *x = &probe[i * features];
		for (size_t k = 0; k < features; k++)
			x[k] = round((60 + 20 * rng_normal(rng)) * 100) / 100;
		if (i % 10 == 0)
			x[rng_below(rng, features)] = odd[(i / 10) % 8];
	}
}

static bool finite_row(const double *x, size_t features)
{
	for (size_t k = 0; k < features; k++)
		if (!isfinite(x[k]))
			return false;
	return true;
}

static void print_scores(const struct model *model, size_t features)
{
	double contribution[FEATURES_MAX];

	for (size_t i = 0; i < PROBES; i++) {
		const double *x = &probe[i * features];
		if (model->detector.kind == DETECTOR_FUSED && !finite_row(x, features))
			continue; /* it promises nothing there */
		double score = detector_score(&model->detector, x);
		print_bits("score", score);
		if (i % 20 != 1 || isnan(score))
			continue;
		detector_explain(&model->detector, x, score, contribution);
		for (size_t k = 0; k < features; k++)
			print_bits("adds", contribution[k]);
	}
}

static int run(enum detector_kind kind, size_t features, uint64_t seed)
{
	const struct train_options options = {
		.kind = kind, .trees = 100, .sample_size = 256, .seed = seed, .quantile = 0.99
	};
	struct schema schema = { .count = 0 };
	struct model *model = NULL;
	struct why why = { "" };
	struct rng rng;

	for (size_t k = 0; k < features; k++) {
		char name[8];
		snprintf(name, sizeof(name), "f%zu", k);
		if (schema_add(&schema, name, "", -INFINITY, INFINITY, &why) != STATUS_OK)
			return 1;
	}
	rng_seed(&rng, seed);
	make_rows(features, &rng);
	if (train_model(&schema, value, ROWS, &options, &model, &why) != STATUS_OK) {
		fprintf(stderr, "%s\n", why.text);
		return 1;
	}
	printf("# %s, %zu features\n", detector_name(kind), features);
	print_bits("threshold", model->threshold);
	for (size_t i = 0; i < model->quantiles; i++)
		print_bits("quantile", model->score_quantile[i]);
	print_scores(model, features);
	detector_tabulate(&model->detector, FOREST_TABLE_BYTES);
	print_scores(model, features);
	return 0;
}

int main(void)
{
	return run(DETECTOR_FOREST, 3, 1) || run(DETECTOR_FOREST, 8, 2) ||
		run(DETECTOR_FUSED, 3, 3) || run(DETECTOR_FUSED, 8, 4);
}
