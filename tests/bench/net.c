#include "tests/bench/net.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

int64_t net_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

void net_die(const char *what)
{
	perror(what);
	exit(69);
}

static int connect_path(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		net_die(path);
	return fd;
}

int net_connect(const char *address)
{
	if (*address == '/')
		return connect_path(address);
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(address)) };
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) != 0)
		net_die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

void net_send(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			net_die("send");
		at += n;
		len -= (size_t)n;
	}
}

size_t net_begin_packet(unsigned char *out, unsigned char type, size_t len)
{
	out[0] = type;
	out[1] = (unsigned char)(len % 128 | 0x80);
	out[2] = (unsigned char)(len / 128);
	return 3;
}

size_t net_put_text(unsigned char *out, const char *text)
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
		net_die("recv");
}

int net_connect_mqtt(const char *address, const char *id, bool clean)
{
	unsigned char head[] = { 0, 4, 'M', 'Q', 'T', 'T', 4, clean ? 2 : 0, 0, 0 };
	unsigned char packet[128], answer[4];
	int fd = net_connect(address);
	size_t n = net_begin_packet(packet, 0x10, sizeof(head) + 2 + strlen(id));

	if (strlen(id) > 64)
		net_die("the id is too long");
	memcpy(packet + n, head, sizeof(head));
	n += sizeof(head);
	n += net_put_text(packet + n, id);
	net_send(fd, packet, n);
	read_exactly(fd, answer, sizeof(answer));
	return fd;
}

void net_subscribe(int fd, const char *filter, int qos)
{
	unsigned char packet[256], answer[5];
	size_t n = net_begin_packet(packet, 0x82, 2 + 2 + strlen(filter) + 1);

	packet[n++] = 0;
	packet[n++] = 1;
	n += net_put_text(packet + n, filter);
	packet[n++] = (unsigned char)qos;
	net_send(fd, packet, n);
	read_exactly(fd, answer, sizeof(answer));
}

void net_read(struct net_stream *stream, net_on_packet *on_packet, void *context)
{
	ssize_t n =
		recv(stream->fd, stream->in + stream->held, sizeof(stream->in) - stream->held, 0);
	size_t at = 0;

	if (n <= 0)
		net_die("the connection ended");
	stream->held += (size_t)n;
	for (;;) {
		size_t len = 0, head = 1;
		unsigned shift = 0;
		while (at + head < stream->held && head < 5) {
			len |= (size_t)(stream->in[at + head] & 0x7f) << shift;
			shift += 7;
			if (!(stream->in[at + head++] & 0x80))
				break;
		}
		if (head == 1 || at + head + len > stream->held ||
			(stream->in[at + head - 1] & 0x80))
			break;
		on_packet(context, stream->in[at], stream->in + at + head, len);
		at += head + len;
	}
	stream->held -= at;
	memmove(stream->in, stream->in + at, stream->held);
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

void net_sort(int64_t *ns, size_t n)
{
	qsort(ns, n, sizeof(*ns), ascending);
}

double net_quantile_us(const int64_t *ns, size_t n, double q)
{
	size_t i = (size_t)(q * (double)n);

	return (double)ns[i < n ? i : n - 1] / 1e3;
}
