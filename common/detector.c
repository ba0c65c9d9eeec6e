#include "common/detector.h"
#include <math.h>
#include <string.h>

const char *detector_name(enum detector_kind kind)
{
	switch (kind) {
	case DETECTOR_FOREST:
		return "forest";
	case DETECTOR_FUSED:
		return "fused";
	}
	return "unknown";
}

bool detector_parse(const char *name, enum detector_kind *out)
{
	static const enum detector_kind kinds[] = { DETECTOR_FOREST, DETECTOR_FUSED };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(name, detector_name(kinds[i])) == 0) {
			*out = kinds[i];
			return true;
		}
	}
	return false;
}

size_t detector_trees(const struct detector *detector)
{
	return detector->kind == DETECTOR_FUSED ? detector->fused->trees
						: forest_columns(detector->forest)->trees;
}

void detector_tabulate(struct detector *detector, size_t bytes_max)
{
	if (detector->forest)
		(void)forest_tabulate(detector->forest, bytes_max);
}

void detector_slim(struct detector *detector)
{
	if (detector->forest)
		forest_slim(detector->forest);
}

struct forest_bits *detector_tables(const struct detector *detector, size_t bytes_max)
{
	return detector->forest ? forest_tables(detector->forest, bytes_max) : NULL;
}

static bool complete(const struct detector *detector, const double *x)
{
	for (size_t i = 0; i < detector->features; i++) {
		if (isnan(x[i]))
			return false;
	}
	return true;
}

double detector_score_by(
	const struct detector *detector, const struct forest_bits *tables, const double *x)
{
	if (!tables || !complete(detector, x))
		return detector_score(detector, x);
	return forest_score_by(detector->forest, tables, x);
}

double detector_score(const struct detector *detector, const double *x)
{
	if (!complete(detector, x))
		return NAN;
	return detector->kind == DETECTOR_FUSED ? fused_score(detector->fused, x)
						: forest_score(detector->forest, x);
}

void detector_explain(const struct detector *detector, const double *x, double score, double *out)
{
	double changed[FEATURES_MAX];

	memcpy(changed, x, detector->features * sizeof(*x));
	for (size_t i = 0; i < detector->features; i++) {
		changed[i] = detector->stats[i].median;
		double less = score - detector_score(detector, changed);
		out[i] = less > 0 ? less : 0;
		changed[i] = x[i];
	}
}

static double distance(const struct detector *detector, const double *x, size_t i)
{
	const struct feature_stats *s = &detector->stats[i];
	return s->sd > 0 ? fabs(x[i] - s->mean) / s->sd : 0;
}

size_t detector_first(const struct detector *detector, const double *x, const double *contribution)
{
	size_t first = 0, farthest = 0;

	for (size_t i = 1; i < detector->features; i++) {
		if (contribution[i] > contribution[first])
			first = i;
		if (distance(detector, x, i) > distance(detector, x, farthest))
			farthest = i;
	}
	return contribution[first] > 0 ? first : farthest;
}

void detector_leading(const struct detector *detector, const double *x, const double *contribution,
	double score, double threshold, size_t leading[2])
{
	size_t first = detector_first(detector, x, contribution), second = detector->features;
	double z[FEATURES_MAX] = { 0 };
	const double *by = contribution;

	if (detector->kind == DETECTOR_FUSED && score - contribution[first] > threshold) {
		for (size_t i = 0; i < detector->features; i++)
			z[i] = distance(detector, x, i);
		by = z;
		first = detector_first(detector, x, z);
	}
	for (size_t i = 0; i < detector->features; i++) {
		if (i != first && by[i] > 0 && (second == detector->features || by[i] > by[second]))
			second = i;
	}
	leading[0] = first;
	leading[1] = second;
}

void detector_finish(struct detector *detector)
{
	forest_destroy(detector->forest);
	fused_destroy(detector->fused);
	memset(detector, 0, sizeof(*detector));
}
