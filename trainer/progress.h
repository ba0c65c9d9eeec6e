/* A progress bar on stderr for work that takes over a second, if a person is watching: silent
 * when stderr is no terminal. One thread. */
#ifndef ISOLDE_TRAINER_PROGRESS_H
#define ISOLDE_TRAINER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;   /* "training"; borrowed */
	int64_t started_ns; /* monotonic */
	int64_t drawn_ns;   /* 0: nothing drawn yet */
	bool watched;
};

void progress_start(struct progress *progress, const char *what);

/* The share done, 0 .. 1; cheap enough to call often. `context` is the struct progress. */
void progress_update(void *context, double done);

/* Clears the line, so that what is printed next stands alone. */
void progress_finish(struct progress *progress);

#endif
