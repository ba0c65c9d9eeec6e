/* What is known of all rows of a file of which only some are kept: the figures of the report and
 * the statistics of the model, added up row by row in memory that does not grow with them. */
#ifndef ISOLDE_TRAINER_TALLY_H
#define ISOLDE_TRAINER_TALLY_H

#include "common/csvfile.h"
#include "common/detector.h"
#include "common/status.h"
#include "trainer/report.h"

struct tally;

/* Begins with the rows read so far, at least one: their means are what the sums are taken about,
 * and their median step decides from then on what is a gap. Memory: 2 MB and 12 bytes a feature and
 * machine. STATUS_NO_MEMORY. */
enum status tally_create(const struct csvfile *first, struct tally **out, struct why *why) MUST_USE;

/* The next row, of the same columns. STATUS_NO_MEMORY. */
enum status tally_add(struct tally *tally, const struct csvfile_row *row, struct why *why) MUST_USE;

/* Puts the figures of all rows in place of those of the rows kept, all but distinct values and the
 * median step. Repeated rows are an estimate (trainer/repeats). Mean, sd and lag 1 are
 * report_make's but for rounding. */
void tally_report(const struct tally *tally, struct report *report);

/* mean, sd and stuck_after of each feature over the complete rows, as train_model would measure
 * them; the rest of stats[] is left as it is. Returns how many complete rows there are, two at
 * least. */
size_t tally_stats(const struct tally *tally, struct feature_stats *stats);

void tally_destroy(struct tally *tally); /* NULL is fine */

#endif
