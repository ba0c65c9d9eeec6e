#include "common/mqtt_socket.h"
#include "common/mqtt.h"
#include "common/mqtt_ahead.h"
#include "common/timeutil.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

/* Paho's: no write to the socket is unfinished. Under its socket lock. */
int Socket_noPendingWrites(int fd);

int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);

/* Paho 1.3.12 knows no unix-domain sockets. For one it is given an address that nothing on a
 * network has: 0.0.0.N (0.0.0.0/8 is no destination, RFC 1122 3.2.1.3), where N - 1 is the path's
 * place in this table. When it connects to that, a socket of the right kind takes the place of its
 * own. */
static struct {
	pthread_mutex_t lock; /* of what follows */
	char path[MQTT_SOCKETS_MAX][MQTT_PATH_MAX + 1];
	size_t count;
	size_t failed; /* place + 1 of the last attempt that failed, 0: none */
	int error;
} sockets = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool mqtt_socket_uri(const char *path, char *uri, size_t size)
{
	size_t i = 0;

	pthread_mutex_lock(&sockets.lock);
	while (i < sockets.count && strcmp(sockets.path[i], path) != 0)
		i++;
	bool known = i < MQTT_SOCKETS_MAX;
	if (known && i == sockets.count)
		snprintf(sockets.path[sockets.count++], sizeof(sockets.path[i]), "%s", path);
	pthread_mutex_unlock(&sockets.lock);
	if (known)
		snprintf(uri, size, "tcp://0.0.0.%zu:1883", i + 1);
	return known;
}

bool mqtt_socket_trouble(char *out, size_t size)
{
	pthread_mutex_lock(&sockets.lock);
	size_t failed = sockets.failed;
	if (failed)
		snprintf(out, size, "%s: %s", sockets.path[failed - 1], strerror(sockets.error));
	sockets.failed = 0;
	pthread_mutex_unlock(&sockets.lock);
	return failed > 0;
}

/* The path's place + 1, 0: an address like any other. */
static size_t find_path(const struct sockaddr *address)
{
	if (address->sa_family != AF_INET)
		return 0;
	size_t n = ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr);
	pthread_mutex_lock(&sockets.lock);
	if (n > sockets.count)
		n = 0;
	pthread_mutex_unlock(&sockets.lock);
	return n;
}

/* A non-blocking connection to a path in the place of `fd`; an errno, 0: made. It is made at once
 * or not at all: a full backlog answers EAGAIN, which Paho would take for "soon". */
static int connect_path(int fd, const char *path)
{
	/* A small packet in the socket occupies some 800 bytes: with the default's 200 KB a few
	 * hundred verdicts fill it. The kernel gives what net.core.wmem_max allows. */
	const int room = 4 << 20;
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int local = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (local < 0)
		return errno;
	(void)setsockopt(local, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)); /* slower without */
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	bool made = __real_connect(local, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
		dup2(local, fd) >= 0;
	int error = made ? 0 : errno;
	close(local);
	return error;
}

static int connect_local(int fd, size_t place)
{
	char path[MQTT_PATH_MAX + 1];

	pthread_mutex_lock(&sockets.lock);
	memcpy(path, sockets.path[place - 1], sizeof(path));
	pthread_mutex_unlock(&sockets.lock);
	int error = connect_path(fd, path);
	if (error == 0) {
		mqtt_ahead_add(fd, Socket_noPendingWrites);
		return 0;
	}
	pthread_mutex_lock(&sockets.lock);
	sockets.failed = place;
	sockets.error = error;
	pthread_mutex_unlock(&sockets.lock);
	errno = ECONNREFUSED;
	return -1;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	const int on = 1;
	const unsigned unconfirmed_ms = UNCONFIRMED_MS;
	size_t place = find_path(address);

	if (place)
		return connect_local(fd, place);
	/* Acknowledgements and verdicts are small: Nagle's algorithm would hold them back. Not
	 * every socket knows these, and it works without. */
	if (address->sa_family == AF_INET || address->sa_family == AF_INET6) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(
			fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unconfirmed_ms, sizeof(unconfirmed_ms));
		mqtt_ahead_add(fd, Socket_noPendingWrites);
	}
	return __real_connect(fd, address, len);
}
