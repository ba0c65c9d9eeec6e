/* Linked like every program: its own recv, poll and close are the wrapped ones. */
#include "common/mqtt_ahead.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int written = 1;

static int all_written(int fd)
{
	(void)fd;
	return written;
}

/* ours, theirs */
static void make_pair(int fd[2], int flags)
{
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | flags, 0, fd), 0);
	mqtt_ahead_add(fd[0], all_written);
	written = 1;
}

static void close_pair(const int fd[2])
{
	close(fd[0]);
	close(fd[1]);
}

static void send_text(int fd, const char *text)
{
	CU_ASSERT_EQUAL(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static int left_in_kernel(int fd)
{
	int n = -1;

	CU_ASSERT_EQUAL(ioctl(fd, FIONREAD, &n), 0);
	return n;
}

/* As Paho asks; the events come back as they were. */
static int ask(int fd, short events, int timeout_ms)
{
	struct pollfd one = { .fd = fd, .events = events };
	int ready = poll(&one, 1, timeout_ms);

	CU_ASSERT_EQUAL(one.events, events);
	return ready > 0 ? one.revents : 0;
}

static int may_write(int fd)
{
	return ask(fd, POLLOUT, 0);
}

static int may_read(int fd, int timeout_ms)
{
	return ask(fd, POLLIN | POLLNVAL, timeout_ms);
}

static void test_many_at_once(void)
{
	int fd[2];
	char got[16] = "";

	make_pair(fd, SOCK_NONBLOCK);
	send_text(fd[1], "one two three");
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	CU_ASSERT_EQUAL(may_read(fd[0], 0), POLLIN);
	CU_ASSERT_EQUAL(recv(fd[0], got, 4, 0), 4);
	CU_ASSERT_STRING_EQUAL(got, "one ");
	CU_ASSERT_EQUAL(left_in_kernel(fd[0]), 0);
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	CU_ASSERT_EQUAL(may_read(fd[0], 1000), POLLIN);
	CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), 9);
	CU_ASSERT_EQUAL(memcmp(got, "two three", 9), 0);
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	CU_ASSERT_EQUAL(may_read(fd[0], 0), 0);
	CU_ASSERT_EQUAL(recv(fd[0], got, 1, 0), -1);
	CU_ASSERT_EQUAL(errno, EAGAIN);
	close_pair(fd);
}

static void test_end(void)
{
	int fd[2];
	char got[8];

	make_pair(fd, SOCK_NONBLOCK);
	send_text(fd[1], "last");
	CU_ASSERT_EQUAL(recv(fd[0], got, 1, 0), 1);
	close(fd[1]);
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	CU_ASSERT_EQUAL(may_read(fd[0], 0), POLLIN);
	CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), 3);
	CU_ASSERT_TRUE(may_read(fd[0], 0) & POLLIN);
	CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), 0);
	close(fd[0]);
}

static void test_large(void)
{
	static char data[100000], got[100000];
	int fd[2];
	size_t at = 0;

	make_pair(fd, SOCK_NONBLOCK);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 256);
	CU_ASSERT_EQUAL_FATAL(send(fd[1], data, sizeof(data), 0), (ssize_t)sizeof(data));
	for (size_t want = 1; at < sizeof(got); want = want * 3 % 40000 + 1) {
		ssize_t n =
			recv(fd[0], got + at, want < sizeof(got) - at ? want : sizeof(got) - at, 0);
		CU_ASSERT_TRUE_FATAL(n > 0);
		at += (size_t)n;
	}
	CU_ASSERT_EQUAL(memcmp(data, got, sizeof(data)), 0);
	close_pair(fd);
}

static void test_close_forgets(void)
{
	int fd[2], again[2];
	char got[8];

	make_pair(fd, SOCK_NONBLOCK);
	send_text(fd[1], "old");
	CU_ASSERT_EQUAL(recv(fd[0], got, 1, 0), 1);
	close_pair(fd);
	make_pair(again, SOCK_NONBLOCK);
	CU_ASSERT_EQUAL(again[0], fd[0]);
	CU_ASSERT_EQUAL(may_read(again[0], 0), 0);
	CU_ASSERT_EQUAL(recv(again[0], got, sizeof(got), 0), -1);
	close_pair(again);
}

static void test_blocking(void)
{
	int fd[2];
	char got[8];

	make_pair(fd, 0);
	send_text(fd[1], "text");
	CU_ASSERT_EQUAL(recv(fd[0], got, 1, 0), 1);
	CU_ASSERT_EQUAL(left_in_kernel(fd[0]), 3);
	close_pair(fd);
}

static void fill(int fd)
{
	static const char data[4096];

	while (send(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	CU_ASSERT_EQUAL(errno, EAGAIN);
}

static void empty(int fd)
{
	char data[4096];

	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
}

/* Nobody spins while an unfinished write has no room; more data does not wake either. */
static void test_full(void)
{
	int fd[2];
	char got[8];

	make_pair(fd, SOCK_NONBLOCK);
	send_text(fd[1], "text");
	CU_ASSERT_EQUAL(recv(fd[0], got, 1, 0), 1);
	send_text(fd[1], "more");
	fill(fd[0]);
	written = 0;
	CU_ASSERT_EQUAL(may_write(fd[0]), 0);
	int64_t began_ns = time_monotonic_ns();
	CU_ASSERT_EQUAL(may_read(fd[0], 50) & POLLIN, 0);
	CU_ASSERT_TRUE(time_monotonic_ns() - began_ns >= INT64_C(49000000));
	empty(fd[1]);
	CU_ASSERT_EQUAL(may_read(fd[0], 10000) & POLLIN, 0); /* but awake: room is there */
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	written = 1;
	CU_ASSERT_EQUAL(may_read(fd[0], 0), POLLIN);
	CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), 3);
	CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), 4);
	close_pair(fd);
}

/* A finished write asks for nothing: reading goes on though the socket is full. */
static void test_full_but_done(void)
{
	int fd[2];
	char got[8];

	make_pair(fd, SOCK_NONBLOCK);
	send_text(fd[1], "text");
	CU_ASSERT_EQUAL(recv(fd[0], got, 1, 0), 1);
	fill(fd[0]);
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	CU_ASSERT_EQUAL(may_read(fd[0], 1000), POLLIN);
	close_pair(fd);
}

static void test_two(void)
{
	int a[2], b[2];
	char got[8];

	make_pair(a, SOCK_NONBLOCK);
	make_pair(b, SOCK_NONBLOCK);
	send_text(a[1], "aa");
	send_text(b[1], "bb");
	CU_ASSERT_EQUAL(recv(a[0], got, 1, 0), 1);
	struct pollfd both[] = { { .fd = b[0], .events = POLLIN },
		{ .fd = a[0], .events = POLLIN } };
	CU_ASSERT_EQUAL(may_write(a[0]), POLLOUT);
	CU_ASSERT_EQUAL(poll(both, 2, 1000), 1);
	CU_ASSERT_EQUAL(both[1].revents, POLLIN);
	CU_ASSERT_EQUAL(recv(a[0], got, sizeof(got), 0), 1);
	CU_ASSERT_EQUAL(poll(both, 2, 1000), 1); /* nothing kept: now it is the other's turn */
	CU_ASSERT_EQUAL(both[0].revents, POLLIN);
	CU_ASSERT_EQUAL(both[1].revents, 0);
	close_pair(a);
	close_pair(b);
}

/* A packet of `type` with `len` bytes behind its head, of which it says so many. */
static void send_packet(int fd, unsigned char type, size_t len)
{
	unsigned char packet[300] = { (unsigned char)(type << 4) };
	size_t n = 1;

	if (len >= 128)
		packet[n++] = (unsigned char)(len % 128 | 0x80);
	packet[n++] = (unsigned char)(len >= 128 ? len / 128 : len);
	CU_ASSERT_EQUAL(send(fd, packet, n + len, 0), (ssize_t)(n + len));
}

static void test_more(void)
{
	enum { PUBLISH = 3, PUBACK = 4 };
	int fd[2];
	unsigned char got[300];

	make_pair(fd, SOCK_NONBLOCK);
	CU_ASSERT_FALSE(mqtt_ahead_more());
	send_packet(fd[1], PUBLISH, 100);
	send_packet(fd[1], PUBLISH, 200);
	send_packet(fd[1], PUBACK, 2);
	send_packet(fd[1], PUBLISH, 0);
	CU_ASSERT_EQUAL(send(fd[1], "\x34", 1, 0), 1); /* QoS 2: handed on later */
	CU_ASSERT_EQUAL(send(fd[1], "", 1, 0), 1);
	CU_ASSERT_EQUAL(send(fd[1], "\x30\x05 1234", 6, 0), 6); /* of 7 */
	CU_ASSERT_FALSE(mqtt_ahead_more());                     /* the kernel's yet */
	CU_ASSERT_EQUAL(recv(fd[0], got, 102, 0), 102);
	CU_ASSERT_FALSE(mqtt_ahead_more()); /* nobody knows whether it is read on */
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	CU_ASSERT_TRUE(mqtt_ahead_more());
	CU_ASSERT_EQUAL(recv(fd[0], got, 203, 0), 203);
	CU_ASSERT_FALSE(mqtt_ahead_more()); /* no message */
	CU_ASSERT_EQUAL(recv(fd[0], got, 4, 0), 4);
	CU_ASSERT_TRUE(mqtt_ahead_more());
	CU_ASSERT_EQUAL(recv(fd[0], got, 2, 0), 2);
	CU_ASSERT_FALSE(mqtt_ahead_more());
	CU_ASSERT_EQUAL(recv(fd[0], got, 2, 0), 2);
	CU_ASSERT_FALSE(mqtt_ahead_more()); /* not whole */
	close_pair(fd);
	CU_ASSERT_FALSE(mqtt_ahead_more());
}

static int64_t wait_for_text(const int fd[2])
{
	send_text(fd[1], "text");
	CU_ASSERT_EQUAL(may_write(fd[0]), POLLOUT);
	int64_t began_ns = time_monotonic_ns();
	CU_ASSERT_EQUAL(may_read(fd[0], 10000), POLLIN);
	return time_monotonic_ns() - began_ns;
}

/* Ten times the rate that naps, for longer than it is measured. */
static void stream(const int fd[2])
{
	static const char data[1000];
	static char got[sizeof(data)];
	int64_t began_ns = time_monotonic_ns(), sent = 0;

	while (time_monotonic_ns() - began_ns < 10000000 ||
		sent < (time_monotonic_ns() - began_ns) / 1000000 * 5000) {
		CU_ASSERT_EQUAL(send(fd[1], data, sizeof(data), 0), (ssize_t)sizeof(data));
		CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), (ssize_t)sizeof(got));
		sent += (int64_t)sizeof(data);
	}
}

static void test_naps(void)
{
	int fd[2];
	char got[8];
	bool napped = false, at_once = false;

	make_pair(fd, SOCK_NONBLOCK);
	for (int i = 0; i < 100 && !napped; i++) { /* the machine may be busy with something else */
		stream(fd);
		napped = wait_for_text(fd) >= 1000000;
		CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), 4);
	}
	CU_ASSERT_TRUE(napped);
	/* It brought four bytes: the next stream is not napped for, for a while. */
	for (int i = 0; i < 1000 && !at_once; i++) {
		at_once = wait_for_text(fd) < 1000000;
		CU_ASSERT_EQUAL(recv(fd[0], got, sizeof(got), 0), 4);
	}
	CU_ASSERT_TRUE(at_once);
	close_pair(fd);
}

static CU_TestInfo cases[] = {
	{ "it knows a message that follows at once", test_more },
	{ "where bytes come fast it naps", test_naps },
	{ "one read brings all there is", test_many_at_once },
	{ "the end comes behind the data", test_end },
	{ "large pieces arrive whole and in order", test_large },
	{ "closing forgets", test_close_forgets },
	{ "a socket that blocks is read as ever", test_blocking },
	{ "an unfinished write is waited for", test_full },
	{ "a full socket alone holds nothing up", test_full_but_done },
	{ "two connections take turns", test_two },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("mqtt_ahead", cases);
}
