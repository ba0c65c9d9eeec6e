/* What the pipeline knows of each machine. One thread. */
#ifndef ISOLDE_AGENT_MACHINES_H
#define ISOLDE_AGENT_MACHINES_H

#include "agent/quality.h"
#include "common/alarm.h"
#include "common/drift.h"
#include "common/model.h"
#include "common/smooth.h"
#include "common/store.h"

/* What readings leave behind for the next ones. */
struct watch {
	struct quality_state quality;
	struct pace pace;
	struct smooth smooth;
	struct drift *drift; /* [DRIFT_RULES], the machine's; NULL: no model had such rules, or
				there was no memory */
	char model[MODEL_ID_SIZE]; /* that this was last added to with; "": none yet */
};

struct machine {
	char name[MACHINE_NAME_MAX + 1];
	int64_t newest_ms;  /* time of its newest reading, -1: none yet */
	int64_t newest_seq; /* number of its newest reading since the start, -1: none yet */
	struct watch watch;
	int64_t saved_patience_ms; /* of the pace, as the store has it */
	struct alarm alarm;
	bool touched;       /* by the batch in hand */
	bool alarm_unsent;  /* the broker has not been told of its state */
	bool alarm_unsaved; /* it changed while the store could not be written */
};

struct machines;

/* At most `max`; `store` (borrowed) is asked for the newest reading of a machine on its first
 * message. */
enum status machines_create(
	struct store *store, size_t max, struct machines **out, struct why *why) MUST_USE;
void machines_destroy(struct machines *machines); /* NULL is fine */

/* Finds or adds; *out is borrowed and stays where it is. STATUS_FULL: a new one beyond the limit
 * (*out is untouched). */
enum status machines_find(struct machines *machines, const char *name, struct machine **out,
	struct why *why) MUST_USE;
/* Only one that is there; NULL if it is not. */
struct machine *machines_peek(struct machines *machines, const char *name);
/* Forgets it; it is gone afterwards. */
void machines_remove(struct machines *machines, struct machine *machine);
size_t machines_count(const struct machines *machines);

/* In the order they were added. */
struct machine *machines_first(struct machines *machines);
struct machine *machines_next(struct machine *machine);

#endif
