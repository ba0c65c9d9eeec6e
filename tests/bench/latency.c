/* How long a reading takes from its sender to who waits for its verdict. Publishes at QoS 1 at a
 * steady rate over a plain socket (MQTT 3.1.1), listens on another, and knows each by its seq. With
 * the readings' own topic to listen to, under a prefix that no agent hears, it measures the path
 * without one. Knows nothing of Isolde's code.
 *
 *   latency ADDRESS RATE COUNT PREFIX FILTER
 *
 * ADDRESS is a port of 127.0.0.1 or the path of a unix-domain socket.
 *
 * Prints {"p50_us":...,"p99_us":...,"max_us":...,"missing":...}. What does not come within 10 s of
 * the last one is missing. */
#include "tests/bench/net.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

enum { MACHINES = 20, COUNT_MAX = 1000000, PATIENCE_S = 10 };

static int64_t sent_ns[COUNT_MAX], took_ns[COUNT_MAX];
static struct net_stream subscriber;
static long count, arrived;
static const char *prefix;

static void publish(int fd, long i)
{
	unsigned char packet[512];
	char topic[64], payload[256];

	snprintf(topic, sizeof(topic), "%.40s/latency-%ld/reading", prefix, i % MACHINES);
	struct timespec wall;
	clock_gettime(CLOCK_REALTIME, &wall);
	sent_ns[i] = net_now_ns();
	int len = snprintf(payload, sizeof(payload),
		"{\"timestamp\":%lld,\"seq\":%ld,\"temperature\":%ld.5,\"humidity\":35.25,"
		"\"sound\":75.5}",
		(long long)wall.tv_sec * 1000 + wall.tv_nsec / 1000000, i, 50 + i % 20);
	size_t n = net_begin_packet(packet, 0x32, 2 + strlen(topic) + 2 + (size_t)len);
	n += net_put_text(packet + n, topic);
	packet[n++] = (unsigned char)((i % 65535 + 1) >> 8);
	packet[n++] = (unsigned char)(i % 65535 + 1);
	memcpy(packet + n, payload, (size_t)len);
	net_send(fd, packet, n + (size_t)len);
}

static void note(void *context, unsigned char first, unsigned char *body, size_t len)
{
	(void)context;
	static const char name[] = "\"seq\":";
	unsigned char *found = memmem(body, len, name, sizeof(name) - 1);
	long i = found ? strtol((char *)found + sizeof(name) - 1, NULL, 10) : -1;

	if (first >> 4 != 3 || i < 0 || i >= count || sent_ns[i] == 0 || took_ns[i] != 0)
		return;
	took_ns[i] = net_now_ns() - sent_ns[i];
	arrived++;
}

static void wait_until(int publisher, int64_t until_ns)
{
	struct pollfd fds[] = { { .fd = publisher, .events = POLLIN },
		{ .fd = subscriber.fd, .events = POLLIN } };
	static char acknowledgements[65536];

	for (int64_t left; (left = until_ns - net_now_ns()) > 0;) {
		struct timespec t = { left / 1000000000, left % 1000000000 };
		if (ppoll(fds, 2, &t, NULL) <= 0)
			return;
		if (fds[0].revents &&
			recv(publisher, acknowledgements, sizeof(acknowledgements), 0) <= 0)
			net_die("publisher");
		if (fds[1].revents)
			net_read(&subscriber, note, NULL);
		if (arrived == count)
			return;
	}
}

int main(int argc, char **argv)
{
	if (argc != 6 || (count = atol(argv[3])) < 1 || count > COUNT_MAX || atof(argv[2]) <= 0)
		return 64;
	prefix = argv[4];
	int64_t step_ns = (int64_t)(1e9 / atof(argv[2]));
	int publisher = net_connect_mqtt(argv[1], "latency-publisher", true);
	subscriber.fd = net_connect_mqtt(argv[1], "latency-subscriber", true);
	net_subscribe(subscriber.fd, argv[5], 0);
	prctl(PR_SET_TIMERSLACK, 1000UL); /* the default's 50 us are half of what is measured */
	int64_t began_ns = net_now_ns();
	for (long i = 0; i < count; i++) {
		wait_until(publisher, began_ns + i * step_ns);
		publish(publisher, i);
	}
	for (int64_t end_ns = net_now_ns() + PATIENCE_S * INT64_C(1000000000);
		arrived < count && net_now_ns() < end_ns;)
		wait_until(publisher, end_ns);
	size_t missing = (size_t)(count - arrived), heard = (size_t)arrived;
	net_sort(took_ns, (size_t)count); /* the missing ones are 0 */
	if (arrived == 0)
		return 1;
	printf("{\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"missing\":%zu}\n",
		net_quantile_us(took_ns + missing, heard, 0.5),
		net_quantile_us(took_ns + missing, heard, 0.99),
		net_quantile_us(took_ns + missing, heard, 1), missing);
	return 0;
}
