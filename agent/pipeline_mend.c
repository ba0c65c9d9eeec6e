/* A history that fails: closed and opened again, or put aside when it is damaged. */
#include "agent/pipeline_internal.h"

/* What the batches assume the store to hold, as it holds it now. */
static void forget_store(struct pipeline *p)
{
	memset(&p->persisted, 0, sizeof(p->persisted)); /* every counter is written anew */
	for (struct machine *m = machines_first(p->machines); m; m = machines_next(m)) {
		m->saved_patience_ms = 0;
		if (m->alarm.id[0])
			m->alarm_unsaved = p->alarms_unsaved = true;
	}
}

/* The history was out of reach at the start, and the reserve may have been behind it: what it
 * counts beyond what we began with happened before, and is added. */
static void catch_up(struct pipeline *p)
{
	struct ledger missed;

	ledger_beyond(&p->persisted, &p->began, &missed);
	metrics_restore(p->options.metrics, &missed);
	ledger_reserve(p, true);
}

static void note_put_aside(struct pipeline *p, const struct why *damage)
{
	log_error("%s; it is put aside as %s.corrupt-1, and a new history begun", damage->text,
		store_location(p->options.store));
	metrics_add(p->options.metrics, METRIC_STORE_PUT_ASIDE, 1);
}

enum status pipeline_mend(struct pipeline *p, enum status trouble, struct why *why)
{
	struct store *store = p->options.store;
	bool was_ready = p->store_known, damaged = trouble == STATUS_CORRUPT;
	struct why damage = *why;
	enum status st = store_reopen(store, damaged, why);

	if (st == STATUS_CORRUPT && !damaged) { /* it shows only now */
		damaged = true;
		damage = *why;
		st = store_reopen(store, true, why);
	}
	if (st != STATUS_OK)
		return st;
	if (damaged)
		note_put_aside(p, &damage);
	if (damaged || !was_ready)
		forget_store(p);
	if (!was_ready && !damaged) {
		st = pipeline_take_over(p, why);
		if (st == STATUS_OK)
			catch_up(p);
	} else if (p->options.outbox) {
		st = outbox_reload(p->options.outbox, why);
	}
	p->store_known = st == STATUS_OK;
	return st;
}
