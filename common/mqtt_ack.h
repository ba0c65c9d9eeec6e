/* When a received QoS-1 message is acknowledged: by Paho as soon as on_message returns, or by us
 * once it is safe; and QoS-0 publishes that leave together. Part of the mqtt module; nobody else
 * includes it. */
#ifndef ISOLDE_COMMON_MQTT_ACK_H
#define ISOLDE_COMMON_MQTT_ACK_H

#include "common/mqtt.h"

struct mqtt_ack;

/* From now on Paho's PUBACKs of the client with this id are withheld until mqtt_ack_send. NULL
 * without memory. */
struct mqtt_ack *mqtt_ack_create(const char *client_id);
void mqtt_ack_destroy(struct mqtt_ack *ack); /* NULL is fine; the connection is gone by then */

/* The connection came up or went down: what was withheld so far is void, because the broker
 * delivers those messages again on the next one. On Paho's thread, under its lock. */
void mqtt_ack_void(struct mqtt_ack *ack);

/* The connection a message arrives on now, to be handed back with its packet id. */
uint32_t mqtt_ack_generation(const struct mqtt_ack *ack);

/* Acknowledges `n` messages in this order, behind those that the socket had no room for before;
 * those of an older connection are passed over. n = 0 tries again what waits. Any thread but
 * Paho's; waits for Paho's lock, never for the network. */
void mqtt_ack_send(struct mqtt_ack *ack, const struct mqtt_receipt *receipts, size_t n);

/* A publish of QoS 0, not retained: it leaves with mqtt_ack_flush, or when WRITE_SIZE (16 KB) are
 * together, and waits while the socket has no room; lost with the connection. STATUS_NOT_FOUND: how
 * to write is not known yet, Paho can; STATUS_FULL: too much waits. Any thread but Paho's. */
enum status mqtt_ack_publish(
	struct mqtt_ack *ack, const char *topic, const void *payload, size_t len) MUST_USE;
void mqtt_ack_flush(struct mqtt_ack *ack);

/* Acknowledgements or publishes wait for the socket, and none has gone since `ns` (monotonic). Any
 * thread. */
bool mqtt_ack_stalled_since(struct mqtt_ack *ack, int64_t ns);

/* Ends the present connection, as if its cable were cut. */
void mqtt_ack_break(struct mqtt_ack *ack);

#endif
