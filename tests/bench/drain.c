/* How fast a broker hands out what waited for its subscriber: a persistent session, a plain socket,
 * large reads, the acknowledgements of each read in one write. The least that catching up can cost.
 * Knows nothing of Isolde's code.
 *
 *   drain ADDRESS ID 0        subscribes and goes away: what is published from now on waits
 *   drain ADDRESS ID COUNT    comes back and takes COUNT messages
 *   drain ADDRESS ID          ends the session
 *
 * ADDRESS is a port of 127.0.0.1 or the path of a unix-domain socket. Prints {"rate":...}, messages
 * a second from the first one to the last. */
#include "tests/bench/net.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ACKNOWLEDGEMENTS_MAX = 65536 };

static struct net_stream stream;
static unsigned char answer[ACKNOWLEDGEMENTS_MAX * 4];
static size_t answered; /* bytes */
static long received;

static void acknowledge(void *context, unsigned char first, unsigned char *body, size_t len)
{
	(void)context;
	if (first >> 4 != 3)
		return;
	received++;
	size_t topic = (size_t)body[0] << 8 | body[1];
	if (!(first & 6) || topic + 4 > len || answered == sizeof(answer))
		return;
	answer[answered++] = 0x40;
	answer[answered++] = 2;
	answer[answered++] = body[2 + topic];
	answer[answered++] = body[3 + topic];
}

static void say_goodbye(void)
{
	const unsigned char goodbye[] = { 0xe0, 0 };

	net_send(stream.fd, goodbye, sizeof(goodbye));
	close(stream.fd);
}

int main(int argc, char **argv)
{
	if (argc < 3 || argc > 4)
		return 64;
	long count = argc == 4 ? atol(argv[3]) : -1;
	stream.fd = net_connect_mqtt(argv[1], argv[2], count < 0);
	if (count < 0) {
		say_goodbye();
		return 0;
	}
	if (count == 0) {
		net_subscribe(stream.fd, "factory/+/reading", 1);
		say_goodbye();
		return 0;
	}
	int64_t began_ns = 0;
	long first = 0;
	while (received < count) {
		answered = 0;
		net_read(&stream, acknowledge, NULL);
		if (began_ns == 0) {
			began_ns = net_now_ns();
			first = received;
		}
		net_send(stream.fd, answer, answered);
	}
	double seconds = (double)(net_now_ns() - began_ns) / 1e9;
	say_goodbye();
	printf("{\"rate\":%.0f}\n", (double)(count - first) / seconds);
	return 0;
}
