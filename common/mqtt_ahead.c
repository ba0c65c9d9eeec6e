/* Reading ahead.
 *
 * Paho 1.3.12 takes a message from its socket in three recv() of a few bytes each (the type, the
 * length, the rest), and asks two poll() before it: five system calls, of which one brings
 * anything. The build wraps recv, poll and close (cmake/libraries.cmake): what one recv() finds
 * beyond what was asked for is kept, and as long as there is some, neither recv nor poll enters the
 * kernel.
 *
 * The rules that make it safe:
 *  - Only sockets that Paho has connected are read ahead, and they never block. TLS reads by
 *    OpenSSL's own calls, which are not wrapped.
 *  - Paho asks in turns, on its one receiving thread and under its socket lock, whether it may
 * write (events POLLOUT, no waiting), then, without the lock, whether there is something to read.
 * It reads nothing while it may not write. With data kept the first question is answered without
 * the kernel, but for a socket that has an unfinished write: that one is asked as ever, and while
 * it is full the second question waits for room instead of data, so that nobody spins.
 *  - A second connection waits at most for what is kept of the first, and a nap: it is read from
 * the kernel only after a real poll() over both.
 *  - close() forgets what is kept; its messages were never acknowledged and come again.
 *
 * A broker writes packet by packet, and each would wake the thread for itself: half of what
 * receiving costs. So where bytes come fast, a thread that has read everything naps before it asks
 * the kernel again, and then reads many packets at once. A nap that brought little (a window of a
 * few messages) is the last for a while. Of TLS nothing is known here, and it never naps. */
#include "common/mqtt_ahead.h"
#include "common/timeutil.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Some hundred readings; the kernel hands out what is there, and twice as much gains nothing. */
enum { AHEAD_SIZE = 16384 };

enum {
	NAP_US = 1000,
	NAP_RATE = 500, /* bytes a millisecond, and more: some four readings */
	RATE_MS = 2,    /* over which that is measured, at least */
	REST_MS = 10,   /* without a nap, after one that brought less than NAP_RATE */
};

struct ahead {
	int fd;
	int (*all_written)(int fd);
	bool writable; /* at the last question whether it is */
	size_t at, held;
	int64_t since_ns; /* monotonic: `brought` bytes since then */
	size_t brought;
	bool fast, filled; /* the rate before that; the last recv() left some in the kernel */
	bool napped;       /* at the last question; `brought` was brought_before then */
	size_t brought_before;
	int64_t rest_ns; /* until then it does not */
	struct ahead *next;
	unsigned char data[AHEAD_SIZE];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of the list and all in it */
static struct ahead *sockets;

ssize_t __real_recv(int fd, void *out, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *out, size_t len, int flags);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __real_close(int fd);
int __wrap_close(int fd);

/* Under the lock. */
static struct ahead *find(int fd)
{
	struct ahead *a = sockets;

	while (a && a->fd != fd)
		a = a->next;
	return a;
}

void mqtt_ahead_add(int fd, int (*all_written)(int fd))
{
	int flags = fcntl(fd, F_GETFL);
	struct ahead *a = flags >= 0 && flags & O_NONBLOCK ? malloc(sizeof(*a)) : NULL;

	if (!a)
		return;
	a->fd = fd;
	a->all_written = all_written;
	a->writable = a->fast = a->filled = a->napped = false;
	a->at = a->held = a->brought = a->brought_before = 0;
	a->rest_ns = 0;
	a->since_ns = time_monotonic_ns();
	pthread_mutex_lock(&lock);
	a->next = sockets;
	sockets = a;
	pthread_mutex_unlock(&lock);
}

int __wrap_close(int fd)
{
	pthread_mutex_lock(&lock);
	struct ahead **link = &sockets;
	while (*link && (*link)->fd != fd)
		link = &(*link)->next;
	struct ahead *gone = *link;
	if (gone)
		*link = gone->next;
	pthread_mutex_unlock(&lock);
	free(gone);
	return __real_close(fd);
}

/* Under the lock, which is held for no longer than a recv() that does not wait. */
static ssize_t take(struct ahead *a, void *out, size_t len)
{
	if (a->held == 0) {
		ssize_t n = __real_recv(a->fd, a->data, sizeof(a->data), 0);
		if (n <= 0)
			return n;
		a->at = 0;
		a->held = (size_t)n;
		a->brought += a->held;
		a->filled = a->held == sizeof(a->data);
	}
	size_t n = len < a->held ? len : a->held;
	memcpy(out, a->data + a->at, n);
	a->at += n;
	a->held -= n;
	return (ssize_t)n;
}

ssize_t __wrap_recv(int fd, void *out, size_t len, int flags)
{
	pthread_mutex_lock(&lock);
	struct ahead *a = find(fd);
	/* What is larger than our room goes straight to its place. */
	bool ours = a && flags == 0 && len > 0 && (a->held > 0 || len < sizeof(a->data));
	ssize_t n = ours ? take(a, out, len) : 0;
	pthread_mutex_unlock(&lock);
	return ours ? n : __real_recv(fd, out, len, flags);
}

/* Whether a whole packet lies there, and is a PUBLISH that is handed on as soon as it is read. */
static bool holds_publish(const unsigned char *data, size_t held)
{
	size_t length = 0;

	if (held < 2 || data[0] >> 4 != 3 || (data[0] >> 1 & 3) > 1)
		return false;
	for (size_t i = 1; i < held && i <= 4; i++) {
		length |= (size_t)(data[i] & 0x7f) << 7 * (i - 1);
		if (!(data[i] & 0x80))
			return length <= held - i - 1;
	}
	return false;
}

/* ---- the two questions, under the lock ---- */

static struct ahead *find_held(int fd)
{
	struct ahead *a = find(fd);

	return a && a->held > 0 ? a : NULL;
}

static bool any_held(const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++) {
		if (find_held(fds[i].fd))
			return true;
	}
	return false;
}

/* Those with data and no unfinished write may be written to, as far as reading on is concerned. If
 * one has an unfinished write, the kernel is asked about all. */
static int ask_writable(struct pollfd *fds, nfds_t n)
{
	bool unfinished = false;
	int ready = 0;

	for (nfds_t i = 0; i < n; i++) {
		struct ahead *a = find_held(fds[i].fd);
		unfinished = unfinished || (a && !a->all_written(a->fd));
	}
	if (unfinished)
		ready = __real_poll(fds, n, 0);
	for (nfds_t i = 0; i < n; i++) {
		struct ahead *a = find_held(fds[i].fd);
		if (!unfinished) {
			fds[i].revents = a ? POLLOUT : 0;
			ready += a != NULL;
		}
		if (a)
			a->writable = fds[i].revents & POLLOUT;
	}
	return ready;
}

/* The sockets that can be read on at once; 0: those with data may not be written to. */
static int ask_readable(struct pollfd *fds, nfds_t n)
{
	int ready = 0;

	for (nfds_t i = 0; i < n; i++) {
		struct ahead *a = find_held(fds[i].fd);
		fds[i].revents = a && a->writable ? POLLIN : 0;
		ready += fds[i].revents != 0;
	}
	return ready;
}

/* Those with data wait for room only: more data would wake them at once. */
static void want_room(struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++) {
		if (find_held(fds[i].fd))
			fds[i].events = (short)((fds[i].events & ~POLLIN) | POLLOUT);
	}
}

static void want_data(struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++) {
		if (fds[i].events & POLLOUT)
			fds[i].events = (short)((fds[i].events & ~POLLOUT) | POLLIN);
	}
}

/* All that came is read, and more comes fast. */
static bool may_nap(struct ahead *a, int64_t now)
{
	int64_t ms = (now - a->since_ns) / 1000000;
	bool in_vain = a->napped && a->brought - a->brought_before < NAP_RATE;

	if (in_vain)
		a->rest_ns = now + REST_MS * INT64_C(1000000);
	if (ms >= RATE_MS) {
		a->fast = (int64_t)a->brought >= ms * NAP_RATE;
		a->since_ns = now;
		a->brought = 0;
	}
	a->napped = a->fast && !a->filled && now >= a->rest_ns;
	a->brought_before = a->brought;
	return a->napped;
}

static bool all_may_nap(const struct pollfd *fds, nfds_t n, int timeout_ms)
{
	if (n == 0 || timeout_ms <= NAP_US / 1000)
		return false;
	int64_t now = time_monotonic_ns();
	bool nap = true;
	for (nfds_t i = 0; i < n; i++) {
		struct ahead *a = find(fds[i].fd);
		nap = a && fds[i].events & POLLIN && may_nap(a, now) && nap;
	}
	return nap;
}

bool mqtt_ahead_more(void)
{
	bool more = false;

	pthread_mutex_lock(&lock);
	for (const struct ahead *a = sockets; a && !more; a = a->next)
		more = a->writable && holds_publish(a->data + a->at, a->held);
	pthread_mutex_unlock(&lock);
	return more;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	pthread_mutex_lock(&lock);
	bool held = any_held(fds, n);
	bool writing = held && fds[0].events == POLLOUT;
	int ready = writing ? ask_writable(fds, n) : held ? ask_readable(fds, n) : 0;
	bool full = held && !writing && ready == 0;
	bool nap = !held && all_may_nap(fds, n, timeout_ms);
	if (full)
		want_room(fds, n);
	pthread_mutex_unlock(&lock);
	if (writing || ready > 0)
		return ready;
	if (nap)
		(void)nanosleep(&(struct timespec){ .tv_nsec = NAP_US * 1000L }, NULL);
	ready = __real_poll(fds, n, timeout_ms);
	if (full)
		want_data(fds, n);
	return ready;
}
