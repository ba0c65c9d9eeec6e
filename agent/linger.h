/* How long a commit waits for more messages to share it. A commit costs as much as some thirty
 * scores, and its sync a turn of the disk; verdicts of QoS 0 are out before either, and nobody
 * waits for a PUBACK but the broker, whose window (20 messages, if nobody set it) LINGER_FEW hardly
 * touch.
 *
 * Where messages come one behind the other more of them may share: twice as many as the last time,
 * up to LINGER_MANY, as long as none is missed. A silence, of LINGER_GAPS of the batch's mean
 * distances, ends the batch: the window may be full. It was if the next message comes at once when
 * we acknowledge, or, from a broker far away, if LINGER_IN_A_ROW times nothing came before (else it
 * was a broker that writes its file, or sensors that rest): then half of the batch is enough, and
 * that grows no more for LINGER_GROW_S.
 *
 * Where the window is smaller than LINGER_FEW, nothing comes while we wait and the next message
 * comes as soon as we acknowledge. Seen so LINGER_IN_A_ROW times, and for LINGER_HURRY_S nothing
 * waits.
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
	LINGER_MANY = 200,
	LINGER_GAPS = 8,
	LINGER_SILENCE_MS = 20, /* no shorter */
	LINGER_GROW_S = 60,
	LINGER_AT_ONCE_MS = 20,
	LINGER_IN_A_ROW = 4,
	LINGER_HURRY_S = 60,
};

struct linger {
	int64_t first_ns, last_ns; /* when the batch in hand began, when it last grew */
	size_t n;                  /* messages in it */
	size_t enough;             /* for a commit; 0: LINGER_FEW */
	int64_t grow_ns;           /* until then that does not grow */
	int64_t hurry_ns;          /* until then nothing waits */
	bool silent;               /* a silence ended the last batch */
	unsigned silences; /* since a message last came before all others were acknowledged */
	bool in_vain;      /* the last batch waited to the end, and half of it for nothing */
	unsigned in_a_row; /* such batches after whose acknowledgement the next began at once */
};

/* A batch begins; `acknowledged_ns`: when messages were acknowledged last, 0: never. */
void linger_begin(struct linger *linger, int64_t now_ns, int64_t acknowledged_ns);

/* How long a batch of `n` may wait for more, 0: not at all. */
int linger_ms(struct linger *linger, int64_t now_ns, size_t n);

/* It has waited, and `grew` or not. */
void linger_waited(struct linger *linger, int64_t now_ns, bool grew);

#endif
