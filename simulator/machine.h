/* A simulated press with three sensors. Its time is counted in readings: each is one second of
 * its life, however fast they are asked for, so a high rate plays the same story faster. The same
 * seed and number give the same readings. Pure.
 *
 * Healthy, every sensor keeps the baseline's mean (60, 35, 75) and spread (sd 10), and is alike
 * from one reading to the next (autocorrelation 0.9). It is made of the machine's heat (it works
 * and rests in turns, warms up and cools down; temperature and sound rise with it, humidity
 * falls), a slow drift, the sensor's surroundings and its noise. */
#ifndef ISOLDE_SIMULATOR_MACHINE_H
#define ISOLDE_SIMULATOR_MACHINE_H

#include "common/rng.h"
#include "simulator/faults.h"
#include <stdbool.h>
#include <stdint.h>

extern const double sensor_mean[SENSORS]; /* degC, %, dB */
#define SENSOR_SD 10.0                    /* of every sensor */

struct machine {
	struct rng health, trouble; /* apart: health does not depend on the anomaly rate */
	bool working;
	double heat;           /* 0 cold .. 1 as after long work */
	double drift[SENSORS]; /* standard normal, like the next */
	double surroundings[SENSORS];
	double start_probability;  /* of an episode */
	const struct fault *fault; /* NULL: healthy */
	enum sensor sensor;        /* the fault's, and what was drawn for its episode */
	int into_s;
	double sign;
	bool leave_out;
	double stuck_at;
};

/* One reading. */
struct sample {
	double value[SENSORS];     /* 2 decimals, NaN: absent */
	int left_out;              /* the sensor whose member is not even sent, or -1 */
	const struct fault *fault; /* NULL: healthy */
};

/* Machine `number` of a factory: cold, at rest. `anomaly_rate` (0 .. 1) is the share of readings
 * that are faulty in the long run. */
void machine_init(struct machine *machine, uint64_t seed, uint64_t number, double anomaly_rate);

/* Makes its next reading. */
void machine_next(struct machine *machine, struct sample *out);

#endif
