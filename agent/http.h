/* The HTTP API and the health port (CivetWeb 1.15), each a server with threads of its own, so
 * that slow clients of the one cannot starve the other. Routes, answers and errors are those of
 * DESIGN "HTTP"; every limit of a request is named here.
 *
 * CivetWeb's traps, avoided: 100 KiB stacks (no large locals, JSON checked for depth before it
 * is parsed), its own path matching (paths are compared here, exactly), no document root, a
 * deadline for the whole body, Transfer-Encoding and doubtful lengths refused, no forms, no
 * WebSockets, no TLS (a front proxy's job: with OpenSSL 3 it crashes). */
#ifndef ISOLDE_AGENT_HTTP_H
#define ISOLDE_AGENT_HTTP_H

#include "agent/board.h"
#include "agent/commands.h"
#include "agent/config.h"
#include "agent/health.h"
#include "agent/metrics.h"
#include "agent/model_slot.h"
#include "agent/plant.h"
#include "common/status.h"

enum {
	HTTP_BODY_MAX = 65536, /* bytes */
	HTTP_BODY_DEADLINE_MS = 2000,
	HTTP_REQUEST_TIMEOUT_MS = 3000, /* between two bytes of a request's head */
	HTTP_PREDICT_MAX = 1000,        /* readings of one /predict */
	HTTP_QUERY_MAX = 1024,          /* bytes of a query string */
	/* Probes are on this machine: a slow one is an attacker's, and holds a thread for this
	   long. */
	HTTP_HEALTH_TIMEOUT_MS = 250,
	HTTP_HEALTH_THREADS = 4,
	HTTP_STREAMS_MAX = 16, /* of /events, each with a thread beside http.threads */
};

struct http;

struct http_options {
	const struct http_config *config;
	const struct health_config *health_config;
	const char *store_path;
	const struct model_paths *model_paths;
	struct model_slot *slot;
	struct metrics *metrics;
	struct health *health;
	struct board *board; /* alarms to show */
	struct plant *plant; /* machines to show */
	struct desk *desk;   /* where commands are handed in */
	int64_t shelve_max_h;
};

/* Both servers listen when it returns; STATUS_CANT_CREATE names the address that is taken. All
 * options are borrowed. */
enum status http_start(
	const struct http_options *options, struct http **out, struct why *why) MUST_USE;
void http_stop(struct http *http); /* returns when no handler runs; NULL is fine */

#endif
