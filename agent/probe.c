#include "agent/probe.h"
#include "common/log.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 64 };
static const char start[] = "{\"probe\":\"";

static void ask(struct probe *probe, struct mqtt *mqtt, int64_t now_ns)
{
	char topic[128], text[TEXT_MAX];

	/* Time and turn: no two questions of any two agents are alike. */
	probe->question = (uint64_t)now_ns ^ (probe->question << 7);
	snprintf(topic, sizeof(topic), "isolde/%.64s/request/probe", probe->client_id);
	int len = snprintf(text, sizeof(text), "%s%016" PRIx64 "\"}", start, probe->question);
	if (mqtt_publish(mqtt, topic, text, (size_t)len, 1, false, MQTT_UNTOLD) == STATUS_OK)
		probe->asked_ns = now_ns;
}

/* A question is due: none was asked on this connection, or a failed one is old. */
static bool is_due(const struct probe *probe, int64_t now_ns)
{
	enum probe_state state = probe_state(probe);

	return (state == PROBE_WAITS && probe->asked_ns == 0) ||
		(state == PROBE_FAILED &&
			now_ns - probe->asked_ns > PROBE_AGAIN_S * INT64_C(1000000000));
}

void probe_step(struct probe *probe, struct mqtt *mqtt, int64_t now_ns)
{
	if (!mqtt_subscribed(mqtt))
		return;
	if (mqtt_connects(mqtt) != probe->connects) {
		probe->connects = mqtt_connects(mqtt);
		probe->asked_ns = 0;
		atomic_store(&probe->state, PROBE_WAITS);
	}
	if (is_due(probe, now_ns)) {
		ask(probe, mqtt, now_ns);
	} else if (probe_state(probe) == PROBE_WAITS &&
		now_ns - probe->asked_ns > PROBE_WAIT_S * INT64_C(1000000000)) {
		atomic_store(&probe->state, PROBE_FAILED);
		log_error(
			"the broker takes what we publish on isolde/%s/# and does not pass it on; "
			"does its ACL let %s write there?",
			probe->client_id, probe->client_id);
	}
}

bool probe_hear(struct probe *probe, const char *payload, size_t len)
{
	char text[TEXT_MAX];
	int expected = snprintf(text, sizeof(text), "%s%016" PRIx64 "\"}", start, probe->question);

	if (len != (size_t)expected || memcmp(payload, start, sizeof(start) - 1) != 0)
		return false;
	if (memcmp(payload, text, len) == 0)
		atomic_store(&probe->state, PROBE_PASSED);
	return true;
}

enum probe_state probe_state(const struct probe *probe)
{
	return (enum probe_state)atomic_load(&probe->state);
}
