/* The program itself, as a person calls it: what it prints, leaves behind and exits with. */
#include "common/fileio.h"
#include "common/model.h"
#include "common/rng.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRAINER ISOLDE_BINARY_DIR "/bin/isolde-trainer"

/* Of the last run. */
static char *out, *err;

static char *contents(const char *name)
{
	char *text = NULL;
	size_t len;
	struct why why;

	if (file_read(unit_path(name), 1 << 20, &text, &len, &why) != STATUS_OK)
		CU_FAIL_FATAL("the program's output cannot be read");
	return text;
}

/* Runs the trainer in the test's folder with words for a shell; returns its exit code. */
static int run(const char *words)
{
	char command[4096];

	snprintf(command, sizeof(command), "cd '%s' && exec >out 2>err && %s%s", unit_folder(),
		strncmp(words, "env ", 4) == 0 ? "" : TRAINER " ", words);
	int status = system(command);
	free(out);
	free(err);
	out = contents("out");
	err = contents("err");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void write_baseline(const char *name, int rows)
{
	struct rng rng;
	FILE *file = fopen(unit_path(name), "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	rng_seed(&rng, 5);
	fputs("temperature,humidity\n", file);
	for (int i = 0; i < rows; i++) {
		double temperature = 60 + 10 * rng_normal(&rng);
		fprintf(file, "%.2f,%.2f\n", temperature, 35 + 10 * rng_normal(&rng));
	}
	fclose(file);
}

static void put(const char *name, const char *text)
{
	(void)unit_file(name, text, strlen(text));
}

static void test_help(void)
{
	static const char *const words[] = { "--help", "train --help", "score --help",
		"evaluate --help", "show --help" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		CU_ASSERT_EQUAL(run(words[i]), 0);
		ASSERT_HOLDS(out, "Usage: isolde-trainer");
		CU_ASSERT_STRING_EQUAL(err, "");
	}
	CU_ASSERT_EQUAL(run("--version"), 0);
	CU_ASSERT_STRING_EQUAL(out, "isolde-trainer " ISOLDE_VERSION "\n");
	CU_ASSERT_EQUAL(run("score --version"), 0);
	CU_ASSERT_STRING_EQUAL(out, "isolde-trainer " ISOLDE_VERSION "\n");
}

static void test_usage(void)
{
	static const struct {
		const char *words, *complaint;
	} wrong[] = {
		{ "", "which command" },
		{ "frobnicate", "no command \"frobnicate\"" },
		{ "train --model m.json", "--baseline is missing" },
		{ "score --model m.json", "--input is missing" },
		{ "show", "--model is missing" },
		{ "show --model m.json more", "Too many arguments" },
		{ "show --bogus", "--bogus" },
		{ "train --trees 0", "whole number of 1 .." },
		{ "train --sample-size 1e2", "whole number" },
		{ "train --quantile most", "does not lie between 0 and 1" },
		{ "train --quantile 1", "does not lie between 0 and 1" },
		{ "train --detector oracle", "\"oracle\" is unknown" },
		{ "train --range temperature", "not NAME=" },
		{ "train --range temperature=5:-5", "LOW below HIGH" },
		{ "train --baseline b.csv --model m.json --unit color=red", "no column color" },
		{ "score --smooth 0 --model m --input i", "--smooth" },
	};

	write_baseline("b.csv", 50);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CU_ASSERT_EQUAL(run(wrong[i].words), 64);
		ASSERT_HOLDS(err, wrong[i].complaint);
		CU_ASSERT_STRING_EQUAL(out, "");
	}
}

static void test_train(void)
{
	struct model *model = NULL;
	struct why why;
	char id[64];

	write_baseline("b.csv", 500);
	CU_ASSERT_EQUAL(run("train --baseline b.csv --model new/folder/m.json --trees 30 "
			    "--unit temperature=degC --range humidity=0:100"),
		0);
	CU_ASSERT_EQUAL(model_load(unit_path("new/folder/m.json"), &model, &why), STATUS_OK);
	CU_ASSERT_PTR_NOT_NULL_FATAL(model);

	snprintf(id, sizeof(id), "id             %s\n", model->id);
	ASSERT_HOLDS(out, "rows           500 (500 complete)");
	ASSERT_HOLDS(out, "warning: short or correlated baseline");
	ASSERT_HOLDS(out, "30 trees of 256 rows, seed 42, on 500 rows");
	ASSERT_HOLDS(out, id);
	CU_ASSERT_STRING_EQUAL(model->schema.feature[0].unit, "degC");
	CU_ASSERT_EQUAL(model->schema.feature[1].low, 0);
	CU_ASSERT_EQUAL(model->schema.feature[1].high, 100);
	CU_ASSERT_STRING_EQUAL(model->program, "isolde-trainer " ISOLDE_VERSION);
	CU_ASSERT_EQUAL(strlen(model->data_digest), 64);

	CU_ASSERT_EQUAL(run("show --model new/folder/m.json"), 0);
	ASSERT_HOLDS(out, model->id);
	ASSERT_HOLDS(out, model->data_digest);
	ASSERT_HOLDS(out, "degC");
	ASSERT_HOLDS(out, "30 trees of 256 rows");
	model_destroy(model);
}

static void test_reproducible(void)
{
	write_baseline("b.csv", 500);
	CU_ASSERT_EQUAL(run("env SOURCE_DATE_EPOCH=1700000000 " TRAINER
			    " train --baseline b.csv --model one.json --seed 9"),
		0);
	CU_ASSERT_EQUAL(run("env SOURCE_DATE_EPOCH=1700000000 " TRAINER
			    " train --baseline b.csv --model two.json --seed 9"),
		0);
	CU_ASSERT_EQUAL(run("env SOURCE_DATE_EPOCH=1700000000 " TRAINER
			    " train --baseline b.csv --model three.json --seed 10"),
		0);

	char *one = contents("one.json"), *two = contents("two.json");
	char *three = contents("three.json");
	CU_ASSERT_STRING_EQUAL(one, two);
	CU_ASSERT_STRING_NOT_EQUAL(one, three);
	ASSERT_HOLDS(one, "2023-11-14T22:13:20.000Z");
	CU_ASSERT_EQUAL(run("env cat b.csv | SOURCE_DATE_EPOCH=1700000000 " TRAINER
			    " train --baseline /dev/stdin --model pipe.json --seed 9"),
		0); /* read once, its digest too */
	char *pipe = contents("pipe.json");
	CU_ASSERT_STRING_EQUAL(one, pipe);
	free(pipe);
	free(one);
	free(two);
	free(three);

	CU_ASSERT_EQUAL(run("env SOURCE_DATE_EPOCH=yesterday " TRAINER
			    " train --baseline b.csv --model one.json"),
		78);
}

static void test_refusals(void)
{
	write_baseline("b.csv", 500);
	put("few.csv", "a,b\n1,2\n3,4\n");
	put("reserved.csv", "a,quality\n1,2\n");
	put("text.csv", "a,b\n1,2\n1,high\n");
	put("plain.txt", "x");

	CU_ASSERT_EQUAL(run("train --baseline few.csv --model m.json"), 65);
	ASSERT_HOLDS(err, "2 complete rows, at least 16");
	ASSERT_HOLDS(out, "rows           2 (2 complete)"); /* the report comes first */
	CU_ASSERT_EQUAL(run("train --baseline reserved.csv --model m.json"), 65);
	ASSERT_HOLDS(err, "reserved");
	CU_ASSERT_EQUAL(run("train --baseline text.csv --model m.json"), 65);
	ASSERT_HOLDS(err, "text.csv:3: column b");
	CU_ASSERT_EQUAL(run("train --baseline /dev/null --model m.json"), 65);
	CU_ASSERT_EQUAL(run("train --baseline nowhere.csv --model m.json"), 66);
	CU_ASSERT_NOT_EQUAL(access(unit_path("m.json"), F_OK), 0);
	CU_ASSERT_EQUAL(run("train --baseline b.csv --model plain.txt/m.json"), 73);
	CU_ASSERT_EQUAL(run("show --model nowhere.json"), 66);
	CU_ASSERT_EQUAL(run("show --model b.csv"), 65);
}

static void test_score(void)
{
	write_baseline("b.csv", 500);
	CU_ASSERT_EQUAL(run("train --baseline b.csv --model m.json"), 0);
	put("rows.csv", "humidity,more,temperature\n35,1,60\n200,1,-50\n,1,60\n35,1,60\n");

	CU_ASSERT_EQUAL(run("score --model m.json --input rows.csv"), 0);
	ASSERT_HOLDS(err, "ignoring them: more");
	char *line[8] = { NULL };
	int n = 0;
	for (char *p = strtok(out, "\n"); p && n < 8; p = strtok(NULL, "\n"))
		line[n++] = p;
	CU_ASSERT_EQUAL_FATAL(n, 5);
	CU_ASSERT_STRING_EQUAL(line[0], "anomaly_score,is_anomaly");
	CU_ASSERT(atof(line[1]) < 0 && strcmp(strchr(line[1], ','), ",0") == 0);
	CU_ASSERT(atof(line[2]) > 0.2 && strcmp(strchr(line[2], ','), ",1") == 0);
	CU_ASSERT_STRING_EQUAL(line[3], ",");
	CU_ASSERT_STRING_EQUAL(line[1], line[4]);

	put("narrow.csv", "temperature\n60\n");
	CU_ASSERT_EQUAL(run("score --model m.json --input narrow.csv"), 65);
	ASSERT_HOLDS(err, "column humidity of the model is missing");
	CU_ASSERT_STRING_EQUAL(out, "");
	CU_ASSERT_EQUAL(run("score --model m.json --input nowhere.csv"), 66);
}

static void test_full_disk(void)
{
	write_baseline("b.csv", 500);
	if (access("/dev/full", W_OK) != 0)
		return; /* not every system has one */
	CU_ASSERT_EQUAL(run("train --baseline b.csv --model m.json"), 0);
	CU_ASSERT_EQUAL(run("score --model m.json --input b.csv >/dev/full"), 74);
	ASSERT_HOLDS(err, "standard output");
}

static void test_evaluate(void)
{
	write_baseline("b.csv", 500);
	CU_ASSERT_EQUAL(run("train --baseline b.csv --model m.json"), 0);
	put("two.csv", "temperature,humidity,label\n60,35,0\n61,34,0\n200,-50,1\n-90,200,1\n");
	CU_ASSERT_EQUAL(run("evaluate --model m.json --input two.csv"), 0);
	ASSERT_HOLDS(out, "rows 4\n");
	ASSERT_HOLDS(out, "positives 2\n");
	ASSERT_HOLDS(out, "roc_auc 1.000000\n");
	ASSERT_HOLDS(out, "false_alarm_rate 0.000000\n");
	CU_ASSERT_STRING_EQUAL(err, "");

	put("one.csv", "temperature,humidity,label\n60,35,0\n61,34,0\n");
	CU_ASSERT_EQUAL(run("evaluate --model m.json --input one.csv"), 0);
	ASSERT_HOLDS(out, "roc_auc nan\n");
	ASSERT_HOLDS(err, "cannot be computed");

	CU_ASSERT_EQUAL(run("evaluate --model m.json --input b.csv"), 65);
	ASSERT_HOLDS(err, "no label column");
}

/* Independent rows of two columns, quickly made. */
static void write_large(const char *name, size_t rows)
{
	struct rng rng;
	FILE *file = fopen(unit_path(name), "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	rng_seed(&rng, 7);
	fputs("a,b\n", file);
	for (size_t i = 0; i < rows; i++) {
		unsigned a = (unsigned)rng_below(&rng, 9000), b = (unsigned)rng_below(&rng, 9000);
		fprintf(file, "%u.%02u,%u.5\n", a / 100, a % 100, b);
	}
	fclose(file);
}

/* The most that any program run so far had in memory, KiB. */
static long most_memory(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return usage.ru_maxrss;
}

/* Ten times the rows, and hardly more memory: what is kept are TRAIN_SCORED_MAX rows. */
static void test_bounded_memory(void)
{
	write_large("large.csv", 2 * TRAIN_SCORED_MAX);
	CU_ASSERT_EQUAL(run("train --detector forest --baseline large.csv --model m.json"), 0);
	ASSERT_HOLDS(out, "rows           200000 (200000 complete)\n");
	ASSERT_HOLDS(out, "kept           100000 of them, drawn at random");
	ASSERT_HOLDS(out, "on 200000 rows");
	ASSERT_HOLDS(out,
		"sample         100000 of the rows, drawn at random: 1 % of all rows lie above the "
		"threshold (95 %: +- 0.044 %)");
	long before = most_memory();

	write_large("large.csv", 20 * TRAIN_SCORED_MAX);
	CU_ASSERT_EQUAL(run("train --detector forest --baseline large.csv --model m.json"), 0);
	ASSERT_HOLDS(out, "rows           2000000 (2000000 complete)\n");
	long after = most_memory();
	if (after > before + before / 10)
		fprintf(stderr, "\n%ld KiB, with ten times the rows %ld KiB\n", before, after);
	CU_ASSERT_TRUE(after <= before + before / 10);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	CU_ASSERT_TRUE(after < 24 * 1024);
#endif
	CU_ASSERT_EQUAL(run("show --model m.json"), 0);
	ASSERT_HOLDS(out, "+- 0.06 %)");
}

/* Two machines in turn, a reading a second each; `a` hangs together. */
static void write_series(const char *name, int rows)
{
	struct rng rng;
	FILE *file = fopen(unit_path(name), "w");
	double a[2] = { 0, 0 };

	CU_ASSERT_PTR_NOT_NULL_FATAL(file);
	rng_seed(&rng, 9);
	fputs("timestamp,machine,a,b\n", file);
	for (int i = 0; i < rows; i++) {
		a[i % 2] = 0.5 * a[i % 2] + rng_normal(&rng);
		fprintf(file, "%d,m-%d,%.3f,%.3f\n", 1000000 + i / 2, i % 2, a[i % 2],
			rng_normal(&rng));
	}
	fclose(file);
}

static void test_series_kept(void)
{
	write_series("series.csv", 30000);
	for (int fused = 0; fused < 2; fused++) {
		CU_ASSERT_EQUAL(run(fused ? "train --detector fused --baseline series.csv --model "
					    "m.json --trees 20 --rows-kept 10000"
					  : "train --detector forest --baseline series.csv --model "
					    "m.json --rows-kept 10000"),
			0);
		ASSERT_HOLDS(out, "rows           30000 (30000 complete)\n");
		ASSERT_HOLDS(out, "kept           10000 of them"); /* ten blocks */
		ASSERT_HOLDS(out, "machines       2\n");
		ASSERT_HOLDS(out, "median 1 s, longest 1 s; 0 gaps");
		ASSERT_HOLDS(out, "sample         10000 of the rows");
		ASSERT_HOLDS(out, "false alarms   expected a day and machine");
	}
	/* 10,000 s are 0.116 days. */
	CU_ASSERT_EQUAL(
		run("train --detector fused --baseline series.csv --model m.json --trees 20 "
		    "--rows-kept 10000 --false-alarms-per-day 5"),
		65);
	ASSERT_HOLDS(err, "cannot be promised by data of 0.116 days, that of the rows kept");
	CU_ASSERT_EQUAL(run("train --detector forest --baseline series.csv --model m.json "
			    "--rows-kept 999"),
		64);
	ASSERT_HOLDS(err, "--rows-kept");
}

static CU_TestInfo cases[] = {
	{ "every --help and --version goes to stdout and ends well", test_help },
	{ "a wrong command line exits 64, says why and prints no result", test_usage },
	{ "train reports, makes folders and a model with units and ranges; show tells them",
		test_train },
	{ "same data, options, seed and SOURCE_DATE_EPOCH: the same bytes", test_reproducible },
	{ "bad data exits 65, no input 66, no place to write 73, and no model is left",
		test_refusals },
	{ "score answers every row in order, columns matched by name", test_score },
	{ "memory does not grow with the rows", test_bounded_memory },
	{ "of a long series whole blocks are kept, and replayed", test_series_kept },
	{ "a full disk under stdout exits 74", test_full_disk },
	{ "evaluate prints figures, says which cannot be had, and wants labels", test_evaluate },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int failures = unit_run("trainer", cases);

	free(out);
	free(err);
	return failures;
}
