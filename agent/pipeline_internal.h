/* What pipeline.c (batches), pipeline_judge.c (one message), pipeline_alarms.c (what becomes of
 * alarms), pipeline_commands.c (what people ask) and pipeline_restore.c share; nobody else includes
 * it. */
#ifndef ISOLDE_AGENT_PIPELINE_INTERNAL_H
#define ISOLDE_AGENT_PIPELINE_INTERNAL_H

#include "agent/alarm_stats.h"
#include "agent/hot_tables.h"
#include "agent/machines.h"
#include "agent/pipeline.h"
#include "agent/topic.h"
#include "common/log.h"
#include <string.h>

enum { TOPIC_SIZE = MACHINE_NAME_MAX + 32 };

/* What one message came to. */
struct judgement {
	enum reject reject; /* not REJECT_NONE: the rest but the message is unset */
	bool duplicate;
	int64_t skipped;         /* numbers left out since the machine's last reading */
	size_t changes;          /* of p->changes, by this message and those before */
	struct machine *machine; /* borrowed from p->machines; NULL if rejected */
	struct verdict verdict;
	size_t drifting; /* the rule of common/drift that feeds the alarm; DRIFT_RULES: none */
};

/* A machine as it was before the batch in hand, for taking the batch back. */
struct touched {
	struct machine *machine;
	struct machine before;
};

/* An alarm that changed: what it changed to, and what is to be told of it. */
struct change {
	struct machine *machine;
	enum alarm_change change;
	const char *event; /* for the journal */
	int64_t at_ms;     /* arrival, or when it was asked */
	struct alarm alarm;
};

struct feed;

struct pipeline {
	struct pipeline_options options;
	struct topic_template topic;
	struct machines *machines;
	struct schema schema; /* of the model last seen, or what readings bore before the first */
	bool schema_known;    /* a model was seen */
	char schema_of[MODEL_ID_SIZE]; /* the usual model it was taken from */
	const struct models *models;   /* of the batch in hand */
	struct hot_tables *tables;
	char model[MODEL_ID_SIZE];          /* in hand: the machine's; "": none */
	unsigned stuck_after[FEATURES_MAX]; /* of the model in hand */
	int64_t step_ms;                    /* of its training data, 0: not known */
	struct alarm_policy policy;         /* with the model in hand */
	struct ledger persisted;            /* the counters as the store has them */
	struct ledger persisting;           /* and as the batch in hand will leave them */
	struct ledger began;                /* what the start knew of earlier runs */
	bool alarms_unsent;                 /* of some machine */
	bool alarms_unsaved;                /* of some machine */
	struct judgement *judged;           /* [room] of the current batch */
	size_t room;
	size_t fed; /* of the batch in hand: their verdicts are out, in an attempt before */
	struct touched *touched; /* [touched_room] */
	size_t touched_count, touched_room;
	struct change *changes; /* [change_room] of the current batch, command or tick */
	size_t change_count, change_room;
	struct feed *feed; /* NULL: verdicts are not batched */
	struct alarm_stats stats;
	int64_t heard_ms; /* since when we are connected without a break, 0: we are not */
	int64_t watched_ms, watched_saved_ms; /* the sum of what machines were watched */
	int64_t rates_ms;                     /* when these were last worked out */
	int64_t reserved_ms;                  /* when the reserve's counters were last synced */
	bool store_known;                     /* its counters and alarms are taken over */
	bool in_outbox; /* the changes in hand were stored, and with them what tells of them */
	struct log_limit rejected[REJECT_COUNT];
	struct log_limit groups;
	struct log_limit unsafe;
};

/* pipeline_judge.c: decode, check, score, decide, add to the store. */
enum status judge_message(struct pipeline *p, const struct message *message, struct judgement *j,
	enum pipeline_mode mode, struct why *why);
/* The models of the batch in hand; NULL: none. */
void judge_by(struct pipeline *p, const struct models *models);

/* pipeline_alarms.c */
/* Notes that an alarm changed; ALARM_SAME is no change. */
void change_add(struct pipeline *p, struct machine *machine, enum alarm_change change,
	const char *event, int64_t at_ms);
const char *change_event(enum alarm_change change);
/* Into the open transaction: the changes, and what readings did to alarms. */
enum status changes_persist(struct pipeline *p, struct why *why);
/* The open transaction's end: what the outbox took with it is kept, or is not. */
enum status transaction_end(struct pipeline *p, enum status st, struct why *why);
/* What people are told next is on the disk before they are told, or the disk's trouble is known. */
void make_safe(struct pipeline *p);
/* After the commit (or, with `unsaved`, without one): shows them to those who ask. */
void changes_settle(struct pipeline *p, bool unsaved);
/* Publishes (unless the outbox does) and counts the changes first .. end - 1. */
void changes_tell(struct pipeline *p, size_t first, size_t end);
/* The changes so far, in a transaction of their own; what cannot be written is told all the same,
 * and written when it can. */
void changes_conclude(struct pipeline *p);
enum status change_persist_event(struct pipeline *p, const struct change *c, struct why *why);
/* Into the open transaction: how long a machine may be silent, 0: it is not known. */
enum status pace_write(
	struct pipeline *p, const char *machine, int64_t patience_ms, struct why *why);
/* Puts a machine's alarm, and how all of them behave, where others see them. */
void alarms_show(struct pipeline *p, const struct machine *m);
void alarms_show_rates(struct pipeline *p);

/* By how much each counter of one is larger than the other's; 0 where it is not. */
void ledger_beyond(const struct ledger *later, const struct ledger *earlier, struct ledger *out);
/* The counters into the reserve, and with `safe` onto its disk. */
void ledger_reserve(struct pipeline *p, bool safe);
/* Takes over what the store holds. */
enum status pipeline_take_over(struct pipeline *p, struct why *why);
/* pipeline_feed.c: verdicts to the broker, as alerts.verdicts wants them. */
/* *out is the caller's, free; NULL where none is needed. */
enum status feed_create(const struct alerts_config *alerts, struct feed **out, struct why *why);
/* Before the commit: tells a verdict of QoS 0. False: it is feed_late's. */
bool feed_early(struct pipeline *p, const struct judgement *j);
/* After the commit: tells what was not told before it. False: that was nothing. */
bool feed_late(struct pipeline *p, const struct judgement *j);
/* Verdicts of QoS 1 into the open transaction, by the outbox; batched ones are a live feed. */
enum status feed_persist(struct pipeline *p, size_t n, struct why *why);
/* After the last of a batch. */
void feed_flush(struct pipeline *p);

/* pipeline_restore.c: what an earlier run left in the store. */
enum status alarms_restore(struct pipeline *p, struct why *why);
/* And in the reserve, while the store could not be written. */
void alarms_restore_reserve(struct pipeline *p);

#endif
