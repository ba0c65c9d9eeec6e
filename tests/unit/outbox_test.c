#include "agent/outbox.h"
#include "common/store_outbox.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <string.h>

#define ASSERT_OK(call) CU_ASSERT_EQUAL_FATAL((call), STATUS_OK)

static struct why why;

/* The broker's side: what was handed over, in order. */
static struct {
	bool away;
	size_t count;
	uint64_t token[4096];
	char last[64];
} broker;

static bool hand_over(void *context, const char *topic, const char *payload, size_t len,
	bool retain, uint64_t token)
{
	CU_ASSERT_PTR_NULL(context);
	CU_ASSERT_TRUE(retain);
	CU_ASSERT_STRING_EQUAL(topic, "alerts/press-1/alarm");
	if (broker.away)
		return false;
	broker.token[broker.count++] = token;
	snprintf(broker.last, sizeof(broker.last), "%.*s", (int)len, payload);
	return true;
}

static struct store *open_store(const char *path)
{
	struct store *store = NULL;

	ASSERT_OK(store_open(path, STORE_WRITE, &store, &why));
	return store;
}

static struct outbox *open_outbox(struct store *store, size_t max)
{
	struct outbox *outbox = NULL;

	memset(&broker, 0, sizeof(broker));
	ASSERT_OK(outbox_create(store, max, hand_over, NULL, &outbox, &why));
	return outbox;
}

static void put(struct store *store, struct outbox *outbox, int first, int count)
{
	char text[32];

	ASSERT_OK(store_begin(store, &why));
	for (int i = first; i < first + count; i++) {
		int len = snprintf(text, sizeof(text), "message %d", i);
		ASSERT_OK(
			outbox_put(outbox, "alerts/press-1/alarm", text, (size_t)len, true, &why));
	}
	ASSERT_OK(outbox_settle(outbox, &why));
	ASSERT_OK(store_commit(store, &why));
	outbox_committed(outbox);
	outbox_pump(outbox);
}

static void settle(struct store *store, struct outbox *outbox)
{
	put(store, outbox, 0, 0);
}

static void acknowledge(struct outbox *outbox, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		outbox_ended(outbox, broker.token[i], true);
}

static void test_sent_after_commit(void)
{
	struct store *store = open_store(":memory:");
	struct outbox *outbox = open_outbox(store, 100);

	ASSERT_OK(store_begin(store, &why));
	ASSERT_OK(outbox_put(outbox, "alerts/press-1/alarm", "a", 1, true, &why));
	CU_ASSERT_EQUAL(broker.count, 0);
	ASSERT_OK(store_commit(store, &why));
	outbox_committed(outbox);
	outbox_pump(outbox);
	CU_ASSERT_EQUAL(broker.count, 1);
	CU_ASSERT_EQUAL(outbox_length(outbox), 1);

	CU_ASSERT_FALSE(outbox_unsettled(outbox));
	acknowledge(outbox, 0, 1);
	CU_ASSERT_TRUE(outbox_unsettled(outbox));
	settle(store, outbox);
	CU_ASSERT_EQUAL(outbox_length(outbox), 0);
	CU_ASSERT_EQUAL(broker.count, 1);
	outbox_destroy(outbox);
	store_close(store);
}

static void test_rolled_back(void)
{
	struct store *store = open_store(":memory:");
	struct outbox *outbox = open_outbox(store, 100);

	put(store, outbox, 1, 1);
	acknowledge(outbox, 0, 1);
	ASSERT_OK(store_begin(store, &why));
	ASSERT_OK(outbox_put(outbox, "alerts/press-1/alarm", "never", 5, true, &why));
	ASSERT_OK(outbox_settle(outbox, &why));
	store_rollback(store);
	outbox_rolled_back(outbox);
	outbox_pump(outbox);

	CU_ASSERT_EQUAL(broker.count, 1);
	CU_ASSERT_EQUAL(outbox_length(outbox), 1);
	CU_ASSERT_TRUE(outbox_unsettled(outbox)); /* it arrived all the same */
	settle(store, outbox);
	CU_ASSERT_EQUAL(outbox_length(outbox), 0);
	outbox_destroy(outbox);
	store_close(store);
}

static void test_again_after_a_kill(void)
{
	const char *path = unit_path("kill.db");
	struct store *store = open_store(path);
	struct outbox *outbox = open_outbox(store, 100);

	put(store, outbox, 1, 5);
	CU_ASSERT_EQUAL(broker.count, 5);
	acknowledge(outbox, 0, 2);
	settle(store, outbox);
	outbox_destroy(outbox); /* three were on their way */
	store_close(store);

	store = open_store(path);
	outbox = open_outbox(store, 100);
	outbox_pump(outbox);
	CU_ASSERT_EQUAL(broker.count, 3);
	CU_ASSERT_STRING_EQUAL(broker.last, "message 5");
	outbox_destroy(outbox);
	store_close(store);
}

static void test_away(void)
{
	struct store *store = open_store(":memory:");
	struct outbox *outbox = open_outbox(store, 100);

	broker.away = true;
	put(store, outbox, 1, 10);
	CU_ASSERT_EQUAL(broker.count, 0);
	broker.away = false;
	outbox_pump(outbox);
	CU_ASSERT_EQUAL(broker.count, 10);
	CU_ASSERT_STRING_EQUAL(broker.last, "message 10");
	outbox_pump(outbox);
	CU_ASSERT_EQUAL(broker.count, 10);
	outbox_destroy(outbox);
	store_close(store);
}

static void test_lost_on_the_way(void)
{
	struct store *store = open_store(":memory:");
	struct outbox *outbox = open_outbox(store, 100);

	put(store, outbox, 1, 4);
	outbox_ended(outbox, broker.token[0], true);
	outbox_ended(outbox, broker.token[1], false);
	outbox_ended(outbox, broker.token[3], true);
	outbox_pump(outbox);
	/* From the lost one on, in order, but what has arrived. */
	CU_ASSERT_EQUAL(broker.count, 6);
	CU_ASSERT_EQUAL(broker.token[4], broker.token[1]);
	CU_ASSERT_EQUAL(broker.token[5], broker.token[2]);
	acknowledge(outbox, 4, 6);
	settle(store, outbox);
	CU_ASSERT_EQUAL(outbox_length(outbox), 0);
	outbox_destroy(outbox);
	store_close(store);
}

static void test_window(void)
{
	struct store *store = open_store(":memory:");
	struct outbox *outbox = open_outbox(store, 10000);

	put(store, outbox, 1, 1200);
	CU_ASSERT_EQUAL(broker.count, OUTBOX_WINDOW);
	acknowledge(outbox, 0, OUTBOX_WINDOW);
	settle(store, outbox);
	CU_ASSERT_EQUAL(broker.count, 2 * OUTBOX_WINDOW);
	acknowledge(outbox, OUTBOX_WINDOW, 2 * OUTBOX_WINDOW);
	settle(store, outbox);
	CU_ASSERT_EQUAL(broker.count, 1200);
	CU_ASSERT_STRING_EQUAL(broker.last, "message 1200");
	outbox_destroy(outbox);
	store_close(store);
}

static void test_full(void)
{
	struct store *store = open_store(":memory:");
	struct outbox *outbox = open_outbox(store, 100);

	broker.away = true;
	put(store, outbox, 1, 150);
	CU_ASSERT_TRUE(outbox_length(outbox) <= 100);
	CU_ASSERT_EQUAL(outbox_length(outbox) + outbox_dropped(outbox), 150);
	broker.away = false;
	outbox_pump(outbox);
	CU_ASSERT_EQUAL(broker.count, outbox_length(outbox));
	CU_ASSERT_STRING_EQUAL(broker.last, "message 150"); /* the newest stay */
	outbox_destroy(outbox);
	store_close(store);
}

static CU_TestInfo cases[] = {
	{ "a message is sent when its transaction is committed, kept until it has arrived",
		test_sent_after_commit },
	{ "a transaction that is taken back sends nothing and forgets no arrival",
		test_rolled_back },
	{ "what was on its way at a kill is sent again", test_again_after_a_kill },
	{ "messages wait for a broker that is away", test_away },
	{ "what was lost on the way is sent again, in order", test_lost_on_the_way },
	{ "a window is on its way at once", test_window },
	{ "a full outbox gives up its oldest and counts them", test_full },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("outbox", cases);
}
