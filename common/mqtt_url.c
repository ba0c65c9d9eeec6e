#include "common/mqtt.h"
#include "common/number.h"
#include <string.h>

enum status mqtt_parse_url(
	const char *url, bool *tls, char *host, size_t host_size, int *port, struct why *why)
{
	static const char plain[] = "mqtt://", secure[] = "mqtts://";
	const char *at;

	if (strchr(url, '@')) /* the url itself is not shown: it may hold a password */
		return fail(why, STATUS_BAD_CONFIG,
			"a broker url holds no user and password; there are settings for them");
	if (strncmp(url, plain, sizeof(plain) - 1) == 0) {
		*tls = false;
		at = url + sizeof(plain) - 1;
	} else if (strncmp(url, secure, sizeof(secure) - 1) == 0) {
		*tls = true;
		at = url + sizeof(secure) - 1;
	} else {
		return fail(why, STATUS_BAD_CONFIG,
			"\"%.100s\" begins neither with mqtt:// nor mqtts://", url);
	}

	size_t len = *at == '[' ? strcspn(at, "]") + 1 : strcspn(at, ":/");
	bool bracket = *at == '[';
	if (len == 0 || len >= host_size || (bracket && (len < 3 || at[len - 1] != ']')))
		return fail(why, STATUS_BAD_CONFIG, "\"%.100s\" names no host", url);
	memcpy(host, at, len);
	host[len] = '\0';
	at += len;

	long long number = *tls ? 8883 : 1883;
	if (*at == ':' && !number_parse_integer(at + 1, 1, 65535, &number))
		return fail(why, STATUS_BAD_CONFIG,
			"\"%.100s\": the port is not a number of 1 .. 65535", url);
	if (*at != ':' && *at != '\0')
		return fail(why, STATUS_BAD_CONFIG, "\"%.100s\": a broker url has no path", url);
	*port = (int)number;
	return STATUS_OK;
}

const char *mqtt_next_url(const char *list, char out[MQTT_URL_SIZE])
{
	list += strspn(list, " ,");
	size_t len = strcspn(list, " ,");

	if (len == 0)
		return NULL;
	/* One too long is cut, and refused for what it then is. */
	size_t kept = len < MQTT_URL_SIZE ? len : MQTT_URL_SIZE - 1;
	memcpy(out, list, kept);
	out[kept] = '\0';
	return list + len;
}

enum status mqtt_check_urls(const char *list, bool *tls, struct why *why)
{
	char url[MQTT_URL_SIZE], host[256];
	size_t count = 0;
	bool secure;
	int port;

	for (const char *at = list; (at = mqtt_next_url(at, url)); count++) {
		enum status st = mqtt_parse_url(url, &secure, host, sizeof(host), &port, why);
		if (st != STATUS_OK)
			return st;
		if (count == MQTT_URLS_MAX)
			return fail(
				why, STATUS_BAD_CONFIG, "more than %d broker urls", MQTT_URLS_MAX);
		if (count > 0 && secure != *tls)
			return fail(why, STATUS_BAD_CONFIG,
				"\"%.100s\": mqtt:// and mqtts:// in one list; a broker that is away "
				"must not make the next connection one without TLS",
				url);
		*tls = secure;
	}
	if (count == 0)
		return fail(why, STATUS_BAD_CONFIG, "\"%.100s\" names no broker", list);
	return STATUS_OK;
}
