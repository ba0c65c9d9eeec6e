#include "simulator/labels.h"
#include "common/fileio.h"
#include "common/timeutil.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct labels {
	FILE *file;
	const char *path; /* behind the struct */
};

enum status labels_create(const char *path, struct labels **out, struct why *why)
{
	enum status st = file_make_folders(path, why);
	if (st != STATUS_OK)
		return st;
	size_t size = strlen(path) + 1;
	struct labels *labels = malloc(sizeof(*labels) + size);
	if (!labels)
		return fail(why, STATUS_NO_MEMORY, "%s: no memory", path);
	labels->path = memcpy(labels + 1, path, size);
	labels->file = fopen(path, "we");
	if (!labels->file) {
		free(labels);
		return fail(why, STATUS_CANT_CREATE, "%s: %s", path, strerror(errno));
	}
	fputs("machine,timestamp,seq,label,fault\n", labels->file);
	*out = labels;
	return STATUS_OK;
}

void labels_add(struct labels *labels, const char *machine, int64_t at_ms, int64_t seq, bool faulty,
	const char *fault)
{
	char at[TIME_TEXT_SIZE];

	time_format(at_ms, at);
	fprintf(labels->file, "%s,%s,%lld,%d,%s\n", machine, at, (long long)seq, faulty, fault);
}

enum status labels_flush(struct labels *labels, struct why *why)
{
	if (!labels)
		return STATUS_OK;
	errno = 0;
	if (fflush(labels->file) != 0 || ferror(labels->file))
		return fail(why, STATUS_IO, "%s: %s", labels->path,
			errno ? strerror(errno) : "rows could not be written");
	return STATUS_OK;
}

enum status labels_destroy(struct labels *labels, struct why *why)
{
	if (!labels)
		return STATUS_OK;
	enum status st = labels_flush(labels, why);
	if (fclose(labels->file) != 0 && st == STATUS_OK)
		st = fail(why, STATUS_IO, "%s: %s", labels->path, strerror(errno));
	free(labels);
	return st;
}
