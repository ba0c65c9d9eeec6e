/* Reading ahead on Paho's sockets. Part of the mqtt module; nobody else includes it. */
#ifndef ISOLDE_COMMON_MQTT_AHEAD_H
#define ISOLDE_COMMON_MQTT_AHEAD_H

#include <stdbool.h>

/* From now on, and until it is closed, `fd` is read in large pieces. Only if it is non-blocking;
 * without memory it is read as before. `all_written(fd)` says, under Paho's socket lock, that no
 * write to it is unfinished. */
void mqtt_ahead_add(int fd, int (*all_written)(int fd));

/* A whole PUBLISH (MQTT 3.1.1, 3.3) of QoS 0 or 1 was read ahead: its on_message follows at once,
 * unless the connection ends before. Any thread. */
bool mqtt_ahead_more(void);

#endif
