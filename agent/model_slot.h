/* The model in force. A swap is seen by the next hold; the old model is freed when its last
 * holder lets go. Pointer and count are taken under one lock: loading the pointer first and
 * counting afterwards would be a use-after-free waiting for a reload. Any thread. */
#ifndef ISOLDE_AGENT_MODEL_SLOT_H
#define ISOLDE_AGENT_MODEL_SLOT_H

#include "common/model.h"

struct model_slot;

enum status model_slot_create(struct model_slot **out) MUST_USE; /* empty */
void model_slot_destroy(struct model_slot *slot);                /* nobody may hold; NULL is fine */

/* What a model's bit tables may take (forest_tabulate), FOREST_TABLE_BYTES if nothing is said; 0:
 * none are made. Before the first load. */
void model_slot_limit_tables(struct model_slot *slot, size_t bytes);

/* The model for `machine` (one answer for all of them so far); NULL if there is none. Release
 * what is not NULL. */
const struct model *model_slot_hold(struct model_slot *slot, const char *machine);
void model_slot_release(struct model_slot *slot, const struct model *model);

/* Loads `path` and puts it in force; on failure the old one stays. */
enum status model_slot_load(struct model_slot *slot, const char *path, struct why *why) MUST_USE;

/* Why the last load failed, "" if it did not. */
void model_slot_trouble(struct model_slot *slot, char *out, size_t size);

#endif
