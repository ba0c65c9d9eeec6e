#include "common/fileio.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

static enum status open_failed(const char *path, struct why *why)
{
	enum status status = errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO;
	return fail(why, status, "%s: %s", path, strerror(errno));
}

static enum status read_all(
	int fd, const char *path, size_t max, char **out, size_t *len, struct why *why)
{
	struct stat info;

	if (fstat(fd, &info) != 0)
		return fail(why, STATUS_IO, "%s: %s", path, strerror(errno));
	if (!S_ISREG(info.st_mode))
		return fail(why, STATUS_BAD_INPUT, "%s: not a regular file", path);
	if ((size_t)info.st_size > max)
		return fail(why, STATUS_FULL, "%s: %lld bytes, at most %zu are read", path,
			(long long)info.st_size, max);

	size_t size = (size_t)info.st_size, at = 0;
	char *data = malloc(size + 1);
	if (!data)
		return fail(why, STATUS_NO_MEMORY, "%s: no memory for %zu bytes", path, size);
	while (at < size) {
		ssize_t n = read(fd, data + at, size - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			free(data);
			return fail(why, STATUS_IO, "%s: %s", path, strerror(errno));
		}
		if (n == 0)
			break; /* it became shorter meanwhile: what there is will be judged */
		at += (size_t)n;
	}
	data[at] = '\0';
	*out = data;
	*len = at;
	return STATUS_OK;
}

enum status file_read(const char *path, size_t max, char **out, size_t *len, struct why *why)
{
	/* O_NONBLOCK: opening a FIFO must not wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return open_failed(path, why);
	enum status st = read_all(fd, path, max, out, len, why);
	close(fd);
	return st;
}

enum status file_make_folders(const char *path, struct why *why)
{
	char folder[PATH_SIZE];

	if (strlen(path) >= sizeof(folder))
		return fail(why, STATUS_CANT_CREATE, "%.60s...: the path is too long", path);
	if (*path == '/')
		return STATUS_OK;
	strcpy(folder, path);
	for (char *slash = strchr(folder, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(folder, 0777) != 0 && errno != EEXIST)
			return fail(why, STATUS_CANT_CREATE, "%s: %s", folder, strerror(errno));
		*slash = '/';
	}
	return STATUS_OK;
}

static enum status write_all(
	int fd, const char *data, size_t len, const char *path, struct why *why)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(why, STATUS_IO, "%s: %s", path, strerror(errno));
		data += n;
		len -= (size_t)n;
	}
	if (fsync(fd) != 0)
		return fail(why, STATUS_IO, "%s: %s", path, strerror(errno));
	return STATUS_OK;
}

/* A rename survives a power cut only when the folder is synced too. */
static void sync_folder(const char *path)
{
	char folder[PATH_SIZE];
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 0;

	if (len == 0)
		strcpy(folder, slash ? "/" : ".");
	else
		snprintf(folder, sizeof(folder), "%.*s", (int)len, path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd); /* some filesystems refuse; the file itself is safe */
		close(fd);
	}
}

enum status file_replace(const char *path, const char *data, size_t len, struct why *why)
{
	char beside[PATH_SIZE];
	int n = snprintf(beside, sizeof(beside), "%s.%ld.tmp", path, (long)getpid());

	if (n < 0 || (size_t)n >= sizeof(beside))
		return fail(why, STATUS_CANT_CREATE, "%.60s...: the path is too long", path);
	enum status st = file_make_folders(path, why);
	if (st != STATUS_OK)
		return st;
	int fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return fail(why, STATUS_CANT_CREATE, "%s: %s", beside, strerror(errno));
	st = write_all(fd, data, len, beside, why);
	if (close(fd) != 0 && st == STATUS_OK)
		st = fail(why, STATUS_IO, "%s: %s", beside, strerror(errno));
	if (st == STATUS_OK && rename(beside, path) != 0)
		st = fail(why, STATUS_CANT_CREATE, "%s: %s", path, strerror(errno));
	if (st != STATUS_OK) {
		unlink(beside);
		return st;
	}
	sync_folder(path);
	return STATUS_OK;
}
