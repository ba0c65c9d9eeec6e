/* The syntax of the configuration file: libconfuse's sections, `mqtt { url = "..." }`, comments
 * with #, // and between slash and star, "${NAME:-default}" of the environment. Private to
 * config*.c. Main thread only: libconfuse's scanner is one per process. */
#ifndef ISOLDE_AGENT_CONFIG_FILE_H
#define ISOLDE_AGENT_CONFIG_FILE_H

#include "agent/config_table.h"
#include "common/status.h"

enum { CONFIG_FILE_MAX = 1024 * 1024 /* bytes */ };

/* One setting of the file in the order of its lines; anything but STATUS_OK ends the reading. */
typedef enum status config_file_each(
	void *context, const struct setting *setting, const char *value, int line, struct why *why);

/* STATUS_NOT_FOUND, STATUS_IO, STATUS_BAD_CONFIG with file and line. */
enum status config_file_read(
	const char *path, config_file_each *each, void *context, struct why *why) MUST_USE;

#endif
