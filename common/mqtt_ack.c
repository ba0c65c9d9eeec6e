/* Acknowledging after the commit, and QoS-0 publishes in one write.
 *
 * Paho's asynchronous client (1.3.12) sends the PUBACK of a QoS-1 message by itself when
 * messageArrived has returned, whatever it returned, and has no call to acknowledge by hand
 * (eclipse-paho/paho.mqtt.c issue 522). A message that waits in our memory for its commit would
 * be lost with the process: the broker has forgotten it. So the build wraps the one function that
 * writes a PUBACK (-Wl,--wrap=MQTTPacket_send_puback, which only a static Paho allows;
 * cmake/libraries.cmake checks that the symbol is there). What Paho wants to send is dropped
 * here, and what we send after the commit goes through the function at the bottom of Paho's own
 * write path, with its TLS and its queue of partial writes: a whole batch's PUBACKs in one write,
 * where Paho's send_puback would make one each.
 *
 * The rules that make it safe:
 *  - Paho's receive thread calls messageArrived and then the wrapper for the same message, with
 *    the process-wide mqttasync_mutex held throughout. We take the same mutex to send, so that our
 *    PUBACK can't be interleaved with another packet, nor overtake the wrapper.
 *  - A packet id means something on one connection only. The generation grows whenever the
 *    connection comes up or goes down; an acknowledgement of an older one is dropped (written to
 *    a socket that is just being connected it would break the protocol), and the broker delivers
 *    that message again (DUP set), to be recognised by its identity in the store.
 *  - Paho refuses to write behind a write that is not finished (its socket was full, as happens
 *    when many verdicts go out). What could not be sent waits here for the next call; lost, it
 *    would shrink the broker's window for as long as the connection lives.
 *  - The broker stops sending at max_inflight_messages unacknowledged ones. That window is our
 *    back-pressure: nothing here blocks.
 *  - PUBACKs leave in the order in which the messages came (MQTT 3.1.1, 4.6).
 *
 * The same way serves publishes of QoS 0, of which Paho need not know: it would take a copy, a
 * command, a wake-up of its thread and a write for each, half of what a verdict costs us, where
 * many go in one write here. Until the first PUBACK of a connection is withheld we don't know how
 * to write to it, and Paho publishes.
 *
 * Clients are told apart by their id: the wrapper is called for every client in the process, and
 * only those registered here are withheld. */
#include "common/mqtt_ack.h"
#include "common/failpoint.h"
#include "common/timeutil.h"
#include <MQTTAsync.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Paho's, not in its public headers; the first parameter of send_puback is the MQTT version, the
 * third its networkHandles, which begin with the socket. */
int __real_MQTTPacket_send_puback(int version, int packet_id, void *net, const char *client_id);
int __wrap_MQTTPacket_send_puback(int version, int packet_id, void *net, const char *client_id);
extern pthread_mutex_t *mqttasync_mutex;
int MQTTAsync_lock_mutex(pthread_mutex_t *mutex);
int MQTTAsync_unlock_mutex(pthread_mutex_t *mutex);

/* Paho's PacketBuffers: what follows the first buffer. */
struct paho_buffers {
	int count;
	char **buffers;
	size_t *lengths;
	int *frees;
	uint8_t mask[4];
};

/* Writes a buffer of Paho's heap, and what follows it. If it comes back with PAHO_INTERRUPTED the
 * buffer is Paho's, else still the caller's. */
int WebSocket_putdatas(void *net, char **first, size_t *length, struct paho_buffers *others);

/* 1 if nothing that was written before still waits for room in the socket. */
int Socket_noPendingWrites(int socket);

enum {
	PAHO_OK = 0,            /* TCPSOCKET_COMPLETE */
	PAHO_INTERRUPTED = -22, /* TCPSOCKET_INTERRUPTED: taken, Paho writes the rest later */
};

enum {
	PUBACK_SIZE = 4,   /* MQTT 3.1.1, 3.4 */
	PUBACKS_MAX = 1024 /* in one write */
};

struct mqtt_ack {
	char *client_id;
	_Atomic uint32_t generation;
	/* Under Paho's lock: how the current connection is written to; NULL before the first
	 * PUBACK. */
	void *net;
	_Atomic uint32_t net_generation;
	pthread_mutex_t lock; /* of what follows; taken before Paho's */
	/* What the socket had no room for. */
	struct mqtt_receipt *receipt; /* [room] */
	size_t waiting, room;
	int64_t moved_ns; /* monotonic: when one last went, or the first began to wait */
	/* Publishes that have not been written yet, of Paho's heap. */
	char *packets; /* [packets_room] */
	size_t packets_len, packets_room;
	uint32_t packets_generation; /* of the connection they are for */
	int64_t packets_ns;          /* monotonic: since when the first of them waits */
	struct mqtt_ack *next;
};

/* The registered clients; changed and read under this lock. */
static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct mqtt_ack *registry;

static struct mqtt_ack *find(const char *client_id)
{
	struct mqtt_ack *ack;

	pthread_mutex_lock(&registry_lock);
	for (ack = registry; ack; ack = ack->next) {
		if (strcmp(ack->client_id, client_id) == 0)
			break;
	}
	pthread_mutex_unlock(&registry_lock);
	return ack;
}

int __wrap_MQTTPacket_send_puback(int version, int packet_id, void *net, const char *client_id)
{
	struct mqtt_ack *ack = find(client_id);

	if (!ack)
		return __real_MQTTPacket_send_puback(version, packet_id, net, client_id);
	ack->net = net;
	atomic_store(&ack->net_generation, atomic_load(&ack->generation));
	return PAHO_OK;
}

struct mqtt_ack *mqtt_ack_create(const char *client_id)
{
	struct mqtt_ack *ack = calloc(1, sizeof(*ack));

	if (!ack || !(ack->client_id = strdup(client_id))) {
		free(ack);
		return NULL;
	}
	pthread_mutex_init(&ack->lock, NULL);
	pthread_mutex_lock(&registry_lock);
	ack->next = registry;
	registry = ack;
	pthread_mutex_unlock(&registry_lock);
	return ack;
}

void mqtt_ack_destroy(struct mqtt_ack *ack)
{
	if (!ack)
		return;
	pthread_mutex_lock(&registry_lock);
	for (struct mqtt_ack **link = &registry; *link; link = &(*link)->next) {
		if (*link == ack) {
			*link = ack->next;
			break;
		}
	}
	pthread_mutex_unlock(&registry_lock);
	pthread_mutex_destroy(&ack->lock);
	if (ack->packets)
		MQTTAsync_free(ack->packets);
	free(ack->receipt);
	free(ack->client_id);
	free(ack);
}

void mqtt_ack_void(struct mqtt_ack *ack)
{
	atomic_fetch_add(&ack->generation, 1);
}

uint32_t mqtt_ack_generation(const struct mqtt_ack *ack)
{
	return atomic_load(&ack->generation);
}

/* Remembers receipts behind those that wait already; without memory they are forgotten, and their
 * messages come again with the next connection. */
static void keep(struct mqtt_ack *ack, const struct mqtt_receipt *receipts, size_t n)
{
	if (ack->waiting + n > ack->room) {
		size_t room = ack->room ? ack->room : 1024;
		while (room < ack->waiting + n)
			room *= 2;
		struct mqtt_receipt *larger = realloc(ack->receipt, room * sizeof(*larger));
		if (!larger)
			return;
		ack->receipt = larger;
		ack->room = room;
	}
	if (n > 0)
		memcpy(ack->receipt + ack->waiting, receipts, n * sizeof(*receipts));
	ack->waiting += n;
}

/* What Paho is to write: its own from there on, unless it refuses. */
static int write_packets(struct mqtt_ack *ack, char *packets, size_t length)
{
	struct paho_buffers none = { .count = 0 };
	int rc = WebSocket_putdatas(ack->net, &packets, &length, &none);

	if (rc != PAHO_INTERRUPTED)
		MQTTAsync_free(packets);
	return rc == PAHO_OK || rc == PAHO_INTERRUPTED ? PAHO_OK : rc;
}

/* Under Paho's lock: the next PUBACKS_MAX of what waits; how many are done with, 0 if the socket
 * or the memory has no room. Those of a connection that is gone are passed over. */
static size_t send_some(struct mqtt_ack *ack, const struct mqtt_receipt *receipts, size_t n)
{
	uint32_t now = atomic_load(&ack->generation);
	bool live = ack->net && atomic_load(&ack->net_generation) == now;
	size_t length = 0;

	n = n < PUBACKS_MAX ? n : PUBACKS_MAX;
	if (live && !Socket_noPendingWrites(*(const int *)ack->net))
		return 0;
	/* From Paho's heap, because Paho frees it when it could not be written at once. */
	char *packets = MQTTAsync_malloc(PUBACKS_MAX * (size_t)PUBACK_SIZE);
	if (!packets)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!live || receipts[i].generation != now)
			continue;
		packets[length++] = 0x40;
		packets[length++] = 2;
		packets[length++] = (char)(receipts[i].packet_id >> 8);
		packets[length++] = (char)receipts[i].packet_id;
	}
	if (length == 0) {
		MQTTAsync_free(packets);
		return n;
	}
	/* Refused: the connection is breaking; its end will void them. */
	return write_packets(ack, packets, length) == PAHO_OK ? n : 0;
}

/* Under Paho's lock: sends in order until the socket is full; how many are done with. */
static size_t send_waiting(struct mqtt_ack *ack)
{
	size_t done = 0;

	while (done < ack->waiting) {
		size_t n = send_some(ack, ack->receipt + done, ack->waiting - done);
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

static void send_locked(struct mqtt_ack *ack, const struct mqtt_receipt *receipts, size_t n)
{
	if (ack->waiting == 0)
		ack->moved_ns = time_monotonic_ns();
	keep(ack, receipts, n);
	if (ack->waiting == 0)
		return;
	FAILPOINT(before_puback);
	MQTTAsync_lock_mutex(mqttasync_mutex);
	size_t done = send_waiting(ack);
	MQTTAsync_unlock_mutex(mqttasync_mutex);
	FAILPOINT(after_puback);
	if (done > 0)
		ack->moved_ns = time_monotonic_ns();
	ack->waiting -= done;
	memmove(ack->receipt, ack->receipt + done, ack->waiting * sizeof(*ack->receipt));
}

void mqtt_ack_send(struct mqtt_ack *ack, const struct mqtt_receipt *receipts, size_t n)
{
	pthread_mutex_lock(&ack->lock);
	send_locked(ack, receipts, n);
	pthread_mutex_unlock(&ack->lock);
}

/* ---- publishes of QoS 0 ---- */

enum {
	WRITE_SIZE = 16384,      /* written when so much is together */
	PACKETS_MAX = 4 << 20,   /* that wait for room in the socket */
	PACKET_HEAD_MAX = 1 + 4, /* MQTT 3.1.1, 2.2 */
};

static bool make_room(struct mqtt_ack *ack, size_t more)
{
	size_t room = ack->packets_room && ack->packets ? ack->packets_room : 2 * WRITE_SIZE;

	while (room < ack->packets_len + more)
		room *= 2;
	if (ack->packets && room == ack->packets_room)
		return true;
	char *larger = MQTTAsync_malloc(room);
	if (!larger)
		return false;
	if (ack->packets) {
		memcpy(larger, ack->packets, ack->packets_len);
		MQTTAsync_free(ack->packets);
	}
	ack->packets = larger;
	ack->packets_room = room;
	return true;
}

static void add_packet(
	struct mqtt_ack *ack, const char *topic, size_t topic_len, const void *payload, size_t len)
{
	char *to = ack->packets + ack->packets_len;
	size_t remaining = 2 + topic_len + len;

	*to++ = 0x30;
	do {
		*to++ = (char)(remaining % 128 | (remaining >= 128 ? 0x80 : 0));
		remaining /= 128;
	} while (remaining > 0);
	*to++ = (char)(topic_len >> 8);
	*to++ = (char)topic_len;
	memcpy(to, topic, topic_len);
	to += topic_len;
	if (len > 0)
		memcpy(to, payload, len);
	ack->packets_len = (size_t)(to + len - ack->packets);
}

/* A backlog's memory is given back. */
static void packets_done(struct mqtt_ack *ack, bool taken)
{
	if (!taken && ack->packets_room > 2 * WRITE_SIZE)
		MQTTAsync_free(ack->packets);
	if (taken || ack->packets_room > 2 * WRITE_SIZE)
		ack->packets = NULL;
	ack->packets_len = 0;
}

/* Under ack->lock. What belongs to a connection that is gone is lost with it, as QoS 0 may be. */
static void flush_locked(struct mqtt_ack *ack)
{
	struct paho_buffers none = { .count = 0 };

	if (ack->packets_len == 0)
		return;
	MQTTAsync_lock_mutex(mqttasync_mutex);
	uint32_t now = atomic_load(&ack->generation);
	bool live = ack->net && atomic_load(&ack->net_generation) == now &&
		ack->packets_generation == now;
	if (!live) {
		packets_done(ack, false);
	} else if (Socket_noPendingWrites(*(const int *)ack->net)) {
		int rc = WebSocket_putdatas(ack->net, &ack->packets, &ack->packets_len, &none);
		packets_done(ack, rc == PAHO_INTERRUPTED);
	}
	MQTTAsync_unlock_mutex(mqttasync_mutex);
}

enum status mqtt_ack_publish(
	struct mqtt_ack *ack, const char *topic, const void *payload, size_t len)
{
	size_t topic_len = strlen(topic), more = PACKET_HEAD_MAX + 2 + topic_len + len;
	enum status st = STATUS_OK;

	if (topic_len > UINT16_MAX || more > PACKETS_MAX)
		return STATUS_NOT_FOUND;
	pthread_mutex_lock(&ack->lock);
	uint32_t now = atomic_load(&ack->generation);
	if (ack->packets_len > 0 && ack->packets_generation != now)
		packets_done(ack, false);
	if (atomic_load(&ack->net_generation) != now) {
		st = STATUS_NOT_FOUND;
	} else if (ack->packets_len + more > PACKETS_MAX || !make_room(ack, more)) {
		st = STATUS_FULL;
	} else {
		if (ack->packets_len == 0)
			ack->packets_ns = time_monotonic_ns();
		ack->packets_generation = now;
		add_packet(ack, topic, topic_len, payload, len);
	}
	if (ack->packets_len >= WRITE_SIZE)
		flush_locked(ack);
	pthread_mutex_unlock(&ack->lock);
	return st;
}

void mqtt_ack_flush(struct mqtt_ack *ack)
{
	pthread_mutex_lock(&ack->lock);
	flush_locked(ack);
	pthread_mutex_unlock(&ack->lock);
}

bool mqtt_ack_stalled_since(struct mqtt_ack *ack, int64_t ns)
{
	pthread_mutex_lock(&ack->lock);
	bool stalled = (ack->waiting > 0 && ack->moved_ns < ns) ||
		(ack->packets_len > 0 && ack->packets_ns < ns);
	pthread_mutex_unlock(&ack->lock);
	return stalled;
}

void mqtt_ack_break(struct mqtt_ack *ack)
{
	MQTTAsync_lock_mutex(mqttasync_mutex);
	if (ack->net && atomic_load(&ack->net_generation) == atomic_load(&ack->generation))
		(void)shutdown(*(const int *)ack->net, SHUT_RDWR); /* else there is none */
	MQTTAsync_unlock_mutex(mqttasync_mutex);
}
