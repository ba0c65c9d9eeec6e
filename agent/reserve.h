/* What must not be lost while the history cannot be written: the ledger's counters and the alarms
 * that changed. A small file beside the history, filled when it is made and from then on written
 * in place, so that it needs no free space. Counters are kept twice by turns, each with a digest,
 * so that a write cut short leaves the other. One thread. */
#ifndef ISOLDE_AGENT_RESERVE_H
#define ISOLDE_AGENT_RESERVE_H

#include "agent/metrics.h"
#include "common/alarm.h"
#include "common/status.h"
#include <stdbool.h>

enum { RESERVE_ALARMS = 64 };

struct reserve;

/* `path` of the history; the file is <path>-reserve. `sync`: a write survives a power cut too.
 * Where it can only be read (a read-only disk), it is read, and nothing is kept. *out is the
 * caller's. STATUS_IO. */
enum status reserve_open(
	const char *path, bool sync, struct reserve **out, struct why *why) MUST_USE;
void reserve_close(struct reserve *reserve); /* NULL is fine, here and below */

/* The newest counters that were saved; false if there are none. `pending` and `received` are not
 * among them. */
bool reserve_ledger(const struct reserve *reserve, struct ledger *out);
/* Survives the process; with `safe` what `sync` promised too, and the caller waits for the disk.
 * Errors are the disk's, and counted nowhere: this is the last resort. */
void reserve_save(struct reserve *reserve, const struct ledger *ledger, bool safe);

/* The newest state of a machine's alarm, as alarm_encode_record has it; beyond RESERVE_ALARMS
 * machines the oldest is overwritten. */
void reserve_put_alarm(struct reserve *reserve, const char *machine, const char *record);
typedef void reserve_each(void *context, const char *machine, const char *record);
void reserve_alarms(const struct reserve *reserve, reserve_each *each, void *context);
/* They are in the history now. */
void reserve_clear_alarms(struct reserve *reserve);

#endif
