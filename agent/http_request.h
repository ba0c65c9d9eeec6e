/* What a request is checked for before a route sees it, and its body and query. The checking
 * functions answer by themselves and return false when they refuse. One thread. */
#ifndef ISOLDE_AGENT_HTTP_REQUEST_H
#define ISOLDE_AGENT_HTTP_REQUEST_H

#include "agent/http_reply.h"
#include "common/status.h"

/* How the header `name` is sent: its value, or NULL; *count says how often. */
const char *request_header(const struct exchange *exchange, const char *name, size_t *count);

/* Body length, Host, path: whatever two parties might read in two ways is refused. Notes the
 * body's length in exchange->unread, and whether the client wants the connection closed. */
bool request_check(struct exchange *exchange);

/* The body, all of it within HTTP_BODY_DEADLINE_MS; *out is the caller's, free(). */
bool request_body(struct exchange *exchange, char **out, size_t *len);

/* application/json, with parameters or none. */
bool request_is_json(const struct exchange *exchange);

enum { PARAMETERS_MAX = 8, PARAMETER_NAME_MAX = 15, PARAMETER_VALUE_MAX = 127 };
struct parameters {
	size_t count;
	struct {
		char name[PARAMETER_NAME_MAX + 1];
		char value[PARAMETER_VALUE_MAX + 1];
	} at[PARAMETERS_MAX];
};

/* Splits and decodes a query string (NULL is fine). Unknown names (not among the `allowed`,
 * which NULL ends), repeated ones, and what cannot be decoded are STATUS_BAD_INPUT. A '+' is a
 * plus, as in RFC 3986: the offset of a time may be typed as it is. */
enum status parameters_parse(const char *query, const char *const *allowed, struct parameters *out,
	struct why *why) MUST_USE;
/* A value, or NULL. */
const char *parameter(const struct parameters *parameters, const char *name);

#endif
