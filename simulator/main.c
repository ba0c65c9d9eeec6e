/* isolde-simulator: makes the baseline, and plays the factory. */
#include "common/log.h"
#include "common/mqtt.h"
#include "common/number.h"
#include "common/schema.h"
#include "simulator/baseline.h"
#include "simulator/environment.h"
#include "simulator/faults.h"
#include "simulator/publish.h"
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

enum { EXIT_USAGE = 64 };

static const char summary[] =
	"Usage: isolde-simulator baseline --output FILE [OPTION...]\n"
	"       isolde-simulator publish [OPTION...]\n"
	"       isolde-simulator faults\n"
	"\n"
	"Simulated machines for Isolde.\n"
	"\n"
	"  baseline   writes the healthy data that the default model is trained on\n"
	"  publish    publishes simulated machines, or a recording, to a broker\n"
	"  faults     prints what can go wrong with a simulated machine\n"
	"\n"
	"isolde-simulator COMMAND --help lists a command's options.\n"
	"Exit codes: 0, 64 usage, 65 bad data, 66 no input, 69 no connection within 10 s,\n"
	"73 cannot create (also: the prefix is live), 74 I/O (also: readings unacknowledged).\n";

static int report(enum status status, const struct why *why)
{
	if (status != STATUS_OK)
		log_error("%s", why->text);
	return status_exit_code(status);
}

/* ---- numbers on the command line: argp_error ends the program ---- */

static long long integer(
	struct argp_state *state, const char *name, const char *text, long long low, long long high)
{
	long long value = 0;

	if (!number_parse_integer(text, low, high, &value))
		argp_error(state, "--%s %s: not an integer of %lld .. %lld", name, text, low, high);
	return value;
}

static double number(
	struct argp_state *state, const char *name, const char *text, double low, double high)
{
	double value = 0;

	if (!number_parse(text, strlen(text), &value) || value < low || value > high)
		argp_error(state, "--%s %s: not a number of %g .. %g", name, text, low, high);
	return value;
}

/* ---- baseline ---- */

struct baseline_options {
	const char *output;
	size_t rows;
	uint64_t seed;
};

static error_t parse_baseline(int key, char *arg, struct argp_state *state)
{
	struct baseline_options *o = state->input;

	switch (key) {
	case 'o':
		o->output = arg;
		return 0;
	case 'n':
		o->rows = (size_t)integer(state, "rows", arg, 1, BASELINE_ROWS_MAX);
		return 0;
	case 's':
		o->seed = (uint64_t)integer(state, "seed", arg, 0, INT64_MAX);
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "too many words: %s", arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->output)
			argp_error(state, "--output is missing");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option baseline_words[] = {
	{ "output", 'o', "FILE", 0, "CSV to write; replaced whole", 0 },
	{ "rows", 'n', "N", 0, "Rows (2000)", 0 },
	{ "seed", 's', "N", 0, "Same seed, same bytes (5)", 0 },
	{ 0 },
};

static int baseline(int argc, char **argv)
{
	static const struct argp argp = { .options = baseline_words,
		.parser = parse_baseline,
		.doc = "Writes healthy readings: temperature, humidity and sound, independent normals "
		       "around 60, 35 and 75 with a standard deviation of 10." };
	struct baseline_options o = { .rows = 2000, .seed = 5 };
	struct why why;

	if (argp_parse(&argp, argc, argv, 0, NULL, &o) != 0)
		return EXIT_USAGE;
	enum status st = baseline_write(o.output, o.rows, o.seed, &why);
	if (st == STATUS_OK)
		printf("%s: %zu rows\n", o.output, o.rows);
	return report(st, &why);
}

/* ---- publish ---- */

enum publish_key {
	KEY_BROKER = 256,
	KEY_MACHINES,
	KEY_PREFIX,
	KEY_TOPIC,
	KEY_RATE,
	KEY_COUNT,
	KEY_SECONDS,
	KEY_ANOMALY_RATE,
	KEY_LABELS,
	KEY_QOS,
	KEY_SEED,
	KEY_REPLAY,
	KEY_KEEP_TIMESTAMPS,
	KEY_USERNAME,
	KEY_PASSWORD_FILE,
	KEY_CA_FILE,
	KEY_CERT_FILE,
	KEY_KEY_FILE,
};

static const struct argp_option publish_words[] = {
	{ "broker", KEY_BROKER, "URL", 0,
		"mqtt://HOST[:PORT], mqtts:// or unix:///PATH (mqtt://127.0.0.1:1883)", 1 },
	{ "username", KEY_USERNAME, "NAME", 0, "For a broker that asks for one", 1 },
	{ "password-file", KEY_PASSWORD_FILE, "FILE", 0, "Its first line is the password", 1 },
	{ "ca-file", KEY_CA_FILE, "FILE", 0, "Certificates to trust with mqtts://", 1 },
	{ "cert-file", KEY_CERT_FILE, "FILE", 0, "Our own certificate; with --key-file", 1 },
	{ "key-file", KEY_KEY_FILE, "FILE", 0, "The key of --cert-file", 1 },
	{ "topic", KEY_TOPIC, "TEMPLATE", 0, "Where readings go (factory/{machine}/reading)", 1 },
	{ "qos", KEY_QOS, "0|1", 0, "1: every reading is acknowledged (1)", 1 },
	{ "machines", KEY_MACHINES, "N", 0, "1 .. 10000, named PREFIX-1 .. PREFIX-N (3)", 2 },
	{ "prefix", KEY_PREFIX, "NAME", 0,
		"One live simulator a prefix (press); @host: this host's name", 2 },
	{ "rate", KEY_RATE, "N", 0,
		"Readings a second and machine (1). A reading is one second of the machine's life, "
		"so a higher rate plays it faster",
		2 },
	{ "count", KEY_COUNT, "N", 0, "Stop after N readings a machine", 2 },
	{ "seconds", KEY_SECONDS, "S", 0, "Stop after S seconds", 2 },
	{ "anomaly-rate", KEY_ANOMALY_RATE, "SHARE", 0,
		"Share of readings that are faulty in the long run, 0 .. 1 (0.02)", 2 },
	{ "labels", KEY_LABELS, "FILE", 0,
		"CSV of the truth: machine,timestamp,seq,label,fault; one row a reading", 2 },
	{ "seed", KEY_SEED, "N", 0, "Same seed, same values (7)", 2 },
	{ "replay", KEY_REPLAY, "FILE", 0,
		"Publish a CSV's rows as PREFIX-1, with the file's spacing, starting now; with --rate "
		"at that pace, the timestamps still spaced as in the file",
		3 },
	{ "keep-timestamps", KEY_KEEP_TIMESTAMPS, NULL, 0, "Replay with the file's own timestamps",
		3 },
	{ 0 },
};

struct publish_input {
	struct publish_options options;
	bool machines_given;
};

static void check_broker(struct argp_state *state, const char *url)
{
	struct mqtt_address address;
	struct why why;

	if (mqtt_parse_url(url, &address, &why) != STATUS_OK)
		argp_error(state, "--broker: %s", why.text);
}

/* A container's name, so that each of several is a plant of its own. */
static const char *host_prefix(struct argp_state *state)
{
	static char prefix[ENVIRONMENT_PREFIX_MAX + 1];
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1); /* "" is refused below */
	environment_host_prefix(host, prefix);
	if (!*prefix)
		argp_error(state, "--prefix @host: this host has no name");
	return prefix;
}

/* What only all words together show. */
static void check_publish(struct argp_state *state, struct publish_input *input)
{
	struct publish_options *o = &input->options;
	char name[128];
	int len = snprintf(name, sizeof(name), "%.99s-%d", o->prefix, o->machines);

	if (!machine_name_valid(name, (size_t)len))
		argp_error(state, "--prefix %s: %s is no machine name ([A-Za-z0-9_-]{1,64})",
			o->prefix, name);
	if (o->keep_timestamps && !o->replay)
		argp_error(state, "--keep-timestamps needs --replay");
	if (o->replay && input->machines_given && o->machines != 1)
		argp_error(state, "--replay plays one machine");
	if (o->replay)
		o->machines = 1;
}

static error_t parse_publish(int key, char *arg, struct argp_state *state)
{
	struct publish_input *input = state->input;
	struct publish_options *o = &input->options;

	switch (key) {
	case KEY_BROKER:
		check_broker(state, arg);
		o->broker = arg;
		return 0;
	case KEY_MACHINES:
		o->machines = (int)integer(state, "machines", arg, 1, PUBLISH_MACHINES_MAX);
		input->machines_given = true;
		return 0;
	case KEY_PREFIX:
		o->prefix = strcmp(arg, "@host") == 0 ? host_prefix(state) : arg;
		return 0;
	case KEY_TOPIC:
		if (!publish_topic_valid(arg))
			argp_error(state, "--topic %s: {machine} must be one whole level", arg);
		o->topic = arg;
		return 0;
	case KEY_RATE:
		o->rate = number(state, "rate", arg, 1e-6, PUBLISH_RATE_MAX);
		o->rate_given = true;
		return 0;
	case KEY_COUNT:
		o->count = integer(state, "count", arg, 1, INT64_C(1) << 40);
		return 0;
	case KEY_SECONDS:
		o->seconds = number(state, "seconds", arg, 1e-3, 1e9);
		return 0;
	case KEY_ANOMALY_RATE:
		o->anomaly_rate = number(state, "anomaly-rate", arg, 0, 1);
		return 0;
	case KEY_LABELS:
		o->labels = arg;
		return 0;
	case KEY_QOS:
		o->qos = (int)integer(state, "qos", arg, 0, 1);
		return 0;
	case KEY_SEED:
		o->seed = (uint64_t)integer(state, "seed", arg, 0, INT64_MAX);
		return 0;
	case KEY_REPLAY:
		o->replay = arg;
		return 0;
	case KEY_KEEP_TIMESTAMPS:
		o->keep_timestamps = true;
		return 0;
	case KEY_USERNAME:
		o->username = arg;
		return 0;
	case KEY_PASSWORD_FILE:
		o->password_file = arg;
		return 0;
	case KEY_CA_FILE:
		o->ca_file = arg;
		return 0;
	case KEY_CERT_FILE:
		o->cert_file = arg;
		return 0;
	case KEY_KEY_FILE:
		o->key_file = arg;
		return 0;
	case ARGP_KEY_ARG:
		argp_error(state, "too many words: %s", arg);
		return 0;
	case ARGP_KEY_END:
		check_publish(state, input);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int publish(int argc, char **argv)
{
	static const struct argp argp = { .options = publish_words,
		.parser = parse_publish,
		.doc = "Publishes the readings of simulated machines until --count, --seconds, the "
		       "recording's end, SIGINT or SIGTERM."
		       "\vISOLDE_SIMULATOR_RATE in the environment stands for --rate, and so on; "
		       "the command line wins." };
	struct publish_input input = {
		.options = { .broker = "mqtt://127.0.0.1:1883",
			.topic = "factory/{machine}/reading",
			.prefix = "press",
			.machines = 3,
			.rate = 1,
			.anomaly_rate = 0.02,
			.qos = 1,
			.seed = 7 },
	};
	struct why why;
	char **words;
	int count;

	enum status st =
		environment_words(publish_words, environ, argc, argv, &words, &count, &why);
	if (st != STATUS_OK)
		return report(st, &why);
	int code = EXIT_USAGE;
	if (argp_parse(&argp, count, words, 0, NULL, &input) == 0)
		code = report(publish_run(&input.options, &why), &why);
	environment_free(words, argc);
	return code;
}

/* ---- faults ---- */

static int faults(int argc, char **argv)
{
	static const struct argp argp = { .doc = "Prints the faults that publish plays." };

	if (argp_parse(&argp, argc, argv, 0, NULL, NULL) != 0)
		return EXIT_USAGE;
	fault_print_table();
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	char full_name[32]; /* what its help calls itself */
} commands[] = {
	{ "baseline", baseline, "isolde-simulator baseline" },
	{ "publish", publish, "isolde-simulator publish" },
	{ "faults", faults, "isolde-simulator faults" },
};

int main(int argc, char **argv)
{
	argp_program_version = "isolde-simulator " ISOLDE_VERSION;
	argp_err_exit_status = EXIT_USAGE;
	const char *word = argc > 1 ? argv[1] : "";

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(word, commands[i].name) == 0) {
			argv[1] = (char *)commands[i].full_name;
			return commands[i].run(argc - 1, argv + 1);
		}
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-?") == 0) {
		fputs(summary, stdout);
		return 0;
	}
	if (strcmp(word, "--version") == 0) {
		puts(argp_program_version);
		return 0;
	}
	fputs(summary, stderr);
	return EXIT_USAGE;
}
