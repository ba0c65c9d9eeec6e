/* The syncer on a real history. The link wraps fdatasync, so that a disk can fail, and
 * mqtt_acknowledge, so that what was acknowledged is seen. */
#include "agent/syncer.h"
#include "common/store.h"
#include "common/store_sync.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ASSERT_OK(call) CU_ASSERT_EQUAL_FATAL((call), STATUS_OK)
static struct why why;

/* ---- the disk and the broker ---- */

static atomic_bool disk_fails;
static atomic_int syncs, acknowledged, last_packet;
static _Atomic ino_t synced_inode;

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	struct stat file;

	if (atomic_load(&disk_fails)) {
		errno = EIO;
		return -1;
	}
	CU_ASSERT_EQUAL(fstat(fd, &file), 0);
	atomic_store(&synced_inode, file.st_ino);
	atomic_fetch_add(&syncs, 1);
	return __real_fdatasync(fd);
}

void __wrap_mqtt_acknowledge(struct mqtt *mqtt, const struct mqtt_receipt *receipts, size_t n);
void __wrap_mqtt_acknowledge(struct mqtt *mqtt, const struct mqtt_receipt *receipts, size_t n)
{
	(void)mqtt;
	if (n == 0)
		return;
	CU_ASSERT_TRUE(receipts[0].packet_id > atomic_load(&last_packet)); /* in their order */
	atomic_store(&last_packet, receipts[n - 1].packet_id);
	atomic_fetch_add(&acknowledged, (int)n);
}

/* ---- a history and its syncer ---- */

struct rig {
	char path[300];
	struct store *store;
	struct metrics *metrics;
	struct health health;
	struct syncer *syncer;
	int packets;
};

static struct rig begin(const char *name)
{
	struct rig rig = { .store = NULL };

	atomic_store(&disk_fails, false);
	atomic_store(&syncs, 0);
	atomic_store(&acknowledged, 0);
	atomic_store(&last_packet, 0);
	snprintf(rig.path, sizeof(rig.path), "%s", unit_path(name));
	ASSERT_OK(store_open(rig.path, STORE_WRITE, &rig.store, &why));
	ASSERT_OK(store_set_durability(rig.store, DURABILITY_LATER, &why));
	ASSERT_OK(store_leave_checkpoints(rig.store, &why));
	ASSERT_OK(metrics_create(&rig.metrics));
	return rig;
}

static void start(struct rig *rig, int64_t hold_ms)
{
	struct syncer_options options = { .path = rig->path,
		.metrics = rig->metrics,
		.health = &rig->health,
		.hold_ms = hold_ms };

	ASSERT_OK(syncer_start(&options, &rig->syncer, &why));
}

static void end(struct rig *rig)
{
	syncer_stop(rig->syncer);
	store_close(rig->store);
	metrics_destroy(rig->metrics);
}

static void commit(struct rig *rig)
{
	ASSERT_OK(store_begin(rig->store, &why));
	ASSERT_OK(store_set_counter(rig->store, "commits", rig->packets, &why));
	ASSERT_OK(store_commit(rig->store, &why));
}

/* A commit of n messages. */
static void add(struct rig *rig, size_t n)
{
	struct mqtt_receipt receipts[8];

	commit(rig);
	for (size_t i = 0; i < n; i++)
		receipts[i] = (struct mqtt_receipt){ .packet_id = (uint16_t)++rig->packets };
	syncer_add(rig->syncer, receipts, n);
}

static ino_t wal_inode(const struct rig *rig)
{
	char path[310];
	struct stat file = { .st_ino = 0 };

	snprintf(path, sizeof(path), "%s-wal", rig->path);
	CU_ASSERT_EQUAL(stat(path, &file), 0);
	return file.st_ino;
}

/* Holds the WAL back: no checkpoint can move all of it. */
static sqlite3 *block(const struct rig *rig)
{
	sqlite3 *other = NULL;

	CU_ASSERT_EQUAL_FATAL(sqlite3_open(rig->path, &other), SQLITE_OK);
	CU_ASSERT_EQUAL_FATAL(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	return other;
}

/* ---- tests ---- */

static void test_acknowledged_when_safe(void)
{
	struct rig rig = begin("safe");

	start(&rig, 1000);
	for (int i = 0; i < 50; i++)
		add(&rig, (size_t)(i % 4));
	syncer_stop(rig.syncer);
	rig.syncer = NULL;
	CU_ASSERT_EQUAL(atomic_load(&acknowledged), rig.packets);
	CU_ASSERT_TRUE(atomic_load(&syncs) >= 1 && atomic_load(&syncs) <= 50);
	CU_ASSERT_EQUAL(atomic_load(&synced_inode), wal_inode(&rig));
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_STORE_ERRORS), 0);
	CU_ASSERT_EQUAL(atomic_load(&rig.health.sync_ns), 0);
	end(&rig);
}

/* A sync that failed proves nothing when it is tried again; the checkpoint does. */
static void test_rescue(void)
{
	struct rig rig = begin("rescue");

	start(&rig, 1000000);
	add(&rig, 2);
	WAIT_FOR(atomic_load(&acknowledged) == 2);
	atomic_store(&disk_fails, true);
	int before = atomic_load(&syncs);
	add(&rig, 3);
	WAIT_FOR(atomic_load(&acknowledged) == 5);
	CU_ASSERT_EQUAL(atomic_load(&syncs), before);
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_STORE_ERRORS), 1);
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_UNSYNCED), 0);
	CU_ASSERT_FALSE(atomic_load(&rig.health.sync_failing));
	atomic_store(&disk_fails, false);
	add(&rig, 1);
	WAIT_FOR(atomic_load(&acknowledged) == 6);
	CU_ASSERT_TRUE(atomic_load(&syncs) > before);
	end(&rig);
}

static void test_held_then_counted(void)
{
	struct rig rig = begin("held");

	start(&rig, 300);
	commit(&rig);
	sqlite3 *other = block(&rig);
	atomic_store(&disk_fails, true);
	struct mqtt_receipt receipts[] = { { .packet_id = 1 }, { .packet_id = 2 } };
	int64_t began = time_monotonic_ns();
	syncer_add(rig.syncer, receipts, 2);
	WAIT_FOR(atomic_load(&rig.health.sync_failing));
	WAIT_FOR(atomic_load(&acknowledged) == 2);
	CU_ASSERT_TRUE(time_monotonic_ns() - began >= 300 * INT64_C(1000000));
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_UNSYNCED), 2);
	CU_ASSERT_TRUE(atomic_load(&rig.health.sync_failing));
	sqlite3_close(other);
	rig.packets = 2;
	add(&rig, 1);
	WAIT_FOR(atomic_load(&acknowledged) == 3);
	CU_ASSERT_FALSE(atomic_load(&rig.health.sync_failing));
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_UNSYNCED), 2);
	end(&rig);
}

/* The broker keeps what was not acknowledged. */
static void test_stop_while_failing(void)
{
	struct rig rig = begin("stop");

	start(&rig, 3600000);
	commit(&rig);
	sqlite3 *other = block(&rig);
	atomic_store(&disk_fails, true);
	struct mqtt_receipt receipt = { .packet_id = 1 };
	syncer_add(rig.syncer, &receipt, 1);
	WAIT_FOR(atomic_load(&rig.health.sync_failing));
	syncer_stop(rig.syncer);
	rig.syncer = NULL;
	CU_ASSERT_EQUAL(atomic_load(&acknowledged), 0);
	sqlite3_close(other);
	end(&rig);
}

/* The writer's own thread, and a WAL that was replaced meanwhile. */
static void test_secure(void)
{
	struct rig rig = begin("secure");

	commit(&rig);
	ASSERT_OK(store_secure(rig.store, &why));
	CU_ASSERT_EQUAL(atomic_load(&syncs), 1);
	CU_ASSERT_EQUAL(atomic_load(&synced_inode), wal_inode(&rig));
	ASSERT_OK(store_reopen(rig.store, true, &why));
	commit(&rig);
	ASSERT_OK(store_secure(rig.store, &why));
	CU_ASSERT_EQUAL(atomic_load(&synced_inode), wal_inode(&rig));
	atomic_store(&disk_fails, true);
	commit(&rig);
	CU_ASSERT_EQUAL(store_secure(rig.store, &why), STATUS_IO);
	ASSERT_HOLDS(why.text, "secure-wal: sync: ");
	ASSERT_OK(store_set_durability(rig.store, DURABILITY_STRICT, &why));
	ASSERT_OK(store_secure(rig.store, &why)); /* the commit has done it */
	end(&rig);
}

static void test_nothing_there(void)
{
	struct store_sync *sync;

	ASSERT_OK(store_sync_create(unit_path("nothing"), &sync, &why));
	ASSERT_OK(store_sync_now(sync, &why));
	CU_ASSERT_NOT_EQUAL(store_sync_rescue(sync, &why), STATUS_OK);
	store_sync_destroy(sync);
	store_sync_destroy(NULL);
	syncer_stop(NULL);
}

static CU_TestInfo tests[] = {
	{ "messages are acknowledged when they are safe, in their order",
		test_acknowledged_when_safe },
	{ "after a failed sync the WAL is moved into the file", test_rescue },
	{ "a disk that fails is waited for, then messages are counted", test_held_then_counted },
	{ "what is not safe at the stop is left to the broker", test_stop_while_failing },
	{ "the writer makes its own commits safe", test_secure },
	{ "no history, nothing to sync", test_nothing_there },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("syncer", tests);
}
