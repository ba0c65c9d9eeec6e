#include "agent/http_guard.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Of a name without a dot. */
static const char plain_letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_";

enum { HOST_MAX = 253 }; /* bytes of a name (RFC 1035 section 2.3.4) */

#define WINDOW_NS (GUARD_WINDOW_S * INT64_C(1000000000))

void guard_init(struct guard *guard)
{
	memset(guard, 0, sizeof(*guard));
	pthread_mutex_init(&guard->lock, NULL);
}

void guard_finish(struct guard *guard)
{
	pthread_mutex_destroy(&guard->lock);
}

/* The peer's place, or GUARD_PEERS_MAX. */
static size_t find(const struct guard *guard, const char *peer)
{
	size_t i = 0;

	while (i < GUARD_PEERS_MAX &&
		(guard->peer[i].since_ns == 0 ||
			strncmp(guard->peer[i].name, peer, GUARD_PEER_SIZE - 1) != 0))
		i++;
	return i;
}

int guard_wait_s(struct guard *guard, const char *peer, int64_t now_ns)
{
	int wait_s = 0;

	pthread_mutex_lock(&guard->lock);
	size_t i = find(guard, peer);
	if (i < GUARD_PEERS_MAX && guard->peer[i].failures >= GUARD_FAILURES_MAX) {
		int64_t left_ns = guard->peer[i].since_ns + WINDOW_NS - now_ns;
		wait_s = left_ns > 0 ? (int)(left_ns / 1000000000 + 1) : 0;
	}
	pthread_mutex_unlock(&guard->lock);
	return wait_s;
}

void guard_note_failure(struct guard *guard, const char *peer, int64_t now_ns)
{
	pthread_mutex_lock(&guard->lock);
	size_t i = find(guard, peer);
	if (i == GUARD_PEERS_MAX) {
		i = 0;
		for (size_t k = 1; k < GUARD_PEERS_MAX; k++)
			if (guard->peer[k].since_ns < guard->peer[i].since_ns)
				i = k;
		snprintf(guard->peer[i].name, GUARD_PEER_SIZE, "%s", peer);
		guard->peer[i].failures = 0;
	}
	if (guard->peer[i].failures == 0 || now_ns - guard->peer[i].since_ns >= WINDOW_NS) {
		guard->peer[i].since_ns = now_ns;
		guard->peer[i].failures = 0;
	}
	guard->peer[i].failures++;
	pthread_mutex_unlock(&guard->lock);
}

static bool is_address(const char *name)
{
	struct in_addr address;

	return inet_pton(AF_INET, name, &address) == 1;
}

/* Is `name` one of the names with commas between? */
static bool listed(const char *name, const char *hosts)
{
	size_t len = strlen(name);

	while (*hosts) {
		hosts += strspn(hosts, " ,");
		size_t n = strcspn(hosts, " ,");
		if (n == len && n > 0 && strncasecmp(hosts, name, n) == 0)
			return true;
		hosts += n;
	}
	return false;
}

bool guard_host_allowed(const char *host, const char *hosts)
{
	char name[HOST_MAX + 1];
	struct in6_addr address;
	bool brackets = host[0] == '[';
	size_t len = brackets ? strcspn(host + 1, "]") : strcspn(host, ":");

	host += brackets;
	if (len == 0 || len > HOST_MAX)
		return false;
	const char *port = host + len + brackets;
	if ((brackets && host[len] != ']') || (*port && *port != ':') ||
		(*port && port[1 + strspn(port + 1, "0123456789")]))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	if (brackets)
		return inet_pton(AF_INET6, name, &address) == 1;
	return is_address(name) || strspn(name, plain_letters) == len || listed(name, hosts);
}

bool guard_token_equal(const char *given, const char *token)
{
	size_t given_len = strnlen(given, CONFIG_TEXT_MAX),
	       token_len = strnlen(token, CONFIG_TEXT_MAX);
	volatile unsigned char differs = given_len != token_len;

	for (size_t i = 0; i < CONFIG_TEXT_MAX; i++) {
		char a = i < given_len ? given[i] : '\0', b = i < token_len ? token[i] : '\0';
		differs = (unsigned char)(differs | (a ^ b));
	}
	return token_len > 0 && !differs;
}
