#include "agent/metrics.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const struct metrics_gauges gauges = { .connected = true,
	.connects = 3,
	.threshold = 0.112,
	.trained_ms = INT64_C(1795000000500),
	.model = "0123456789abcdef",
	.promised = 0.5,
	.promised_low = 0.25,
	.promised_high = 2 };

/* The caller's. */
static char *page_of(struct metrics *metrics, const struct metrics_gauges *with)
{
	char *page = NULL;
	size_t len = 0;

	CU_ASSERT_EQUAL_FATAL(metrics_write(metrics, with, &page, &len), STATUS_OK);
	CU_ASSERT_EQUAL(strlen(page), len);
	return page;
}

static struct metrics *create(void)
{
	struct metrics *metrics = NULL;
	CU_ASSERT_EQUAL_FATAL(metrics_create(&metrics), STATUS_OK);
	return metrics;
}

static uint64_t settled(const struct ledger *ledger)
{
	uint64_t sum = ledger->stored + ledger->duplicate;

	for (int i = 0; i < REJECT_COUNT; i++)
		sum += ledger->rejected[i];
	for (int i = 0; i < DROP_COUNT; i++)
		sum += ledger->dropped[i];
	return sum;
}

static void test_fresh_page(void)
{
	static const char *const lines[] = {
		"\nisolde_messages_received_total 0\n",
		"\nisolde_messages_stored_total 0\n",
		"\nisolde_messages_duplicate_total 0\n",
		"\nisolde_messages_rejected_total{reason=\"topic\"} 0\n",
		"\nisolde_messages_rejected_total{reason=\"retained\"} 0\n",
		"\nisolde_messages_dropped_total{reason=\"queue\"} 0\n",
		"\nisolde_messages_dropped_total{reason=\"store\"} 0\n",
		"\nisolde_messages_pending 0\n",
		"\nisolde_verdicts_total{verdict=\"normal\"} 0\n",
		"\nisolde_verdicts_total{verdict=\"anomaly\"} 0\n",
		"\nisolde_verdicts_total{verdict=\"unscored\"} 0\n",
		"\nisolde_score_duration_seconds_count 0\n",
		"\nisolde_store_commit_duration_seconds_bucket{le=\"+Inf\"} 0\n",
		"\nisolde_store_sync_duration_seconds_count 0\n",
		"\nisolde_messages_unsynced_total 0\n",
		"\nisolde_end_to_end_latency_seconds_sum 0\n",
		"\nisolde_mqtt_connected 1\n",
		"\nisolde_mqtt_connects_total 3\n",
		"\nisolde_build_info{version=\"" ISOLDE_VERSION "\"} 1\n",
		"\nisolde_model_info{model=\"0123456789abcdef\"} 1\n",
		"\nisolde_model_threshold 0.112\n",
		"\nisolde_expected_false_alarms_per_day 0.5\n",
		"\nisolde_expected_false_alarms_per_day_low 0.25\n",
		"\nisolde_expected_false_alarms_per_day_high 2\n",
		"\nisolde_model_trained_timestamp_seconds 1795000000.5\n",
		"\nprocess_cpu_seconds_total ",
		"\nprocess_resident_memory_bytes ",
		"\nprocess_open_fds ",
		"\nprocess_start_time_seconds ",
	};
	struct metrics *metrics = create();
	char *page = page_of(metrics, &gauges);

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		ASSERT_HOLDS(page, lines[i]);
	CU_ASSERT_PTR_NULL(strstr(page, "reason=\"none\""));
	free(page);
	metrics_destroy(metrics);
}

static void test_no_model(void)
{
	static const struct metrics_gauges none = { .threshold = NAN, .model = "" };
	struct metrics *metrics = create();
	char *page = page_of(metrics, &none);

	CU_ASSERT_PTR_NULL(strstr(page, "isolde_model_info"));
	CU_ASSERT_PTR_NULL(strstr(page, "isolde_model_threshold"));
	ASSERT_HOLDS(page, "\nisolde_mqtt_connected 0\n");
	free(page);
	metrics_destroy(metrics);
}

static void test_every_family(void)
{
	struct metrics *metrics = create();
	char *page = page_of(metrics, &gauges);

	metrics_machine(metrics, "press-1", 0.5, 1000);
	for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n")) {
		static char family[128];
		if (strncmp(line, "# HELP ", 7) == 0) {
			CU_ASSERT_EQUAL(sscanf(line, "# HELP %127s", family), 1);
			continue;
		}
		const char *name = strncmp(line, "# TYPE ", 7) == 0 ? line + 7 : line;
		CU_ASSERT_EQUAL(strncmp(name, family, strlen(family)), 0);
	}
	free(page);
	metrics_destroy(metrics);
}

static void test_histogram(void)
{
	struct metrics *metrics = create();

	metrics_observe(metrics, HISTOGRAM_LATENCY, 0.0005); /* on a bound: inside */
	metrics_observe(metrics, HISTOGRAM_LATENCY, 0.002);
	metrics_observe(metrics, HISTOGRAM_LATENCY, 100);
	char *page = page_of(metrics, &gauges);
	ASSERT_HOLDS(page, "\nisolde_end_to_end_latency_seconds_bucket{le=\"0.0005\"} 1\n");
	ASSERT_HOLDS(page, "\nisolde_end_to_end_latency_seconds_bucket{le=\"0.001\"} 1\n");
	ASSERT_HOLDS(page, "\nisolde_end_to_end_latency_seconds_bucket{le=\"0.0025\"} 2\n");
	ASSERT_HOLDS(page, "\nisolde_end_to_end_latency_seconds_bucket{le=\"10\"} 2\n");
	ASSERT_HOLDS(page, "\nisolde_end_to_end_latency_seconds_bucket{le=\"+Inf\"} 3\n");
	ASSERT_HOLDS(page, "\nisolde_end_to_end_latency_seconds_sum 100.0025\n");
	ASSERT_HOLDS(page, "\nisolde_end_to_end_latency_seconds_count 3\n");
	free(page);
	metrics_destroy(metrics);
}

static void test_machines(void)
{
	struct metrics *metrics = create();
	char name[32];

	for (int i = 0; i < METRICS_MACHINES_MAX + 5; i++) {
		snprintf(name, sizeof(name), "m%d", i);
		metrics_machine(metrics, name, 0.25, 2000);
	}
	metrics_machine(metrics, "m0", -0.125, INT64_C(1795000000250));
	metrics_machine(metrics, "m2000", 0.5, 3000);
	metrics_machine(metrics, "m1", NAN, 4000);
	metrics_gap(metrics, "m0", 2);
	metrics_gap(metrics, "m0", 5);
	metrics_gap(metrics, "m2000", 1);
	char *page = page_of(metrics, &gauges);
	ASSERT_HOLDS(page, "\nisolde_sequence_gaps_total 8\n");
	ASSERT_HOLDS(page, "\nisolde_machine_sequence_gaps_total{machine=\"m0\"} 7\n");
	ASSERT_HOLDS(page, "\nisolde_machine_sequence_gaps_total{machine=\"other\"} 1\n");
	CU_ASSERT_PTR_NULL(strstr(page, "isolde_machine_sequence_gaps_total{machine=\"m1\"}"));
	ASSERT_HOLDS(page, "\nisolde_score{machine=\"m0\"} -0.125\n");
	ASSERT_HOLDS(
		page, "\nisolde_last_reading_timestamp_seconds{machine=\"m0\"} 1795000000.25\n");
	ASSERT_HOLDS(page, "\nisolde_score{machine=\"m999\"} 0.25\n");
	ASSERT_HOLDS(page, "\nisolde_score{machine=\"other\"} 0.5\n");
	ASSERT_HOLDS(page, "\nisolde_last_reading_timestamp_seconds{machine=\"m1\"} 4\n");
	CU_ASSERT_PTR_NULL(strstr(page, "isolde_score{machine=\"m1\"}"));
	CU_ASSERT_PTR_NULL(strstr(page, "m1000"));
	free(page);
	metrics_destroy(metrics);
}

static void test_restore(void)
{
	struct metrics *metrics = create();
	struct ledger ledger = { .received = 999, .stored = 10, .duplicate = 2, .pending = 7 };

	ledger.rejected[REJECT_JSON] = 3;
	ledger.dropped[DROP_STORE] = 4;
	metrics_restore(metrics, &ledger);
	metrics_ledger(metrics, &ledger);
	CU_ASSERT_EQUAL(ledger.received, 19);
	CU_ASSERT_EQUAL(ledger.pending, 0);
	CU_ASSERT_EQUAL(ledger.stored, 10);
	CU_ASSERT_EQUAL(ledger.rejected[REJECT_JSON], 3);
	metrics_destroy(metrics);
}

/* ---- the law under load ---- */

enum { THREADS = 4, ROUNDS = 50000 };

static void *receive_and_settle(void *context)
{
	struct metrics *metrics = context;

	for (int i = 0; i < ROUNDS; i++) {
		struct ledger change = { .stored = 1, .duplicate = i % 2 };
		change.rejected[REJECT_RANGE] = 1;
		change.dropped[DROP_QUEUE] = 1;
		for (int m = 0; m < 3 + i % 2; m++)
			metrics_received(metrics);
		metrics_settle(metrics, &change);
		metrics_observe(metrics, HISTOGRAM_SCORE, 1e-6);
		metrics_add(metrics, METRIC_LATE, 1);
	}
	return NULL;
}

static void test_ledger_law(void)
{
	struct metrics *metrics = create();
	pthread_t thread[THREADS];
	struct ledger ledger;

	for (int i = 0; i < THREADS; i++)
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&thread[i], NULL, receive_and_settle, metrics), 0);
	bool balanced = true;
	do {
		metrics_ledger(metrics, &ledger);
		balanced = balanced && ledger.received == settled(&ledger) + ledger.pending;
	} while (balanced && ledger.received < (uint64_t)THREADS * ROUNDS * 7 / 2);
	CU_ASSERT_TRUE(balanced);
	for (int i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	metrics_ledger(metrics, &ledger);
	CU_ASSERT_EQUAL(ledger.received, (uint64_t)THREADS * ROUNDS * 7 / 2);
	CU_ASSERT_EQUAL(ledger.pending, 0);
	CU_ASSERT_EQUAL(ledger.dropped[DROP_QUEUE], (uint64_t)THREADS * ROUNDS);
	CU_ASSERT_EQUAL(metrics_get(metrics, METRIC_LATE), THREADS * ROUNDS);
	char *page = page_of(metrics, &gauges);
	ASSERT_HOLDS(page, "\nisolde_score_duration_seconds_count 200000\n");
	free(page);
	metrics_destroy(metrics);
}

static void test_promtool(void)
{
	struct metrics *metrics = create();

	if (system("command -v promtool >/dev/null 2>&1") != 0) {
		printf("(skipped: no promtool) ");
		metrics_destroy(metrics);
		return;
	}
	metrics_machine(metrics, "press-1", 0.5, 1000);
	metrics_gap(metrics, "press-1", 1);
	metrics_observe(metrics, HISTOGRAM_COMMIT, 0.01);
	char *page = page_of(metrics, &gauges);
	unit_file("page.txt", page, strlen(page));
	free(page);
	char command[600];
	snprintf(command, sizeof(command), "promtool check metrics <'%s' >'%s' 2>&1",
		unit_path("page.txt"), unit_path("promtool.out"));
	int status = system(command);
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	FILE *file = fopen(unit_path("promtool.out"), "r");
	char line[256];
	while (file && fgets(line, sizeof(line), file)) {
		fprintf(stderr, "promtool: %s", line);
		CU_FAIL("promtool finds something");
	}
	if (file)
		fclose(file);
	metrics_destroy(metrics);
}

/* Beside what training promised. */
static void test_observed(void)
{
	struct metrics *metrics = create();
	char *page = page_of(metrics, &gauges);

	CU_ASSERT_PTR_NULL(strstr(page, "isolde_observed_false_alarms_per_day"));
	free(page);
	metrics_set(metrics, METRIC_WATCHED_S, 2 * 86400);
	metrics_add(metrics, METRIC_FALSE_ALARMS, 1);
	page = page_of(metrics, &gauges);
	ASSERT_HOLDS(page, "\nisolde_observed_false_alarms_per_day 0.5\n");
	free(page);
	metrics_destroy(metrics);
}

static CU_TestInfo cases[] = {
	{ "a fresh page names every series with 0", test_fresh_page },
	{ "without a model the page has no model series", test_no_model },
	{ "every sample stands under its family's HELP and TYPE", test_every_family },
	{ "histogram buckets are cumulative with inclusive bounds", test_histogram },
	{ "machines beyond the first 1,000 share one label", test_machines },
	{ "a restored ledger balances without pending", test_restore },
	{ "the ledger balances at every look while threads move it", test_ledger_law },
	{ "promtool finds nothing", test_promtool },
	{ "false alarms are counted by the day of watching", test_observed },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("metrics", cases);
}
