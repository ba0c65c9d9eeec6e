/* The models in force: the plant's, and those that single machines have of their own. A swap is
 * seen by the next hold; what it replaced is freed when its last holder lets go. Pointer and count
 * are taken under one lock: loading the pointer first and counting afterwards would be a
 * use-after-free waiting for a reload. Any thread. */
#ifndef ISOLDE_AGENT_MODEL_SLOT_H
#define ISOLDE_AGENT_MODEL_SLOT_H

#include "common/model.h"

enum { OWN_MODELS_MAX = 10000 }; /* as many as there may be machines */

struct own_models;

struct models {
	const struct model *usual;    /* the plant's; NULL: there is none, and no others */
	const struct own_models *own; /* NULL: every machine has the usual one */
};

/* The model of a machine; NULL if there is none at all. */
const struct model *models_for(const struct models *models, const char *machine);
/* How many machines have one of their own. */
size_t models_own(const struct models *models);

/* Where they lie. */
struct model_paths {
	const char *usual;    /* a file */
	const char *machines; /* a folder of <machine>.json; "" or NULL: there is none */
};

struct model_slot;

enum status model_slot_create(struct model_slot **out) MUST_USE; /* without a model */
void model_slot_destroy(struct model_slot *slot);                /* nobody may hold; NULL is fine */

/* Never NULL; to be released. */
const struct models *model_slot_hold(struct model_slot *slot);
void model_slot_release(struct model_slot *slot, const struct models *models);

/* Loads all of them and puts them in force, or none: on failure, which names the file, the old ones
 * stay. A machine's model has to have the features of the usual one, in its order. A file that did
 * not change, and one that several machines share, is kept once. */
enum status model_slot_load(
	struct model_slot *slot, const struct model_paths *paths, struct why *why) MUST_USE;

/* Why the last load failed, "" if it did not. */
void model_slot_trouble(struct model_slot *slot, char *out, size_t size);

#endif
