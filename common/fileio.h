/* Whole files in and out. */
#ifndef ISOLDE_COMMON_FILEIO_H
#define ISOLDE_COMMON_FILEIO_H

#include "common/status.h"
#include <stddef.h>

/* Reads a regular file of at most `max` bytes; *out is the caller's, with a NUL after the last
 * byte. STATUS_NOT_FOUND, STATUS_FULL (larger), STATUS_BAD_INPUT (not a regular file),
 * STATUS_IO. */
enum status file_read(
	const char *path, size_t max, char **out, size_t *len, struct why *why) MUST_USE;

/* Written beside, fsynced and renamed, the folder fsynced: a reader sees the old file or the
 * new one, whole, also after a power cut. Folders as file_make_folders has it. STATUS_CANT_CREATE,
 * STATUS_IO; on failure nothing is left behind. */
enum status file_replace(const char *path, const char *data, size_t len, struct why *why) MUST_USE;

/* Makes the folders above a relative `path`, like mkdir -p $(dirname path), so that
 * data/models/default.json works in an empty folder. Those of an absolute path have to exist: a
 * mistyped one should not leave folders behind. */
enum status file_make_folders(const char *path, struct why *why) MUST_USE;

#endif
