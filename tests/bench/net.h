/* What the load programs share: a clock, sockets, MQTT 3.1.1 packets small enough to be made by
 * hand, and percentiles. Whatever goes wrong ends the program with 69. Knows nothing of Isolde's
 * code. */
#ifndef ISOLDE_TESTS_BENCH_NET_H
#define ISOLDE_TESTS_BENCH_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t net_now_ns(void); /* monotonic */
_Noreturn void net_die(const char *what);

/* `address`: a port of 127.0.0.1, or the path of a unix-domain socket. */
int net_connect(const char *address);
void net_send(int fd, const void *data, size_t len);

/* Connects as `id` and waits for the CONNACK; not `clean`: the broker keeps the session. */
int net_connect_mqtt(const char *address, const char *id, bool clean);
/* Waits for the SUBACK: before any message may come. */
void net_subscribe(int fd, const char *filter, int qos);

/* The start of a packet whose rest has `len` bytes, under 16 KB; and a text with its length. Each
 * returns what it wrote. */
size_t net_begin_packet(unsigned char *out, unsigned char type, size_t len);
size_t net_put_text(unsigned char *out, const char *text);

/* A stream of packets, read in large pieces. */
struct net_stream {
	int fd;
	size_t held;
	unsigned char in[1 << 18];
};
/* Reads once and hands every whole packet on: its first byte, and what follows its length. */
typedef void net_on_packet(void *context, unsigned char first, unsigned char *body, size_t len);
void net_read(struct net_stream *stream, net_on_packet *on_packet, void *context);

/* Sorts; then the q quantile (0 .. 1) of n ascending times, in microseconds. */
void net_sort(int64_t *ns, size_t n);
double net_quantile_us(const int64_t *ns, size_t n, double q);

#endif
