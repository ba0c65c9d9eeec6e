/* An independent publisher for the fault tests: readings at QoS 1 over a plain socket (MQTT 3.1.1),
 * numbered by machine, with a ledger of its own. It keeps every message until its PUBACK, and sends
 * what is missing again after a reconnect, byte for byte. Knows nothing of Isolde's code.
 *
 *   flood ADDRESS COUNT [--machines N] [--rate R] [--window W] [--name PREFIX] [--first SEQ]
 *
 * ADDRESS is a port of 127.0.0.1 or the path of a unix-domain socket.
 * COUNT readings in all, 0: until SIGTERM; then it waits for what is on its way. Ten times a second
 * a line on stdout says how far it is: {"acknowledged":...}. The last line on stdout:
 * {"published":...,"acknowledged":...,"resent":...,"connects":...}. Exit code 1 if some were not
 * acknowledged within 60 s of the last one. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { WINDOW_MAX = 60000, PACKET_MAX = 400, OUT_SIZE = 1 << 18, PATIENCE_S = 60 };

static struct {
	int machines, window;
	double rate;
	uint64_t count, first;
	const char *address, *name;
} options = { .machines = 10, .window = 2000, .name = "flood" };

static volatile sig_atomic_t stopping;
static uint64_t published, acknowledged, resent, connects;
static uint64_t slot_number[WINDOW_MAX + 1]; /* by packet id: number + 1, 0: free */
static int64_t began_ms;

static void on_signal(int number)
{
	(void)number;
	stopping = 1;
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static unsigned char *put_text(unsigned char *at, const char *text, size_t len)
{
	*at++ = (unsigned char)(len >> 8);
	*at++ = (unsigned char)len;
	memcpy(at, text, len);
	return at + len;
}

/* Number n is machine n % machines, its reading n / machines; the same bytes each time. */
static size_t publish_packet(uint64_t n, int packet_id, bool again, unsigned char out[PACKET_MAX])
{
	char topic[96], payload[192];
	uint64_t seq = options.first + n / (uint64_t)options.machines;
	int topic_len = snprintf(topic, sizeof(topic), "factory/%s-%d/reading", options.name,
		(int)(n % (uint64_t)options.machines));
	int len = snprintf(payload, sizeof(payload),
		"{\"timestamp\":%lld,\"seq\":%llu,\"temperature\":%.2f,\"humidity\":%.2f,"
		"\"sound\":%.2f}",
		(long long)(began_ms + (int64_t)(n / (uint64_t)options.machines)),
		(unsigned long long)seq, 55 + (double)(n * 7 % 1000) / 100,
		30 + (double)(n * 3 % 1000) / 100, 70 + (double)(n * 11 % 1000) / 100);
	size_t rest = 2 + (size_t)topic_len + 2 + (size_t)len;
	unsigned char *at = out;

	*at++ = (unsigned char)(0x30 | 1 << 1 | (again ? 8 : 0));
	*at++ = (unsigned char)(rest % 128 | (rest > 127 ? 128 : 0));
	if (rest > 127)
		*at++ = (unsigned char)(rest / 128);
	at = put_text(at, topic, (size_t)topic_len);
	*at++ = (unsigned char)(packet_id >> 8);
	*at++ = (unsigned char)packet_id;
	memcpy(at, payload, (size_t)len);
	return (size_t)(at + len - out);
}

static bool send_all(int fd, const unsigned char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

/* -1: nobody listens there. */
static int connect_address(const char *address)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(address)) };
	const int on = 1;
	bool path = *address == '/';
	int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	snprintf(local.sun_path, sizeof(local.sun_path), "%s", address);
	if (connect(fd, path ? (struct sockaddr *)&local : (struct sockaddr *)&to,
		    path ? sizeof(local) : sizeof(to)) != 0) {
		close(fd);
		return -1;
	}
	if (!path)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* A persistent session, so that the broker too knows what it has. */
static int connect_broker(void)
{
	unsigned char packet[128], answer[4], *at = packet + 2;
	int fd = connect_address(options.address);

	if (fd < 0)
		return -1;
	at = put_text(at, "MQTT", 4);
	*at++ = 4;
	*at++ = 0;
	*at++ = 0;
	*at++ = 0;
	at = put_text(at, options.name, strlen(options.name));
	packet[0] = 0x10;
	packet[1] = (unsigned char)(at - packet - 2);
	struct timeval patience = { .tv_sec = 5 };
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (!send_all(fd, packet, (size_t)(at - packet)) || recv(fd, answer, 4, MSG_WAITALL) != 4 ||
		answer[0] != 0x20 || answer[3] != 0)
		goto failed;
	connects++;
	return fd;
failed:
	close(fd);
	return -1;
}

/* Everything that is on its way, again. */
static bool send_missing(int fd)
{
	unsigned char packet[PACKET_MAX];

	for (int id = 1; id <= options.window; id++) {
		if (slot_number[id] == 0)
			continue;
		size_t len = publish_packet(slot_number[id] - 1, id, true, packet);
		if (!send_all(fd, packet, len))
			return false;
		resent++;
	}
	return true;
}

static unsigned char in[65536];
static size_t in_len;

/* PUBACKs that have come; false if the connection is gone. */
static bool read_answers(int fd, int wait_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	if (poll(&poll_fd, 1, wait_ms) <= 0)
		return true;
	ssize_t n = recv(fd, in + in_len, sizeof(in) - in_len, MSG_DONTWAIT);
	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	in_len += (size_t)n;
	size_t at = 0;
	for (; in_len - at >= 4; at += 4) {
		int id = in[at + 2] << 8 | in[at + 3];
		if (in[at] != 0x40 || in[at + 1] != 2)
			return false;
		if (id <= options.window && slot_number[id]) {
			slot_number[id] = 0;
			acknowledged++;
		}
	}
	memmove(in, in + at, in_len - at);
	in_len -= at;
	return true;
}

static int free_id(void)
{
	static int last;

	for (int i = 0; i < options.window; i++) {
		last = last % options.window + 1;
		if (slot_number[last] == 0)
			return last;
	}
	return 0;
}

/* What may be sent now; false if the connection is gone. */
static bool send_new(int fd, int64_t started_ns)
{
	static unsigned char out[OUT_SIZE];
	size_t len = 0;

	while (!stopping && (options.count == 0 || published < options.count)) {
		if (options.rate > 0 &&
			(double)published >= options.rate * (double)(now_ns() - started_ns) * 1e-9)
			break;
		int id = published - acknowledged < (uint64_t)options.window ? free_id() : 0;
		if (id == 0 || len > OUT_SIZE - PACKET_MAX)
			break;
		len += publish_packet(published, id, false, out + len);
		slot_number[id] = ++published;
	}
	return len == 0 || send_all(fd, out, len);
}

static bool done(void)
{
	return (stopping || (options.count > 0 && published == options.count)) &&
		acknowledged == published;
}

static void tell(void)
{
	static int64_t told_ns;
	int64_t now = now_ns();

	if (now - told_ns < 100000000)
		return;
	told_ns = now;
	printf("{\"acknowledged\":%llu}\n", (unsigned long long)acknowledged);
	fflush(stdout);
}

static void run(void)
{
	int64_t started_ns = now_ns(), end_ns = 0;
	int fd = -1;

	while (!done()) {
		tell();
		bool all_sent = stopping || (options.count > 0 && published == options.count);
		if (all_sent && end_ns == 0)
			end_ns = now_ns() + PATIENCE_S * INT64_C(1000000000);
		if (end_ns && now_ns() > end_ns)
			return;
		if (fd < 0) {
			struct timespec pause = { .tv_nsec = 20000000 };
			in_len = 0;
			fd = connect_broker();
			if (fd < 0)
				nanosleep(&pause, NULL);
			else if (!send_missing(fd)) {
				close(fd);
				fd = -1;
			}
			continue;
		}
		if (!send_new(fd, started_ns) || !read_answers(fd, options.rate > 0 ? 1 : 10)) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0) {
		const unsigned char goodbye[2] = { 0xe0, 0 };
		(void)send_all(fd, goodbye, 2); /* a closed socket says the same */
		close(fd);
	}
}

static bool take_option(const char *name, const char *value)
{
	if (strcmp(name, "--machines") == 0)
		options.machines = atoi(value);
	else if (strcmp(name, "--rate") == 0)
		options.rate = atof(value);
	else if (strcmp(name, "--window") == 0)
		options.window = atoi(value);
	else if (strcmp(name, "--name") == 0)
		options.name = value;
	else if (strcmp(name, "--first") == 0)
		options.first = strtoull(value, NULL, 10);
	else
		return false;
	return options.machines > 0 && options.window > 0 && options.window <= WINDOW_MAX;
}

int main(int argc, char **argv)
{
	struct timespec now;

	if (argc < 3)
		return 64;
	options.address = argv[1];
	options.count = strtoull(argv[2], NULL, 10);
	for (int i = 3; i + 1 < argc; i += 2) {
		if (!take_option(argv[i], argv[i + 1]))
			return 64;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	began_ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	run();
	printf("{\"published\":%llu,\"acknowledged\":%llu,\"resent\":%llu,\"connects\":%llu}\n",
		(unsigned long long)published, (unsigned long long)acknowledged,
		(unsigned long long)resent, (unsigned long long)connects);
	return acknowledged == published ? 0 : 1;
}
