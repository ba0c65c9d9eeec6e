#include "agent/healthcheck.h"
#include "common/timeutil.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char request[] =
	"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

static int left_ms(int64_t deadline_ns)
{
	int64_t left = (deadline_ns - time_monotonic_ns()) / 1000000;
	return left > 0 ? (int)left : 0;
}

/* Reads until the first line is whole; its status code, or 0. */
static int read_code(int fd, int64_t deadline_ns)
{
	char answer[512];
	size_t len = 0;

	while (len < sizeof(answer) - 1) {
		struct pollfd wait = { .fd = fd, .events = POLLIN };
		if (poll(&wait, 1, left_ms(deadline_ns)) <= 0)
			return 0;
		ssize_t n = read(fd, answer + len, sizeof(answer) - 1 - len);
		if (n <= 0)
			return 0;
		len += (size_t)n;
		answer[len] = '\0';
		if (strstr(answer, "\r\n"))
			break;
	}
	return len > 12 && strncmp(answer, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer + 9, NULL, 10)
								: 0;
}

enum status healthcheck(const char *listen, struct why *why)
{
	int64_t deadline = time_monotonic_ns() + (int64_t)HEALTHCHECK_TIMEOUT_MS * 1000000;
	struct sockaddr_in to = { .sin_family = AF_INET };
	const char *colon = strrchr(listen, ':');
	char host[64];

	snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - listen) : 0, listen);
	if (strcmp(host, "0.0.0.0") == 0)
		strcpy(host, "127.0.0.1");
	if (!colon || inet_pton(AF_INET, host, &to.sin_addr) != 1)
		return fail(why, STATUS_BAD_CONFIG, "health.listen: \"%.64s\" is not address:port",
			listen);
	to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));

	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail(why, STATUS_UNAVAILABLE, "socket: %s", strerror(errno));
	int code = 0;
	/* A refusal comes at once on the same machine; a full backlog would make connect wait. */
	struct timeval patience = { .tv_sec = HEALTHCHECK_TIMEOUT_MS / 1000 };
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	bool asked = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
		send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) ==
			(ssize_t)sizeof(request) - 1;
	if (asked)
		code = read_code(fd, deadline);
	int error = errno;
	close(fd);
	if (!asked)
		return fail(why, STATUS_UNAVAILABLE, "no agent answers on %s: %s", listen,
			strerror(error));
	if (code == 0)
		return fail(why, STATUS_UNAVAILABLE, "%s does not answer in time", listen);
	if (code != 200)
		return fail(why, STATUS_UNAVAILABLE, "unhealthy: %s answers %d", listen, code);
	return STATUS_OK;
}
