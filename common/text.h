/* Text built piece by piece into a buffer of known size; what does not fit is remembered, not
 * written. Invariant: buf is NUL-terminated and len < size, as long as size > 0. */
#ifndef ISOLDE_COMMON_TEXT_H
#define ISOLDE_COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *buf;
	size_t size, len;
	bool cut; /* something did not fit */
};

/* Starts with an empty text in the caller's buffer. */
struct text text_start(char *buf, size_t size);

void text_add(struct text *text, const char *piece);
void text_add_bytes(struct text *text, const char *piece, size_t len);
void text_add_number(struct text *text, double value); /* number_format's; null for NaN */
void text_add_integer(struct text *text, int64_t value);
void text_add_time(struct text *text, int64_t at_ms); /* with quotes */
/* With quotes and JSON escapes; each byte of invalid UTF-8 becomes '?'. */
void text_add_json(struct text *text, const char *value);

/* The length, or 0 if something was cut. */
size_t text_end(const struct text *text);

#endif
