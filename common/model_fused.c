/* The fused detector in the model file: its columns, each a list of numbers. */
#include "common/model_internal.h"
#include "common/number.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum column {
	ROOT,
	A,
	B,
	WEIGHT_A,
	WEIGHT_B,
	CUT,
	RANGE,
	LEFT,
	ROWS,
	PROTOTYPES,
	WHITENING,
	TAIL_SCORE,
	TAIL_NATS,
	TAIL_EXCESS,
	COLUMNS
};

static const struct {
	const char *name;
	size_t max;
	double low, high;
} columns[COLUMNS] = {
	[ROOT] = { "root", FUSED_TREES_MAX, 0, FUSED_NODES_MAX },
	[A] = { "a", FUSED_NODES_MAX, 0, FEATURES_MAX - 1 },
	[B] = { "b", FUSED_NODES_MAX, 0, FEATURES_MAX - 1 },
	[WEIGHT_A] = { "weight_a", FUSED_NODES_MAX, -INFINITY, INFINITY },
	[WEIGHT_B] = { "weight_b", FUSED_NODES_MAX, -INFINITY, INFINITY },
	[CUT] = { "cut", FUSED_NODES_MAX, -INFINITY, INFINITY },
	[RANGE] = { "range", FUSED_NODES_MAX, 0, INFINITY },
	[LEFT] = { "left", FUSED_NODES_MAX, 0, FUSED_NODES_MAX },
	[ROWS] = { "rows", FUSED_NODES_MAX, 1, FOREST_SAMPLE_MAX },
	[PROTOTYPES] = { "prototypes", FUSED_PROTOTYPES_MAX *FEATURES_MAX, -INFINITY, INFINITY },
	[WHITENING] = { "whitening", FEATURES_MAX *(FEATURES_MAX + 1) / 2, -INFINITY, INFINITY },
	[TAIL_SCORE] = { "tail_score", FUSED_MEMBERS *FUSED_KNOTS, -INFINITY, INFINITY },
	[TAIL_NATS] = { "tail_nats", FUSED_MEMBERS *FUSED_KNOTS, 0, INFINITY },
	[TAIL_EXCESS] = { "tail_excess", FUSED_MEMBERS, 0, INFINITY },
};

static enum status check_lengths(const struct load *l, const size_t *n)
{
	size_t features = l->model->schema.count, wrong = COLUMNS;

	for (size_t c = B; c <= ROWS; c++)
		wrong = n[c] != n[A] ? c : wrong;
	if (n[PROTOTYPES] % features != 0)
		wrong = PROTOTYPES;
	if (n[WHITENING] != features * (features + 1) / 2)
		wrong = WHITENING;
	for (size_t c = TAIL_SCORE; c <= TAIL_EXCESS; c++)
		wrong = n[c] != columns[c].max ? c : wrong;
	if (wrong == COLUMNS)
		return STATUS_OK;
	return fail(l->why, STATUS_BAD_INPUT, "%s: fused: \"%s\" has %zu numbers, which do not fit",
		l->path, columns[wrong].name, n[wrong]);
}

static void fill(const struct load *l, struct fused *f, double *const *x, const size_t *n)
{
	for (size_t i = 0; i < f->features; i++) {
		f->mean[i] = l->model->detector.stats[i].mean;
		f->sd[i] = l->model->detector.stats[i].sd;
	}
	for (size_t i = 0; i < f->trees; i++)
		f->root[i] = (uint32_t)x[ROOT][i];
	for (size_t i = 0; i < f->nodes; i++) {
		/* In the file a leaf's child is 0. */
		uint32_t left = x[LEFT][i] > 0 ? (uint32_t)x[LEFT][i] : (uint32_t)i;
		f->node[i] = (struct fused_node){ (float)x[WEIGHT_A][i], (float)x[WEIGHT_B][i],
			(float)x[CUT][i], (float)x[RANGE][i], left, (uint16_t)x[A][i],
			(uint16_t)x[B][i] };
		f->rows[i] = (uint32_t)x[ROWS][i];
	}
	for (size_t i = 0; i < n[PROTOTYPES]; i++)
		f->prototype[i] = (float)x[PROTOTYPES][i];
	for (size_t i = 0; i < n[WHITENING]; i++)
		f->whitening[i] = x[WHITENING][i];
	for (size_t i = 0; i < FUSED_MEMBERS * FUSED_KNOTS; i++) {
		f->tail[i / FUSED_KNOTS].score[i % FUSED_KNOTS] = x[TAIL_SCORE][i];
		f->tail[i / FUSED_KNOTS].nats[i % FUSED_KNOTS] = x[TAIL_NATS][i];
	}
	for (size_t i = 0; i < FUSED_MEMBERS; i++)
		f->tail[i].excess = x[TAIL_EXCESS][i];
}

static enum status create(
	const struct load *l, size_t sample_size, double *const *x, const size_t *n)
{
	struct fused *f = fused_create(
		l->model->schema.count, n[ROOT], n[A], n[PROTOTYPES] / l->model->schema.count);
	struct why reason;

	if (!f)
		return fail(l->why, STATUS_NO_MEMORY, "%s: no memory for %zu nodes", l->path, n[A]);
	l->model->detector.fused = f; /* whose it is from here on */
	f->sample_size = sample_size;
	fill(l, f, x, n);
	enum status st = fused_check(f, &reason);
	if (st == STATUS_OK)
		st = fused_check_tails(f, &reason);
	return st == STATUS_OK ? st : fail(l->why, st, "%s: %s", l->path, reason.text);
}

enum status model_load_fused(const struct load *l, const cJSON *root)
{
	const cJSON *object = cJSON_GetObjectItemCaseSensitive(root, "fused");
	double *x[COLUMNS] = { NULL };
	size_t n[COLUMNS] = { 0 };
	uint64_t sample_size;

	if (!cJSON_IsObject(object))
		return fail(l->why, STATUS_BAD_INPUT, "%s: \"fused\" is not an object", l->path);
	enum status st = model_get_count(
		l, object, "fused: ", "sample_size", 2, FOREST_SAMPLE_MAX, &sample_size);
	for (size_t c = 0; st == STATUS_OK && c < COLUMNS; c++)
		st = model_load_column(l, object, "fused: ", columns[c].name, columns[c].max,
			columns[c].low, columns[c].high, &x[c], &n[c]);
	if (st == STATUS_OK)
		st = check_lengths(l, n);
	if (st == STATUS_OK)
		st = create(l, (size_t)sample_size, x, n);
	for (size_t c = 0; c < COLUMNS; c++)
		free(x[c]);
	return st;
}

static double number_at(const struct fused *f, enum column c, size_t i)
{
	const struct fused_node *node = &f->node[i];
	bool leaf = c >= A && c <= ROWS && node->left == i;

	switch (c) {
	case ROOT:
		return f->root[i];
	case A:
		return node->a;
	case B:
		return node->b;
	case WEIGHT_A:
		return (double)node->weight_a;
	case WEIGHT_B:
		return (double)node->weight_b;
	case CUT:
		return leaf ? 0 : (double)node->cut;
	case RANGE:
		return leaf ? 0 : (double)node->range;
	case LEFT:
		return leaf ? 0 : node->left;
	case ROWS:
		return f->rows[i];
	case PROTOTYPES:
		return (double)f->prototype[i];
	case WHITENING:
		return f->whitening[i];
	case TAIL_SCORE:
		return f->tail[i / FUSED_KNOTS].score[i % FUSED_KNOTS];
	case TAIL_NATS:
		return f->tail[i / FUSED_KNOTS].nats[i % FUSED_KNOTS];
	default:
		return f->tail[i].excess;
	}
}

void model_put_fused(FILE *out, const struct fused *f)
{
	char text[NUMBER_TEXT_SIZE];

	fprintf(out, ",\n\"fused\":{\"sample_size\":%zu", f->sample_size);
	for (size_t c = 0; c < COLUMNS; c++) {
		size_t n = c == ROOT      ? f->trees
			: c <= ROWS       ? f->nodes
			: c == PROTOTYPES ? f->prototypes * f->features
			: c == WHITENING  ? f->features * (f->features + 1) / 2
					  : columns[c].max;
		fprintf(out, ",\n\"%s\":[", columns[c].name);
		for (size_t i = 0; i < n; i++) {
			number_format(number_at(f, (enum column)c, i), text);
			fprintf(out, "%s%s", i ? "," : "", text);
		}
		fputs("]", out);
	}
	fputs("}", out);
}
