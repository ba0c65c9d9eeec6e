#include "tests/bench/history.h"
#include "common/rng.h"
#include "common/timeutil.h"
#include "tests/bench/bench.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINES = 1000, QUIET_EVERY = 100000, LIMIT = 50 };

static void check(enum status status, const struct why *why)
{
	if (status == STATUS_OK)
		return;
	fprintf(stderr, "bench: %s\n", why->text);
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

struct store *history_open(const char *path, enum store_mode mode)
{
	struct store *store;
	struct why why;

	check(store_open(path, mode, &store, &why), &why);
	return store;
}

void history_fill(struct store *store, size_t first, size_t end, size_t all)
{
	struct verdict verdict;
	struct schema schema;
	struct rng rng;
	struct why why;
	bool duplicate = false;
	int64_t began_ms = time_now_ms() - (int64_t)all;

	bench_schema(&schema, 3);
	rng_seed(&rng, first + 1);
	for (size_t i = first; i < end; i++) {
		if ((i - first) % HISTORY_BATCH == 0)
			check(store_begin(store, &why), &why);
		make_verdict(&verdict, &rng, i, began_ms);
		check(store_add(store, &verdict, &schema, &duplicate, &why), &why);
		if ((i - first) % HISTORY_BATCH == HISTORY_BATCH - 1 || i + 1 == end)
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

size_t history_query(
	struct store *store, const char *machine, bool anomalies_only, double *ms, size_t n)
{
	struct store_query query = { .machine = machine,
		.to_ms = INT64_MAX,
		.anomalies_only = anomalies_only,
		.limit = LIMIT };
	size_t found = 0;
	struct why why;

	for (size_t i = 0; i < n; i++) {
		int64_t began = time_monotonic_ns();
		found = 0;
		check(store_find(store, &query, count_row, &found, &why), &why);
		ms[i] = (double)(time_monotonic_ns() - began) / 1e6;
	}
	return found;
}
