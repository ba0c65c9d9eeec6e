/* The agent's straight path without its threads and sockets: readings made here go through a
 * pipeline of their own, with the agent's usual settings, into a history. What goes wrong ends the
 * program. */
#ifndef ISOLDE_TESTS_BENCH_LINE_H
#define ISOLDE_TESTS_BENCH_LINE_H

#include "common/model.h"
#include <stddef.h>

enum { LINE_BATCH = 1000 };

struct line;

/* A new history at `path`; `machines` machines by turns, a reading a second each; `model` is
 * borrowed. Commits do not wait for the disk. */
struct line *line_create(const char *path, const struct model *model, size_t machines);
void line_destroy(struct line *line);

/* Makes the next batch of LINE_BATCH messages; then takes it from topic and payload to the commit
 * and the verdicts. */
void line_prepare(struct line *line);
void line_run(struct line *line);

size_t line_published(const struct line *line); /* verdicts and alarms so far */

#endif
