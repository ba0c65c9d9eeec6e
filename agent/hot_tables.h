/* Bit tables (common/forest_bits) of the models that score most, within a limit of memory. Scores
 * are the same to the bit with tables or without. One thread. */
#ifndef ISOLDE_AGENT_HOT_TABLES_H
#define ISOLDE_AGENT_HOT_TABLES_H

#include "common/forest_bits.h"
#include "common/model.h"

enum { HOT_TABLES_REVIEW = 8192 }; /* scores between two looks at who has tables and who should */

struct hot_tables;

/* bytes_max 0: nobody has any. */
enum status hot_tables_create(size_t bytes_max, struct hot_tables **out) MUST_USE;
void hot_tables_destroy(struct hot_tables *hot); /* NULL is fine */

/* What to score a reading with, and counts it: the model's tables, NULL: it has none. Borrowed
 * until the next call. A model gets tables with its first reading if there is room; else at a
 * review, where it scored more than twice as much lately as one that has them. */
const struct forest_bits *hot_tables_for(struct hot_tables *hot, const struct model *model);

/* Memory of all tables, and how many models have them. */
size_t hot_tables_bytes(const struct hot_tables *hot, size_t *models);

#endif
