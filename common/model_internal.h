/* What model.c and model_save.c share; nobody else includes it. */
#ifndef ISOLDE_COMMON_MODEL_INTERNAL_H
#define ISOLDE_COMMON_MODEL_INTERNAL_H

#include "common/model.h"

/* The file's first and last words: its format, and the seal around the digest of all before. */
extern const char model_format_name[], model_seal_start[], model_seal_end[];

/* id and digest from the file's text. */
enum status model_set_id(
	struct model *model, const char *text, size_t len, struct why *why) MUST_USE;

#endif
