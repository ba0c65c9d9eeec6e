/* What the agent counts, and how Prometheus reads it (text format 0.0.4). Any thread.
 *
 * The ledger is kept under one lock so that it balances at every scrape:
 *   received = stored + duplicate + rejected + dropped + pending
 * Everything else is C11 atomics. */
#ifndef ISOLDE_AGENT_METRICS_H
#define ISOLDE_AGENT_METRICS_H

#include "common/reading.h"
#include "common/schema.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics;

enum drop { DROP_QUEUE, DROP_STORE, DROP_COUNT };
const char *drop_name(enum drop drop);

/* Amounts, of the whole ledger or of a change to it. */
struct ledger {
	uint64_t received, stored, duplicate, pending;
	uint64_t rejected[REJECT_COUNT]; /* [REJECT_NONE] stays 0 */
	uint64_t dropped[DROP_COUNT];
};

#define METRIC_TABLE(X)                                                           \
	X(VERDICTS_NORMAL, "isolde_verdicts_total{verdict=\"normal\"}")           \
	X(VERDICTS_ANOMALY, "isolde_verdicts_total{verdict=\"anomaly\"}")         \
	X(VERDICTS_UNSCORED, "isolde_verdicts_total{verdict=\"unscored\"}")       \
	X(VERDICTS_UNPUBLISHED, "isolde_verdicts_unpublished_total")              \
	X(LATE, "isolde_readings_late_total")                                     \
	X(ALARMS_RAISED, "isolde_alarms_raised_total")                            \
	X(ALARMS_ACTIVE, "isolde_alarms_active")                                  \
	X(ALARMS_NORMAL, "isolde_alarms{state=\"normal\"}")                       \
	X(ALARMS_UNACKNOWLEDGED, "isolde_alarms{state=\"unacknowledged\"}")       \
	X(ALARMS_ACKNOWLEDGED, "isolde_alarms{state=\"acknowledged\"}")           \
	X(ALARMS_RETURNED, "isolde_alarms{state=\"returned\"}")                   \
	X(ALARMS_SHELVED, "isolde_alarms{state=\"shelved\"}")                     \
	X(ALARMS_SUPPRESSED, "isolde_alarms{state=\"suppressed\"}")               \
	X(CAUSE_ANOMALY, "isolde_alarm_causes{cause=\"anomaly\"}")                \
	X(CAUSE_OUT_OF_RANGE, "isolde_alarm_causes{cause=\"out_of_range\"}")      \
	X(CAUSE_STUCK, "isolde_alarm_causes{cause=\"stuck\"}")                    \
	X(CAUSE_MISSING, "isolde_alarm_causes{cause=\"missing\"}")                \
	X(CAUSE_SKEW, "isolde_alarm_causes{cause=\"skew\"}")                      \
	X(CAUSE_SILENT, "isolde_alarm_causes{cause=\"silent\"}")                  \
	X(ALARM_RATE, "isolde_alarm_rate_10min")                                  \
	X(ALARM_FLOOD, "isolde_alarm_flood")                                      \
	X(ALARM_FLOODS, "isolde_alarm_floods_total")                              \
	X(ALARMS_CHATTERING, "isolde_alarms_chattering")                          \
	X(ALARM_GROUPS, "isolde_alarm_groups_total")                              \
	X(FALSE_ALARMS, "isolde_false_alarms_total")                              \
	X(WATCHED_S, "isolde_watched_machine_seconds_total")                      \
	X(QUALITY_GOOD, "isolde_quality_total{quality=\"good\"}")                 \
	X(QUALITY_MISSING, "isolde_quality_total{quality=\"missing\"}")           \
	X(QUALITY_OUT_OF_RANGE, "isolde_quality_total{quality=\"out_of_range\"}") \
	X(QUALITY_STUCK, "isolde_quality_total{quality=\"stuck\"}")               \
	X(QUALITY_SKEW, "isolde_quality_total{quality=\"skew\"}")                 \
	X(QUALITY_SILENT, "isolde_quality_total{quality=\"silent\"}")             \
	X(STORE_ERRORS, "isolde_store_errors_total")                              \
	X(UNSYNCED, "isolde_messages_unsynced_total")                             \
	X(STORE_PUT_ASIDE, "isolde_store_put_aside_total")                        \
	X(BROKER_DROPPED, "isolde_broker_dropped_messages")                       \
	X(PRUNED, "isolde_history_pruned_total")                                  \
	X(REFUSED, "isolde_messages_refused_total")                               \
	X(SEQUENCE_GAPS, "isolde_sequence_gaps_total")                            \
	X(WAL_BYTES, "isolde_store_wal_bytes")                                    \
	X(OUTBOX, "isolde_outbox_messages")                                       \
	X(OUTBOX_DROPPED, "isolde_outbox_dropped_total")                          \
	X(MODEL_RELOADS, "isolde_model_reloads_total")                            \
	X(MODEL_RELOAD_FAILURES, "isolde_model_reload_failures_total")            \
	X(MACHINES, "isolde_machines")                                            \
	X(HTTP_REQUESTS, "isolde_http_requests_total")                            \
	X(HTTP_ERRORS, "isolde_http_errors_total")
#define X(id, name) METRIC_##id,
enum metric { METRIC_TABLE(X) METRIC_COUNT };
#undef X

enum histogram {
	HISTOGRAM_SCORE,   /* isolde_score_duration_seconds */
	HISTOGRAM_COMMIT,  /* isolde_store_commit_duration_seconds */
	HISTOGRAM_SYNC,    /* isolde_store_sync_duration_seconds */
	HISTOGRAM_LATENCY, /* isolde_end_to_end_latency_seconds: received to published */
	HISTOGRAM_COUNT
};

enum { METRICS_MACHINES_MAX = 1000 }; /* with a label of their own; then `other` */

enum status metrics_create(struct metrics **out) MUST_USE;
void metrics_destroy(struct metrics *metrics);

void metrics_add(struct metrics *metrics, enum metric metric, int64_t n);
void metrics_set(struct metrics *metrics, enum metric metric, int64_t value);
int64_t metrics_get(const struct metrics *metrics, enum metric metric);
void metrics_observe(struct metrics *metrics, enum histogram histogram, double seconds);
/* How often it was observed, and the sum. */
void metrics_histogram(
	const struct metrics *metrics, enum histogram histogram, uint64_t *count, double *seconds);

/* A message came in: received and pending grow by one. */
void metrics_received(struct metrics *metrics);
/* Messages came to their end: everything in `change` but received and pending is added, pending
 * shrinks by the sum. */
void metrics_settle(struct metrics *metrics, const struct ledger *change);
/* At start: what earlier runs persisted; received is the sum, pending stays 0. */
void metrics_restore(struct metrics *metrics, const struct ledger *persisted);
void metrics_ledger(struct metrics *metrics, struct ledger *out);

/* The newest score and time of a machine. */
void metrics_machine(struct metrics *metrics, const char *machine, double score, int64_t at_ms);

/* So many numbers of a machine's seq never came. */
void metrics_gap(struct metrics *metrics, const char *machine, int64_t numbers);

/* Gauges that others own, asked at each scrape. */
struct metrics_gauges {
	bool connected;
	uint64_t connects;
	double threshold;   /* NaN: no model */
	int64_t trained_ms; /* of the model in force, 0: none */
	const char *model;  /* id, "" */
	/* What the model promised of one machine; NaN: nothing. */
	double promised, promised_low, promised_high;
};

/* The whole page; *out is the caller's, free(). */
enum status metrics_write(struct metrics *metrics, const struct metrics_gauges *gauges, char **out,
	size_t *len) MUST_USE;

#endif
