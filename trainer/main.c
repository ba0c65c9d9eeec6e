/* isolde-trainer: the command line, and nothing else. */
#include "common/csvfile.h"
#include "common/forest.h"
#include "common/log.h"
#include "common/number.h"
#include "common/train.h"
#include "trainer/baseline.h"
#include "trainer/command.h"
#include "trainer/score.h"
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *argp_program_version = "isolde-trainer " ISOLDE_VERSION;

enum {
	KEY_QUANTILE = 256,
	KEY_TREES,
	KEY_SAMPLE_SIZE,
	KEY_SEED,
	KEY_ROWS_KEPT,
	KEY_DETECTOR,
	KEY_RANGE,
	KEY_UNIT,
	KEY_SMOOTH,
	KEY_FALSE_ALARMS,
	KEY_PLOT
};

static const struct argp_option train_options[] = {
	{ "baseline", 'b', "FILE", 0, "CSV of healthy readings", 0 },
	{ "model", 'm', "FILE", 0, "model file to write", 0 },
	{ "quantile", KEY_QUANTILE, "Q", 0,
		"quantile of the training scores that becomes the threshold (0.99)", 0 },
	{ "false-alarms-per-day", KEY_FALSE_ALARMS, "X", 0,
		"of a machine: choose the alarm's delays so that no more are to be expected (needs a "
		"timestamp column)",
		0 },
	{ "trees", KEY_TREES, "N", 0, "trees of the forest (100)", 0 },
	{ "sample-size", KEY_SAMPLE_SIZE, "N", 0, "rows each tree is grown from (256)", 0 },
	{ "seed", KEY_SEED, "N", 0, "of the random choices (42): the same seed, the same model",
		0 },
	{ "rows-kept", KEY_ROWS_KEPT, "N", 0,
		"rows to train on, at most (100000): of a longer file that many are drawn at random; "
		"more take more memory, and of a series they show rarer false alarms",
		0 },
	{ "detector", KEY_DETECTOR, "NAME", 0, "kind of model: forest, fused (forest)", 0 },
	{ "unit", KEY_UNIT, "NAME=UNIT", 0, "unit of a feature, for people; repeatable", 0 },
	{ "range", KEY_RANGE, "NAME=LOW:HIGH", 0, "range a feature can physically have; repeatable",
		0 },
	{ 0 },
};

static const struct argp_option score_options[] = {
	{ "model", 'm', "FILE", 0, "model file", 0 },
	{ "input", 'i', "FILE", 0, "CSV of readings", 0 },
	{ "smooth", KEY_SMOOTH, "N", 0,
		"average a machine's last N scores, starting anew at gaps in time (1)", 0 },
	{ 0 },
};

static const struct argp_option evaluate_options[] = {
	{ "model", 'm', "FILE", 0, "model file", 0 },
	{ "input", 'i', "FILE", 0, "CSV of readings with a label column, 0 or 1", 0 },
	{ "plot", KEY_PLOT, "FILE.svg", 0, "draw the scores, ROC and precision-recall curves", 0 },
	{ 0 },
};

static const struct argp_option show_options[] = {
	{ "model", 'm', "FILE", 0, "model file", 0 },
	{ 0 },
};

struct command {
	const char *name;
	command_run *run;
	const struct argp_option *options;
	const char *doc;
};

static const struct command commands[] = {
	{ "train", command_train, train_options,
		"Examine a baseline of healthy readings, say what it is worth, and make a model "
		"of it." },
	{ "score", command_score, score_options,
		"Score readings: CSV on standard output, a line anomaly_score,is_anomaly for every "
		"row, in order; empty where a value is missing." },
	{ "evaluate", command_evaluate, evaluate_options,
		"Compare scores with labels: lines \"name value\" on standard output." },
	{ "show", command_show, show_options, "Tell what is in a model file." },
};

static const char program_doc[] =
	"Make and examine models of healthy machines.\v"
	"Commands:\n"
	"  train     --baseline FILE --model FILE    make a model of healthy readings\n"
	"  score     --model FILE --input FILE       score the rows of a CSV file\n"
	"  evaluate  --model FILE --input FILE       compare scores with labels\n"
	"  show      --model FILE                    tell what is in a model file\n"
	"\n"
	"isolde-trainer COMMAND --help tells a command's options. Exit codes: 0, 64 usage, 65 bad "
	"data, 66 no input, 73 cannot create, 74 I/O.";

struct invocation {
	const struct command *command;
	int at; /* argv index of the command */
	struct options options;
};

static size_t parse_count(
	struct argp_state *state, const char *name, const char *arg, long long low, long long high)
{
	long long n = low;

	if (!number_parse_integer(arg, low, high, &n))
		argp_error(state, "--%s: \"%s\" is not a whole number of %lld .. %lld", name, arg,
			low, high);
	return (size_t)n;
}

/* NAME=REST; the name goes into the amendment, the rest is returned. The last '=' counts: units
 * and ranges have none. */
static const char *parse_name(
	struct argp_state *state, const char *option, const char *arg, struct amendment *out)
{
	const char *equals = strrchr(arg, '=');
	size_t len = equals ? (size_t)(equals - arg) : 0;

	if (len == 0 || len > FEATURE_NAME_MAX || equals[1] == '\0')
		argp_error(state, "--%s: \"%s\" is not NAME=...", option, arg);
	memcpy(out->name, arg, len);
	return equals + 1;
}

static void parse_unit(struct argp_state *state, const char *arg, struct amendment *out)
{
	const char *unit = parse_name(state, "unit", arg, out);

	if (strlen(unit) > UNIT_MAX)
		argp_error(state, "--unit: \"%s\" has more than %d bytes", unit, UNIT_MAX);
	memcpy(out->unit, unit, strlen(unit) + 1);
}

static void parse_range(struct argp_state *state, const char *arg, struct amendment *out)
{
	const char *range = parse_name(state, "range", arg, out);
	const char *colon = strchr(range, ':');

	if (!colon || !number_parse(range, (size_t)(colon - range), &out->low) ||
		!number_parse(colon + 1, strlen(colon + 1), &out->high) || !(out->low < out->high))
		argp_error(state, "--range: \"%s\" is not NAME=LOW:HIGH with LOW below HIGH", arg);
}

static struct amendment *next_amendment(struct argp_state *state, struct options *o)
{
	if (o->amendments == sizeof(o->amendment) / sizeof(o->amendment[0]))
		argp_error(state, "more --unit and --range than features can have");
	return &o->amendment[o->amendments++];
}

static void require(struct argp_state *state, const struct invocation *in)
{
	const struct options *o = &in->options;

	for (const struct argp_option *option = in->command->options; option->name; option++) {
		if ((option->key == 'b' && !o->baseline) || (option->key == 'm' && !o->model) ||
			(option->key == 'i' && !o->input))
			argp_error(state, "--%s is missing", option->name);
	}
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct invocation *in = state->input;
	struct options *o = &in->options;

	switch (key) {
	case 'b':
		o->baseline = arg;
		break;
	case 'm':
		o->model = arg;
		break;
	case 'i':
		o->input = arg;
		break;
	case KEY_QUANTILE:
		if (!number_parse(arg, strlen(arg), &o->quantile) ||
			!(o->quantile > 0 && o->quantile < 1))
			argp_error(state, "--quantile: \"%s\" does not lie between 0 and 1", arg);
		break;
	case KEY_FALSE_ALARMS:
		if (!number_parse(arg, strlen(arg), &o->false_alarms_per_day) ||
			!(o->false_alarms_per_day > 0 && o->false_alarms_per_day <= 86400))
			argp_error(state,
				"--false-alarms-per-day: \"%s\" does not lie between 0 and 86400",
				arg);
		break;
	case KEY_PLOT:
		o->plot = arg;
		break;
	case KEY_TREES:
		o->trees = parse_count(state, "trees", arg, 1, FOREST_TREES_MAX);
		break;
	case KEY_SAMPLE_SIZE:
		o->sample_size = parse_count(state, "sample-size", arg, 2, FOREST_SAMPLE_MAX);
		break;
	case KEY_SEED:
		o->seed = parse_count(state, "seed", arg, 0, LLONG_MAX);
		break;
	case KEY_ROWS_KEPT:
		o->rows_kept = parse_count(state, "rows-kept", arg, BASELINE_BLOCK, CSV_ROWS_MAX);
		break;
	case KEY_SMOOTH:
		o->smooth = parse_count(state, "smooth", arg, 1, SMOOTH_MAX);
		break;
	case KEY_DETECTOR:
		if (!detector_parse(arg, &o->detector))
			argp_error(state, "--detector: \"%s\" is unknown, there are: forest, fused",
				arg);
		break;
	case KEY_UNIT:
		parse_unit(state, arg, next_amendment(state, o));
		break;
	case KEY_RANGE:
		parse_range(state, arg, next_amendment(state, o));
		break;
	case ARGP_KEY_END:
		require(state, in);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* The program's own options end at the command; what follows is the command's to parse. */
static error_t parse_command(int key, char *arg, struct argp_state *state)
{
	struct invocation *in = state->input;

	switch (key) {
	case ARGP_KEY_ARG:
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
			if (strcmp(commands[i].name, arg) == 0)
				in->command = &commands[i];
		}
		if (!in->command)
			argp_error(state, "there is no command \"%s\"", arg);
		in->at = state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which command? train, score, evaluate or show");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static void parse_arguments(int argc, char **argv, struct invocation *in)
{
	static const struct argp program = {
		.parser = parse_command, .args_doc = "COMMAND [OPTION...]", .doc = program_doc
	};
	char name[64];

	argp_err_exit_status = 64; /* EX_USAGE */
	argp_parse(&program, argc, argv, ARGP_IN_ORDER, NULL, in);

	struct argp command = {
		.options = in->command->options, .parser = parse_option, .doc = in->command->doc
	};
	snprintf(name, sizeof(name), "isolde-trainer %s", in->command->name);
	argv[in->at] = name; /* how its --help and complaints call it */
	argp_parse(&command, argc - in->at, argv + in->at, 0, NULL, in);
}

int main(int argc, char **argv)
{
	static struct invocation in = { .options = { .quantile = 0.99,
						.trees = 100,
						.sample_size = 256,
						.seed = 42,
						.rows_kept = TRAIN_SCORED_MAX,
						.smooth = 1,
						.detector = DETECTOR_FOREST } };
	struct why why = { "" };

	parse_arguments(argc, argv, &in);
	enum status st = in.command->run(&in.options, &why);
	if (st == STATUS_OK && (fflush(stdout) != 0 || ferror(stdout)))
		st = fail(&why, STATUS_IO, "standard output: %s", strerror(errno));
	if (st != STATUS_OK)
		log_error("%s", why.text);
	return status_exit_code(st);
}
