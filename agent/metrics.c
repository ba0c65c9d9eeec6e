#include "agent/metrics.h"
#include "common/hash.h"
#include "common/number.h"
#include "common/text.h"
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	BUCKETS = 14,
	PAGE_BYTES = 32768, /* everything but the machines */
	MACHINE_BYTES = 2 * (64 + MACHINE_NAME_MAX + NUMBER_TEXT_SIZE),
};

static const struct {
	const char *name, *help;
	double bound[BUCKETS]; /* seconds, ascending; +Inf follows */
} histogram_info[HISTOGRAM_COUNT] = {
	[HISTOGRAM_SCORE] = { "isolde_score_duration_seconds", "Time to score one reading.",
		{ 1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 1e-2,
			1e-1, 1 } },
	[HISTOGRAM_COMMIT] = { "isolde_store_commit_duration_seconds",
		"Time to commit one batch to the store.",
		{ 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1,
			5 } },
	[HISTOGRAM_SYNC] = { "isolde_store_sync_duration_seconds",
		"Time the disk takes to confirm what was committed.",
		{ 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1,
			5 } },
	[HISTOGRAM_LATENCY] = { "isolde_end_to_end_latency_seconds",
		"Time from receiving a reading until its verdict leaves, which for QoS 1 is after the commit.",
		{ 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10 } },
};

struct histogram_state {
	_Atomic uint64_t bucket[BUCKETS + 1]; /* not cumulated */
	_Atomic double sum;
};

struct machine {
	UT_hash_handle hh;
	char name[MACHINE_NAME_MAX + 1];
	double score;
	int64_t at_ms;
	int64_t gaps;
};

struct metrics {
	_Atomic int64_t value[METRIC_COUNT];
	struct histogram_state histogram[HISTOGRAM_COUNT];

	pthread_mutex_t ledger_lock;
	struct ledger ledger;

	pthread_mutex_t machine_lock;
	struct machine *by_name;
	struct machine machine[METRICS_MACHINES_MAX + 1]; /* the last one is `other` */
	size_t machines;
	bool other;
};

#define X(id, name) name,
static const char *const metric_name[METRIC_COUNT] = { METRIC_TABLE(X) };
#undef X

/* The first of a family bears its help. */
static const char *const metric_help[METRIC_COUNT] = {
	[METRIC_VERDICTS_NORMAL] = "Readings by what was concluded about them.",
	[METRIC_VERDICTS_UNPUBLISHED] = "Verdicts that could not be published.",
	[METRIC_LATE] = "Readings older than the newest of their machine.",
	[METRIC_ALARMS_RAISED] = "Alarms raised.",
	[METRIC_ALARMS_ACTIVE] = "Machines with an alarm that is not over.",
	[METRIC_ALARMS_NORMAL] = "Machines by the state of their alarm.",
	[METRIC_CAUSE_ANOMALY] = "Machines by what their alarm stands for just now.",
	[METRIC_STORE_PUT_ASIDE] = "Damaged histories that were put aside.",
	[METRIC_BROKER_DROPPED] = "Messages the broker dropped for slow clients, by its $SYS.",
	[METRIC_PRUNED] = "Readings that went from the history for their age or its size.",
	[METRIC_REFUSED] =
		"QoS-1 messages left for the broker to deliver again: there was no room.",
	[METRIC_SEQUENCE_GAPS] = "Readings that never came, by the gaps in seq.",
	[METRIC_WAL_BYTES] = "Size of the history's write-ahead log.",
	[METRIC_OUTBOX] = "Messages the broker has not acknowledged yet.",
	[METRIC_OUTBOX_DROPPED] = "Messages given up because the outbox was full.",
	[METRIC_ALARM_RATE] = "Alarms raised in the last 10 minutes.",
	[METRIC_ALARM_FLOOD] = "1 while more alarms come than a person can handle (EEMUA 191).",
	[METRIC_ALARM_FLOODS] = "Times that such a flood began.",
	[METRIC_ALARMS_CHATTERING] = "Machines that raised an alarm 3 times within 10 minutes.",
	[METRIC_ALARM_GROUPS] = "Times that many machines raised an alarm together.",
	[METRIC_FALSE_ALARMS] = "Alarms that operators called false.",
	[METRIC_WATCHED_S] = "Time that machines were watched, the sum of all of them.",
	[METRIC_QUALITY_GOOD] =
		"Readings by whether they can be believed; silent: times that a machine fell so.",
	[METRIC_STORE_ERRORS] = "Batches that could not be stored.",
	[METRIC_UNSYNCED] = "Readings acknowledged before the disk had confirmed them.",
	[METRIC_MODEL_RELOADS] = "Models put in force while running.",
	[METRIC_MODEL_RELOAD_FAILURES] = "Model files refused while running.",
	[METRIC_MACHINES] = "Machines seen.",
	[METRIC_HTTP_REQUESTS] = "HTTP requests answered.",
	[METRIC_HTTP_ERRORS] = "HTTP requests answered with status 400 or above.",
};

const char *drop_name(enum drop drop)
{
	switch (drop) {
	case DROP_QUEUE:
		return "queue";
	case DROP_STORE:
		return "store";
	case DROP_COUNT:
		break;
	}
	return "unknown";
}

enum status metrics_create(struct metrics **out)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));

	if (!metrics)
		return STATUS_NO_MEMORY;
	pthread_mutex_init(&metrics->ledger_lock, NULL);
	pthread_mutex_init(&metrics->machine_lock, NULL);
	memcpy(metrics->machine[METRICS_MACHINES_MAX].name, "other", sizeof("other"));
	*out = metrics;
	return STATUS_OK;
}

void metrics_destroy(struct metrics *metrics)
{
	if (!metrics)
		return;
	HASH_CLEAR(hh, metrics->by_name);
	pthread_mutex_destroy(&metrics->ledger_lock);
	pthread_mutex_destroy(&metrics->machine_lock);
	free(metrics);
}

void metrics_add(struct metrics *metrics, enum metric metric, int64_t n)
{
	atomic_fetch_add_explicit(&metrics->value[metric], n, memory_order_relaxed);
}

void metrics_set(struct metrics *metrics, enum metric metric, int64_t value)
{
	atomic_store_explicit(&metrics->value[metric], value, memory_order_relaxed);
}

int64_t metrics_get(const struct metrics *metrics, enum metric metric)
{
	return atomic_load_explicit(&metrics->value[metric], memory_order_relaxed);
}

void metrics_observe(struct metrics *metrics, enum histogram histogram, double seconds)
{
	struct histogram_state *state = &metrics->histogram[histogram];
	const double *bound = histogram_info[histogram].bound;
	size_t i = 0;

	while (i < BUCKETS && seconds > bound[i])
		i++;
	atomic_fetch_add_explicit(&state->bucket[i], 1, memory_order_relaxed);
	double sum = atomic_load_explicit(&state->sum, memory_order_relaxed);
	while (!atomic_compare_exchange_weak(&state->sum, &sum, sum + seconds))
		;
}

void metrics_histogram(
	const struct metrics *metrics, enum histogram histogram, uint64_t *count, double *seconds)
{
	const struct histogram_state *state = &metrics->histogram[histogram];

	*count = 0;
	for (size_t i = 0; i <= BUCKETS; i++)
		*count += atomic_load_explicit(&state->bucket[i], memory_order_relaxed);
	*seconds = atomic_load_explicit(&state->sum, memory_order_relaxed);
}

void metrics_received(struct metrics *metrics)
{
	pthread_mutex_lock(&metrics->ledger_lock);
	metrics->ledger.received++;
	metrics->ledger.pending++;
	pthread_mutex_unlock(&metrics->ledger_lock);
}

/* All but received and pending. */
static uint64_t settled(const struct ledger *ledger)
{
	uint64_t sum = ledger->stored + ledger->duplicate;

	for (int i = 0; i < REJECT_COUNT; i++)
		sum += ledger->rejected[i];
	for (int i = 0; i < DROP_COUNT; i++)
		sum += ledger->dropped[i];
	return sum;
}

static void add_settled(struct ledger *to, const struct ledger *change)
{
	to->stored += change->stored;
	to->duplicate += change->duplicate;
	for (int i = 0; i < REJECT_COUNT; i++)
		to->rejected[i] += change->rejected[i];
	for (int i = 0; i < DROP_COUNT; i++)
		to->dropped[i] += change->dropped[i];
}

void metrics_settle(struct metrics *metrics, const struct ledger *change)
{
	pthread_mutex_lock(&metrics->ledger_lock);
	add_settled(&metrics->ledger, change);
	metrics->ledger.pending -= settled(change);
	pthread_mutex_unlock(&metrics->ledger_lock);
}

void metrics_restore(struct metrics *metrics, const struct ledger *persisted)
{
	pthread_mutex_lock(&metrics->ledger_lock);
	add_settled(&metrics->ledger, persisted);
	metrics->ledger.received += settled(persisted);
	pthread_mutex_unlock(&metrics->ledger_lock);
}

void metrics_ledger(struct metrics *metrics, struct ledger *out)
{
	pthread_mutex_lock(&metrics->ledger_lock);
	*out = metrics->ledger;
	pthread_mutex_unlock(&metrics->ledger_lock);
}

static struct machine *find_machine(struct metrics *metrics, const char *name)
{
	struct machine *machine;

	HASH_FIND_STR(metrics->by_name, name, machine);
	if (machine)
		return machine;
	if (metrics->machines < METRICS_MACHINES_MAX) {
		machine = &metrics->machine[metrics->machines];
		snprintf(machine->name, sizeof(machine->name), "%s", name);
		HASH_ADD_STR(metrics->by_name, name, machine);
		if (machine->hh.tbl) { /* NULL: no memory */
			metrics->machines++;
			return machine;
		}
	}
	metrics->other = true;
	return &metrics->machine[METRICS_MACHINES_MAX];
}

void metrics_machine(struct metrics *metrics, const char *machine, double score, int64_t at_ms)
{
	pthread_mutex_lock(&metrics->machine_lock);
	struct machine *entry = find_machine(metrics, machine);
	entry->score = score;
	entry->at_ms = at_ms;
	pthread_mutex_unlock(&metrics->machine_lock);
}

void metrics_gap(struct metrics *metrics, const char *machine, int64_t numbers)
{
	metrics_add(metrics, METRIC_SEQUENCE_GAPS, numbers);
	pthread_mutex_lock(&metrics->machine_lock);
	find_machine(metrics, machine)->gaps += numbers;
	pthread_mutex_unlock(&metrics->machine_lock);
}

/* ---- the page ---- */

static void add_family(struct text *page, const char *name, const char *type, const char *help)
{
	text_add(page, "# HELP ");
	text_add(page, name);
	text_add(page, " ");
	text_add(page, help);
	text_add(page, "\n# TYPE ");
	text_add(page, name);
	text_add(page, " ");
	text_add(page, type);
	text_add(page, "\n");
}

/* name{label="value"} or name; values of ours need no escaping. */
static void add_name(struct text *page, const char *name, const char *label, const char *value)
{
	text_add(page, name);
	if (label) {
		text_add(page, "{");
		text_add(page, label);
		text_add(page, "=\"");
		text_add(page, value);
		text_add(page, "\"}");
	}
	text_add(page, " ");
}

static void add_integer(
	struct text *page, const char *name, const char *label, const char *value, uint64_t n)
{
	add_name(page, name, label, value);
	text_add_integer(page, (int64_t)n);
	text_add(page, "\n");
}

static void add_number(
	struct text *page, const char *name, const char *label, const char *value, double x)
{
	add_name(page, name, label, value);
	if (isnan(x))
		text_add(page, "NaN");
	else
		text_add_number(page, x);
	text_add(page, "\n");
}

static void add_counter(struct text *page, const char *name, const char *help, uint64_t n)
{
	add_family(page, name, "counter", help);
	add_integer(page, name, NULL, NULL, n);
}

static void add_gauge(struct text *page, const char *name, const char *help, double x)
{
	add_family(page, name, "gauge", help);
	add_number(page, name, NULL, NULL, x);
}

static void add_ledger(struct text *page, const struct ledger *ledger)
{
	static const char rejected[] = "isolde_messages_rejected_total";
	static const char dropped[] = "isolde_messages_dropped_total";

	add_counter(
		page, "isolde_messages_received_total", "Messages that came in.", ledger->received);
	add_counter(page, "isolde_messages_stored_total", "Readings stored.", ledger->stored);
	add_counter(page, "isolde_messages_duplicate_total",
		"Readings delivered again that were stored before.", ledger->duplicate);
	add_family(page, rejected, "counter", "Messages that were no valid readings.");
	for (int i = REJECT_NONE + 1; i < REJECT_COUNT; i++)
		add_integer(
			page, rejected, "reason", reject_name((enum reject)i), ledger->rejected[i]);
	add_family(page, dropped, "counter", "Messages given up.");
	for (int i = 0; i < DROP_COUNT; i++)
		add_integer(page, dropped, "reason", drop_name((enum drop)i), ledger->dropped[i]);
	add_gauge(page, "isolde_messages_pending", "Messages received and not yet at their end.",
		(double)ledger->pending);
}

/* A counter's family ends in _total; the family is the name without its label. */
static void add_metrics(struct text *page, const struct metrics *metrics)
{
	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name[i];
		size_t len = strcspn(name, "{");
		if (metric_help[i]) {
			char family[64];
			snprintf(family, sizeof(family), "%.*s", (int)len, name);
			bool counter = len > 6 && strcmp(family + len - 6, "_total") == 0;
			add_family(page, family, counter ? "counter" : "gauge", metric_help[i]);
		}
		text_add(page, name);
		text_add(page, " ");
		text_add_integer(page, metrics_get(metrics, (enum metric)i));
		text_add(page, "\n");
	}
}

static void add_histogram(struct text *page, struct metrics *metrics, enum histogram histogram)
{
	struct histogram_state *state = &metrics->histogram[histogram];
	const char *name = histogram_info[histogram].name;
	char series[80], bound[NUMBER_TEXT_SIZE];
	uint64_t count = 0;

	add_family(page, name, "histogram", histogram_info[histogram].help);
	snprintf(series, sizeof(series), "%s_bucket", name);
	for (size_t i = 0; i <= BUCKETS; i++) {
		count += atomic_load_explicit(&state->bucket[i], memory_order_relaxed);
		if (i < BUCKETS)
			number_format(histogram_info[histogram].bound[i], bound);
		add_integer(page, series, "le", i < BUCKETS ? bound : "+Inf", count);
	}
	snprintf(series, sizeof(series), "%s_sum", name);
	add_number(page, series, NULL, NULL, atomic_load(&state->sum));
	snprintf(series, sizeof(series), "%s_count", name);
	add_integer(page, series, NULL, NULL, count);
}

static void add_gauges(struct text *page, const struct metrics_gauges *gauges)
{
	add_gauge(page, "isolde_mqtt_connected", "1 while the broker is there.",
		gauges->connected ? 1 : 0);
	add_counter(page, "isolde_mqtt_connects_total", "Times the connection came up.",
		gauges->connects);
	add_family(page, "isolde_build_info", "gauge", "What is running.");
	add_integer(page, "isolde_build_info", "version", ISOLDE_VERSION, 1);
	if (!gauges->model[0])
		return;
	add_family(page, "isolde_model_info", "gauge", "The model in force.");
	add_integer(page, "isolde_model_info", "model", gauges->model, 1);
	add_gauge(page, "isolde_model_threshold", "Scores above are anomalies.", gauges->threshold);
	if (!isnan(gauges->promised)) {
		add_gauge(page, "isolde_expected_false_alarms_per_day",
			"False alarms of one machine a day, as training replayed them.",
			gauges->promised);
		add_gauge(page, "isolde_expected_false_alarms_per_day_low",
			"The lower end of its 95 % interval.", gauges->promised_low);
		add_gauge(page, "isolde_expected_false_alarms_per_day_high",
			"The upper end of its 95 % interval.", gauges->promised_high);
	}
	add_gauge(page, "isolde_model_trained_timestamp_seconds", "When the model was trained.",
		(double)gauges->trained_ms / 1000);
}

/* What operators said, beside what training promised of one machine. */
static void add_observed(struct text *page, const struct metrics *metrics)
{
	double days = (double)metrics_get(metrics, METRIC_WATCHED_S) / 86400;

	if (days > 0)
		add_gauge(page, "isolde_observed_false_alarms_per_day",
			"Alarms that operators called false, a day that a machine was watched.",
			(double)metrics_get(metrics, METRIC_FALSE_ALARMS) / days);
}

static void add_scores(struct text *page, const struct machine *machine)
{
	if (!isnan(machine->score))
		add_number(page, "isolde_score", "machine", machine->name, machine->score);
}

static void add_times(struct text *page, const struct machine *machine)
{
	add_number(page, "isolde_last_reading_timestamp_seconds", "machine", machine->name,
		(double)machine->at_ms / 1000);
}

static void add_gaps(struct text *page, const struct machine *machine)
{
	if (machine->gaps > 0)
		add_integer(page, "isolde_machine_sequence_gaps_total", "machine", machine->name,
			(uint64_t)machine->gaps);
}

static void each_machine(struct text *page, const struct metrics *metrics,
	void (*add)(struct text *, const struct machine *))
{
	for (size_t i = 0; i < metrics->machines; i++)
		add(page, &metrics->machine[i]);
	if (metrics->other)
		add(page, &metrics->machine[METRICS_MACHINES_MAX]);
}

/* Needs the lock. */
static void add_machines(struct text *page, const struct metrics *metrics)
{
	if (metrics->machines == 0)
		return;
	add_family(page, "isolde_score", "gauge", "The newest anomaly score.");
	each_machine(page, metrics, add_scores);
	add_family(page, "isolde_last_reading_timestamp_seconds", "gauge",
		"Time of the newest reading.");
	each_machine(page, metrics, add_times);
	if (metrics_get(metrics, METRIC_SEQUENCE_GAPS) == 0)
		return;
	add_family(page, "isolde_machine_sequence_gaps_total", "counter",
		"Readings that never came, by the gaps in seq, of machines that have any.");
	each_machine(page, metrics, add_gaps);
}

static double resident_bytes(void)
{
	unsigned long long size, resident = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file) {
		if (fscanf(file, "%llu %llu", &size, &resident) != 2)
			resident = 0;
		fclose(file);
	}
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void)
{
	DIR *folder = opendir("/proc/self/fd");
	double n = -3; /* ".", ".." and the folder's own */

	if (!folder)
		return NAN;
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

/* Clock ticks after boot: field 22 of /proc/self/stat, the 20th behind the program's name in
 * parentheses (proc(5)). */
static double started_ticks(void)
{
	char line[1024];
	FILE *file = fopen("/proc/self/stat", "re");
	size_t len = file ? fread(line, 1, sizeof(line) - 1, file) : 0;

	if (file)
		fclose(file);
	line[len] = '\0';
	const char *at = strrchr(line, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtod(at, NULL) : NAN;
}

static double start_time(void)
{
	struct timespec now, boot;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &boot);
	double booted =
		(double)(now.tv_sec - boot.tv_sec) + (double)(now.tv_nsec - boot.tv_nsec) / 1e9;
	return booted + started_ticks() / (double)sysconf(_SC_CLK_TCK);
}

static void add_process(struct text *page)
{
	struct rusage usage = { 0 };

	(void)getrusage(RUSAGE_SELF, &usage); /* cannot fail for ourselves */
	double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	add_family(page, "process_cpu_seconds_total", "counter", "Processor time used.");
	add_number(page, "process_cpu_seconds_total", NULL, NULL, cpu);
	add_gauge(page, "process_resident_memory_bytes", "Memory in use.", resident_bytes());
	add_gauge(page, "process_open_fds", "Open file descriptors.", open_fds());
	add_gauge(page, "process_start_time_seconds", "When the process started.", start_time());
}

enum status metrics_write(
	struct metrics *metrics, const struct metrics_gauges *gauges, char **out, size_t *len)
{
	size_t size = PAGE_BYTES + (METRICS_MACHINES_MAX + 1) * MACHINE_BYTES;
	char *buf = malloc(size);
	struct ledger ledger;

	if (!buf)
		return STATUS_NO_MEMORY;
	struct text page = text_start(buf, size);
	metrics_ledger(metrics, &ledger);
	add_ledger(&page, &ledger);
	add_metrics(&page, metrics);
	for (int i = 0; i < HISTOGRAM_COUNT; i++)
		add_histogram(&page, metrics, (enum histogram)i);
	add_gauges(&page, gauges);
	add_observed(&page, metrics);
	add_process(&page);
	pthread_mutex_lock(&metrics->machine_lock);
	add_machines(&page, metrics);
	pthread_mutex_unlock(&metrics->machine_lock);
	if (page.cut) {
		free(buf);
		return STATUS_FULL;
	}
	*out = buf;
	*len = page.len;
	return STATUS_OK;
}
