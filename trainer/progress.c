#include "trainer/progress.h"
#include "common/timeutil.h"
#include <stdio.h>
#include <unistd.h>

enum { BAR_WIDTH = 40 };
#define SILENT_NS INT64_C(1000000000)
#define REDRAW_NS INT64_C(100000000)

void progress_start(struct progress *progress, const char *what)
{
	*progress = (struct progress){ .what = what,
		.started_ns = time_monotonic_ns(),
		.watched = isatty(STDERR_FILENO) == 1 };
}

static void draw(const struct progress *progress, double done)
{
	char bar[BAR_WIDTH + 1];
	int full = (int)(done * BAR_WIDTH);

	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < full ? '#' : '.';
	bar[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r%s [%s] %3.0f %%", progress->what, bar, done * 100);
	fflush(stderr);
}

void progress_update(void *context, double done)
{
	struct progress *progress = context;

	if (!progress->watched)
		return;
	int64_t now_ns = time_monotonic_ns();
	if (now_ns - progress->started_ns < SILENT_NS || now_ns - progress->drawn_ns < REDRAW_NS)
		return;
	progress->drawn_ns = now_ns;
	draw(progress, done < 0 ? 0 : done > 1 ? 1 : done);
}

void progress_finish(struct progress *progress)
{
	if (progress->drawn_ns)
		fputs("\r\033[K", stderr);
	progress->drawn_ns = 0;
}
