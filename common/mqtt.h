/* One connection to the broker that keeps itself up (Eclipse Paho MQTTAsync, MQTT 3.1.1).
 *
 * `on_message` runs on Paho's receive thread with Paho's process-wide lock held: it must return
 * at once and may not call back into this module. The other functions may be called from any
 * other thread and never wait, but mqtt_stop. The connection is made again for ever, with
 * back-off from 0.1 to 30 s, and the subscription with it. Connection up and down is logged here.
 */
#ifndef ISOLDE_COMMON_MQTT_H
#define ISOLDE_COMMON_MQTT_H

#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mqtt;

/* What a received QoS-1 message is acknowledged by. */
struct mqtt_receipt {
	int packet_id;
	uint32_t generation; /* of the connection it came on */
};

/* A received message. Pointers die when the handler returns. */
struct mqtt_message {
	const char *topic;
	size_t topic_len;
	const void *payload;
	size_t len;
	int qos;
	bool retained;
	bool more;                   /* another is at hand and follows at once */
	struct mqtt_receipt receipt; /* to acknowledge it with; packet id 0 at QoS 0 */
};
typedef void mqtt_on_message(void *context, const struct mqtt_message *message);

/* A publish came to its end: acknowledged by the broker (QoS 0: written), or failed and the
 * caller's to repeat. On a Paho thread, like on_message. */
typedef void mqtt_on_published(void *context, uint64_t token, bool delivered);

enum { MQTT_FILTERS_MAX = 4 };
struct mqtt_options {
	const char *url; /* mqtt://host[:1883], mqtts://host[:8883] or unix:///path/to/socket, or
			    several with commas between, tried in turn; all with TLS or none */
	const char *client_id;
	const char *username; /* NULL or "": none */
	const char *password;
	const char *ca_file;   /* mqtts: NULL or "" means the system's certificates */
	const char *cert_file; /* client certificate, NULL or "": none */
	const char *key_file;
	int keepalive_s;
	bool clean_session;
	bool acknowledge_later;     /* QoS-1 messages are acknowledged by mqtt_acknowledge, not when
				       on_message returns */
	const char *const *filters; /* [filter_count] subscribed at QoS 1 on every connect */
	size_t filter_count;        /* at most MQTT_FILTERS_MAX; 0: publisher only */
	/* Subscribed at QoS 0 as well; the broker may refuse them. At most MQTT_FILTERS_MAX. */
	const char *const *optional_filters;
	size_t optional_count;
	const char *will_topic; /* retained, QoS 1; NULL: no last will */
	const char *will_payload;
	const char *birth_payload;   /* published on will_topic on every connect; NULL: nothing */
	const char *goodbye_payload; /* published on will_topic by mqtt_stop; "" clears it; NULL:
					nothing */
	mqtt_on_message *on_message; /* NULL: publisher only */
	mqtt_on_published *on_published; /* NULL: nobody wants to know */
	void *context;
};

/* Copies the options. Nothing is sent before mqtt_start. STATUS_BAD_CONFIG for a bad url, and for
 * TLS that is half set up: files with a url that does not encrypt, a certificate without its key,
 * files that the two below refuse. */
enum status mqtt_create(
	const struct mqtt_options *options, struct mqtt **out, struct why *why) MUST_USE;
/* Begins to connect and returns. */
enum status mqtt_start(struct mqtt *mqtt, struct why *why) MUST_USE;

/* A token for who does not want to know the end. */
#define MQTT_UNTOLD (UINT64_MAX - 1)

/* STATUS_UNAVAILABLE while the broker is away, STATUS_FULL when MQTT_UNSENT_MAX publishes wait
 * for their end; both mean that nothing was taken. `token` comes back in on_published. */
enum { MQTT_UNSENT_MAX = 20000 };
enum status mqtt_publish(struct mqtt *mqtt, const char *topic, const void *payload, size_t len,
	int qos, bool retain, uint64_t token) MUST_USE;

/* The same for QoS 0, not retained, where many follow each other: with acknowledge_later they are
 * collected, at most 4 MB, and leave in one write with mqtt_flush, or earlier. Call mqtt_flush
 * after the last, and now and then for what the socket had no room for. Any thread but Paho's. */
enum status mqtt_publish_soon(
	struct mqtt *mqtt, const char *topic, const void *payload, size_t len) MUST_USE;
void mqtt_flush(struct mqtt *mqtt);

/* Acknowledges received QoS-1 messages, in this order, once they are safe. What came on an
 * earlier connection is passed over: the broker delivers it again. Call it now and then with n = 0
 * too: what the socket has no room for waits for the next call. Any thread but Paho's; only with
 * acknowledge_later, and not after mqtt_stop. */
void mqtt_acknowledge(struct mqtt *mqtt, const struct mqtt_receipt *receipts, size_t n);

bool mqtt_connected(const struct mqtt *mqtt);
bool mqtt_subscribed(const struct mqtt *mqtt);   /* the broker granted every filter */
uint64_t mqtt_connects(const struct mqtt *mqtt); /* times the connection came up */
size_t mqtt_unsent(const struct mqtt *mqtt);     /* publishes not yet at their end */
/* The last trouble in a sentence, "" if there was none. */
void mqtt_trouble(const struct mqtt *mqtt, char *out, size_t size);

/* Ends a connection that TCP calls open but on which nothing has come to its end for MQTT_STALL_S:
 * publishes without their PUBACK, or acknowledgements that the socket does not take. It is made
 * anew. Call it now and then from the thread that acknowledges; true if it did. */
enum { MQTT_STALL_S = 30 };
bool mqtt_end_stalled(struct mqtt *mqtt);

/* Ends the connection so that the next one brings what was never acknowledged. From the thread that
 * acknowledges; only with acknowledge_later. */
void mqtt_renew(struct mqtt *mqtt);

/* Connections that came up and were lost again within seconds, in the last minute: above
 * MQTT_TAKEOVERS another client probably bears our id, and the two keep throwing each other out. */
enum { MQTT_TAKEOVERS = 3 };
unsigned mqtt_short_connections(const struct mqtt *mqtt);

/* Says goodbye, waits up to timeout_ms for what is unsent, disconnects. After it returns no
 * callback runs. */
void mqtt_stop(struct mqtt *mqtt, int timeout_ms);
void mqtt_destroy(struct mqtt *mqtt); /* NULL is fine; stops at once if still running */

/* The file holds a certificate; cert_file and key_file belong together, and others may not read the
 * key. Without a passphrase. STATUS_BAD_CONFIG, the sentence begins with the file. */
enum status mqtt_check_ca(const char *ca_file, struct why *why) MUST_USE;
enum status mqtt_check_key(const char *cert_file, const char *key_file, struct why *why) MUST_USE;

/* The next url of a list with commas between, blanks aside, into out[MQTT_URL_SIZE]: the place
 * behind it, or NULL when there was none left. */
enum { MQTT_URL_SIZE = 300, MQTT_URLS_MAX = 8 };
const char *mqtt_next_url(const char *list, char out[MQTT_URL_SIZE]);

/* Every url of a list: 1 to MQTT_URLS_MAX, all with TLS or none. */
enum status mqtt_check_urls(const char *list, bool *tls, struct why *why) MUST_USE;

/* Where a broker listens. A path is at most MQTT_PATH_MAX bytes long: what struct sockaddr_un has
 * room for (Linux, unix(7)). */
enum { MQTT_HOST_MAX = 255, MQTT_PATH_MAX = 107 };
struct mqtt_address {
	bool tls;
	bool local; /* a unix-domain socket: `host` is its path, there is no port */
	char host[MQTT_HOST_MAX + 1]; /* an IPv6 address in its brackets */
	int port;
};

/* An mqtt://, mqtts:// or unix:// url. Refuses a password inside, a path behind a host, a bad port,
 * and of a socket what is no whole path or too long for one. */
enum status mqtt_parse_url(const char *url, struct mqtt_address *out, struct why *why) MUST_USE;

#endif
