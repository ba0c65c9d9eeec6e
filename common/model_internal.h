/* What model.c and model_save.c share; nobody else includes it. */
#ifndef ISOLDE_COMMON_MODEL_INTERNAL_H
#define ISOLDE_COMMON_MODEL_INTERNAL_H

#include "common/model.h"
#include <stdio.h>

struct cJSON;

/* Where we are, for the sentence of a refusal. */
struct load {
	const char *path;
	struct model *model;
	struct why *why;
};

/* A whole number in low .. high, small enough to be exact. */
enum status model_get_count(const struct load *l, const struct cJSON *object, const char *place,
	const char *name, double low, double high, uint64_t *out) MUST_USE;

/* One column of numbers low .. high, whole ones unless `high` is infinite; the caller's to free.
 * `place`: what sentences call the object, "forest: ". */
enum status model_load_column(const struct load *l, const struct cJSON *object, const char *place,
	const char *name, size_t max, double low, double high, double **out,
	size_t *count) MUST_USE;

enum status model_load_fused(const struct load *l, const struct cJSON *root) MUST_USE;
void model_put_fused(FILE *out, const struct fused *fused);

/* The file's first and last words: its format, and the seal around the digest of all before. */
extern const char model_format_name[], model_seal_start[], model_seal_end[];

/* id and digest from the file's text. */
enum status model_set_id(
	struct model *model, const char *text, size_t len, struct why *why) MUST_USE;

#endif
