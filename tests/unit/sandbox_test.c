/* Each case is a child that confines itself and then tries what it must not, or must. */
#include "agent/sandbox.h"
#include "tests/unit/unit.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_FILTER = 77 };

/* The exit code of `attempt`, run in a confined child; 128 + signal if that ended it. */
static int confined(int (*attempt)(void))
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		struct why why = { "" };
		bool applied = false;
		sandbox_hide();
		if (sandbox_apply(&applied, &why) != STATUS_OK) {
			fprintf(stderr, "%s\n", why.text);
			_exit(99);
		}
		_exit(applied ? attempt() : NO_FILTER);
	}
	CU_ASSERT_TRUE_FATAL(child > 0 && waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect_success(int (*attempt)(void))
{
	int code = confined(attempt);

	if (code != 0 && code != NO_FILTER)
		fprintf(stderr, "exit code %d\n", code);
	CU_ASSERT_TRUE(code == 0 || code == NO_FILTER);
}

/* 0 if the call failed with `wanted`, else the number of the trouble. */
#define MUST_FAIL(wanted, call)                                                               \
	do {                                                                                  \
		errno = 0;                                                                    \
		if ((call) != -1 || errno != (wanted)) {                                      \
			fprintf(stderr, "%s: %s\n", #call, errno ? strerror(errno) : "done"); \
			return 1;                                                             \
		}                                                                             \
	} while (0)

static int try_programs(void)
{
	static char *const none[] = { NULL };

	MUST_FAIL(EPERM, execve("/bin/true", none, none));
	MUST_FAIL(EPERM, syscall(SYS_execveat, AT_FDCWD, "/bin/true", none, none, 0));
	MUST_FAIL(EPERM, fork());
	MUST_FAIL(EPERM, syscall(SYS_kill, getppid(), 0));
	return 0;
}

static int try_processes(void)
{
	MUST_FAIL(EPERM, ptrace(PTRACE_TRACEME, 0, NULL, NULL));
	MUST_FAIL(EPERM, syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0));
	MUST_FAIL(EPERM, syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0));
	MUST_FAIL(EPERM, syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, NULL, NULL));
	MUST_FAIL(EPERM, syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
	return 0;
}

static int try_files(void)
{
	MUST_FAIL(EPERM, mount("none", "/mnt", "tmpfs", 0, NULL));
	MUST_FAIL(EPERM, umount2("/mnt", 0));
	MUST_FAIL(EPERM, syscall(SYS_pivot_root, "/", "/"));
	MUST_FAIL(EPERM, chroot("/"));
	MUST_FAIL(EPERM, syscall(SYS_open_by_handle_at, -1, NULL, 0));
	MUST_FAIL(EPERM, syscall(SYS_swapon, "/none", 0));
	MUST_FAIL(EPERM, syscall(SYS_fsopen, "tmpfs", 0));
	return 0;
}

static int try_kernel(void)
{
	MUST_FAIL(EPERM, syscall(SYS_init_module, NULL, 0, ""));
	MUST_FAIL(EPERM, syscall(SYS_finit_module, -1, "", 0));
	MUST_FAIL(EPERM, syscall(SYS_delete_module, "none", 0));
	MUST_FAIL(EPERM, syscall(SYS_kexec_load, 0, 0, NULL, 0));
	MUST_FAIL(EPERM, syscall(SYS_bpf, 0, NULL, 0));
	MUST_FAIL(EPERM, syscall(SYS_io_uring_setup, 1, NULL));
	MUST_FAIL(EPERM, syscall(SYS_userfaultfd, 0));
	MUST_FAIL(EPERM, syscall(SYS_keyctl, 0, 0, 0, 0, 0));
	MUST_FAIL(EPERM, syscall(SYS_add_key, NULL, NULL, NULL, 0, 0));
	MUST_FAIL(EPERM, syscall(SYS_reboot, 0, 0, 0, NULL));
	MUST_FAIL(EPERM, syscall(SYS_settimeofday, NULL, NULL));
	MUST_FAIL(EPERM, syscall(SYS_clock_settime, 0, NULL));
	MUST_FAIL(EPERM, syscall(SYS_personality, 0));
	return 0;
}

static int try_users(void)
{
	MUST_FAIL(EPERM, syscall(SYS_setuid, getuid()));
	MUST_FAIL(EPERM, syscall(SYS_setgid, getgid()));
	MUST_FAIL(EPERM, syscall(SYS_setgroups, 0, NULL));
	MUST_FAIL(EPERM, syscall(SYS_unshare, CLONE_NEWUSER));
	MUST_FAIL(EPERM, syscall(SYS_setns, -1, 0));
	MUST_FAIL(EPERM, syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
	MUST_FAIL(ENOSYS, syscall(SYS_clone3, NULL, 0)); /* glibc then takes clone */
	return 0;
}

static int try_sockets(void)
{
	MUST_FAIL(EPERM, socket(AF_PACKET, SOCK_RAW, 0));
	MUST_FAIL(EPERM, socket(AF_ALG, SOCK_SEQPACKET, 0));
	MUST_FAIL(EPERM, socket(AF_VSOCK, SOCK_STREAM, 0));
	MUST_FAIL(EPERM, socket(AF_BLUETOOTH, SOCK_RAW, 0));
	return socket(AF_INET, SOCK_STREAM, 0) < 0 || socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}

static int check_state(void)
{
	struct rlimit core;

	return getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0 ||
		prctl(PR_GET_DUMPABLE, 0UL, 0UL, 0UL, 0UL) != 0 ||
		prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 1;
}

static void *do_nothing(void *context)
{
	return context;
}

/* What the agent lives by: threads, files, memory. */
static int try_life(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, do_nothing, NULL);
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	char *memory = malloc(1 << 22);

	if (error == 0)
		error = pthread_join(thread, NULL);
	bool written = fd >= 0 && write(fd, "x", 1) == 1 && close(fd) == 0;
	free(memory);
	return error != 0 || !written || !memory;
}

static void test_programs(void)
{
	expect_success(try_programs);
}

static void test_processes(void)
{
	expect_success(try_processes);
}

static void test_files(void)
{
	expect_success(try_files);
}

static void test_kernel(void)
{
	expect_success(try_kernel);
}

static void test_users(void)
{
	expect_success(try_users);
}

static void test_sockets(void)
{
	expect_success(try_sockets);
}

static void test_state(void)
{
	expect_success(check_state);
}

static void test_life(void)
{
	expect_success(try_life);
}

/* A thread that was there before tries when it is told to. */
static atomic_bool go;
static void *wait_and_try(void *context)
{
	static char *const none[] = { NULL };
	int *error = context;

	while (!atomic_load(&go))
		sched_yield();
	*error = execve("/nowhere", none, none) == -1 ? errno : 0;
	return NULL;
}

static void test_earlier_threads(void)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0) {
		pthread_t thread;
		int error = 0;
		bool applied = false;
		struct why why;
		if (pthread_create(&thread, NULL, wait_and_try, &error) != 0 ||
			sandbox_apply(&applied, &why) != STATUS_OK)
			_exit(99);
		atomic_store(&go, true);
		pthread_join(thread, NULL);
		_exit(!applied || error == EPERM ? 0 : 1);
	}
	CU_ASSERT_TRUE_FATAL(child > 0 && waitpid(child, &status, 0) == child);
	CU_ASSERT_EQUAL(status, 0);
}

/* Whether there is a filter at all is not left to chance: only sanitizers may be without. */
static int do_succeed(void)
{
	return 0;
}

static void test_filter_is_there(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	CU_ASSERT_EQUAL(confined(do_succeed), NO_FILTER);
#elif defined(__x86_64__) || defined(__aarch64__)
	CU_ASSERT_EQUAL(confined(do_succeed), 0);
#endif
}

int main(void)
{
	CU_TestInfo cases[] = {
		{ "a filter is applied in every build but the sanitizers'", test_filter_is_there },
		{ "no program is run, no process made or signalled", test_programs },
		{ "no other process is looked into", test_processes },
		{ "nothing is mounted, no root changed, no handle opened", test_files },
		{ "no module, no kexec, no bpf, no ring, no key, no clock", test_kernel },
		{ "no user changed, no namespace entered", test_users },
		{ "only sockets of the internet and of this machine", test_sockets },
		{ "no core file, not dumpable, no new privileges", test_state },
		{ "threads, files and memory work as before", test_life },
		{ "a thread that was there before is confined too", test_earlier_threads },
		CU_TEST_INFO_NULL,
	};
	return unit_run("sandbox", cases);
}
