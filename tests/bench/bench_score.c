/* Nanoseconds to score one reading, and how that compares with the textbook loop: one tree after
 * another, stopping at the leaf. Both in one run, interleaved. */
#include "common/timeutil.h"
#include "common/train.h"
#include "tests/bench/bench.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 2000, PIECES = 50, PROBES = 2000 };

static double textbook_depth(const struct forest_columns *c, const double *x)
{
	double sum = 0;

	for (size_t t = 0; t < c->trees; t++) {
		uint32_t at = c->root[t];
		unsigned depth = 0;
		for (; c->feature[at] >= 0; depth++)
			at = c->left[at] + (x[c->feature[at]] > c->split[at]);
		sum += depth + forest_mean_depth(c->rows[at]);
	}
	return sum;
}

int main(void)
{
	static double value[ROWS * 3], probe[PROBES * 3], ours[PIECES], plain[PIECES],
		ratio[PIECES], walked[PIECES];
	struct train_options options = {
		.trees = 100, .sample_size = 256, .seed = 42, .quantile = 0.99
	};
	struct schema schema;
	struct model *model;
	struct why why;
	volatile double sink = 0;

	bench_schema(&schema);
	bench_baseline(value, ROWS, 5);
	bench_baseline(probe, PROBES, 6);
	if (train_model(&schema, value, ROWS, &options, &model, &why) != STATUS_OK) {
		fprintf(stderr, "%s\n", why.text);
		return 70;
	}
	const struct forest_columns *columns = forest_columns(model->detector.forest);
	for (int piece = 0; piece < PIECES; piece++) {
		(void)forest_tabulate(model->detector.forest, 0);
		int64_t started = time_monotonic_ns();
		for (int i = 0; i < PROBES; i++)
			sink = sink + detector_score(&model->detector, probe + i * 3);
		walked[piece] = (double)(time_monotonic_ns() - started) / PROBES;
		(void)forest_tabulate(model->detector.forest, FOREST_TABLE_BYTES);
		int64_t began = time_monotonic_ns();
		for (int i = 0; i < PROBES; i++)
			sink = sink + detector_score(&model->detector, probe + i * 3);
		int64_t middle = time_monotonic_ns();
		for (int i = 0; i < PROBES; i++)
			sink = sink + textbook_depth(columns, probe + i * 3);
		int64_t ended = time_monotonic_ns();
		ours[piece] = (double)(middle - began) / PROBES;
		plain[piece] = (double)(ended - middle) / PROBES;
		ratio[piece] = ours[piece] / plain[piece];
	}
	model_destroy(model);
	bench_figure("score, 100 trees, 3 features, one reading", ours, PIECES, "ns", 300);
	bench_figure("  the same by walking the trees (no bit tables)", walked, PIECES, "ns", 2000);
	bench_figure("  the same, share of the textbook loop's time", ratio, PIECES, "", 1);
	return bench_missed();
}
