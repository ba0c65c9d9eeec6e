/* A request's head and body, as CivetWeb hands them over: what is let through is read in one way
 * only, by a name of ours, and its body is as long as it says. CivetWeb's own functions are played
 * by those below; the first line of the input is the Host list, the lines up to an empty one are
 * headers, the rest is the body. */
#include "agent/http_guard.h"
#include "agent/http_request.h"
#include "tests/fuzz/fuzz.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { HEADERS_SHOWN = 64 }; /* as many as CivetWeb looks at */

static const uint8_t *unread;
static size_t unread_len;

int mg_write(struct mg_connection *conn, const void *data, size_t len)
{
	(void)conn, (void)data;
	return (int)len;
}

int mg_printf(struct mg_connection *conn, const char *format, ...)
{
	(void)conn, (void)format;
	return 1;
}

int mg_read(struct mg_connection *conn, void *data, size_t len)
{
	(void)conn;
	if (unread_len < len)
		return 0; /* the peer is gone */
	memcpy(data, unread, len);
	unread += len;
	unread_len -= len;
	return (int)len;
}

void mg_disable_connection_keep_alive(struct mg_connection *conn)
{
	(void)conn;
}

/* Headers as CivetWeb splits them: a NUL behind the name, and in the place of blanks before the
 * colon; blanks before the value are passed over. Returns where the body begins. */
static char *split(char *at, struct mg_request_info *info)
{
	while (*at && *at != '\n') {
		char *end = strchr(at, '\n'), *colon = strchr(at, ':');
		if (!end || !colon || colon > end || colon == at)
			return end ? end + 1 : at + strlen(at);
		*end = '\0';
		for (char *blank = colon - 1; blank > at && *blank == ' '; blank--)
			*blank = '\0';
		*colon = '\0';
		char *value = colon + 1;
		value += strspn(value, " ");
		if (info->num_headers < HEADERS_SHOWN) {
			info->http_headers[info->num_headers].name = at;
			info->http_headers[info->num_headers++].value = value;
		}
		at = end + 1;
	}
	return *at == '\n' ? at + 1 : at;
}

static size_t count(const struct mg_request_info *info, const char *name, const char **value)
{
	size_t n = 0;

	for (int i = 0; i < info->num_headers; i++)
		if (strcasecmp(info->http_headers[i].name, name) == 0) {
			*value = info->http_headers[i].value;
			n++;
		}
	return n;
}

static void check(struct exchange *exchange, const char *hosts)
{
	const struct mg_request_info *info = exchange->info;
	const char *value = "";
	size_t lengths = count(info, "Content-Length", &value);

	if (lengths > 1 || info->num_headers >= HEADERS_SHOWN)
		abort();
	if (lengths == 1 && (!*value || value[strspn(value, "0123456789")]))
		abort();
	if (exchange->unread != (lengths == 1 ? strtoull(value, NULL, 10) : 0))
		abort();
	if (count(info, "Transfer-Encoding", &value) > 0 || count(info, "Host", &value) > 1)
		abort();
	/* Settings with such a name are refused before. */
	if (count(info, "Host", &value) == 1 && guard_host_allowed(value, hosts) &&
		strchr(value, '/') && !strchr(hosts, '/'))
		abort();
	(void)request_is_json(exchange);

	size_t promised = exchange->unread, len = 0, there = unread_len;
	char *body = NULL;
	if (request_body(exchange, &body, &len)) {
		if (len != promised || body[len] != '\0' || len > there)
			abort();
		free(body);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct metrics *metrics;
	struct mg_request_info info = { .http_version = "1.1", .request_method = "POST" };
	char *text = malloc(size + 1);

	if (!text || (!metrics && metrics_create(&metrics) != STATUS_OK))
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	char *hosts = text, *line = strchr(text, '\n');
	if (line) {
		*line = '\0';
		char *body = split(line + 1, &info);
		unread = (const uint8_t *)body;
		unread_len = size - (size_t)(body - text);
		struct exchange exchange = {
			.info = &info, .metrics = metrics, .path = "/predict"
		};
		if (request_check(&exchange))
			check(&exchange, hosts);
	}
	free(text);
	return 0;
}
