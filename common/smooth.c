#include "common/smooth.h"
#include <math.h>

bool smooth_breaks(int64_t before_ms, int64_t at_ms, int64_t step_ms)
{
	int64_t step = at_ms - before_ms;
	return step <= 0 || (step_ms > 0 && step > SMOOTH_GAP_STEPS * step_ms);
}

double smooth_next(
	struct smooth *smooth, size_t window, int64_t step_ms, int64_t at_ms, double score)
{
	double sum = 0;

	if (isnan(score))
		return score;
	if (smooth->count > 0 && smooth_breaks(smooth->at_ms, at_ms, step_ms))
		smooth->count = 0;
	smooth->score[smooth->next] = score;
	smooth->next = (smooth->next + 1) % SMOOTH_WINDOW_MAX;
	smooth->at_ms = at_ms;
	if (smooth->count < SMOOTH_WINDOW_MAX)
		smooth->count++;
	/* Again for every score, newest first: no running sum, whose rounding would depend on what
	 * came before the window. */
	size_t n = smooth->count < window ? smooth->count : window;
	for (size_t i = 1; i <= n; i++)
		sum += smooth->score[(smooth->next + SMOOTH_WINDOW_MAX - i) % SMOOTH_WINDOW_MAX];
	return sum / (double)n;
}
