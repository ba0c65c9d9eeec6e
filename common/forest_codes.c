#include "common/forest_codes.h"
#include "common/number.h"
#include <math.h>

/* Each once, ascending, into split[]: how many. */
static size_t distinct_splits(const struct forest_columns *c, size_t f, double *split)
{
	size_t n = 0, distinct = 0;

	for (size_t i = 0; i < c->nodes; i++)
		if (c->feature[i] == (int32_t)f)
			split[n++] = c->split[i];
	number_sort(split, n);
	for (size_t i = 0; i < n; i++)
		if (distinct == 0 || split[distinct - 1] < split[i])
			split[distinct++] = split[i];
	return distinct;
}

void codes_plan(struct codes *codes, const struct forest_columns *c, size_t f, double *split)
{
	size_t size[CODES_LEVELS_MAX], total = 0, left = distinct_splits(c, f, split);

	*codes = (struct codes){ .count = (uint32_t)left };
	do { /* one +inf at the least behind the edges */
		left = left / CODES_RUNG + 1;
		size[codes->levels++] = left * CODES_RUNG;
	} while (left > 1);
	for (uint32_t k = 0; k < codes->levels; k++) {
		codes->level[k] = (uint32_t)total;
		total += size[codes->levels - 1 - k];
	}
	codes->edges = (uint32_t)total;
}

void codes_fill(struct codes *codes, const double *split)
{
	size_t end = codes->edges, apart = 1;

	for (uint32_t k = codes->levels; k-- > 0; apart *= CODES_RUNG) {
		for (size_t i = 0; codes->level[k] + i < end; i++) {
			size_t of = (i + 1) * apart - 1;
			codes->edge[codes->level[k] + i] = of < codes->count ? split[of] : INFINITY;
		}
		end = codes->level[k];
	}
}
