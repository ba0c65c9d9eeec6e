/* How long a commit waits for more messages to share it. A commit costs as much as some thirty
 * scores, and its sync a turn of the disk; verdicts of QoS 0 are out before either, and nobody
 * waits for a PUBACK but the broker, whose window (20 messages, if nobody set it) LINGER_FEW hardly
 * touch.
 *
 * Where the window is smaller, nothing comes while we wait and the next message comes as soon as we
 * acknowledge. Seen so LINGER_IN_A_ROW times, and for LINGER_HURRY_S nothing waits.
 *
 * Where messages come fast, each would wake the worker and each few would have a commit: the worker
 * naps instead, and takes what came meanwhile at once.
 *
 * Pure: time comes in, monotonic, in nanoseconds. One thread's. */
#ifndef ISOLDE_AGENT_LINGER_H
#define ISOLDE_AGENT_LINGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LINGER_MS = 400,
	LINGER_FEW = 8,
	LINGER_AT_ONCE_MS = 20,
	LINGER_IN_A_ROW = 4,
	LINGER_HURRY_S = 60,
	LINGER_MANY = 200,    /* are enough for a commit */
	LINGER_NAP_US = 1000, /* while messages come at that for LINGER_FEW of them, or faster */
	LINGER_NAPS_MS = 12,  /* no longer in a batch */
};

struct linger {
	int64_t first_ns, last_ns; /* when the batch in hand began, when it last grew */
	int64_t hurry_ns;          /* until then nothing waits */
	size_t napped;     /* messages of the batch in hand at its last nap, 0: there was none */
	bool in_vain;      /* the last batch waited to the end, and half of it for nothing */
	unsigned in_a_row; /* such batches after whose acknowledgement the next began at once */
};

/* A batch begins; `acknowledged_ns`: when messages were acknowledged last, 0: never. */
void linger_begin(struct linger *linger, int64_t now_ns, int64_t acknowledged_ns);

/* How long a batch of `n` may wait for more, 0: not at all. */
int linger_ms(const struct linger *linger, int64_t now_ns, size_t n);

/* How long a batch of `n` may sleep before it looks for more, in microseconds, 0: not at all. A nap
 * that brought nothing was the last of its batch. */
int linger_nap_us(struct linger *linger, int64_t now_ns, size_t n);

/* It has waited, and `grew` or not. */
void linger_waited(struct linger *linger, int64_t now_ns, bool grew);

#endif
