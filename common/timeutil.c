#include "common/timeutil.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int64_t time_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t time_monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

struct timespec time_spec(int64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000) };
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Hinnant, "chrono-compatible low-level
 * date algorithms", days_from_civil). */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	int64_t of_era = year - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return month == 2 && leap ? 29 : days[month - 1];
}

/* Reads exactly n digits. */
static bool digits(const char **at, const char *end, int n, unsigned *out)
{
	if (end - *at < n)
		return false;
	*out = 0;
	for (; n > 0; n--, (*at)++) {
		if (**at < '0' || **at > '9')
			return false;
		*out = *out * 10 + (unsigned)(**at - '0');
	}
	return true;
}

static bool one_of(const char **at, const char *end, const char *set)
{
	if (*at == end || **at == '\0' || !strchr(set, **at))
		return false;
	(*at)++;
	return true;
}

struct parts {
	unsigned year, month, day, hour, minute, second, nanosecond;
	int offset_min;
};

static bool parse_fraction(const char **at, const char *end, unsigned *nanosecond)
{
	unsigned scale = 100000000;
	const char *first = *at;

	for (*nanosecond = 0; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		*nanosecond += (unsigned)(**at - '0') * scale;
		scale /= 10;
	}
	return *at > first;
}

static bool parse_offset(const char **at, const char *end, int *offset_min)
{
	unsigned hour, minute;

	*offset_min = 0;
	if (one_of(at, end, "Zz"))
		return true;
	bool negative = *at < end && **at == '-';
	if (!one_of(at, end, "+-") || !digits(at, end, 2, &hour) || !one_of(at, end, ":") ||
		!digits(at, end, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*offset_min = (int)(hour * 60 + minute) * (negative ? -1 : 1);
	return true;
}

static bool parse_parts(const char *at, const char *end, struct parts *p)
{
	p->nanosecond = 0;
	if (!digits(&at, end, 4, &p->year) || !one_of(&at, end, "-") ||
		!digits(&at, end, 2, &p->month) || !one_of(&at, end, "-") ||
		!digits(&at, end, 2, &p->day) || !one_of(&at, end, "Tt ") ||
		!digits(&at, end, 2, &p->hour) || !one_of(&at, end, ":") ||
		!digits(&at, end, 2, &p->minute) || !one_of(&at, end, ":") ||
		!digits(&at, end, 2, &p->second))
		return false;
	if (one_of(&at, end, ".") && !parse_fraction(&at, end, &p->nanosecond))
		return false;
	if (!parse_offset(&at, end, &p->offset_min) || at != end)
		return false;
	return p->month >= 1 && p->month <= 12 && p->day >= 1 &&
		p->day <= days_in_month(p->year, p->month) && p->hour <= 23 && p->minute <= 59 &&
		p->second <= 60;
}

enum status time_parse(
	const char *text, size_t len, int64_t *out_ms, int32_t *out_ns, struct why *why)
{
	struct parts p;

	if (!parse_parts(text, text + len, &p))
		return fail(why, STATUS_BAD_INPUT,
			"\"%.*s\" is not an RFC 3339 time with an offset, such as "
			"2026-11-23T12:00:00.250Z",
			len > 40 ? 40 : (int)len, text);

	int64_t seconds = days_from_date(p.year, p.month, p.day) * 86400 + p.hour * 3600 +
		p.minute * 60 + p.second - p.offset_min * 60;
	int64_t at_ms = seconds * 1000 + p.nanosecond / 1000000;
	if (at_ms < 0 || at_ms > TIME_MAX_MS)
		return fail(why, STATUS_BAD_INPUT, "\"%.*s\" is outside 1970 .. 2109-05-15",
			len > 40 ? 40 : (int)len, text);
	*out_ms = at_ms;
	if (out_ns)
		*out_ns = (int32_t)(p.nanosecond % 1000000);
	return STATUS_OK;
}

bool time_from_number(double number, int64_t *out_ms, int32_t *out_ns)
{
	double ms = fabs(number) < 1e11 ? number * 1000 : number;

	if (!(ms >= 0 && ms <= (double)TIME_MAX_MS))
		return false;
	/* Rounded to the microsecond, which a double can tell up to 2109: 1.005 * 1000 is a
	 * little less than 1005. */
	int64_t us = (int64_t)round(ms * 1000);
	*out_ms = us / 1000;
	if (out_ns)
		*out_ns = (int32_t)(us % 1000) * 1000;
	return true;
}

size_t time_format(int64_t at_ms, char out[TIME_TEXT_SIZE])
{
	int64_t days = at_ms / 86400000, rest = at_ms % 86400000;

	/* civil_from_days, same source, for days >= 0. */
	int64_t z = days + 719468;
	int64_t era = z / 146097;
	int64_t of_era = z - era * 146097;
	int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t m = (5 * of_year + 2) / 153;
	int day = (int)(of_year - (153 * m + 2) / 5 + 1);
	int month = (int)(m < 10 ? m + 3 : m - 9);
	int year = (int)(year_of_era + era * 400 + (month <= 2));

	return (size_t)snprintf(out, TIME_TEXT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year,
		month, day, (int)(rest / 3600000), (int)(rest / 60000 % 60),
		(int)(rest / 1000 % 60), (int)(rest % 1000));
}
