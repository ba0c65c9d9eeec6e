#include "common/jsontext.h"
#include "common/log.h"
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char output[1 << 20];

/* What `act` writes to stderr. */
static const char *captured(void (*act)(void))
{
	int saved = dup(STDERR_FILENO);
	int file = open(unit_path("stderr"), O_RDWR | O_CREAT | O_TRUNC, 0600);

	CU_ASSERT_FATAL(saved >= 0 && file >= 0);
	CU_ASSERT_FATAL(dup2(file, STDERR_FILENO) >= 0);
	act();
	dup2(saved, STDERR_FILENO);
	close(saved);
	ssize_t n = pread(file, output, sizeof(output) - 1, 0);
	close(file);
	CU_ASSERT_FATAL(n >= 0);
	output[n] = '\0';
	return output;
}

static int lines(const char *text)
{
	int n = 0;
	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static const char *hostile = "";

static void say_hostile(void)
{
	log_info("topic %s", hostile);
}

static const char *logged(const char *value)
{
	hostile = value;
	return captured(say_hostile);
}

static void say_every_level(void)
{
	log_error("e %d", 1);
	log_warning("w %d", 2);
	log_info("i %d", 3);
	log_debug("d %d", 4);
}

static void test_levels(void)
{
	static const int expected[] = { 1, 2, 3, 4 };

	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		log_setup((enum log_level)level, LOG_FORMAT_LOGFMT);
		CU_ASSERT_EQUAL(lines(captured(say_every_level)), expected[level]);
	}
	ASSERT_HOLDS(output, " level=error msg=\"e 1\"\n");
	ASSERT_HOLDS(output, " level=warning msg=\"w 2\"\n");
	ASSERT_HOLDS(output, " level=info msg=\"i 3\"\n");
	ASSERT_HOLDS(output, " level=debug msg=\"d 4\"\n");
}

static void test_level_names(void)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	enum log_level level = LOG_LEVEL_DEBUG;

	for (int i = 0; i < 4; i++) {
		CU_ASSERT_TRUE(log_level_parse(names[i], &level));
		CU_ASSERT_EQUAL((int)level, i);
	}
	CU_ASSERT_FALSE(log_level_parse("Error", &level));
	CU_ASSERT_FALSE(log_level_parse("", &level));
	CU_ASSERT_FALSE(log_level_parse("infos", &level));
	CU_ASSERT_EQUAL(level, LOG_LEVEL_DEBUG);
}

static void test_time_stamp(void)
{
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	const char *line = logged("x");

	CU_ASSERT_EQUAL(strncmp(line, "time=20", 7), 0);
	CU_ASSERT_EQUAL(strspn(line + 5, "0123456789-T:.Z"), 24);
	ASSERT_HOLDS(line, "Z level=info msg=\"topic x\"\n");
}

static void test_journal(void)
{
	setenv("JOURNAL_STREAM", "8:12345", 1);
	log_setup(LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT);
	unsetenv("JOURNAL_STREAM");

	CU_ASSERT_STRING_EQUAL(captured(say_every_level),
		"<3>level=error msg=\"e 1\"\n"
		"<4>level=warning msg=\"w 2\"\n"
		"<6>level=info msg=\"i 3\"\n"
		"<7>level=debug msg=\"d 4\"\n");
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
}

static void test_escapes(void)
{
	static const struct {
		const char *value, *written;
	} rows[] = {
		{ "a\nlevel=error msg=\"forged", "topic a\\u000alevel=error msg=\\\"forged\"\n" },
		{ "a\rb\tc\x1b[2Jd", "topic a\\u000db\\u0009c\\u001b[2Jd\"\n" },
		{ "\x7f\x01", "topic \\u007f\\u0001\"\n" },
		{ "back\\slash", "topic back\\\\slash\"\n" },
		{ "\302\2332J", "topic \\u009b2J\"\n" }, /* CSI of a terminal, as one character */
		{ "\xc2\xa0\xc3\xa4", "topic \xc2\xa0\xc3\xa4\"\n" },
		{ "\xff\xc3", "topic ??\"\n" },
		{ "", "topic \"\n" },
	};

	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *line = logged(rows[i].value);
		ASSERT_HOLDS(line, rows[i].written);
		CU_ASSERT_EQUAL(lines(line), 1);
	}
}

static void expect_json(const char *value, const char *expected)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	struct why why = { "" };
	cJSON *json = NULL;

	const char *line = logged(value);
	CU_ASSERT_EQUAL(lines(line), 1);
	CU_ASSERT_EQUAL(json_parse(line, strlen(line), &limits, &json, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(why.text, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(json);
	const cJSON *message = cJSON_GetObjectItemCaseSensitive(json, "message");
	const cJSON *level = cJSON_GetObjectItemCaseSensitive(json, "level");
	CU_ASSERT_FATAL(cJSON_IsString(message) && cJSON_IsString(level));
	CU_ASSERT_TRUE(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(json, "time")));
	CU_ASSERT_STRING_EQUAL(level->valuestring, "info");
	if (expected)
		CU_ASSERT_STRING_EQUAL(message->valuestring, expected);
	cJSON_Delete(json);
}

static void test_json(void)
{
	static const struct {
		const char *value, *expected;
	} rows[] = {
		{ "plain", "topic plain" },
		{ "a\n\"b\"\\\x01\x7f", "topic a\n\"b\"\\\x01\x7f" },
		{ "\xc3\xa4 \xf0\x9f\x98\x80", "topic \xc3\xa4 \xf0\x9f\x98\x80" },
		{ "\xc2\x9b", "topic \xc2\x9b" },
		{ "\xff\xfe", "topic ??" },
		{ "cut in half \xe2\x82", "topic cut in half ??" },
		{ "}{\",\"x\":1", "topic }{\",\"x\":1" },
	};

	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		expect_json(rows[i].value, rows[i].expected);
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
}

/* Longer than a line: cut anywhere, even inside an escape or a character, it stays JSON. */
static void test_long(void)
{
	static const char *const units[] = { "x", "\n", "\"", "\xc3\xa4", "\xe2\x82\xac",
		"\xf0\x9f\x98\x80", "\xff" };
	static char value[12000];

	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_JSON);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		for (size_t shift = 0; shift < 8; shift++) {
			memset(value, 'y', shift);
			value[shift] = '\0';
			for (size_t at = shift; at < 9000; at += strlen(units[i]))
				strcpy(value + at, units[i]);
			expect_json(value, NULL);
			CU_ASSERT_TRUE(strlen(output) <= 2048);
		}
	}
	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
}

static struct log_limit limit;
static const char *trouble = "trouble";

static void five_troubles(void)
{
	for (int i = 0; i < 5; i++)
		log_limited(&limit, LOG_LEVEL_WARNING, "%s %d", trouble, i);
}

static void one_trouble(void)
{
	log_limited(&limit, LOG_LEVEL_WARNING, "%s", trouble);
}

/* The minute passes by moving its beginning back. */
static void test_limit(void)
{
	memset(&limit, 0, sizeof(limit));
	const char *text = captured(five_troubles);
	CU_ASSERT_EQUAL(lines(text), 1);
	ASSERT_HOLDS(text, "level=warning msg=\"trouble 0\"\n");
	CU_ASSERT_EQUAL(limit.suppressed, 4);

	limit.window_s -= 50;
	CU_ASSERT_STRING_EQUAL(captured(one_trouble), "");

	limit.window_s -= 10;
	text = captured(one_trouble);
	CU_ASSERT_EQUAL(lines(text), 1);
	ASSERT_HOLDS(text, "msg=\"trouble (and 5 more of its kind in the last minute)\"\n");
	CU_ASSERT_EQUAL(limit.suppressed, 0);

	limit.window_s -= 60;
	ASSERT_HOLDS(captured(one_trouble), "msg=\"trouble\"\n"); /* none was suppressed */
}

static void test_limits_apart(void)
{
	memset(&limit, 0, sizeof(limit));
	CU_ASSERT_EQUAL(lines(captured(five_troubles)), 1);
	struct log_limit before = limit;
	memset(&limit, 0, sizeof(limit));
	CU_ASSERT_EQUAL(lines(captured(five_troubles)), 1); /* another kind, its own minute */
	CU_ASSERT_EQUAL(before.suppressed, 4);
}

/* A long message does not push the count off the line. */
static void test_limit_long(void)
{
	static char endless[5000];

	memset(endless, 'z', sizeof(endless) - 1);
	memset(&limit, 0, sizeof(limit));
	trouble = endless;
	CU_ASSERT_EQUAL(lines(captured(five_troubles)), 1);
	limit.window_s -= 60;
	ASSERT_HOLDS(captured(one_trouble), "zzz (and 4 more of its kind in the last minute)\"\n");
	trouble = "trouble";
}

enum { WRITERS = 4, EACH = 500 };

static void *write_many(void *name)
{
	for (int i = 0; i < EACH; i++)
		log_info("writer %s says its line", (const char *)name);
	return NULL;
}

static void write_together(void)
{
	static char names[WRITERS][2] = { "a", "b", "c", "d" };
	pthread_t writer[WRITERS];

	for (int i = 0; i < WRITERS; i++)
		CU_ASSERT_EQUAL_FATAL(pthread_create(&writer[i], NULL, write_many, names[i]), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writer[i], NULL);
}

static void test_threads(void)
{
	int whole = 0;

	log_setup(LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT);
	captured(write_together);
	for (char *line = strtok(output, "\n"); line; line = strtok(NULL, "\n")) {
		size_t n = strlen(line);
		whole += n ==
				strlen("time=2026-11-23T12:00:00.250Z level=info msg=\"writer a says "
				       "its line\"") &&
			strncmp(line, "time=", 5) == 0 && strcmp(line + n - 5, "line\"") == 0;
	}
	CU_ASSERT_EQUAL(whole, WRITERS * EACH);
}

static int errno_after;

static void log_in_trouble(void)
{
	close(STDERR_FILENO); /* so that writing fails, too */
	errno = ENOSPC;
	log_info("disk");
	errno_after = errno;
}

static void test_errno(void)
{
	CU_ASSERT_STRING_EQUAL(captured(log_in_trouble), "");
	CU_ASSERT_EQUAL(errno_after, ENOSPC);
}

static CU_TestInfo cases[] = {
	{ "lines below the level are not written", test_levels },
	{ "levels have names", test_level_names },
	{ "a line begins with its time", test_time_stamp },
	{ "the journal gets its level prefix and no time", test_journal },
	{ "control characters, quotes and newlines are escaped", test_escapes },
	{ "the JSON form parses, whatever the message", test_json },
	{ "a message longer than a line is cut and stays JSON", test_long },
	{ "a trouble that repeats is written once a minute, and counted", test_limit },
	{ "every kind of trouble has a minute of its own", test_limits_apart },
	{ "the count stands even behind a long message", test_limit_long },
	{ "lines of several threads do not mix", test_threads },
	{ "logging leaves errno alone", test_errno },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("log", cases);
}
