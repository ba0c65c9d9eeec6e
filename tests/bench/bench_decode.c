/* Nanoseconds to decode a usual reading: as reading_decode does it, by the short way, and by cJSON.
 * Both in one run, interleaved. */
#include "common/reading_flat.h"
#include "common/timeutil.h"
#include "tests/bench/bench.h"
#include <stdio.h>
#include <string.h>

enum { PIECES = 50, TIMES = 2000 };

static double time_way(bool general, const char *json, const struct schema *schema)
{
	struct reading reading = { .received_ms = 1 };
	size_t len = strlen(json), refused = 0;
	struct why why;
	int64_t began = time_monotonic_ns();

	for (int i = 0; i < TIMES; i++)
		refused += (general ? reading_decode_general(json, len, schema, &reading, &why)
				    : reading_decode(json, len, schema, &reading, &why)) !=
			REJECT_NONE;
	double ns = (double)(time_monotonic_ns() - began) / TIMES;
	if (refused > 0)
		fprintf(stderr, "%zu refused: %s\n", refused, why.text);
	return ns;
}

static void compare(const char *name, const char *json)
{
	double ours[PIECES], general[PIECES], ratio[PIECES];
	struct schema schema;

	bench_schema(&schema, 3);
	for (int piece = 0; piece < PIECES; piece++) {
		ours[piece] = time_way(false, json, &schema);
		general[piece] = time_way(true, json, &schema);
		ratio[piece] = ours[piece] / general[piece];
	}
	bench_figure(name, ours, PIECES, "ns", 1000);
	bench_figure("  the same by cJSON", general, PIECES, "ns", 10000);
	bench_figure("  the same, share of cJSON's time", ratio, PIECES, "", 0.5);
}

int main(void)
{
	compare("decode, 3 features", "{\"temperature\":61.2,\"humidity\":38.5,\"sound\":71.9}");
	compare("decode, 3 features, timestamp and seq",
		"{\"timestamp\":\"2026-11-23T12:00:00.250Z\",\"seq\":18231,\"temperature\":61.2,"
		"\"humidity\":38.5,\"sound\":71.9}");
	return bench_missed();
}
