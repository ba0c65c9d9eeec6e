#include "agent/http_routes.h"
#include "agent/reload.h"
#include "common/jsontext.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	RETRY_AFTER_S = 5,
	FIELD_ERRORS_MAX = 100, /* listed in one answer */
};

static const char json_type[] = "application/json";

void route_health(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	char *text = malloc(HEALTH_TEXT_MAX);

	(void)parameters, (void)body, (void)len;
	if (!text) {
		reply_problem(exchange, 503, "out of memory");
		return;
	}
	bool healthy = health_write(state->options.health, text, HEALTH_TEXT_MAX);
	reply_send(exchange, healthy ? 200 : 503, json_type, text, strlen(text));
	free(text);
}

void route_live(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	static const char live[] = "{\"status\":\"live\"}\n";

	(void)parameters, (void)body, (void)len;
	if (health_live(state->options.health))
		reply_send(exchange, 200, json_type, live, sizeof(live) - 1);
	else
		reply_problem(exchange, 503, "the worker has not moved for %d s", HEALTH_STUCK_S);
}

void route_metrics(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	const struct http_options *options = &state->options;
	const struct mqtt *mqtt = options->health->mqtt;

	/* Who has seen a verdict finds it counted. */
	if (options->desk)
		desk_settle(options->desk);
	const struct models *models = model_slot_hold(options->slot);
	const struct model *model = models->usual;
	struct metrics_gauges gauges = {
		.connected = mqtt && mqtt_connected(mqtt),
		.connects = mqtt ? mqtt_connects(mqtt) : 0,
		.threshold = model ? model->threshold : NAN,
		.trained_ms = model ? model->trained_ms : 0,
		.model = model ? model->id : "",
		.promised = model ? model->false_alarms_per_day : NAN,
		.promised_low = model ? model->false_alarms_per_day_low : NAN,
		.promised_high = model ? model->false_alarms_per_day_high : NAN,
	};
	char *text;
	size_t text_len;

	(void)parameters, (void)body, (void)len;
	enum status status = metrics_write(options->metrics, &gauges, &text, &text_len);
	model_slot_release(options->slot, models);
	if (status != STATUS_OK) {
		reply_problem(exchange, 503, "out of memory");
		return;
	}
	reply_send(exchange, 200, "text/plain; version=0.0.4; charset=utf-8", text, text_len);
	free(text);
}

void route_reload(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	const struct http_options *options = &state->options;
	struct body answer = { 0 };
	struct why why = { "" };
	char id[MODEL_ID_SIZE];

	(void)parameters, (void)body, (void)len;
	if (reload_model(options->slot, options->model_paths, options->metrics, "HTTP", id, &why) !=
		STATUS_OK) {
		reply_problem(exchange, 422, "%s", why.text);
		return;
	}
	body_add(&answer, "{\"status\":\"reloaded\",\"model\":");
	body_add_json(&answer, id);
	body_add(&answer, "}\n");
	reply_body(exchange, 200, json_type, &answer);
}

/* What is wrong with the readings of one /predict. */
struct field_errors {
	struct body json; /* the inside of the array */
	size_t count;
};

/* `index` is the reading's place in the array, -1 if it came alone; `name` "" for all of it. */
static void add_error(struct field_errors *errors, int index, const char *name, const char *detail)
{
	char field[FEATURE_NAME_MAX + 32];

	if (errors->count++ >= FIELD_ERRORS_MAX)
		return;
	if (index < 0)
		snprintf(field, sizeof(field), "%s", name);
	else
		snprintf(field, sizeof(field), "[%d]%s%s", index, *name ? "." : "", name);
	body_add(&errors->json, errors->json.len > 0 ? ",{\"field\":" : "{\"field\":");
	body_add_json(&errors->json, field);
	body_add(&errors->json, ",\"detail\":");
	body_add_json(&errors->json, detail);
	body_add(&errors->json, "}");
}

static bool read_features(const struct cJSON *item, int index, const struct schema *schema,
	double *x, struct field_errors *errors)
{
	size_t before = errors->count;

	if (!cJSON_IsObject(item)) {
		add_error(errors, index, "", "must be an object");
		return false;
	}
	for (size_t i = 0; i < schema->count; i++) {
		const char *name = schema->feature[i].name;
		const cJSON *value = cJSON_GetObjectItemCaseSensitive(item, name);
		if (!value)
			add_error(errors, index, name, "is missing");
		else if (!cJSON_IsNumber(value) || !isfinite(value->valuedouble))
			add_error(errors, index, name, "must be a finite number");
		else
			x[i] = value->valuedouble;
	}
	return errors->count == before;
}

static void predict_one(const struct cJSON *item, int index, const struct model *model,
	struct body *answer, struct field_errors *errors)
{
	double x[FEATURES_MAX];

	if (!read_features(item, index, &model->schema, x, errors))
		return;
	double score = detector_score(&model->detector, x);
	body_add(answer, "{\"anomaly_score\":");
	body_add_number(answer, score);
	body_add_format(answer, ",\"is_anomaly\":%d,\"threshold\":", score > model->threshold);
	body_add_number(answer, model->threshold);
	body_add(answer, "}");
}

static void predict_all(const struct cJSON *json, const struct model *model, struct body *answer,
	struct field_errors *errors)
{
	const cJSON *item;
	int index = 0;

	if (!cJSON_IsArray(json)) {
		predict_one(json, -1, model, answer, errors);
		return;
	}
	body_add(answer, "[");
	cJSON_ArrayForEach(item, json)
	{
		if (index > 0)
			body_add(answer, ",");
		predict_one(item, index++, model, answer, errors);
	}
	body_add(answer, "]");
}

static void predict(struct exchange *exchange, const struct model *model, const struct cJSON *json)
{
	struct body answer = { 0 };
	struct field_errors errors = { 0 };

	predict_all(json, model, &answer, &errors);
	if (errors.count > 0) {
		body_free(&answer);
		reply_invalid(exchange, "the readings do not fit the model", &errors.json);
	} else {
		body_add(&answer, "\n");
		reply_body(exchange, 200, json_type, &answer);
	}
	body_free(&errors.json);
}

/* Whose model is asked; without it the plant's. */
const char *const predict_parameters[] = { "machine", NULL };

void route_predict(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	struct cJSON *json;
	const char *machine = parameter(parameters, "machine");
	struct why why;

	if (json_parse(body, len, &limits, &json, &why) != STATUS_OK) {
		reply_problem(exchange, 400, "%s", why.text);
		return;
	}
	const struct models *models = model_slot_hold(state->options.slot);
	const struct model *model = machine ? models_for(models, machine) : models->usual;
	if (cJSON_IsArray(json) && cJSON_GetArraySize(json) > HTTP_PREDICT_MAX) {
		reply_problem(exchange, 413, "at most %d readings at once", HTTP_PREDICT_MAX);
	} else if (!model) {
		reply_header(exchange, "Retry-After: %d", RETRY_AFTER_S);
		reply_problem(exchange, 503, "there is no model yet");
	} else {
		predict(exchange, model, json);
	}
	model_slot_release(state->options.slot, models);
	cJSON_Delete(json);
}
