#include "agent/pipeline_internal.h"
#include "common/store_alarm.h"
#include <stdio.h>
#include <string.h>

static bool take_event(void *context, int64_t id, const struct store_event *event)
{
	(void)id;
	snprintf(context, MACHINE_NAME_MAX + 1, "%s", event->machine);
	return false;
}

/* No machine has this alarm now: one may have had it. */
static enum status refuse_id(struct pipeline *p, const char *id, struct why *why)
{
	char machine[MACHINE_NAME_MAX + 1] = "";
	struct store_event_query query = { .alarm = id, .to_ms = INT64_MAX, .limit = 1 };
	struct why unreadable;

	if (store_find_events(p->options.store, &query, take_event, machine, &unreadable) ==
			STATUS_OK &&
		machine[0])
		return fail(why, STATUS_CONFLICT, "alarm %s is over; machine %s has a newer one",
			id, machine);
	return fail(why, STATUS_NOT_FOUND, "there is no alarm %.40s", id);
}

static enum status find_alarm(
	struct pipeline *p, const struct command *command, struct machine **out, struct why *why)
{
	struct machine *m;

	if (command->id[0]) {
		for (m = machines_first(p->machines); m; m = machines_next(m)) {
			if (strcmp(m->alarm.id, command->id) == 0 &&
				(!command->machine[0] || strcmp(m->name, command->machine) == 0)) {
				*out = m;
				return STATUS_OK;
			}
		}
		return refuse_id(p, command->id, why);
	}
	m = machines_peek(p->machines, command->machine);
	if (!m || !m->alarm.id[0])
		return fail(why, STATUS_NOT_FOUND, "there is no alarm of a machine %s",
			command->machine);
	*out = m;
	return STATUS_OK;
}

/* One that was heard of, if only before the last start. */
static enum status find_machine(
	struct pipeline *p, const char *name, struct machine **out, struct why *why)
{
	int64_t newest_ms = -1;

	*out = machine_name_valid(name, strlen(name)) ? machines_peek(p->machines, name) : NULL;
	if (*out)
		return STATUS_OK;
	/* A store that cannot be read knows none. */
	if (!machine_name_valid(name, strlen(name)) ||
		store_newest(p->options.store, name, &newest_ms, NULL) != STATUS_OK)
		newest_ms = -1;
	if (newest_ms < 0)
		return fail(why, STATUS_NOT_FOUND, "there is no machine %.64s", name);
	return machines_find(p->machines, name, out, why);
}

static enum status act(
	struct pipeline *p, struct machine *m, const struct command *command, struct why *why)
{
	struct alarm_action action = { command->at_ms, command->operator_name, command->reason,
		command->until_ms };
	enum alarm_change change = ALARM_UPDATED;
	const char *event = "";
	enum status st = STATUS_OK;

	switch (command->verb) {
	case COMMAND_ACK:
		st = alarm_acknowledge(&m->alarm, &action, why);
		event = "acknowledged";
		break;
	case COMMAND_SHELVE:
		st = alarm_shelve(&m->alarm, &action, why);
		event = "shelved";
		break;
	case COMMAND_UNSHELVE:
		st = alarm_unshelve(&m->alarm, &action, why);
		event = "unshelved";
		break;
	case COMMAND_FALSE_ALARM:
		st = alarm_deny(&m->alarm, &action, why);
		event = "false_alarm";
		break;
	case COMMAND_STOP:
		change = alarm_stop(&m->alarm, &p->policy, m->name, &action);
		event = "stopped";
		break;
	case COMMAND_START:
		change = alarm_start(&m->alarm, &action);
		event = "started";
		break;
	case COMMAND_FORGET:
	case COMMAND_VERBS:
		return STATUS_BAD_INPUT;
	}
	if (st == STATUS_OK)
		change_add(p, m, change, event, command->at_ms);
	if (st == STATUS_OK && command->verb == COMMAND_FALSE_ALARM)
		metrics_add(p->options.metrics, METRIC_FALSE_ALARMS, 1);
	return st;
}

static enum status write_forgotten(
	struct pipeline *p, struct machine *m, const struct command *command, struct why *why)
{
	struct change change = {
		.machine = m, .event = "forgotten", .at_ms = command->at_ms, .alarm = m->alarm
	};
	enum status st = store_begin(p->options.store, why);

	if (st == STATUS_OK && m->alarm.id[0])
		st = change_persist_event(p, &change, why);
	if (st == STATUS_OK)
		st = store_set_alarm(p->options.store, m->name, NULL, why);
	if (st == STATUS_OK && m->saved_patience_ms > 0)
		st = pace_write(p, m->name, 0, why);
	if (st == STATUS_OK && p->options.outbox) {
		char topic[TOPIC_SIZE];
		snprintf(topic, sizeof(topic), "alerts/%s/alarm", m->name);
		st = outbox_put(p->options.outbox, topic, "", 0, true, why);
	}
	st = transaction_end(p, st, why);
	if (st == STATUS_OK)
		make_safe(p);
	return st;
}

/* Its alarm is gone, here, in the store and at the broker; its history stays. */
static enum status forget(
	struct pipeline *p, struct machine *m, const struct command *command, struct why *why)
{
	char topic[TOPIC_SIZE];

	if (write_forgotten(p, m, command, why) != STATUS_OK)
		return STATUS_UNAVAILABLE;
	snprintf(topic, sizeof(topic), "alerts/%s/alarm", m->name);
	if (!p->in_outbox && !p->options.publish(p->options.context, topic, "", 0, 1, true))
		log_warning("the retained alarm of forgotten machine %s stays at the broker: it is "
			    "away",
			m->name);
	if (p->in_outbox)
		outbox_pump(p->options.outbox);
	if (p->options.board)
		board_remove(p->options.board, m->name);
	if (p->options.plant)
		plant_remove(p->options.plant, m->name);
	if (alarm_active(&m->alarm))
		metrics_add(p->options.metrics, METRIC_ALARMS_ACTIVE, -1);
	machines_remove(p->machines, m);
	metrics_set(p->options.metrics, METRIC_MACHINES, (int64_t)machines_count(p->machines));
	alarms_show_rates(p);
	return STATUS_OK;
}

void pipeline_command(
	struct pipeline *p, const struct command *command, struct command_answer *answer)
{
	bool of_machine = command_of_machine(command->verb);
	struct machine *m = NULL;

	answer->alarm[0] = '\0';
	answer->status = of_machine ? find_machine(p, command->machine, &m, &answer->why)
				    : find_alarm(p, command, &m, &answer->why);
	if (answer->status == STATUS_OK)
		answer->status = command->verb == COMMAND_FORGET
			? forget(p, m, command, &answer->why)
			: act(p, m, command, &answer->why);
	if (answer->status != STATUS_OK || command->verb == COMMAND_FORGET)
		return;
	changes_conclude(p);
	log_info("%s: machine=%s alarm=%s state=%s operator=%s", command_name(command->verb),
		m->name, m->alarm.id, alarm_state_name(alarm_state(&m->alarm)),
		command->operator_name[0] ? command->operator_name : "-");
	size_t len =
		alarm_encode_open(&m->alarm, m->name, answer->alarm, sizeof(answer->alarm) - 1);
	memcpy(answer->alarm + len, "}", 2);
}
