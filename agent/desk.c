#include "agent/commands.h"
#include "common/timeutil.h"
#include <pthread.h>
#include <stdlib.h>

enum stage { STAGE_WAITS, STAGE_IN_HAND, STAGE_DONE };

/* On the stack of who waits. */
struct ticket {
	const struct command *command;
	struct command_answer *answer;
	enum stage stage;
};

struct desk {
	pthread_mutex_t lock;
	pthread_cond_t done;
	struct ticket *waiting[DESK_WAITING_MAX]; /* in order */
	size_t count;
	bool closed;
	bool away;       /* the worker has a batch in hand */
	size_t settling; /* who waits for that */
	void (*wake)(void *context);
	void *context;
};

enum status desk_create(void (*wake)(void *context), void *context, struct desk **out)
{
	struct desk *desk = calloc(1, sizeof(*desk));
	pthread_condattr_t monotonic;

	if (!desk)
		return STATUS_NO_MEMORY;
	desk->wake = wake;
	desk->context = context;
	pthread_mutex_init(&desk->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&desk->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = desk;
	return STATUS_OK;
}

void desk_destroy(struct desk *desk)
{
	if (!desk)
		return;
	pthread_cond_destroy(&desk->done);
	pthread_mutex_destroy(&desk->lock);
	free(desk);
}

/* Needs the lock. */
static void take_back(struct desk *desk, const struct ticket *ticket)
{
	size_t kept = 0;

	for (size_t i = 0; i < desk->count; i++) {
		if (desk->waiting[i] != ticket)
			desk->waiting[kept++] = desk->waiting[i];
	}
	desk->count = kept;
}

/* Needs the lock. What is in hand is waited for: its answer is being written. */
static void await(struct desk *desk, struct ticket *ticket)
{
	struct timespec deadline =
		time_spec(time_monotonic_ns() + DESK_DEADLINE_MS * INT64_C(1000000));
	int rc = 0;

	while (ticket->stage == STAGE_WAITS && rc == 0 && !desk->closed)
		rc = pthread_cond_timedwait(&desk->done, &desk->lock, &deadline);
	while (ticket->stage == STAGE_IN_HAND)
		pthread_cond_wait(&desk->done, &desk->lock);
	if (ticket->stage == STAGE_DONE)
		return;
	take_back(desk, ticket);
	ticket->answer->status = fail(&ticket->answer->why, STATUS_UNAVAILABLE,
		desk->closed ? "the agent is stopping"
			     : "the agent is too busy just now; nothing was done");
}

void desk_ask(struct desk *desk, const struct command *command, struct command_answer *answer)
{
	struct ticket ticket = { .command = command, .answer = answer };

	pthread_mutex_lock(&desk->lock);
	if (desk->closed) {
		answer->status = fail(&answer->why, STATUS_UNAVAILABLE, "the agent is stopping");
	} else if (desk->count == DESK_WAITING_MAX) {
		answer->status = fail(&answer->why, STATUS_FULL,
			"%d requests wait already; nothing was done", DESK_WAITING_MAX);
	} else {
		desk->waiting[desk->count++] = &ticket;
		if (desk->wake)
			desk->wake(desk->context);
		await(desk, &ticket);
	}
	pthread_mutex_unlock(&desk->lock);
}

enum { SETTLE_MS = 250 };

void desk_settle(struct desk *desk)
{
	struct timespec deadline = time_spec(time_monotonic_ns() + SETTLE_MS * INT64_C(1000000));
	int rc = 0;

	pthread_mutex_lock(&desk->lock);
	desk->settling++;
	if (desk->away && desk->wake)
		desk->wake(desk->context);
	while (desk->away && rc == 0 && !desk->closed)
		rc = pthread_cond_timedwait(&desk->done, &desk->lock, &deadline);
	desk->settling--;
	pthread_mutex_unlock(&desk->lock);
}

void desk_leave(struct desk *desk)
{
	pthread_mutex_lock(&desk->lock);
	desk->away = true;
	pthread_mutex_unlock(&desk->lock);
}

bool desk_may_wait(struct desk *desk)
{
	pthread_mutex_lock(&desk->lock);
	bool alone = desk->count == 0 && desk->settling == 0;
	pthread_mutex_unlock(&desk->lock);
	return alone;
}

void desk_serve(struct desk *desk, desk_worker *work, void *context)
{
	pthread_mutex_lock(&desk->lock);
	if (desk->away)
		pthread_cond_broadcast(&desk->done);
	desk->away = false;
	while (desk->count > 0 && !desk->closed) {
		struct ticket *ticket = desk->waiting[0];
		take_back(desk, ticket);
		ticket->stage = STAGE_IN_HAND;
		pthread_mutex_unlock(&desk->lock);
		work(context, ticket->command, ticket->answer);
		pthread_mutex_lock(&desk->lock);
		ticket->stage = STAGE_DONE;
		pthread_cond_broadcast(&desk->done);
	}
	pthread_mutex_unlock(&desk->lock);
}

void desk_close(struct desk *desk)
{
	pthread_mutex_lock(&desk->lock);
	desk->closed = true;
	pthread_cond_broadcast(&desk->done);
	pthread_mutex_unlock(&desk->lock);
}
