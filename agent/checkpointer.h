/* A thread that keeps the history's WAL small and, where commits do not sync by themselves, syncs
 * them: commits never wait for it. */
#ifndef ISOLDE_AGENT_CHECKPOINTER_H
#define ISOLDE_AGENT_CHECKPOINTER_H

#include "agent/metrics.h"
#include "common/status.h"
#include <stdbool.h>

struct checkpointer;

/* `path` of the history, whose writer is open; copied. `lazy`: commits are synced without it, so
 * that few of them may wait some seconds; else all that was committed is synced within a second. */
enum status checkpointer_start(const char *path, struct metrics *metrics, bool lazy,
	struct checkpointer **out, struct why *why) MUST_USE;

/* Ends and waits for the thread; before the writer is closed. NULL is fine. */
void checkpointer_stop(struct checkpointer *checkpointer);

#endif
