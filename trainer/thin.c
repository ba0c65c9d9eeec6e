#include "trainer/thin.h"
#include "common/number.h"
#include "common/rng.h"
#include <stdlib.h>
#include <string.h>

enum { NONE = UINT32_MAX };

/* A block that is kept: its rows are linked from `first` on. */
struct block {
	uint64_t number;
	uint32_t first;
};

/* The block a machine is in; its place in the list only while it is kept. */
struct machine {
	uint64_t rows, number;
	uint32_t last; /* NONE: none of it is kept so far */
};

struct thin {
	size_t rows_max, block_rows;
	struct rng rng;
	uint64_t bound; /* a block of this number or a larger one is out */
	uint64_t rows;  /* of the file, so far */
	uint64_t *row;  /* [rows_max] which of them is there; not_taken(place): none */
	uint32_t *next; /* [rows_max] of the same block, or of the places that are free */
	uint32_t free;
	struct block *heap; /* [rows_max] the largest number first */
	size_t blocks;
	struct machine *machine;
	size_t machines;
};

static uint64_t not_taken(size_t place)
{
	return UINT64_MAX - UINT32_MAX + place; /* after every row, and told from each other */
}

enum status thin_create(
	size_t rows_max, size_t block, uint64_t seed, struct thin **out, struct why *why)
{
	static const uint64_t other = UINT64_C(0x6a09e667f3bcc909); /* than the trees' */
	struct thin *t = calloc(1, sizeof(*t));

	if (t) {
		t->row = malloc(rows_max * sizeof(*t->row));
		t->next = malloc(rows_max * sizeof(*t->next));
		t->heap = malloc(rows_max * sizeof(*t->heap));
	}
	if (!t || !t->row || !t->next || !t->heap) {
		thin_destroy(t);
		return fail(why, STATUS_NO_MEMORY, "no memory to keep %zu rows", rows_max);
	}
	for (size_t i = 0; i < rows_max; i++) {
		t->row[i] = not_taken(i);
		t->next[i] = i + 1 < rows_max ? (uint32_t)(i + 1) : NONE;
	}
	rng_seed(&t->rng, seed ^ other);
	t->rows_max = rows_max;
	t->block_rows = block;
	t->bound = UINT64_MAX;
	*out = t;
	return STATUS_OK;
}

static void push(struct thin *t, struct block block)
{
	size_t at = t->blocks++;

	while (at > 0 && t->heap[(at - 1) / 2].number < block.number) {
		t->heap[at] = t->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	t->heap[at] = block;
}

static struct block pop(struct thin *t)
{
	struct block top = t->heap[0], last = t->heap[--t->blocks];
	size_t at = 0, child;

	while ((child = 2 * at + 1) < t->blocks) {
		if (child + 1 < t->blocks && t->heap[child + 1].number > t->heap[child].number)
			child++;
		if (t->heap[child].number <= last.number)
			break;
		t->heap[at] = t->heap[child];
		at = child;
	}
	t->heap[at] = last;
	return top;
}

/* The block of the largest number gives up its places. */
static void drop_block(struct thin *t)
{
	struct block out = pop(t);

	t->bound = out.number;
	for (uint32_t at = out.first, next; at != NONE; at = next) {
		next = t->next[at];
		t->row[at] = not_taken(at);
		t->next[at] = t->free;
		t->free = at;
	}
}

static bool make_machine(struct thin *t, size_t machine)
{
	if (machine < t->machines)
		return true;
	size_t machines = t->machines ? 2 * t->machines : 1;
	while (machines <= machine)
		machines *= 2;
	struct machine *larger = realloc(t->machine, machines * sizeof(*larger));
	if (!larger)
		return false;
	memset(larger + t->machines, 0, (machines - t->machines) * sizeof(*larger));
	t->machine = larger;
	t->machines = machines;
	return true;
}

static size_t take_place(struct thin *t, struct machine *m, uint64_t row)
{
	while (m->number < t->bound && t->free == NONE) {
		if (m->last == NONE && m->number >= t->heap[0].number)
			t->bound = m->number; /* not there yet, and the first to go */
		else
			drop_block(t);
	}
	if (m->number >= t->bound)
		return THIN_NOWHERE;
	uint32_t place = t->free;
	t->free = t->next[place];
	t->next[place] = NONE;
	t->row[place] = row;
	if (m->last == NONE)
		push(t, (struct block){ m->number, place });
	else
		t->next[m->last] = place;
	m->last = place;
	return place;
}

enum status thin_next(struct thin *t, size_t machine, bool wanted, size_t *place, struct why *why)
{
	if (!make_machine(t, machine))
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu machines", machine + 1);
	struct machine *m = &t->machine[machine];
	if (m->rows++ % t->block_rows == 0) {
		m->number = rng_next(&t->rng);
		m->last = NONE;
	}
	uint64_t row = t->rows++;
	*place = wanted ? take_place(t, m, row) : THIN_NOWHERE;
	return STATUS_OK;
}

static int ascending(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

enum status thin_rank(const struct thin *t, uint32_t *rank, size_t *taken, struct why *why)
{
	uint64_t *sorted = malloc(t->rows_max * sizeof(*sorted));

	if (!sorted)
		return fail(why, STATUS_NO_MEMORY, "no memory to order %zu rows", t->rows_max);
	memcpy(sorted, t->row, t->rows_max * sizeof(*sorted));
	number_sort_unsigned(sorted, t->rows_max);
	*taken = 0;
	for (size_t i = 0; i < t->rows_max; i++) {
		const uint64_t *at =
			bsearch(&t->row[i], sorted, t->rows_max, sizeof(*sorted), ascending);
		rank[i] = (uint32_t)(at - sorted);
		*taken += t->row[i] != not_taken(i);
	}
	free(sorted);
	return STATUS_OK;
}

void thin_destroy(struct thin *t)
{
	if (!t)
		return;
	free(t->row);
	free(t->next);
	free(t->heap);
	free(t->machine);
	free(t);
}
