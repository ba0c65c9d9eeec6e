#include "common/status.h"
#include <stdarg.h>
#include <stdio.h>

enum status fail(struct why *why, enum status status, const char *format, ...)
{
	if (why) {
		va_list args;
		va_start(args, format);
		vsnprintf(why->text, sizeof(why->text), format, args);
		va_end(args);
	}
	return status;
}

int status_exit_code(enum status status)
{
	switch (status) {
	case STATUS_OK:
		return 0;
	case STATUS_BAD_INPUT:
		return 65;
	case STATUS_BAD_CONFIG:
		return 78;
	case STATUS_USAGE:
		return 64;
	case STATUS_NOT_FOUND:
		return 66;
	case STATUS_FULL:
	case STATUS_IO:
		return 74;
	case STATUS_UNAVAILABLE:
		return 69;
	case STATUS_CANT_CREATE:
		return 73;
	case STATUS_NO_MEMORY:
		return 71;
	case STATUS_CONFLICT:
		return 75;
	}
	return 70; /* a bug: no such status */
}
