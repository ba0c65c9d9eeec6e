#include "common/failpoint.h"
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifdef ISOLDE_FAILPOINTS

enum { FAILPOINTS_MAX = 16 };

/* Passages of each failpoint so far; a slot belongs to the first name that takes it. */
static _Atomic(const char *) taken[FAILPOINTS_MAX];
static atomic_ulong passages[FAILPOINTS_MAX];

static unsigned long count(const char *name)
{
	for (size_t i = 0; i < FAILPOINTS_MAX; i++) {
		const char *other = NULL;
		if (atomic_compare_exchange_strong(&taken[i], &other, name) ||
			strcmp(other, name) == 0)
			return atomic_fetch_add(&passages[i], 1) + 1;
	}
	abort(); /* more names than there is room for */
}

void failpoint_pass(const char *name)
{
	static atomic_bool asked;
	static const char *spec;
	size_t len = strlen(name);

	if (!atomic_exchange(&asked, true))
		spec = getenv("ISOLDE_FAIL");
	const char *at = spec;
	unsigned long passage = at ? count(name) : 0;
	while (at && *at) {
		if (strncmp(at, name, len) == 0 && at[len] == ':' &&
			strtoul(at + len + 1, NULL, 10) == passage)
			raise(SIGKILL);
		at = strchr(at, ',');
		at = at ? at + 1 : NULL;
	}
}

#else
/* ISO C wants a file to hold something. */
typedef int failpoint_nothing;
#endif
