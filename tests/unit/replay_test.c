/* What is sent: a recording's times, payloads, topics, and the window of what is on its way. */
#include "simulator/payload.h"
#include "simulator/publish.h"
#include "simulator/replay.h"
#include "simulator/window.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <string.h>

static void load(const char *text, double step_ms, struct replay *out)
{
	struct why why = { "" };
	const char *path = unit_file("recording.csv", text, strlen(text));

	enum status st = replay_load(path, step_ms, out, &why);
	if (st != STATUS_OK)
		CU_ASSERT_STRING_EQUAL(why.text, "");
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
}

static void test_spacing(void)
{
	struct replay replay;

	load("timestamp,x\n100,1\n102,2\n104,3\n108,4\n", 1000, &replay);

	CU_ASSERT_EQUAL(replay.offset_ms[0], 0);
	CU_ASSERT_EQUAL(replay.offset_ms[1], 2000);
	CU_ASSERT_EQUAL(replay.offset_ms[2], 4000);
	CU_ASSERT_EQUAL(replay.offset_ms[3], 8000);
	replay_free(&replay);
}

static void test_odd_steps(void)
{
	struct replay replay;

	/* Back by 1 s, none at all, 10 medians (kept), then a day. */
	load("timestamp,x\n10,1\n12,2\n11,3\n11,4\n13,5\n33,6\n86433,7\n86435,8\n", 1, &replay);

	static const int64_t expected[] = { 0, 2000, 4000, 6000, 8000, 28000, 30000, 32000 };
	for (size_t i = 0; i < 8; i++)
		CU_ASSERT_EQUAL(replay.offset_ms[i], expected[i]);
	replay_free(&replay);
}

static void test_no_times(void)
{
	struct replay replay;
	struct why why;

	load("x,label\n1,0\n2,1\n3,0\n", 0.5, &replay);

	CU_ASSERT_EQUAL(replay.offset_ms[1], 1); /* 0.5 ms, rounded */
	CU_ASSERT_EQUAL(replay.offset_ms[2], 1);
	CU_ASSERT_EQUAL(replay.csv.label[1], 1);
	CU_ASSERT_EQUAL(replay_check_timestamps(&replay, "r.csv", &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "no column timestamp");
	replay_free(&replay);
}

static void test_no_rows(void)
{
	struct replay replay;
	struct why why;
	const char *path = unit_file("empty.csv", "timestamp,x\n", 12);

	CU_ASSERT_EQUAL(replay_load(path, 1, &replay, &why), STATUS_BAD_INPUT);
	CU_ASSERT_EQUAL(replay_load(unit_path("none.csv"), 1, &replay, &why), STATUS_NOT_FOUND);
}

static void test_payload(void)
{
	struct schema schema = { 0 };
	struct why why;
	char out[512];
	const double value[] = { 61.2, NAN, 71.9 };

	CU_ASSERT_EQUAL(schema_add(&schema, "temperature", "", 0, 1, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&schema, "humidity", "", 0, 1, &why), STATUS_OK);
	CU_ASSERT_EQUAL(schema_add(&schema, "sound", "", 0, 1, &why), STATUS_OK);

	size_t len = payload_encode(&schema, value, -1, 1795435200250, 18231, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out,
		"{\"timestamp\":\"2026-11-23T12:00:00.250Z\",\"seq\":18231,"
		"\"temperature\":61.2,\"humidity\":null,\"sound\":71.9}");
	CU_ASSERT_EQUAL(len, strlen(out));
	payload_encode(&schema, value, 1, 1795435200250, 18231, out, sizeof(out));
	CU_ASSERT_STRING_EQUAL(out,
		"{\"timestamp\":\"2026-11-23T12:00:00.250Z\",\"seq\":18231,"
		"\"temperature\":61.2,\"sound\":71.9}");
}

static void test_longest_payload(void)
{
	struct schema schema = { 0 };
	struct why why;
	char name[FEATURE_NAME_MAX + 1], out[16384];
	double value[FEATURES_MAX];

	memset(name, 'x', sizeof(name) - 1);
	name[FEATURE_NAME_MAX] = '\0';
	for (size_t i = 0; i < FEATURES_MAX; i++) {
		name[0] = (char)('A' + i / 26);
		name[1] = (char)('A' + i % 26);
		value[i] = -1.7976931348623157e-308;
		CU_ASSERT_EQUAL_FATAL(schema_add(&schema, name, "", 0, 1, &why), STATUS_OK);
	}

	size_t size = payload_size(FEATURES_MAX);
	CU_ASSERT_TRUE_FATAL(size <= sizeof(out));
	CU_ASSERT_TRUE(payload_encode(&schema, value, -1, 0, INT64_MAX, out, size) > 0);
}

static void test_topics(void)
{
	CU_ASSERT_TRUE(publish_topic_valid("factory/{machine}/reading"));
	CU_ASSERT_TRUE(publish_topic_valid("{machine}"));
	CU_ASSERT_FALSE(publish_topic_valid("factory/reading"));
	CU_ASSERT_FALSE(publish_topic_valid("factory/x{machine}/reading"));
	CU_ASSERT_FALSE(publish_topic_valid("factory/{machine}x/reading"));
	CU_ASSERT_FALSE(publish_topic_valid("{machine}/{machine}"));
	CU_ASSERT_FALSE(publish_topic_valid("+/{machine}"));
	CU_ASSERT_FALSE(publish_topic_valid("{machine}/#"));
}

static void test_window(void)
{
	struct window *window;
	struct message *message[WINDOW_SLOTS];
	struct why why;

	CU_ASSERT_EQUAL_FATAL(window_create(64, &window, &why), STATUS_OK);
	for (int i = 0; i < WINDOW_SLOTS; i++) {
		message[i] = window_take(window);
		CU_ASSERT_PTR_NOT_NULL_FATAL(message[i]);
		memset(message[i]->payload, i % 256, 64);
	}
	CU_ASSERT_PTR_NULL(window_take(window));
	CU_ASSERT_PTR_NULL(window_take_lost(window));

	window_end(window, message[7]->token, true);
	window_end(window, message[500]->token, false);
	window_end(window, message[3]->token, false);

	CU_ASSERT_EQUAL(window_acknowledged(window), 1);
	CU_ASSERT_EQUAL(window_outstanding(window), WINDOW_SLOTS - 1);
	CU_ASSERT_PTR_EQUAL(window_take(window), message[7]);
	CU_ASSERT_PTR_EQUAL(window_take_lost(window), message[3]); /* the oldest first */
	CU_ASSERT_PTR_EQUAL(window_take_lost(window), message[500]);
	CU_ASSERT_PTR_NULL(window_take_lost(window));
	CU_ASSERT_EQUAL((unsigned char)message[500]->payload[63], 500 % 256);
	window_destroy(window);
}

static CU_TestInfo cases[] = {
	{ "a recording keeps its spacing", test_spacing },
	{ "steps back, standstill and long gaps become a median step", test_odd_steps },
	{ "without times the rate spaces it", test_no_times },
	{ "a recording without rows is refused", test_no_rows },
	{ "a payload is the README's, with null or left out", test_payload },
	{ "the longest payload fits its room", test_longest_payload },
	{ "a topic names the machine in one whole level", test_topics },
	{ "the window keeps what is lost, oldest first", test_window },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("replay", cases);
}
