#include "agent/model_slot.h"
#include "common/failpoint.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* A model and those who hold it. Old ones stay in the list until the last holder lets go. */
struct entry {
	struct model *model;
	size_t holders;
	struct entry *older;
};

struct model_slot {
	pthread_mutex_t loading; /* one load at a time, so that the last file read wins */
	pthread_mutex_t lock;    /* the rest; never held while a file is read or a model freed */
	struct entry *newest;    /* in force; NULL: none yet */
	struct why trouble;
	size_t table_bytes;
};

enum status model_slot_create(struct model_slot **out)
{
	struct model_slot *slot = calloc(1, sizeof(*slot));
	if (!slot)
		return STATUS_NO_MEMORY;
	if (pthread_mutex_init(&slot->loading, NULL) != 0) {
		free(slot);
		return STATUS_NO_MEMORY;
	}
	if (pthread_mutex_init(&slot->lock, NULL) != 0) {
		pthread_mutex_destroy(&slot->loading);
		free(slot);
		return STATUS_NO_MEMORY;
	}
	slot->table_bytes = FOREST_TABLE_BYTES;
	*out = slot;
	return STATUS_OK;
}

static void destroy_entry(struct entry *entry)
{
	if (!entry)
		return;
	model_destroy(entry->model);
	free(entry);
}

void model_slot_limit_tables(struct model_slot *slot, size_t bytes)
{
	slot->table_bytes = bytes;
}

void model_slot_destroy(struct model_slot *slot)
{
	if (!slot)
		return;
	while (slot->newest) {
		struct entry *entry = slot->newest;
		slot->newest = entry->older;
		destroy_entry(entry);
	}
	pthread_mutex_destroy(&slot->lock);
	pthread_mutex_destroy(&slot->loading);
	free(slot);
}

const struct model *model_slot_hold(struct model_slot *slot, const char *machine)
{
	const struct model *model = NULL;

	(void)machine; /* one model for all of them so far */
	pthread_mutex_lock(&slot->lock);
	if (slot->newest) {
		slot->newest->holders++;
		model = slot->newest->model;
	}
	pthread_mutex_unlock(&slot->lock);
	return model;
}

/* Takes an entry that nobody holds out of the list, if it is not in force; NULL if it stays. */
static struct entry *unlink_if_idle(struct model_slot *slot, struct entry **link)
{
	struct entry *entry = *link;

	if (entry->holders > 0 || entry == slot->newest)
		return NULL;
	*link = entry->older;
	return entry;
}

void model_slot_release(struct model_slot *slot, const struct model *model)
{
	struct entry *idle = NULL;

	pthread_mutex_lock(&slot->lock);
	for (struct entry **link = &slot->newest; *link; link = &(*link)->older)
		if ((*link)->model == model) {
			(*link)->holders--;
			idle = unlink_if_idle(slot, link);
			break;
		}
	pthread_mutex_unlock(&slot->lock);
	destroy_entry(idle);
}

static void put_in_force(struct model_slot *slot, struct entry *entry)
{
	struct entry *idle = NULL;

	pthread_mutex_lock(&slot->lock);
	entry->older = slot->newest;
	slot->newest = entry;
	if (entry->older)
		idle = unlink_if_idle(slot, &entry->older);
	slot->trouble.text[0] = '\0';
	pthread_mutex_unlock(&slot->lock);
	destroy_entry(idle);
}

static void remember_trouble(struct model_slot *slot, const struct why *why)
{
	pthread_mutex_lock(&slot->lock);
	slot->trouble = *why;
	pthread_mutex_unlock(&slot->lock);
}

static enum status load_entry(
	const char *path, size_t table_bytes, struct entry **out, struct why *why)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return fail(why, STATUS_NO_MEMORY, "%s: out of memory", path);

	enum status st = model_load(path, &entry->model, why);
	if (st) {
		free(entry);
		return st;
	}
	detector_tabulate(&entry->model->detector, table_bytes);
	*out = entry;
	return STATUS_OK;
}

enum status model_slot_load(struct model_slot *slot, const char *path, struct why *why)
{
	struct why trouble = { "" };
	struct entry *entry = NULL;

	pthread_mutex_lock(&slot->loading);
	enum status st = load_entry(path, slot->table_bytes, &entry, &trouble);
	FAILPOINT(during_model_swap);
	if (st)
		remember_trouble(slot, &trouble);
	else
		put_in_force(slot, entry);
	pthread_mutex_unlock(&slot->loading);
	if (st && why)
		*why = trouble;
	return st;
}

void model_slot_trouble(struct model_slot *slot, char *out, size_t size)
{
	pthread_mutex_lock(&slot->lock);
	snprintf(out, size, "%s", slot->trouble.text);
	pthread_mutex_unlock(&slot->lock);
}
