/* What train.c and train_fused.c share; nobody else includes it. */
#ifndef ISOLDE_COMMON_TRAIN_INTERNAL_H
#define ISOLDE_COMMON_TRAIN_INTERNAL_H

#include "common/train.h"

/* Fits model->detector.fused and sets threshold and score quantiles. The schema is set. */
enum status train_fused(struct model *model, const double *value, size_t rows,
	const struct train_options *options, struct why *why) MUST_USE;

#endif
