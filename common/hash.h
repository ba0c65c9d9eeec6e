/* uthash with what we ask of it: without memory HASH_ADD leaves hh.tbl NULL instead of ending the
 * program, and keys are hashed by one function rather than by a copy in every place. */
#ifndef ISOLDE_COMMON_HASH_H
#define ISOLDE_COMMON_HASH_H

#include <stddef.h>

/* FNV-1a (Fowler, Noll, Vo; RFC 9923), 32 bits. Not for keys that somebody chooses to collide where
 * their number is not limited. */
unsigned hash_bytes(const void *data, size_t len);

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, len, out) ((out) = hash_bytes((key), (len)))
#include <uthash.h>

#endif
