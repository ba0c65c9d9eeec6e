/* Time as one integer: milliseconds since the Unix epoch, UTC (`at_ms`). Text is RFC 3339.
 * Pure but for the two functions that read a clock. Any thread. */
#ifndef ISOLDE_COMMON_TIMEUTIL_H
#define ISOLDE_COMMON_TIMEUTIL_H

#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum { TIME_TEXT_SIZE = 32 };

/* The times a reading may bear: 1970-01-01T00:00:00Z to 2109-05-15T07:35:11.103Z, the 42 bits
 * that the store's key keeps for them. */
#define TIME_MAX_MS ((INT64_C(1) << 42) - 1)

/* Wall clock. */
int64_t time_now_ms(void);

/* Never steps back; for durations and deadlines only. */
int64_t time_monotonic_ns(void);

/* Such a time (0 or more) as pthread_cond_timedwait takes it. */
struct timespec time_spec(int64_t ns);

/* "2026-11-23T12:00:00.250Z" or with an offset; 't', 'z' and a blank for the T are accepted as
 * RFC 3339 section 5.6 allows, a leap second (:60) counts as the next minute's first. *out_ns
 * (may be NULL) takes the nanoseconds below the millisecond, 0 .. 999999; further digits are
 * cut. STATUS_BAD_INPUT for anything else or outside 0 .. TIME_MAX_MS. */
enum status time_parse(
	const char *text, size_t len, int64_t *out_ms, int32_t *out_ns, struct why *why) MUST_USE;

/* A time as a number: below 1e11 seconds (until the year 5138), else milliseconds. False if it is
 * NaN or outside 0 .. TIME_MAX_MS. Good to a microsecond; *out_ns (may be NULL) as above. */
bool time_from_number(double number, int64_t *out_ms, int32_t *out_ns);

/* Writes "2026-11-23T12:00:00.250Z" and its NUL; returns the length, 24. Takes 0 .. TIME_MAX_MS. */
size_t time_format(int64_t at_ms, char out[TIME_TEXT_SIZE]);

#endif
