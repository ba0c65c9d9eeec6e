#include "common/rng.h"
#include "common/smooth.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 600 };
static struct why why;
static struct schema schema;     /* a, b, c */
static double normal[ROWS * 3];  /* independent normals around 60, 35, 75 */
static double scratch[ROWS * 3]; /* a copy to bend */

static const struct train_options usual = {
	.kind = DETECTOR_FOREST, .trees = 30, .sample_size = 64, .seed = 42, .quantile = 0.95
};

static bool make_rows(void)
{
	static const double mean[] = { 60, 35, 75 };
	static const char *const names[] = { "a", "b", "c" };
	struct rng rng;

	rng_seed(&rng, 1);
	for (size_t i = 0; i < ROWS * 3; i++)
		normal[i] = mean[i % 3] + 10 * rng_normal(&rng);
	for (size_t i = 0; i < 3; i++) {
		if (schema_add(&schema, names[i], "", -INFINITY, INFINITY, NULL) != STATUS_OK)
			return false;
	}
	return true;
}

static struct model *train(const double *value, size_t rows, const struct train_options *options)
{
	struct model *model = NULL;

	enum status st = train_model(&schema, value, rows, options, &model, &why);
	if (st != STATUS_OK)
		fprintf(stderr, "\n%s\n", why.text);
	CU_ASSERT_EQUAL_FATAL(st, STATUS_OK);
	return model;
}

/* The SHA-256 of the model's file, and the model freed. */
static void digest_of(struct model *model, char out[DIGEST_TEXT_SIZE])
{
	CU_ASSERT_EQUAL_FATAL(model_save(model, unit_path("model.json"), &why), STATUS_OK);
	strcpy(out, model->digest);
	model_destroy(model);
}

static void test_repeatable(void)
{
	char first[DIGEST_TEXT_SIZE], again[DIGEST_TEXT_SIZE], other[DIGEST_TEXT_SIZE];
	struct train_options options = usual;

	digest_of(train(normal, ROWS, &options), first);
	digest_of(train(normal, ROWS, &options), again);
	CU_ASSERT_STRING_EQUAL(first, again);
	options.seed = 43;
	digest_of(train(normal, ROWS, &options), other);
	CU_ASSERT_STRING_NOT_EQUAL(first, other);
}

/* One reading in 10 s, of two machines in turn. */
static int64_t second_by_second[ROWS];
static uint32_t in_turn[ROWS];

static struct train_options with_times(enum detector_kind kind)
{
	struct train_options options = usual;

	for (size_t i = 0; i < ROWS; i++) {
		second_by_second[i] = 1000000 + (int64_t)(i / 2) * 10000;
		in_turn[i] = (uint32_t)(i % 2);
	}
	options.kind = kind;
	options.at_ms = second_by_second;
	options.machine = in_turn;
	return options;
}

static void test_times(void)
{
	struct train_options options = with_times(DETECTOR_FOREST);
	struct model *model = train(normal, ROWS, &options);

	CU_ASSERT_EQUAL(model->step_ms, 10000);
	CU_ASSERT_EQUAL(model->smooth, 1);
	CU_ASSERT_EQUAL(model->alarm_threshold, model->threshold);
	CU_ASSERT_EQUAL(model->raise_count, 3);
	CU_ASSERT_EQUAL(model->raise_window, 5);
	CU_ASSERT_EQUAL(model->clear_count, 5);
	CU_ASSERT(model->false_alarms_per_day >= 0);
	CU_ASSERT(model->false_alarms_per_day_low <= model->false_alarms_per_day);
	CU_ASSERT(model->false_alarms_per_day_high > model->false_alarms_per_day);
	model_destroy(model);

	options.at_ms = NULL;
	model = train(normal, ROWS, &options);
	CU_ASSERT_EQUAL(model->step_ms, 0);
	CU_ASSERT_TRUE(isnan(model->false_alarms_per_day));
	model_destroy(model);
}

static void test_smoothed_levels(void)
{
	struct train_options options = with_times(DETECTOR_FUSED);
	struct model *model = train(normal, ROWS, &options), *read = NULL;

	CU_ASSERT_EQUAL(model->smooth, 10);
	CU_ASSERT_EQUAL(model->step_ms, 10000);
	CU_ASSERT(model->smooth_threshold < model->threshold);       /* means spread less */
	CU_ASSERT(model->alarm_threshold > model->smooth_threshold); /* and cry seldom */
	CU_ASSERT(model->alarm_clear < model->alarm_threshold);
	CU_ASSERT_FALSE(isnan(model->false_alarms_per_day));
	CU_ASSERT_EQUAL_FATAL(model_save(model, unit_path("model.json"), &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(model_load(unit_path("model.json"), &read, &why), STATUS_OK);
	CU_ASSERT_EQUAL(read->smooth, 10);
	CU_ASSERT(model->rate > 0 && model->rate < 0.1); /* tightened */
	CU_ASSERT(model->effective_rows > 1 && model->effective_rows <= ROWS);
	CU_ASSERT_EQUAL(read->rate, model->rate);
	CU_ASSERT_EQUAL(read->effective_rows, model->effective_rows);
	CU_ASSERT_EQUAL(read->smooth_threshold, model->smooth_threshold);
	CU_ASSERT_EQUAL(read->alarm_threshold, model->alarm_threshold);
	CU_ASSERT_EQUAL(read->false_alarms_per_day, model->false_alarms_per_day);
	model_destroy(read);
	model_destroy(model);

	options.at_ms = NULL;
	model = train(normal, ROWS, &options);
	CU_ASSERT_EQUAL(model->smooth, 1);
	CU_ASSERT_EQUAL(model->alarm_threshold, model->threshold);
	model_destroy(model);
}

/* Two machines that wander: first order autocorrelation, b follows a. */
enum { LONG = 6000 };

static void wander(double *value, uint64_t seed, double r)
{
	double state[2][2] = { { 0 } };
	struct rng rng;

	rng_seed(&rng, seed);
	for (size_t i = 0; i < LONG; i++) {
		double *s = state[i % 2];
		for (size_t j = 0; j < 2; j++)
			s[j] = r * s[j] + sqrt(1 - r * r) * rng_normal(&rng);
		value[i * 3] = 60 + 10 * s[0];
		value[i * 3 + 1] = 35 + 8 * s[0] + 6 * s[1];
		value[i * 3 + 2] = 75; /* a sensor that never moves */
	}
}

/* Means of machines that wander have levels on the scale of the smoothed score: of fresh healthy
 * data none is reached, of a shift it is, and it names the sensor. */
static void test_drift(void)
{
	static double value[LONG * 3];
	static int64_t at_ms[LONG];
	static uint32_t machine[LONG];
	struct train_options options = with_times(DETECTOR_FUSED);
	struct drift drift[DRIFT_RULES] = { { .count = 0 } };
	size_t above = 0, shifted = 0;

	for (size_t i = 0; i < LONG; i++) {
		at_ms[i] = 1000000 + (int64_t)(i / 2) * 1000;
		machine[i] = (uint32_t)(i % 2);
	}
	wander(value, 5, 0.8);
	options.at_ms = at_ms;
	options.machine = machine;
	options.quantile = 0.99;
	struct model *model = train(value, LONG, &options);
	CU_ASSERT_EQUAL(model->drift[0].window, 60);
	CU_ASSERT_EQUAL(model->drift[0].brief, 0);
	CU_ASSERT_EQUAL(model->drift[1].window, 15);
	CU_ASSERT_EQUAL(model->drift[1].brief, 3);
	CU_ASSERT_DOUBLE_EQUAL(model->drift[0].centre[2], 75, 1e-9);
	CU_ASSERT(model->drift[0].reach[2] < 1e-6);
	CU_ASSERT(model->alarm_clear <= model->alarm_threshold);

	wander(value, 6, 0.8);
	for (size_t i = 0; i < LONG; i += 2) { /* machine 0 */
		double x[3] = { value[i * 3], value[i * 3 + 1], 75 };
		if (i >= LONG - 200)
			x[1] += 30; /* three sd */
		for (size_t k = 0; k < DRIFT_RULES; k++) {
			double nats = drift_next(&drift[k], &model->drift[k], 3, 1000, at_ms[i], x);
			bool out = drift_score(&model->drift[k], nats) > model->alarm_threshold;
			above += out && i < LONG - 200;
			shifted += out && i >= LONG - 200;
		}
	}
	CU_ASSERT_EQUAL(above, 0);
	CU_ASSERT(shifted > 20);
	CU_ASSERT_EQUAL(drift_sensor(&drift[0], &model->drift[0], 3), 1);
	model_destroy(model);

	model = train(value, 1000, &options); /* too few minutes to know how they spread */
	CU_ASSERT_EQUAL(model->drift[0].window, 0);
	CU_ASSERT_EQUAL(model->drift[1].window, 0);
	model_destroy(model);
}

/* Where rows hang together for longer than a short block a row held out in one is known all the
 * same, by its neighbours: of fresh data too many would be above the level. */
static void test_smoothed_fresh(void)
{
	static double value[LONG * 3];
	static int64_t at_ms[LONG];
	struct train_options options = with_times(DETECTOR_FUSED);
	size_t above = 0, seen = 0;

	for (size_t i = 0; i < LONG; i++)
		at_ms[i] = 1000000 + (int64_t)(i / 2) * 1000;
	options.at_ms = at_ms;
	options.machine = NULL;
	options.quantile = 0.99;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		wander(value, seed, 0.98);
		for (size_t i = 0; i < LONG / 2; i++) { /* machine 0 alone */
			memmove(&value[i * 3], &value[i * 6], 3 * sizeof(*value));
			at_ms[i] = 1000000 + (int64_t)i * 1000;
		}
		struct model *model = train(value, LONG / 2, &options);
		wander(value, 100 + seed, 0.98);
		struct smooth smooth = { .count = 0 };
		for (size_t i = 0; i < LONG; i += 2) {
			double score = detector_score(&model->detector, &value[i * 3]);
			double mean = smooth_next(&smooth, 10, 1000, (int64_t)(i + 2) * 500, score);
			above += mean > model->smooth_threshold;
			seen++;
		}
		model_destroy(model);
	}
	/* 2.7 % with blocks of 25 rows among the others, 2.2 % without. */
	CU_ASSERT((double)above < 0.024 * (double)seen);
}

/* Ten rows far off in a row: the usual delays cry once in 6,000 s of two machines. */
static void test_promise(void)
{
	struct train_options options = with_times(DETECTOR_FOREST);
	struct model *model;

	memcpy(scratch, normal, sizeof(scratch));
	for (size_t i = 200; i < 220; i += 2) /* of machine 0 alone */
		scratch[i * 3] = 500;
	options.quantile = 0.99;
	model = train(scratch, ROWS, &options);
	double days = 2 * 299 * 10.0 / 86400;
	CU_ASSERT_DOUBLE_EQUAL(model->false_alarms_per_day, 1 / days, 1e-9);
	/* Garwood's interval of one event: 0.0253 to 5.572. */
	CU_ASSERT_DOUBLE_EQUAL(model->false_alarms_per_day_low, 0.025318 / days, 1e-3);
	CU_ASSERT_DOUBLE_EQUAL(model->false_alarms_per_day_high, 5.5716 / days, 1e-2);
	model_destroy(model);

	model = NULL;
	options.false_alarms_per_day = 0.5; /* data of 0.07 days show nothing of the kind */
	CU_ASSERT_EQUAL(
		train_model(&schema, scratch, ROWS, &options, &model, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "0.5 false alarms a day cannot be promised by data of 0.0692 days");
	options.false_alarms_per_day = 15; /* just above one in the data */
	model = train(scratch, ROWS, &options);
	CU_ASSERT(model->false_alarms_per_day <= 15);
	model_destroy(model);
}

/* Of the fused detector the level is what is chosen: the rarer the alarm, the higher. */
static void test_promised_level(void)
{
	struct train_options options = with_times(DETECTOR_FUSED);
	struct model *often = NULL, *seldom = train(normal, ROWS, &options);

	options.false_alarms_per_day = 86400; /* whatever: the level stays where it was */
	often = train(normal, ROWS, &options);
	CU_ASSERT_EQUAL(often->alarm_threshold, often->smooth_threshold);
	CU_ASSERT_EQUAL(often->smooth_threshold, seldom->smooth_threshold);
	CU_ASSERT(seldom->alarm_threshold > often->alarm_threshold);
	CU_ASSERT_EQUAL(seldom->alarm_clear, often->alarm_clear);
	CU_ASSERT_EQUAL(seldom->raise_count, 3);
	CU_ASSERT_EQUAL(often->raise_count, 3);
	CU_ASSERT_EQUAL(seldom->false_alarms_per_day, 0);
	model_destroy(often);
	model_destroy(seldom);

	/* A regime of its own, far above what the tail of the others foretells, seen three times.
	 */
	memcpy(scratch, normal, sizeof(scratch));
	for (size_t i = 0; i < 3 * 40; i++)
		scratch[(i / 40 * 200 + 100 + i % 40) * 3] = 95;
	options.false_alarms_per_day = 15;
	often = train(scratch, ROWS, &options);
	CU_ASSERT(often->false_alarms_per_day <= 15); /* one in the data */
	model_destroy(often);

	often = NULL;
	options.false_alarms_per_day = 0.5;
	CU_ASSERT_EQUAL(
		train_model(&schema, normal, ROWS, &options, &often, &why), STATUS_BAD_INPUT);
	ASSERT_HOLDS(why.text, "cannot be promised by data of");
}

static void test_contents(void)
{
	struct model *model = train(normal, ROWS, &usual);
	const struct forest_columns *c = forest_columns(model->detector.forest);

	CU_ASSERT_TRUE(schema_equal(&model->schema, &schema));
	CU_ASSERT_EQUAL(model->rows, ROWS);
	CU_ASSERT_EQUAL(model->seed, 42);
	CU_ASSERT_EQUAL(model->quantile, 0.95);
	CU_ASSERT_EQUAL(model->detector.features, 3);
	CU_ASSERT_EQUAL(c->trees, 30);
	CU_ASSERT_EQUAL(c->sample_size, 64);
	CU_ASSERT_EQUAL(c->features, 3);
	model_destroy(model);
}

static void test_stats(void)
{
	/* 1 .. 101 in column a, shuffled by a step that is prime to 101. */
	double value[101 * 3];
	for (size_t i = 0; i < 101; i++) {
		value[3 * i] = (double)(i * 37 % 101 + 1);
		value[3 * i + 1] = (double)i;
		value[3 * i + 2] = -5;
	}
	struct model *model = train(value, 101, &usual);
	const struct feature_stats *s = model->detector.stats;

	CU_ASSERT_DOUBLE_EQUAL(s[0].mean, 51, 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(s[0].sd, sqrt(850), 1e-12); /* (n^2 - 1) / 12 */
	CU_ASSERT_EQUAL(s[0].median, 51);
	CU_ASSERT_DOUBLE_EQUAL(s[0].low, 2, 1e-12);
	CU_ASSERT_DOUBLE_EQUAL(s[0].high, 100, 1e-12);
	CU_ASSERT_EQUAL(s[2].mean, -5);
	CU_ASSERT_EQUAL(s[2].sd, 0);
	CU_ASSERT_EQUAL(s[2].median, -5);
	CU_ASSERT_EQUAL(s[2].low, -5);
	CU_ASSERT_EQUAL(s[2].high, -5);
	model_destroy(model);
}

static int ascending(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

/* Columns: never repeats; repeats once in a while; a run of 40; a switch that is seldom thrown; as
 * good as constant. */
static void test_stuck_after(void)
{
	enum { STUCK_ROWS = 2000, COLUMNS = 5 };
	static const char *const names[] = { "fine", "coarse", "run", "switch", "constant" };
	static double values[STUCK_ROWS * COLUMNS];
	struct schema columns = { .count = 0 };
	struct train_options options = {
		.kind = DETECTOR_FOREST, .trees = 2, .sample_size = 16, .quantile = 0.99
	};
	struct model *model;

	for (size_t i = 0; i < STUCK_ROWS; i++) {
		double *row = &values[i * COLUMNS];
		row[0] = (double)i;
		row[1] = (double)(i / 2 % 10); /* every other reading repeats */
		row[2] = i >= 100 && i <= 140 ? 7 : (double)i;
		row[3] = (double)(i / 100 % 2);
		row[4] = i == 0;
	}
	for (size_t i = 0; i < COLUMNS; i++)
		CU_ASSERT_EQUAL_FATAL(
			schema_add(&columns, names[i], "", -INFINITY, INFINITY, NULL), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(
		train_model(&columns, values, STUCK_ROWS, &options, &model, &why), STATUS_OK);
	const struct feature_stats *stats = model->detector.stats;
	CU_ASSERT_EQUAL(stats[0].stuck_after, 20);
	CU_ASSERT_EQUAL(stats[1].stuck_after, 30); /* 0.5 to the 30th is a billionth */
	CU_ASSERT_EQUAL(stats[2].stuck_after, 80);
	CU_ASSERT_EQUAL(stats[3].stuck_after, 0); /* it changed too seldom to tell */
	CU_ASSERT_EQUAL(stats[4].stuck_after, 0);
	model_destroy(model);
}

static void test_threshold(void)
{
	static double score[ROWS];
	static const double quantiles[] = { 0.5, 0.9, 0.95, 0.99, 0.999 };

	for (size_t q = 0; q < 5; q++) {
		struct train_options options = usual;
		options.quantile = quantiles[q];
		struct model *model = train(normal, ROWS, &options);
		size_t above = 0;
		for (size_t i = 0; i < ROWS; i++) {
			score[i] = detector_score(&model->detector, normal + 3 * i);
			above += score[i] > model->threshold;
		}
		qsort(score, ROWS, sizeof(score[0]), ascending);
		CU_ASSERT_EQUAL(model->threshold, train_quantile(score, ROWS, quantiles[q]));
		CU_ASSERT_TRUE((double)above <= (1 - quantiles[q]) * ROWS + 1);
		CU_ASSERT_TRUE_FATAL(model->quantiles >= 2);
		CU_ASSERT_EQUAL(model->score_quantile[0], score[0]);
		CU_ASSERT_EQUAL(model->score_quantile[model->quantiles - 1], score[ROWS - 1]);
		for (size_t i = 1; i < model->quantiles; i++)
			CU_ASSERT_TRUE(model->score_quantile[i] >= model->score_quantile[i - 1]);
		model_destroy(model);
	}
}

/* Of many rows the threshold comes from a sample, as good as train.h says; 4 standard errors. With
 * times every row is scored. */
static void test_threshold_of_many(void)
{
	enum { MANY = 3 * TRAIN_SCORED_MAX / 2 };
	struct train_options options = usual;
	struct model *sampled = NULL, *whole = NULL;
	double *value = malloc(3 * MANY * sizeof(*value));
	int64_t *at_ms = calloc(MANY, sizeof(*at_ms));
	struct rng rng;

	CU_ASSERT_TRUE_FATAL(value && at_ms);
	rng_seed(&rng, 3);
	for (size_t i = 0; i < 3 * MANY;
		i++) /* the last third is elsewhere: it has to be looked at */
		value[i] = rng_normal(&rng) + (i > 2 * MANY ? 3 : 0);
	options.quantile = 0.99;
	CU_ASSERT_EQUAL_FATAL(
		train_model(&schema, value, MANY, &options, &sampled, &why), STATUS_OK);
	options.at_ms = at_ms;
	CU_ASSERT_EQUAL_FATAL(train_model(&schema, value, MANY, &options, &whole, &why), STATUS_OK);

	size_t above = 0, above_whole = 0;
	for (size_t i = 0; i < MANY; i++) {
		double score = detector_score(&sampled->detector, &value[3 * i]);
		above += score > sampled->threshold;
		above_whole += score > whole->threshold;
	}
	CU_ASSERT_NOT_EQUAL(sampled->threshold, whole->threshold);
	CU_ASSERT_EQUAL(sampled->drawn, TRAIN_SCORED_MAX);
	CU_ASSERT_EQUAL(whole->drawn, 0);
	CU_ASSERT_DOUBLE_EQUAL(sampled->share_error, 1.96 * 0.000315 * sqrt(1.0 / 3), 1e-6);
	CU_ASSERT_TRUE(above_whole <= MANY / 100);
	CU_ASSERT_DOUBLE_EQUAL((double)above / MANY, 0.01, 4 * 0.000315);

	model_destroy(sampled);
	model_destroy(whole);
	free(value);
	free(at_ms);
}

/* Of rows drawn from ten times as many: what is known of all is kept, and the error is stated. */
static void test_drawn(void)
{
	struct train_options options = usual;
	struct feature_stats whole[3] = { { .mean = 1, .sd = 2, .stuck_after = 33 },
		{ .mean = 3, .sd = 4 }, { .mean = 5, .sd = 6 } };
	struct model *plain = train(normal, ROWS, &options), *drawn, *read = NULL;

	CU_ASSERT_EQUAL(plain->drawn, 0);
	CU_ASSERT_EQUAL(plain->share_error, 0);
	options.drawn_from = 10 * ROWS;
	options.whole = whole;
	drawn = train(normal, ROWS, &options);
	CU_ASSERT_EQUAL(drawn->rows, 10 * ROWS);
	CU_ASSERT_EQUAL(drawn->drawn, ROWS);
	/* 1.96 sqrt(0.95 0.05 / 600), and sqrt(0.9) of that: a tenth has been seen. */
	CU_ASSERT_DOUBLE_EQUAL(drawn->share_error, 0.0174393 * 0.9486833, 1e-6);
	CU_ASSERT_EQUAL(drawn->threshold, plain->threshold);
	CU_ASSERT_EQUAL(drawn->detector.stats[0].mean, 1);
	CU_ASSERT_EQUAL(drawn->detector.stats[2].sd, 6);
	CU_ASSERT_EQUAL(drawn->detector.stats[0].stuck_after, 33);
	CU_ASSERT_EQUAL(drawn->detector.stats[0].median, plain->detector.stats[0].median);
	CU_ASSERT_EQUAL_FATAL(model_save(drawn, unit_path("drawn.json"), &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(model_load(unit_path("drawn.json"), &read, &why), STATUS_OK);
	CU_ASSERT_EQUAL(read->drawn, ROWS);
	CU_ASSERT_EQUAL(read->share_error, drawn->share_error);
	model_destroy(read);
	model_destroy(drawn);
	model_destroy(plain);
}

/* Rows of a series count as what they are worth: as many high scores, but all in two spells. */
static void test_drawn_series(void)
{
	struct train_options options = with_times(DETECTOR_FOREST);
	struct model *even, *spells;

	options.drawn_from = 10 * ROWS;
	even = train(normal, ROWS, &options);
	memcpy(scratch, normal, sizeof(scratch));
	for (size_t i = 0; i < 20; i++)
		scratch[(i < 10 ? 100 + i : 400 + i) * 3] += 60;
	spells = train(scratch, ROWS, &options);
	CU_ASSERT_EQUAL(spells->drawn, ROWS);
	CU_ASSERT_TRUE(even->share_error > 0.01 && even->share_error < 0.025);
	CU_ASSERT_TRUE(spells->share_error > 1.5 * even->share_error);
	model_destroy(even);
	model_destroy(spells);

	options.kind = DETECTOR_FUSED; /* its rate and effective rows say it */
	even = train(normal, ROWS, &options);
	CU_ASSERT_EQUAL(even->drawn, ROWS);
	CU_ASSERT_EQUAL(even->share_error, 0);
	CU_ASSERT_EQUAL(even->rows, 10 * ROWS);
	model_destroy(even);
}

static void test_quantile(void)
{
	static const double x[] = { 1, 2, 4, 8 };

	CU_ASSERT_EQUAL(train_quantile(x, 4, 0), 1);
	CU_ASSERT_EQUAL(train_quantile(x, 4, 1), 8);
	CU_ASSERT_EQUAL(train_quantile(x, 4, 0.5), 3);
	CU_ASSERT_DOUBLE_EQUAL(train_quantile(x, 4, 0.9), 6.8, 1e-12);
	CU_ASSERT_EQUAL(train_quantile(x, 1, 0.3), 1);
}

static void test_far_point(void)
{
	struct model *model = train(normal, ROWS, &usual);
	static const double far[] = { 160, -60, 200 }, centre[] = { 60, 35, 75 };
	double score = detector_score(&model->detector, far);

	for (size_t i = 0; i < ROWS; i++)
		CU_ASSERT_TRUE(score > detector_score(&model->detector, normal + 3 * i));
	CU_ASSERT_TRUE(score > model->threshold);
	CU_ASSERT_TRUE(detector_score(&model->detector, centre) < model->threshold);
	model_destroy(model);
}

/* The path length of x in one tree, as the paper's algorithm 3 walks it. */
static double walk(const struct forest_columns *c, size_t tree, const double *x)
{
	uint32_t at = c->root[tree];
	double depth = 0;

	for (; c->feature[at] >= 0; depth++)
		at = c->left[at] + (x[c->feature[at]] > c->split[at]);
	return depth + forest_mean_depth(c->rows[at]);
}

static void test_plain_walk(void)
{
	struct model *model = train(normal, ROWS, &usual);
	const struct forest_columns *c = forest_columns(model->detector.forest);

	for (size_t i = 0; i < ROWS; i++) {
		double sum = 0;
		for (size_t t = 0; t < c->trees; t++)
			sum += walk(c, t, normal + 3 * i);
		double mean = sum / (double)c->trees;
		CU_ASSERT_DOUBLE_EQUAL(detector_score(&model->detector, normal + 3 * i),
			exp2(-mean / forest_mean_depth(c->sample_size)) - 0.5, 1e-6);
	}
	model_destroy(model);
}

/* No tree is higher than the paper allows, and leaves of several rows are at the limit (or hold
 * rows that the grid does not tell apart: none of these). */
static void test_height(void)
{
	struct model *model = train(normal, ROWS, &usual);
	const struct forest_columns *c = forest_columns(model->detector.forest);
	unsigned *depth = calloc(c->nodes, sizeof(*depth));
	unsigned deepest = 0;
	CU_ASSERT_PTR_NOT_NULL_FATAL(depth);

	for (size_t i = 0; i < c->nodes; i++) {
		if (c->feature[i] >= 0) {
			depth[c->left[i]] = depth[c->left[i] + 1] = depth[i] + 1;
			continue;
		}
		deepest = depth[i] > deepest ? depth[i] : deepest;
		CU_ASSERT_TRUE(c->rows[i] == 1 || depth[i] == 6);
	}
	CU_ASSERT_EQUAL(deepest, 6); /* log2(64) */
	free(depth);
	model_destroy(model);
}

/* The distinct splits of a feature, ascending, into out[]; how many. */
static size_t splits_of(const struct model *model, int32_t feature, double *out)
{
	const struct forest_columns *c = forest_columns(model->detector.forest);
	size_t n = 0, distinct = 0;

	for (size_t i = 0; i < c->nodes; i++)
		if (c->feature[i] == feature)
			out[n++] = c->split[i];
	qsort(out, n, sizeof(*out), ascending);
	for (size_t i = 0; i < n; i++)
		if (distinct == 0 || out[distinct - 1] < out[i])
			out[distinct++] = out[i];
	return distinct;
}

/* 254 codes a feature, however many nodes there are; a value far away takes one of them. */
static void test_grid(void)
{
	enum { MANY = 20000 };
	static double value[MANY * 3], split[400000];
	struct train_options options = usual;
	struct rng rng;

	options.trees = 300;
	options.sample_size = 256;
	rng_seed(&rng, 3);
	for (size_t i = 0; i < MANY * 3; i++)
		value[i] = rng_normal(&rng);
	value[0] = 1e12;
	struct model *model = train(value, MANY, &options);
	for (int32_t f = 0; f < 3; f++) {
		size_t n = splits_of(model, f, split), near = 0;
		CU_ASSERT_TRUE(n > 200 && n <= 253);
		for (size_t i = 0; i < n; i++)
			near += split[i] > -4 && split[i] < 4;
		CU_ASSERT_TRUE(near + 1 >= n);
	}
	model_destroy(model);
}

/* Few values: every cut lies half way between two of them. */
static void test_grid_of_few(void)
{
	static double split[100000];

	memcpy(scratch, normal, sizeof(normal));
	for (size_t i = 0; i < ROWS; i++)
		scratch[3 * i] = (double)(i % 4);
	struct model *model = train(scratch, ROWS, &usual);
	CU_ASSERT_EQUAL_FATAL(splits_of(model, 0, split), 3);
	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(split[i], (double)i + 0.5);
	model_destroy(model);
}

static void test_constant_column(void)
{
	memcpy(scratch, normal, sizeof(normal));
	for (size_t i = 0; i < ROWS; i++)
		scratch[3 * i + 1] = 7;
	struct model *model = train(scratch, ROWS, &usual);
	const struct forest_columns *c = forest_columns(model->detector.forest);

	for (size_t i = 0; i < c->nodes; i++)
		CU_ASSERT_NOT_EQUAL(c->feature[i], 1);
	model_destroy(model);
}

static void test_all_constant(void)
{
	for (size_t i = 0; i < ROWS * 3; i++)
		scratch[i] = 7;
	struct model *model = train(scratch, ROWS, &usual);
	static const double far[] = { 1e9, -1e9, 0 };

	CU_ASSERT_EQUAL(forest_columns(model->detector.forest)->nodes, 30);
	CU_ASSERT_EQUAL(detector_score(&model->detector, far), model->threshold);
	model_destroy(model);
}

/* Half of all rows are the same one. */
static void test_duplicates(void)
{
	memcpy(scratch, normal, sizeof(normal));
	for (size_t i = 0; i < ROWS; i += 2)
		memcpy(scratch + 3 * i, normal, 3 * sizeof(double));
	struct model *model = train(scratch, ROWS, &usual);
	size_t higher = 0;
	double repeated = detector_score(&model->detector, normal);

	for (size_t i = 1; i < ROWS; i += 2)
		higher += detector_score(&model->detector, scratch + 3 * i) > repeated;
	CU_ASSERT_TRUE(higher > ROWS / 2 * 9 / 10); /* what is often there is not strange */
	model_destroy(model);
}

static void test_few_rows(void)
{
	struct train_options options = usual;
	options.sample_size = 256;
	struct model *model = train(normal, TRAIN_ROWS_MIN, &options);
	const struct forest_columns *c = forest_columns(model->detector.forest);

	CU_ASSERT_EQUAL(c->sample_size, TRAIN_ROWS_MIN);
	for (size_t t = 0; t < c->trees; t++)
		CU_ASSERT_EQUAL(c->rows[c->root[t]], TRAIN_ROWS_MIN);
	model_destroy(model);
}

/* A tree over as many rows as there are has to hold each of them, once: every split of a column
 * with distinct values isolates exactly the rows on its sides. */
static void test_without_replacement(void)
{
	enum { N = 32 };
	double value[N * 3];
	for (size_t i = 0; i < N; i++)
		value[3 * i] = value[3 * i + 1] = value[3 * i + 2] = (double)i;
	struct train_options options = usual;
	options.sample_size = N;
	struct model *model = train(value, N, &options);
	const struct forest_columns *c = forest_columns(model->detector.forest);

	for (size_t t = 0; t < c->trees; t++) {
		size_t end = t + 1 < c->trees ? c->root[t + 1] : c->nodes;
		uint32_t *here = calloc(c->nodes, sizeof(*here));
		CU_ASSERT_PTR_NOT_NULL_FATAL(here);
		for (size_t row = 0; row < N; row++) {
			uint32_t at = c->root[t];
			for (here[at]++; c->feature[at] >= 0; here[at]++)
				at = c->left[at] +
					(value[3 * row + (size_t)c->feature[at]] > c->split[at]);
		}
		for (size_t i = c->root[t]; i < end; i++)
			CU_ASSERT_EQUAL(here[i], c->rows[i]);
		free(here);
	}
	model_destroy(model);
}

/* Of many rows, each tree draws its own. */
static void test_samples_differ(void)
{
	struct model *model = train(normal, ROWS, &usual);
	const struct forest_columns *c = forest_columns(model->detector.forest);
	size_t same = 0;

	for (size_t t = 1; t < c->trees; t++)
		same += c->split[c->root[t]] == c->split[c->root[t - 1]];
	CU_ASSERT_EQUAL(same, 0);
	model_destroy(model);
}

static void test_large_sample(void)
{
	enum { N = 20000 };
	double *value = malloc(N * 3 * sizeof(*value));
	struct train_options options = usual;
	struct rng rng;
	CU_ASSERT_PTR_NOT_NULL_FATAL(value);

	rng_seed(&rng, 5);
	for (size_t i = 0; i < N * 3; i++)
		value[i] = rng_uniform(&rng);
	options.trees = 3;
	options.sample_size = FOREST_SAMPLE_MAX;
	struct model *model = train(value, N, &options);
	const struct forest_columns *c = forest_columns(model->detector.forest);
	CU_ASSERT_EQUAL(c->sample_size, N);
	CU_ASSERT_TRUE(c->nodes > 3 * 5000);
	model_destroy(model);
	free(value);
}

static void test_extreme_values(void)
{
	struct model *model = NULL;

	/* Far apart, but their squares are finite. */
	memcpy(scratch, normal, sizeof(normal));
	scratch[0] = 1e100;
	scratch[3] = -1e100;
	model = train(scratch, ROWS, &usual);
	CU_ASSERT_EQUAL_FATAL(model_save(model, unit_path("far.json"), &why), STATUS_OK);
	model_destroy(model);
	CU_ASSERT_EQUAL_FATAL(model_load(unit_path("far.json"), &model, &why), STATUS_OK);
	model_destroy(model);

	/* Neighbours: no number lies between them. */
	for (size_t i = 0; i < ROWS * 3; i++)
		scratch[i] = i / 3 % 2 ? nextafter(1, 2) : 1;
	model_destroy(train(scratch, ROWS, &usual));
}

static void test_too_large_values(void)
{
	struct model *model = NULL;

	memcpy(scratch, normal, sizeof(normal));
	scratch[1] = 1.5e308;
	scratch[4] = -1.5e308;
	CU_ASSERT_EQUAL(
		train_model(&schema, scratch, ROWS, &usual, &model, &why), STATUS_BAD_INPUT);
	CU_ASSERT_PTR_NULL(model);
	ASSERT_HOLDS(why.text, "b: ");
}

static double progress_last;
static size_t progress_calls;

static void progress(void *context, double done)
{
	CU_ASSERT_PTR_EQUAL(context, &progress_calls);
	CU_ASSERT_TRUE(done >= progress_last && done <= 1);
	progress_last = done;
	progress_calls++;
}

static void test_progress(void)
{
	struct train_options options = usual;
	options.progress = progress;
	options.context = &progress_calls;

	model_destroy(train(normal, ROWS, &options));
	CU_ASSERT_EQUAL(progress_last, 1);
	CU_ASSERT_TRUE(progress_calls >= 30);
}

static void refused(const struct schema *names, const double *value, size_t rows,
	const struct train_options *options, const char *word)
{
	struct model *model = NULL;

	why.text[0] = '\0';
	CU_ASSERT_EQUAL(train_model(names, value, rows, options, &model, &why), STATUS_BAD_INPUT);
	CU_ASSERT_PTR_NULL(model);
	ASSERT_HOLDS(why.text, word);
}

static void test_refusals(void)
{
	static const struct schema none = { .count = 0 };
	struct train_options o = usual;

	refused(&none, normal, ROWS, &usual, "no features");
	refused(&schema, normal, TRAIN_ROWS_MIN - 1, &usual, "15 rows");
	refused(&schema, normal, 0, &usual, "0 rows");
	o.trees = 0;
	refused(&schema, normal, ROWS, &o, "0 trees");
	o.trees = FOREST_TREES_MAX + 1;
	refused(&schema, normal, ROWS, &o, "1001 trees");
	o = usual;
	o.sample_size = 1;
	refused(&schema, normal, ROWS, &o, "sample size of 1");
	o.sample_size = FOREST_SAMPLE_MAX + 1;
	refused(&schema, normal, ROWS, &o, "sample size of 65537");
	o = usual;
	o.quantile = 0;
	refused(&schema, normal, ROWS, &o, "quantile of 0");
	o.quantile = 1;
	refused(&schema, normal, ROWS, &o, "quantile of 1");
	o.quantile = NAN;
	refused(&schema, normal, ROWS, &o, "quantile of ");
	memcpy(scratch, normal, sizeof(normal));
	scratch[4] = NAN;
	refused(&schema, scratch, ROWS, &usual, "row 2, b");
	scratch[4] = 0;
	scratch[ROWS * 3 - 1] = INFINITY;
	refused(&schema, scratch, ROWS, &usual, "row 600, c");
}

static CU_TestInfo cases[] = {
	{ "of many rows a sample makes the threshold", test_threshold_of_many },
	{ "of rows that were drawn the model says from how many, and how sure it is", test_drawn },
	{ "rows of a series that were drawn count as what they are worth", test_drawn_series },
	{ "times give a step and a promise, and without them there is none", test_times },
	{ "the fused detector's smoothed scores have levels of their own", test_smoothed_levels },
	{ "of fresh data that wander few smoothed scores are above the level",
		test_smoothed_fresh },
	{ "means of readings get levels beside the smoothed score's", test_drift },
	{ "a promise is what the replayed alarm did, and refused where it cannot be seen",
		test_promise },
	{ "a rare alarm has a high level, and what the data show counts", test_promised_level },
	{ "the same seed gives the same file, another seed another", test_repeatable },
	{ "the model says what it was made of", test_contents },
	{ "the scaler and the order statistics are right", test_stats },
	{ "what no healthy sensor repeats is learnt", test_stuck_after },
	{ "the threshold is the quantile of the training scores", test_threshold },
	{ "a quantile lies between its neighbours", test_quantile },
	{ "a far point scores above all training rows", test_far_point },
	{ "the quick scores are those of a plain walk", test_plain_walk },
	{ "trees are as high as the paper says", test_height },
	{ "cuts of a feature lie on a grid", test_grid },
	{ "few values have an edge between each two", test_grid_of_few },
	{ "a constant column is never split", test_constant_column },
	{ "constant data make trees of one leaf", test_all_constant },
	{ "what is often there is not strange", test_duplicates },
	{ "fewer rows than the sample size are all used", test_few_rows },
	{ "a sample holds each row once", test_without_replacement },
	{ "each tree draws its own sample", test_samples_differ },
	{ "the largest sample size works", test_large_sample },
	{ "values far apart and next to each other are split", test_extreme_values },
	{ "values without a finite spread are refused", test_too_large_values },
	{ "progress runs from 0 to 1", test_progress },
	{ "what cannot be trained on is refused", test_refusals },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return make_rows() ? unit_run("train", cases) : 1;
}
