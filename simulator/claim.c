#include "simulator/claim.h"
#include "common/log.h"
#include "common/text.h"
#include <stdio.h>
#include <string.h>

/* A broker under load answers within these; they only cost time when something is odd. */
#define ECHO_NS (3 * INT64_C(1000000000))
#define ANSWER_NS (2 * INT64_C(1000000000))
#define SAY_AGAIN_NS (INT64_C(1000000000) / 2) /* two owners by accident must not talk faster */

void claim_init(struct claim *claim, const char *prefix, const char *host, long pid, int64_t now_ms)
{
	memset(claim, 0, sizeof(*claim));
	snprintf(claim->topic, sizeof(claim->topic), "isolde/simulator/%s/claim", prefix);
	snprintf(claim->probe_topic, sizeof(claim->probe_topic), "isolde/simulator/%s/probe",
		prefix);
	claim->filters[0] = claim->topic;
	claim->filters[1] = claim->probe_topic;
	struct text text = text_start(claim->text, sizeof(claim->text));
	text_add(&text, "{\"state\":\"live\",\"host\":");
	text_add_json(&text, host);
	text_add(&text, ",\"pid\":");
	text_add_integer(&text, pid);
	text_add(&text, ",\"started\":");
	text_add_time(&text, now_ms);
	text_add(&text, "}");
}

static bool same(const void *bytes, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(bytes, text, len) == 0;
}

static bool says_live(const struct mqtt_message *message)
{
	static const char live[] = "{\"state\":\"live\"";
	return message->len >= sizeof(live) - 1 &&
		memcmp(message->payload, live, sizeof(live) - 1) == 0;
}

void claim_hear(struct claim *claim, const struct mqtt_message *message)
{
	bool ours = same(message->payload, message->len, claim->text);
	bool probe = same(message->topic, message->topic_len, claim->probe_topic);

	if (probe && ours) {
		atomic_store(&claim->question_back, true);
	} else if (ours) {
		atomic_store(&claim->claim_back, true);
	} else if (probe) {
		atomic_store(&claim->say_again, true);
	} else {
		/* Before ours came back it was there first; afterwards it is in our place. */
		if (says_live(message) && message->retained)
			atomic_store(&claim->foreign_retained, true);
		else if (says_live(message) && !atomic_load(&claim->claim_back))
			atomic_store(&claim->foreign_live, true);
		atomic_store(&claim->say_again, true);
	}
}

void claim_said(struct claim *claim, bool delivered)
{
	if (!delivered)
		atomic_store(&claim->say_again, true);
}

static bool say(struct mqtt *mqtt, const char *topic, const char *text, bool retain)
{
	return mqtt_publish(mqtt, topic, text, strlen(text), 1, retain, CLAIM_TOKEN) == STATUS_OK;
}

static void enter(struct claim *claim, enum claim_phase phase, int64_t deadline_ns)
{
	claim->phase = phase;
	claim->deadline_ns = deadline_ns;
	claim->asked = claim->claimed = false;
}

static void step_asking(struct claim *claim, struct mqtt *mqtt, int64_t now_ns)
{
	bool late = now_ns >= claim->deadline_ns;

	if (!claim->asked && mqtt_subscribed(mqtt))
		claim->asked = say(mqtt, claim->probe_topic, claim->text, false);
	if (!atomic_load(&claim->question_back) && !late)
		return;
	if (late)
		log_warning("the broker does not let us see whether %s is live; going on",
			claim->topic);
	if (atomic_load(&claim->foreign_retained))
		enter(claim, CLAIM_DOUBTING, now_ns + ANSWER_NS);
	else
		enter(claim, CLAIM_CLAIMING, now_ns + ECHO_NS);
}

static void step_doubting(struct claim *claim, int64_t now_ns)
{
	if (now_ns < claim->deadline_ns)
		return; /* foreign_live would end it */
	log_warning("nobody answers for the claim on %s; taking it over", claim->topic);
	enter(claim, CLAIM_CLAIMING, now_ns + ECHO_NS);
}

static void say_claim(struct claim *claim, struct mqtt *mqtt, int64_t now_ns)
{
	claim->connects = mqtt_connects(mqtt);
	atomic_store(&claim->say_again, false);
	claim->claimed = say(mqtt, claim->topic, claim->text, true);
	claim->claimed_ns = now_ns;
	if (!claim->claimed)
		atomic_store(&claim->say_again, true);
}

static void step_claiming(struct claim *claim, struct mqtt *mqtt, int64_t now_ns)
{
	if (!claim->claimed)
		say_claim(claim, mqtt, now_ns);
	if (atomic_load(&claim->claim_back) || !mqtt_subscribed(mqtt) ||
		now_ns >= claim->deadline_ns)
		enter(claim, CLAIM_MINE, 0);
}

static void step_mine(struct claim *claim, struct mqtt *mqtt, int64_t now_ns)
{
	bool due = atomic_load(&claim->say_again) || mqtt_connects(mqtt) != claim->connects;

	if (due && mqtt_connected(mqtt) && now_ns - claim->claimed_ns >= SAY_AGAIN_NS)
		say_claim(claim, mqtt, now_ns);
}

enum claim_phase claim_step(struct claim *claim, struct mqtt *mqtt, int64_t now_ns)
{
	if (claim->phase == CLAIM_MINE) {
		step_mine(claim, mqtt, now_ns);
		return CLAIM_MINE;
	}
	if (claim->phase == CLAIM_TAKEN || !mqtt_connected(mqtt))
		return claim->phase;
	if (mqtt_connects(mqtt) != claim->connects) { /* what was asked before may be lost */
		claim->connects = mqtt_connects(mqtt);
		enter(claim, CLAIM_ASKING, now_ns + ECHO_NS);
	}
	if (atomic_load(&claim->foreign_live)) {
		enter(claim, CLAIM_TAKEN, 0);
		return CLAIM_TAKEN;
	}
	if (claim->phase == CLAIM_ASKING)
		step_asking(claim, mqtt, now_ns);
	else if (claim->phase == CLAIM_DOUBTING)
		step_doubting(claim, now_ns);
	else
		step_claiming(claim, mqtt, now_ns);
	return claim->phase;
}

void claim_release(struct claim *claim, struct mqtt *mqtt)
{
	if (claim->phase == CLAIM_MINE)
		(void)say(mqtt, claim->topic, "", true); /* else the last will says it */
}
