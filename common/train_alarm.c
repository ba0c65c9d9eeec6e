/* What the training data say of the alarm: their usual step, their smoothed scores, and how often
 * the whole alarm (common/smooth, common/alarm) would have cried over them. */
#include "common/alarm.h"
#include "common/smooth.h"
#include "common/train_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static size_t machine_of(const struct train_options *o, size_t row)
{
	return o->machine ? o->machine[row] : 0;
}

size_t train_machines(const struct train_options *o, size_t rows)
{
	size_t most = 0;

	for (size_t i = 0; o->machine && i < rows; i++)
		most = o->machine[i] > most ? o->machine[i] : most;
	return most + 1;
}

/* The time since the machine's row before; 0 for its first one. Its own time is noted. */
static int64_t step_from(int64_t *last, const struct train_options *o, size_t row)
{
	int64_t *before = &last[machine_of(o, row)];
	int64_t step = *before == INT64_MIN ? 0 : o->at_ms[row] - *before;

	*before = o->at_ms[row];
	return step;
}

static int64_t *no_times(size_t machines)
{
	int64_t *last = malloc(machines * sizeof(*last));

	for (size_t i = 0; last && i < machines; i++)
		last[i] = INT64_MIN;
	return last;
}

enum status train_step(
	const struct train_options *o, size_t rows, int64_t *step_ms, struct why *why)
{
	int64_t *last = no_times(train_machines(o, rows)), *step = malloc(rows * sizeof(*step));
	size_t n = 0;

	*step_ms = 0;
	if (!last || !step) {
		free(last);
		free(step);
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu steps", rows);
	}
	for (size_t i = 0; i < rows; i++) {
		step[n] = step_from(last, o, i);
		n += step[n] > 0;
	}
	qsort(step, n, sizeof(*step), by_size);
	if (n > 0)
		*step_ms = step[n / 2];
	free(last);
	free(step);
	return STATUS_OK;
}

enum status train_smooth(const struct train_options *o, const struct model *model,
	const double *score, size_t rows, bool first, double *out, struct why *why)
{
	struct smooth *smooth = calloc(train_machines(o, rows), sizeof(*smooth));

	if (!smooth)
		return fail(why, STATUS_NO_MEMORY, "no memory to smooth %zu scores", rows);
	for (size_t i = 0; i < rows; i++) {
		struct smooth *s = &smooth[machine_of(o, i)];
		out[i] = smooth_next(s, model->smooth, model->step_ms, o->at_ms[i], score[i]);
		if (s->count < model->smooth && !first)
			out[i] = NAN;
	}
	free(smooth);
	return STATUS_OK;
}

/* P(X <= n) of a Poisson variable. */
static double poisson_below(size_t n, double mean)
{
	double term = exp(-mean), sum = term;

	for (size_t k = 1; k <= n; k++) {
		term *= mean / (double)k;
		sum += term;
	}
	return sum;
}

/* The mean at which P(X <= n) is p. */
static double poisson_mean(size_t n, double p)
{
	double low = 0, high = 20 + 4 * (double)n;

	for (int i = 0; i < 100; i++) {
		double middle = (low + high) / 2;
		if (poisson_below(n, middle) > p)
			low = middle;
		else
			high = middle;
	}
	return low;
}

/* The exact 95 % interval of a Poisson mean (Garwood, Biometrika 28, 1936). */
static void promise(struct model *model, double alarms, double days)
{
	enum { EXACT_MAX = 300 }; /* beyond, exp(-mean) is too near 0 and the normal one will do */
	size_t n = (size_t)lround(alarms);

	model->false_alarms_per_day = alarms / days;
	if (n > EXACT_MAX) {
		model->false_alarms_per_day_low = (alarms - 1.96 * sqrt(alarms)) / days;
		model->false_alarms_per_day_high = (alarms + 1.96 * sqrt(alarms)) / days;
		return;
	}
	double low = n > 0 ? poisson_mean(n - 1, 0.975) / days : 0;
	double high = poisson_mean(n, 0.025) / days;
	model->false_alarms_per_day_low = fmin(low, model->false_alarms_per_day);
	model->false_alarms_per_day_high = fmax(high, model->false_alarms_per_day);
}

/* One pass over what feeds the alarm; how many alarms were raised, and what time the machines were
 * watched. */
static size_t replay(const struct train_options *o, const struct model *model, const double *series,
	size_t rows, struct alarm *alarm, int64_t *last, double *days)
{
	const struct alarm_policy policy = { .raise_count = model->raise_count,
		.raise_window = model->raise_window,
		.clear_count = model->clear_count,
		.fault_count = 1,
		.no_latch = true };
	size_t raised = 0;

	for (size_t i = 0; i < rows; i++) {
		size_t m = machine_of(o, i);
		int64_t step = step_from(last, o, i);
		if (step > 0 && step <= SMOOTH_GAP_STEPS * model->step_ms)
			*days += (double)step / 86400e3;
		struct alarm_input input = { .at_ms = o->at_ms[i],
			.score = series[i],
			.threshold = model->alarm_threshold,
			.clear = model->alarm_clear };
		raised += alarm_next(&alarm[m], &policy, "", &input) == ALARM_RAISED;
	}
	return raised;
}

/* All passes; what they gave is promised. */
static enum status replay_all(const struct train_options *o, struct model *model,
	const double *series, size_t passes, size_t rows, double *days, struct why *why)
{
	size_t machines = train_machines(o, rows), raised = 0;
	enum status st = STATUS_OK;

	*days = 0;
	for (size_t pass = 0; pass < passes && st == STATUS_OK; pass++) {
		struct alarm *alarm = calloc(machines, sizeof(*alarm));
		int64_t *last = no_times(machines);
		if (alarm && last)
			raised += replay(o, model, series + pass * rows, rows, alarm, last, days);
		else
			st = fail(why, STATUS_NO_MEMORY, "no memory to replay %zu machines",
				machines);
		free(alarm);
		free(last);
	}
	*days /= (double)passes;
	if (st == STATUS_OK && *days > 0)
		promise(model, (double)raised / (double)passes, *days);
	return st;
}

static enum status check_asked(const struct train_options *o, double days, struct why *why)
{
	double asked = o->false_alarms_per_day;

	if (asked * days >= 1)
		return STATUS_OK;
	return fail(why, STATUS_BAD_INPUT,
		"%g false alarms a day cannot be promised by data of %.3g days%s: at least %.3g days "
		"are needed",
		asked, days, o->drawn_from ? ", that of the rows kept" : "", 1 / asked);
}

/* From the agent's defaults on, each slower than the one before. */
static const struct delays {
	unsigned raise_count, raise_window, clear_count;
} delays[] = { { 3, 5, 5 }, { 5, 8, 8 }, { 8, 12, 12 }, { 12, 20, 20 }, { 24, 40, 40 } };

static void set_delays(struct model *model, const struct delays *d)
{
	model->raise_count = d->raise_count;
	model->raise_window = d->raise_window;
	model->clear_count = d->clear_count;
}

static enum status choose_delays(const struct train_options *o, struct model *model,
	const double *series, size_t passes, size_t rows, struct why *why)
{
	double asked = o->false_alarms_per_day, days = 0;

	for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
		set_delays(model, &delays[i]);
		enum status st = replay_all(o, model, series, passes, rows, &days, why);
		if (st != STATUS_OK || asked <= 0)
			return st;
		st = check_asked(o, days, why);
		if (st != STATUS_OK || model->false_alarms_per_day <= asked)
			return st;
	}
	return fail(why, STATUS_BAD_INPUT,
		"%g false alarms a day cannot be promised: with an alarm raised by %u of %u readings "
		"there are still %.3g; a larger quantile would help",
		asked, model->raise_count, model->raise_window, model->false_alarms_per_day);
}

/* What a machine may cry if nobody asks for anything: one alarm in forty days, so that a hall of
 * twenty has one every other day. An operator's whole plant should have no more than some 120 a
 * day, all kinds together (EEMUA 191). */
static const double usual_rate = 0.025;

/* One machine's stay above a level. */
struct stay {
	double peak;
	size_t calm; /* readings since it was last above */
	bool open;
};

double train_peak_excess(
	const struct train_options *o, const double *series, size_t rows, size_t apart, double from)
{
	size_t machines = train_machines(o, rows), stays = 0;
	struct stay *stay = calloc(machines, sizeof(*stay));
	double sum = 0;

	for (size_t i = 0; stay && i < rows + machines; i++) {
		/* Behind the last row every machine's stay ends. */
		struct stay *s = &stay[i < rows ? machine_of(o, i) : i - rows];
		bool above = i < rows && series[i] > from;
		s->calm = above ? 0 : s->calm + 1;
		if (above) {
			s->peak = s->open ? fmax(s->peak, series[i]) : series[i];
			s->open = true;
		} else if (s->open && (s->calm >= apart || i >= rows)) {
			sum += s->peak - from;
			stays++;
			s->open = false;
		}
	}
	free(stay);
	return stays > 0 ? sum / (double)stays : 0;
}

double train_rate(const struct train_options *o)
{
	return o->false_alarms_per_day > 0 ? o->false_alarms_per_day : usual_rate;
}

/* Up from where the level stands. */
static enum status settle(const struct train_options *o, struct model *model, const double *series,
	size_t passes, size_t rows, double excess, double rate, struct why *why)
{
	enum { STEPS_MAX = 200, STEPS_IN_ONE = 8 };
	enum status st = STATUS_OK;

	for (int step = 0; step < STEPS_MAX; step++) {
		double days = 0;
		st = replay_all(o, model, series, passes, rows, &days, why);
		/* Less than one in all cannot be told from none. */
		if (st != STATUS_OK || !(days > 0) ||
			model->false_alarms_per_day <= fmax(rate, 1 / days))
			break;
		model->alarm_threshold += excess / STEPS_IN_ONE;
	}
	return st;
}

/* Episodes above a high level are as rare as the exponential tail of the scores says (peaks over
 * threshold: Leadbetter 1991; Davison and Smith 1990): from the rate at the first level, which the
 * data show, to one that they may be too short to show. Where they show more than that, as data of
 * many regimes do, the level goes on rising. */
enum status train_level(const struct train_options *o, struct model *model, const double *series,
	size_t passes, size_t rows, double excess, double rate, struct why *why)
{
	double days = 0;

	set_delays(model, &delays[0]);
	enum status st = replay_all(o, model, series, passes, rows, &days, why);
	if (st != STATUS_OK || !(days > 0))
		return st;
	double seen = fmax(model->false_alarms_per_day, 1 / ((double)passes * days));
	if (seen > rate)
		model->alarm_threshold += excess * log(seen / rate);
	return settle(o, model, series, passes, rows, excess, rate, why);
}

static enum status choose_level(const struct train_options *o, struct model *model,
	const double *series, size_t passes, size_t rows, double excess, bool placed,
	struct why *why)
{
	double asked = o->false_alarms_per_day, days = 0;

	set_delays(model, &delays[0]);
	enum status st = replay_all(o, model, series, passes, rows, &days, why);
	if (st == STATUS_OK && asked > 0)
		st = check_asked(o, days, why);
	if (st != STATUS_OK || !(days > 0))
		return st;
	st = (placed ? settle : train_level)(
		o, model, series, passes, rows, excess, train_rate(o), why);
	if (st == STATUS_OK && asked > 0 && model->false_alarms_per_day > asked)
		return fail(why, STATUS_BAD_INPUT,
			"%g false alarms a day cannot be promised: at a level of %.3g there are still "
			"%.3g",
			asked, model->alarm_threshold, model->false_alarms_per_day);
	return st;
}

enum status train_promise(const struct train_options *o, struct model *model, const double *series,
	size_t passes, size_t rows, double excess, bool placed, struct why *why)
{
	if (excess > 0)
		return choose_level(o, model, series, passes, rows, excess, placed, why);
	return choose_delays(o, model, series, passes, rows, why);
}
