/* What every unit test program shares: one table of sentences, and files that go away. */
#ifndef ISOLDE_TESTS_UNIT_H
#define ISOLDE_TESTS_UNIT_H

#include "common/timeutil.h"
#include <CUnit/Basic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Runs the table as one suite and returns the exit code: the number of failures (CUnit's own
 * runner always succeeds). */
int unit_run(const char *suite, CU_TestInfo *cases);

/* A folder of this process, made on first use and removed at exit with all in it. */
const char *unit_folder(void);

/* "<unit_folder>/<name>", in one of four buffers used in turn. */
const char *unit_path(const char *name);

/* Writes a file into the folder and returns its path. */
const char *unit_file(const char *name, const void *data, size_t len);

/* A port of 127.0.0.1 that nobody listens on, below those that the kernel gives to outgoing
 * connections: one of these could be any client's by the time a test's server listens on it. */
int unit_free_port(void);

/* The text holds the word; on failure both are printed. */
#define ASSERT_HOLDS(text, word) CU_ASSERT_TRUE(unit_holds((text), (word)))
int unit_holds(const char *text, const char *word);

/* Polls until the condition holds; fails after 30 s. */
#define WAIT_FOR(condition)                                                        \
	do {                                                                       \
		int64_t deadline_ns = time_monotonic_ns() + INT64_C(30000000000);  \
		while (!(condition) && time_monotonic_ns() < deadline_ns)          \
			nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL); \
		CU_ASSERT_TRUE_FATAL(condition);                                   \
	} while (0)

#endif
