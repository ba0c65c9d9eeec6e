#include "agent/reserve.h"
#include "common/digest.h"
#include "common/schema.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOT_SIZE = 512, ALARM_SIZE = 3072, SLOTS = 2 };
enum { FILE_SIZE = SLOTS * SLOT_SIZE + RESERVE_ALARMS * ALARM_SIZE };

static const char magic[8] = "isolrsv1";

/* One saving of the counters. */
struct slot {
	char magic[8];
	uint64_t turn; /* grows; the larger one counts */
	struct ledger ledger;
	uint64_t digest; /* of all before */
};
_Static_assert(sizeof(struct slot) <= SLOT_SIZE, "counters fit their slot");

struct record {
	char magic[8];
	char machine[MACHINE_NAME_MAX + 1];
	char text[ALARM_RECORD_MAX];
	uint64_t digest;
};
_Static_assert(sizeof(struct record) <= ALARM_SIZE, "an alarm fits its place");

struct reserve {
	int fd;
	bool sync, writable;
	bool unsynced; /* something written */
	uint64_t turn;
	bool saved;
	struct ledger ledger;                 /* as saved last */
	struct record record[RESERVE_ALARMS]; /* as they lie in the file; empty: no machine */
	size_t next;                          /* to be overwritten when all are taken */
};

static uint64_t digest_of(const void *data, size_t len)
{
	static const uint64_t key[2] = { 0x72657365727665, 0x69736f6c6465 };
	return digest_sip(key, data, len);
}

static void load(struct reserve *reserve)
{
	struct slot slot;

	for (int i = 0; i < SLOTS; i++) {
		if (pread(reserve->fd, &slot, sizeof(slot), i * SLOT_SIZE) != sizeof(slot) ||
			memcmp(slot.magic, magic, sizeof(magic)) != 0 ||
			slot.digest != digest_of(&slot, offsetof(struct slot, digest)) ||
			(reserve->saved && slot.turn < reserve->turn))
			continue;
		reserve->saved = true;
		reserve->turn = slot.turn;
		reserve->ledger = slot.ledger;
	}
	for (int i = 0; i < RESERVE_ALARMS; i++) {
		struct record *record = &reserve->record[i];
		if (pread(reserve->fd, record, sizeof(*record),
			    SLOTS * SLOT_SIZE + i * ALARM_SIZE) != sizeof(*record) ||
			memcmp(record->magic, magic, sizeof(magic)) != 0 ||
			record->digest != digest_of(record, offsetof(struct record, digest)) ||
			!memchr(record->text, '\0', sizeof(record->text)) ||
			!memchr(record->machine, '\0', sizeof(record->machine)))
			memset(record, 0, sizeof(*record));
	}
}

/* Every block is written once, so that later ones find their place. */
static bool fill(int fd)
{
	char zeros[SLOT_SIZE] = { 0 };
	off_t size = lseek(fd, 0, SEEK_END);

	for (; size >= 0 && size < FILE_SIZE; size += SLOT_SIZE) {
		if (pwrite(fd, zeros, sizeof(zeros), size) != sizeof(zeros))
			return false;
	}
	return size >= 0 && fsync(fd) == 0;
}

enum status reserve_open(const char *path, bool sync, struct reserve **out, struct why *why)
{
	char name[4096];
	int n = snprintf(name, sizeof(name), "%s-reserve", path);

	if (n < 0 || (size_t)n >= sizeof(name))
		return fail(why, STATUS_IO, "%.60s...: the path is too long", path);
	struct reserve *reserve = calloc(1, sizeof(*reserve));
	if (!reserve)
		return fail(why, STATUS_NO_MEMORY, "no memory for the reserve");
	reserve->sync = sync;
	reserve->writable = true;
	reserve->fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (reserve->fd < 0 && errno == EROFS) {
		reserve->writable = false;
		reserve->fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (reserve->fd < 0 || (reserve->writable && !fill(reserve->fd))) {
		enum status st = fail(why, STATUS_IO, "%s: %s", name, strerror(errno));
		reserve_close(reserve);
		return st;
	}
	load(reserve);
	*out = reserve;
	return STATUS_OK;
}

void reserve_close(struct reserve *reserve)
{
	if (!reserve)
		return;
	if (reserve->fd >= 0)
		close(reserve->fd);
	free(reserve);
}

static void write_at(struct reserve *reserve, const void *data, size_t len, off_t at)
{
	if (pwrite(reserve->fd, data, len, at) == (ssize_t)len)
		reserve->unsynced = reserve->sync;
}

static void make_safe(struct reserve *reserve)
{
	if (reserve->unsynced)
		(void)fdatasync(reserve->fd); /* the last resort: there is nobody to tell */
	reserve->unsynced = false;
}

bool reserve_ledger(const struct reserve *reserve, struct ledger *out)
{
	if (!reserve || !reserve->saved)
		return false;
	*out = reserve->ledger;
	return true;
}

void reserve_save(struct reserve *reserve, const struct ledger *ledger, bool safe)
{
	struct slot slot;

	if (!reserve || !reserve->writable)
		return;
	memset(&slot, 0, sizeof(slot)); /* padding too is digested */
	memcpy(slot.magic, magic, sizeof(magic));
	slot.turn = ++reserve->turn;
	slot.ledger = *ledger;
	slot.ledger.received = slot.ledger.pending = 0;
	if (reserve->saved && memcmp(&slot.ledger, &reserve->ledger, sizeof(slot.ledger)) == 0) {
		reserve->turn--;
		if (safe)
			make_safe(reserve);
		return;
	}
	slot.digest = digest_of(&slot, offsetof(struct slot, digest));
	write_at(reserve, &slot, sizeof(slot), (off_t)(slot.turn % SLOTS) * SLOT_SIZE);
	reserve->ledger = slot.ledger;
	reserve->saved = true;
	if (safe)
		make_safe(reserve);
}

static size_t place_of(struct reserve *reserve, const char *machine)
{
	size_t empty = RESERVE_ALARMS;

	for (size_t i = 0; i < RESERVE_ALARMS; i++) {
		if (strcmp(reserve->record[i].machine, machine) == 0)
			return i;
		if (!reserve->record[i].machine[0] && empty == RESERVE_ALARMS)
			empty = i;
	}
	return empty < RESERVE_ALARMS ? empty : reserve->next++ % RESERVE_ALARMS;
}

static void write_record(struct reserve *reserve, size_t place)
{
	struct record *record = &reserve->record[place];

	record->digest = digest_of(record, offsetof(struct record, digest));
	write_at(reserve, record, sizeof(*record), (off_t)(SLOTS * SLOT_SIZE + place * ALARM_SIZE));
	make_safe(reserve);
}

void reserve_put_alarm(struct reserve *reserve, const char *machine, const char *text)
{
	if (!reserve || !reserve->writable)
		return;
	size_t place = place_of(reserve, machine);
	struct record *record = &reserve->record[place];
	memset(record, 0, sizeof(*record));
	memcpy(record->magic, magic, sizeof(magic));
	snprintf(record->machine, sizeof(record->machine), "%s", machine);
	snprintf(record->text, sizeof(record->text), "%s", text);
	write_record(reserve, place);
}

void reserve_alarms(const struct reserve *reserve, reserve_each *each, void *context)
{
	for (size_t i = 0; reserve && i < RESERVE_ALARMS; i++) {
		if (reserve->record[i].machine[0])
			each(context, reserve->record[i].machine, reserve->record[i].text);
	}
}

void reserve_clear_alarms(struct reserve *reserve)
{
	for (size_t i = 0; reserve && reserve->writable && i < RESERVE_ALARMS; i++) {
		if (!reserve->record[i].machine[0])
			continue;
		memset(&reserve->record[i], 0, sizeof(reserve->record[i]));
		write_record(reserve, i);
	}
}
