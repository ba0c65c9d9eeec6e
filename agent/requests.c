#include "agent/requests.h"
#include "agent/reload.h"
#include "common/jsontext.h"
#include "common/log.h"
#include "common/text.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

enum { RESPONSE_MAX = HEALTH_TEXT_MAX + 1024, VERB_MAX = 32, TRANSACTION_MAX = 256 };

static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };

/* The request as JSON (NULL for an empty one, cJSON_Delete) and its "transaction", to be echoed as
 * it came; false if the payload is no request. */
static bool take_request(
	const struct message *message, cJSON **root, char *out, size_t size, struct why *why)
{
	*out = '\0';
	*root = NULL;
	if (message->len == 0)
		return true;
	if (json_parse(message->payload, message->len, &limits, root, why) != STATUS_OK)
		return false;
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(*root, "transaction");
	bool fits = !item || cJSON_PrintPreallocated((cJSON *)item, out, (int)size, 0);
	if (!fits) {
		*out = '\0';
		(void)fail(why, STATUS_BAD_INPUT, "\"transaction\" is longer than %d bytes",
			TRANSACTION_MAX);
	}
	return fits;
}

static bool command(struct requests *requests, const cJSON *root, const struct message *message,
	enum command_verb verb, struct text *answer, struct why *why)
{
	struct command command = { .verb = verb, .at_ms = message->received_ms };
	struct command_answer result = { .status = STATUS_OK };
	struct why inner;
	const char *field;

	if (command_parse(root, true, requests->shelve_max_h, &command, &field, &inner) !=
		STATUS_OK) {
		(void)fail(why, STATUS_BAD_INPUT, "%s%s%s", field, *field ? ": " : "", inner.text);
		return false;
	}
	pipeline_command(requests->pipeline, &command, &result);
	if (result.status != STATUS_OK) {
		*why = result.why;
		return false;
	}
	if (result.alarm[0]) {
		text_add(answer, ",\"alarm\":");
		text_add(answer, result.alarm);
	}
	return true;
}

/* Writes the members after "status" and "transaction". */
static bool carry_out(struct requests *requests, const char *verb, const cJSON *root,
	const struct message *message, struct text *answer, struct why *why)
{
	enum command_verb known;

	if (strcmp(verb, "reload") == 0) {
		char id[MODEL_ID_SIZE];
		if (reload_model(requests->slot, requests->model_paths, requests->metrics, "MQTT",
			    id, why) != STATUS_OK)
			return false;
		text_add(answer, ",\"model\":");
		text_add_json(answer, id);
		return true;
	}
	if (strcmp(verb, "health") == 0) {
		char body[HEALTH_TEXT_MAX];
		health_write(requests->health, body, sizeof(body));
		text_add(answer, ",\"health\":");
		text_add(answer, body);
		return true;
	}
	if (command_parse_verb(verb, &known))
		return command(requests, root, message, known, answer, why);
	(void)fail(why, STATUS_BAD_INPUT,
		"unknown request \"%.32s\"; there are reload, health, ack, shelve, unshelve, "
		"false-alarm, stop, start and forget",
		verb);
	return false;
}

void requests_answer(void *context, const struct message *message)
{
	struct requests *requests = context;
	char transaction[TRANSACTION_MAX], members[RESPONSE_MAX], body[RESPONSE_MAX + 512],
		topic[256];
	struct why why = { "" };
	struct text extra = text_start(members, sizeof(members));
	struct text answer = text_start(body, sizeof(body));
	const char *slash = strrchr(message->topic, '/');
	const char *verb = slash ? slash + 1 : "";
	cJSON *root = NULL;

	if (*verb == '\0' || strlen(verb) > VERB_MAX || !machine_name_valid(verb, strlen(verb)))
		return; /* no topic to answer on */
	if (strcmp(verb, "probe") == 0 &&
		probe_hear(requests->probe, message->payload, message->len))
		return;
	bool ok = take_request(message, &root, transaction, sizeof(transaction), &why) &&
		carry_out(requests, verb, root, message, &extra, &why);
	cJSON_Delete(root);
	text_add(&answer,
		ok ? "{\"status\":\"ok\",\"transaction\":"
		   : "{\"status\":\"error\",\"transaction\":");
	text_add(&answer, transaction[0] ? transaction : "null");
	if (ok) {
		text_add(&answer, members);
	} else {
		text_add(&answer, ",\"error\":");
		text_add_json(&answer, why.text);
	}
	text_add(&answer, "}");
	snprintf(topic, sizeof(topic), "isolde/%s/response/%s", requests->client_id, verb);
	if (mqtt_publish(requests->mqtt, topic, body, text_end(&answer), 1, false, MQTT_UNTOLD) !=
		STATUS_OK)
		log_warning("response to %s not published, ignoring it: the broker is away", verb);
}
