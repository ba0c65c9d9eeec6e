#include "agent/http_reply.h"
#include "common/number.h"
#include "common/text.h"
#include "common/timeutil.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	WRITE_DEADLINE_MS = 10000, /* for a whole answer: a reader that drips must not hold us */
	WRITE_PIECE = 8192,        /* between two looks at the clock */
	HEAD_MAX = 1536,
	JSON_TEXT_MAX = 1024,
};

static bool body_reserve(struct body *body, size_t more)
{
	size_t need = body->len + more + 1, size = body->size ? body->size : 512;

	if (body->failed || need <= body->size)
		return !body->failed;
	while (size < need)
		size *= 2;
	char *data = realloc(body->data, size);
	if (!data) {
		body->failed = true;
		return false;
	}
	body->data = data;
	body->size = size;
	return true;
}

void body_add_bytes(struct body *body, const char *piece, size_t len)
{
	if (!body_reserve(body, len))
		return;
	memcpy(body->data + body->len, piece, len);
	body->len += len;
	body->data[body->len] = '\0';
}

void body_add(struct body *body, const char *piece)
{
	body_add_bytes(body, piece, strlen(piece));
}

void body_add_format(struct body *body, const char *format, ...)
{
	va_list args, again;

	va_start(args, format);
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, format, args);
	if (n >= 0 && body_reserve(body, (size_t)n)) {
		(void)vsnprintf(body->data + body->len, (size_t)n + 1, format, again);
		body->len += (size_t)n;
	}
	va_end(again);
	va_end(args);
}

void body_add_number(struct body *body, double value)
{
	char number[NUMBER_TEXT_SIZE];
	body_add_bytes(body, number, number_format(value, number));
}

void body_add_json(struct body *body, const char *value)
{
	char escaped[JSON_TEXT_MAX];
	struct text text = text_start(escaped, sizeof(escaped));

	text_add_json(&text, value);
	if (text.cut)
		body_add(body, "\"...\"");
	else
		body_add_bytes(body, escaped, text_end(&text));
}

void body_free(struct body *body)
{
	free(body->data);
	*body = (struct body){ 0 };
}

static const char *title(int status)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = {
		{ 200, "OK" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 411, "Length Required" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 417, "Expectation Failed" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 501, "Not Implemented" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
		if (titles[i].status == status)
			return titles[i].title;
	}
	return "Error";
}

struct exchange exchange_begin(struct mg_connection *conn, struct metrics *metrics)
{
	return (struct exchange){
		.conn = conn, .info = mg_get_request_info(conn), .metrics = metrics
	};
}

void reply_header(struct exchange *exchange, const char *format, ...)
{
	size_t used = strlen(exchange->headers), room = sizeof(exchange->headers) - used;
	va_list args;

	va_start(args, format);
	int n = vsnprintf(exchange->headers + used, room, format, args);
	va_end(args);
	if (n < 0 || (size_t)n + 3 > room)
		exchange->headers[used] = '\0';
	else
		memcpy(exchange->headers + used + n, "\r\n", 3);
}

/* RFC 9110 section 6.6.1: an origin server with a clock sends its time. */
static void http_date(char *out, size_t size)
{
	time_t now = time(NULL);
	struct tm parts;

	if (!gmtime_r(&now, &parts) ||
		strftime(out, size, "%a, %d %b %Y %H:%M:%S GMT", &parts) == 0)
		out[0] = '\0';
}

static bool write_all(struct mg_connection *conn, const char *data, size_t len)
{
	int64_t deadline = time_monotonic_ns() + WRITE_DEADLINE_MS * INT64_C(1000000);

	while (len > 0 && time_monotonic_ns() < deadline) {
		int n = mg_write(conn, data, len < WRITE_PIECE ? len : WRITE_PIECE);
		if (n <= 0)
			break;
		data += n;
		len -= (size_t)n;
	}
	if (len > 0) /* the answer is torn: nothing may follow it */
		mg_disable_connection_keep_alive(conn);
	return len == 0;
}

static size_t write_head(const struct exchange *exchange, char *out, size_t size, const char *type,
	const char *length)
{
	char date[40];

	http_date(date, sizeof(date));
	int n = snprintf(out, size,
		"HTTP/1.1 %d %s\r\n"
		"Date: %s\r\n"
		"Content-Type: %s\r\n"
		"%s"
		"Cache-Control: %s\r\n"
		"X-Content-Type-Options: nosniff\r\n"
		"Referrer-Policy: no-referrer\r\n"
		"Cross-Origin-Resource-Policy: same-origin\r\n"
		"Content-Security-Policy: %s; base-uri 'none'; form-action 'none'; "
		"frame-ancestors 'none'\r\n"
		"Connection: %s\r\n"
		"%s\r\n",
		exchange->status, title(exchange->status), date, type, length,
		exchange->cache ? exchange->cache : "no-store",
		exchange->sources ? exchange->sources : "default-src 'none'",
		exchange->close ? "close" : "keep-alive", exchange->headers);
	return n < 0 || (size_t)n >= size ? 0 : (size_t)n;
}

static void begin(struct exchange *exchange, int status)
{
	exchange->status = status;
	exchange->close = exchange->close || exchange->unread > 0;
	if (exchange->close)
		mg_disable_connection_keep_alive(exchange->conn);
	metrics_add(exchange->metrics, METRIC_HTTP_REQUESTS, 1);
	if (status >= 400)
		metrics_add(exchange->metrics, METRIC_HTTP_ERRORS, 1);
}

void reply_stream(struct exchange *exchange, const char *type)
{
	char head[HEAD_MAX];

	exchange->close = true;
	begin(exchange, 200);
	reply_header(exchange, "X-Accel-Buffering: no"); /* a proxy must not gather it */
	(void)write_all(exchange->conn, head, write_head(exchange, head, sizeof(head), type, ""));
}

bool reply_piece(struct exchange *exchange, const char *data, size_t len)
{
	return write_all(exchange->conn, data, len);
}

void reply_send(
	struct exchange *exchange, int status, const char *type, const char *data, size_t len)
{
	char first[HEAD_MAX + 1024], length[48];

	begin(exchange, status);
	snprintf(length, sizeof(length), "Content-Length: %zu\r\n", len);
	size_t head = write_head(exchange, first, sizeof(first), type, length);
	if (exchange->head)
		len = 0;
	size_t with = len < sizeof(first) - head ? len : 0; /* a short body shares the packet */
	if (with > 0)
		memcpy(first + head, data, with);
	(void)(write_all(exchange->conn, first, head + with) &&
		write_all(exchange->conn, data + with, len - with));
}

void reply_body(struct exchange *exchange, int status, const char *type, struct body *body)
{
	if (body->failed)
		reply_problem(exchange, 503, "out of memory");
	else
		reply_send(exchange, status, type, body->data ? body->data : "", body->len);
	body_free(body);
}

static void send_problem(
	struct exchange *exchange, int status, const char *detail, const struct body *errors)
{
	struct body body = { 0 };

	body_add_format(&body,
		"{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":",
		title(status), status);
	body_add_json(&body, detail);
	if (exchange->path) {
		body_add(&body, ",\"instance\":");
		body_add_json(&body, exchange->path);
	}
	if (errors && !errors->failed && errors->len > 0) {
		body_add(&body, ",\"errors\":[");
		body_add_bytes(&body, errors->data, errors->len);
		body_add(&body, "]");
	}
	body_add(&body, "}\n");
	if (body.failed) /* even now: an answer, if a bare one */
		reply_send(exchange, status, "application/problem+json", "{}", 2);
	else
		reply_send(exchange, status, "application/problem+json", body.data, body.len);
	body_free(&body);
}

void reply_problem(struct exchange *exchange, int status, const char *format, ...)
{
	char detail[512];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(detail, sizeof(detail), format, args); /* a cut sentence will do */
	va_end(args);
	send_problem(exchange, status, detail, NULL);
}

void reply_invalid(struct exchange *exchange, const char *detail, const struct body *errors)
{
	send_problem(exchange, 422, detail, errors);
}
