/* Named places where a test build can be made to die, so that every instant of the path from
 * message to history can be tried. Compiled in with -DISOLDE_FAILPOINTS=ON only; elsewhere a
 * failpoint is nothing at all.
 *
 * The environment says where: ISOLDE_FAIL=after_commit:137 kills the process (SIGKILL, as a power
 * cut or the kernel's out-of-memory killer would) at the 137th passage of that place; several are
 * separated by commas. Any thread. */
#ifndef ISOLDE_COMMON_FAILPOINT_H
#define ISOLDE_COMMON_FAILPOINT_H

#ifdef ISOLDE_FAILPOINTS
#define FAILPOINT(name) failpoint_pass(#name)
void failpoint_pass(const char *name);
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
