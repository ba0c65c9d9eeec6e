/* A model file told to a person. */
#ifndef ISOLDE_TRAINER_SHOW_H
#define ISOLDE_TRAINER_SHOW_H

#include "common/model.h"
#include <stdio.h>

/* Of how many rows the threshold was taken, and what that may make of it; nothing if of all. */
void show_sample(const struct model *model, FILE *out);

/* How many of the healthy readings it is expected to flag, and how sure that is; nothing if that is
 * not known. */
void show_rate(const struct model *model, FILE *out);

/* How often it is expected to cry; nothing if that is not known. */
void show_promise(const struct model *model, FILE *out);

void show_print(const struct model *model, const char *path, FILE *out);

/* What else feeds the alarm, to stand behind its levels; "" where nothing does. */
const char *show_drift(const struct model *model);

#endif
