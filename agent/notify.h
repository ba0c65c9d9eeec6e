/* systemd's readiness protocol: one datagram to the socket that NOTIFY_SOCKET names
 * (sd_notify(3)). Without it, nothing happens. Main thread. */
#ifndef ISOLDE_AGENT_NOTIFY_H
#define ISOLDE_AGENT_NOTIFY_H

#include <stdint.h>

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=...", "RELOADING=1\nMONOTONIC_USEC=..." */
void notify_send(const char *state);

/* Milliseconds between two WATCHDOG=1 (half of what systemd allows), 0 if none are wanted. */
int64_t notify_watchdog_ms(void);

#endif
