#include "common/fileio.h"
#include "common/fused_fit.h"
#include "common/jsontext.h"
#include "common/model.h"
#include "common/rng.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct why why;

/* What small_model makes. */
static enum detector_kind kind = DETECTOR_FOREST;

/* Five trees over few rows of three features: small enough to break at every bit. */
static struct model *small_model(void)
{
	enum { ROWS_MAX = FUSED_ROWS_MIN };
	const size_t rows = kind == DETECTOR_FUSED ? FUSED_ROWS_MIN : 16;
	struct train_options options = {
		.kind = kind, .trees = 5, .sample_size = 8, .seed = UINT64_MAX, .quantile = 0.9
	};
	struct schema schema = { .count = 0 };
	struct model *model = NULL;
	struct rng rng;
	double value[ROWS_MAX * 3];

	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "a", "degC", -40, 125, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "b", "", -INFINITY, INFINITY, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(schema_add(&schema, "caf\xc3\xa9", "dB", 0, 1e-300, &why), STATUS_OK);
	rng_seed(&rng, 3);
	for (size_t i = 0; i < rows * 3; i++)
		value[i] = rng_normal(&rng);
	CU_ASSERT_EQUAL_FATAL(train_model(&schema, value, rows, &options, &model, &why), STATUS_OK);
	model->quantiles = 3;
	model->trained_ms = 1795435200250;
	strcpy(model->program, "model_test 0.1");
	memset(model->data_digest, 'd', DIGEST_TEXT_SIZE - 1);
	return model;
}

static const char *small_file(void)
{
	const char *path = unit_path("small.json");
	struct model *model = small_model();

	CU_ASSERT_EQUAL_FATAL(model_save(model, path, &why), STATUS_OK);
	model_destroy(model);
	return path;
}

/* The caller's. */
static char *text_of(const char *path, size_t *len)
{
	char *text = NULL;

	CU_ASSERT_EQUAL_FATAL(file_read(path, MODEL_FILE_MAX, &text, len, &why), STATUS_OK);
	return text;
}

static struct model *load(const char *path)
{
	struct model *model = NULL;

	enum status st = model_load(path, &model, &why);
	if (st != STATUS_OK)
		fprintf(stderr, "\n%s\n", why.text);
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
	return model;
}

static enum status load_status(const char *path)
{
	struct model *model = NULL;

	why.text[0] = '\0';
	enum status st = model_load(path, &model, &why);
	CU_ASSERT_EQUAL(st == STATUS_OK, model != NULL);
	model_destroy(model);
	return st;
}

static void test_round_trip(void)
{
	struct model *saved = small_model();
	CU_ASSERT_EQUAL_FATAL(model_save(saved, unit_path("m.json"), &why), STATUS_OK);
	struct model *read = load(unit_path("m.json"));
	struct rng rng;

	CU_ASSERT_STRING_EQUAL(read->id, saved->id);
	CU_ASSERT_STRING_EQUAL(read->digest, saved->digest);
	CU_ASSERT_EQUAL(read->threshold, saved->threshold);
	CU_ASSERT_EQUAL(read->quantile, 0.9);
	CU_ASSERT_EQUAL_FATAL(read->quantiles, 3);
	CU_ASSERT_EQUAL(memcmp(read->score_quantile, saved->score_quantile, 3 * sizeof(double)), 0);
	CU_ASSERT_EQUAL(read->rows, 16);
	CU_ASSERT_EQUAL(read->seed, UINT64_MAX);
	CU_ASSERT_EQUAL(read->trained_ms, 1795435200250);
	CU_ASSERT_STRING_EQUAL(read->program, "model_test 0.1");
	CU_ASSERT_STRING_EQUAL(read->data_digest, saved->data_digest);
	CU_ASSERT_EQUAL(read->detector.kind, DETECTOR_FOREST);
	CU_ASSERT_EQUAL(read->detector.features, 3);
	CU_ASSERT_TRUE_FATAL(schema_equal(&read->schema, &saved->schema));
	for (size_t i = 0; i < 3; i++) {
		const struct feature *f = &read->schema.feature[i], *g = &saved->schema.feature[i];
		CU_ASSERT_STRING_EQUAL(f->unit, g->unit);
		CU_ASSERT_EQUAL(f->low, g->low);
		CU_ASSERT_EQUAL(f->high, g->high);
		CU_ASSERT_EQUAL(memcmp(&read->detector.stats[i], &saved->detector.stats[i],
					sizeof(struct feature_stats)),
			0);
	}
	rng_seed(&rng, 4);
	for (int i = 0; i < 1000; i++) {
		double x[3];
		for (int j = 0; j < 3; j++)
			x[j] = rng_normal(&rng) * 3;
		CU_ASSERT_EQUAL(
			detector_score(&read->detector, x), detector_score(&saved->detector, x));
	}
	model_destroy(saved);
	model_destroy(read);
}

/* What feeds the alarm is in the file when it is more than the score itself. */
static void test_alarm(void)
{
	struct model *saved = small_model();

	CU_ASSERT_EQUAL_FATAL(model_save(saved, unit_path("plain.json"), &why), STATUS_OK);
	struct model *plain = load(unit_path("plain.json"));
	CU_ASSERT_EQUAL(plain->smooth, 1);
	CU_ASSERT_EQUAL(plain->smooth_threshold, plain->threshold);
	CU_ASSERT_EQUAL(plain->alarm_threshold, plain->threshold);
	CU_ASSERT_EQUAL(plain->alarm_clear, plain->threshold);
	CU_ASSERT(isnan(plain->false_alarms_per_day));
	model_destroy(plain);

	saved->smooth = 10;
	saved->smooth_threshold = 0.1875;
	saved->alarm_threshold = 0.25;
	saved->alarm_clear = 0.125;
	saved->step_ms = 1000;
	saved->raise_count = 4;
	saved->raise_window = 6;
	saved->clear_count = 8;
	saved->false_alarms_per_day = 0.5;
	saved->false_alarms_per_day_low = 0;
	saved->false_alarms_per_day_high = 2.5;
	CU_ASSERT_EQUAL_FATAL(model_save(saved, unit_path("alarm.json"), &why), STATUS_OK);
	struct model *read = load(unit_path("alarm.json"));
	CU_ASSERT_EQUAL(read->smooth, 10);
	CU_ASSERT_EQUAL(read->smooth_threshold, 0.1875);
	CU_ASSERT_EQUAL(read->alarm_threshold, 0.25);
	CU_ASSERT_EQUAL(read->alarm_clear, 0.125);
	CU_ASSERT_EQUAL(read->step_ms, 1000);
	CU_ASSERT_EQUAL(read->raise_count, 4);
	CU_ASSERT_EQUAL(read->raise_window, 6);
	CU_ASSERT_EQUAL(read->clear_count, 8);
	CU_ASSERT_EQUAL(read->false_alarms_per_day, 0.5);
	CU_ASSERT_EQUAL(read->false_alarms_per_day_low, 0);
	CU_ASSERT_EQUAL(read->false_alarms_per_day_high, 2.5);
	model_destroy(read);
	model_destroy(saved);
}

static void refuse_alarm(void (*spoil)(struct model *model), const char *word)
{
	struct model *saved = small_model();

	saved->smooth = 2;
	spoil(saved);
	CU_ASSERT_EQUAL_FATAL(model_save(saved, unit_path("spoilt.json"), &why), STATUS_OK);
	model_destroy(saved);
	CU_ASSERT_EQUAL(load_status(unit_path("spoilt.json")), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, word);
}

static void spoil_smooth(struct model *model)
{
	model->smooth = 65;
}

static void spoil_levels(struct model *model)
{
	model->alarm_clear = model->alarm_threshold + 1;
}

static void spoil_counts(struct model *model)
{
	model->raise_count = 5;
	model->raise_window = 4;
}

static void spoil_promise(struct model *model)
{
	model->false_alarms_per_day = model->false_alarms_per_day_high = 1;
	model->false_alarms_per_day_low = 2;
}

static void test_bad_alarm(void)
{
	refuse_alarm(spoil_smooth, "\"smooth\" is 65");
	refuse_alarm(spoil_levels, "clear level");
	refuse_alarm(spoil_counts, "raise_window");
	refuse_alarm(spoil_promise, "interval");
}

static struct drift_rule some_rule(size_t window, size_t brief)
{
	return (struct drift_rule){ .window = window,
		.brief = brief,
		.scale = 1.5,
		.offset = -0.25,
		.centre = { 60, 35, 75 },
		.reach = { 80, 81, 0 },
		.whitening = { 1, 0.5, 0.25, -3, 1e-9, 7 } };
}

static void expect_rule(const struct drift_rule *got, const struct drift_rule *want)
{
	CU_ASSERT_EQUAL(got->window, want->window);
	CU_ASSERT_EQUAL(got->brief, want->brief);
	CU_ASSERT_EQUAL(got->scale, want->scale);
	CU_ASSERT_EQUAL(got->offset, want->offset);
	CU_ASSERT_EQUAL(memcmp(got->centre, want->centre, sizeof(got->centre)), 0);
	CU_ASSERT_EQUAL(memcmp(got->reach, want->reach, sizeof(got->reach)), 0);
	CU_ASSERT_EQUAL(memcmp(got->whitening, want->whitening, sizeof(got->whitening)), 0);
}

/* One rule, two, and none, as in files of before there were any. */
static void test_drift(void)
{
	struct model *saved = small_model();

	for (size_t rules = 0; rules <= DRIFT_RULES; rules++) {
		saved->smooth = 10;
		for (size_t i = 0; i < rules; i++)
			saved->drift[i] = some_rule(60 - 40 * i, 3 * i);
		CU_ASSERT_EQUAL_FATAL(model_save(saved, unit_path("drift.json"), &why), STATUS_OK);
		struct model *read = load(unit_path("drift.json"));
		CU_ASSERT_EQUAL(read->smooth, 10);
		for (size_t i = 0; i < rules; i++)
			expect_rule(&read->drift[i], &saved->drift[i]);
		if (rules < DRIFT_RULES)
			CU_ASSERT_EQUAL(read->drift[rules].window, 0);
		model_destroy(read);
	}
	model_destroy(saved);
}

static void spoil_window(struct model *model)
{
	model->drift[0] = some_rule(1, 0);
}

static void spoil_scale(struct model *model)
{
	model->drift[0] = some_rule(60, 0);
	model->drift[0].scale = 0;
}

static void spoil_reach(struct model *model)
{
	model->drift[0] = some_rule(60, 0);
	model->drift[0].reach[1] = -1;
}

static void spoil_factors(struct model *model)
{
	model->drift[0] = some_rule(60, 0);
	model->drift[0].whitening[5] = INFINITY;
}

static void test_bad_drift(void)
{
	refuse_alarm(spoil_window, "\"window\" is 1");
	refuse_alarm(spoil_scale, "scale");
	refuse_alarm(spoil_reach, "\"reach\"[1]");
	refuse_alarm(spoil_factors, "\"whitening\"[5]");
}

static void test_saved_again(void)
{
	struct model *model = load(small_file());
	char digest[DIGEST_TEXT_SIZE];

	strcpy(digest, model->digest);
	CU_ASSERT_EQUAL(model_save(model, unit_path("again.json"), &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(model->digest, digest);
	model_destroy(model);
}

static void test_id(void)
{
	char digest[DIGEST_TEXT_SIZE];
	const char *path = small_file();
	struct model *model = load(path);

	CU_ASSERT_EQUAL(digest_file_hex(path, digest, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(model->digest, digest);
	CU_ASSERT_EQUAL(strlen(model->id), 16);
	CU_ASSERT_EQUAL(strncmp(model->id, digest, 16), 0);
	model_destroy(model);
}

static void test_explained(void)
{
	struct model *model = load(small_file());
	double x[3] = { model->detector.stats[0].median, 50, model->detector.stats[2].median };
	double contribution[3];
	double score = detector_score(&model->detector, x);

	detector_explain(&model->detector, x, score, contribution);
	CU_ASSERT_EQUAL(contribution[0], 0);
	CU_ASSERT_TRUE(contribution[1] > 0);
	CU_ASSERT_EQUAL(contribution[2], 0);
	CU_ASSERT_EQUAL(detector_first(&model->detector, x, contribution), 1);
	contribution[1] = 0; /* nothing adds anything: the farthest from its mean */
	CU_ASSERT_EQUAL(detector_first(&model->detector, x, contribution), 1);
	x[1] = NAN;
	CU_ASSERT_TRUE(isnan(detector_score(&model->detector, x)));
	model_destroy(model);
}

static void test_truncated(void)
{
	size_t len;
	char *text = text_of(small_file(), &len);
	const char *path = unit_file("cut.json", text, len);
	size_t believed = 0;

	CU_ASSERT_EQUAL_FATAL(load_status(path), STATUS_OK);
	for (size_t cut = len; cut-- > 0;) {
		CU_ASSERT_EQUAL_FATAL(truncate(path, (off_t)cut), 0);
		believed += load_status(path) != STATUS_BAD_INPUT || !strstr(why.text, "cut.json");
	}
	CU_ASSERT_EQUAL(believed, 0);
	free(text);
}

static void test_every_bit(void)
{
	size_t len;
	char *text = text_of(small_file(), &len);
	const char *path = unit_file("flip.json", text, len);
	int fd = open(path, O_WRONLY);
	size_t believed = 0;
	CU_ASSERT_TRUE_FATAL(fd >= 0);

	for (size_t i = 0; i < len; i++) {
		for (int bit = 0; bit < 8; bit++) {
			char flipped = (char)(text[i] ^ (1 << bit));
			CU_ASSERT_EQUAL_FATAL(pwrite(fd, &flipped, 1, (off_t)i), 1);
			believed += load_status(path) != STATUS_BAD_INPUT;
		}
		CU_ASSERT_EQUAL_FATAL(pwrite(fd, &text[i], 1, (off_t)i), 1);
	}
	CU_ASSERT_EQUAL(believed, 0);
	CU_ASSERT_EQUAL(load_status(path), STATUS_OK);
	close(fd);
	free(text);
}

static void test_appended(void)
{
	size_t len;
	char *text = text_of(small_file(), &len);
	char *longer = calloc(1, 2 * len + 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(longer);

	memcpy(longer, text, len);
	longer[len] = '\n';
	CU_ASSERT_EQUAL(load_status(unit_file("longer.json", longer, len + 1)), STATUS_BAD_INPUT);
	longer[len] = '\0';
	CU_ASSERT_EQUAL(load_status(unit_file("longer.json", longer, len + 1)), STATUS_BAD_INPUT);
	memcpy(longer + len, text, len); /* and a good seal behind a second model */
	CU_ASSERT_EQUAL(load_status(unit_file("longer.json", longer, 2 * len)), STATUS_BAD_INPUT);
	free(longer);
	free(text);
}

/* ---- mutants with a good seal ---- */

static char *joined(const char *body, const char *seal)
{
	char digest[DIGEST_TEXT_SIZE];
	size_t len = strlen(body), size = len + 100;
	char *text = malloc(size);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);

	CU_ASSERT_EQUAL_FATAL(digest_hex(body, len, digest, &why), STATUS_OK);
	snprintf(text, size, "%s%s%s\"}\n", body, seal, digest);
	return text;
}

/* The text of an object, sealed as the trainer does. */
static const char *sealed_file(const char *object)
{
	char *body = strdup(object);
	CU_ASSERT_PTR_NOT_NULL_FATAL(body);

	body[strlen(body) - 1] = '\0'; /* its brace */
	char *text = joined(body, ",\n\"sha256\":\"");
	const char *path = unit_file("mutant.json", text, strlen(text));
	free(text);
	free(body);
	return path;
}

static cJSON *small_tree(void)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	size_t len;
	char *text = text_of(small_file(), &len);
	cJSON *root = NULL;

	CU_ASSERT_EQUAL_FATAL(json_parse(text, len, &limits, &root, &why), STATUS_OK);
	cJSON_DeleteItemFromObjectCaseSensitive(root, "sha256");
	free(text);
	return root;
}

static enum status load_tree(const cJSON *root)
{
	char *text = cJSON_PrintUnformatted(root);
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	enum status st = load_status(sealed_file(text));

	free(text);
	return st;
}

/* The item at "forest.left.3". */
static cJSON *item_at(cJSON *root, const char *place)
{
	char words[64], *rest = NULL;
	cJSON *item = root;

	snprintf(words, sizeof(words), "%s", place);
	for (char *word = strtok_r(words, ".", &rest); word; word = strtok_r(NULL, ".", &rest)) {
		item = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, atoi(word))
					   : cJSON_GetObjectItemCaseSensitive(item, word);
		CU_ASSERT_PTR_NOT_NULL_FATAL(item);
	}
	return item;
}

/* Puts the raw text in place of a value, or removes it (NULL). */
static void bend(cJSON *root, const char *place, const char *raw)
{
	char parent[64];
	const char *dot = strrchr(place, '.'), *name = dot ? dot + 1 : place;

	snprintf(parent, sizeof(parent), "%.*s", dot ? (int)(dot - place) : 0, place);
	cJSON *in = item_at(root, parent);
	if (cJSON_IsArray(in) && raw)
		cJSON_ReplaceItemInArray(in, atoi(name), cJSON_CreateRaw(raw));
	else if (cJSON_IsArray(in))
		cJSON_DeleteItemFromArray(in, atoi(name));
	else if (raw)
		cJSON_ReplaceItemInObjectCaseSensitive(in, name, cJSON_CreateRaw(raw));
	else
		cJSON_DeleteItemFromObjectCaseSensitive(in, name);
}

struct mutant {
	const char *place, *raw, *word;
};

static void try_mutants(const struct mutant *mutants, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cJSON *root = small_tree();
		bend(root, mutants[i].place, mutants[i].raw);
		enum status st = load_tree(root);
		if (st != STATUS_BAD_INPUT || !strstr(why.text, mutants[i].word))
			fprintf(stderr, "\n%s: %s: %s\n", mutants[i].place,
				mutants[i].raw ? mutants[i].raw : "(none)",
				st == STATUS_OK ? "is believed" : why.text);
		CU_ASSERT_EQUAL(st, STATUS_BAD_INPUT);
		ASSERT_HOLDS(why.text, "mutant.json: ");
		ASSERT_HOLDS(why.text, mutants[i].word);
		cJSON_Delete(root);
	}
}

static void test_mutants(void)
{
	static const struct mutant mutants[] = {
		{ "schema", "\"isolde-model/2\"", "schema \"isolde-model/2\"" },
		{ "schema", "1", "\"schema\"" },
		{ "detector", "\"ocean\"", "detector \"ocean\" is unknown" },
		{ "detector", "[]", "\"detector\"" },
		{ "threshold", "NaN", "byte" },
		{ "threshold", "\"NaN\"", "\"threshold\"" },
		{ "threshold", "null", "\"threshold\"" },
		{ "threshold", "1e999", "\"threshold\"" },
		{ "quantile", "0", "\"quantile\"" },
		{ "quantile", "1", "\"quantile\"" },
		{ "quantile", "-1e999", "\"quantile\"" },
		{ "trained", "[]", "\"trained\"" },
		{ "trained.rows", "0", "trained: \"rows\"" },
		{ "trained.rows", "1.5", "trained: \"rows\"" },
		{ "trained.rows", "1e300", "trained: \"rows\"" },
		{ "trained.seed", "42", "trained: \"seed\"" },
		{ "trained.seed", "\"x\"", "trained: \"seed\"" },
		{ "trained.seed", "\"-1\"", "trained: \"seed\"" },
		{ "trained.seed", "\"18446744073709551616\"", "trained: \"seed\"" },
		{ "trained.time", "\"today\"", "trained: \"time\"" },
		{ "trained.time", "\"2026-11-23T12:00:00.0000000000000000000000000000Z\"",
			"trained: \"time\"" },
		{ "trained.program",
			"\"0123456789012345678901234567890123456789012345678901234567890123456789\"",
			"trained: \"program\"" },
		{ "trained.data_sha256", "1", "trained: \"data_sha256\"" },
		{ "features", "{}", "\"features\"" },
		{ "features", "[]", "\"features\"" },
		{ "features", "[1]", "feature 1: \"name\"" },
		{ "features.1.name", "\"a\"", "feature \"a\" is there twice" },
		{ "features.1.name", "\"seq\"", "feature \"seq\": this name is reserved" },
		{ "features.1.name", "\"\"", "feature 2" },
		{ "features.1.name", "\"a\\\"b\"", "feature 2" },
		{ "features.1.name", "5", "feature 2: \"name\"" },
		{ "features.1.unit", "\"furlongs per fortnight\"", "feature 2: \"unit\"" },
		{ "features.0.low", "126", "feature \"a\": its range is empty" },
		{ "features.0.low", "\"0\"", "feature 1: \"low\"" },
		{ "features.2.sd", "-1", "feature 3" },
		{ "features.2.sd", "null", "feature 3: \"sd\"" },
		{ "features.2.normal_low", "1e300", "feature 3" },
		{ "features.2.median", "1e999", "feature 3: \"median\"" },
		{ "score_quantiles", "7", "\"score_quantiles\"" },
		{ "score_quantiles", "[0]", "\"score_quantiles\"" },
		{ "score_quantiles", "[0,\"1\"]", "\"score_quantiles\"" },
		{ "score_quantiles", "[0.2,0.1]", "\"score_quantiles\"" },
		{ "score_quantiles", "[0,1e999]", "\"score_quantiles\"" },
		{ "forest", "[]", "\"forest\"" },
		{ "forest.trees", "1e9", "forest: \"trees\"" },
		{ "forest.trees", "0", "forest: \"trees\"" },
		{ "forest.trees", "4", "forest: \"root\"" },
		{ "forest.trees", "1.5", "forest: \"trees\"" },
		{ "forest.sample_size", "1e15", "forest: \"sample_size\"" },
		{ "forest.sample_size", "9", "tree 0: 8 rows at its root" },
		{ "forest.root", "[]", "forest: \"root\"" },
		{ "forest.root", "{}", "forest: \"root\"" },
		{ "forest.root.0", "1", "tree 0" },
		{ "forest.root.1", "4000001", "forest: \"root\"[1]" },
		{ "forest.root.4", "4000000", "tree 3" },
		{ "forest.root.1", "-1", "forest: \"root\"[1]" },
		{ "forest.left.0", "0", "tree 0 node 0" },
		{ "forest.left.0", "4294967297", "forest: \"left\"[0]" },
		{ "forest.left.0", "1.5", "forest: \"left\"[0]" },
		{ "forest.left.0", "4000000", "tree 0 node 0" },
		{ "forest.left.0", "\"1\"", "forest: \"left\"[0]" },
		{ "forest.left.0", NULL, "columns differ in length" },
		{ "forest.rows.3", NULL, "columns differ in length" },
		{ "forest.split.3", NULL, "columns differ in length" },
		{ "forest.feature.3", NULL, "columns differ in length" },
		{ "forest.feature.0", "3", "tree 0 node 0: feature 3 of 3" },
		{ "forest.feature.0", "64", "forest: \"feature\"[0]" },
		{ "forest.feature.0", "-2", "forest: \"feature\"[0]" },
		{ "forest.feature.0", "null", "forest: \"feature\"[0]" },
		{ "forest.split.0", "null", "forest: \"split\"[0]" },
		{ "forest.split.0", "1e999", "forest: \"split\"[0]" },
		{ "forest.split.0", "true", "forest: \"split\"[0]" },
		{ "forest.rows.0", "65537", "forest: \"rows\"[0]" },
		{ "forest.rows.0", "7", "tree 0" },
		{ "forest.rows.1", "0", "forest: \"rows\"[1]" },
	};

	try_mutants(mutants, sizeof(mutants) / sizeof(mutants[0]));
}

/* The same of the fused detector, in whose columns everything is an index or a factor. */
static void test_fused_mutants(void)
{
	static const struct mutant mutants[] = {
		{ "fused", NULL, "\"fused\" is not an object" },
		{ "fused", "[]", "\"fused\" is not an object" },
		{ "fused.sample_size", "1", "fused: \"sample_size\"" },
		{ "fused.sample_size", "1e15", "fused: \"sample_size\"" },
		{ "fused.sample_size", "NaN", "byte" },
		{ "fused.root", "[]", "fused: \"root\"" },
		{ "fused.root", NULL, "fused: \"root\" is not a list" },
		{ "fused.root.0", "1", "fused: tree 0: root 1" },
		{ "fused.root.1", "0", "fused: tree 0: root 0" },
		{ "fused.root.1", "1", "fused: tree 0 node 0: child" },
		{ "fused.root.4", "1000000", "fused: tree 3" },
		{ "fused.root.4", "1000001", "fused: \"root\"[4]" },
		{ "fused.root.4", "-1", "fused: \"root\"[4]" },
		{ "fused.a.0", "3", "fused: tree 0 node 0: features 3" },
		{ "fused.b.0", "63", "fused: tree 0 node 0: features" },
		{ "fused.a.0", "64", "fused: \"a\"[0]" },
		{ "fused.a.0", "0.5", "fused: \"a\"[0]" },
		{ "fused.a.0", NULL, "fused: \"rows\" has" },
		{ "fused.b.0", NULL, "fused: \"b\" has" },
		{ "fused.rows.0", NULL, "fused: \"rows\" has" },
		{ "fused.rows.0", "0", "fused: \"rows\"[0]" },
		{ "fused.rows.0", "65537", "fused: \"rows\"[0]" },
		{ "fused.weight_a.0", "null", "fused: \"weight_a\"[0]" },
		{ "fused.weight_a.0", "1e999", "fused: \"weight_a\"[0]" },
		{ "fused.weight_a.0", "1e300",
			"fused: tree 0 node 0: a number that is not finite" },
		{ "fused.weight_b.0", "\"1\"", "fused: \"weight_b\"[0]" },
		{ "fused.cut.0", "true", "fused: \"cut\"[0]" },
		{ "fused.cut.0", "-1e300", "fused: tree 0 node 0: a number that is not finite" },
		{ "fused.range.0", "-1", "fused: \"range\"[0]" },
		{ "fused.left.0", "1000000", "fused: tree 0 node 0: child 1000000" },
		{ "fused.left.0", "4294967297", "fused: \"left\"[0]" },
		{ "fused.left.0", "2", "fused: tree 0 node 1: it has no parent" },
		{ "fused.left.1", "1",
			"fused: tree 0" }, /* a leaf, whose children have no parent */
		{ "fused.left.0", "0", "fused: tree 0 node 1: it has no parent" },
		{ "fused.prototypes", "[1]", "fused: \"prototypes\" has 1 numbers" },
		{ "fused.prototypes", "[]", "fused: \"prototypes\"" },
		{ "fused.prototypes.0", "1e300", "fused: prototype 0 is not finite" },
		{ "fused.whitening.0", NULL, "fused: \"whitening\" has 5 numbers" },
		{ "fused.whitening.0", "null", "fused: \"whitening\"[0]" },
		{ "fused.tail_score.0", NULL, "fused: \"tail_score\" has 191 numbers" },
		{ "fused.tail_score.0", "1e9", "fused: tail 0 does not rise" },
		{ "fused.tail_score.191", "-1e9", "fused: tail 2 does not rise" },
		{ "fused.tail_nats.64", "100", "fused: tail 1 does not rise" },
		{ "fused.tail_nats.0", "-1", "fused: \"tail_nats\"[0]" },
		{ "fused.tail_excess.2", "0", "fused: tail 2 does not rise" },
		{ "fused.tail_excess.2", NULL, "fused: \"tail_excess\" has 2 numbers" },
		{ "calibration", "[]", "\"calibration\" is not an object" },
		{ "calibration.rate", NULL, "\"calibration\": \"rate\"" },
		{ "calibration.rate", "1", "\"calibration\" has no rate" },
		{ "calibration.effective_rows", "0", "\"calibration\" has no rate" },
		{ "calibration.effective_rows", "null", "\"effective_rows\"" },
		{ "detector", "\"forest\"", "\"forest\" is not an object" },
	};

	kind = DETECTOR_FUSED;
	cJSON *root = small_tree();
	CU_ASSERT_EQUAL(load_tree(root), STATUS_OK);
	bend(root, "calibration", NULL); /* older files have none */
	CU_ASSERT_EQUAL(load_tree(root), STATUS_OK);
	cJSON_Delete(root);
	try_mutants(mutants, sizeof(mutants) / sizeof(mutants[0]));
	kind = DETECTOR_FOREST;
}

/* Of a model of rows that were drawn; small_model() itself is of 16 rows. */
static void test_sample(void)
{
	static const struct {
		const char *raw, *word;
	} wrong[] = {
		{ "7", "\"sample\" is not an object" },
		{ "{\"share_error\":0}", "sample: \"rows\"" },
		{ "{\"rows\":0,\"share_error\":0}", "sample: \"rows\"" },
		{ "{\"rows\":17,\"share_error\":0}", "sample: \"rows\"" },
		{ "{\"rows\":16}", "\"share_error\"" },
		{ "{\"rows\":16,\"share_error\":-0.1}", "sample: \"share_error\"" },
		{ "{\"rows\":16,\"share_error\":1}", "sample: \"share_error\"" },
	};
	cJSON *root = small_tree();

	cJSON_AddRawToObject(root, "sample", "{\"rows\":9,\"share_error\":0.25}");
	CU_ASSERT_EQUAL(load_tree(root), STATUS_OK);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		bend(root, "sample", wrong[i].raw);
		CU_ASSERT_EQUAL(load_tree(root), STATUS_BAD_INPUT);
		ASSERT_HOLDS(why.text, wrong[i].word);
	}
	cJSON_Delete(root);
}

/* Cut at every seventh byte, and a bit flipped in it, which the seal betrays. */
static void test_fused_damaged(void)
{
	size_t len, believed = 0;

	kind = DETECTOR_FUSED;
	char *text = text_of(small_file(), &len);
	kind = DETECTOR_FOREST;
	const char *path = unit_file("cut.json", text, len);
	CU_ASSERT_EQUAL_FATAL(load_status(path), STATUS_OK);
	int fd = open(path, O_WRONLY);
	CU_ASSERT_TRUE_FATAL(fd >= 0);
	for (size_t i = 0; i < len; i += 7) {
		char flipped = (char)(text[i] ^ (1 << i % 8));
		CU_ASSERT_EQUAL_FATAL(pwrite(fd, &flipped, 1, (off_t)i), 1);
		believed += load_status(path) != STATUS_BAD_INPUT;
		CU_ASSERT_EQUAL_FATAL(pwrite(fd, &text[i], 1, (off_t)i), 1);
	}
	close(fd);
	for (size_t cut = len; cut-- > 0; cut -= cut % 7) {
		CU_ASSERT_EQUAL_FATAL(truncate(path, (off_t)cut), 0);
		believed += load_status(path) != STATUS_BAD_INPUT || !strstr(why.text, "cut.json");
	}
	CU_ASSERT_EQUAL(believed, 0);
	free(text);
}

/* What the mutants are held against: the same path without a bend. */
static void test_sealed_again(void)
{
	cJSON *root = small_tree();

	CU_ASSERT_EQUAL(load_tree(root), STATUS_OK);
	bend(root, "threshold", "0.25");
	CU_ASSERT_EQUAL(load_tree(root), STATUS_OK);
	cJSON_Delete(root);
}

/* No member can be left out, and the sentence names the one that is. */
static void test_missing_members(void)
{
	static const char *const objects[] = { "", "trained", "features.0", "features.2",
		"forest" };
	size_t tried = 0;

	for (size_t o = 0; o < sizeof(objects) / sizeof(objects[0]); o++) {
		cJSON *names = small_tree();
		for (cJSON *member = item_at(names, objects[o])->child; member;
			member = member->next) {
			if (strcmp(member->string, "stuck_after") == 0)
				continue; /* older files have none */
			cJSON *root = small_tree();
			char quoted[80];
			snprintf(quoted, sizeof(quoted), "\"%s\"", member->string);
			cJSON_DeleteItemFromObjectCaseSensitive(
				item_at(root, objects[o]), member->string);
			CU_ASSERT_EQUAL(load_tree(root), STATUS_BAD_INPUT);
			ASSERT_HOLDS(why.text, quoted);
			cJSON_Delete(root);
			tried++;
		}
		cJSON_Delete(names);
	}
	CU_ASSERT_TRUE(tried >= 8 + 5 + 9 + 9 + 7);
}

static void test_too_many_features(void)
{
	cJSON *root = small_tree();
	cJSON *list = item_at(root, "features");

	for (int i = 3; i <= FEATURES_MAX; i++) {
		char name[16];
		cJSON *one = cJSON_Duplicate(cJSON_GetArrayItem(list, 0), 1);
		snprintf(name, sizeof(name), "f%d", i);
		cJSON_ReplaceItemInObjectCaseSensitive(one, "name", cJSON_CreateString(name));
		cJSON_AddItemToArray(list, one);
		CU_ASSERT_EQUAL(load_tree(root), i < FEATURES_MAX ? STATUS_OK : STATUS_BAD_INPUT);
	}
	ASSERT_HOLDS(why.text, "more than 64 features");
	cJSON_Delete(root);
}

static void test_not_json(void)
{
	CU_ASSERT_EQUAL(load_status(sealed_file("[1,2]")), STATUS_BAD_INPUT);
	CU_ASSERT_EQUAL(load_status(sealed_file("}")), STATUS_BAD_INPUT);
	CU_ASSERT_EQUAL(load_status(sealed_file("{\"a\":1,\"a\":2}")), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "mutant.json: \"a\" is there twice");
	CU_ASSERT_EQUAL(
		load_status(sealed_file("{\"a\":[[[[[[[[[[[[]]]]]]]]]]]]}")), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "deeper");
}

static void test_no_file(void)
{
	const char *path = unit_path("huge.json");
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	CU_ASSERT_TRUE_FATAL(fd >= 0);

	CU_ASSERT_EQUAL_FATAL(ftruncate(fd, (off_t)MODEL_FILE_MAX + 1), 0);
	close(fd);
	CU_ASSERT_EQUAL(load_status(path), STATUS_FULL);
	CU_ASSERT_EQUAL(load_status(unit_path("absent.json")), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "absent.json");
	CU_ASSERT_EQUAL(load_status(unit_folder()), STATUS_BAD_INPUT);
	CU_ASSERT_EQUAL(load_status(unit_file("empty.json", "", 0)), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "not a model file");
	model_destroy(NULL);
}

static void test_cannot_save(void)
{
	struct model *model = small_model();
	char path[300];

	snprintf(path, sizeof(path), "%s/under.json", unit_file("file", "x", 1));
	CU_ASSERT_EQUAL(model_save(model, path, &why), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "under.json");
	model_destroy(model);
}

static CU_TestInfo cases[] = {
	{ "bent numbers of the fused detector are refused, and named", test_fused_mutants },
	{ "a sample is fewer rows than there are, and its error a share", test_sample },
	{ "a fused model cut short or flipped is refused", test_fused_damaged },
	{ "a model read back scores bit for bit the same", test_round_trip },
	{ "what feeds the alarm comes back", test_alarm },
	{ "levels, delays and promises that cannot be are refused", test_bad_alarm },
	{ "the rules of means are in the file, and may be none", test_drift },
	{ "rules that cannot be are refused", test_bad_drift },
	{ "saving what was loaded gives the same file", test_saved_again },
	{ "the id is the file's SHA-256", test_id },
	{ "an explanation names the strange feature", test_explained },
	{ "a file cut short anywhere is refused", test_truncated },
	{ "a file with any bit flipped is refused", test_every_bit },
	{ "a file with something behind its end is refused", test_appended },
	{ "a sealed file without a mistake is believed", test_sealed_again },
	{ "a sealed file with a mistake is refused with its place", test_mutants },
	{ "no member may be left out", test_missing_members },
	{ "64 features are enough", test_too_many_features },
	{ "what is sealed but no object is refused", test_not_json },
	{ "absent, huge and empty files are told apart", test_no_file },
	{ "where nothing can be saved, the path is named", test_cannot_save },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("model", cases);
}
