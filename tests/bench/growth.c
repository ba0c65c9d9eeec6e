/* How costs grow, one kind a run, as lines `series,x,value` (tests/bench/growth draws them):
 *
 *   bench_growth features         ns to score a reading, 1 to 64 features, 100 trees
 *   bench_growth trees            the same, 50 to 400 trees, 3 features
 *   bench_growth machines N FILE  us from message to commit and verdict, N machines, and what the
 *                                 process keeps in memory; the history goes into FILE
 *   bench_growth rows MAX FILE    us to store a row and to ask for 50, 10,000 to MAX rows
 *
 * In CPU time of the one thread where it is about computing: what else the machine does then counts
 * less. All of one kind by turns, and of each the lower quartile. */
#include "common/timeutil.h"
#include "tests/bench/bench.h"
#include "tests/bench/history.h"
#include "tests/bench/line.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What the agent gives them unless told otherwise (model.table_bytes). */
enum { TABLE_BYTES = FOREST_TABLE_BYTES };

enum { PIECES = 40, PROBES = 500, REPEATS = 101, KINDS = 3, SIZES_MAX = 8 };

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double lower_quartile(double *samples, size_t n)
{
	(void)bench_median(samples, n); /* sorts */
	return samples[n / 4];
}

static void tell(const char *series, size_t x, double value)
{
	printf("%s,%zu,%.6g\n", series, x, value);
	fflush(stdout);
}

/* ---- scoring ---- */

static double score_ns(const struct detector *detector, const double *probe)
{
	double began = cpu_ns();

	(void)bench_score_ns(detector, probe, PROBES);
	return (cpu_ns() - began) / PROBES;
}

struct subject {
	size_t x, features;
	struct model *forest, *fused;
	double *probe;
	double ns[KINDS][PIECES];
};

static void make_subject(struct subject *s, size_t x, size_t features, size_t trees)
{
	s->x = x;
	s->features = features;
	s->forest = bench_model(DETECTOR_FOREST, features, trees);
	s->fused = bench_model(DETECTOR_FUSED, features, trees);
	s->probe = malloc(PROBES * features * sizeof(*s->probe));
	if (!s->probe)
		exit(70);
	bench_rows(s->probe, PROBES, features, 6);
}

static void time_subject(struct subject *s, size_t piece)
{
	detector_tabulate(&s->forest->detector, 0);
	s->ns[0][piece] = score_ns(&s->forest->detector, s->probe);
	detector_tabulate(&s->forest->detector, TABLE_BYTES);
	s->ns[1][piece] = score_ns(&s->forest->detector, s->probe);
	s->ns[2][piece] = score_ns(&s->fused->detector, s->probe);
}

static void score_all(struct subject *subjects, size_t n)
{
	static const char *const names[KINDS] = { "forest, walked", "forest", "fused" };

	for (size_t piece = 0; piece < PIECES; piece++) {
		for (size_t i = 0; i < n; i++)
			time_subject(&subjects[i], piece);
	}
	for (int kind = 0; kind < KINDS; kind++) {
		for (size_t i = 0; i < n; i++)
			tell(names[kind], subjects[i].x,
				lower_quartile(subjects[i].ns[kind], PIECES));
	}
	for (size_t i = 0; i < n; i++) {
		model_destroy(subjects[i].forest);
		model_destroy(subjects[i].fused);
		free(subjects[i].probe);
	}
}

static void grow_features(void)
{
	static const size_t features[] = { 1, 2, 4, 8, 16, 32, 64 };
	static struct subject subjects[SIZES_MAX];
	const size_t n = sizeof(features) / sizeof(features[0]);

	for (size_t i = 0; i < n; i++)
		make_subject(&subjects[i], features[i], features[i], 100);
	score_all(subjects, n);
}

static void grow_trees(void)
{
	static const size_t trees[] = { 50, 100, 200, 400 };
	static struct subject subjects[SIZES_MAX];
	const size_t n = sizeof(trees) / sizeof(trees[0]);

	for (size_t i = 0; i < n; i++)
		make_subject(&subjects[i], trees[i], 3, trees[i]);
	score_all(subjects, n);
}

/* ---- machines ---- */

static double resident_mb(void)
{
	unsigned long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		exit(70);
	fclose(file);
	return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static void grow_machines(size_t machines, const char *path)
{
	enum { BATCHES = 100, KNOWN = 20 }; /* every machine is known by then */
	static double us[BATCHES];
	struct model *model = bench_model(DETECTOR_FOREST, 3, 100);
	struct line *line = line_create(path, model, machines);

	for (size_t i = 0; i < KNOWN + BATCHES; i++) {
		line_prepare(line);
		double began = cpu_ns();
		line_run(line);
		if (i >= KNOWN)
			us[i - KNOWN] = (cpu_ns() - began) / 1e3 / LINE_BATCH;
	}
	tell("message", machines, lower_quartile(us, BATCHES));
	tell("memory", machines, resident_mb());
	line_destroy(line);
	model_destroy(model);
	unlink(path);
}

/* ---- rows ---- */

/* 10,000 rows at the end of each decade, in pieces of a batch. */
static void grow_rows(size_t max, const char *path)
{
	enum { LAST = 10000 };
	static const struct {
		const char *series, *machine;
		bool anomalies;
	} queries[] = { { "anomalies", NULL, true }, { "all readings", NULL, false },
		{ "a machine's", "press-7", false }, { "a quiet machine's", "quiet", false } };
	double sample[REPEATS];
	size_t have = 0;

	unlink(path);
	for (size_t rows = 10000; rows <= max; rows *= 10) {
		struct store *store = history_open(path, STORE_WRITE);
		history_fill(store, have, rows - LAST, max);
		for (size_t i = 0; i < LAST / HISTORY_BATCH; i++) {
			size_t from = rows - LAST + i * HISTORY_BATCH;
			double began = cpu_ns();
			history_fill(store, from, from + HISTORY_BATCH, max);
			sample[i] = (cpu_ns() - began) / 1e3 / HISTORY_BATCH;
		}
		store_close(store);
		have = rows;
		tell("a row stored", rows, lower_quartile(sample, LAST / HISTORY_BATCH));
		store = history_open(path, STORE_READ);
		for (size_t q = 0; q < sizeof(queries) / sizeof(queries[0]); q++) {
			(void)history_query(
				store, queries[q].machine, queries[q].anomalies, sample, REPEATS);
			tell(queries[q].series, rows, 1e3 * lower_quartile(sample, REPEATS));
		}
		store_close(store);
		struct stat file;
		if (stat(path, &file) != 0)
			exit(70);
		tell("bytes a row", rows, (double)file.st_size / (double)rows);
	}
	unlink(path);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	size_t n = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;

	if (strcmp(kind, "features") == 0)
		grow_features();
	else if (strcmp(kind, "trees") == 0)
		grow_trees();
	else if (strcmp(kind, "machines") == 0 && n > 0)
		grow_machines(n, argv[3]);
	else if (strcmp(kind, "rows") == 0 && n > 0)
		grow_rows(n, argv[3]);
	else
		return 64;
	return 0;
}
