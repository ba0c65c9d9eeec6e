/* The healthy data that the default model is trained on. */
#ifndef ISOLDE_SIMULATOR_BASELINE_H
#define ISOLDE_SIMULATOR_BASELINE_H

#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum { BASELINE_ROWS_MAX = 10000000 };

/* Writes a CSV of `rows` rows: temperature, humidity, sound; independent normals around
 * sensor_mean with SENSOR_SD, 2 decimals. The same seed gives the same bytes everywhere. The
 * file is replaced whole or not at all. */
enum status baseline_write(const char *path, size_t rows, uint64_t seed, struct why *why) MUST_USE;

#endif
