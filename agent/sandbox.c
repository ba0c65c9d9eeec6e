#include "agent/sandbox.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

#if defined(__x86_64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#if defined(OUR_ARCHITECTURE) && !defined(SANITIZED)
#define HAVE_FILTER 1
#endif

void sandbox_hide(void)
{
#ifndef SANITIZED /* the leak checker looks at its own threads by ptrace */
	static const struct rlimit none = { 0, 0 };

	(void)setrlimit(RLIMIT_CORE, &none);              /* lowering never fails */
	(void)prctl(PR_SET_DUMPABLE, 0UL, 0UL, 0UL, 0UL); /* nor does this */
#endif
}

#ifdef HAVE_FILTER

/* From here on the numbers are the same everywhere; what is not listed and newer is unknown to
 * us, and ENOSYS lets the C library fall back: from clone3, whose flags a filter cannot see. */
enum { FIRST_UNKNOWN = 435 /* clone3 */ };

/* Seen by strace in the whole test-suite, and their siblings that another version of the C
 * library, SQLite, Paho, OpenSSL or CivetWeb may choose. */
static const int allowed[] = {
	/* files */
	SYS_read,
	SYS_write,
	SYS_readv,
	SYS_writev,
	SYS_pread64,
	SYS_pwrite64,
	SYS_preadv,
	SYS_pwritev,
	SYS_openat,
	SYS_close,
	SYS_close_range,
	SYS_newfstatat,
	SYS_fstat,
	SYS_statx,
	SYS_statfs,
	SYS_fstatfs,
	SYS_lseek,
	SYS_faccessat,
	SYS_faccessat2,
	SYS_readlinkat,
	SYS_getcwd,
	SYS_getdents64,
	SYS_fcntl,
	SYS_flock,
	SYS_fsync,
	SYS_fdatasync,
	SYS_ftruncate,
	SYS_fallocate,
	SYS_fadvise64,
	SYS_renameat,
	SYS_renameat2,
	SYS_unlinkat,
	SYS_mkdirat,
	SYS_fchmod,
	SYS_fchmodat,
	SYS_fchown,
	SYS_utimensat,
	SYS_umask,
	SYS_dup,
	SYS_dup3,
	SYS_pipe2,
	SYS_eventfd2,
	SYS_ppoll,
	SYS_pselect6,
	SYS_epoll_create1,
	SYS_epoll_ctl,
	SYS_epoll_pwait,
	/* memory */
	SYS_brk,
	SYS_mmap,
	SYS_munmap,
	SYS_mprotect,
	SYS_mremap,
	SYS_madvise,
	SYS_msync,
	SYS_mincore,
	/* threads */
	SYS_futex,
	SYS_set_robust_list,
	SYS_get_robust_list,
	SYS_rseq,
	SYS_membarrier,
	SYS_set_tid_address,
	SYS_sched_yield,
	SYS_sched_getaffinity,
	SYS_sched_getparam,
	SYS_sched_getscheduler,
	SYS_getcpu,
	SYS_exit,
	SYS_exit_group,
	SYS_restart_syscall,
	/* time */
	SYS_clock_gettime,
	SYS_clock_getres,
	SYS_clock_nanosleep,
	SYS_nanosleep,
	SYS_gettimeofday,
	SYS_times,
	/* signals; tgkill is how abort() ends */
	SYS_rt_sigaction,
	SYS_rt_sigprocmask,
	SYS_rt_sigreturn,
	SYS_rt_sigtimedwait,
	SYS_rt_sigpending,
	SYS_rt_sigsuspend,
	SYS_sigaltstack,
	SYS_tgkill,
	/* about ourselves */
	SYS_getpid,
	SYS_getppid,
	SYS_gettid,
	SYS_getuid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getegid,
	SYS_getrusage,
	SYS_getrandom,
	SYS_sysinfo,
	SYS_uname,
	/* sockets; socket() itself is below */
	SYS_bind,
	SYS_listen,
	SYS_accept,
	SYS_accept4,
	SYS_connect,
	SYS_getsockname,
	SYS_getpeername,
	SYS_getsockopt,
	SYS_setsockopt,
	SYS_sendto,
	SYS_sendmsg,
	SYS_sendmmsg,
	SYS_recvfrom,
	SYS_recvmsg,
	SYS_recvmmsg,
	SYS_shutdown,
#ifdef __x86_64__
	/* the older forms, which arm64 never had */
	SYS_open,
	SYS_stat,
	SYS_lstat,
	SYS_access,
	SYS_readlink,
	SYS_rename,
	SYS_unlink,
	SYS_mkdir,
	SYS_chmod,
	SYS_dup2,
	SYS_pipe,
	SYS_poll,
	SYS_select,
	SYS_epoll_create,
	SYS_epoll_wait,
	SYS_time,
	SYS_getrlimit,
#endif
};
enum { ALLOWED = sizeof(allowed) / sizeof(allowed[0]) };

/* Calls that are allowed with some values of an argument. */
struct rule {
	int call;
	unsigned argument;
	const uint32_t *values;
	size_t count;
};
static const uint32_t families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
static const uint32_t pair_families[] = { AF_UNIX };
static const uint32_t prctls[] = { PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_GET_NO_NEW_PRIVS };
static const uint32_t ioctls[] = { TCGETS, FIONBIO, FIONREAD };
static const uint32_t ourselves[] = { 0 };
#define RULE(call, argument, values)                                         \
	{                                                                    \
		call, argument, values, sizeof(values) / sizeof((values)[0]) \
	}
static const struct rule rules[] = {
	RULE(SYS_socket, 0, families), RULE(SYS_socketpair, 0, pair_families),
	RULE(SYS_prctl, 0, prctls), RULE(SYS_ioctl, 1, ioctls),
	RULE(SYS_prlimit64, 0, ourselves), /* pid 0, which is how the C library reads a limit */
};

enum {
	PROGRAM_MAX = 512,
	FIELD_CALL = offsetof(struct seccomp_data, nr),
	FIELD_ARCHITECTURE = offsetof(struct seccomp_data, arch),
};
static const uint32_t answer_allow = SECCOMP_RET_ALLOW, answer_kill = SECCOMP_RET_KILL_PROCESS,
		      answer_refuse = SECCOMP_RET_ERRNO | EPERM,
		      answer_unknown = SECCOMP_RET_ERRNO | ENOSYS;

struct program {
	struct sock_filter at[PROGRAM_MAX];
	unsigned short len;
};

static void emit(struct program *program, unsigned code, uint32_t value, unsigned yes, unsigned no)
{
	program->at[program->len++] = (struct sock_filter){ (unsigned short)code,
		(unsigned char)yes, (unsigned char)no, value };
}

static void load(struct program *program, size_t offset)
{
	emit(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* The low half, which is all that a flag or a family has; both machines are little-endian. */
static void load_argument(struct program *program, unsigned argument)
{
	load(program, offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t));
}

static void answer(struct program *program, uint32_t value)
{
	emit(program, BPF_RET | BPF_K, value, 0, 0);
}

static void allow_call(struct program *program, int call)
{
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 1);
	answer(program, answer_allow);
}

static void allow_by_argument(struct program *program, const struct rule *rule)
{
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)rule->call, 0,
		(unsigned)rule->count * 2 + 2);
	load_argument(program, rule->argument);
	for (size_t i = 0; i < rule->count; i++) {
		emit(program, BPF_JMP | BPF_JEQ | BPF_K, rule->values[i], 0, 1);
		answer(program, answer_allow);
	}
	answer(program, answer_refuse);
}

/* A thread of ours, in no new namespace. */
static void allow_threads(struct program *program)
{
	uint32_t namespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
		CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

	emit(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 5);
	load_argument(program, 0);
	emit(program, BPF_JMP | BPF_JSET | BPF_K, namespaces, 2, 0);
	emit(program, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1);
	answer(program, answer_allow);
	answer(program, answer_refuse);
}

static void make_program(struct program *program)
{
	load(program, FIELD_ARCHITECTURE);
	emit(program, BPF_JMP | BPF_JEQ | BPF_K, OUR_ARCHITECTURE, 1, 0);
	answer(program, answer_kill);
	load(program, FIELD_CALL);
	for (size_t i = 0; i < ALLOWED; i++)
		allow_call(program, allowed[i]);
	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
		allow_by_argument(program, &rules[i]);
	allow_threads(program);
	/* Also x32's numbers, which are larger than any. */
	emit(program, BPF_JMP | BPF_JGE | BPF_K, FIRST_UNKNOWN, 0, 1);
	answer(program, answer_unknown);
	answer(program, answer_refuse);
}

enum status sandbox_apply(bool *applied, struct why *why)
{
	static struct program program; /* once in a process's life */

	program.len = 0;
	make_program(&program);
	struct sock_fprog filter = { program.len, program.at };
	*applied = false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) != 0)
		return fail(why, STATUS_CANT_CREATE, "process.sandbox: no-new-privileges: %s",
			strerror(errno));
	long refused =
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter);
	if (refused > 0)
		return fail(why, STATUS_CANT_CREATE,
			"process.sandbox: thread %ld does not take the filter", refused);
	if (refused < 0 && errno != ENOSYS && errno != EINVAL)
		return fail(why, STATUS_CANT_CREATE, "process.sandbox: %s", strerror(errno));
	*applied = refused == 0; /* else the kernel is built without */
	return STATUS_OK;
}

#else

enum status sandbox_apply(bool *applied, struct why *why)
{
	(void)why;
	*applied = false;
	return STATUS_OK;
}

#endif
