#include "simulator/replay.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdlib.h>

enum { GAP_MEDIANS = 10 };

static int compare_steps(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* The median of the steps forward, 0 if there is none. Uses `room` ([rows]). */
static int64_t median_step(const struct csvfile *csv, int64_t *room)
{
	size_t n = 0;

	for (size_t i = 1; i < csv->rows; i++) {
		if (csv->at_ms[i] > csv->at_ms[i - 1])
			room[n++] = csv->at_ms[i] - csv->at_ms[i - 1];
	}
	if (n == 0)
		return 0;
	qsort(room, n, sizeof(*room), compare_steps);
	return room[n / 2];
}

static void spread_by_file(struct replay *replay, int64_t median)
{
	const int64_t *at_ms = replay->csv.at_ms;

	replay->offset_ms[0] = 0;
	for (size_t i = 1; i < replay->csv.rows; i++) {
		int64_t step = at_ms[i] - at_ms[i - 1];
		if (step <= 0 || step / GAP_MEDIANS > median)
			step = median;
		replay->offset_ms[i] = replay->offset_ms[i - 1] + step;
	}
}

static void spread_evenly(struct replay *replay, double step_ms)
{
	for (size_t i = 0; i < replay->csv.rows; i++)
		replay->offset_ms[i] = llround((double)i * step_ms);
}

enum status replay_load(const char *path, double step_ms, struct replay *out, struct why *why)
{
	struct replay replay = { .offset_ms = NULL };
	enum status st = csvfile_load(path, &replay.csv, why);
	if (st != STATUS_OK)
		return st;
	if (replay.csv.rows == 0) {
		csvfile_free(&replay.csv);
		return fail(why, STATUS_BAD_INPUT, "%s: no rows to replay", path);
	}
	replay.offset_ms = malloc(replay.csv.rows * sizeof(*replay.offset_ms));
	if (!replay.offset_ms) {
		csvfile_free(&replay.csv);
		return fail(why, STATUS_NO_MEMORY, "%s: no memory for its times", path);
	}
	int64_t median = replay.csv.at_ms ? median_step(&replay.csv, replay.offset_ms) : 0;
	if (median > 0)
		spread_by_file(&replay, median);
	else
		spread_evenly(&replay, step_ms);
	*out = replay;
	return STATUS_OK;
}

enum status replay_check_timestamps(const struct replay *replay, const char *path, struct why *why)
{
	const struct csvfile *csv = &replay->csv;

	if (!csv->at_ms)
		return fail(why, STATUS_BAD_INPUT, "%s: no column timestamp to keep", path);
	for (size_t i = 0; i < csv->rows; i++) {
		if (csv->at_ms[i] < 0 || csv->at_ms[i] > TIME_MAX_MS)
			return fail(why, STATUS_BAD_INPUT,
				"%s: row %zu: its timestamp is outside 1970 .. 2109", path, i + 1);
	}
	return STATUS_OK;
}

void replay_free(struct replay *replay)
{
	csvfile_free(&replay->csv);
	free(replay->offset_ms);
	replay->offset_ms = NULL;
}
