#include "agent/hot_tables.h"
#include "common/hash.h"
#include <stdlib.h>
#include <string.h>

struct entry {
	char id[MODEL_ID_SIZE];
	uint32_t scores; /* lately: halved at every review */
	bool refused;    /* there was no room; it may ask again after a review */
	bool never;      /* of a kind without tables, or they are too large for the limit */
	size_t needs;    /* bytes, 0: not known yet */
	struct forest_bits *tables;
	UT_hash_handle hh;
};

struct hot_tables {
	size_t bytes_max, bytes;
	unsigned until_review;
	struct entry *table;
	struct entry *last; /* asked for; NULL: none */
};

enum status hot_tables_create(size_t bytes_max, struct hot_tables **out)
{
	struct hot_tables *hot = calloc(1, sizeof(*hot));

	if (!hot)
		return STATUS_NO_MEMORY;
	hot->bytes_max = bytes_max;
	hot->until_review = HOT_TABLES_REVIEW;
	*out = hot;
	return STATUS_OK;
}

static void drop_tables(struct hot_tables *hot, struct entry *entry)
{
	if (entry->tables)
		hot->bytes -= entry->needs;
	forest_bits_destroy(entry->tables);
	entry->tables = NULL;
}

static void forget(struct hot_tables *hot, struct entry *entry)
{
	drop_tables(hot, entry);
	HASH_DEL(hot->table, entry);
	if (hot->last == entry)
		hot->last = NULL;
	free(entry);
}

void hot_tables_destroy(struct hot_tables *hot)
{
	struct entry *entry, *next;

	if (!hot)
		return;
	HASH_ITER(hh, hot->table, entry, next)
	{
		forget(hot, entry);
	}
	free(hot);
}

static struct entry *find(struct hot_tables *hot, const struct model *model)
{
	struct entry *entry = hot->last;

	if (entry && strcmp(entry->id, model->id) == 0)
		return entry;
	HASH_FIND_STR(hot->table, model->id, entry);
	if (entry)
		return hot->last = entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	memcpy(entry->id, model->id, sizeof(entry->id));
	HASH_ADD_STR(hot->table, id, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return NULL;
	}
	return hot->last = entry;
}

/* What its tables take, or as long as nobody knows, what the smallest take that are there: a model
 * that speaks seldom is not tabulated in vain each time. */
static size_t needs_of(const struct hot_tables *hot, const struct entry *entry)
{
	size_t least = entry->needs;

	if (least > 0)
		return least;
	for (struct entry *one = hot->table; one; one = one->hh.next)
		if (one->tables && (least == 0 || one->needs < least))
			least = one->needs;
	return least;
}

/* Deserves its tables less than `entry` does. */
static bool is_colder(const struct entry *one, const struct entry *entry)
{
	return one->tables && one->scores < entry->scores / 2;
}

/* Who scored least lately of those with tables, and less than half of what `entry` did; NULL:
 * nobody. */
static struct entry *colder_than(const struct hot_tables *hot, const struct entry *entry)
{
	struct entry *cold = NULL;

	for (struct entry *one = hot->table; one; one = one->hh.next)
		if (is_colder(one, entry) && (!cold || one->scores < cold->scores))
			cold = one;
	return cold;
}

static bool may_have_room(const struct hot_tables *hot, const struct entry *entry)
{
	size_t room = hot->bytes_max - hot->bytes, needs = needs_of(hot, entry);

	for (struct entry *one = hot->table; one && room < needs; one = one->hh.next)
		if (is_colder(one, entry))
			room += one->needs;
	return room >= needs;
}

/* Gives the model tables, if there is room or others deserve theirs less. */
static void make_tables(struct hot_tables *hot, struct entry *entry, const struct model *model)
{
	if (!may_have_room(hot, entry)) {
		entry->refused = true;
		return;
	}
	struct forest_bits *tables = detector_tables(&model->detector, hot->bytes_max);
	if (!tables) {
		entry->never = true;
		return;
	}
	entry->needs = forest_bits_bytes(tables);
	if (!may_have_room(hot, entry)) { /* now that it is known */
		forest_bits_destroy(tables);
		entry->refused = true;
		return;
	}
	while (hot->bytes_max - hot->bytes < entry->needs)
		drop_tables(hot, colder_than(hot, entry));
	entry->tables = tables;
	hot->bytes += entry->needs;
}

/* Halves what was counted; a model that scored nothing for long is none of ours any more. Those
 * without tables may ask again. */
static void review(struct hot_tables *hot)
{
	struct entry *entry, *next;

	hot->until_review = HOT_TABLES_REVIEW;
	HASH_ITER(hh, hot->table, entry, next)
	{
		entry->scores /= 2;
		entry->refused = false;
		if (entry->scores == 0)
			forget(hot, entry);
	}
}

const struct forest_bits *hot_tables_for(struct hot_tables *hot, const struct model *model)
{
	if (hot->bytes_max == 0)
		return NULL;
	struct entry *entry = find(hot, model);
	if (!entry)
		return NULL;
	entry->scores++;
	if (!entry->tables && !entry->refused && !entry->never)
		make_tables(hot, entry, model);
	if (--hot->until_review == 0) {
		review(hot);
		entry = find(hot, model);
	}
	return entry ? entry->tables : NULL;
}

size_t hot_tables_bytes(const struct hot_tables *hot, size_t *models)
{
	*models = 0;
	for (struct entry *entry = hot->table; entry; entry = entry->hh.next)
		*models += entry->tables != NULL;
	return hot->bytes;
}
