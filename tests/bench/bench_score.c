/* Nanoseconds to score one reading: the plain forest beside the textbook loop (one tree after
 * another, stopping at the leaf) in one run, interleaved; the fused detector; and the forest when
 * nothing of it is in a cache, as for a machine that speaks once a minute. */
#include "common/timeutil.h"
#include "common/train.h"
#include "tests/bench/bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECES = 50, PROBES = 2000, COLD_PIECES = 101, FUSED_FEATURES = 8 };

static volatile double sink;

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

static double textbook_ns(const struct forest_columns *columns, const double *probe)
{
	int64_t began = time_monotonic_ns();

	for (int i = 0; i < PROBES; i++)
		sink = sink + textbook_depth(columns, probe + i * 3);
	return (double)(time_monotonic_ns() - began) / PROBES;
}

static void time_forest(struct model *model, const double *probe)
{
	static double ours[PIECES], plain[PIECES], ratio[PIECES], walked[PIECES];
	const struct forest_columns *columns = forest_columns(model->detector.forest);

	for (int piece = 0; piece < PIECES; piece++) {
		detector_tabulate(&model->detector, 0);
		walked[piece] = bench_score_ns(&model->detector, probe, PROBES);
		detector_tabulate(&model->detector, FOREST_TABLE_BYTES);
		ours[piece] = bench_score_ns(&model->detector, probe, PROBES);
		plain[piece] = textbook_ns(columns, probe);
		ratio[piece] = ours[piece] / plain[piece];
	}
	bench_figure("score, 100 trees, 3 features, one reading", ours, PIECES, "ns", 300);
	bench_figure("  the same by walking the trees (no bit tables)", walked, PIECES, "ns", 2000);
	bench_figure("  the same, share of the textbook loop's time", ratio, PIECES, "", 1);
}

/* Fills the caches with something else; twice the last level of those that say how large it is. */
static void evict(void)
{
	static char *other;
	static size_t size;
	size_t sum = 0;

	if (!other) {
		long last = sysconf(_SC_LEVEL3_CACHE_SIZE);
		size = last > (32L << 20) ? 2 * (size_t)last : 64U << 20;
		other = malloc(size);
		if (!other)
			exit(70);
	}
	for (size_t i = 0; i < size; i += 64)
		sum += (size_t)other[i]++;
	sink = sink + (double)sum;
}

/* The caches are empty and the predictors have seen other work; the clock's own 30 ns are in it.
 * The tables are made once: what is scored with once a minute lies where it lay. */
static void time_cold(struct model *walking, struct model *tabulated, const double *probe)
{
	static double tables[COLD_PIECES], walked[COLD_PIECES];

	detector_tabulate(&walking->detector, 0);
	detector_tabulate(&tabulated->detector, FOREST_TABLE_BYTES);
	for (int piece = 0; piece < COLD_PIECES; piece++) {
		evict();
		walked[piece] = bench_score_ns(&walking->detector, probe + piece * 3, 1);
		evict();
		tables[piece] = bench_score_ns(&tabulated->detector, probe + piece * 3, 1);
	}
	bench_figure("score, 3 features, cold caches", tables, COLD_PIECES, "ns", 4000);
	bench_figure("  the same by walking the trees", walked, COLD_PIECES, "ns", 60000);
}

static void time_fused(const struct model *model, const double *probe)
{
	static double ns[PIECES];

	for (int piece = 0; piece < PIECES; piece++)
		ns[piece] = bench_score_ns(&model->detector, probe, PROBES);
	bench_figure("score, fused, 8 features, one reading", ns, PIECES, "ns", 2000);
}

int main(void)
{
	static double probe[PROBES * FUSED_FEATURES];
	struct model *forest = bench_model(DETECTOR_FOREST, 3, 100);
	struct model *walking = bench_model(DETECTOR_FOREST, 3, 100);
	struct model *fused = bench_model(DETECTOR_FUSED, FUSED_FEATURES, 100);

	bench_rows(probe, PROBES, 3, 6);
	time_forest(forest, probe);
	time_cold(walking, forest, probe);
	bench_rows(probe, PROBES, FUSED_FEATURES, 6);
	time_fused(fused, probe);
	model_destroy(forest);
	model_destroy(walking);
	model_destroy(fused);
	return bench_missed();
}
