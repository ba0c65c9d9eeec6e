/* A room of mqtt: why a TLS connection failed, in words a person can act on.
 *
 * Paho says no more than "TCP/TLS connect failure". The build wraps three of OpenSSL's functions
 * that Paho calls (cmake/libraries.cmake), and this file listens there; it changes nothing but the
 * least version (TLS 1.2), the brackets of an IPv6 address, and the moment when a connection counts
 * as made. What was heard is kept for the
 * whole process: it has one connection. Any thread. */
#ifndef ISOLDE_COMMON_MQTT_TLS_H
#define ISOLDE_COMMON_MQTT_TLS_H

#include <stdbool.h>
#include <stddef.h>

/* The newest trouble, once: false if there was none since the last call. */
bool mqtt_tls_trouble(char *out, size_t size);
/* TLS came about since the last call: what failed came after it. To be called when a connection
 * stands too, so that it does not explain the next failure. */
bool mqtt_tls_shaken(void);

#endif
