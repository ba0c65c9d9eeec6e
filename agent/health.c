#include "agent/health.h"
#include "common/text.h"
#include "common/timeutil.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum level { LEVEL_OK, LEVEL_DEGRADED, LEVEL_FAIL };

struct check {
	const char *name;
	enum level level;
	char detail[400];
};

static const char *level_name(enum level level)
{
	return level == LEVEL_OK ? "ok" : level == LEVEL_DEGRADED ? "degraded" : "fail";
}

static void add_trouble(struct check *check, const struct mqtt *mqtt)
{
	char trouble[360];
	size_t used = strlen(check->detail);

	mqtt_trouble(mqtt, trouble, sizeof(trouble));
	if (trouble[0])
		snprintf(check->detail + used, sizeof(check->detail) - used, ": %s", trouble);
}

static void check_probe(struct health *health, struct check *check)
{
	bool failed = health->probe && probe_state(health->probe) == PROBE_FAILED;

	check->level = failed ? LEVEL_FAIL : LEVEL_OK;
	snprintf(check->detail, sizeof(check->detail),
		failed ? "connected, but what we publish is not passed on: does an ACL forbid it?"
		       : "connected");
}

/* A short absence is nothing to restart an agent for: the broker keeps our messages. */
static void check_broker(struct health *health, struct check *check)
{
	int64_t lost_ns = atomic_load(&health->lost_ns);
	int64_t lost_ms = lost_ns ? (time_monotonic_ns() - lost_ns) / 1000000 : 0;

	if (!health->mqtt) {
		check->level = LEVEL_FAIL;
		snprintf(check->detail, sizeof(check->detail), "not started");
	} else if (mqtt_short_connections(health->mqtt) > MQTT_TAKEOVERS) {
		check->level = LEVEL_DEGRADED;
		snprintf(check->detail, sizeof(check->detail),
			"client_id_conflict: connections are lost right after they are made; another "
			"client seems to bear our id");
	} else if (mqtt_connected(health->mqtt)) {
		check_probe(health, check);
	} else if (!lost_ns && mqtt_connects(health->mqtt) == 0) {
		check->level = LEVEL_FAIL;
		snprintf(check->detail, sizeof(check->detail), "not connected yet");
		add_trouble(check, health->mqtt);
	} else {
		check->level = lost_ms < health->grace_ms ? LEVEL_DEGRADED : LEVEL_FAIL;
		snprintf(check->detail, sizeof(check->detail), "connection lost %lld s ago",
			(long long)(lost_ms / 1000));
		add_trouble(check, health->mqtt);
	}
}

static void check_model(struct health *health, struct check *check)
{
	const struct models *models = model_slot_hold(health->slot);
	const struct model *model = models->usual;
	size_t own = models_own(models);
	char trouble[256];

	model_slot_trouble(health->slot, trouble, sizeof(trouble));
	if (!model) {
		check->level = LEVEL_FAIL;
		snprintf(check->detail, sizeof(check->detail), "%s",
			trouble[0] ? trouble : "not loaded");
	} else {
		char others[64] = "";
		if (own > 0)
			snprintf(others, sizeof(others), ", %zu machine%s with a model of %s own",
				own, own > 1 ? "s" : "", own > 1 ? "their" : "its");
		snprintf(check->detail, sizeof(check->detail), "%s%s%s%s", model->id, others,
			trouble[0] ? " stays in force; the last load failed: " : "", trouble);
	}
	model_slot_release(health->slot, models);
}

static void check_subscription(
	struct health *health, const struct check *broker, struct check *check)
{
	if (broker->level != LEVEL_OK) {
		check->level = broker->level;
		snprintf(check->detail, sizeof(check->detail), "waits for the broker");
	} else if (mqtt_subscribed(health->mqtt)) {
		snprintf(check->detail, sizeof(check->detail), "granted");
	} else {
		check->level = LEVEL_FAIL;
		snprintf(check->detail, sizeof(check->detail), "not granted");
		add_trouble(check, health->mqtt);
	}
}

static void check_store(struct health *health, struct check *check)
{
	int64_t aside = metrics_get(health->metrics, METRIC_STORE_PUT_ASIDE);
	int64_t sync_ns = atomic_load(&health->sync_ns);
	const char *detail = "readings are stored";

	if (atomic_load(&health->store_read_only)) {
		check->level = LEVEL_DEGRADED;
		detail = "the disk can only be read: readings are scored and raise alarms, but "
			 "are not stored";
	} else if (atomic_load(&health->store_failing)) {
		check->level = LEVEL_FAIL;
		detail = "readings cannot be stored";
	} else if (atomic_load(&health->sync_failing)) {
		check->level = LEVEL_FAIL;
		detail = "readings are stored, but not safe on the disk";
	} else if (sync_ns != 0 &&
		time_monotonic_ns() - sync_ns > HEALTH_STUCK_S * INT64_C(1000000000)) {
		check->level = LEVEL_FAIL;
		detail = "the disk does not answer: readings are not acknowledged";
	}
	snprintf(check->detail, sizeof(check->detail), "%s; durability %s", detail,
		health->balanced ? "balanced" : "strict");
	if (aside == 0)
		return;
	if (check->level == LEVEL_OK)
		check->level = LEVEL_DEGRADED;
	size_t used = strlen(check->detail);
	snprintf(check->detail + used, sizeof(check->detail) - used,
		"; a damaged history was put aside as %.100s.corrupt-1", health->store_path);
}

static void folder_of(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		snprintf(out, size, ".");
	else if (slash == path)
		snprintf(out, size, "/");
	else
		snprintf(out, size, "%.*s", (int)(slash - path), path);
}

static void check_disk(struct health *health, struct check *check)
{
	char folder[512];
	struct statvfs disk;

	folder_of(health->store_path, folder, sizeof(folder));
	if (statvfs(folder, &disk) != 0) {
		check->level = LEVEL_DEGRADED;
		snprintf(check->detail, sizeof(check->detail), "%.300s: %s", folder,
			strerror(errno));
		return;
	}
	uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
	bool scarce = health->reserve_bytes > 0 && free_bytes < (uint64_t)health->reserve_bytes;
	check->level = scarce ? LEVEL_DEGRADED : LEVEL_OK;
	snprintf(check->detail, sizeof(check->detail), "%llu MB free%s",
		(unsigned long long)(free_bytes >> 20), scarce ? ", below the reserve" : "");
}

static void add_ledger(struct text *text, struct metrics *metrics)
{
	struct ledger ledger;
	uint64_t rejected = 0, dropped = 0;

	metrics_ledger(metrics, &ledger);
	for (int i = 0; i < REJECT_COUNT; i++)
		rejected += ledger.rejected[i];
	for (int i = 0; i < DROP_COUNT; i++)
		dropped += ledger.dropped[i];
	text_add(text, ",\"ledger\":{\"received\":");
	text_add_integer(text, (int64_t)ledger.received);
	text_add(text, ",\"stored\":");
	text_add_integer(text, (int64_t)ledger.stored);
	text_add(text, ",\"duplicate\":");
	text_add_integer(text, (int64_t)ledger.duplicate);
	text_add(text, ",\"rejected\":");
	text_add_integer(text, (int64_t)rejected);
	text_add(text, ",\"dropped\":");
	text_add_integer(text, (int64_t)dropped);
	text_add(text, ",\"pending\":");
	text_add_integer(text, (int64_t)ledger.pending);
	text_add(text, ",\"sequence_gaps\":");
	text_add_integer(text, metrics_get(metrics, METRIC_SEQUENCE_GAPS));
	text_add(text, ",\"broker_dropped\":");
	text_add_integer(text, metrics_get(metrics, METRIC_BROKER_DROPPED));
	text_add(text, "}");
}

static void add_check(struct text *text, const struct check *check)
{
	text_add(text, "\"");
	text_add(text, check->name);
	text_add(text, "\":{\"status\":\"");
	text_add(text, level_name(check->level));
	text_add(text, "\",\"detail\":");
	text_add_json(text, check->detail);
	text_add(text, "}");
}

bool health_write(struct health *health, char *out, size_t size)
{
	struct check broker = { "broker", LEVEL_OK, "" }, model = { "model", LEVEL_OK, "" },
		     subscription = { "subscription", LEVEL_OK, "" },
		     store = { "store", LEVEL_OK, "" }, disk = { "disk", LEVEL_OK, "" };
	const struct check *checks[] = { &broker, &model, &subscription, &store, &disk };
	enum level worst = LEVEL_OK;

	check_broker(health, &broker);
	check_model(health, &model);
	check_subscription(health, &broker, &subscription);
	check_store(health, &store);
	check_disk(health, &disk);
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
		worst = checks[i]->level > worst ? checks[i]->level : worst;

	struct text text = text_start(out, size);
	text_add(&text, "{\"status\":\"");
	text_add(&text, worst == LEVEL_FAIL ? "unhealthy" : level_name(worst));
	text_add(&text, "\",\"version\":\"" ISOLDE_VERSION "\",\"uptime_s\":");
	int64_t uptime_ms = time_now_ms() - health->started_ms;
	text_add_integer(&text, uptime_ms > 0 ? uptime_ms / 1000 : 0);
	text_add(&text, ",\"checks\":{");
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		text_add(&text, i > 0 ? "," : "");
		add_check(&text, checks[i]);
	}
	text_add(&text, "}");
	add_ledger(&text, health->metrics);
	text_add(&text, "}\n");
	return worst != LEVEL_FAIL;
}

bool health_live(struct health *health)
{
	int64_t still_ns = time_monotonic_ns() - atomic_load(&health->beat_ns);

	return still_ns <= HEALTH_STUCK_S * INT64_C(1000000000);
}
