#include "common/jsontext.h"
#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A scanner with its own small stack: one entry a level, no recursion. */
struct level {
	bool object;
	size_t members;
};

/* Open levels; deeper text is refused before one more is needed. */
enum { LEVELS_MAX = 16 };

struct scan {
	const char *text;
	size_t at, len;
	const struct json_limits *limits;
	struct level level[LEVELS_MAX];
	size_t depth;
	struct why *why;
};

static enum status refuse(const struct scan *s, const char *reason)
{
	return fail(s->why, STATUS_BAD_INPUT, "not valid JSON at byte %zu: %s", s->at, reason);
}

static int peek(const struct scan *s)
{
	return s->at < s->len ? (unsigned char)s->text[s->at] : -1;
}

static void skip_blanks(struct scan *s)
{
	int c;
	while ((c = peek(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
		s->at++;
}

/* RFC 3629, table of section 4. */
size_t utf8_length(const char *text, size_t len)
{
	const unsigned char *byte = (const unsigned char *)text;
	unsigned char c = len > 0 ? byte[0] : 0xff;
	size_t n = c < 0x80              ? 1
		: c >= 0xc2 && c <= 0xdf ? 2
		: (c & 0xf0) == 0xe0     ? 3
		: c >= 0xf0 && c <= 0xf4 ? 4
					 : 0;
	if (n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((c == 0xe0 && byte[1] < 0xa0) || (c == 0xed && byte[1] > 0x9f) ||
		(c == 0xf0 && byte[1] < 0x90) || (c == 0xf4 && byte[1] > 0x8f))
		return 0; /* overlong, surrogate, beyond U+10FFFF */
	return n;
}

bool utf8_valid(const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		size_t n = utf8_length(text + at, len - at);
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

static int hex4(const struct scan *s, size_t at)
{
	int value = 0;

	if (s->len - at < 4)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		char c = s->text[i];
		int digit = c >= '0' && c <= '9' ? c - '0'
			: c >= 'a' && c <= 'f'   ? c - 'a' + 10
			: c >= 'A' && c <= 'F'   ? c - 'A' + 10
						 : -1;
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static enum status scan_unicode_escape(struct scan *s)
{
	int code = hex4(s, s->at); /* at the first digit */

	if (code < 0)
		return refuse(s, "\\u needs four hexadecimal digits");
	if (code == 0)
		return refuse(s, "\\u0000 in a string");
	if (code >= 0xdc00 && code <= 0xdfff)
		return refuse(s, "half of a surrogate pair");
	s->at += 4;
	if (code >= 0xd800 && code <= 0xdbff) {
		int low = s->len - s->at >= 6 && memcmp(s->text + s->at, "\\u", 2) == 0
			? hex4(s, s->at + 2)
			: -1;
		if (low < 0xdc00 || low > 0xdfff)
			return refuse(s, "half of a surrogate pair");
		s->at += 6;
	}
	return STATUS_OK;
}

static enum status scan_string(struct scan *s)
{
	for (s->at++; s->at < s->len;) {
		unsigned char c = (unsigned char)s->text[s->at];
		if (c == '"') {
			s->at++;
			return STATUS_OK;
		}
		if (c < 0x20)
			return refuse(s, "a control byte in a string");
		if (c == '\\') {
			s->at++;
			int escaped = peek(s);
			if (escaped <= 0 || !strchr("\"\\/bfnrtu", escaped))
				return refuse(s, "an unknown escape");
			s->at++;
			if (escaped == 'u') {
				enum status st = scan_unicode_escape(s);
				if (st != STATUS_OK)
					return st;
			}
			continue;
		}
		size_t n = utf8_length(s->text + s->at, s->len - s->at);
		if (n == 0)
			return refuse(s, "invalid UTF-8");
		s->at += n;
	}
	return refuse(s, "a string does not end");
}

static size_t scan_digits(struct scan *s)
{
	size_t first = s->at;
	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return s->at - first;
}

enum { NUMBER_DIGITS_MAX = 400 }; /* cJSON copies a number to the heap; 1e308 has 309 digits */

static enum status scan_number(struct scan *s)
{
	size_t first = s->at;

	if (peek(s) == '-')
		s->at++;
	if (peek(s) == '0')
		s->at++;
	else if (scan_digits(s) == 0)
		return refuse(s, "a value is expected");
	if (peek(s) == '.') {
		s->at++;
		if (scan_digits(s) == 0)
			return refuse(s, "a digit is expected after the point");
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		if (peek(s) == '+' || peek(s) == '-')
			s->at++;
		if (scan_digits(s) == 0)
			return refuse(s, "an exponent has no digits");
	}
	if (s->at - first > NUMBER_DIGITS_MAX)
		return refuse(s, "a number of more than 400 characters");
	return STATUS_OK;
}

static enum status scan_word(struct scan *s)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(words[i]);
		if (s->len - s->at >= n && memcmp(s->text + s->at, words[i], n) == 0) {
			s->at += n;
			return STATUS_OK;
		}
	}
	return refuse(s, "a value is expected");
}

static enum status open_level(struct scan *s, bool object)
{
	if (s->depth >= s->limits->depth || s->depth >= LEVELS_MAX)
		return fail(s->why, STATUS_BAD_INPUT, "at byte %zu: nested deeper than %zu", s->at,
			s->limits->depth);
	s->level[s->depth++] = (struct level){ .object = object };
	s->at++;
	return STATUS_OK;
}

/* A member's name and colon; called where one has to stand. */
static enum status scan_name(struct scan *s)
{
	struct level *level = &s->level[s->depth - 1];

	if (++level->members > s->limits->members)
		return fail(s->why, STATUS_BAD_INPUT, "at byte %zu: more than %zu members", s->at,
			s->limits->members);
	if (peek(s) != '"')
		return refuse(s, "a name in quotes is expected");
	enum status st = scan_string(s);
	if (st != STATUS_OK)
		return st;
	skip_blanks(s);
	if (peek(s) != ':')
		return refuse(s, "a colon is expected");
	s->at++;
	skip_blanks(s);
	return STATUS_OK;
}

/* A scalar, or the opening of an array or object; *opened says which. */
static enum status scan_value(struct scan *s, bool *opened)
{
	int c = peek(s);

	*opened = c == '{' || c == '[';
	if (*opened)
		return open_level(s, c == '{');
	if (c == '"')
		return scan_string(s);
	if (c == 't' || c == 'f' || c == 'n')
		return scan_word(s);
	return scan_number(s);
}

/* After a value: closes what ends here, or passes the comma. *more: another value must follow. */
static enum status scan_after(struct scan *s, bool *more)
{
	*more = false;
	while (s->depth > 0) {
		struct level *level = &s->level[s->depth - 1];
		skip_blanks(s);
		int c = peek(s);
		if (c == ',') {
			s->at++;
			skip_blanks(s);
			*more = true;
			return level->object ? scan_name(s) : STATUS_OK;
		}
		if (c != (level->object ? '}' : ']'))
			return refuse(
				s, c < 0 ? "it ends too early" : "a comma or an end is expected");
		s->at++;
		s->depth--;
	}
	return STATUS_OK;
}

/* Right after an opening: an empty level ends at once, an object wants a name. */
static enum status scan_first(struct scan *s, bool *empty)
{
	struct level *level = &s->level[s->depth - 1];

	skip_blanks(s);
	*empty = peek(s) == (level->object ? '}' : ']');
	if (*empty) {
		s->at++;
		s->depth--;
		return STATUS_OK;
	}
	return level->object ? scan_name(s) : STATUS_OK;
}

static size_t byte_order_mark(const char *text, size_t len)
{
	return len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

enum status json_check(
	const char *text, size_t len, const struct json_limits *limits, struct why *why)
{
	struct scan s = { .text = text, .len = len, .limits = limits, .why = why };
	bool more = true;

	s.at = byte_order_mark(text, len);
	skip_blanks(&s);
	if (s.at == len)
		return refuse(&s, "it is empty");
	while (more) {
		bool opened, empty = false;
		enum status st = scan_value(&s, &opened);
		if (st == STATUS_OK && opened)
			st = scan_first(&s, &empty);
		if (st == STATUS_OK && (!opened || empty))
			st = scan_after(&s, &more);
		if (st != STATUS_OK)
			return st;
	}
	skip_blanks(&s);
	if (s.at != len)
		return refuse(&s, "text after the end");
	return STATUS_OK;
}

static int by_name(const void *a, const void *b)
{
	const cJSON *const *left = a, *const *right = b;
	return strcmp((*left)->string, (*right)->string);
}

/* Names that are there twice: cJSON would keep both and answer with the first, most other
 * parsers with the last. */
static enum status check_repeats(const cJSON *object, struct why *why)
{
	enum { FEW = 16 }; /* a reading has fewer, and then nothing is asked for */
	const cJSON *few[FEW];
	size_t n = 0;
	for (const cJSON *member = object->child; member; member = member->next)
		n++;
	if (n < 2)
		return STATUS_OK;
	const cJSON **sorted = n <= FEW ? few : malloc(n * sizeof(const cJSON *));
	if (!sorted)
		return fail(why, STATUS_NO_MEMORY, "no memory");
	n = 0;
	for (const cJSON *member = object->child; member; member = member->next)
		sorted[n++] = member;
	qsort(sorted, n, sizeof(const cJSON *), by_name);
	enum status st = STATUS_OK;
	for (size_t i = 1; i < n && st == STATUS_OK; i++) {
		if (strcmp(sorted[i - 1]->string, sorted[i]->string) == 0)
			st = fail(why, STATUS_BAD_INPUT, "\"%.64s\" is there twice",
				sorted[i]->string);
	}
	if (sorted != few)
		free(sorted);
	return st;
}

/* Repeats at every level. Depth is bounded by the scan, so recursion is safe. */
static enum status check_tree(const cJSON *item, struct why *why)
{
	enum status st = STATUS_OK;

	if (cJSON_IsObject(item))
		st = check_repeats(item, why);
	for (const cJSON *child = item->child; child && st == STATUS_OK; child = child->next)
		st = check_tree(child, why);
	return st;
}

enum status json_parse(const char *text, size_t len, const struct json_limits *limits,
	struct cJSON **out, struct why *why)
{
	enum status st = json_check(text, len, limits, why);
	if (st != STATUS_OK)
		return st;
	/* cJSON skips the mark only before two bytes or more. */
	size_t skip = byte_order_mark(text, len);
	cJSON *root = cJSON_ParseWithLength(text + skip, len - skip);
	if (!root)
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu bytes of JSON", len);
	st = check_tree(root, why);
	if (st != STATUS_OK) {
		cJSON_Delete(root);
		return st;
	}
	*out = root;
	return STATUS_OK;
}
