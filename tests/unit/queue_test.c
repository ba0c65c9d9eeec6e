#include "agent/queue.h"
#include "common/reading.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMALLEST = 64 * 1024 };

static struct queue *queue_of(size_t bytes)
{
	struct queue *queue = NULL;

	CU_ASSERT_EQUAL_FATAL(queue_create(bytes, &queue), STATUS_OK);
	return queue;
}

/* As the agent does it: how many messages were dropped, this one perhaps; -1: it was refused. */
static int push_qos(
	struct queue *queue, int qos, const char *topic, const void *payload, size_t len, int id)
{
	struct message message = { .received_ms = 1000 + id,
		.received_ns = 2000 + id,
		.receipt = { .packet_id = id },
		.qos = qos,
		.retained = id % 2 == 1,
		.topic = topic,
		.topic_len = strlen(topic),
		.payload = payload,
		.len = len };

	size_t dropped = 0;
	if (!queue_admit(queue, &message, &dropped))
		return -1;
	bool taken = queue_push(queue, &message);
	queue_wake(queue);
	return (int)dropped + !taken;
}

static int push(struct queue *queue, const char *topic, const void *payload, size_t len, int id)
{
	return push_qos(queue, 0, topic, payload, len, id);
}

static void test_round_trip(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;

	CU_ASSERT_EQUAL(push_qos(queue, 1, "factory/a/reading", "{\0}", 3, 7), 0);
	CU_ASSERT_EQUAL(push(queue, "", NULL, 0, 8), 0);
	CU_ASSERT_EQUAL(queue_length(queue), 2);

	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, 10, &message), 2);
	CU_ASSERT_EQUAL(message[0].received_ms, 1007);
	CU_ASSERT_EQUAL(message[0].received_ns, 2007);
	CU_ASSERT_EQUAL(message[0].receipt.packet_id, 7);
	CU_ASSERT_EQUAL(message[0].qos, 1);
	CU_ASSERT_TRUE(message[0].retained);
	CU_ASSERT_STRING_EQUAL(message[0].topic, "factory/a/reading");
	CU_ASSERT_EQUAL(message[0].topic_len, 17);
	CU_ASSERT_EQUAL(message[0].len, 3);
	CU_ASSERT_EQUAL(message[0].full_len, 3);
	CU_ASSERT_EQUAL(memcmp(message[0].payload, "{\0}", 4), 0);
	CU_ASSERT_EQUAL(message[1].receipt.packet_id, 8);
	CU_ASSERT_STRING_EQUAL(message[1].topic, "");
	CU_ASSERT_STRING_EQUAL(message[1].payload, "");
	CU_ASSERT_EQUAL(queue_length(queue), 0);
	queue_destroy(queue);
}

static void test_cut(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	static char payload[PAYLOAD_MAX + 1], topic[QUEUE_TOPIC_MAX + 2];
	memset(payload, 'p', sizeof(payload));
	memset(topic, 't', sizeof(topic) - 1);

	push(queue, topic, payload, sizeof(payload), 1);

	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, 1, &message), 1);
	CU_ASSERT_EQUAL(message->topic_len, QUEUE_TOPIC_MAX);
	CU_ASSERT_EQUAL(strlen(message->topic), QUEUE_TOPIC_MAX);
	CU_ASSERT_EQUAL(message->len, PAYLOAD_MAX);
	CU_ASSERT_EQUAL(strlen(message->payload), PAYLOAD_MAX);
	CU_ASSERT_EQUAL(message->full_len, PAYLOAD_MAX + 1);
	queue_destroy(queue);
}

static void test_batches(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	for (int i = 0; i < 5; i++)
		push(queue, "t", "p", 1, i);

	CU_ASSERT_EQUAL(queue_pop(queue, 0, 0, &message), 0);
	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, 3, &message), 3);
	CU_ASSERT_EQUAL(message[2].receipt.packet_id, 2);
	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, 3, &message), 2);
	CU_ASSERT_EQUAL(message[0].receipt.packet_id, 3);
	CU_ASSERT_EQUAL(queue_pop(queue, 0, 3, &message), 0);
	queue_destroy(queue);
}

/* Each message says its own number in every byte, so that a torn or misplaced one shows. */
static bool intact(const struct message *message)
{
	for (size_t i = 0; i < message->len; i++)
		if (message->payload[i] != (char)message->receipt.packet_id)
			return false;
	return message->payload[message->len] == '\0' && strcmp(message->topic, "a/b") == 0;
}

/* The ring goes round many times with messages of every length, none of which fits its end. */
static void test_wrap(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	static char payload[1000];
	int pushed = 0, popped = 0;

	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < 7; i++, pushed++) {
			memset(payload, (char)pushed, sizeof(payload));
			CU_ASSERT_EQUAL(
				push(queue, "a/b", payload, (size_t)(pushed * 37 % 1000), pushed),
				0);
		}
		size_t n = queue_pop(queue, 0, 100, &message);
		for (size_t i = 0; i < n; i++, popped++)
			if (message[i].receipt.packet_id != popped || !intact(&message[i]))
				CU_FAIL_FATAL("a message is torn");
	}
	CU_ASSERT_EQUAL(popped, pushed);
	queue_destroy(queue);
}

static void test_drop_oldest(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	static char payload[10000];
	size_t dropped = 0;

	for (int i = 0; i < 100; i++) {
		memset(payload, (char)i, sizeof(payload));
		dropped += (size_t)push(queue, "a/b", payload, sizeof(payload), i);
	}

	CU_ASSERT_EQUAL(queue_length(queue), 6); /* of 10 083 bytes in 65 536 */
	CU_ASSERT_EQUAL(dropped, 94);
	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, 100, &message), 6);
	for (int i = 0; i < 6; i++) {
		CU_ASSERT_EQUAL(message[i].receipt.packet_id, 94 + i);
		CU_ASSERT_TRUE(intact(&message[i]));
	}
	queue_destroy(queue);
}

/* One long message takes the room of many short ones. */
static void test_drop_many(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	static char payload[PAYLOAD_MAX];
	size_t short_ones = 0;
	while (push(queue, "t", "p", 1, 1) == 0)
		short_ones++;

	size_t dropped = (size_t)push(queue, "t", payload, sizeof(payload), 2);

	CU_ASSERT(dropped > 100);
	CU_ASSERT_EQUAL(queue_length(queue), short_ones + 1 - dropped);
	/* A full ring of the shortest messages still fits the batch. */
	size_t n = queue_pop(queue, 0, SIZE_MAX, &message);
	CU_ASSERT_EQUAL(n, short_ones + 1 - dropped);
	CU_ASSERT_EQUAL(message[n - 1].receipt.packet_id, 2);
	queue_destroy(queue);
}

/* QoS 1 is refused, QoS 0 makes room for it, and nothing makes it go. */
static void test_refuse(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	char payload[200] = { 0 };
	int held = 0;

	while (push_qos(queue, 1, "a", payload, sizeof(payload), held) == 0)
		held++;
	CU_ASSERT_EQUAL(push_qos(queue, 1, "b", payload, sizeof(payload), held), -1);
	CU_ASSERT_EQUAL(push_qos(queue, 0, "c", payload, sizeof(payload), 1), 1); /* itself */
	CU_ASSERT_EQUAL(queue_take_refused(queue), 0); /* there is no room for them yet */

	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, SIZE_MAX, &message), (size_t)held);
	for (int i = 0; i < held; i++)
		CU_ASSERT_EQUAL(message[i].receipt.packet_id, i);
	CU_ASSERT_EQUAL(queue_take_refused(queue), 2);
	CU_ASSERT_EQUAL(queue_take_refused(queue), 0);

	while (push_qos(queue, 0, "c", payload, sizeof(payload), 1) == 0)
		;
	CU_ASSERT(push_qos(queue, 1, "a", payload, sizeof(payload), 77) > 0);
	size_t n = queue_pop(queue, 0, SIZE_MAX, &message);
	CU_ASSERT_EQUAL(message[n - 1].receipt.packet_id, 77);
	queue_destroy(queue);
}

/* The worker is away while one machine sends 20,000 readings and nine send 25 each. */
static void test_fair_shares(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	char payload[100], topic[16];
	int quiet = 0, dropped = 0, next[9] = { 0 };
	memset(payload, 'x', sizeof(payload));

	for (int i = 0; i < 20000; i++) {
		dropped += push(queue, "loud", payload, sizeof(payload), i);
		if (i % 100 == 0 && quiet < 225) {
			snprintf(topic, sizeof(topic), "quiet-%d", quiet % 9);
			dropped += push(queue, topic, payload, sizeof(payload), quiet / 9);
			quiet++;
		}
	}

	size_t n = queue_pop(queue, 0, SIZE_MAX, &message), heard = 0;
	for (size_t i = 0; i < n; i++) {
		if (message[i].topic[0] == 'l')
			continue;
		int machine = message[i].topic[6] - '0';
		CU_ASSERT_EQUAL(message[i].receipt.packet_id, next[machine]);
		next[machine]++;
		heard++;
		CU_ASSERT_EQUAL(memcmp(message[i].payload, payload, sizeof(payload)), 0);
	}
	CU_ASSERT_EQUAL(heard, (size_t)quiet);
	CU_ASSERT_EQUAL((int)n + dropped, 20000 + quiet);
	CU_ASSERT(n > heard); /* the loud one has its share */
	queue_destroy(queue);
}

/* Shares are cut wherever in the ring the head is, with messages of every length. */
static void test_cut_shares(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	static char payload[1000];
	int loud = 0, quiet = 0, dropped = 0, popped = 0, last = -1;

	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 200; i++, loud++) {
			memset(payload, (char)loud, sizeof(payload));
			dropped += push(queue, "a/b", payload, (size_t)(loud * 37 % 1000), loud);
		}
		memset(payload, (char)quiet, sizeof(payload));
		dropped += push(queue, "q", payload, 500, quiet++);
		size_t n = queue_pop(queue, 0, (size_t)(20 + round % 50), &message);
		for (size_t i = 0; i < n; i++) {
			bool loud_one = strcmp(message[i].topic, "a/b") == 0;
			if (loud_one &&
				(!intact(&message[i]) || message[i].receipt.packet_id <= last))
				CU_FAIL_FATAL("a message is torn or out of order");
			if (loud_one)
				last = message[i].receipt.packet_id;
		}
		popped += (int)n;
	}
	CU_ASSERT_EQUAL((int)queue_length(queue) + popped + dropped, loud + quiet);
	queue_destroy(queue);
}

static size_t resident_kb(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	unsigned long total = 0, resident = 0;

	if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2)
		CU_FAIL("no /proc/self/statm");
	if (file)
		fclose(file);
	return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

/* A backlog of 30 MB is gone from memory when it is over, and the ring is as good as before. */
static void test_gives_back(void)
{
	struct queue *queue = queue_of(32 * 1024 * 1024);
	const struct message *message;
	static char payload[1000];
	int pushed = 0, popped = 0;

	for (int turn = 0; turn < 3; turn++) {
		for (int i = 0; i < 25000; i++, pushed++) {
			memset(payload, (char)pushed, sizeof(payload));
			CU_ASSERT_EQUAL(push(queue, "a/b", payload, sizeof(payload), pushed), 0);
		}
		size_t before = resident_kb();
		for (size_t n; (n = queue_pop(queue, 0, 500, &message)) > 0;) {
			for (size_t i = 0; i < n; i++, popped++)
				if (message[i].receipt.packet_id != popped || !intact(&message[i]))
					CU_FAIL_FATAL("a message is torn");
		}
		CU_ASSERT(before - resident_kb() > 20000);
	}
	CU_ASSERT_EQUAL(popped, pushed);
	queue_destroy(queue);
}

static void test_empty_messages(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	size_t held = 0;

	while (push(queue, "", "", 0, 1) == 0)
		held++;

	CU_ASSERT_EQUAL(queue_pop(queue, 0, SIZE_MAX, &message), held);
	queue_destroy(queue);
}

static void test_close(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	push(queue, "t", "p", 1, 1);

	queue_close(queue);

	CU_ASSERT_FALSE(queue_drained(queue));
	CU_ASSERT_EQUAL(push(queue, "t", "p", 1, 2), 1);
	CU_ASSERT_EQUAL(push_qos(queue, 1, "t", "p", 1, 2), -1);
	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 1000000, 10, &message), 1);
	CU_ASSERT_EQUAL(message->receipt.packet_id, 1);
	CU_ASSERT_TRUE(queue_drained(queue));
	CU_ASSERT_EQUAL(queue_pop(queue, 1000000, 10, &message), 0);
	queue_destroy(queue);
}

static void test_pop_more(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	int held = 0;

	push(queue, "one", "1", 1, 1);
	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, 10, &message), 1);
	CU_ASSERT_EQUAL(queue_pop_more(queue, 0, 10, &message), 1);
	push(queue, "two", "2", 1, 2);
	push(queue, "three", "3", 1, 3);
	push(queue, "four", "4", 1, 4);
	CU_ASSERT_EQUAL_FATAL(queue_pop_more(queue, 1000000, 3, &message), 3);
	CU_ASSERT_STRING_EQUAL(message[0].payload, "1");
	CU_ASSERT_STRING_EQUAL(message[1].topic, "two");
	CU_ASSERT_STRING_EQUAL(message[2].payload, "3");
	CU_ASSERT_EQUAL(queue_pop_more(queue, 1000000, 3, &message), 3);
	/* As often as there is room in the ring there is none in the batch. */
	for (size_t before = 0, n = 3; n > before;
		n = queue_pop_more(queue, 0, SIZE_MAX, &message)) {
		before = n;
		while (push_qos(queue, 1, "t", "p", 1, 9) >= 0)
			held++;
	}
	CU_ASSERT_TRUE(held > 0);
	CU_ASSERT_STRING_EQUAL(message[0].payload, "1");
	CU_ASSERT_TRUE(queue_length(queue) > 0);
	CU_ASSERT_EQUAL_FATAL(queue_pop(queue, 0, 1, &message), 1);
	CU_ASSERT_STRING_EQUAL(message[0].topic, "t");
	queue_destroy(queue);
}

static void test_nudge(void)
{
	struct queue *queue = NULL;
	const struct message *message;

	CU_ASSERT_EQUAL_FATAL(queue_create(65536, &queue), STATUS_OK);
	queue_nudge(queue);
	int64_t began = time_monotonic_ns();
	CU_ASSERT_EQUAL(queue_pop(queue, 10000, 1, &message), 0);
	CU_ASSERT_TRUE(time_monotonic_ns() - began < INT64_C(5000000000));
	began = time_monotonic_ns();
	CU_ASSERT_EQUAL(queue_pop(queue, 20, 1, &message), 0); /* once is enough */
	CU_ASSERT_TRUE(time_monotonic_ns() - began >= 19000000);
	queue_destroy(queue);
}

static void test_time_out(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;

	int64_t from = time_monotonic_ns();
	CU_ASSERT_EQUAL(queue_pop(queue, 50, 10, &message), 0);
	int64_t waited = time_monotonic_ns() - from;

	CU_ASSERT(waited >= 50 * 1000000);
	CU_ASSERT_EQUAL(queue_pop(queue, -1, 10, &message), 0);
	queue_destroy(queue);
}

static void *close_it(void *context)
{
	queue_close(context);
	return NULL;
}

static void *push_one(void *context)
{
	push(context, "t", "p", 1, 1);
	return NULL;
}

/* The waits are far longer than the test may take: only a wake-up ends them. */
static void test_wake(void)
{
	struct queue *queue = queue_of(SMALLEST);
	const struct message *message;
	pthread_t thread;

	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, push_one, queue), 0);
	CU_ASSERT_EQUAL(queue_pop(queue, 100000, 10, &message), 1);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, close_it, queue), 0);
	CU_ASSERT_EQUAL(queue_pop(queue, 100000, 10, &message), 0);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(queue_drained(queue));
	queue_destroy(queue);
}

enum { PUSHERS = 4, PUSHES = 20000 };
struct pusher {
	pthread_t thread;
	struct queue *queue;
	int number;
	size_t dropped;
};

static pthread_mutex_t pushing = PTHREAD_MUTEX_INITIALIZER; /* one thread at a time may */

static void *push_many(void *context)
{
	struct pusher *pusher = context;
	char payload[256];

	for (int i = 0; i < PUSHES; i++) {
		int id = pusher->number * PUSHES + i;
		memset(payload, (char)id, sizeof(payload));
		pthread_mutex_lock(&pushing);
		pusher->dropped +=
			(size_t)push(pusher->queue, "a/b", payload, (size_t)(i % 256), id);
		pthread_mutex_unlock(&pushing);
	}
	return NULL;
}

/* Everything pushed is popped or counted as dropped, whole, and in the order of its pusher. */
static void test_threads(void)
{
	struct queue *queue = queue_of(SMALLEST);
	struct pusher pushers[PUSHERS];
	const struct message *message;
	int last[PUSHERS] = { -1, -1, -1, -1 };
	size_t popped = 0, dropped = 0, wrong = 0;
	for (int i = 0; i < PUSHERS; i++) {
		pushers[i] = (struct pusher){ .queue = queue, .number = i };
		CU_ASSERT_EQUAL_FATAL(
			pthread_create(&pushers[i].thread, NULL, push_many, &pushers[i]), 0);
	}

	for (bool closed = false; !queue_drained(queue);) {
		size_t n = queue_pop(queue, 10, 100, &message);
		for (size_t i = 0; i < n; i++) {
			int pusher = message[i].receipt.packet_id / PUSHES;
			wrong += !intact(&message[i]) ||
				message[i].receipt.packet_id <= last[pusher];
			last[pusher] = message[i].receipt.packet_id;
		}
		popped += n;
		if (n > 0 || closed)
			continue;
		for (int i = 0; i < PUSHERS; i++) {
			pthread_join(pushers[i].thread, NULL);
			dropped += pushers[i].dropped;
		}
		queue_close(queue);
		closed = true;
	}

	CU_ASSERT_EQUAL(wrong, 0);
	CU_ASSERT_EQUAL(popped + dropped, (size_t)PUSHERS * PUSHES);
	queue_destroy(queue);
}

static CU_TestInfo cases[] = {
	{ "a message comes out as it went in", test_round_trip },
	{ "overlong topics and payloads are cut and say so", test_cut },
	{ "a batch is at most as large as asked", test_batches },
	{ "messages survive the ring's end", test_wrap },
	{ "a full queue drops the oldest and counts them", test_drop_oldest },
	{ "one long message drops many short ones", test_drop_many },
	{ "a ring full of empty messages fits one batch", test_empty_messages },
	{ "QoS 1 without room is refused, never dropped", test_refuse },
	{ "a machine in a loop takes nobody's share", test_fair_shares },
	{ "shares are cut anywhere in the ring", test_cut_shares },
	{ "a backlog that is over gives its memory back", test_gives_back },
	{ "a closed queue gives what it holds and takes nothing", test_close },
	{ "waiting ends at the time-out", test_time_out },
	{ "waiting ends with a message, and with the end", test_wake },
	{ "a batch may grow", test_pop_more },
	{ "waiting ends with a nudge, once", test_nudge },
	{ "four threads push: each message is popped or counted", test_threads },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	queue_destroy(NULL);
	return unit_run("queue", cases);
}
