#include "simulator/publish.h"
#include "common/fileio.h"
#include "common/mqtt.h"
#include "common/timeutil.h"
#include "simulator/claim.h"
#include "simulator/labels.h"
#include "simulator/machine.h"
#include "simulator/payload.h"
#include "simulator/replay.h"
#include "simulator/window.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
/* Someone who is later than this skips what was missed instead of running after it. */
#define LATE_NS SECOND_NS
/* No wait is longer, so that connection, claim and lost messages are looked after. */
#define TICK_NS (SECOND_NS / 20)
#define REPORT_NS (SECOND_NS / 2)

enum { SECRET_MAX = 4096 };

static const char machine_mark[] = "{machine}";
static volatile sig_atomic_t signals; /* SIGINT and SIGTERM seen */
static int signal_fd = -1;            /* wakes the sleeper */

struct run {
	const struct publish_options *options;
	struct schema schema;
	struct machine *machine; /* [options->machines], or NULL: a replay */
	struct replay replay;
	struct window *window;
	struct claim claim;
	struct labels *labels;
	struct mqtt *mqtt;
	size_t payload_size;
	int wake[2];         /* a pipe: something happened, don't sleep on */
	atomic_bool waiting; /* for an acknowledgement */
	uint64_t made, end;  /* readings of all machines; `end`: how many there will be */
	uint64_t faulty;
	int64_t begin_ns, begin_ms; /* of the run, monotonic and wall */
	int64_t late_ns;            /* what the schedule was moved by */
	int64_t looked_ns;          /* when the last tick was */
	int64_t reported_ns;
	uint64_t reported;
};

/* ---- set-up ---- */

bool publish_topic_valid(const char *topic)
{
	const char *mark = strstr(topic, machine_mark);
	size_t len = sizeof(machine_mark) - 1;

	/* The longest name must fit in. */
	if (!mark || strstr(mark + len, machine_mark) || strpbrk(topic, "+#") ||
		strlen(topic) + MACHINE_NAME_MAX >= TOPIC_SIZE)
		return false;
	return (mark == topic || mark[-1] == '/') && (mark[len] == '/' || mark[len] == '\0');
}

static enum status default_schema(struct schema *schema, struct why *why)
{
	static const char *const unit[SENSORS] = { "degC", "%", "dB" };
	enum status st = STATUS_OK;

	for (int s = 0; s < SENSORS && st == STATUS_OK; s++)
		st = schema_add(
			schema, sensor_name((enum sensor)s), unit[s], -INFINITY, INFINITY, why);
	return st;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static enum status prepare_replay(struct run *run, struct why *why)
{
	const struct publish_options *o = run->options;
	enum status st = replay_load(o->replay, 1000 / o->rate, &run->replay, why);

	if (st == STATUS_OK && o->keep_timestamps)
		st = replay_check_timestamps(&run->replay, o->replay, why);
	if (st != STATUS_OK)
		return st;
	run->schema = run->replay.csv.schema;
	run->end = smaller(run->end, run->replay.csv.rows);
	return STATUS_OK;
}

static enum status prepare_machines(struct run *run, struct why *why)
{
	const struct publish_options *o = run->options;
	size_t machines = (size_t)o->machines;

	run->machine = calloc(machines, sizeof(*run->machine));
	if (!run->machine)
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu machines", machines);
	for (size_t i = 0; i < machines; i++)
		machine_init(&run->machine[i], o->seed, i, o->anomaly_rate);
	return default_schema(&run->schema, why);
}

/* What is read and made before anybody is spoken to. */
static enum status prepare(struct run *run, struct why *why)
{
	const struct publish_options *o = run->options;
	enum status st;

	run->end = o->count ? (uint64_t)o->count * (uint64_t)o->machines : UINT64_MAX;
	if (o->replay)
		st = prepare_replay(run, why);
	else
		st = prepare_machines(run, why);
	run->payload_size = payload_size(run->schema.count);
	if (st == STATUS_OK)
		st = window_create(run->payload_size, &run->window, why);
	return st;
}

static void on_signal(int number)
{
	int kept = errno;

	(void)number;
	signals = signals + 1;
	(void)!write(signal_fd, "", 1); /* a full pipe wakes as well */
	errno = kept;
}

static enum status prepare_signals(struct run *run, struct why *why)
{
	struct sigaction action = { .sa_handler = on_signal }, ignore = { .sa_handler = SIG_IGN };

	if (pipe(run->wake) != 0)
		return fail(why, STATUS_IO, "pipe: %s", strerror(errno));
	for (int i = 0; i < 2; i++) {
		fcntl(run->wake[i], F_SETFL, O_NONBLOCK);
		fcntl(run->wake[i], F_SETFD, FD_CLOEXEC);
	}
	signal_fd = run->wake[1];
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	return STATUS_OK;
}

/* ---- what the connection tells; on its thread ---- */

static void on_message(void *context, const struct mqtt_message *message)
{
	struct run *run = context;
	claim_hear(&run->claim, message);
}

static void on_published(void *context, uint64_t token, bool delivered)
{
	struct run *run = context;

	if (token == CLAIM_TOKEN)
		claim_said(&run->claim, delivered);
	else
		window_end(run->window, token, delivered);
	if (atomic_load(&run->waiting))
		(void)!write(run->wake[1], "", 1); /* a full pipe wakes as well */
}

/* ---- connecting ---- */

static enum status read_password(const char *path, char **out, struct why *why)
{
	size_t len;
	enum status st = file_read(path, SECRET_MAX, out, &len, why);

	if (st == STATUS_OK)
		(*out)[strcspn(*out, "\r\n")] = '\0';
	return st;
}

static enum status create_connection(struct run *run, const char *password, struct why *why)
{
	const struct publish_options *o = run->options;
	char client_id[128], host[256] = "";

	(void)gethostname(host, sizeof(host) - 1); /* only for people */
	run->begin_ms = time_now_ms();
	claim_init(&run->claim, o->prefix, host, (long)getpid(), run->begin_ms);
	/* In containers every simulator is process 1, and equal ids would throw each other out:
	 * the milliseconds tell them apart. */
	snprintf(client_id, sizeof(client_id), "isolde-simulator-%s-%ld-%03d", o->prefix,
		(long)getpid(), (int)(run->begin_ms % 1000));
	struct mqtt_options options = {
		.url = o->broker,
		.client_id = client_id,
		.username = o->username,
		.password = password,
		.ca_file = o->ca_file,
		.cert_file = o->cert_file,
		.key_file = o->key_file,
		.keepalive_s = 15,
		.clean_session = true,
		.filters = run->claim.filters,
		.filter_count = 2,
		.will_topic = run->claim.topic,
		.will_payload = CLAIM_GONE,
		.on_message = on_message,
		.on_published = on_published,
		.context = run,
	};
	return mqtt_create(&options, &run->mqtt, why);
}

/* The connection's threads inherit the mask: signals come to this thread, which sleeps for them. */
static enum status start_connection(struct run *run, struct why *why)
{
	sigset_t ours, before;

	sigemptyset(&ours);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ours, &before);
	enum status st = mqtt_start(run->mqtt, why);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return st;
}

static enum status open_connection(struct run *run, struct why *why)
{
	char *password = NULL;
	enum status st = STATUS_OK;

	if (run->options->password_file)
		st = read_password(run->options->password_file, &password, why);
	if (st == STATUS_OK)
		st = create_connection(run, password, why);
	if (password)
		explicit_bzero(password, strlen(password));
	free(password);
	if (st == STATUS_OK)
		st = start_connection(run, why);
	return st;
}

/* Sleeps until `until_ns` (monotonic), a signal, or an end of a message that is waited for. */
static void sleep_until(struct run *run, int64_t until_ns)
{
	int64_t left = until_ns - time_monotonic_ns();
	if (left <= 0)
		return;

	struct timespec timeout = { .tv_sec = (time_t)(left / SECOND_NS),
		.tv_nsec = (long)(left % SECOND_NS) };
	fd_set readable;
	char bytes[256];

	FD_ZERO(&readable);
	FD_SET(run->wake[0], &readable);
	if (pselect(run->wake[0] + 1, &readable, NULL, NULL, &timeout, NULL) > 0) {
		while (read(run->wake[0], bytes, sizeof(bytes)) == sizeof(bytes))
			;
	}
}

static enum status no_connection(struct run *run, struct why *why)
{
	char trouble[400];

	mqtt_trouble(run->mqtt, trouble, sizeof(trouble));
	return fail(why, STATUS_UNAVAILABLE, "%s: no connection within %d s: %s",
		run->options->broker, PUBLISH_CONNECT_S, *trouble ? trouble : "no answer");
}

/* Waits for the connection and the prefix. A signal ends it too, with STATUS_OK: the run then
 * ends before its first reading. */
static enum status wait_for_claim(struct run *run, struct why *why)
{
	int64_t begin = time_monotonic_ns();

	while (!signals) {
		int64_t now = time_monotonic_ns();
		switch (claim_step(&run->claim, run->mqtt, now)) {
		case CLAIM_MINE:
			return STATUS_OK;
		case CLAIM_TAKEN:
			return fail(why, STATUS_CANT_CREATE,
				"prefix %s is live: another simulator holds %s",
				run->options->prefix, run->claim.topic);
		case CLAIM_ASKING:
		case CLAIM_DOUBTING:
		case CLAIM_CLAIMING:
			break;
		}
		if (mqtt_connects(run->mqtt) == 0 && now - begin > PUBLISH_CONNECT_S * SECOND_NS)
			return no_connection(run, why);
		if (now - begin > PUBLISH_CLAIM_S * SECOND_NS)
			return fail(why, STATUS_UNAVAILABLE, "%s: the connection does not hold",
				run->options->broker);
		sleep_until(run, now + TICK_NS / 10);
	}
	return STATUS_OK;
}

/* ---- one reading ---- */

/* False: it stays among the lost. */
static bool send_message(struct run *run, struct message *message)
{
	uint64_t token = message->token; /* once sent it may end, and be taken, at any time */

	if (mqtt_publish(run->mqtt, message->topic, message->payload, message->len,
		    run->options->qos, false, token) == STATUS_OK)
		return true;
	window_end(run->window, token, false);
	return false;
}

/* In the order of their first sending, and before anything new. */
static void resend_lost(struct run *run)
{
	struct message *message;

	while (mqtt_connected(run->mqtt) && (message = window_take_lost(run->window))) {
		if (!send_message(run, message))
			return;
	}
}

static void name_topic(const char *template, const char *machine, char out[TOPIC_SIZE])
{
	const char *mark = strstr(template, machine_mark);

	snprintf(out, TOPIC_SIZE, "%.*s%s%s", (int)(mark - template), template, machine,
		mark + sizeof(machine_mark) - 1);
}

struct made {
	int64_t at_ms, seq;
	const double *value;
	int left_out;
	bool faulty;
	const char *fault;
};

static void make_sample(struct run *run, size_t machine, struct sample *sample, struct made *out)
{
	machine_next(&run->machine[machine], sample);
	*out = (struct made){
		.at_ms = time_now_ms(),
		.seq = (int64_t)(run->made / (uint64_t)run->options->machines),
		.value = sample->value,
		.left_out = sample->left_out,
		.faulty = sample->fault != NULL,
		.fault = sample->fault ? sample->fault->name : "",
	};
}

static void make_row(struct run *run, struct made *out)
{
	const struct csvfile *csv = &run->replay.csv;
	size_t row = run->made;
	int64_t at_ms = run->begin_ms + run->replay.offset_ms[row];

	*out = (struct made){
		.at_ms = run->options->keep_timestamps ? csv->at_ms[row] : at_ms,
		.seq = (int64_t)row,
		.value = &csv->value[row * csv->schema.count],
		.left_out = -1,
		.faulty = csv->label && csv->label[row],
		.fault = "",
	};
}

/* Makes the next reading and sends it off as `message`. */
static void publish_next(struct run *run, struct message *message)
{
	size_t machine = run->made % (uint64_t)run->options->machines;
	char name[MACHINE_NAME_MAX + 1];
	struct sample sample;
	struct made made;

	if (run->machine)
		make_sample(run, machine, &sample, &made);
	else
		make_row(run, &made);
	snprintf(name, sizeof(name), "%s-%zu", run->options->prefix, machine + 1);
	name_topic(run->options->topic, name, message->topic);
	message->len = payload_encode(&run->schema, made.value, made.left_out, made.at_ms, made.seq,
		message->payload, run->payload_size);
	if (run->labels)
		labels_add(run->labels, name, made.at_ms, made.seq, made.faulty, made.fault);
	run->faulty += made.faulty;
	run->made++;
	(void)send_message(run, message); /* the lost are sent again */
}

/* ---- looking after it ---- */

static int faults_now(const struct run *run)
{
	int n = 0;

	for (int i = 0; run->machine && i < run->options->machines; i++)
		n += run->machine[i].fault != NULL;
	return n;
}

static void show_progress(struct run *run, int64_t now)
{
	double rate = (double)(run->made - run->reported) * 1e9 / (double)(now - run->reported_ns);

	fprintf(stderr,
		"\r%d machine%s  %.1f readings/s  published %llu  acknowledged %llu  "
		"in fault %d%s\033[K",
		run->options->machines, run->options->machines == 1 ? "" : "s", rate,
		(unsigned long long)run->made, (unsigned long long)window_acknowledged(run->window),
		faults_now(run), mqtt_connected(run->mqtt) ? "" : "  (broker away)");
	run->reported = run->made;
	run->reported_ns = now;
}

/* The duties beside publishing: at once after a tick, else nothing. */
static enum status look_after(struct run *run, int64_t now, struct why *why)
{
	if (now - run->looked_ns < TICK_NS)
		return STATUS_OK;
	run->looked_ns = now;
	(void)claim_step(&run->claim, run->mqtt, now);
	if (now - run->reported_ns < REPORT_NS)
		return STATUS_OK;
	if (isatty(STDERR_FILENO))
		show_progress(run, now);
	else
		run->reported_ns = now;
	return labels_flush(run->labels, why);
}

/* When reading number `made` is due: the machines take turns, evenly spread. Each time is
 * reckoned from the beginning, so nothing adds up. */
static int64_t due_ns(const struct run *run)
{
	double a_second = run->options->rate * run->options->machines;
	double since = (double)run->made * 1e9 / a_second;

	if (!run->machine && !run->options->rate_given)
		since = (double)run->replay.offset_ms[run->made] * 1e6;
	return run->begin_ns + run->late_ns + (int64_t)since;
}

/* When time is up; never without --seconds. */
static int64_t end_ns(const struct run *run)
{
	double seconds = run->options->seconds;
	return seconds > 0 ? run->begin_ns + (int64_t)(seconds * 1e9) : INT64_MAX;
}

/* A free message, or NULL after a sleep: the broker is away or has not acknowledged enough. */
static struct message *next_message(struct run *run, int64_t now)
{
	struct message *message = NULL;

	atomic_store(&run->waiting, true); /* before looking, so that no end is missed */
	resend_lost(run);
	if (mqtt_connected(run->mqtt))
		message = window_take(run->window);
	if (!message)
		sleep_until(run, now + TICK_NS);
	atomic_store(&run->waiting, false);
	return message;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Publishes what is due, or sleeps a while. *done: time is up. */
static void go_on(struct run *run, int64_t now, bool *done)
{
	int64_t due = due_ns(run), end = end_ns(run);

	if (now < due && now < end) {
		sleep_until(run, earlier(now + TICK_NS, earlier(due, end)));
		return;
	}
	if (due >= end) {
		*done = true;
		return;
	}
	if (now - due > LATE_NS)
		run->late_ns += now - due;
	struct message *message = next_message(run, now);
	if (message)
		publish_next(run, message);
	else
		*done = now >= end;
}

static enum status publish_all(struct run *run, struct why *why)
{
	enum status st = STATUS_OK;
	bool done = false;

	run->begin_ms = time_now_ms();
	run->begin_ns = run->reported_ns = time_monotonic_ns();
	while (!signals && !done && run->made < run->end && st == STATUS_OK) {
		int64_t now = time_monotonic_ns();
		st = look_after(run, now, why);
		if (st == STATUS_OK)
			go_on(run, now, &done);
	}
	return st;
}

/* Waits for what is on its way. One more signal cuts it short. */
static enum status wait_for_ends(struct run *run, struct why *why)
{
	int64_t deadline = time_monotonic_ns() + PUBLISH_ACKNOWLEDGE_S * SECOND_NS;
	sig_atomic_t before = signals;
	size_t left;

	atomic_store(&run->waiting, true);
	while ((left = window_outstanding(run->window)) > 0 && signals == before) {
		int64_t now = time_monotonic_ns();
		if (now >= deadline)
			break;
		(void)claim_step(&run->claim, run->mqtt, now);
		resend_lost(run);
		sleep_until(run, now + TICK_NS);
	}
	if (left > 0)
		return fail(why, STATUS_IO, "%zu of %llu readings stayed unacknowledged", left,
			(unsigned long long)run->made);
	return STATUS_OK;
}

static enum status summary(struct run *run, struct why *why)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	printf("published=%llu acknowledged=%llu faulty=%llu\n", (unsigned long long)run->made,
		(unsigned long long)window_acknowledged(run->window),
		(unsigned long long)run->faulty);
	if (fflush(stdout) != 0)
		return fail(why, STATUS_IO, "standard output: %s", strerror(errno));
	return STATUS_OK;
}

/* Everything after the claim. The first trouble is the one reported. */
static enum status play(struct run *run, struct why *why)
{
	struct why later;
	enum status st = publish_all(run, why);
	enum status next = wait_for_ends(run, st == STATUS_OK ? why : &later);

	st = st == STATUS_OK ? next : st;
	claim_release(&run->claim, run->mqtt);
	next = summary(run, st == STATUS_OK ? why : &later);
	st = st == STATUS_OK ? next : st;
	next = labels_destroy(run->labels, st == STATUS_OK ? why : &later);
	run->labels = NULL;
	return st == STATUS_OK ? next : st;
}

static void finish(struct run *run)
{
	if (run->mqtt)
		mqtt_stop(run->mqtt, 1000);
	mqtt_destroy(run->mqtt);
	window_destroy(run->window);
	replay_free(&run->replay);
	free(run->machine);
}

enum status publish_run(const struct publish_options *options, struct why *why)
{
	struct run run = { .options = options };
	enum status st = prepare(&run, why);

	if (st == STATUS_OK)
		st = prepare_signals(&run, why);
	if (st == STATUS_OK)
		st = open_connection(&run, why);
	if (st == STATUS_OK)
		st = wait_for_claim(&run, why);
	/* Only the prefix's owner may touch its labels. */
	if (st == STATUS_OK && options->labels)
		st = labels_create(options->labels, &run.labels, why);
	if (st == STATUS_OK)
		st = play(&run, why);
	else if (run.mqtt)
		claim_release(&run.claim, run.mqtt);
	finish(&run);
	return st;
}
