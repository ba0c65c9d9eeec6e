/* The model file: one JSON object whose last member, "sha256", is the digest of every byte
 * before it, so that a file cut short or changed in one bit is refused before it is believed. */
#include "common/alarm.h"
#include "common/fileio.h"
#include "common/jsontext.h"
#include "common/model_internal.h"
#include "common/smooth.h"
#include "common/timeutil.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char model_format_name[] = "isolde-model/1";
const char model_seal_start[] = ",\n\"sha256\":\"";
const char model_seal_end[] = "\"}\n";
enum {
	SEAL_START = sizeof(model_seal_start) - 1,
	SEAL_END = sizeof(model_seal_end) - 1,
	SEAL_SIZE = SEAL_START + DIGEST_TEXT_SIZE - 1 + SEAL_END
};

static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };

enum status model_set_id(struct model *model, const char *text, size_t len, struct why *why)
{
	enum status st = digest_hex(text, len, model->digest, why);
	if (st == STATUS_OK)
		memcpy(model->id, model->digest, MODEL_ID_SIZE - 1);
	return st;
}

static enum status refuse(const struct load *l, const char *place, const char *reason)
{
	return fail(l->why, STATUS_BAD_INPUT, "%s: %s %s", l->path, place, reason);
}

static enum status get_number(
	const struct load *l, const cJSON *object, const char *place, const char *name, double *out)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble))
		return fail(l->why, STATUS_BAD_INPUT, "%s: %s\"%s\" is not a finite number",
			l->path, place, name);
	*out = item->valuedouble;
	return STATUS_OK;
}

/* A whole number in low .. high, small enough to be exact. */
enum status model_get_count(const struct load *l, const cJSON *object, const char *place,
	const char *name, double low, double high, uint64_t *out)
{
	double value;
	enum status st = get_number(l, object, place, name, &value);

	if (st != STATUS_OK)
		return st;
	if (!(value >= low && value <= high) || value != floor(value))
		return fail(l->why, STATUS_BAD_INPUT,
			"%s: %s\"%s\" is %g, not a whole number of %.0f .. %.0f", l->path, place,
			name, value, low, high);
	*out = (uint64_t)value;
	return STATUS_OK;
}

static enum status get_text(const struct load *l, const cJSON *object, const char *place,
	const char *name, char *out, size_t size)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

	if (!cJSON_IsString(item) || strlen(item->valuestring) >= size)
		return fail(l->why, STATUS_BAD_INPUT,
			"%s: %s\"%s\" is not text of at most %zu bytes", l->path, place, name,
			size - 1);
	strcpy(out, item->valuestring);
	return STATUS_OK;
}

/* A number, or null for an open end. */
static enum status get_bound(const struct load *l, const cJSON *object, const char *place,
	const char *name, double open_end, double *out)
{
	if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(object, name))) {
		*out = open_end;
		return STATUS_OK;
	}
	return get_number(l, object, place, name, out);
}

static bool has(const cJSON *object, const char *name)
{
	const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
	return item && !cJSON_IsNull(item);
}

static enum status load_feature(const struct load *l, const cJSON *item)
{
	struct model *model = l->model;
	size_t i = model->schema.count;
	char place[32], name[FEATURE_NAME_MAX + 1], unit[UNIT_MAX + 1];
	double low, high;
	struct feature_stats s = { .mean = 0 };
	uint64_t stuck_after = 0;
	enum status st;

	snprintf(place, sizeof(place), "feature %zu: ", i + 1);
	if ((st = get_text(l, item, place, "name", name, sizeof(name))) ||
		(st = get_text(l, item, place, "unit", unit, sizeof(unit))) ||
		(st = get_bound(l, item, place, "low", -INFINITY, &low)) ||
		(st = get_bound(l, item, place, "high", INFINITY, &high)) ||
		(st = get_number(l, item, place, "mean", &s.mean)) ||
		(st = get_number(l, item, place, "sd", &s.sd)) ||
		(st = get_number(l, item, place, "median", &s.median)) ||
		(st = get_number(l, item, place, "normal_low", &s.low)) ||
		(st = get_number(l, item, place, "normal_high", &s.high)))
		return st;
	struct why reason;
	if (schema_add(&model->schema, name, unit, low, high, &reason) != STATUS_OK)
		return fail(l->why, STATUS_BAD_INPUT, "%s: %s", l->path, reason.text);
	if (s.sd < 0 || s.low > s.high)
		return refuse(l, place, "its spread or normal range is negative");
	/* Models of before it was looked for have none. */
	if (has(item, "stuck_after") &&
		(st = model_get_count(l, item, place, "stuck_after", 0, UINT32_MAX, &stuck_after)))
		return st;
	s.stuck_after = (size_t)stuck_after;
	model->detector.stats[i] = s;
	return STATUS_OK;
}

static enum status load_features(const struct load *l, const cJSON *root)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "features");

	if (!cJSON_IsArray(list) || !list->child)
		return refuse(l, "\"features\"", "is not a list of features");
	for (const cJSON *item = list->child; item; item = item->next) {
		enum status st = load_feature(l, item);
		if (st != STATUS_OK)
			return st;
	}
	l->model->detector.features = l->model->schema.count;
	return STATUS_OK;
}

void model_no_smoothing(struct model *model)
{
	model->smooth = 1;
	for (size_t i = 0; i < DRIFT_RULES; i++)
		model->drift[i].window = 0;
	model->smooth_threshold = model->threshold;
	model->alarm_threshold = model->alarm_clear = model->threshold;
	model->step_ms = 0;
	model->raise_count = model->raise_window = model->clear_count = 0;
	model->false_alarms_per_day = model->false_alarms_per_day_low =
		model->false_alarms_per_day_high = NAN;
}

static enum status get_some_count(
	const struct load *l, const cJSON *object, const char *name, double high, unsigned *out)
{
	uint64_t value = 0;
	enum status st = has(object, name)
		? model_get_count(l, object, "\"alarm\": ", name, 0, high, &value)
		: STATUS_OK;

	*out = (unsigned)value;
	return st;
}

/* Three numbers or none. */
static enum status load_promise(const struct load *l, const cJSON *object)
{
	static const char place[] = "\"alarm\": ";
	struct model *model = l->model;
	enum status st;

	if (!has(object, "false_alarms_per_day"))
		return STATUS_OK;
	if ((st = get_number(
		     l, object, place, "false_alarms_per_day", &model->false_alarms_per_day)) ||
		(st = get_number(l, object, place, "false_alarms_per_day_low",
			 &model->false_alarms_per_day_low)) ||
		(st = get_number(l, object, place, "false_alarms_per_day_high",
			 &model->false_alarms_per_day_high)))
		return st;
	if (!(model->false_alarms_per_day_low >= 0 &&
		    model->false_alarms_per_day_low <= model->false_alarms_per_day &&
		    model->false_alarms_per_day <= model->false_alarms_per_day_high))
		return refuse(l, "\"alarm\"", "promises no rate within its own interval");
	return STATUS_OK;
}

/* Optional: the plain forest has none, nor have older files. */
static enum status load_calibration(const struct load *l, const cJSON *root)
{
	static const char place[] = "\"calibration\": ";
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "calibration");
	struct model *model = l->model;
	double rate, rows;
	enum status st;

	if (!object)
		return STATUS_OK;
	if (!cJSON_IsObject(object))
		return refuse(l, "\"calibration\"", "is not an object");
	if ((st = get_number(l, object, place, "rate", &rate)) ||
		(st = get_number(l, object, place, "effective_rows", &rows)))
		return st;
	if (!(rate > 0 && rate < 1 && rows > 0))
		return refuse(l, "\"calibration\"", "has no rate between 0 and 1, or no rows");
	model->rate = rate;
	model->effective_rows = rows;
	return STATUS_OK;
}

/* Optional: where all rows were scored, and in older files, there is none. */
static enum status load_sample(const struct load *l, const cJSON *root)
{
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "sample");
	struct model *model = l->model;
	double error;
	enum status st;

	if (!object)
		return STATUS_OK;
	if (!cJSON_IsObject(object))
		return refuse(l, "\"sample\"", "is not an object");
	if ((st = model_get_count(
		     l, object, "sample: ", "rows", 1, (double)model->rows, &model->drawn)) ||
		(st = get_number(l, object, "sample: ", "share_error", &error)))
		return st;
	if (!(error >= 0 && error < 1))
		return refuse(l, "sample: \"share_error\"", "is not a share of 0 .. 1");
	model->share_error = error;
	return STATUS_OK;
}

/* A column of exactly n numbers. */
static enum status load_exactly(const struct load *l, const cJSON *object, const char *name,
	size_t n, double low, double *out)
{
	double *column = NULL;
	size_t count = 0;
	enum status st =
		model_load_column(l, object, "drift: ", name, n, low, INFINITY, &column, &count);

	if (st == STATUS_OK && count != n)
		st = fail(l->why, STATUS_BAD_INPUT, "%s: drift: \"%s\" has %zu numbers, not %zu",
			l->path, name, count, n);
	if (st == STATUS_OK)
		memcpy(out, column, n * sizeof(*out));
	free(column);
	return st;
}

static enum status load_rule(const struct load *l, const cJSON *object, struct drift_rule *rule)
{
	static const char place[] = "drift: ";
	size_t features = l->model->schema.count;
	uint64_t window, brief;
	enum status st;

	if (!cJSON_IsObject(object))
		return refuse(l, "\"drift\"", "is not a list of objects");
	if ((st = model_get_count(l, object, place, "window", 2, DRIFT_WINDOW_MAX, &window)) ||
		(st = model_get_count(l, object, place, "brief", 0, DRIFT_WINDOW_MAX, &brief)) ||
		(st = get_number(l, object, place, "scale", &rule->scale)) ||
		(st = get_number(l, object, place, "offset", &rule->offset)) ||
		(st = load_exactly(l, object, "centre", features, -INFINITY, rule->centre)) ||
		(st = load_exactly(l, object, "reach", features, 0, rule->reach)) ||
		(st = load_exactly(l, object, "whitening", features * (features + 1) / 2, -INFINITY,
			 rule->whitening)))
		return st;
	if (!(rule->scale > 0 && rule->scale < DRIFT_SCALE_MAX))
		return refuse(l, "\"drift\"", "has no scale that can be used");
	rule->window = (size_t)window;
	rule->brief = (size_t)brief;
	return STATUS_OK;
}

/* Optional: older files have none. */
static enum status load_drift(const struct load *l, const cJSON *alarm)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(alarm, "drift");
	enum status st = STATUS_OK;
	size_t rules = 0;

	if (!list)
		return STATUS_OK;
	if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > DRIFT_RULES)
		return refuse(l, "\"drift\"", "is not a list, or one too long");
	for (const cJSON *item = list->child; item && st == STATUS_OK; item = item->next)
		st = load_rule(l, item, &l->model->drift[rules++]);
	return st;
}

/* What feeds the alarm; a file without it says: the score itself. */
static enum status load_alarm(const struct load *l, const cJSON *root)
{
	static const char place[] = "\"alarm\": ";
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "alarm");
	struct model *model = l->model;
	uint64_t smooth = 1, step_ms = 0;
	enum status st;

	model_no_smoothing(model);
	if (!object)
		return STATUS_OK;
	if (!cJSON_IsObject(object))
		return refuse(l, "\"alarm\"", "is not an object");
	if ((st = model_get_count(l, object, place, "smooth", 1, SMOOTH_WINDOW_MAX, &smooth)) ||
		(st = get_number(l, object, place, "threshold", &model->alarm_threshold)) ||
		(st = get_number(l, object, place, "clear", &model->alarm_clear)) ||
		(st = model_get_count(l, object, place, "step_ms", 0, 0x1p53, &step_ms)) ||
		(st = get_some_count(
			 l, object, "raise_count", ALARM_WINDOW_MAX, &model->raise_count)) ||
		(st = get_some_count(
			 l, object, "raise_window", ALARM_WINDOW_MAX, &model->raise_window)) ||
		(st = get_some_count(l, object, "clear_count", 1e6, &model->clear_count)))
		return st;
	model->smooth_threshold = model->alarm_threshold; /* models of before they could differ */
	if (has(object, "smooth_threshold") &&
		(st = get_number(l, object, place, "smooth_threshold", &model->smooth_threshold)))
		return st;
	if (model->alarm_clear > model->alarm_threshold)
		return refuse(l, "\"alarm\"", "has a clear level above its threshold");
	if (model->raise_count > model->raise_window ||
		(model->raise_count == 0) != (model->raise_window == 0))
		return refuse(l, "\"alarm\"", "has a raise_count beyond its raise_window");
	model->smooth = (size_t)smooth;
	model->step_ms = (int64_t)step_ms;
	st = load_promise(l, object);
	return st == STATUS_OK ? load_drift(l, object) : st;
}

static enum status load_quantiles(const struct load *l, const cJSON *root)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "score_quantiles");
	struct model *model = l->model;

	if (!cJSON_IsArray(list))
		return refuse(l, "\"score_quantiles\"", "is not a list of numbers");
	for (const cJSON *item = list->child; item; item = item->next) {
		size_t i = model->quantiles;
		if (i == MODEL_QUANTILES_MAX)
			return refuse(l, "\"score_quantiles\"", "has more than 1024 numbers");
		if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble) ||
			(i > 0 && item->valuedouble < model->score_quantile[i - 1]))
			return refuse(l, "\"score_quantiles\"", "are not ascending finite numbers");
		model->score_quantile[model->quantiles++] = item->valuedouble;
	}
	if (model->quantiles < 2)
		return refuse(l, "\"score_quantiles\"", "has fewer than two numbers");
	return STATUS_OK;
}

enum status model_load_column(const struct load *l, const cJSON *object, const char *place,
	const char *name, size_t max, double low, double high, double **out, size_t *count)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(object, name);
	size_t n = 0;

	if (!cJSON_IsArray(list))
		return fail(l->why, STATUS_BAD_INPUT, "%s: %s\"%s\" is not a list", l->path, place,
			name);
	for (const cJSON *item = list->child; item; item = item->next)
		n++;
	if (n == 0 || n > max)
		return fail(l->why, STATUS_BAD_INPUT,
			"%s: %s\"%s\" has %zu numbers, 1 .. %zu are possible", l->path, place, name,
			n, max);
	double *column = malloc(n * sizeof(*column));
	if (!column)
		return fail(l->why, STATUS_NO_MEMORY, "%s: no memory for %zu nodes", l->path, n);
	size_t i = 0;
	for (const cJSON *item = list->child; item; item = item->next, i++) {
		double x = cJSON_IsNumber(item) ? item->valuedouble : NAN;
		bool whole = high == INFINITY || x == floor(x);
		if (!(x >= low && x <= high) || !isfinite(x) || !whole) {
			free(column);
			return fail(l->why, STATUS_BAD_INPUT,
				"%s: %s\"%s\"[%zu] is not a number it can hold", l->path, place,
				name, i);
		}
		column[i] = x;
	}
	*out = column;
	*count = n;
	return STATUS_OK;
}

static uint32_t *to_unsigned(const double *column, size_t n)
{
	uint32_t *out = malloc(n * sizeof(*out));
	for (size_t i = 0; out && i < n; i++)
		out[i] = (uint32_t)column[i];
	return out;
}

static int32_t *to_signed(const double *column, size_t n)
{
	int32_t *out = malloc(n * sizeof(*out));
	for (size_t i = 0; out && i < n; i++)
		out[i] = (int32_t)column[i];
	return out;
}

struct raw_columns {
	double *root, *feature, *split, *left, *rows;
	size_t roots, features, splits, lefts, rowses;
};

static enum status create_forest(
	const struct load *l, const struct raw_columns *raw, size_t sample_size)
{
	uint32_t *root = to_unsigned(raw->root, raw->roots);
	int32_t *feature = to_signed(raw->feature, raw->features);
	uint32_t *left = to_unsigned(raw->left, raw->lefts);
	uint32_t *rows = to_unsigned(raw->rows, raw->rowses);
	struct forest_columns columns = { l->model->schema.count, raw->roots, raw->features,
		sample_size, root, feature, raw->split, left, rows };
	struct why reason;
	enum status st = STATUS_NO_MEMORY;

	if (root && feature && left && rows)
		st = forest_create(&columns, &l->model->detector.forest, &reason);
	else
		(void)fail(&reason, st, "no memory for %zu nodes", raw->features);
	free(root);
	free(feature);
	free(left);
	free(rows);
	return st == STATUS_OK ? st : fail(l->why, st, "%s: %s", l->path, reason.text);
}

static enum status load_columns(const struct load *l, const cJSON *forest, struct raw_columns *raw)
{
	enum status st;
	double node_max = FOREST_NODES_MAX;

	if ((st = model_load_column(l, forest, "forest: ", "root", FOREST_TREES_MAX, 0, node_max,
		     &raw->root, &raw->roots)) ||
		(st = model_load_column(l, forest, "forest: ", "feature", FOREST_NODES_MAX, -1,
			 FEATURES_MAX - 1, &raw->feature, &raw->features)) ||
		(st = model_load_column(l, forest, "forest: ", "split", FOREST_NODES_MAX, -INFINITY,
			 INFINITY, &raw->split, &raw->splits)) ||
		(st = model_load_column(l, forest, "forest: ", "left", FOREST_NODES_MAX, 0,
			 node_max, &raw->left, &raw->lefts)) ||
		(st = model_load_column(l, forest, "forest: ", "rows", FOREST_NODES_MAX, 1,
			 FOREST_SAMPLE_MAX, &raw->rows, &raw->rowses)))
		return st;
	if (raw->features != raw->splits || raw->features != raw->lefts ||
		raw->features != raw->rowses)
		return refuse(l, "forest:", "its columns differ in length");
	return STATUS_OK;
}

static enum status load_forest(const struct load *l, const cJSON *root)
{
	const cJSON *forest = cJSON_GetObjectItemCaseSensitive(root, "forest");
	struct raw_columns raw = { .root = NULL };
	uint64_t trees, sample_size;
	enum status st;

	if (!cJSON_IsObject(forest))
		return refuse(l, "\"forest\"", "is not an object");
	if ((st = model_get_count(l, forest, "forest: ", "trees", 1, FOREST_TREES_MAX, &trees)) ||
		(st = model_get_count(
			 l, forest, "forest: ", "sample_size", 2, FOREST_SAMPLE_MAX, &sample_size)))
		return st;
	st = load_columns(l, forest, &raw);
	if (st == STATUS_OK && raw.roots != trees)
		st = refuse(l, "forest:", "\"root\" does not name one node a tree");
	if (st == STATUS_OK)
		st = create_forest(l, &raw, sample_size);
	free(raw.root);
	free(raw.feature);
	free(raw.split);
	free(raw.left);
	free(raw.rows);
	return st;
}

static enum status load_provenance(const struct load *l, const cJSON *root)
{
	const cJSON *trained = cJSON_GetObjectItemCaseSensitive(root, "trained");
	struct model *model = l->model;
	char seed[24], time[TIME_TEXT_SIZE];
	enum status st;

	if (!cJSON_IsObject(trained))
		return refuse(l, "\"trained\"", "is not an object");
	if ((st = model_get_count(l, trained, "trained: ", "rows", 1, 0x1p53, &model->rows)) ||
		(st = get_text(l, trained, "trained: ", "seed", seed, sizeof(seed))) ||
		(st = get_text(l, trained, "trained: ", "time", time, sizeof(time))) ||
		(st = get_text(l, trained, "trained: ", "program", model->program,
			 sizeof(model->program))) ||
		(st = get_text(l, trained, "trained: ", "data_sha256", model->data_digest,
			 sizeof(model->data_digest))))
		return st;
	char *end;
	errno = 0;
	model->seed = strtoull(seed, &end, 10);
	if (errno || end == seed || *end || *seed == '-')
		return refuse(l, "trained: \"seed\"", "is not a whole number in quotes");
	if (time_parse(time, strlen(time), &model->trained_ms, NULL, NULL) != STATUS_OK)
		return refuse(l, "trained: \"time\"", "is not an RFC 3339 time");
	return STATUS_OK;
}

static enum status load_root(const struct load *l, const cJSON *root)
{
	struct model *model = l->model;
	char schema[MODEL_TEXT_MAX + 1], detector[MODEL_TEXT_MAX + 1];
	enum status st;

	if (!cJSON_IsObject(root))
		return refuse(l, "the file", "is not a JSON object");
	if ((st = get_text(l, root, "", "schema", schema, sizeof(schema))) ||
		(st = get_text(l, root, "", "detector", detector, sizeof(detector))))
		return st;
	if (strcmp(schema, model_format_name) != 0)
		return fail(l->why, STATUS_BAD_INPUT,
			"%s: schema \"%s\", this program reads \"%s\"", l->path, schema,
			model_format_name);
	if (!detector_parse(detector, &model->detector.kind))
		return fail(l->why, STATUS_BAD_INPUT, "%s: detector \"%s\" is unknown", l->path,
			detector);
	if ((st = get_number(l, root, "", "threshold", &model->threshold)) ||
		(st = get_number(l, root, "", "quantile", &model->quantile)))
		return st;
	if (!(model->quantile > 0 && model->quantile < 1))
		return refuse(l, "\"quantile\"", "does not lie between 0 and 1");
	if ((st = load_provenance(l, root)) || (st = load_features(l, root)) ||
		(st = load_quantiles(l, root)) || (st = load_sample(l, root)) ||
		(st = load_calibration(l, root)) || (st = load_alarm(l, root)))
		return st;
	return model->detector.kind == DETECTOR_FUSED ? model_load_fused(l, root)
						      : load_forest(l, root);
}

static enum status check_seal(const char *path, const char *text, size_t len, struct why *why)
{
	const char *seal = text + len - SEAL_SIZE;
	char digest[DIGEST_TEXT_SIZE];

	if (len < SEAL_SIZE || memcmp(seal, model_seal_start, SEAL_START) != 0 ||
		strcmp(text + len - SEAL_END, model_seal_end) != 0)
		return fail(why, STATUS_BAD_INPUT,
			"%s: it does not end with its sha256: not a model file, or cut short",
			path);
	enum status st = digest_hex(text, len - SEAL_SIZE, digest, why);
	if (st == STATUS_OK && memcmp(digest, seal + SEAL_START, sizeof(digest) - 1) != 0)
		st = fail(why, STATUS_BAD_INPUT,
			"%s: its contents do not match its sha256: changed or damaged", path);
	return st;
}

static enum status decode(
	const char *path, const char *text, size_t len, struct model *model, struct why *why)
{
	struct load load = { path, model, why };
	struct why reason;
	cJSON *root;

	enum status st = check_seal(path, text, len, why);
	if (st == STATUS_OK)
		st = model_set_id(model, text, len, why);
	if (st != STATUS_OK)
		return st;
	st = json_parse(text, len, &limits, &root, &reason);
	if (st != STATUS_OK)
		return fail(why, st, "%s: %s", path, reason.text);
	st = load_root(&load, root);
	cJSON_Delete(root);
	return st;
}

enum status model_load(const char *path, struct model **out, struct why *why)
{
	char *text;
	size_t len;
	enum status st = file_read(path, MODEL_FILE_MAX, &text, &len, why);

	if (st != STATUS_OK)
		return st;
	struct model *model = calloc(1, sizeof(*model));
	st = model ? decode(path, text, len, model, why)
		   : fail(why, STATUS_NO_MEMORY, "%s: no memory", path);
	free(text);
	if (st != STATUS_OK) {
		model_destroy(model);
		return st;
	}
	*out = model;
	return STATUS_OK;
}

void model_destroy(struct model *model)
{
	if (!model)
		return;
	detector_finish(&model->detector);
	free(model);
}
