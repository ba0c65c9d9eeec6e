/* What Paho has no options for, by wrapping what it calls (cmake/libraries.cmake). Part of the mqtt
 * module; nobody else includes it. */
#ifndef ISOLDE_COMMON_MQTT_SOCKET_H
#define ISOLDE_COMMON_MQTT_SOCKET_H

/* A first connection is being made: Paho's naps are short for a second. Any thread. */
void mqtt_quick_start(void);

#endif
