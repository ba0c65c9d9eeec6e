/* Publishes simulated machines, or a replayed recording, to a broker until told to stop. */
#ifndef ISOLDE_SIMULATOR_PUBLISH_H
#define ISOLDE_SIMULATOR_PUBLISH_H

#include "common/status.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	PUBLISH_MACHINES_MAX = 10000,
	PUBLISH_RATE_MAX = 100000,  /* readings a second and machine */
	PUBLISH_CONNECT_S = 10,     /* for the first connection */
	PUBLISH_CLAIM_S = 20,       /* for the first connection and the claim on the prefix */
	PUBLISH_ACKNOWLEDGE_S = 10, /* at the end, for what is on its way */
};

struct publish_options {
	const char *broker;
	const char *topic; /* "{machine}" marks the level of the machine's name */
	const char *prefix;
	int machines;
	double rate;                 /* readings a second and machine */
	bool rate_given;             /* a replay keeps the file's pace without it */
	int64_t count;               /* readings a machine, 0: no end */
	double seconds;              /* 0: no end */
	double anomaly_rate;         /* 0 .. 1 */
	const char *labels, *replay; /* files, or NULL */
	bool keep_timestamps;
	int qos; /* 0 or 1 */
	uint64_t seed;
	const char *username, *password_file, *ca_file, *cert_file, *key_file; /* or NULL */
};

/* True if the template has {machine} as one whole level, exactly once, and no wildcard. */
bool publish_topic_valid(const char *topic);

/* Runs to its end: the count, the time, the recording's last row, or SIGINT or SIGTERM. A reading
 * bears the time of its making; it is made when it can be sent at once, so while the broker is
 * away, or WINDOW_SLOTS readings are not acknowledged, the machines wait, and what they would have
 * said is not made up later. What was on its way when a connection broke is sent again, byte for
 * byte. At the end a summary line goes to stdout:
 * "published=12 acknowledged=12 faulty=0".
 * STATUS_UNAVAILABLE: no connection within PUBLISH_CONNECT_S; STATUS_CANT_CREATE: the prefix is
 * live, or no labels file; STATUS_IO: some readings stayed unacknowledged, or labels unwritten. */
enum status publish_run(const struct publish_options *options, struct why *why) MUST_USE;

#endif
