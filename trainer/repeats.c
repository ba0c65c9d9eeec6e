#include "trainer/repeats.h"
#include <stdlib.h>
#include <string.h>

enum { PLACES_BITS = 16, PLACES = 1 << PLACES_BITS }; /* half full at most */

struct entry {
	uint64_t key;
	uint64_t count; /* 0: the place is free */
};

struct repeats {
	struct entry *table, *spare; /* [PLACES] */
	size_t keys;
	unsigned level; /* so many last bits of a key that is kept are zero */
};

enum status repeats_create(struct repeats **out, struct why *why)
{
	struct repeats *r = calloc(1, sizeof(*r));

	if (r) {
		r->table = calloc(PLACES, sizeof(*r->table));
		r->spare = malloc(PLACES * sizeof(*r->spare));
	}
	if (!r || !r->table || !r->spare) {
		repeats_destroy(r);
		return fail(why, STATUS_NO_MEMORY, "no memory to count repeated rows");
	}
	*out = r;
	return STATUS_OK;
}

static struct entry *find(struct entry *table, uint64_t key)
{
	size_t at = (size_t)(key >> (64 - PLACES_BITS));

	while (table[at].count > 0 && table[at].key != key)
		at = (at + 1) % PLACES;
	return &table[at];
}

/* One bit more has to be zero: half of the keys go. */
static void thin_out(struct repeats *r)
{
	struct entry *from = r->table;

	r->table = r->spare;
	r->spare = from;
	memset(r->table, 0, PLACES * sizeof(*r->table));
	r->level++;
	r->keys = 0;
	for (size_t i = 0; i < PLACES; i++) {
		if (from[i].count > 0 && (from[i].key >> (r->level - 1) & 1) == 0) {
			*find(r->table, from[i].key) = from[i];
			r->keys++;
		}
	}
}

void repeats_add(struct repeats *r, uint64_t key)
{
	if ((key & ((UINT64_C(1) << r->level) - 1)) != 0)
		return;
	struct entry *entry = find(r->table, key);
	r->keys += entry->count == 0;
	entry->key = key;
	entry->count++;
	while (r->keys > REPEATS_KEYS_MAX)
		thin_out(r);
}

size_t repeats_count(const struct repeats *r)
{
	uint64_t repeated = 0;

	for (size_t i = 0; i < PLACES; i++)
		repeated += r->table[i].count > 0 ? r->table[i].count - 1 : 0;
	return (size_t)(repeated << r->level);
}

void repeats_destroy(struct repeats *r)
{
	if (!r)
		return;
	free(r->table);
	free(r->spare);
	free(r);
}
