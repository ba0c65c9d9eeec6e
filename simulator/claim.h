/* One simulator a prefix: two of them would publish the same machines with numbers of their own.
 *
 * A live simulator keeps a retained claim on isolde/simulator/<prefix>/claim:
 * {"state":"live","host":...,"pid":...,"started":...}. Its last will turns it into
 * {"state":"gone"}, its end clears it. Who starts asks on .../probe; its own question coming back
 * proves that a retained claim would have come before. The owner answers every foreign question
 * by claiming again, so a claim that a broker kept beyond its owner (killed together, the will
 * unpublished) gets no answer and is taken over. Of two that start at once the one whose claim
 * the broker hands out first stays. */
#ifndef ISOLDE_SIMULATOR_CLAIM_H
#define ISOLDE_SIMULATOR_CLAIM_H

#include "common/mqtt.h"
#include "simulator/window.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The token of the claim's own publishes, apart from the window's. */
#define CLAIM_TOKEN UINT64_MAX

#define CLAIM_GONE "{\"state\":\"gone\"}"

enum claim_phase {
	CLAIM_ASKING,   /* waits for its question to come back */
	CLAIM_DOUBTING, /* a retained claim is there: does anyone answer? */
	CLAIM_CLAIMING, /* waits for its claim to come back */
	CLAIM_MINE,
	CLAIM_TAKEN, /* somebody else's */
};

struct claim {
	char topic[TOPIC_SIZE], probe_topic[TOPIC_SIZE];
	const char *filters[2];
	char text[512]; /* ours, on both topics */
	enum claim_phase phase;
	bool asked, claimed; /* published in this phase */
	int64_t deadline_ns; /* of the phase, 0: not begun */
	int64_t claimed_ns;  /* the last time, monotonic */
	uint64_t connects;   /* the connection that this was said on */
	/* Heard, on the connection's thread. */
	atomic_bool question_back, claim_back;
	atomic_bool foreign_retained, foreign_live;
	atomic_bool say_again;
};

void claim_init(
	struct claim *claim, const char *prefix, const char *host, long pid, int64_t now_ms);

/* mqtt's on_message and on_published for CLAIM_TOKEN. */
void claim_hear(struct claim *claim, const struct mqtt_message *message);
void claim_said(struct claim *claim, bool delivered);

/* Goes on: to be called now and then, never waits. Stays CLAIM_MINE or CLAIM_TAKEN once there;
 * an owner claims again after every reconnect and question. A broker that does not let it
 * subscribe gets a warning, and the prefix is taken as free. */
enum claim_phase claim_step(struct claim *claim, struct mqtt *mqtt, int64_t now_ns);

/* The owner's goodbye: clears the claim. */
void claim_release(struct claim *claim, struct mqtt *mqtt);

#endif
