#include "common/store_sync.h"
#include "common/store_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct store_sync {
	char *path; /* of the history */
	char *wal;
	int fd; /* of the WAL, -1: not open */
	dev_t device;
	ino_t inode;
};

enum status store_sync_create(const char *path, struct store_sync **out, struct why *why)
{
	static const char suffix[] = "-wal";
	struct store_sync *sync = calloc(1, sizeof(*sync));

	if (sync) {
		sync->fd = -1;
		sync->path = strdup(path);
		sync->wal = malloc(strlen(path) + sizeof(suffix));
	}
	if (!sync || !sync->path || !sync->wal) {
		store_sync_destroy(sync);
		return fail(why, STATUS_NO_MEMORY, "%s: no memory", path);
	}
	strcpy(sync->wal, path);
	strcat(sync->wal, suffix);
	*out = sync;
	return STATUS_OK;
}

void store_sync_destroy(struct store_sync *sync)
{
	if (!sync)
		return;
	if (sync->fd >= 0)
		close(sync->fd);
	free(sync->path);
	free(sync->wal);
	free(sync);
}

static enum status sync_file(struct store_sync *sync, struct why *why)
{
	if (sync->fd >= 0 && fdatasync(sync->fd) != 0)
		return fail(why, STATUS_IO, "%s: sync: %s", sync->wal, strerror(errno));
	return STATUS_OK;
}

/* What an error told, and what comes to its end with the file: done with. */
static void leave(struct store_sync *sync)
{
	if (sync->fd >= 0)
		close(sync->fd);
	sync->fd = -1;
}

/* The writer's WAL is another file after it was opened again. */
static enum status follow(struct store_sync *sync, struct why *why)
{
	struct stat now;

	if (stat(sync->wal, &now) != 0) {
		if (errno != ENOENT)
			return fail(why, STATUS_IO, "%s: %s", sync->wal, strerror(errno));
		now = (struct stat){ .st_ino = 0 }; /* all of it is in the file, and synced */
	}
	if (sync->fd >= 0 && now.st_dev == sync->device && now.st_ino == sync->inode)
		return STATUS_OK;
	enum status st = sync_file(sync, why); /* the one before, put aside perhaps */
	leave(sync);
	if (st != STATUS_OK || now.st_ino == 0)
		return st;
	sync->fd = open(sync->wal, O_RDONLY | O_CLOEXEC);
	if (sync->fd < 0 || fstat(sync->fd, &now) != 0) {
		st = fail(why, STATUS_IO, "%s: %s", sync->wal, strerror(errno));
		leave(sync);
		return st;
	}
	sync->device = now.st_dev;
	sync->inode = now.st_ino;
	return STATUS_OK;
}

enum status store_sync_now(struct store_sync *sync, struct why *why)
{
	enum status st = follow(sync, why);

	if (st == STATUS_OK)
		st = sync_file(sync, why);
	return st;
}

enum status store_sync_rescue(struct store_sync *sync, struct why *why)
{
	struct store *store;
	enum status st = store_open(sync->path, STORE_CHECKPOINT, &store, why);

	if (st != STATUS_OK)
		return st;
	/* FULL waits for the writer and for readers, as long as busy_timeout lets it. */
	int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
	if (rc != SQLITE_OK)
		st = store_fail(store, "moving the WAL into the file", why);
	store_close(store);
	return st;
}
