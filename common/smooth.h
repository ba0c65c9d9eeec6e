/* The mean of a machine's last scores, which feeds the alarm: trainer and agent smooth alike. It
 * begins anew where time steps back, stands still or leaps: what lies before a gap says nothing
 * of now. Pure. */
#ifndef ISOLDE_COMMON_SMOOTH_H
#define ISOLDE_COMMON_SMOOTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SMOOTH_WINDOW_MAX = 64,
	SMOOTH_WINDOW = 10, /* where nobody says otherwise */
	SMOOTH_GAP_STEPS = 10
};

/* One per machine; zero to start. */
struct smooth {
	double score[SMOOTH_WINDOW_MAX]; /* ring; the newest is at `next` - 1 */
	size_t next, count;
	int64_t at_ms; /* of the newest */
};

/* Whether a mean begins anew between two readings: a step back, on the spot, or one of more than
 * SMOOTH_GAP_STEPS of `step_ms`, the usual step; 0: not known, no step is too long. */
bool smooth_breaks(int64_t before_ms, int64_t at_ms, int64_t step_ms);

/* Takes one score and gives the mean of the last `window` (1 .. SMOOTH_WINDOW_MAX), itself
 * included, fewer at the start. `step_ms`: the usual step between readings; one of more than
 * SMOOTH_GAP_STEPS of them is a gap; 0: not known, no step is. NaN gives NaN and is not counted. */
double smooth_next(
	struct smooth *smooth, size_t window, int64_t step_ms, int64_t at_ms, double score);

#endif
