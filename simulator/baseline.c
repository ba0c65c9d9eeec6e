#include "simulator/baseline.h"
#include "common/fileio.h"
#include "common/rng.h"
#include "simulator/machine.h"
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MAX = 64 }; /* bytes: three numbers of two decimals, within +-30 sd at the most */

static size_t write_row(struct rng *rng, char *out)
{
	double value[SENSORS];

	for (int s = 0; s < SENSORS; s++)
		value[s] = sensor_mean[s] + SENSOR_SD * rng_normal(rng);
	return (size_t)snprintf(out, ROW_MAX, "%.2f,%.2f,%.2f\n", value[TEMPERATURE],
		value[HUMIDITY], value[SOUND]);
}

enum status baseline_write(const char *path, size_t rows, uint64_t seed, struct why *why)
{
	struct rng rng;
	char *csv = malloc((rows + 1) * ROW_MAX);

	if (!csv)
		return fail(why, STATUS_NO_MEMORY, "%s: no memory for %zu rows", path, rows);
	rng_seed(&rng, seed);
	size_t len = (size_t)snprintf(csv, ROW_MAX, "temperature,humidity,sound\n");
	for (size_t i = 0; i < rows; i++)
		len += write_row(&rng, csv + len);
	enum status st = file_replace(path, csv, len, why);
	free(csv);
	return st;
}
