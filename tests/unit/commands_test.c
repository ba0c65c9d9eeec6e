#include "agent/commands.h"
#include "common/jsontext.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const int64_t noon = 1795435200000;
static struct why why;

/* The field that is wrong, "ok" if none is. */
static const char *parse(
	enum command_verb verb, bool named, const char *json, struct command *command)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	struct cJSON *root = NULL;
	const char *field = "";

	*command = (struct command){ .verb = verb, .at_ms = noon };
	if (*json)
		CU_ASSERT_EQUAL_FATAL(
			json_parse(json, strlen(json), &limits, &root, &why), STATUS_OK);
	enum status st = command_parse(root, named, 24, command, &field, &why);
	cJSON_Delete(root);
	return st == STATUS_OK ? "ok" : field;
}

static void test_parse(void)
{
	static const struct {
		enum command_verb verb;
		bool named;
		const char *json, *field;
	} table[] = {
		{ COMMAND_ACK, false, "", "ok" },
		{ COMMAND_ACK, false, "{}", "ok" },
		{ COMMAND_ACK, false, "{\"operator\":null,\"more\":[1]}", "ok" },
		{ COMMAND_ACK, false, "[]", "" },
		{ COMMAND_ACK, false, "{\"operator\":5}", "operator" },
		{ COMMAND_ACK, false, "{\"reason\":{}}", "reason" },
		{ COMMAND_ACK, false, "{\"reason\":\"a\\tb\"}", "reason" },
		{ COMMAND_ACK, true, "", "id" },
		{ COMMAND_ACK, true, "{\"id\":\"x\"}", "ok" },
		{ COMMAND_ACK, true, "{\"machine\":\"press-1\"}", "ok" },
		{ COMMAND_STOP, true, "{\"id\":\"x\"}", "machine" },
		{ COMMAND_STOP, true, "{\"machine\":\"press-1\"}", "ok" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\"}", "minutes" },
		{ COMMAND_SHELVE, false, "{\"minutes\":5}", "reason" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"\",\"minutes\":5}", "reason" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"minutes\":5}", "ok" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"minutes\":1440}", "ok" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"minutes\":1440.1}", "minutes" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"minutes\":-1e300}", "minutes" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"minutes\":1e999}", "minutes" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"minutes\":null}", "minutes" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"until\":\"2026-11-23T12:30:00Z\"}",
			"ok" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"until\":\"2026-11-23T12:00:00Z\"}",
			"until" },
		{ COMMAND_SHELVE, false, "{\"reason\":\"x\",\"until\":1}", "until" },
	};
	struct command command;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *field = parse(table[i].verb, table[i].named, table[i].json, &command);
		if (strcmp(field, table[i].field) != 0)
			fprintf(stderr, "\n%s: %s: %s\n", table[i].json, field, why.text);
		CU_ASSERT_STRING_EQUAL(field, table[i].field);
	}
	(void)parse(COMMAND_SHELVE, false,
		"{\"operator\":\"anna\",\"reason\":\"x\",\"minutes\":1.5}", &command);
	CU_ASSERT_EQUAL(command.until_ms, noon + 90000);
	CU_ASSERT_STRING_EQUAL(command.operator_name, "anna");
	(void)parse(COMMAND_SHELVE, false, "{\"reason\":\"x\",\"until\":\"2026-11-23T12:30:00Z\"}",
		&command);
	CU_ASSERT_EQUAL(command.until_ms, noon + 1800000);
}

static void test_verbs(void)
{
	enum command_verb verb;

	for (int i = 0; i < COMMAND_VERBS; i++) {
		CU_ASSERT_TRUE(command_parse_verb(command_name((enum command_verb)i), &verb));
		CU_ASSERT_EQUAL(verb, (enum command_verb)i);
	}
	CU_ASSERT_FALSE(command_parse_verb("explode", &verb));
}

/* ---- the desk ---- */

static void answer(void *context, const struct command *command, struct command_answer *out)
{
	++*(int *)context;
	out->status = STATUS_OK;
	snprintf(out->alarm, sizeof(out->alarm), "done for %s", command->machine);
}

struct asker {
	struct desk *desk;
	struct command command;
	struct command_answer answer;
	pthread_t thread;
};

static void *ask(void *context)
{
	struct asker *asker = context;

	desk_ask(asker->desk, &asker->command, &asker->answer);
	return NULL;
}

static void begin(struct asker *asker, struct desk *desk, int i)
{
	*asker = (struct asker){ .desk = desk };
	snprintf(asker->command.machine, sizeof(asker->command.machine), "press-%d", i);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

static void test_desk(void)
{
	static struct asker askers[DESK_WAITING_MAX];
	const struct timespec pause = { .tv_nsec = 1000000 };
	int64_t deadline = time_monotonic_ns() + INT64_C(2000000000);
	struct desk *desk;
	int done = 0;

	CU_ASSERT_EQUAL_FATAL(desk_create(NULL, NULL, &desk), STATUS_OK);
	for (int i = 0; i < DESK_WAITING_MAX; i++)
		begin(&askers[i], desk, i);
	while (done < DESK_WAITING_MAX && time_monotonic_ns() < deadline) {
		desk_serve(desk, answer, &done);
		nanosleep(&pause, NULL);
	}
	for (int i = 0; i < DESK_WAITING_MAX; i++) {
		char expected[32];
		pthread_join(askers[i].thread, NULL);
		snprintf(expected, sizeof(expected), "done for press-%d", i);
		CU_ASSERT_EQUAL(askers[i].answer.status, STATUS_OK);
		CU_ASSERT_STRING_EQUAL(askers[i].answer.alarm, expected);
	}
	CU_ASSERT_EQUAL(done, DESK_WAITING_MAX);
	desk_destroy(desk);
}

/* Who is not served in time is told so, and is not served later; one too many does not wait. */
static void test_deadline(void)
{
	static struct asker askers[DESK_WAITING_MAX + 1];
	struct desk *desk;
	int full = 0, late = 0, done = 0;

	CU_ASSERT_EQUAL_FATAL(desk_create(NULL, NULL, &desk), STATUS_OK);
	for (int i = 0; i <= DESK_WAITING_MAX; i++)
		begin(&askers[i], desk, i);
	for (int i = 0; i <= DESK_WAITING_MAX; i++) {
		pthread_join(askers[i].thread, NULL);
		full += askers[i].answer.status == STATUS_FULL;
		late += askers[i].answer.status == STATUS_UNAVAILABLE;
	}
	CU_ASSERT_EQUAL(full, 1);
	CU_ASSERT_EQUAL(late, DESK_WAITING_MAX);
	desk_serve(desk, answer, &done);
	CU_ASSERT_EQUAL(done, 0);
	desk_destroy(desk);
}

static void wake(void *context)
{
	atomic_fetch_add((atomic_int *)context, 1);
}

static void *settle(void *context)
{
	desk_settle(context);
	return NULL;
}

/* Who wants what the worker has in hand wakes it and waits; else nobody waits. */
static void test_settle(void)
{
	atomic_int woken = 0;
	struct desk *desk;
	pthread_t thread;
	int done = 0;

	CU_ASSERT_EQUAL_FATAL(desk_create(wake, &woken, &desk), STATUS_OK);
	desk_settle(desk);
	CU_ASSERT_EQUAL(atomic_load(&woken), 0);
	desk_leave(desk);
	CU_ASSERT_TRUE(desk_may_wait(desk));
	int64_t began = time_monotonic_ns();
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, settle, desk), 0);
	WAIT_FOR(atomic_load(&woken) == 1);
	CU_ASSERT_FALSE(desk_may_wait(desk));
	desk_serve(desk, answer, &done);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(time_monotonic_ns() - began < INT64_C(200000000)); /* told, not tired */
	desk_settle(desk);
	CU_ASSERT_EQUAL(atomic_load(&woken), 1);
	CU_ASSERT_TRUE(desk_may_wait(desk));
	desk_leave(desk);
	desk_settle(desk); /* a worker that does not come is not waited for */
	CU_ASSERT_EQUAL(atomic_load(&woken), 2);
	CU_ASSERT_TRUE(time_monotonic_ns() - began < INT64_C(5000000000));
	desk_destroy(desk);
}

static void test_closed(void)
{
	static struct asker waiting, coming;
	struct desk *desk;

	CU_ASSERT_EQUAL_FATAL(desk_create(NULL, NULL, &desk), STATUS_OK);
	begin(&waiting, desk, 1);
	desk_close(desk);
	begin(&coming, desk, 2);
	pthread_join(waiting.thread, NULL);
	pthread_join(coming.thread, NULL);
	CU_ASSERT_EQUAL(waiting.answer.status, STATUS_UNAVAILABLE);
	CU_ASSERT_EQUAL(coming.answer.status, STATUS_UNAVAILABLE);
	ASSERT_HOLDS(coming.answer.why.text, "stopping");
	desk_destroy(desk);
}

static CU_TestInfo cases[] = {
	{ "what is asked is read, or refused with its field", test_parse },
	{ "every verb has its word", test_verbs },
	{ "who waits at the desk gets the answer to his own command", test_desk },
	{ "nobody waits for ever, and too many do not wait", test_deadline },
	{ "a commit that waits for company is not waited for", test_settle },
	{ "a closed desk sends everybody away", test_closed },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("commands", cases);
}
