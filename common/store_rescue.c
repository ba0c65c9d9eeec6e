/* A history that cannot be used as it is: damaged, on a disk that went away and came back, or on
 * one that can only be read. */
#include "common/store_internal.h"
#include "common/timeutil.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How long the start may look for damage; the rest shows when it is met. */
enum { CHECK_MS = 25, CHECK_STEPS = 1000 };

static int past_deadline(void *context)
{
	return time_monotonic_ns() > *(int64_t *)context;
}

enum status store_look_for_damage(struct store *store, struct why *why)
{
	int64_t deadline = time_monotonic_ns() + CHECK_MS * INT64_C(1000000);
	sqlite3_stmt *check = NULL;
	enum status st = STATUS_OK;

	sqlite3_progress_handler(store->db, CHECK_STEPS, past_deadline, &deadline);
	int rc = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &check, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(check);
	if (rc == SQLITE_ROW) {
		const char *found = (const char *)sqlite3_column_text(check, 0);
		if (found && strcmp(found, "ok") != 0)
			st = fail(why, STATUS_CORRUPT, "%s: damaged: %.200s", store->path, found);
	} else if (rc != SQLITE_INTERRUPT && rc != SQLITE_DONE) {
		st = store_fail(store, "looking for damage", why);
	}
	sqlite3_finalize(check);
	sqlite3_progress_handler(store->db, 0, NULL, NULL);
	return st;
}

static void rename_all(const char *path, const char *from, const char *to)
{
	static const char *const parts[] = { "", "-wal", "-shm" };
	char old[4200], new[4200];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(old, sizeof(old), "%s%s%s", path, from, parts[i]);
		snprintf(new, sizeof(new), "%s%s%s", path, to, parts[i]);
		(void)unlink(new); /* usually there is none */
		(void)rename(old, new);
	}
}

/* The two newest are kept: <path>.corrupt-1 and, before it, -2. */
static enum status put_aside(const char *path, struct why *why)
{
	rename_all(path, ".corrupt-1", ".corrupt-2");
	rename_all(path, "", ".corrupt-1");
	if (access(path, F_OK) == 0)
		return fail(why, STATUS_IO, "%s: damaged, and cannot be put aside: %s", path,
			strerror(errno));
	return STATUS_OK;
}

static enum status open_again(struct store *store, struct why *why)
{
	enum status st = store_open_file(store, why);

	if (st == STATUS_OK)
		st = store_set_up(store, why);
	if (st == STATUS_OK)
		st = store_apply(store, why);
	if (st != STATUS_OK)
		store_close_file(store);
	return st;
}

enum status store_reopen(struct store *store, bool aside, struct why *why)
{
	store_close_file(store);
	if (store->lock < 0 && strcmp(store->path, ":memory:") != 0) {
		enum status st = store_lock_writer(store, why);
		if (st != STATUS_OK)
			return st;
	}
	if (aside) {
		enum status st = put_aside(store->path, why);
		if (st != STATUS_OK)
			return st;
	}
	return open_again(store, why);
}

enum status store_stop_at(struct store *store, int64_t free_bytes, struct why *why)
{
	if (free_bytes < 0)
		return fail(why, STATUS_BAD_CONFIG, "a negative amount of free space");
	store->stop_at_bytes = free_bytes;
	return STATUS_OK;
}

enum status store_open_unready(const char *path, struct store **out, struct why *why)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store || !(store->path = strdup(path))) {
		free(store);
		return fail(why, STATUS_NO_MEMORY, "%s: no memory", path);
	}
	store->mode = STORE_WRITE;
	store->lock = -1;
	*out = store;
	return STATUS_OK;
}

const char *store_location(const struct store *store)
{
	return store->path;
}

bool store_ready(const struct store *store)
{
	return store->db != NULL;
}
