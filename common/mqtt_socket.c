#include "common/mqtt_socket.h"
#include "common/timeutil.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* ---- Paho's nap ---- */

/* Paho's receive thread, started by the first connect, finds no socket yet and naps 100 ms
 * before it looks again: most of the agent's time from start to ready. The build wraps usleep
 * (cmake/libraries.cmake), so that naps are short while a first connection is being made. */
enum { QUICK_START_MS = 1000, QUICK_NAP_US = 1000 };
static _Atomic int64_t quick_until_ns;

int __real_usleep(unsigned us);
int __wrap_usleep(unsigned us);

int __wrap_usleep(unsigned us)
{
	bool quick = us > QUICK_NAP_US && time_monotonic_ns() < atomic_load(&quick_until_ns);
	return __real_usleep(quick ? QUICK_NAP_US : us);
}

void mqtt_quick_start(void)
{
	atomic_store(&quick_until_ns, time_monotonic_ns() + QUICK_START_MS * INT64_C(1000000));
}

/* ---- its sockets ---- */

/* Data that the other side does not confirm for so long ends the connection. Without it the kernel
 * goes on for some 15 minutes when a cable is pulled. */
enum { UNCONFIRMED_MS = 20000 };

int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	const int on = 1;
	const unsigned unconfirmed_ms = UNCONFIRMED_MS;

	/* Acknowledgements and verdicts are small: Nagle's algorithm would hold them back. Not
	 * every socket knows these, and it works without. */
	if (address->sa_family == AF_INET || address->sa_family == AF_INET6) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(
			fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unconfirmed_ms, sizeof(unconfirmed_ms));
	}
	return __real_connect(fd, address, len);
}
