/* The plain forest on six public data sets against scikit-learn's: 100 trees of 256 rows, the
 * mean AUC over a few seeds within max(0.01, 2 sd) of the reference, which is the mean of ten
 * seeds of scikit-learn 1.2.1. Nothing here is tuned to the labels. The sets are not part of the
 * repository: the folder is ISOLDE_DATASETS, and without it this exits 77, skipped. */
#include "common/csvfile.h"
#include "common/train.h"
#include "trainer/evaluate.h"
#include "trainer/score.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEEDS = 5, EXIT_SKIPPED = 77 };

static const struct reference {
	const char *name;
	double auc, sd;
} references[] = {
	{ "nab_machine_temperature", 0.837, 0.010 },
	{ "nab_ambient_temperature", 0.734, 0.004 },
	{ "occupancy", 0.987, 0.003 },
	{ "fan_imbalance", 0.816, 0.003 },
	{ "cmapss_fd001", 0.866, 0.005 },
	{ "shuttle", 0.996, 0.000 },
};

struct set {
	struct csvfile train, test;
	double *score; /* [test.rows] */
};

/* Sums over seeds at first, means at last. */
struct means {
	double auc, precision, false_alarms, recall;
};

static enum status load_part(const char *folder, const char *name, const char *part,
	struct csvfile *out, struct why *why)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s.%s.csv", folder, name, part);
	return csvfile_load(path, out, why);
}

static enum status load_set(const char *folder, const char *name, struct set *out, struct why *why)
{
	enum status st = load_part(folder, name, "train", &out->train, why);

	if (st == STATUS_OK)
		st = load_part(folder, name, "test", &out->test, why);
	if (st == STATUS_OK && !out->test.label)
		st = fail(why, STATUS_BAD_INPUT, "%s: the test part has no label", name);
	if (st != STATUS_OK)
		return st;
	out->score = malloc(out->test.rows * sizeof(*out->score));
	return out->score ? STATUS_OK : fail(why, STATUS_NO_MEMORY, "%s: no memory", name);
}

static void free_set(struct set *set)
{
	csvfile_free(&set->train);
	csvfile_free(&set->test);
	free(set->score);
}

static enum status run_seed(struct set *set, uint64_t seed, struct means *sums, struct why *why)
{
	struct train_options options = { .kind = DETECTOR_FOREST,
		.trees = 100,
		.sample_size = 256,
		.seed = seed,
		.quantile = 0.99 };
	size_t column[FEATURES_MAX];
	struct figures f;
	struct model *model;

	enum status st = train_model(
		&set->train.schema, set->train.value, set->train.rows, &options, &model, why);
	if (st != STATUS_OK)
		return st;
	st = score_match(model, &set->test, "the test part", column, why);
	if (st == STATUS_OK) {
		score_rows(model, &set->test, column, set->score);
		st = evaluate(
			set->score, set->test.label, set->test.rows, model->threshold, &f, why);
	}
	model_destroy(model);
	if (st != STATUS_OK)
		return st;
	sums->auc += f.roc_auc / SEEDS;
	sums->precision += f.average_precision / SEEDS;
	sums->false_alarms += f.false_alarm_rate / SEEDS;
	sums->recall += f.recall / SEEDS;
	return STATUS_OK;
}

static enum status run_set(const char *folder, const char *name, struct means *out, struct why *why)
{
	struct set set = { .score = NULL };
	struct means sums = { 0 };
	enum status st = load_set(folder, name, &set, why);

	for (uint64_t seed = 1; st == STATUS_OK && seed <= SEEDS; seed++)
		st = run_seed(&set, seed, &sums, why);
	free_set(&set);
	if (st == STATUS_OK)
		*out = sums;
	return st;
}

static bool check_set(const char *folder, const struct reference *reference)
{
	struct means means;
	struct why why;

	if (run_set(folder, reference->name, &means, &why) != STATUS_OK) {
		printf("%-24s failed: %s\n", reference->name, why.text);
		return false;
	}
	double allowed = fmax(0.01, 2 * reference->sd);
	bool within = fabs(means.auc - reference->auc) <= allowed;
	printf("%-24s %7.4f %9.3f %8.3f %7.3f %7.2f%% %7.3f  %s\n", reference->name, means.auc,
		reference->auc, allowed, means.precision, 100 * means.false_alarms, means.recall,
		within ? "ok" : "FAILED");
	return within;
}

int main(void)
{
	const char *folder = getenv("ISOLDE_DATASETS");
	int failures = 0;

	if (!folder)
		folder = ISOLDE_SOURCE_DIR "/../shared/datasets";
	if (access(folder, R_OK | X_OK) != 0) {
		printf("skipped: no data sets at %s (ISOLDE_DATASETS names their folder)\n",
			folder);
		return EXIT_SKIPPED;
	}
	printf("%-24s %7s %9s %8s %7s %8s %7s\n", "set", "AUC", "reference", "allowed", "AP", "FAR",
		"recall");
	for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++)
		failures += !check_set(folder, &references[i]);
	return failures;
}
