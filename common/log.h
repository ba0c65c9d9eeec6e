/* Log lines on stderr, one write(2) each, so that lines of several threads never mix. Any
 * thread. Modules below the programs return a `struct why` instead of logging; only mqtt
 * reports its connection by itself. Control characters are escaped, invalid UTF-8 becomes '?'. */
#ifndef ISOLDE_COMMON_LOG_H
#define ISOLDE_COMMON_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

/* Call once, before other threads start. Without it: info, logfmt. The time stamp of a
 * logfmt line is left out when the journal reads stderr (JOURNAL_STREAM is set): it adds its own.
 */
void log_setup(enum log_level level, enum log_format format);

/* A level's name ("error", "warning", "info", "debug") to its value; false if unknown. */
bool log_level_parse(const char *name, enum log_level *out);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A trouble that repeats: the first line of each kind in a minute is written, the others are
 * counted, and the next minute's line says how many were suppressed. Keep one static limit
 * per kind; zero to start. Any thread. */
struct log_limit {
	long long window_s;  /* monotonic second the current minute began, 0: never */
	unsigned suppressed; /* in the current minute */
};
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
