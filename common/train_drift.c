/* Fits the slow mean's rule (common/drift): how the means of healthy machines spread. */
#include "common/fused_fit.h"
#include "common/train_internal.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A shift of some sd stands out in a mean of sixty readings, where sensors wander for ten; a step,
 * against the fifteen before it. */
static const struct {
	size_t window, brief;
} rules[DRIFT_RULES] = { { 60, 0 }, { 15, 3 } };

enum { FIFTHS = 5, WINDOW_LONGEST = 60, WINDOWS_MIN = 20 };
static const double reach_sd = 8; /* no healthy reading of a normal law is farther off */

/* Sums over the shifts, in sd of the readings. */
struct moments {
	double n, fourth;
	double product[DRIFT_FACTORS_MAX]; /* lower half, by rows */
};

struct fitting {
	const struct train_options *options;
	struct model *model;
	struct drift_rule *rule;
	const double *value;
	size_t rows, features;
	struct drift *drift; /* [machines] */
	size_t machines;
	struct moments part[FIFTHS];
	double whitening[FIFTHS][DRIFT_FACTORS_MAX];
	double covariance[FEATURES_MAX * FEATURES_MAX];
};

static size_t fifth_of(const struct fitting *f, size_t row)
{
	return row * FIFTHS / f->rows;
}

/* The shift at a row; false while the mean is too young. */
static bool advance(struct fitting *f, size_t row, double *shift)
{
	const struct train_options *o = f->options;
	struct drift *drift = &f->drift[o->machine ? o->machine[row] : 0];

	drift_add(drift, f->rule, f->features, f->model->step_ms, o->at_ms[row],
		f->value + row * f->features);
	drift_shift(drift, f->rule, f->features, shift);
	return drift->count >= f->rule->window;
}

static void add(struct moments *m, const struct fitting *f, const double *shift)
{
	double z[FEATURES_MAX], length = 0;
	double *product = m->product;

	for (size_t j = 0; j < f->features; j++) {
		double sd = f->model->detector.stats[j].sd;
		z[j] = sd > 0 ? shift[j] / sd : 0;
		length += z[j] * z[j];
		for (size_t k = 0; k <= j; k++)
			*product++ += z[j] * z[k];
	}
	m->n++;
	m->fourth += length * length;
}

/* The factors of all parts but `without` (FIFTHS: of all), in the sensors' units. */
static void factors(struct fitting *f, size_t without, double *out)
{
	size_t d = f->features, window = f->rule->window;
	double n = 0, fourth = 0;

	memset(f->covariance, 0, sizeof(f->covariance));
	for (size_t part = 0; part < FIFTHS; part++) {
		const double *product = f->part[part].product;
		if (part == without)
			continue;
		n += f->part[part].n;
		fourth += f->part[part].fourth;
		for (size_t j = 0; j < d; j++)
			for (size_t k = 0; k <= j; k++)
				f->covariance[j * d + k] += *product++;
	}
	for (size_t i = 0; i < d * d; i++)
		f->covariance[i] /= n;
	/* So many shifts are independent. */
	fused_shrink(f->covariance, d, n / (double)window, fourth / (double)window);
	fused_whiten(f->covariance, d, out);
	for (size_t j = 0; j < d; j++) {
		double sd = f->model->detector.stats[j].sd;
		for (size_t i = j; i < d; i++)
			out[i * (i + 1) / 2 + j] *= sd > 0 ? 1 / sd : 0;
	}
}

static void begin(struct fitting *f, size_t rule)
{
	f->rule = &f->model->drift[rule];
	*f->rule = (struct drift_rule){
		.window = rules[rule].window, .brief = rules[rule].brief, .scale = 1
	};
	for (size_t j = 0; j < f->features; j++) {
		f->rule->centre[j] = f->model->detector.stats[j].mean;
		f->rule->reach[j] = reach_sd * f->model->detector.stats[j].sd;
	}
	memset(f->part, 0, sizeof(f->part));
	memset(f->drift, 0, f->machines * sizeof(*f->drift));
}

/* Whether every fifth can be left out. */
static bool enough(const struct fitting *f)
{
	double n = 0, most = 0;

	for (size_t part = 0; part < FIFTHS; part++) {
		n += f->part[part].n;
		most = fmax(most, f->part[part].n);
	}
	double windows = (n - most) / WINDOW_LONGEST;
	return windows >= WINDOWS_MIN && windows >= 2 * (double)f->features;
}

static void fit(struct fitting *f, size_t rule, double *nats)
{
	double shift[FEATURES_MAX];

	begin(f, rule);
	for (size_t i = 0; i < f->rows; i++)
		if (advance(f, i, shift))
			add(&f->part[fifth_of(f, i)], f, shift);
	if (!enough(f)) {
		f->rule->window = 0;
		return;
	}
	for (size_t part = 0; part < FIFTHS; part++)
		factors(f, part, f->whitening[part]);
	memset(f->drift, 0, f->machines * sizeof(*f->drift));
	for (size_t i = 0; i < f->rows; i++)
		nats[i] = advance(f, i, shift)
			? drift_place(f->whitening[fifth_of(f, i)], f->features, shift)
			: NAN;
	factors(f, FIFTHS, f->rule->whitening);
}

enum status train_drift(const struct train_options *o, struct model *model, const double *value,
	size_t rows, double *nats, struct why *why)
{
	struct fitting *f = calloc(1, sizeof(*f));
	size_t machines = train_machines(o, rows);
	struct drift *drift = calloc(machines, sizeof(*drift));
	if (!f || !drift) {
		free(f);
		free(drift);
		return fail(why, STATUS_NO_MEMORY, "no memory for the means of %zu rows", rows);
	}
	f->options = o;
	f->model = model;
	f->value = value;
	f->rows = rows;
	f->features = model->schema.count;
	f->drift = drift;
	f->machines = machines;
	for (size_t rule = 0; rule < DRIFT_RULES; rule++)
		fit(f, rule, nats + rule * rows);
	if (model->drift[0].window == 0 || model->drift[1].window == 0)
		model->drift[0].window = model->drift[1].window = 0; /* all or none */
	free(drift);
	free(f);
	return STATUS_OK;
}
