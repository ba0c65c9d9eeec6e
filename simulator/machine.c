#include "simulator/machine.h"
#include <math.h>

const double sensor_mean[SENSORS] = { 60, 35, 75 };

/* Work and rest switch at random, 90 s and 45 s on average; heat follows within 20 s. Work is a
 * random telegraph: mean 2/3, variance 2/9, autocorrelation r per second. */
#define STOP_PROBABILITY (1 / 90.0)
#define START_PROBABILITY (1 / 45.0)
#define WORK_MEAN (2 / 3.0)
#define WORK_VARIANCE (2 / 9.0)
#define WORK_R (1 - STOP_PROBABILITY - START_PROBABILITY)
#define HEAT_KEEPS (1 - 1 / 20.0)

/* The variance shares of the four parts add up to 1; the autocorrelations of one second weighted
 * with them add up to 0.9: 0.08 * 0.998 + 0.03 * 0.999 + 0.87 * 0.908 + 0.02 * 0. */
#define HEAT_SHARE 0.08
#define DRIFT_SHARE 0.03
#define SURROUNDINGS_SHARE 0.87
#define NOISE_SHARE 0.02
#define DRIFT_R 0.999
#define SURROUNDINGS_R 0.908

static const double heat_sign[SENSORS] = { 1, -1, 1 };

/* To 2 decimals, halves away from zero. */
static double round_to_cents(double value)
{
	return round(value * 100) / 100;
}

void machine_init(struct machine *machine, uint64_t seed, uint64_t number, double anomaly_rate)
{
	struct rng factory;

	rng_seed(&factory, seed);
	uint64_t own = rng_next(&factory) + number;
	*machine = (struct machine){
		.start_probability = fault_start_probability(anomaly_rate),
	};
	rng_seed(&machine->health, own);
	rng_seed(&machine->trouble, ~own);
	for (int s = 0; s < SENSORS; s++) {
		machine->drift[s] = rng_normal(&machine->health);
		machine->surroundings[s] = rng_normal(&machine->health);
	}
}

/* Autoregression of the first order: stays standard normal, keeps `r` of itself. */
static void wander(struct rng *rng, double *x, double r)
{
	*x = r * *x + sqrt(1 - r * r) * rng_normal(rng);
}

/* Heat as a number of mean 0 and variance 1. The variance is that of a telegraph of
 * autocorrelation r behind a filter that keeps c: (1 - c)/(1 + c) * (1 + c r)/(1 - c r) of its
 * own. */
static double next_heat(struct machine *machine)
{
	const double c = HEAT_KEEPS, r = WORK_R;
	const double variance = WORK_VARIANCE * (1 - c) / (1 + c) * (1 + c * r) / (1 - c * r);
	double u = rng_uniform(&machine->health);

	if (u < (machine->working ? STOP_PROBABILITY : START_PROBABILITY))
		machine->working = !machine->working;
	machine->heat = c * machine->heat + (1 - c) * machine->working;
	return (machine->heat - WORK_MEAN) / sqrt(variance);
}

static void healthy(struct machine *machine, double value[SENSORS])
{
	double heat = next_heat(machine);

	for (int s = 0; s < SENSORS; s++) {
		wander(&machine->health, &machine->drift[s], DRIFT_R);
		wander(&machine->health, &machine->surroundings[s], SURROUNDINGS_R);
		double z = sqrt(HEAT_SHARE) * heat_sign[s] * heat +
			sqrt(DRIFT_SHARE) * machine->drift[s] +
			sqrt(SURROUNDINGS_SHARE) * machine->surroundings[s] +
			sqrt(NOISE_SHARE) * rng_normal(&machine->health);
		value[s] = sensor_mean[s] + SENSOR_SD * z;
	}
}

static void begin_episode(struct machine *machine, const double value[SENSORS])
{
	struct rng *rng = &machine->trouble;
	const struct fault *fault = fault_draw(rng_uniform(rng));
	bool any = fault->sensor == ANY_SENSOR;

	machine->fault = fault;
	machine->into_s = 0;
	machine->sensor = any ? (enum sensor)rng_below(rng, SENSORS) : fault->sensor;
	machine->sign = any && rng_uniform(rng) < 0.5 ? -1 : 1;
	machine->leave_out = rng_uniform(rng) < 0.5;
	machine->stuck_at = value[machine->sensor];
}

static void suffer(struct machine *machine, struct sample *out)
{
	const struct fault *fault = machine->fault;
	double *value = &out->value[machine->sensor];

	switch (fault->shape) {
	case FAULT_OFFSET:
		*value += machine->sign * SENSOR_SD * fault_offset_sd(fault, machine->into_s);
		break;
	case FAULT_STUCK:
		*value = machine->stuck_at;
		break;
	case FAULT_ABSENT:
		*value = NAN;
		if (machine->leave_out)
			out->left_out = (int)machine->sensor;
		break;
	}
	out->fault = fault;
	if (++machine->into_s == fault->length_s)
		machine->fault = NULL;
}

void machine_next(struct machine *machine, struct sample *out)
{
	out->left_out = -1;
	out->fault = NULL;
	healthy(machine, out->value);
	if (!machine->fault && rng_uniform(&machine->trouble) < machine->start_probability)
		begin_episode(machine, out->value);
	if (machine->fault)
		suffer(machine, out);
	for (int s = 0; s < SENSORS; s++)
		out->value[s] = round_to_cents(out->value[s]); /* NaN stays */
}
