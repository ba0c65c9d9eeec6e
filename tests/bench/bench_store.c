/* bench_store FILE ROWS: fills a history with ROWS readings (tests/bench/history.h) and times the
 * queries behind /history?limit=50. The file stays, for the agent to start on. */
#include "common/timeutil.h"
#include "tests/bench/bench.h"
#include "tests/bench/history.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { REPEATS = 101 };

static void time_query(struct store *store, const char *name, const char *machine, bool anomalies)
{
	double ms[REPEATS];
	size_t found = history_query(store, machine, anomalies, ms, REPEATS);
	char title[80];

	snprintf(title, sizeof(title), "history, 50 of %s (%zu found)", name, found);
	bench_figure(title, ms, REPEATS, "ms", 5);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: bench_store FILE ROWS\n");
		return 64;
	}
	size_t rows = strtoul(argv[2], NULL, 10) / HISTORY_BATCH * HISTORY_BATCH;
	unlink(argv[1]);
	struct store *store = history_open(argv[1], STORE_WRITE);
	int64_t began = time_monotonic_ns();
	history_fill(store, 0, rows, rows);
	double us = (double)(time_monotonic_ns() - began) / 1e3 / (double)rows;
	bench_figure("store, a row in batches of 1,000, 1,000 machines", &us, 1, "us", 20);
	store_close(store);

	store = history_open(argv[1], STORE_READ);
	time_query(store, "all anomalies", NULL, true);
	time_query(store, "all readings", NULL, false);
	time_query(store, "a machine's anomalies", "press-7", true);
	time_query(store, "a machine's readings", "press-7", false);
	time_query(store, "the quiet machine's readings", "quiet", false);
	store_close(store);
	return bench_missed();
}
