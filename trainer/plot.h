/* A picture of an evaluation, as one SVG file: the scores over time (or row by row, without times)
 * with the threshold and the labelled spans, the ROC curve and the precision-recall curve. Colours
 * and words are those of the live page. Needs nothing to be looked at but a browser. */
#ifndef ISOLDE_TRAINER_PLOT_H
#define ISOLDE_TRAINER_PLOT_H

#include "common/csvfile.h"
#include "common/status.h"
#include "trainer/evaluate.h"

struct plot {
	const char *title;         /* what was evaluated, by which model */
	const struct csvfile *csv; /* with labels */
	const double *score;       /* [csv->rows]; NaN: not scored */
	const struct figures *figures;
};

/* Written beside, and renamed. STATUS_CANT_CREATE, STATUS_IO, STATUS_NO_MEMORY. */
enum status plot_write(const struct plot *plot, const char *path, struct why *why) MUST_USE;

#endif
