#include "agent/http_request.h"
#include "agent/http.h"
#include "common/timeutil.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *request_header(const struct exchange *exchange, const char *name, size_t *count)
{
	const struct mg_request_info *info = exchange->info;
	const char *value = NULL;

	*count = 0;
	for (int i = 0; i < info->num_headers; i++) {
		if (strcasecmp(info->http_headers[i].name, name) == 0) {
			value = value ? value : info->http_headers[i].value;
			(*count)++;
		}
	}
	return value;
}

/* CivetWeb takes "5abc" for 5, the first of two lengths, and a length beside chunks: a proxy in
 * front may see other requests than we do (RFC 9112 section 11.2). */
static bool check_length(struct exchange *exchange)
{
	size_t encodings, lengths;
	(void)request_header(exchange, "Transfer-Encoding", &encodings);
	const char *length = request_header(exchange, "Content-Length", &lengths);

	exchange->close = true; /* until we know where the next request begins */
	if (encodings > 0) {
		reply_problem(exchange, 411, "send the body with Content-Length, not chunked");
		return false;
	}
	size_t digits = length ? strspn(length, "0123456789") : 0;
	if (lengths > 1 || (length && (digits == 0 || length[digits] != '\0'))) {
		reply_problem(exchange, 400, "Content-Length is not one whole number");
		return false;
	}
	exchange->unread = digits > 6 ? HTTP_BODY_MAX + 1 : length ? (size_t)atol(length) : 0;
	if (exchange->unread > HTTP_BODY_MAX) {
		reply_problem(exchange, 413, "a body has at most %d bytes", HTTP_BODY_MAX);
		return false;
	}
	exchange->close = false;
	return true;
}

/* Beyond its 64th header CivetWeb looks no further, and would not see a Content-Length there. */
enum { HEADERS_MAX = 63 };

/* CivetWeb takes "Content-Length : 5" for "Content-Length: 5"; others do not (RFC 9112
 * section 5.1), and would see another request. It leaves a NUL where the blank was. */
static bool blank_before_colon(const struct mg_request_info *info)
{
	for (int i = 0; i < info->num_headers; i++) {
		const char *after = info->http_headers[i].name;
		after += strlen(after) + 1;
		if (after < info->http_headers[i].value && *after == '\0')
			return true;
	}
	return false;
}

static bool check_headers(struct exchange *exchange)
{
	exchange->close = true; /* where the next request begins is not known */
	if (exchange->info->num_headers > HEADERS_MAX) {
		reply_problem(exchange, 431, "a request has at most %d headers", HEADERS_MAX);
		return false;
	}
	if (blank_before_colon(exchange->info)) {
		reply_problem(exchange, 400, "a header's name ends with a blank");
		return false;
	}
	return true;
}

static bool check_host(struct exchange *exchange)
{
	size_t hosts;
	(void)request_header(exchange, "Host", &hosts);

	if (hosts > 1 || (hosts == 0 && strcmp(exchange->info->http_version, "1.1") == 0)) {
		reply_problem(exchange, 400, "a request names its Host once");
		return false;
	}
	return true;
}

/* Our paths need no escapes; whoever sends some is looking for a gap between two decoders. */
static bool check_path(struct exchange *exchange)
{
	for (const char *c = exchange->path; *c; c++) {
		if (*c == '%' || (unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f) {
			reply_problem(exchange, 400, "the path holds an escape or a control byte");
			return false;
		}
	}
	return true;
}

/* `word` is among the comma-separated options of a Connection header. */
static bool has_option(const char *value, const char *word)
{
	size_t len = strlen(word);

	while (*value) {
		value += strspn(value, " \t,");
		size_t option = strcspn(value, " \t,");
		if (option == len && strncasecmp(value, word, len) == 0)
			return true;
		value += option;
	}
	return false;
}

/* CivetWeb keeps a connection only for "keep-alive" once the header is there at all; we must
 * announce what it will do. */
static bool wants_close(const struct exchange *exchange)
{
	size_t count;
	const char *value = request_header(exchange, "Connection", &count);

	if (strcmp(exchange->info->http_version, "1.1") != 0 || count > 1)
		return true;
	return value && (!has_option(value, "keep-alive") || has_option(value, "close"));
}

bool request_check(struct exchange *exchange)
{
	if (!check_headers(exchange) || !check_length(exchange))
		return false;
	exchange->close = wants_close(exchange);
	return check_host(exchange) && check_path(exchange);
}

static bool answer_expectation(struct exchange *exchange)
{
	size_t count;
	const char *expect = request_header(exchange, "Expect", &count);

	if (!expect)
		return true;
	if (count > 1 || strcasecmp(expect, "100-continue") != 0) {
		reply_problem(exchange, 417, "only 100-continue can be expected");
		return false;
	}
	return mg_printf(exchange->conn, "HTTP/1.1 100 Continue\r\n\r\n") > 0;
}

/* One byte at a time: mg_read(n) returns when all n are there or request_timeout_ms passes
 * without any, so a client that drips could hold a larger read for n time-outs. What came with
 * the head is copied from memory; the rest costs two system calls a byte, 0.1 s at most. */
static bool read_bytes(struct exchange *exchange, char *out, size_t len)
{
	int64_t deadline = time_monotonic_ns() + HTTP_BODY_DEADLINE_MS * INT64_C(1000000);

	for (size_t i = 0; i < len; i++) {
		if (mg_read(exchange->conn, out + i, 1) != 1 || time_monotonic_ns() > deadline)
			return false;
	}
	return true;
}

bool request_body(struct exchange *exchange, char **out, size_t *len)
{
	size_t n = exchange->unread;
	char *text = malloc(n + 1);

	if (!text) {
		reply_problem(exchange, 503, "out of memory");
		return false;
	}
	text[n] = '\0';
	if (n > 0 && !answer_expectation(exchange)) {
		free(text);
		return false;
	}
	if (!read_bytes(exchange, text, n)) {
		free(text);
		reply_problem(
			exchange, 408, "the body did not come within %d ms", HTTP_BODY_DEADLINE_MS);
		return false;
	}
	exchange->unread = 0;
	*out = text;
	*len = n;
	return true;
}

bool request_is_json(const struct exchange *exchange)
{
	static const char json[] = "application/json";
	size_t count;
	const char *type = request_header(exchange, "Content-Type", &count);

	if (count != 1 || strncasecmp(type, json, sizeof(json) - 1) != 0)
		return false;
	type += sizeof(json) - 1;
	type += strspn(type, " \t");
	return *type == '\0' || *type == ';';
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes %XX; false for a broken escape, a control byte, or what does not fit. */
static bool decode(const char *from, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)from[i];
		if (c == '%') {
			int high = i + 2 < len ? hex_digit(from[i + 1]) : -1;
			int low = i + 2 < len ? hex_digit(from[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = high * 16 + low;
			i += 2;
		}
		if (c < 0x20 || c == 0x7f || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return n > 0;
}

static bool listed(const char *name, const char *const *allowed)
{
	for (; allowed && *allowed; allowed++) {
		if (strcmp(name, *allowed) == 0)
			return true;
	}
	return false;
}

/* Adds the parameter in the `len` bytes at `pair`. */
static enum status add_parameter(const char *pair, size_t len, const char *const *allowed,
	struct parameters *out, struct why *why)
{
	const char *equals = memchr(pair, '=', len);
	char name[PARAMETER_NAME_MAX + 1];

	if (!equals || !decode(pair, (size_t)(equals - pair), name, sizeof(name)))
		return fail(why, STATUS_BAD_INPUT, "the query is not a list of name=value");
	if (!listed(name, allowed))
		return fail(why, STATUS_BAD_INPUT, "unknown query parameter \"%s\"", name);
	if (parameter(out, name) || out->count == PARAMETERS_MAX)
		return fail(why, STATUS_BAD_INPUT, "query parameter \"%s\" is there twice", name);
	size_t value_len = len - (size_t)(equals + 1 - pair);
	if (!decode(equals + 1, value_len, out->at[out->count].value, sizeof(out->at[0].value)))
		return fail(why, STATUS_BAD_INPUT, "query parameter \"%s\" has no readable value",
			name);
	memcpy(out->at[out->count++].name, name, sizeof(name));
	return STATUS_OK;
}

enum status parameters_parse(
	const char *query, const char *const *allowed, struct parameters *out, struct why *why)
{
	out->count = 0;
	if (!query || !*query)
		return STATUS_OK;
	if (strlen(query) > HTTP_QUERY_MAX)
		return fail(why, STATUS_BAD_INPUT, "a query has at most %d bytes", HTTP_QUERY_MAX);
	for (;;) {
		size_t len = strcspn(query, "&");
		enum status status = add_parameter(query, len, allowed, out, why);
		if (status != STATUS_OK)
			return status;
		if (query[len] == '\0')
			return STATUS_OK;
		query += len + 1;
	}
}

const char *parameter(const struct parameters *parameters, const char *name)
{
	for (size_t i = 0; i < parameters->count; i++) {
		if (strcmp(parameters->at[i].name, name) == 0)
			return parameters->at[i].value;
	}
	return NULL;
}
