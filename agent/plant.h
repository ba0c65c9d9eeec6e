/* The plant as it stands: of every machine the newest reading, what was concluded of it, the state
 * of its alarm and the course of its score over the last ten minutes. It is what the page shows;
 * history has the rest. The worker writes, any thread reads; one lock, held for copies only.
 *
 * Every change of a machine gives its row a version above all others, so that whoever has seen
 * the plant at a version needs only the rows above it. */
#ifndef ISOLDE_AGENT_PLANT_H
#define ISOLDE_AGENT_PLANT_H

#include "common/alarm.h"
#include "common/status.h"
#include "common/verdict.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PLANT_VALUES_MAX = 8, /* of a reading; more are in the history */
	PLANT_WHY_MAX = 3,    /* sensors that explain it */
	PLANT_COURSE = 60,    /* steps, each the highest level in it */
	PLANT_COURSE_STEP_MS = 10000,
};

struct plant_why {
	char sensor[FEATURE_NAME_MAX + 1];
	double value, share, low, high; /* of struct explained */
};

struct plant_row {
	char machine[MACHINE_NAME_MAX + 1];
	uint64_t version;
	unsigned schema;     /* the generation of the schema that `value` has */
	bool read;           /* it sent a reading; without one the rest but the alarm is unset */
	int64_t at_ms;       /* the reading's own time */
	int64_t received_ms; /* its arrival */
	int64_t quality_ms;  /* arrival of the first in a row with this quality */
	int64_t strange_ms;  /* and of the first anomaly in a row, 0: the last was none */
	int64_t patience_ms; /* how long it may be silent, 0: not learnt yet */
	double score, alarm_score, threshold; /* NaN: not scored */
	enum quality quality;
	size_t values, why;
	double value[PLANT_VALUES_MAX];
	struct plant_why explained[PLANT_WHY_MAX];
	int64_t course_step;       /* number of the newest step since the epoch */
	char course[PLANT_COURSE]; /* oldest first; see plant_level */
	/* its alarm */
	enum alarm_state state, condition;
	enum alarm_priority priority;
	unsigned causes, told;
	int64_t since_ms, ended_ms, shelved_until_ms; /* 0: does not apply */
	bool stopped;
	char alarm[ALARM_ID_SIZE]; /* "": it never had one */
	char first_sensor[FEATURE_NAME_MAX + 1];
	char operator_name[ALARM_OPERATOR_MAX + 1];
};

struct plant;

enum status plant_create(struct plant **out) MUST_USE;
void plant_destroy(struct plant *plant); /* NULL is fine */

/* ---- the worker; without memory for one more machine it is not shown ---- */

/* A reading that is no duplicate; one that came late changes nothing. */
void plant_note(struct plant *plant, const struct verdict *verdict, const struct schema *schema,
	int64_t patience_ms);
/* The newest reading of an earlier run, for a machine that sent none since. */
void plant_recall(struct plant *plant, const struct verdict *verdict, const struct schema *schema);
void plant_alarm(struct plant *plant, const char *machine, const struct alarm *alarm);
void plant_remove(struct plant *plant, const char *machine);

/* ---- anybody ---- */

struct plant_view {
	uint64_t version;  /* of the newest row */
	unsigned removals; /* machines forgotten so far: a view with another number starts anew */
	unsigned schema;   /* rows of other generations have values of another order */
	struct plant_row *row; /* the caller's, free() */
	size_t count;
};
/* The rows above version `after`, in no order. */
enum status plant_see(struct plant *plant, uint64_t after, struct plant_view *out) MUST_USE;
/* The names of the values of the newest generation. */
void plant_schema(struct plant *plant, struct schema *out);

/* A score on the scale that all machines share, where 0 lies a threshold's size below the
 * threshold and 1 is the threshold, as one of 64 letters for -1 .. 3: A-Z, a-z, 0-9, -, _. No
 * score: '.'. */
char plant_level(double score, double threshold);

#endif
