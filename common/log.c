#include "common/log.h"
#include "common/jsontext.h"
#include "common/timeutil.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, TAIL_SIZE = 80 };

static const char *const level_names[] = { "error", "warning", "info", "debug" };
/* sd-daemon(3): journald reads the level from a <N> prefix. */
static const char *const journal_prefix[] = { "<3>", "<4>", "<6>", "<7>" };

/* Set once before threads start, read ever after. */
static enum log_level threshold = LOG_LEVEL_INFO;
static enum log_format form = LOG_FORMAT_LOGFMT;
static bool journal;

static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER;

void log_setup(enum log_level level, enum log_format format)
{
	threshold = level;
	form = format;
	journal = getenv("JOURNAL_STREAM") != NULL;
}

bool log_level_parse(const char *name, enum log_level *out)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

/* The control character at `text`, -1 if there is none: C0, DEL, and C1, which a terminal obeys
 * as well (U+009B begins an escape sequence). */
static int control_character(const char *text, size_t length)
{
	unsigned char c = (unsigned char)text[0];

	if (length == 1 && (c < 0x20 || c == 0x7f))
		return c;
	if (length == 2 && c == 0xc2 && (unsigned char)text[1] < 0xa0)
		return (unsigned char)text[1];
	return -1;
}

/* Copies text as the inside of a quoted string: a device must not forge a second log line, nor
 * make one that no JSON parser reads. */
static size_t append_escaped(char *line, size_t at, size_t size, const char *text)
{
	for (size_t n, left = strlen(text); left > 0 && at + 8 < size; text += n, left -= n) {
		n = utf8_length(text, left);
		int control = control_character(text, n);
		if (n == 0) {
			line[at++] = '?';
			n = 1;
		} else if (control >= 0) {
			at += (size_t)snprintf(line + at, size - at, "\\u%04x", (unsigned)control);
		} else {
			if (*text == '"' || *text == '\\')
				line[at++] = '\\';
			memcpy(line + at, text, n);
			at += n;
		}
	}
	return at;
}

static void write_line(enum log_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));
static void write_line(enum log_level level, const char *format, va_list args)
{
	if (level > threshold)
		return;

	int saved_errno = errno;
	char text[LINE_MAX_BYTES / 2], line[LINE_MAX_BYTES], time[TIME_TEXT_SIZE];
	vsnprintf(text, sizeof(text), format, args);
	time_format(time_now_ms(), time);

	int n;
	if (form == LOG_FORMAT_JSON)
		n = snprintf(line, sizeof(line), "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"",
			time, level_names[level]);
	else if (journal)
		n = snprintf(line, sizeof(line), "%slevel=%s msg=\"", journal_prefix[level],
			level_names[level]);
	else
		n = snprintf(
			line, sizeof(line), "time=%s level=%s msg=\"", time, level_names[level]);

	size_t at = append_escaped(line, (size_t)n, sizeof(line), text);
	line[at++] = '"';
	if (form == LOG_FORMAT_JSON)
		line[at++] = '}';
	line[at++] = '\n';
	ssize_t written = write(STDERR_FILENO, line, at);
	(void)written; /* nowhere left to complain */
	errno = saved_errno;
}

#define DEFINE_LOG(name, level)                  \
	void name(const char *format, ...)       \
	{                                        \
		va_list args;                    \
		va_start(args, format);          \
		write_line(level, format, args); \
		va_end(args);                    \
	}
DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

static void log_at(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void log_at(enum log_level level, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	write_line(level, format, args);
	va_end(args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	long long now_s = time_monotonic_ns() / 1000000000;
	unsigned suppressed = 0;
	bool write_it = false;

	pthread_mutex_lock(&limits_lock);
	if (limit->window_s == 0 || now_s - limit->window_s >= 60) {
		suppressed = limit->suppressed;
		limit->suppressed = 0;
		limit->window_s = now_s ? now_s : 1;
		write_it = true;
	} else {
		limit->suppressed++;
	}
	pthread_mutex_unlock(&limits_lock);
	if (!write_it)
		return;

	char text[LINE_MAX_BYTES / 2 - TAIL_SIZE]; /* the count finds its place behind */
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	char tail[TAIL_SIZE] = "";
	if (suppressed)
		snprintf(tail, sizeof(tail), " (and %u more of its kind in the last minute)",
			suppressed);
	log_at(level, "%s%s", text, tail);
}
