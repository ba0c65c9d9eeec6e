#include "common/mqtt.h"
#include "common/number.h"
#include <string.h>

static enum status parse_path(
	const char *url, const char *path, struct mqtt_address *out, struct why *why)
{
	size_t len = strlen(path);

	if (*path != '/' || path[len - 1] == '/')
		return fail(why, STATUS_BAD_CONFIG,
			"\"%.100s\" names no socket by its whole path; it is unix:///path/to/socket",
			url);
	if (len > MQTT_PATH_MAX)
		return fail(why, STATUS_BAD_CONFIG,
			"\"%.100s...\": the path of a socket has at most %d bytes", url,
			MQTT_PATH_MAX);
	*out = (struct mqtt_address){ .local = true };
	memcpy(out->host, path, len + 1);
	return STATUS_OK;
}

static enum status parse_host(
	const char *url, const char *at, bool tls, struct mqtt_address *out, struct why *why)
{
	bool bracket = *at == '[';
	size_t len = bracket ? strcspn(at, "]") + 1 : strcspn(at, ":/");
	long long port = tls ? 8883 : 1883;

	if (len == 0 || len > MQTT_HOST_MAX || (bracket && (len < 3 || at[len - 1] != ']')))
		return fail(why, STATUS_BAD_CONFIG, "\"%.100s\" names no host", url);
	const char *rest = at + len;
	if (*rest == ':' && !number_parse_integer(rest + 1, 1, 65535, &port))
		return fail(why, STATUS_BAD_CONFIG,
			"\"%.100s\": the port is not a number of 1 .. 65535", url);
	if (*rest != ':' && *rest != '\0')
		return fail(why, STATUS_BAD_CONFIG, "\"%.100s\": a broker url has no path", url);
	*out = (struct mqtt_address){ .tls = tls, .port = (int)port };
	memcpy(out->host, at, len);
	return STATUS_OK;
}

/* What follows the scheme, NULL if the url has another one. */
static const char *behind(const char *url, const char *scheme)
{
	size_t len = strlen(scheme);

	return strncmp(url, scheme, len) == 0 ? url + len : NULL;
}

enum status mqtt_parse_url(const char *url, struct mqtt_address *out, struct why *why)
{
	const char *rest;

	if (strchr(url, '@')) /* the url itself is not shown: it may hold a password */
		return fail(why, STATUS_BAD_CONFIG,
			"a broker url holds no user and password; there are settings for them");
	if ((rest = behind(url, "unix://")))
		return parse_path(url, rest, out, why);
	if ((rest = behind(url, "mqtt://")))
		return parse_host(url, rest, false, out, why);
	if ((rest = behind(url, "mqtts://")))
		return parse_host(url, rest, true, out, why);
	return fail(why, STATUS_BAD_CONFIG,
		"\"%.100s\" begins with none of mqtt://, mqtts:// and unix://", url);
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
	struct mqtt_address address;
	char url[MQTT_URL_SIZE];
	size_t count = 0;

	for (const char *at = list; (at = mqtt_next_url(at, url)); count++) {
		enum status st = mqtt_parse_url(url, &address, why);
		if (st != STATUS_OK)
			return st;
		if (count == MQTT_URLS_MAX)
			return fail(
				why, STATUS_BAD_CONFIG, "more than %d broker urls", MQTT_URLS_MAX);
		if (count > 0 && address.tls != *tls)
			return fail(why, STATUS_BAD_CONFIG,
				"\"%.100s\": with and without mqtts:// in one list; a broker that is "
				"away must not make the next connection one without TLS",
				url);
		*tls = address.tls;
	}
	if (count == 0)
		return fail(why, STATUS_BAD_CONFIG, "\"%.100s\" names no broker", list);
	return STATUS_OK;
}
