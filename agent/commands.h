/* What people ask of alarms and machines, by HTTP and by MQTT alike: how it is read from JSON, and
 * how it is handed to the worker, who alone may touch their state. Reading is pure; the desk is
 * any thread's. */
#ifndef ISOLDE_AGENT_COMMANDS_H
#define ISOLDE_AGENT_COMMANDS_H

#include "common/alarm.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

enum command_verb {
	COMMAND_ACK,
	COMMAND_SHELVE,
	COMMAND_UNSHELVE,
	COMMAND_FALSE_ALARM,
	COMMAND_STOP,
	COMMAND_START,
	COMMAND_FORGET,
	COMMAND_VERBS
};
const char *command_name(enum command_verb verb);
bool command_parse_verb(const char *name, enum command_verb *out);
/* stop, start and forget are about a machine, the others about an alarm. */
bool command_of_machine(enum command_verb verb);

struct command {
	enum command_verb verb;
	char id[ALARM_ID_SIZE];             /* of the alarm; "": the present one of `machine` */
	char machine[MACHINE_NAME_MAX + 1]; /* "" if an id is given */
	char operator_name[ALARM_OPERATOR_MAX + 1];
	char reason[ALARM_REASON_MAX + 1];
	int64_t at_ms;    /* when it was asked */
	int64_t until_ms; /* of a shelf */
};

/* Takes {"operator","reason","minutes" or "until"} out of `body` (NULL: nothing was sent) into
 * *out, whose verb and at_ms are set; with `named` also "id" or "machine". A shelf needs a time,
 * `most_h` hours away at most, and a reason. *field is the member that is wrong. */
enum status command_parse(const struct cJSON *body, bool named, int64_t most_h, struct command *out,
	const char **field, struct why *why) MUST_USE;

/* ---- the desk ---- */

/* STATUS_OK and the alarm afterwards as JSON ("" for a machine that was forgotten); NOT_FOUND,
 * CONFLICT, UNAVAILABLE and a sentence. */
struct command_answer {
	enum status status;
	struct why why;
	char alarm[ALARM_RECORD_MAX];
};

enum { DESK_WAITING_MAX = 16, DESK_DEADLINE_MS = 3000 };

struct desk;
/* `wake` (may be NULL) is called when a command comes, to fetch the worker. */
enum status desk_create(void (*wake)(void *context), void *context, struct desk **out) MUST_USE;
void desk_destroy(struct desk *desk); /* nobody waits; NULL is fine */

/* Waits for the worker's answer, DESK_DEADLINE_MS at most: STATUS_UNAVAILABLE after that, and the
 * command will not be carried out; STATUS_FULL when too many wait. Not the worker's. */
void desk_ask(struct desk *desk, const struct command *command, struct command_answer *answer);

/* Waits until the batch that the worker has in hand is in the store; a quarter of a second at most.
 * Not the worker's. */
void desk_settle(struct desk *desk);

/* The worker: takes a batch in hand, before anybody is told of it, and comes back to desk_serve
 * after its commit. */
void desk_leave(struct desk *desk);
/* The worker, with a batch in hand: nobody is at the desk, so that it may wait for more. */
bool desk_may_wait(struct desk *desk);

/* The worker: carries out what waits. */
typedef void desk_worker(
	void *context, const struct command *command, struct command_answer *answer);
void desk_serve(struct desk *desk, desk_worker *work, void *context);

/* Nobody serves from now on: who waits, and who comes, is told so. */
void desk_close(struct desk *desk);

#endif
