/* Load on a keep-alive HTTP route: so many connections, each with one request on its way.
 *
 *   predict PORT CONNECTIONS COUNT METHOD PATH [BODY]
 *
 * PORT "none", one connection: a process of ours gives the same answer to whatever it reads, which
 * is what the machine's sockets and wake-ups allow.
 *
 * Prints {"rate":...,"p50_us":...,"p99_us":...,"failed":...}: answers a second, their times, and
 * how many were not 200. Knows nothing of Isolde's code. */
#include "tests/bench/net.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, COUNT_MAX = 1000000, ANSWER_MAX = 1 << 19 };

static struct connection {
	char answer[ANSWER_MAX];
	size_t held;
	int64_t began_ns;
} connection[CONNECTIONS_MAX];
static int64_t took_ns[COUNT_MAX];
static char request[4096];
static size_t request_len;

static void ask(struct connection *c, int fd)
{
	c->held = 0;
	c->began_ns = net_now_ns();
	net_send(fd, request, request_len);
}

/* The status of a whole answer, 0: more is to come. */
static int take(struct connection *c, int fd)
{
	ssize_t n = recv(fd, c->answer + c->held, ANSWER_MAX - c->held - 1, 0);

	if (n <= 0)
		net_die("the connection ended");
	c->held += (size_t)n;
	c->answer[c->held] = '\0';
	const char *end = strstr(c->answer, "\r\n\r\n");
	const char *length = strcasestr(c->answer, "content-length:");
	if (!end || !length)
		return 0;
	size_t whole = (size_t)(end - c->answer) + 4 + strtoul(length + 15, NULL, 10);
	return c->held >= whole ? atoi(c->answer + 9) : 0;
}

/* One connection, a request at a time, in a process that ends with us. */
static void answer_all(int listener)
{
	static const char answer[] =
		"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 69\r\n\r\n"
		"{\"anomaly_score\":-0.0912345678901234,\"is_anomaly\":0,\"threshold\":0.11}";
	const int on = 1;
	char asked[sizeof(request)];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	struct pollfd one = { .fd = accept(listener, NULL, NULL), .events = POLLIN };
	(void)setsockopt(one.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	while (poll(&one, 1, -1) > 0 && recv(one.fd, asked, sizeof(asked), 0) > 0)
		net_send(one.fd, answer, sizeof(answer) - 1);
	_exit(0);
}

static const char *start_answering(void)
{
	static char port[8];
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&at, len) != 0 || listen(listener, 1) != 0 ||
		getsockname(listener, (struct sockaddr *)&at, &len) != 0)
		net_die("no port");
	pid_t child = fork();
	if (child < 0)
		net_die("no process");
	if (child == 0)
		answer_all(listener);
	close(listener);
	snprintf(port, sizeof(port), "%d", ntohs(at.sin_port));
	return port;
}

int main(int argc, char **argv)
{
	struct pollfd fds[CONNECTIONS_MAX];
	long connections = argc > 3 ? atol(argv[2]) : 0, count = argc > 3 ? atol(argv[3]) : 0;
	long asked = 0, answered = 0, failed = 0;

	bool bare = argc > 1 && strcmp(argv[1], "none") == 0;

	if (argc < 6 || (bare && connections != 1) || connections < 1 ||
		connections > CONNECTIONS_MAX || count < connections || count > COUNT_MAX)
		return 64;
	const char *body = argc > 6 ? argv[6] : "";
	request_len = (size_t)snprintf(request, sizeof(request),
		"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		argv[4], argv[5], strlen(body), body);
	if (request_len >= sizeof(request))
		return 64;
	const char *port = bare ? start_answering() : argv[1];
	for (long i = 0; i < connections; i++)
		fds[i] = (struct pollfd){ .fd = net_connect(port), .events = POLLIN };
	int64_t began_ns = net_now_ns();
	for (long i = 0; i < connections; i++, asked++)
		ask(&connection[i], fds[i].fd);
	while (answered < count) {
		if (poll(fds, (nfds_t)connections, 10000) <= 0)
			net_die("no answer for 10 s");
		for (long i = 0; i < connections; i++) {
			int status = fds[i].revents ? take(&connection[i], fds[i].fd) : 0;
			if (status == 0)
				continue;
			failed += status != 200;
			took_ns[answered++] = net_now_ns() - connection[i].began_ns;
			if (asked < count) {
				ask(&connection[i], fds[i].fd);
				asked++;
			}
		}
	}
	double seconds = (double)(net_now_ns() - began_ns) / 1e9;
	net_sort(took_ns, (size_t)count);
	printf("{\"rate\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"failed\":%ld}\n",
		(double)count / seconds, net_quantile_us(took_ns, (size_t)count, 0.5),
		net_quantile_us(took_ns, (size_t)count, 0.99), failed);
	return 0;
}
