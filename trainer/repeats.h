/* How many of many keys had been there before, in bounded memory: exact up to REPEATS_KEYS_MAX
 * different ones; of more, those whose last bits are zero are kept with their counts and stand for
 * the rest, ever fewer bits' worth. An estimate of a share p is then off by a standard error of
 * about sqrt(p / 16,000).
 * Source: Gibbons, "Distinct sampling for highly-accurate answers to distinct values queries",
 * VLDB 2001. */
#ifndef ISOLDE_TRAINER_REPEATS_H
#define ISOLDE_TRAINER_REPEATS_H

#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum { REPEATS_KEYS_MAX = 32768 };

struct repeats;

/* 2 MB. STATUS_NO_MEMORY. */
enum status repeats_create(struct repeats **out, struct why *why) MUST_USE;

/* The key is a digest: all its bits are as good as random. */
void repeats_add(struct repeats *repeats, uint64_t key);

/* How many keys were equal to an earlier one. */
size_t repeats_count(const struct repeats *repeats);

void repeats_destroy(struct repeats *repeats); /* NULL is fine */

#endif
