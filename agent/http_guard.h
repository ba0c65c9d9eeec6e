/* Who may ask anything over HTTP at all, before a route is looked at: by which name we were called,
 * how often wrong tokens came from there, and whether a token is right.
 *
 * Host names: a web page of somebody else can make a browser on the plant's network ask us, by
 * pointing a name of its own at our address (DNS rebinding). Its requests then bear that name.
 * Addresses, localhost and names without a dot (a container's, a machine's in /etc/hosts) are ours;
 * any other has to stand in http.hosts.
 *
 * Wrong tokens: GUARD_FAILURES_MAX a minute and peer, then tokens from there are not looked at for
 * the rest of the minute, right or wrong. Behind a proxy all clients are one peer. Any thread. */
#ifndef ISOLDE_AGENT_HTTP_GUARD_H
#define ISOLDE_AGENT_HTTP_GUARD_H

#include "agent/config.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	GUARD_FAILURES_MAX = 20, /* wrong tokens of a peer in GUARD_WINDOW_S */
	GUARD_WINDOW_S = 60,
	GUARD_PEERS_MAX =
		64, /* remembered; beyond it the one that failed longest ago is forgotten */
	GUARD_PEER_SIZE = 48,
};

struct guard {
	pthread_mutex_t lock;
	struct {
		char name[GUARD_PEER_SIZE];
		int64_t since_ns; /* monotonic: of the first failure in the window; 0: free */
		unsigned failures;
	} peer[GUARD_PEERS_MAX];
};
void guard_init(struct guard *guard);
void guard_finish(struct guard *guard);

/* Seconds for which no token of this peer is looked at; 0: it may try. */
int guard_wait_s(struct guard *guard, const char *peer, int64_t now_ns);
/* A token of this peer was wrong. */
void guard_note_failure(struct guard *guard, const char *peer, int64_t now_ns);

/* `host`: a Host header with a port or without; `hosts`: names with commas between. */
bool guard_host_allowed(const char *host, const char *hosts);

/* Takes as long for every wrong token. An empty `token` equals nothing. */
bool guard_token_equal(const char *given, const char *token);

#endif
