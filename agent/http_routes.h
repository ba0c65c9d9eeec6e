/* The routes behind agent/http: what they share, and one function each. Private to the http
 * files. Handlers run on CivetWeb's threads, any number at a time, and answer every request. */
#ifndef ISOLDE_AGENT_HTTP_ROUTES_H
#define ISOLDE_AGENT_HTTP_ROUTES_H

#include "agent/http.h"
#include "agent/http_guard.h"
#include "agent/http_request.h"
#include "common/store.h"
#include <pthread.h>

enum {
	HTTP_STORES_MAX = 64,
	HTTP_STORE_DEADLINE_MS = 2000, /* of what one request asks of the store: then 503 */
};

/* Reading connections to the store that nobody uses just now: a connection serves one thread
 * at a time, and opening one for every request would cost more than most queries. */
struct store_pool {
	const char *path;
	pthread_mutex_t lock;
	struct store *idle[HTTP_STORES_MAX];
	size_t count;
};
void store_pool_init(struct store_pool *pool, const char *path);
void store_pool_finish(struct store_pool *pool);
typedef enum status store_user(struct store *store, void *context, struct why *why);
/* Lends a connection to `use`; where there is no store yet it is not called, and all is well. */
enum status store_pool_use(
	struct store_pool *pool, store_user *use, void *context, struct why *why) MUST_USE;

struct http_state {
	struct http_options options;
	struct store_pool stores;
	struct guard guard;
};

typedef void http_handler(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len);

http_handler route_health, route_live, route_predict, route_reload, route_metrics;
http_handler route_history;               /* http_history.c */
http_handler route_page;                  /* http_page.c */
http_handler route_alarms, route_command; /* http_alarms.c */

/* The query parameters of /history, NULL at the end. */
extern const char *const history_parameters[];
extern const char *const alarms_parameters[];

/* Query values; the sentence of an error names the parameter. A time is RFC 3339, or a number as
 * readings bear it: seconds below 1e11, else milliseconds. A cursor is the last row's id in 16
 * hexadecimal digits; clients need not know. A limit above STORE_LIMIT_MAX is that. */
enum status query_time(const char *name, const char *value, int64_t *out_ms, struct why *why);
enum status query_cursor(const char *value, int64_t *out_id, struct why *why);
enum status query_limit(const char *value, size_t *out, struct why *why);

#endif
