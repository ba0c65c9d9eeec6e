/* Which rows of a file of unknown length are kept, while it is read: at most a given number, in
 * blocks of a machine's rows that follow each other. Every block gets a random number when it
 * begins, and those with the smallest numbers stay: each set of blocks is as likely as any other of
 * its size. With blocks of one row that is a uniform sample of exactly so many rows.
 * Source: bottom-k sampling (Cohen and Kaplan, "Summarizing data using bottom-k sketches", PODC
 * 2007). Says where a row goes; the rows themselves are the caller's. Deterministic given the
 * seed. */
#ifndef ISOLDE_TRAINER_THIN_H
#define ISOLDE_TRAINER_THIN_H

#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THIN_NOWHERE SIZE_MAX

struct thin;

/* rows_max: 1 .. UINT32_MAX - 1 places; block: rows, at least 1. Memory: 28 bytes a place, 24 a
 * machine. */
enum status thin_create(
	size_t rows_max, size_t block, uint64_t seed, struct thin **out, struct why *why) MUST_USE;

/* The next row of the file is one of `machine`, 0 .. machines - 1. *place is 0 .. rows_max - 1, and
 * what was there is no longer wanted, or THIN_NOWHERE. A row that is not `wanted` counts in its
 * block and goes nowhere. The first rows_max places are given in order. STATUS_NO_MEMORY. */
enum status thin_next(
	struct thin *thin, size_t machine, bool wanted, size_t *place, struct why *why) MUST_USE;

/* How many places are taken. rank[rows_max]: of each place, in the file's order; those that are not
 * taken come last. STATUS_NO_MEMORY. */
enum status thin_rank(
	const struct thin *thin, uint32_t *rank, size_t *taken, struct why *why) MUST_USE;

void thin_destroy(struct thin *thin); /* NULL is fine */

#endif
