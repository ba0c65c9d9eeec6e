#include "agent/http_routes.h"
#include "common/timeutil.h"
#include <errno.h>
#include <unistd.h>

void store_pool_init(struct store_pool *pool, const char *path, struct desk *desk)
{
	pool->path = path;
	pool->desk = desk;
	pthread_mutex_init(&pool->lock, NULL);
}

void store_pool_finish(struct store_pool *pool)
{
	while (pool->count > 0)
		store_close(pool->idle[--pool->count]);
	pthread_mutex_destroy(&pool->lock);
}

static enum status take(struct store_pool *pool, struct store **out, struct why *why)
{
	struct store *store = NULL;

	pthread_mutex_lock(&pool->lock);
	if (pool->count > 0)
		store = pool->idle[--pool->count];
	pthread_mutex_unlock(&pool->lock);
	if (store && !store_stale(store)) {
		*out = store;
		return STATUS_OK;
	}
	store_close(store);
	if (access(pool->path, F_OK) != 0 && errno == ENOENT)
		return fail(why, STATUS_NOT_FOUND, "%s: not there yet", pool->path);
	return store_open(pool->path, STORE_READ, out, why);
}

static void give(struct store_pool *pool, struct store *store, bool sound)
{
	pthread_mutex_lock(&pool->lock);
	bool kept = sound && pool->count < HTTP_STORES_MAX;
	if (kept)
		pool->idle[pool->count++] = store;
	pthread_mutex_unlock(&pool->lock);
	if (!kept)
		store_close(store);
}

enum status store_pool_use(struct store_pool *pool, store_user *use, void *context, struct why *why)
{
	struct store *store;

	if (pool->desk)
		desk_settle(pool->desk);
	enum status status = take(pool, &store, why);

	if (status == STATUS_NOT_FOUND)
		return STATUS_OK; /* nothing was stored yet */
	if (status != STATUS_OK)
		return status;
	store_set_deadline(store, time_monotonic_ns() + HTTP_STORE_DEADLINE_MS * INT64_C(1000000));
	status = use(store, context, why);
	store_set_deadline(store, 0);
	give(pool, store, status == STATUS_OK); /* an unsound connection serves nobody else */
	return status;
}
