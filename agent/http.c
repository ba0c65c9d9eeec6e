#include "agent/http.h"
#include "agent/http_routes.h"
#include "common/log.h"
#include "common/number.h"
#include "common/timeutil.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	KEEP_ALIVE_MS = 2000, /* an idle connection holds a thread this long */
	HEAD_MAX = 16384,     /* bytes of a request's head */
	ADDRESS_MAX = 32,     /* "255.255.255.255:65535" */
};

/* One listening address. */
struct server {
	struct http_state *state;
	struct mg_context *context;
	bool health; /* the health port: three routes, no tokens */
	bool loopback;
	char address[ADDRESS_MAX];
	struct sockaddr_in socket_address;
};

struct http {
	struct http_state state;
	struct server api, health;
};

struct route {
	const char *path;         /* a level that is * stands for any name */
	bool post;                /* POST, else GET and HEAD */
	bool health;              /* also on the health port */
	bool writes;              /* changes the agent's state */
	bool body;                /* needs a body */
	bool open;                /* needs no token: the page itself */
	const char *const *query; /* the parameters it knows, NULL at the end */
	http_handler *handler;
};

static const struct route routes[] = {
	{ .path = "/", .open = true, .handler = route_page },
	{ .path = "/page/*", .open = true, .handler = route_page },
	{ .path = "/plant", .handler = route_plant },
	{ .path = "/events", .handler = route_events },
	{ .path = "/machines/*/model", .handler = route_model },
	{ .path = "/machines/*/series", .query = series_parameters, .handler = route_series },
	{ .path = "/health", .health = true, .handler = route_health },
	{ .path = "/health/live", .health = true, .handler = route_live },
	{ .path = "/metrics", .health = true, .handler = route_metrics },
	{ .path = "/history", .query = history_parameters, .handler = route_history },
	{ .path = "/predict",
		.post = true,
		.body = true,
		.query = predict_parameters,
		.handler = route_predict },
	{ .path = "/reload", .post = true, .writes = true, .handler = route_reload },
	{ .path = "/alarms", .query = alarms_parameters, .handler = route_alarms },
	{ .path = "/alarms/*/ack", .post = true, .writes = true, .handler = route_command },
	{ .path = "/alarms/*/shelve", .post = true, .writes = true, .handler = route_command },
	{ .path = "/alarms/*/unshelve", .post = true, .writes = true, .handler = route_command },
	{ .path = "/alarms/*/false-alarm", .post = true, .writes = true, .handler = route_command },
	{ .path = "/machines/*/stop", .post = true, .writes = true, .handler = route_command },
	{ .path = "/machines/*/start", .post = true, .writes = true, .handler = route_command },
	{ .path = "/machines/*/forget", .post = true, .writes = true, .handler = route_command },
};

static bool path_matches(const char *pattern, const char *path)
{
	const char *star = strchr(pattern, '*');
	size_t before = star ? (size_t)(star - pattern) : 0;

	if (!star)
		return strcmp(pattern, path) == 0;
	if (strncmp(pattern, path, before) != 0)
		return false;
	size_t name = strcspn(path + before, "/");
	return name > 0 && strcmp(star + 1, path + before + name) == 0;
}

static const struct route *find_route(const struct server *server, const char *path)
{
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		if ((routes[i].health || !server->health) && path_matches(routes[i].path, path))
			return &routes[i];
	}
	return NULL;
}

static bool check_method(struct exchange *exchange, const struct route *route)
{
	const char *method = exchange->info->request_method;
	bool known = route->post ? strcmp(method, "POST") == 0
				 : strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

	if (!known) {
		reply_header(exchange, "Allow: %s", route->post ? "POST" : "GET, HEAD");
		reply_problem(exchange, 405, "%s is not for %s", exchange->path, method);
	}
	return known;
}

/* A browser names the page that sends a request; only our own page may. */
static bool check_origin(struct exchange *exchange)
{
	size_t origins, hosts;
	const char *origin = request_header(exchange, "Origin", &origins);
	const char *host = request_header(exchange, "Host", &hosts);

	if (origins == 0)
		return true;
	const char *name = strstr(origin, "://");
	if (origins == 1 && name && host && strcasecmp(name + 3, host) == 0)
		return true;
	reply_problem(exchange, 403, "requests from foreign origins are refused");
	return false;
}

/* What the Authorization header holds after "Bearer"; "" if there is none, or more than one. */
static const char *bearer(const struct exchange *exchange)
{
	size_t count;
	const char *value = request_header(exchange, "Authorization", &count);

	if (count != 1 || strncasecmp(value, "Bearer ", 7) != 0)
		return "";
	value += 7;
	return value + strspn(value, " ");
}

static bool deny_token(const struct server *server, struct exchange *exchange, const char *given)
{
	static struct log_limit limit;

	if (*given)
		guard_note_failure(
			&server->state->guard, exchange->info->remote_addr, time_monotonic_ns());
	log_limited(&limit, LOG_LEVEL_WARNING, "http: %s token from %s for %s, refusing",
		*given ? "a wrong" : "no", exchange->info->remote_addr, exchange->path);
	reply_header(exchange,
		*given ? "WWW-Authenticate: Bearer error=\"invalid_token\""
		       : "WWW-Authenticate: Bearer");
	reply_problem(
		exchange, 401, "%s", *given ? "this token is not known" : "this needs a token");
	return false;
}

static bool may_write(const struct server *server, struct exchange *exchange)
{
	const struct http_config *config = server->state->options.config;
	const char *given = bearer(exchange);

	if (config->write_token[0]) {
		if (guard_token_equal(given, config->write_token))
			return true;
		if (!guard_token_equal(given, config->read_token))
			return deny_token(server, exchange, given);
		reply_problem(exchange, 403, "this needs the write token");
		return false;
	}
	if (server->loopback && !config->read_token[0])
		return true;
	reply_problem(exchange, 403, "no write token is configured (http.write_token_file)");
	return false;
}

static bool may_read(const struct server *server, struct exchange *exchange)
{
	const struct http_config *config = server->state->options.config;
	const char *given = bearer(exchange);

	if (config->open_read || (server->loopback && !config->read_token[0]))
		return true;
	if (!config->read_token[0] && !config->write_token[0]) {
		reply_problem(exchange, 403, "no read token is configured (http.read_token_file)");
		return false;
	}
	/* Both are compared, so that the time does not tell which one was nearly right. */
	bool reads = guard_token_equal(given, config->read_token);
	bool writes = guard_token_equal(given, config->write_token);
	return reads || writes || deny_token(server, exchange, given);
}

/* Called by a name of ours? Else a page of somebody else may have sent a browser here. */
static bool check_name(const struct server *server, struct exchange *exchange)
{
	static struct log_limit limit;
	size_t hosts;
	const char *host = request_header(exchange, "Host", &hosts);

	if (!host || guard_host_allowed(host, server->state->options.config->hosts))
		return true;
	log_limited(&limit, LOG_LEVEL_WARNING,
		"http: called \"%.80s\" by %s, refusing; names with a dot stand in http.hosts",
		host, exchange->info->remote_addr);
	reply_problem(exchange, 421, "this name is not ours (http.hosts)");
	return false;
}

/* Who guesses tokens is not listened to for a while. */
static bool check_failures(const struct server *server, struct exchange *exchange)
{
	int wait_s = *bearer(exchange) ? guard_wait_s(&server->state->guard,
						 exchange->info->remote_addr, time_monotonic_ns())
				       : 0;

	if (wait_s == 0)
		return true;
	reply_header(exchange, "Retry-After: %d", wait_s);
	reply_problem(exchange, 429, "too many wrong tokens from this address");
	return false;
}

static bool check_access(
	const struct server *server, struct exchange *exchange, const struct route *route)
{
	if (server->health || route->open)
		return true;
	return check_origin(exchange) && check_failures(server, exchange) &&
		(route->writes ? may_write(server, exchange) : may_read(server, exchange));
}

static bool check_content(struct exchange *exchange, const struct route *route)
{
	size_t lengths;
	(void)request_header(exchange, "Content-Length", &lengths);

	if (route->body && lengths == 0) {
		reply_problem(exchange, 411, "send the body with Content-Length");
		return false;
	}
	if (route->post && exchange->unread > 0 && !request_is_json(exchange)) {
		reply_problem(exchange, 415, "the body must be application/json");
		return false;
	}
	return true;
}

static void serve(struct server *server, struct exchange *exchange)
{
	struct parameters parameters;
	struct why why;
	char *body;
	size_t len;

	if (!request_check(exchange) || !check_name(server, exchange))
		return;
	const struct route *route = find_route(server, exchange->path);
	if (!route) {
		reply_problem(exchange, 404, "there is nothing here");
		return;
	}
	if (!check_method(exchange, route) || !check_access(server, exchange, route))
		return;
	if (parameters_parse(exchange->info->query_string, route->query, &parameters, &why)) {
		reply_problem(exchange, 400, "%s", why.text);
		return;
	}
	if (!check_content(exchange, route) || !request_body(exchange, &body, &len))
		return;
	route->handler(server->state, exchange, &parameters, body, len);
	free(body);
}

/* Everything is served from this callback: CivetWeb's own matching of paths is decoded and
 * case-insensitive. */
static int on_request(struct mg_connection *conn)
{
	struct server *server = mg_get_user_data(mg_get_context(conn));
	struct exchange exchange = exchange_begin(conn, server->state->options.metrics);

	exchange.path = exchange.info->request_uri ? exchange.info->request_uri : "";
	exchange.head = strcmp(exchange.info->request_method, "HEAD") == 0;
	serve(server, &exchange);
	return exchange.status;
}

/* What CivetWeb refuses by itself, before there is a request to look at. */
static int on_error(struct mg_connection *conn, int status, const char *message)
{
	size_t encodings;
	struct server *server = mg_get_user_data(mg_get_context(conn));
	struct exchange exchange = exchange_begin(conn, server->state->options.metrics);

	exchange.close = true;
	(void)request_header(&exchange, "Transfer-Encoding", &encodings);
	if (encodings > 0)
		status = 411; /* as for the encodings that CivetWeb lets pass */
	else if (status == 411)
		status = 400; /* there is a length, and it is no number */
	reply_problem(&exchange, status, "%s", message);
	return 0;
}

static int on_log(const struct mg_connection *conn, const char *message)
{
	(void)conn;
	log_debug("civetweb: %s", message);
	return 1;
}

static enum status parse_listen(
	const char *setting, const char *listen, struct server *server, struct why *why)
{
	struct sockaddr_in *address = &server->socket_address;
	const char *colon = strrchr(listen, ':');
	size_t len = colon ? (size_t)(colon - listen) : 0;
	long long port = 0;

	if (len == 0 || strlen(listen) >= ADDRESS_MAX)
		goto malformed;
	memcpy(server->address, listen, len);
	server->address[len] = '\0';
	*address = (struct sockaddr_in){ .sin_family = AF_INET };
	if (inet_pton(AF_INET, server->address, &address->sin_addr) != 1 ||
		!number_parse_integer(colon + 1, 1, 65535, &port))
		goto malformed;
	address->sin_port = htons((uint16_t)port);
	server->loopback = ntohl(address->sin_addr.s_addr) >> 24 == 127;
	memcpy(server->address, listen, strlen(listen) + 1);
	return STATUS_OK;
malformed:
	return fail(why, STATUS_BAD_CONFIG,
		"%s: \"%s\" is not an IPv4 address and a port, such as 127.0.0.1:8000", setting,
		listen);
}

/* CivetWeb only says that it failed; binding ourselves first tells why. */
static enum status try_bind(const struct server *server, struct why *why)
{
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return fail(why, STATUS_CANT_CREATE, "%s: %s", server->address, strerror(errno));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)); /* as CivetWeb does */
	enum status status = STATUS_OK;
	if (bind(fd, (const struct sockaddr *)&server->socket_address,
		    sizeof(server->socket_address)) != 0)
		status = fail(why, STATUS_CANT_CREATE, "%s: %s", server->address,
			errno == EADDRINUSE ? "address already in use" : strerror(errno));
	close(fd);
	return status;
}

static enum status start_server(struct server *server, int64_t threads, int request_timeout_ms,
	int keep_alive_ms, struct why *why)
{
	static const struct mg_callbacks callbacks = {
		.begin_request = on_request,
		.http_error = on_error,
		.log_message = on_log,
	};
	char thread_count[24], timeout[16], keep_alive[16], head_max[16];
	const char *options[] = { "listening_ports", server->address, "num_threads", thread_count,
		"request_timeout_ms", timeout, "enable_keep_alive", "yes", "keep_alive_timeout_ms",
		keep_alive, "tcp_nodelay", "1", "max_request_size", head_max,
		"enable_directory_listing", "no", "access_control_allow_origin", "",
		"enable_auth_domain_check", "no", "decode_url", "no", NULL };

	snprintf(thread_count, sizeof(thread_count), "%lld", (long long)threads);
	snprintf(timeout, sizeof(timeout), "%d", request_timeout_ms);
	snprintf(keep_alive, sizeof(keep_alive), "%d", keep_alive_ms);
	snprintf(head_max, sizeof(head_max), "%d", HEAD_MAX);

	enum status status = try_bind(server, why);
	if (status != STATUS_OK)
		return status;
	server->context = mg_start(&callbacks, server, options);
	if (!server->context)
		return fail(why, STATUS_CANT_CREATE, "%s: the HTTP server does not start",
			server->address);
	return STATUS_OK;
}

static void announce(const struct server *server)
{
	const struct http_config *config = server->state->options.config;

	log_info("http: listening on %s", server->address);
	if (server->loopback)
		return;
	if (!config->write_token[0])
		log_warning("http: %s is not loopback and no write token is configured: /reload "
			    "is refused",
			server->address);
	if (config->open_read)
		log_warning("http: %s is not loopback and open_read is set: anyone may read",
			server->address);
	else if (!config->read_token[0] && !config->write_token[0])
		log_warning("http: %s is not loopback and no read token is configured: all but "
			    "the health port is refused",
			server->address);
}

enum status http_start(const struct http_options *options, struct http **out, struct why *why)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return fail(why, STATUS_NO_MEMORY, "out of memory");
	http->state.options = *options;
	http->api.state = http->health.state = &http->state;
	http->health.health = true;
	store_pool_init(&http->state.stores, options->store_path, options->desk);
	guard_init(&http->state.guard);
	streams_init(&http->state.streams);
	http->state.boot = time_now_ms();
	/* Without TLS: it would load libssl, which this CivetWeb cannot use. */
	mg_init_library(MG_FEATURES_DEFAULT);

	enum status status = parse_listen("http.listen", options->config->listen, &http->api, why);
	if (status == STATUS_OK)
		status = parse_listen(
			"health.listen", options->health_config->listen, &http->health, why);
	if (status == STATUS_OK)
		status = start_server(&http->api, options->config->threads + HTTP_STREAMS_MAX,
			HTTP_REQUEST_TIMEOUT_MS, KEEP_ALIVE_MS, why);
	if (status == STATUS_OK)
		status = start_server(&http->health, HTTP_HEALTH_THREADS, HTTP_HEALTH_TIMEOUT_MS,
			HTTP_HEALTH_TIMEOUT_MS, why);
	if (status != STATUS_OK) {
		http_stop(http);
		return status;
	}
	announce(&http->api);
	log_info("http: health on %s", http->health.address);
	*out = http;
	return STATUS_OK;
}

/* CivetWeb's master looks at its stop flag every 2 s; a connection wakes it. */
struct nudge {
	struct sockaddr_in to;
	atomic_bool done;
};

static void *nudge_run(void *context)
{
	static const struct timespec pause = { .tv_nsec = 5000000 };
	struct nudge *nudge = context;

	while (!atomic_load(&nudge->done)) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd >= 0) {
			(void)connect(fd, (const struct sockaddr *)&nudge->to, sizeof(nudge->to));
			close(fd);
		}
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void stop_server(struct server *server)
{
	struct nudge nudge = { .to = server->socket_address };
	pthread_t thread;

	if (!server->context)
		return;
	bool nudging = pthread_create(&thread, NULL, nudge_run, &nudge) == 0;
	mg_stop(server->context);
	atomic_store(&nudge.done, true);
	if (nudging)
		pthread_join(thread, NULL);
}

void http_stop(struct http *http)
{
	if (!http)
		return;
	streams_end(&http->state.streams); /* else their handlers keep us waiting */
	stop_server(&http->api);
	stop_server(&http->health);
	mg_exit_library();
	store_pool_finish(&http->state.stores);
	guard_finish(&http->state.guard);
	streams_finish(&http->state.streams);
	free(http);
}
