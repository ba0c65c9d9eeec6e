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
	struct desk *desk; /* NULL: what is read need not be the latest */
	pthread_mutex_t lock;
	struct store *idle[HTTP_STORES_MAX];
	size_t count;
};
void store_pool_init(struct store_pool *pool, const char *path, struct desk *desk);
void store_pool_finish(struct store_pool *pool);
typedef enum status store_user(struct store *store, void *context, struct why *why);
/* Lends a connection to `use`, which finds every reading whose verdict was told before; where there
 * is no store yet it is not called, and all is well. */
enum status store_pool_use(
	struct store_pool *pool, store_user *use, void *context, struct why *why) MUST_USE;

/* The event streams that are open. */
struct streams {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	size_t open;
	bool ending;
};
void streams_init(struct streams *streams);
void streams_finish(struct streams *streams);
void streams_end(struct streams *streams); /* all that are open end, and none begins */

struct http_state {
	struct http_options options;
	struct store_pool stores;
	struct guard guard;
	struct streams streams;
	int64_t boot; /* tells this start of the agent from others */
};

typedef void http_handler(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len);

http_handler route_model, route_health, route_live, route_predict, route_reload, route_metrics;
http_handler route_history;               /* http_history.c */
http_handler route_page;                  /* http_page.c */
http_handler route_plant;                 /* http_plant.c */
http_handler route_events;                /* http_events.c */
http_handler route_series;                /* http_series.c */
http_handler route_alarms, route_command; /* http_alarms.c */

/* The name in /machines/NAME/...: STATUS_NOT_FOUND if no machine can have that name. */
enum status path_machine(
	const char *path, char machine[MACHINE_NAME_MAX + 1], struct why *why) MUST_USE;

/* The query parameters of /history, NULL at the end. */
extern const char *const history_parameters[];
extern const char *const alarms_parameters[];
extern const char *const series_parameters[];
extern const char *const predict_parameters[];

/* Pieces of /plant that /events has, too: rows as a JSON array, with or without their courses; the
 * object of what stands beside the machines; the name of a state of the plant. */
void plant_add_rows(struct body *body, const struct plant_view *view, bool courses);
void plant_add_status(struct body *body, struct http_state *state);
void plant_add_cursor(
	struct body *body, const struct http_state *state, const struct plant_view *view);

/* Query values; the sentence of an error names the parameter. A time is RFC 3339, or a number as
 * readings bear it: seconds below 1e11, else milliseconds. A cursor is the last row's id in 16
 * hexadecimal digits; clients need not know. A limit above STORE_LIMIT_MAX is that. */
enum status query_time(const char *name, const char *value, int64_t *out_ms, struct why *why);
enum status query_cursor(const char *value, int64_t *out_id, struct why *why);
enum status query_limit(const char *value, size_t *out, struct why *why);
/* 1 .. 1,000,000 */
enum status query_count(const char *name, const char *value, size_t *out, struct why *why);

#endif
