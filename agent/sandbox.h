/* What the agent gives up once its ports are bound: core dumps, being looked into by others, and
 * every system call that it has no use for. A hole in a parser then reaches no program to run, no
 * other process, no mount and no module.
 *
 * The filter is an allow-list for x86-64 and arm64. What is not on it answers EPERM, what is newer
 * than the list ENOSYS, so that the C library falls back; a call by another architecture's numbers
 * ends the process. Threads must be threads: fork and namespaces are refused, sockets are of the
 * families UNIX, INET, INET6 and NETLINK. In builds with the address or thread sanitizer, whose
 * run time needs more, nothing is applied. */
#ifndef ISOLDE_AGENT_SANDBOX_H
#define ISOLDE_AGENT_SANDBOX_H

#include "common/status.h"
#include <stdbool.h>

/* No core files, and no ptrace or /proc/PID/mem for others of our user: secrets stay inside. */
void sandbox_hide(void);

/* For good, for every thread there is and will be. *applied: false where the kernel or the build
 * has no filter, which is no failure. STATUS_CANT_CREATE if there is one and it refuses. */
enum status sandbox_apply(bool *applied, struct why *why) MUST_USE;

#endif
