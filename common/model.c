/* The model file: one JSON object whose last member, "sha256", is the digest of every byte
 * before it, so that a file cut short or changed in one bit is refused before it is believed. */
#include "common/model.h"
#include "common/fileio.h"
#include "common/jsontext.h"
#include "common/number.h"
#include "common/text.h"
#include "common/timeutil.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format_name[] = "isolde-model/1";
static const char seal_start[] = ",\n\"sha256\":\"";
static const char seal_end[] = "\"}\n";
enum { SEAL_SIZE = sizeof(seal_start) - 1 + DIGEST_TEXT_SIZE - 1 + sizeof(seal_end) - 1 };

static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };

/* ---- saving ---- */

static void put_number(FILE *out, double value)
{
	char text[NUMBER_TEXT_SIZE];
	number_format(value, text);
	fputs(text, out);
}

static void put_member(FILE *out, const char *name, double value)
{
	fprintf(out, ",\"%s\":", name);
	put_number(out, value);
}

static void put_features(FILE *out, const struct model *model)
{
	fputs(",\n\"features\":[", out);
	for (size_t i = 0; i < model->schema.count; i++) {
		const struct feature *f = &model->schema.feature[i];
		const struct feature_stats *s = &model->detector.stats[i];
		fprintf(out, "%s\n{\"name\":\"%s\",\"unit\":\"%s\"", i ? "," : "", f->name,
			f->unit);
		put_member(out, "low", f->low); /* null: unknown */
		put_member(out, "high", f->high);
		put_member(out, "mean", s->mean);
		put_member(out, "sd", s->sd);
		put_member(out, "median", s->median);
		put_member(out, "normal_low", s->low);
		put_member(out, "normal_high", s->high);
		fputs("}", out);
	}
	fputs("]", out);
}

static void put_quantiles(FILE *out, const struct model *model)
{
	fputs(",\n\"score_quantiles\":[", out);
	for (size_t i = 0; i < model->quantiles; i++) {
		fputs(i ? "," : "", out);
		put_number(out, model->score_quantile[i]);
	}
	fputs("]", out);
}

static void put_forest(FILE *out, const struct forest_columns *c)
{
	fprintf(out, ",\n\"forest\":{\"trees\":%zu,\"sample_size\":%zu,\n\"root\":[", c->trees,
		c->sample_size);
	for (size_t i = 0; i < c->trees; i++)
		fprintf(out, "%s%u", i ? "," : "", c->root[i]);
	fputs("],\n\"feature\":[", out);
	for (size_t i = 0; i < c->nodes; i++)
		fprintf(out, "%s%d", i ? "," : "", c->feature[i]);
	fputs("],\n\"split\":[", out);
	for (size_t i = 0; i < c->nodes; i++) {
		fputs(i ? "," : "", out);
		put_number(out, c->split[i]);
	}
	fputs("],\n\"left\":[", out);
	for (size_t i = 0; i < c->nodes; i++)
		fprintf(out, "%s%u", i ? "," : "", c->left[i]);
	fputs("],\n\"rows\":[", out);
	for (size_t i = 0; i < c->nodes; i++)
		fprintf(out, "%s%u", i ? "," : "", c->rows[i]);
	fputs("]}", out);
}

static void put_model(FILE *out, const struct model *model)
{
	char time[TIME_TEXT_SIZE];

	time_format(model->trained_ms, time);
	/* A 64-bit seed does not fit a JSON number. */
	fprintf(out, "{\"schema\":\"%s\",\n\"detector\":\"%s\"", format_name,
		detector_name(model->detector.kind));
	put_member(out, "threshold", model->threshold);
	put_member(out, "quantile", model->quantile);
	fprintf(out,
		",\n\"trained\":{\"rows\":%llu,\"seed\":\"%llu\",\"time\":\"%s\",\"program\":\"%s\","
		"\"data_sha256\":\"%s\"}",
		(unsigned long long)model->rows, (unsigned long long)model->seed, time,
		model->program, model->data_digest);
	put_features(out, model);
	put_quantiles(out, model);
	put_forest(out, forest_columns(model->detector.forest));
}

/* The text with its seal; the caller's to free. */
static enum status encode(const struct model *model, char **out, size_t *len, struct why *why)
{
	char *text = NULL;
	size_t n = 0;
	FILE *stream = open_memstream(&text, &n);
	char digest[DIGEST_TEXT_SIZE];

	if (!stream)
		return fail(why, STATUS_NO_MEMORY, "no memory to write a model");
	put_model(stream, model);
	enum status st = STATUS_OK;
	if (fflush(stream) != 0)
		st = fail(why, STATUS_NO_MEMORY, "no memory to write a model");
	else
		st = digest_hex(text, n, digest, why);
	if (st == STATUS_OK)
		fprintf(stream, "%s%s%s", seal_start, digest, seal_end);
	if (fclose(stream) != 0 && st == STATUS_OK)
		st = fail(why, STATUS_NO_MEMORY, "no memory to write a model");
	if (st != STATUS_OK) {
		free(text);
		return st;
	}
	*out = text;
	*len = n;
	return STATUS_OK;
}

static enum status set_id(struct model *model, const char *text, size_t len, struct why *why)
{
	enum status st = digest_hex(text, len, model->digest, why);
	if (st == STATUS_OK)
		memcpy(model->id, model->digest, MODEL_ID_SIZE - 1);
	return st;
}

enum status model_save(struct model *model, const char *path, struct why *why)
{
	char *text = NULL;
	size_t len = 0;
	enum status st = encode(model, &text, &len, why);

	if (st != STATUS_OK)
		return st;
	st = set_id(model, text, len, why);
	if (st == STATUS_OK)
		st = file_replace(path, text, len, why);
	free(text);
	return st;
}

/* ---- loading ---- */

/* Where we are, for the sentence of a refusal. */
struct load {
	const char *path;
	struct model *model;
	struct why *why;
};

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
static enum status get_count(const struct load *l, const cJSON *object, const char *place,
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

static enum status load_feature(const struct load *l, const cJSON *item)
{
	struct model *model = l->model;
	size_t i = model->schema.count;
	char place[32], name[FEATURE_NAME_MAX + 1], unit[UNIT_MAX + 1];
	double low, high;
	struct feature_stats s;
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

/* One column of the forest: numbers low .. high, whole ones but for the splits. */
static enum status load_column(const struct load *l, const cJSON *forest, const char *name,
	size_t max, double low, double high, double **out, size_t *count)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(forest, name);
	size_t n = 0;

	if (!cJSON_IsArray(list))
		return fail(l->why, STATUS_BAD_INPUT, "%s: forest: \"%s\" is not a list", l->path,
			name);
	for (const cJSON *item = list->child; item; item = item->next)
		n++;
	if (n == 0 || n > max)
		return fail(l->why, STATUS_BAD_INPUT,
			"%s: forest: \"%s\" has %zu numbers, 1 .. %zu are possible", l->path, name,
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
				"%s: forest: \"%s\"[%zu] is not a number it can hold", l->path,
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

	if ((st = load_column(
		     l, forest, "root", FOREST_TREES_MAX, 0, node_max, &raw->root, &raw->roots)) ||
		(st = load_column(l, forest, "feature", FOREST_NODES_MAX, -1, FEATURES_MAX - 1,
			 &raw->feature, &raw->features)) ||
		(st = load_column(l, forest, "split", FOREST_NODES_MAX, -INFINITY, INFINITY,
			 &raw->split, &raw->splits)) ||
		(st = load_column(l, forest, "left", FOREST_NODES_MAX, 0, node_max, &raw->left,
			 &raw->lefts)) ||
		(st = load_column(l, forest, "rows", FOREST_NODES_MAX, 1, FOREST_SAMPLE_MAX,
			 &raw->rows, &raw->rowses)))
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
	if ((st = get_count(l, forest, "forest: ", "trees", 1, FOREST_TREES_MAX, &trees)) ||
		(st = get_count(
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
	if ((st = get_count(l, trained, "trained: ", "rows", 1, 0x1p53, &model->rows)) ||
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
	if (strcmp(schema, format_name) != 0)
		return fail(l->why, STATUS_BAD_INPUT,
			"%s: schema \"%s\", this program reads \"%s\"", l->path, schema,
			format_name);
	if (!detector_parse(detector, &model->detector.kind))
		return fail(l->why, STATUS_BAD_INPUT, "%s: detector \"%s\" is unknown", l->path,
			detector);
	if ((st = get_number(l, root, "", "threshold", &model->threshold)) ||
		(st = get_number(l, root, "", "quantile", &model->quantile)))
		return st;
	if (!(model->quantile > 0 && model->quantile < 1))
		return refuse(l, "\"quantile\"", "does not lie between 0 and 1");
	if ((st = load_provenance(l, root)) || (st = load_features(l, root)) ||
		(st = load_quantiles(l, root)))
		return st;
	return load_forest(l, root);
}

static enum status check_seal(const char *path, const char *text, size_t len, struct why *why)
{
	const char *seal = text + len - SEAL_SIZE;
	char digest[DIGEST_TEXT_SIZE];

	if (len < SEAL_SIZE || memcmp(seal, seal_start, sizeof(seal_start) - 1) != 0 ||
		strcmp(text + len - (sizeof(seal_end) - 1), seal_end) != 0)
		return fail(why, STATUS_BAD_INPUT,
			"%s: it does not end with its sha256: not a model file, or cut short",
			path);
	enum status st = digest_hex(text, len - SEAL_SIZE, digest, why);
	if (st == STATUS_OK &&
		memcmp(digest, seal + sizeof(seal_start) - 1, sizeof(digest) - 1) != 0)
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
		st = set_id(model, text, len, why);
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
