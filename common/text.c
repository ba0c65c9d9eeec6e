#include "common/text.h"
#include "common/jsontext.h"
#include "common/number.h"
#include "common/timeutil.h"
#include <stdio.h>
#include <string.h>

struct text text_start(char *buf, size_t size)
{
	if (size > 0)
		buf[0] = '\0';
	return (struct text){ .buf = buf, .size = size, .cut = size == 0 };
}

void text_add_bytes(struct text *text, const char *piece, size_t len)
{
	if (text->cut || len >= text->size - text->len) {
		text->cut = true;
		return;
	}
	memcpy(text->buf + text->len, piece, len);
	text->len += len;
	text->buf[text->len] = '\0';
}

void text_add(struct text *text, const char *piece)
{
	text_add_bytes(text, piece, strlen(piece));
}

void text_add_number(struct text *text, double value)
{
	char number[NUMBER_TEXT_SIZE];
	text_add_bytes(text, number, number_format(value, number));
}

void text_add_integer(struct text *text, int64_t value)
{
	char number[24];
	int n = snprintf(number, sizeof(number), "%lld", (long long)value);
	text_add_bytes(text, number, (size_t)n);
}

void text_add_time(struct text *text, int64_t at_ms)
{
	char time[TIME_TEXT_SIZE];
	size_t n = time_format(at_ms, time);

	text_add_bytes(text, "\"", 1);
	text_add_bytes(text, time, n);
	text_add_bytes(text, "\"", 1);
}

void text_add_json(struct text *text, const char *value)
{
	text_add_bytes(text, "\"", 1);
	for (size_t n, left = strlen(value); left > 0; value += n, left -= n) {
		unsigned char c = (unsigned char)*value;
		char escape[8];
		n = utf8_length(value, left);
		if (n == 0) {
			text_add_bytes(text, "?", 1);
			n = 1;
		} else if (c == '"' || c == '\\') {
			escape[0] = '\\';
			escape[1] = (char)c;
			text_add_bytes(text, escape, 2);
		} else if (c < 0x20) {
			text_add_bytes(text, escape, (size_t)snprintf(escape, 8, "\\u%04x", c));
		} else {
			text_add_bytes(text, value, n);
		}
	}
	text_add_bytes(text, "\"", 1);
}

size_t text_end(const struct text *text)
{
	return text->cut ? 0 : text->len;
}
