#include "simulator/faults.h"
#include <stdio.h>

/* Short episodes come more often than long ones, so that small runs meet several kinds and every
 * kind but the spike gets a fair share of the faulty readings. */
const struct fault fault_table[FAULTS] = {
	{ "overheating", "climbs and stays hot", FAULT_OFFSET, TEMPERATURE, 4, 120, 150, 1 },
	{ "humidity_leak", "moisture creeps in", FAULT_OFFSET, HUMIDITY, 3.5, 60, 100, 1 },
	{ "bearing_noise", "grows loud and stays so", FAULT_OFFSET, SOUND, 3, 10, 40, 3 },
	{ "stuck_sensor", "repeats its value", FAULT_STUCK, ANY_SENSOR, 0, 0, 30, 3 },
	{ "drop_out", "is null or left out", FAULT_ABSENT, ANY_SENSOR, 0, 0, 5, 6 },
	{ "spike", "one reading far off", FAULT_OFFSET, ANY_SENSOR, 6, 0, 1, 16 },
};

const char *sensor_name(enum sensor sensor)
{
	static const char *const name[] = { "temperature", "humidity", "sound", "any" };
	return name[sensor];
}

static int total_weight(void)
{
	int total = 0;

	for (int i = 0; i < FAULTS; i++)
		total += fault_table[i].weight;
	return total;
}

const struct fault *fault_draw(double uniform)
{
	double at = uniform * total_weight();
	int i = 0;

	while (i < FAULTS - 1 && at >= fault_table[i].weight)
		at -= fault_table[i++].weight;
	return &fault_table[i];
}

double fault_offset_sd(const struct fault *fault, int into_s)
{
	if (fault->shape != FAULT_OFFSET)
		return 0;
	if (into_s >= fault->ramp_s)
		return fault->size_sd;
	return fault->size_sd * into_s / fault->ramp_s;
}

/* Readings of all kinds' episodes, each as often as its weight. */
static int weighted_length(void)
{
	int length = 0;

	for (int i = 0; i < FAULTS; i++)
		length += fault_table[i].weight * fault_table[i].length_s;
	return length;
}

/* Healthy runs are geometric, (1 - p) / p readings on average, and alternate with episodes of L
 * readings on average: share = L / (L + (1 - p) / p), solved for p. */
double fault_start_probability(double share)
{
	double mean_length = (double)weighted_length() / total_weight();

	return share / (share + mean_length * (1 - share));
}

static const char *size_text(const struct fault *fault, char *out, size_t size)
{
	if (fault->shape != FAULT_OFFSET)
		return "-";
	snprintf(out, size, "%s%g sd", fault->sensor == ANY_SENSOR ? "+-" : "+", fault->size_sd);
	return out;
}

void fault_print_table(void)
{
	puts("| fault | sensor | what it does | size | ramp, s | lasts, s | of faulty readings |");
	puts("|---|---|---|---|---|---|---|");
	for (int i = 0; i < FAULTS; i++) {
		const struct fault *fault = &fault_table[i];
		char size[32];
		printf("| %s | %s | %s | %s | %d | %d | %.0f %% |\n", fault->name,
			sensor_name(fault->sensor), fault->effect,
			size_text(fault, size, sizeof(size)), fault->ramp_s, fault->length_s,
			100.0 * fault->weight * fault->length_s / weighted_length());
	}
}
