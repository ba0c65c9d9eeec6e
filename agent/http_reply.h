/* One HTTP exchange and how it is answered: headers that every answer bears, problem+json
 * (RFC 9457) for every error, HEAD as GET without its body. One thread. */
#ifndef ISOLDE_AGENT_HTTP_REPLY_H
#define ISOLDE_AGENT_HTTP_REPLY_H

#include "agent/metrics.h"
#include <civetweb.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* A text that grows; `failed` once memory ran out. Zero to start, body_free at the end. */
struct body {
	char *data;
	size_t len, size;
	bool failed;
};
void body_add_bytes(struct body *body, const char *piece, size_t len);
void body_add(struct body *body, const char *piece);
void body_add_format(struct body *body, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void body_add_number(struct body *body, double value);    /* number_format's; null for NaN */
void body_add_json(struct body *body, const char *value); /* at most 1 KB, with quotes */
void body_free(struct body *body);

enum { EXCHANGE_HEADERS_MAX = 768 };

struct exchange {
	struct mg_connection *conn;
	const struct mg_request_info *info;
	struct metrics *metrics;
	const char *path;    /* as sent, without query; NULL if the request line is not known */
	bool head;           /* answer without a body */
	bool close;          /* end the connection after the answer */
	size_t unread;       /* bytes of the request's body still to come; the answer ends the
				connection if there are any, lest they pass for a request */
	int status;          /* of the answer, 0 before */
	const char *sources; /* of the Content-Security-Policy; NULL: nothing may be loaded */
	const char *cache;   /* Cache-Control; NULL: no-store */
	char headers[EXCHANGE_HEADERS_MAX]; /* further lines of the answer, each with its CRLF */
};

struct exchange exchange_begin(struct mg_connection *conn, struct metrics *metrics);

/* Adds a header line to the answer; a line that does not fit is left out. */
void reply_header(struct exchange *exchange, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Sends the answer. `type` is the media type. */
void reply_send(
	struct exchange *exchange, int status, const char *type, const char *data, size_t len);
/* The same, 503 if the body ran out of memory; frees it. */
void reply_body(struct exchange *exchange, int status, const char *type, struct body *body);

/* The head of an answer of unknown length, which ends with its connection, then its pieces; false:
 * the client is gone, or too slow. */
void reply_stream(struct exchange *exchange, const char *type);
bool reply_piece(struct exchange *exchange, const char *data, size_t len);

/* An application/problem+json answer; the sentence is its detail. */
void reply_problem(struct exchange *exchange, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* 422: `errors` is the inside of the JSON array of {"field","detail"}. */
void reply_invalid(struct exchange *exchange, const char *detail, const struct body *errors);

#endif
