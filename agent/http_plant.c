/* GET /plant: the plant as it stands, and what the page shows beside it. Times are milliseconds
 * since the epoch, for scripts; the other routes are for people, too. */
#include "agent/http_routes.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Six digits are more than a picture shows. */
static void add_short(struct body *body, double value)
{
	if (isfinite(value))
		body_add_format(body, "%.6g", value);
	else
		body_add(body, "null");
}

static void add_time(struct body *body, const char *name, int64_t at_ms)
{
	body_add_format(body, ",\"%s\":%lld", name, (long long)at_ms);
}

static void add_number(struct body *body, const char *name, double value)
{
	body_add_format(body, ",\"%s\":", name);
	add_short(body, value);
}

static void add_text(struct body *body, const char *name, const char *value)
{
	body_add_format(body, ",\"%s\":", name);
	body_add_json(body, value);
}

static void add_why(struct body *body, const struct plant_row *row)
{
	body_add(body, ",\"why\":[");
	for (size_t i = 0; i < row->why; i++) {
		const struct plant_why *why = &row->explained[i];
		body_add(body, i > 0 ? ",{\"sensor\":" : "{\"sensor\":");
		body_add_json(body, why->sensor);
		add_number(body, "value", why->value);
		add_number(body, "share", why->share);
		add_number(body, "low", why->low);
		add_number(body, "high", why->high);
		body_add(body, "}");
	}
	body_add(body, "]");
}

static void add_alarm(struct body *body, const struct plant_row *row)
{
	const char *const priorities[] = { "low", "medium", "high" };
	const char *comma = "";

	if (!row->alarm[0]) {
		body_add(body, ",\"alarm\":null");
		return;
	}
	body_add(body, ",\"alarm\":{\"id\":");
	body_add_json(body, row->alarm);
	add_text(body, "state", alarm_state_name(row->state));
	add_text(body, "condition", alarm_state_name(row->condition));
	add_text(body, "priority", priorities[row->priority]);
	body_add(body, ",\"causes\":[");
	for (int cause = 0; cause < ALARM_CAUSES; cause++) {
		if (!((row->causes ? row->causes : row->told) & ALARM_BIT(cause)))
			continue;
		body_add(body, comma);
		body_add_json(body, alarm_cause_name((enum alarm_cause)cause));
		comma = ",";
	}
	body_add(body, "]");
	add_time(body, "since", row->since_ms);
	add_time(body, "ended", row->ended_ms);
	add_time(body, "shelved_until", row->shelved_until_ms);
	add_text(body, "first_sensor", row->first_sensor);
	add_text(body, "operator", row->operator_name);
	body_add(body, "}");
}

static void add_reading(struct body *body, const struct plant_row *row, unsigned schema)
{
	add_time(body, "at", row->at_ms);
	add_time(body, "received", row->received_ms);
	add_number(body, "score", row->score);
	add_number(body, "alarm_score", row->alarm_score);
	add_number(body, "threshold", row->threshold);
	add_text(body, "quality", quality_name(row->quality));
	add_time(body, "quality_since", row->quality_ms);
	add_time(body, "anomalous_since", row->strange_ms);
	add_time(body, "patience", row->patience_ms);
	body_add(body, ",\"values\":[");
	for (size_t i = 0; i < row->values && row->schema == schema; i++) {
		body_add(body, i > 0 ? "," : "");
		add_short(body, row->value[i]);
	}
	body_add(body, "]");
	add_why(body, row);
}

void plant_add_rows(struct body *body, const struct plant_view *view, bool courses)
{
	body_add(body, "[");
	for (size_t i = 0; i < view->count && !body->failed; i++) {
		const struct plant_row *row = &view->row[i];
		body_add(body, i > 0 ? ",{\"machine\":" : "{\"machine\":");
		body_add_json(body, row->machine);
		if (row->read)
			add_reading(body, row, view->schema);
		if (courses)
			body_add_format(body, ",\"course\":\"%.*s\",\"course_step\":%lld",
				PLANT_COURSE, row->course, (long long)row->course_step);
		body_add_format(body, ",\"stopped\":%s", row->stopped ? "true" : "false");
		add_alarm(body, row);
		body_add(body, "}");
	}
	body_add(body, "]");
}

/* ---- what stands beside the machines ---- */

static void add_model(struct body *body, const struct model *model)
{
	if (!model) {
		body_add(body, "null");
		return;
	}
	body_add(body, "{\"id\":");
	body_add_json(body, model->id);
	add_text(body, "detector", detector_name(model->detector.kind));
	add_time(body, "trained", model->trained_ms);
	body_add_format(body, ",\"rows\":%llu", (unsigned long long)model->rows);
	add_number(body, "quantile", model->quantile);
	add_number(body, "threshold", model->threshold);
	body_add_format(body, ",\"window\":%zu", model->smooth);
	add_number(body, "alarm_threshold", model->alarm_threshold);
	add_number(body, "false_alarms_per_day", model->false_alarms_per_day);
	add_number(body, "false_alarms_per_day_low", model->false_alarms_per_day_low);
	add_number(body, "false_alarms_per_day_high", model->false_alarms_per_day_high);
	body_add(body, ",\"features\":[");
	for (size_t i = 0; i < model->schema.count; i++) {
		body_add(body, i > 0 ? ",{\"name\":" : "{\"name\":");
		body_add_json(body, model->schema.feature[i].name);
		add_text(body, "unit", model->schema.feature[i].unit);
		add_number(body, "low", model->detector.stats[i].low);
		add_number(body, "high", model->detector.stats[i].high);
		body_add(body, "}");
	}
	body_add(body, "]}");
}

static long long file_bytes(const char *path)
{
	struct stat file;
	return stat(path, &file) == 0 ? (long long)file.st_size : 0;
}

void plant_add_status(struct body *body, struct http_state *state)
{
	const struct http_options *options = &state->options;
	char *health = malloc(HEALTH_TEXT_MAX);
	struct board_sums sums;
	uint64_t count;
	double seconds;

	if (!health) {
		body->failed = true;
		return;
	}
	(void)health_write(options->health, health, HEALTH_TEXT_MAX);
	board_sum(options->board, &sums);
	metrics_histogram(options->metrics, HISTOGRAM_LATENCY, &count, &seconds);
	body_add_format(body, "{\"now\":%lld,\"health\":", (long long)time_now_ms());
	body_add_bytes(body, health, strcspn(health, "\n"));
	body_add_format(body,
		",\"latency\":{\"count\":%llu,\"seconds\":%.6f},\"store_bytes\":%lld,"
		"\"alarms\":{\"raised_10min\":%zu,\"flood\":%s,\"chattering\":%zu},\"model\":",
		(unsigned long long)count, seconds, file_bytes(options->store_path),
		sums.raised_10min, sums.flood ? "true" : "false", sums.chattering);
	const struct models *models = model_slot_hold(options->slot);
	add_model(body, models->usual);
	body_add_format(body, ",\"own_models\":%zu,\"model_loads\":%lld", models_own(models),
		(long long)metrics_get(options->metrics, METRIC_MODEL_RELOADS));
	model_slot_release(options->slot, models);
	body_add(body, "}");
	free(health);
}

void plant_add_cursor(
	struct body *body, const struct http_state *state, const struct plant_view *view)
{
	body_add_format(body, "%llx-%x-%llx", (unsigned long long)state->boot, view->removals,
		(unsigned long long)view->version);
}

void route_model(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	char machine[MACHINE_NAME_MAX + 1];
	struct body answer = { 0 };
	struct why why;

	(void)parameters, (void)body, (void)len;
	if (path_machine(exchange->path, machine, &why) != STATUS_OK) {
		reply_problem(exchange, 404, "%s", why.text);
		return;
	}
	const struct models *models = model_slot_hold(state->options.slot);
	add_model(&answer, models_for(models, machine));
	model_slot_release(state->options.slot, models);
	body_add(&answer, "\n");
	reply_body(exchange, 200, "application/json", &answer);
}

void route_plant(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	struct schema *schema = malloc(sizeof(*schema)); /* large for this stack */
	struct plant_view view;
	struct body answer = { 0 };

	(void)parameters, (void)body, (void)len;
	if (!schema || plant_see(state->options.plant, 0, &view) != STATUS_OK) {
		free(schema);
		reply_problem(exchange, 503, "out of memory");
		return;
	}
	plant_schema(state->options.plant, schema);
	body_add(&answer, "{\"cursor\":\"");
	plant_add_cursor(&answer, state, &view);
	body_add_format(&answer, "\",\"course_step_ms\":%d,\"features\":[", PLANT_COURSE_STEP_MS);
	for (size_t i = 0; i < schema->count; i++) {
		body_add(&answer, i > 0 ? "," : "");
		body_add_json(&answer, schema->feature[i].name);
	}
	body_add(&answer, "],\"status\":");
	plant_add_status(&answer, state);
	body_add(&answer, ",\"machines\":");
	plant_add_rows(&answer, &view, true);
	body_add(&answer, "}\n");
	free(view.row);
	free(schema);
	reply_body(exchange, 200, "application/json", &answer);
}
