/* Makes what a history's writer committed safe against a power cut, from a thread of its own: the
 * writer goes on meanwhile, and what several commits wrote is synced at once. With
 * DURABILITY_LATER a commit writes the WAL and does not wait for the disk; what began before
 * store_sync_now, and ended, is on the disk when it returns STATUS_OK. That is what SQLite's
 * synchronous=FULL does inside the commit (https://sqlite.org/wal.html#durability); everything else
 * is synced as with synchronous=NORMAL, which keeps the file whole whenever the power goes. */
#ifndef ISOLDE_COMMON_STORE_SYNC_H
#define ISOLDE_COMMON_STORE_SYNC_H

#include "common/status.h"

struct store_sync;

/* `path` of the history, copied; nothing is opened yet. */
enum status store_sync_create(const char *path, struct store_sync **out, struct why *why) MUST_USE;
void store_sync_destroy(struct store_sync *sync); /* NULL is fine */

/* One thread at a time. STATUS_IO: nothing that was committed since the last success is known to be
 * on the disk, and because the kernel tells of a page that it could not write only once, a second
 * call proves nothing: store_sync_rescue does. */
enum status store_sync_now(struct store_sync *sync, struct why *why) MUST_USE;

/* After a failure: moves the whole WAL into the file and syncs that, beside the writer. */
enum status store_sync_rescue(struct store_sync *sync, struct why *why) MUST_USE;

#endif
