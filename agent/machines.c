#include "agent/machines.h"
#include "common/hash.h"
#include <stdlib.h>
#include <string.h>

struct entry {
	struct machine machine; /* first: a machine's address is its entry's */
	UT_hash_handle hh;
};

struct machines {
	struct store *store;
	size_t max;
	struct entry *table;
};

enum status machines_create(struct store *store, size_t max, struct machines **out, struct why *why)
{
	struct machines *machines = calloc(1, sizeof(*machines));

	if (!machines)
		return fail(why, STATUS_NO_MEMORY, "no memory for machines");
	machines->store = store;
	machines->max = max;
	*out = machines;
	return STATUS_OK;
}

void machines_destroy(struct machines *machines)
{
	struct entry *entry, *next;

	if (!machines)
		return;
	HASH_ITER(hh, machines->table, entry, next)
	{
		HASH_DEL(machines->table, entry);
		free(entry->machine.watch.drift);
		free(entry);
	}
	free(machines);
}

static enum status add(
	struct machines *machines, const char *name, struct machine **out, struct why *why)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return fail(why, STATUS_FULL, "no memory for machine %s", name);
	strcpy(entry->machine.name, name);
	HASH_ADD_STR(machines->table, machine.name, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return fail(why, STATUS_FULL, "no memory for machine %s", name);
	}
	*out = &entry->machine;
	/* The machine is there even if the store can't say when it was last heard of. */
	entry->machine.newest_ms = entry->machine.newest_seq = -1;
	entry->machine.watch.pace.at_ms = -1;
	return store_newest(machines->store, name, &entry->machine.newest_ms, why);
}

enum status machines_find(
	struct machines *machines, const char *name, struct machine **out, struct why *why)
{
	struct entry *entry;

	HASH_FIND_STR(machines->table, name, entry);
	if (entry) {
		*out = &entry->machine;
		return STATUS_OK;
	}
	if (machines_count(machines) >= machines->max)
		return fail(
			why, STATUS_FULL, "machine %s is one more than %zu", name, machines->max);
	return add(machines, name, out, why);
}

struct machine *machines_peek(struct machines *machines, const char *name)
{
	struct entry *entry;

	HASH_FIND_STR(machines->table, name, entry);
	return entry ? &entry->machine : NULL;
}

void machines_remove(struct machines *machines, struct machine *machine)
{
	struct entry *entry = (struct entry *)machine;

	HASH_DEL(machines->table, entry);
	free(entry->machine.watch.drift);
	free(entry);
}

size_t machines_count(const struct machines *machines)
{
	return HASH_COUNT(machines->table);
}

struct machine *machines_first(struct machines *machines)
{
	return machines->table ? &machines->table->machine : NULL;
}

struct machine *machines_next(struct machine *machine)
{
	struct entry *next = ((struct entry *)machine)->hh.next;
	return next ? &next->machine : NULL;
}
