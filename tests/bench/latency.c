/* How long a reading takes from its sender to who waits for its verdict. Publishes at QoS 1 at a
 * steady rate over a plain socket (MQTT 3.1.1), listens on another, and knows each by its seq. With
 * the readings' own topic to listen to, under a prefix that no agent hears, it measures the path
 * without one. Knows nothing of Isolde's code.
 *
 *   latency PORT RATE COUNT PREFIX FILTER
 *
 * Prints {"p50_us":...,"p99_us":...,"max_us":...,"missing":...}. What does not come within 10 s of
 * the last one is missing. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MACHINES = 20, COUNT_MAX = 1000000, IN_SIZE = 1 << 20, PATIENCE_S = 10 };

static int64_t sent_ns[COUNT_MAX], took_ns[COUNT_MAX];
static unsigned char in[IN_SIZE];
static size_t held;
static long count, arrived;
static const char *prefix;

static int64_t clock_ns(clockid_t which)
{
	struct timespec t;
	clock_gettime(which, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static void die(const char *what)
{
	perror(what);
	exit(69);
}

static void send_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			die("send");
		at += n;
		len -= (size_t)n;
	}
}

/* A packet of less than 16 KB: its type, its length in two bytes, its parts. */
static size_t begin_packet(unsigned char *out, unsigned char type, size_t len)
{
	out[0] = type;
	out[1] = (unsigned char)(len % 128 | 0x80);
	out[2] = (unsigned char)(len / 128);
	return 3;
}

static size_t put_text(unsigned char *out, const char *text)
{
	size_t len = strlen(text);

	out[0] = (unsigned char)(len >> 8);
	out[1] = (unsigned char)len;
	for (size_t i = 0; i < len; i++)
		out[2 + i] = (unsigned char)text[i];
	return len + 2;
}

static void read_exactly(int fd, void *out, size_t len)
{
	if (recv(fd, out, len, MSG_WAITALL) != (ssize_t)len)
		die("recv");
}

static int connect_as(int port, const char *id)
{
	static const unsigned char head[] = { 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0 };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	unsigned char packet[128], answer[4];
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	size_t n = begin_packet(packet, 0x10, sizeof(head) + 2 + strlen(id));
	memcpy(packet + n, head, sizeof(head));
	n += sizeof(head);
	n += put_text(packet + n, id);
	send_all(fd, packet, n);
	read_exactly(fd, answer, sizeof(answer));
	return fd;
}

static void subscribe(int fd, const char *filter)
{
	unsigned char packet[256], answer[5];
	size_t n = begin_packet(packet, 0x82, 2 + 2 + strlen(filter) + 1);

	packet[n++] = 0;
	packet[n++] = 1;
	n += put_text(packet + n, filter);
	packet[n++] = 0;
	send_all(fd, packet, n);
	read_exactly(fd, answer, sizeof(answer));
}

static void publish(int fd, long i)
{
	unsigned char packet[512];
	char topic[64], payload[256];

	snprintf(topic, sizeof(topic), "%.40s/latency-%ld/reading", prefix, i % MACHINES);
	sent_ns[i] = now_ns();
	int len = snprintf(payload, sizeof(payload),
		"{\"timestamp\":%lld,\"seq\":%ld,\"temperature\":%ld.5,\"humidity\":35.25,"
		"\"sound\":75.5}",
		(long long)(clock_ns(CLOCK_REALTIME) / 1000000), i, 50 + i % 20);
	size_t n = begin_packet(packet, 0x32, 2 + strlen(topic) + 2 + (size_t)len);
	n += put_text(packet + n, topic);
	packet[n++] = (unsigned char)((i % 65535 + 1) >> 8);
	packet[n++] = (unsigned char)(i % 65535 + 1);
	memcpy(packet + n, payload, (size_t)len);
	send_all(fd, packet, n + (size_t)len);
}

static void note(unsigned char *body, size_t len)
{
	static const char name[] = "\"seq\":";
	unsigned char *found = memmem(body, len, name, sizeof(name) - 1);
	long i = found ? strtol((char *)found + sizeof(name) - 1, NULL, 10) : -1;

	if (i < 0 || i >= count || sent_ns[i] == 0 || took_ns[i] != 0)
		return;
	took_ns[i] = now_ns() - sent_ns[i];
	arrived++;
}

/* Whole packets from the front of what was read. */
static void take_packets(void)
{
	size_t at = 0;

	for (;;) {
		size_t len = 0, head = 1;
		unsigned shift = 0;
		while (at + head < held && head < 5) {
			len |= (size_t)(in[at + head] & 0x7f) << shift;
			shift += 7;
			if (!(in[at + head++] & 0x80))
				break;
		}
		if (head == 1 || at + head + len > held || (in[at + head - 1] & 0x80))
			break;
		if (in[at] >> 4 == 3)
			note(in + at + head, len);
		at += head + len;
	}
	held -= at;
	memmove(in, in + at, held);
}

static void wait_until(int publisher, int subscriber, int64_t until_ns)
{
	struct pollfd fds[] = { { .fd = publisher, .events = POLLIN },
		{ .fd = subscriber, .events = POLLIN } };
	static char acknowledgements[65536];

	for (int64_t left; (left = until_ns - now_ns()) > 0;) {
		struct timespec t = { left / 1000000000, left % 1000000000 };
		if (ppoll(fds, 2, &t, NULL) <= 0)
			return;
		if (fds[0].revents &&
			recv(publisher, acknowledgements, sizeof(acknowledgements), 0) <= 0)
			die("publisher");
		if (!fds[1].revents)
			continue;
		ssize_t n = recv(subscriber, in + held, IN_SIZE - held - 1, 0);
		if (n <= 0)
			die("subscriber");
		held += (size_t)n;
		take_packets();
		if (arrived == count)
			return;
	}
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static double microseconds(long i)
{
	return (double)took_ns[i] / 1e3;
}

int main(int argc, char **argv)
{
	if (argc != 6 || (count = atol(argv[3])) < 1 || count > COUNT_MAX || atof(argv[2]) <= 0)
		return 64;
	prefix = argv[4];
	int64_t step_ns = (int64_t)(1e9 / atof(argv[2]));
	int publisher = connect_as(atoi(argv[1]), "latency-publisher");
	int subscriber = connect_as(atoi(argv[1]), "latency-subscriber");
	subscribe(subscriber, argv[5]);
	prctl(PR_SET_TIMERSLACK, 1000UL); /* the default's 50 us are half of what is measured */
	int64_t began_ns = now_ns();
	for (long i = 0; i < count; i++) {
		wait_until(publisher, subscriber, began_ns + i * step_ns);
		publish(publisher, i);
	}
	for (int64_t end_ns = now_ns() + PATIENCE_S * INT64_C(1000000000);
		arrived < count && now_ns() < end_ns;)
		wait_until(publisher, subscriber, end_ns);
	long missing = count - arrived;
	qsort(took_ns, (size_t)count, sizeof(*took_ns), ascending); /* the missing ones are 0 */
	if (arrived == 0)
		return 1;
	printf("{\"p50_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"missing\":%ld}\n",
		microseconds(missing + arrived / 2), microseconds(missing + arrived * 99 / 100),
		microseconds(count - 1), missing);
	return 0;
}
