/* LD_PRELOAD: a disk that hangs. While the file named by STALL_FILE is there, fsync and fdatasync
 * do not return. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void hang(void)
{
	const struct timespec pause = { .tv_nsec = 10000000 };
	const char *file = getenv("STALL_FILE");

	while (file && access(file, F_OK) == 0)
		nanosleep(&pause, NULL);
}

int fsync(int fd)
{
	int (*real)(int);

	*(void **)&real = dlsym(RTLD_NEXT, "fsync");
	hang();
	return real(fd);
}

int fdatasync(int fd)
{
	int (*real)(int);

	*(void **)&real = dlsym(RTLD_NEXT, "fdatasync");
	hang();
	return real(fd);
}
