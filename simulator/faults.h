/* What can go wrong with a simulated machine: one fixed table. Pure. */
#ifndef ISOLDE_SIMULATOR_FAULTS_H
#define ISOLDE_SIMULATOR_FAULTS_H

#include <stddef.h>

enum sensor { TEMPERATURE, HUMIDITY, SOUND, SENSORS, ANY_SENSOR = SENSORS };

enum fault_shape {
	FAULT_OFFSET, /* added to the healthy value: a ramp, then held */
	FAULT_STUCK,  /* the value of the episode's first reading again and again */
	FAULT_ABSENT, /* null, or the member is left out */
};

/* An episode of a fault. Times are of machine time: one second a reading. */
struct fault {
	const char *name;   /* as in the labels file */
	const char *effect; /* for people */
	enum fault_shape shape;
	enum sensor sensor; /* ANY_SENSOR: drawn for each episode */
	double size_sd;     /* of the healthy spread; sign drawn for each episode if ANY_SENSOR */
	int ramp_s;         /* from nothing to size_sd */
	int length_s;       /* of the whole episode, the ramp included */
	int weight;         /* how often it is drawn, in relation to the others */
};

enum { FAULTS = 6 };
extern const struct fault fault_table[FAULTS];

/* "temperature", ...; "any" for ANY_SENSOR. */
const char *sensor_name(enum sensor sensor);

/* The fault that a uniform number in [0, 1) draws, by weight. */
const struct fault *fault_draw(double uniform);

/* What the fault adds `into_s` seconds into its episode, in sd; 0 for other shapes. */
double fault_offset_sd(const struct fault *fault, int into_s);

/* The probability that a healthy machine's next reading begins an episode, so that `share`
 * (0 .. 1) of all readings are faulty in the long run. */
double fault_start_probability(double share);

/* The table for people, as Markdown: name, sensor, effect, size, times, share. On stdout. */
void fault_print_table(void);

#endif
