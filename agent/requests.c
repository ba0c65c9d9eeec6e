#include "agent/requests.h"
#include "common/jsontext.h"
#include "common/log.h"
#include "common/text.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

enum { RESPONSE_MAX = HEALTH_TEXT_MAX + 1024, VERB_MAX = 32, TRANSACTION_MAX = 256 };

static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };

enum status requests_reload(struct requests *requests, const char *asker, struct why *why)
{
	enum status st = model_slot_load(requests->slot, requests->model_path, why);

	if (st != STATUS_OK) {
		metrics_add(requests->metrics, METRIC_MODEL_RELOAD_FAILURES, 1);
		log_error("model not reloaded, the old one stays (asked by %s): %s", asker,
			why->text);
		return st;
	}
	const struct model *model = model_slot_hold(requests->slot, NULL);
	metrics_add(requests->metrics, METRIC_MODEL_RELOADS, 1);
	log_info("model reloaded: asked by %s, id=%s trees=%zu threshold=%g", asker, model->id,
		forest_columns(model->detector.forest)->trees, model->threshold);
	model_slot_release(requests->slot, model);
	return STATUS_OK;
}

/* The request's "transaction", to be echoed as it came; false if the payload is no request. */
static bool take_transaction(const struct message *message, char *out, size_t size, struct why *why)
{
	cJSON *root;

	*out = '\0';
	if (message->len == 0)
		return true;
	if (json_parse(message->payload, message->len, &limits, &root, why) != STATUS_OK)
		return false;
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(root, "transaction");
	bool fits = !item || cJSON_PrintPreallocated((cJSON *)item, out, (int)size, 0);
	if (!fits)
		(void)fail(why, STATUS_BAD_INPUT, "\"transaction\" is longer than %d bytes",
			TRANSACTION_MAX);
	cJSON_Delete(root);
	return fits;
}

/* Writes the members after "status" and "transaction". */
static bool carry_out(
	struct requests *requests, const char *verb, struct text *answer, struct why *why)
{
	if (strcmp(verb, "reload") == 0) {
		if (requests_reload(requests, "MQTT", why) != STATUS_OK)
			return false;
		const struct model *model = model_slot_hold(requests->slot, NULL);
		text_add(answer, ",\"model\":");
		text_add_json(answer, model->id);
		model_slot_release(requests->slot, model);
		return true;
	}
	if (strcmp(verb, "health") == 0) {
		char body[HEALTH_TEXT_MAX];
		health_write(requests->health, body, sizeof(body));
		text_add(answer, ",\"health\":");
		text_add(answer, body);
		return true;
	}
	(void)fail(why, STATUS_BAD_INPUT, "unknown request \"%.32s\"; there are reload and health",
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

	if (*verb == '\0' || strlen(verb) > VERB_MAX || !machine_name_valid(verb, strlen(verb)))
		return; /* no topic to answer on */
	bool ok = take_transaction(message, transaction, sizeof(transaction), &why) &&
		carry_out(requests, verb, &extra, &why);
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
	if (mqtt_publish(requests->mqtt, topic, body, text_end(&answer), 1, false, 0) != STATUS_OK)
		log_warning("response to %s not published, ignoring it: the broker is away", verb);
}
