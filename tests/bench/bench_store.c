/* bench_store FILE ROWS: fills a history with ROWS readings of a thousand machines, one of them
 * quiet (a reading in 100,000), and times the queries behind /history?limit=50. The file stays,
 * for the agent to start on. */
#include "common/rng.h"
#include "common/store.h"
#include "common/timeutil.h"
#include "tests/bench/bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MACHINES = 1000, BATCH = 1000, REPEATS = 101, QUIET_EVERY = 100000 };

static void check(enum status status, const struct why *why)
{
	if (status == STATUS_OK)
		return;
	fprintf(stderr, "bench_store: %s\n", why->text);
	exit(74);
}

static void make_verdict(struct verdict *v, struct rng *rng, size_t i, int64_t began_ms)
{
	memset(v, 0, sizeof(*v));
	if (i % QUIET_EVERY == QUIET_EVERY / 2)
		strcpy(v->reading.machine, "quiet");
	else
		snprintf(v->reading.machine, sizeof(v->reading.machine), "press-%zu", i % MACHINES);
	v->reading.at_ms = v->reading.received_ms = began_ms + (int64_t)i; /* a thousand a second */
	v->reading.at_sent = true;
	v->reading.seq = (int64_t)(i / MACHINES);
	for (int f = 0; f < 3; f++)
		v->reading.value[f] = (double)rng_below(rng, 10000) / 100;
	v->score = rng_uniform(rng) - 0.4;
	v->threshold = 0.59;
	v->anomalous = v->score > v->threshold; /* 1 % */
	strcpy(v->model, "0123456789abcdef");
}

static void fill(struct store *store, const struct schema *schema, size_t rows)
{
	struct verdict verdict;
	struct rng rng;
	struct why why;
	bool duplicate = false;
	int64_t began_ms = time_now_ms() - (int64_t)rows;

	rng_seed(&rng, 1);
	for (size_t i = 0; i < rows; i++) {
		if (i % BATCH == 0)
			check(store_begin(store, &why), &why);
		make_verdict(&verdict, &rng, i, began_ms);
		check(store_add(store, &verdict, schema, &duplicate, &why), &why);
		if (i % BATCH == BATCH - 1)
			check(store_commit(store, &why), &why);
	}
}

static bool count_row(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	(void)id;
	(void)verdict;
	(void)schema;
	++*(size_t *)context;
	return true;
}

static void time_query(struct store *store, const char *name, const char *machine, bool anomalies)
{
	double ms[REPEATS];
	size_t found = 0;
	struct why why;

	for (int i = 0; i < REPEATS; i++) {
		struct store_query query = { .machine = machine,
			.to_ms = INT64_MAX,
			.anomalies_only = anomalies,
			.limit = 50 };
		int64_t began = time_monotonic_ns();
		found = 0;
		check(store_find(store, &query, count_row, &found, &why), &why);
		ms[i] = (double)(time_monotonic_ns() - began) / 1e6;
	}
	char title[80];
	snprintf(title, sizeof(title), "history, 50 of %s (%zu found)", name, found);
	bench_figure(title, ms, REPEATS, "ms", 5);
}

int main(int argc, char **argv)
{
	struct schema schema;
	struct store *store;
	struct why why;

	if (argc != 3) {
		fprintf(stderr, "usage: bench_store FILE ROWS\n");
		return 64;
	}
	size_t rows = strtoul(argv[2], NULL, 10) / BATCH * BATCH;
	bench_schema(&schema, 3);
	unlink(argv[1]);
	check(store_open(argv[1], STORE_WRITE, &store, &why), &why);
	int64_t began = time_monotonic_ns();
	fill(store, &schema, rows);
	double us = (double)(time_monotonic_ns() - began) / 1e3 / (double)rows;
	bench_figure("store, a row in batches of 1,000, 1,000 machines", &us, 1, "us", 20);
	store_close(store);

	check(store_open(argv[1], STORE_READ, &store, &why), &why);
	time_query(store, "all anomalies", NULL, true);
	time_query(store, "all readings", NULL, false);
	time_query(store, "a machine's anomalies", "press-7", true);
	time_query(store, "a machine's readings", "press-7", false);
	time_query(store, "the quiet machine's readings", "quiet", false);
	store_close(store);
	return bench_missed();
}
