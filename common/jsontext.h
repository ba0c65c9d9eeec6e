/* JSON text from outside, made safe for cJSON (Debian's 1.7.15): one linear pass without
 * recursion checks the grammar (RFC 8259) and our limits before the parser sees a byte. What
 * cJSON would let pass is refused: trailing text, 01 and 5., raw control bytes, invalid UTF-8,
 * \u0000, repeated names. A byte order mark is skipped. A number beyond a double (1e999) is
 * grammatical and becomes an infinity: whoever uses a number checks it. Any thread. */
#ifndef ISOLDE_COMMON_JSONTEXT_H
#define ISOLDE_COMMON_JSONTEXT_H

#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>

struct cJSON;

struct json_limits {
	size_t depth;   /* nesting of arrays and objects */
	size_t members; /* of one object */
};

/* Readings and request bodies: DESIGN limits. Depth 8 keeps cJSON's recursion far below
 * CivetWeb's 100 KiB stacks (650 levels of nesting killed a worker). */
enum { JSON_DEPTH_MAX = 8, JSON_MEMBERS_MAX = 256 };

/* Checks only. STATUS_BAD_INPUT with the byte offset and the reason. */
enum status json_check(
	const char *text, size_t len, const struct json_limits *limits, struct why *why) MUST_USE;

/* Checks and parses. *out is the caller's, cJSON_Delete. text[len] need not be NUL. */
enum status json_parse(const char *text, size_t len, const struct json_limits *limits,
	struct cJSON **out, struct why *why) MUST_USE;

/* Bytes of the well-formed UTF-8 character (RFC 3629: no surrogates, no overlong forms) that
 * begins here, 0 if none does. */
size_t utf8_length(const char *text, size_t len);

/* True if `len` bytes are such characters throughout. */
bool utf8_valid(const char *text, size_t len);

#endif
