#include "agent/queue.h"
#include "common/hash.h"
#include "common/reading.h"
#include "common/timeutil.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	QUEUE_BYTES_MIN = 64 * 1024,
	RETAINED = 256 * 1024, /* bytes of the ring that keep their pages when it is empty: what the
				  broker's window of 1,000 readings fills */
};

/* Topics are told apart by a hash; two that meet are counted as one, and share a share. */
enum { SHARES = 4096 };

/* A record in the ring: a struct message whose pointers mean nothing yet, then the topic's and
 * the payload's bytes, without NULs. Records wrap around the ring's end byte by byte. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t pushed;
	char *ring; /* [size] */
	size_t size, head, used, count;
	size_t touched;         /* bytes of the ring from its front that may have pages */
	uint32_t share[SHARES]; /* bytes of QoS 0 in the ring by topic */
	size_t sharers;         /* topics that have any */
	size_t kept;            /* bytes of QoS 1: these are never dropped */
	size_t refused;
	bool closed;
	bool nudged; /* since the last queue_pop */

	/* The popping thread's own. Made at full size once, so that nothing is allocated later;
	 * pages that were never touched cost nothing. */
	char *batch;              /* [size + 2 * messages_max]: with NULs */
	struct message *messages; /* [messages_max] */
	size_t messages_max;
	size_t popped, popped_bytes; /* of both, since the last queue_pop */
};

static enum status init_locks(struct queue *queue)
{
	pthread_condattr_t attributes;

	if (pthread_condattr_init(&attributes) != 0)
		return STATUS_NO_MEMORY;
	/* Time-outs must not follow a clock that somebody sets. */
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	bool made = pthread_mutex_init(&queue->lock, NULL) == 0;
	if (made && pthread_cond_init(&queue->pushed, &attributes) != 0) {
		pthread_mutex_destroy(&queue->lock);
		made = false;
	}
	pthread_condattr_destroy(&attributes);
	return made ? STATUS_OK : STATUS_NO_MEMORY;
}

static void free_memory(struct queue *queue)
{
	free(queue->ring);
	free(queue->batch);
	free(queue->messages);
	free(queue);
}

static size_t batch_size(const struct queue *queue)
{
	return queue->size + 2 * queue->messages_max;
}

enum status queue_create(size_t bytes, struct queue **out)
{
	struct queue *queue = calloc(1, sizeof(*queue));
	if (!queue)
		return STATUS_NO_MEMORY;

	queue->size = bytes < QUEUE_BYTES_MIN ? QUEUE_BYTES_MIN : bytes;
	queue->messages_max = queue->size / sizeof(struct message);
	queue->ring = malloc(queue->size);
	queue->batch = malloc(batch_size(queue));
	queue->messages = malloc(queue->messages_max * sizeof(struct message));
	if (!queue->ring || !queue->batch || !queue->messages || init_locks(queue)) {
		free_memory(queue);
		return STATUS_NO_MEMORY;
	}
	*out = queue;
	return STATUS_OK;
}

void queue_destroy(struct queue *queue)
{
	if (!queue)
		return;
	pthread_cond_destroy(&queue->pushed);
	pthread_mutex_destroy(&queue->lock);
	free_memory(queue);
}

static size_t at_most(size_t n, size_t most)
{
	return n < most ? n : most;
}

static size_t record_size(const struct message *message)
{
	return sizeof(*message) + message->topic_len + message->len;
}

/* Writes behind what is there; the caller made room. */
static void put(struct queue *queue, const void *data, size_t len)
{
	if (len == 0)
		return; /* data may be NULL */
	size_t tail = (queue->head + queue->used) % queue->size;
	size_t first = at_most(len, queue->size - tail);

	memcpy(queue->ring + tail, data, first);
	memcpy(queue->ring, (const char *)data + first, len - first);
	queue->used += len;
	if (tail + len > queue->touched)
		queue->touched = at_most(tail + len, queue->size);
}

/* Reads `len` bytes that lie `offset` behind the head. */
static void peek(const struct queue *queue, size_t offset, void *out, size_t len)
{
	size_t from = (queue->head + offset) % queue->size;
	size_t first = at_most(len, queue->size - from);

	memcpy(out, queue->ring + from, first);
	memcpy((char *)out + first, queue->ring, len - first);
}

static unsigned share_of(const char *topic, size_t len)
{
	return hash_bytes(topic, len) % SHARES;
}

static void count_in(struct queue *queue, const struct message *message)
{
	size_t size = record_size(message);

	queue->count++;
	if (message->qos > 0) {
		queue->kept += size;
		return;
	}
	queue->sharers += queue->share[message->share] == 0;
	queue->share[message->share] += (uint32_t)size;
}

static void count_out(struct queue *queue, const struct message *message)
{
	size_t size = record_size(message);

	queue->count--;
	if (message->qos > 0) {
		queue->kept -= size;
		return;
	}
	queue->share[message->share] -= (uint32_t)size;
	queue->sharers -= queue->share[message->share] == 0;
}

static bool has_room(const struct queue *queue, size_t size)
{
	return queue->size - queue->used >= size;
}

/* Bytes of QoS 0 that a topic may fill when room is scarce, one more having come if `with`. */
static size_t fair_share(const struct queue *queue, size_t with)
{
	size_t sharers = queue->sharers + with;

	return sharers > 0 ? (queue->size - queue->kept) / sharers : queue->size;
}

static bool is_new(const struct queue *queue, const struct message *message)
{
	return message->qos == 0 && queue->share[message->share] == 0;
}

/* Room is scarce, others are there too, and this topic has had its share. One message is nobody too
 * many. */
static bool is_greedy(const struct queue *queue, const struct message *message)
{
	size_t size = record_size(message);

	return message->qos == 0 && !is_new(queue, message) && queue->sharers > 1 &&
		queue->used + size > queue->size / 4 * 3 &&
		queue->share[message->share] + size > fair_share(queue, 0);
}

/* A backlog that is over gives its memory back. */
static void give_back(struct queue *queue)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = ((uintptr_t)queue->ring + RETAINED + page - 1) / page * page;
	uintptr_t to = ((uintptr_t)queue->ring + queue->touched) / page * page;

	if (queue->touched <= RETAINED + RETAINED / 2 || from >= to)
		return;
	(void)madvise((void *)from, to - from, MADV_DONTNEED); /* they read as zeros again */
	queue->touched = RETAINED + page;
}

static void remove_oldest(struct queue *queue, const struct message *oldest)
{
	size_t size = record_size(oldest);

	count_out(queue, oldest);
	queue->used -= size;
	/* Empty, it begins at the front again: pages behind the longest backlog are never touched.
	 */
	queue->head = queue->count > 0 ? (queue->head + size) % queue->size : 0;
	if (queue->count == 0)
		give_back(queue);
}

/* Bytes within the ring, towards its head; both offsets count from there. */
static void move(struct queue *queue, size_t to, size_t from, size_t len)
{
	while (len > 0 && to != from) {
		size_t a = (queue->head + to) % queue->size;
		size_t b = (queue->head + from) % queue->size;
		size_t n = at_most(len, queue->size - (a > b ? a : b));

		memmove(queue->ring + a, queue->ring + b, n);
		to += n;
		from += n;
		len -= n;
	}
}

static bool any_above(const struct queue *queue, size_t share)
{
	for (size_t i = 0; i < SHARES; i++)
		if (queue->share[i] > share)
			return true;
	return false;
}

/* Topics that fill more than `fair` lose their oldest until they fill half of it, so that the
 * ring is gone through once for very many messages. How many went. */
static size_t trim(struct queue *queue, size_t fair)
{
	bool loud[SHARES];
	size_t dropped = 0, to = 0, used = queue->used;
	struct message message;

	for (size_t i = 0; i < SHARES; i++)
		loud[i] = queue->share[i] > fair;
	for (size_t from = 0, size; from < used; from += size) {
		peek(queue, from, &message, sizeof(message));
		size = record_size(&message);
		if (message.qos == 0 && loud[message.share] &&
			queue->share[message.share] > fair / 2) {
			count_out(queue, &message);
			dropped++;
			continue;
		}
		move(queue, to, from, size);
		to += size;
	}
	queue->used = to;
	return dropped;
}

/* Drops what may be dropped, while there is no room for the message: first of who has more than a
 * fair share, then the oldest, if it is of QoS 0. How many went. */
static size_t make_room(struct queue *queue, const struct message *message)
{
	size_t size = record_size(message), dropped = 0;
	size_t fair = fair_share(queue, is_new(queue, message));
	struct message oldest;

	if (!has_room(queue, size) && any_above(queue, fair))
		dropped = trim(queue, fair);
	while (!has_room(queue, size)) {
		peek(queue, 0, &oldest, sizeof(oldest));
		if (oldest.qos > 0)
			break;
		remove_oldest(queue, &oldest);
		dropped++;
	}
	return dropped;
}

/* As it is kept: cut to its limits, without pointers. */
static struct message to_keep(const struct message *message)
{
	struct message kept = *message;

	kept.topic_len = at_most(message->topic_len, QUEUE_TOPIC_MAX);
	kept.len = at_most(message->len, PAYLOAD_MAX);
	if (kept.full_len < message->len)
		kept.full_len = message->len;
	kept.topic = kept.payload = NULL;
	kept.share = share_of(message->topic, kept.topic_len);
	return kept;
}

bool queue_admit(struct queue *queue, const struct message *message, size_t *dropped)
{
	struct message kept = to_keep(message);

	pthread_mutex_lock(&queue->lock);
	*dropped = 0;
	if (!queue->closed && !is_greedy(queue, &kept))
		*dropped = make_room(queue, &kept);
	bool room = has_room(queue, record_size(&kept)) && !queue->closed;
	if (!room && kept.qos > 0)
		queue->refused++;
	pthread_mutex_unlock(&queue->lock);
	return room || kept.qos == 0;
}

bool queue_push(struct queue *queue, const struct message *message)
{
	struct message kept = to_keep(message);

	pthread_mutex_lock(&queue->lock);
	bool taken =
		!queue->closed && !is_greedy(queue, &kept) && has_room(queue, record_size(&kept));
	if (taken) {
		count_in(queue, &kept);
		put(queue, &kept, sizeof(kept));
		put(queue, message->topic, kept.topic_len);
		put(queue, message->payload, kept.len);
	}
	pthread_mutex_unlock(&queue->lock);
	return taken;
}

/* Not under the lock: who wakes would have to wait for it at once. */
void queue_wake(struct queue *queue)
{
	pthread_cond_signal(&queue->pushed);
}

static void wait_for_message(struct queue *queue, int timeout_ms)
{
	int64_t wait_ms = timeout_ms > 0 ? timeout_ms : 0;
	struct timespec deadline = time_spec(time_monotonic_ns() + wait_ms * 1000000);

	while (queue->count == 0 && !queue->closed && !queue->nudged)
		if (pthread_cond_timedwait(&queue->pushed, &queue->lock, &deadline) != 0)
			break; /* time is up */
	queue->nudged = false;
}

/* Moves the oldest record to the batch; false: there is no room for it. */
static bool take_oldest(struct queue *queue)
{
	struct message *out = &queue->messages[queue->popped];
	char *to = queue->batch + queue->popped_bytes;

	if (queue->popped == queue->messages_max)
		return false;
	peek(queue, 0, out, sizeof(*out));
	size_t bytes = out->topic_len + 1 + out->len + 1;
	if (queue->popped_bytes + bytes > batch_size(queue))
		return false;
	peek(queue, sizeof(*out), to, out->topic_len);
	out->topic = to;
	to[out->topic_len] = '\0';
	to += out->topic_len + 1;
	peek(queue, sizeof(*out) + out->topic_len, to, out->len);
	out->payload = to;
	to[out->len] = '\0';
	remove_oldest(queue, out);
	queue->popped++;
	queue->popped_bytes += bytes;
	return true;
}

size_t queue_pop(struct queue *queue, int timeout_ms, size_t max, const struct message **out)
{
	queue->popped = queue->popped_bytes = 0;
	return queue_pop_more(queue, timeout_ms, max, out);
}

size_t queue_pop_more(struct queue *queue, int timeout_ms, size_t max, const struct message **out)
{
	pthread_mutex_lock(&queue->lock);
	wait_for_message(queue, timeout_ms);
	while (queue->count > 0 && queue->popped < max && take_oldest(queue))
		;
	pthread_mutex_unlock(&queue->lock);
	if (queue->popped > 0)
		*out = queue->messages;
	return queue->popped;
}

size_t queue_take_refused(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	size_t refused = queue->count == 0 ? queue->refused : 0;
	queue->refused -= refused;
	pthread_mutex_unlock(&queue->lock);
	return refused;
}

void queue_nudge(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->nudged = true;
	pthread_cond_broadcast(&queue->pushed);
	pthread_mutex_unlock(&queue->lock);
}

void queue_close(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->closed = true;
	pthread_cond_broadcast(&queue->pushed);
	pthread_mutex_unlock(&queue->lock);
}

bool queue_closed(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool closed = queue->closed;
	pthread_mutex_unlock(&queue->lock);
	return closed;
}

bool queue_drained(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	bool drained = queue->closed && queue->count == 0;
	pthread_mutex_unlock(&queue->lock);
	return drained;
}

size_t queue_length(struct queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	size_t count = queue->count;
	pthread_mutex_unlock(&queue->lock);
	return count;
}
