/* What Paho has no options for, by wrapping what it calls (cmake/libraries.cmake). Part of the mqtt
 * module; nobody else includes it. */
#ifndef ISOLDE_COMMON_MQTT_SOCKET_H
#define ISOLDE_COMMON_MQTT_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

/* A first connection is being made: Paho's naps are short for a second. Any thread. */
void mqtt_quick_start(void);

/* What Paho has to be given as its server so that it reaches the unix-domain socket at `path` (at
 * most MQTT_PATH_MAX bytes), into uri[size]. One path has one uri, for good. false:
 * MQTT_SOCKETS_MAX paths are known already. */
enum { MQTT_SOCKETS_MAX = 64 };
bool mqtt_socket_uri(const char *path, char *uri, size_t size);

/* Why the last attempt on one of them failed, as "path: reason"; false if it did not, or this was
 * told already. */
bool mqtt_socket_trouble(char *out, size_t size);

#endif
