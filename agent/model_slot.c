#include "agent/model_slot.h"
#include "common/failpoint.h"
#include "common/hash.h"
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A file in memory, and how many sets and machines have it. More only come while it is in force or
 * being loaded, and the last of them frees it. */
struct shared {
	struct model *model;
	atomic_size_t users;
};

struct own_model {
	char machine[MACHINE_NAME_MAX + 1];
	struct shared *shared;
	UT_hash_handle hh;
};

struct own_models {
	struct own_model *table;
};

/* All that is in force at a time. Old ones stay in the list until the last holder lets go. */
struct set {
	struct models models; /* first: what is held is the set */
	struct own_models own;
	struct shared *usual;
	size_t holders;
	struct set *older;
};

struct model_slot {
	pthread_mutex_t loading; /* one load at a time, so that the last file read wins */
	pthread_mutex_t lock;    /* the rest; never held while a file is read or a model freed */
	struct set *newest;      /* in force */
	struct why trouble;
};

const struct model *models_for(const struct models *models, const char *machine)
{
	struct own_model *own = NULL;

	if (models->own)
		HASH_FIND_STR(models->own->table, machine, own);
	return own ? own->shared->model : models->usual;
}

size_t models_own(const struct models *models)
{
	return models->own ? HASH_COUNT(models->own->table) : 0;
}

/* ---- sets ---- */

static void let_go(struct shared *shared)
{
	if (!shared || atomic_fetch_sub(&shared->users, 1) > 1)
		return;
	model_destroy(shared->model);
	free(shared);
}

static void destroy_set(struct set *set)
{
	struct own_model *own, *next;

	if (!set)
		return;
	HASH_ITER(hh, set->own.table, own, next)
	{
		HASH_DEL(set->own.table, own);
		let_go(own->shared);
		free(own);
	}
	let_go(set->usual);
	free(set);
}

enum status model_slot_create(struct model_slot **out)
{
	struct model_slot *slot = calloc(1, sizeof(*slot));
	if (!slot)
		return STATUS_NO_MEMORY;
	slot->newest = calloc(1, sizeof(*slot->newest));
	if (!slot->newest || pthread_mutex_init(&slot->loading, NULL) != 0) {
		free(slot->newest);
		free(slot);
		return STATUS_NO_MEMORY;
	}
	if (pthread_mutex_init(&slot->lock, NULL) != 0) {
		pthread_mutex_destroy(&slot->loading);
		free(slot->newest);
		free(slot);
		return STATUS_NO_MEMORY;
	}
	*out = slot;
	return STATUS_OK;
}

void model_slot_destroy(struct model_slot *slot)
{
	if (!slot)
		return;
	while (slot->newest) {
		struct set *set = slot->newest;
		slot->newest = set->older;
		destroy_set(set);
	}
	pthread_mutex_destroy(&slot->lock);
	pthread_mutex_destroy(&slot->loading);
	free(slot);
}

const struct models *model_slot_hold(struct model_slot *slot)
{
	pthread_mutex_lock(&slot->lock);
	struct set *set = slot->newest;
	set->holders++;
	pthread_mutex_unlock(&slot->lock);
	return &set->models;
}

/* Takes a set that nobody holds out of the list, if it is not in force; NULL if it stays. */
static struct set *unlink_if_idle(struct model_slot *slot, struct set **link)
{
	struct set *set = *link;

	if (!set || set->holders > 0 || set == slot->newest)
		return NULL;
	*link = set->older;
	return set;
}

void model_slot_release(struct model_slot *slot, const struct models *models)
{
	struct set *idle = NULL;

	pthread_mutex_lock(&slot->lock);
	for (struct set **link = &slot->newest; *link; link = &(*link)->older)
		if (&(*link)->models == models) {
			(*link)->holders--;
			idle = unlink_if_idle(slot, link);
			break;
		}
	pthread_mutex_unlock(&slot->lock);
	destroy_set(idle);
}

static void put_in_force(struct model_slot *slot, struct set *set)
{
	pthread_mutex_lock(&slot->lock);
	set->older = slot->newest;
	slot->newest = set;
	struct set *idle = unlink_if_idle(slot, &set->older);
	slot->trouble.text[0] = '\0';
	pthread_mutex_unlock(&slot->lock);
	destroy_set(idle);
}

static void remember_trouble(struct model_slot *slot, const struct why *why)
{
	pthread_mutex_lock(&slot->lock);
	slot->trouble = *why;
	pthread_mutex_unlock(&slot->lock);
}

/* ---- loading ---- */

struct load {
	const struct set *in_force;
	struct set *set; /* being filled */
};

static struct shared *same_in(const struct set *set, const char *digest)
{
	if (set->usual && strcmp(set->usual->model->digest, digest) == 0)
		return set->usual;
	for (struct own_model *own = set->own.table; own; own = own->hh.next)
		if (strcmp(own->shared->model->digest, digest) == 0)
			return own->shared;
	return NULL;
}

/* A file whose bytes are in memory already, counted; NULL: it has to be read. What is in force
 * stays so while this load goes on. */
static struct shared *known(struct load *load, const char *path)
{
	char digest[DIGEST_TEXT_SIZE];
	struct stat file;
	struct why ignored;

	if (stat(path, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size > MODEL_FILE_MAX ||
		digest_file_hex(path, digest, &ignored) != STATUS_OK)
		return NULL; /* reading it says what is wrong */
	struct shared *shared = same_in(load->set, digest);
	if (!shared)
		shared = same_in(load->in_force, digest);
	if (shared)
		atomic_fetch_add(&shared->users, 1);
	return shared;
}

static enum status load_file(
	struct load *load, const char *path, struct shared **out, struct why *why)
{
	if ((*out = known(load, path)))
		return STATUS_OK;
	struct shared *shared = calloc(1, sizeof(*shared));
	if (!shared)
		return fail(why, STATUS_NO_MEMORY, "%s: out of memory", path);
	enum status st = model_load(path, &shared->model, why);
	if (st != STATUS_OK) {
		free(shared);
		return st;
	}
	detector_slim(&shared->model->detector);
	atomic_init(&shared->users, 1);
	*out = shared;
	return STATUS_OK;
}

/* <machine>.json; what begins with a dot or ends otherwise is no model. */
static bool is_model_name(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".json") == 0;
}

static enum status add_own(
	struct load *load, const char *path, const char *machine, size_t len, struct why *why)
{
	struct set *set = load->set;

	if (!machine_name_valid(machine, len))
		return fail(why, STATUS_BAD_INPUT,
			"%s: no machine can have this name, [A-Za-z0-9_-]{1,%d}", path,
			MACHINE_NAME_MAX);
	if (HASH_COUNT(set->own.table) >= OWN_MODELS_MAX)
		return fail(why, STATUS_FULL, "%s: one more than %d models", path, OWN_MODELS_MAX);
	struct own_model *own = calloc(1, sizeof(*own));
	if (!own)
		return fail(why, STATUS_NO_MEMORY, "%s: out of memory", path);
	memcpy(own->machine, machine, len);
	enum status st = load_file(load, path, &own->shared, why);
	if (st == STATUS_OK &&
		!schema_equal(&own->shared->model->schema, &set->usual->model->schema))
		st = fail(why, STATUS_BAD_INPUT,
			"%s: its features are not those of the plant's model, in their order",
			path);
	if (st == STATUS_OK) {
		HASH_ADD_STR(set->own.table, machine, own);
		if (own->hh.tbl)
			return STATUS_OK;
		st = fail(why, STATUS_NO_MEMORY, "%s: out of memory", path);
	}
	let_go(own->shared);
	free(own);
	return st;
}

static enum status load_own(struct load *load, const char *folder, struct why *why)
{
	DIR *directory = opendir(folder);
	enum status st = STATUS_OK;
	struct dirent *entry;

	if (!directory)
		return fail(why, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s: %s", folder,
			strerror(errno));
	while (st == STATUS_OK && (entry = readdir(directory))) {
		char path[4096];
		if (!is_model_name(entry->d_name))
			continue;
		int n = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		st = n >= (int)sizeof(path)
			? fail(why, STATUS_BAD_INPUT, "%s: too long a path", folder)
			: add_own(load, path, entry->d_name, strlen(entry->d_name) - 5, why);
	}
	closedir(directory);
	return st;
}

static enum status load_set(struct load *load, const struct model_paths *paths, struct why *why)
{
	struct set *set = load->set;
	enum status st = load_file(load, paths->usual, &set->usual, why);

	if (st != STATUS_OK)
		return st;
	set->models.usual = set->usual->model;
	if (paths->machines && paths->machines[0])
		st = load_own(load, paths->machines, why);
	if (set->own.table)
		set->models.own = &set->own;
	return st;
}

enum status model_slot_load(
	struct model_slot *slot, const struct model_paths *paths, struct why *why)
{
	struct why trouble = { "" };
	enum status st;

	pthread_mutex_lock(&slot->loading);
	struct load load = { slot->newest, calloc(1, sizeof(*load.set)) };
	st = load.set ? load_set(&load, paths, &trouble)
		      : fail(&trouble, STATUS_NO_MEMORY, "%s: out of memory", paths->usual);
	FAILPOINT(during_model_swap);
	if (st == STATUS_OK) {
		put_in_force(slot, load.set);
	} else {
		destroy_set(load.set);
		remember_trouble(slot, &trouble);
	}
	pthread_mutex_unlock(&slot->loading);
	if (st != STATUS_OK && why)
		*why = trouble;
	return st;
}

void model_slot_trouble(struct model_slot *slot, char *out, size_t size)
{
	pthread_mutex_lock(&slot->lock);
	snprintf(out, size, "%s", slot->trouble.text);
	pthread_mutex_unlock(&slot->lock);
}
