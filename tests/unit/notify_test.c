#include "agent/notify.h"
#include "tests/unit/unit.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket as systemd has one; `name` as in NOTIFY_SOCKET. */
static int manager(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address,
				      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
		0);
	return fd;
}

static void check_send(const char *name)
{
	char got[64] = "";
	int fd = manager(name);

	setenv("NOTIFY_SOCKET", name, 1);
	notify_send("READY=1");
	CU_ASSERT_EQUAL(recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT), 7);
	CU_ASSERT_STRING_EQUAL(got, "READY=1");
	close(fd);
	notify_send("STOPPING=1"); /* nobody listens any more: no harm */
	unsetenv("NOTIFY_SOCKET");
}

static void test_path(void)
{
	check_send(unit_path("notify"));
}

static void test_abstract(void)
{
	char name[64];
	snprintf(name, sizeof(name), "@isolde-notify-test-%d", (int)getpid());
	check_send(name);
}

static void test_absent(void)
{
	char longer[300];

	memset(longer, '/', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", longer, 1);
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "", 1);
	notify_send("READY=1");
	unsetenv("NOTIFY_SOCKET");
}

static void test_watchdog(void)
{
	char pid[32];

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 0);
	setenv("WATCHDOG_USEC", "30000000", 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 15000);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("WATCHDOG_PID", pid, 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 15000);
	setenv("WATCHDOG_PID", "1", 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "soon", 1);
	CU_ASSERT_EQUAL(notify_watchdog_ms(), 0);
	unsetenv("WATCHDOG_USEC");
}

static CU_TestInfo cases[] = {
	{ "a state reaches a socket with a path", test_path },
	{ "a state reaches an abstract socket", test_abstract },
	{ "without a usable socket nothing happens", test_absent },
	{ "the watchdog is fed at half its interval, by its own process", test_watchdog },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("notify", cases);
}
