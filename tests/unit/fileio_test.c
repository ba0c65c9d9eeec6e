#include "common/fileio.h"
#include "tests/unit/unit.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_content(const char *path, const char *expected)
{
	struct why why = { "" };
	char *data = NULL;
	size_t len = 0;

	CU_ASSERT_EQUAL(file_read(path, 1 << 20, &data, &len, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(why.text, "");
	CU_ASSERT_PTR_NOT_NULL_FATAL(data);
	CU_ASSERT_EQUAL(len, strlen(expected));
	CU_ASSERT_STRING_EQUAL(data, expected);
	free(data);
}

static void expect_unread(const char *path, size_t max, enum status status, const char *word)
{
	struct why why = { "" };
	char *data = (char *)&why;
	size_t len = 77;

	CU_ASSERT_EQUAL(file_read(path, max, &data, &len, &why), status);
	ASSERT_HOLDS(why.text, word);
	ASSERT_HOLDS(why.text, path);
	CU_ASSERT_PTR_EQUAL(data, &why);
	CU_ASSERT_EQUAL(len, 77);
}

static int entries(const char *folder)
{
	DIR *dir = opendir(folder);
	int n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
	for (struct dirent *entry; (entry = readdir(dir));)
		n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(dir);
	return n;
}

static void test_read(void)
{
	static const char bytes[] = "a\0b\nc";
	struct why why;
	char *data;
	size_t len;

	const char *path = unit_file("bytes", bytes, sizeof(bytes) - 1);
	CU_ASSERT_EQUAL_FATAL(file_read(path, 5, &data, &len, &why), STATUS_OK);

	CU_ASSERT_EQUAL(len, 5);
	CU_ASSERT_EQUAL(memcmp(data, bytes, 6), 0); /* and a NUL behind */
	free(data);
	expect_content(unit_file("empty", "", 0), "");
}

static void test_limit(void)
{
	const char *path = unit_file("six", "123456", 6);

	expect_unread(path, 5, STATUS_FULL, "6 bytes, at most 5");
	expect_unread(path, 0, STATUS_FULL, "at most 0");
}

/* 10 GB without a disk block: refused by its size, not after reading it. */
static void test_sparse(void)
{
	const char *path = unit_file("sparse", "", 0);

	if (truncate(path, (off_t)10 << 30) != 0) {
		CU_PASS("this filesystem keeps no such file");
		return;
	}
	expect_unread(path, 64 << 20, STATUS_FULL, "10737418240 bytes");
	CU_ASSERT_EQUAL(unlink(path), 0);
}

static void test_not_found(void)
{
	unit_file("plain", "x", 1);
	expect_unread(unit_path("absent"), 10, STATUS_NOT_FOUND, "No such file");
	expect_unread(unit_path("plain/inside"), 10, STATUS_NOT_FOUND, "Not a directory");
	CU_ASSERT_EQUAL(symlink("nothing", unit_path("dangling")), 0);
	expect_unread(unit_path("dangling"), 10, STATUS_NOT_FOUND, "No such file");
	CU_ASSERT_EQUAL(symlink("loop", unit_path("loop")), 0);
	expect_unread(unit_path("loop"), 10, STATUS_IO, "symbolic links");
}

/* The alarm ends the program if one of them waits for a writer. */
static void test_special(void)
{
	CU_ASSERT_EQUAL(mkfifo(unit_path("fifo"), 0600), 0);

	alarm(10);
	expect_unread(unit_path("fifo"), 10, STATUS_BAD_INPUT, "not a regular file");
	expect_unread(unit_folder(), 10, STATUS_BAD_INPUT, "not a regular file");
	expect_unread("/dev/zero", 10, STATUS_BAD_INPUT, "not a regular file");
	alarm(0);
}

static enum status replace(const char *path, const char *text, struct why *why)
{
	return file_replace(path, text, strlen(text), why);
}

static void test_replace(void)
{
	struct why why = { "" };

	CU_ASSERT_EQUAL(replace(unit_path("new"), "first", &why), STATUS_OK);
	expect_content(unit_path("new"), "first");
	CU_ASSERT_EQUAL(replace(unit_path("new"), "2", &why), STATUS_OK);
	expect_content(unit_path("new"), "2");
	CU_ASSERT_EQUAL(replace(unit_path("new"), "", &why), STATUS_OK);
	expect_content(unit_path("new"), "");
	CU_ASSERT_STRING_EQUAL(why.text, "");
}

/* Of a relative path only: a mistyped absolute one leaves nothing behind. */
static void test_folders_made(void)
{
	struct why why = { "" };
	char before[4096];

	CU_ASSERT_EQUAL(replace(unit_path("a/file"), "deep", &why), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "No such file or directory");
	CU_ASSERT_EQUAL(access(unit_path("a"), F_OK), -1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(before, sizeof(before)));
	CU_ASSERT_EQUAL_FATAL(chdir(unit_folder()), 0);
	CU_ASSERT_EQUAL(replace("a/b//c/file", "deep", &why), STATUS_OK);
	CU_ASSERT_EQUAL(file_make_folders("d/e/f", &why), STATUS_OK);
	CU_ASSERT_EQUAL(file_make_folders("d/e/f", &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(chdir(before), 0);

	expect_content(unit_path("a/b/c/file"), "deep");
	CU_ASSERT_EQUAL(entries(unit_path("a/b/c")), 1);
	CU_ASSERT_EQUAL(entries(unit_path("d/e")), 0); /* the last part is not a folder's */
	CU_ASSERT_EQUAL(file_make_folders("plain_name", &why), STATUS_OK);
	CU_ASSERT_EQUAL(file_make_folders("/plain_name", &why), STATUS_OK);
}

/* Relative paths, also without a slash, are below the working folder. */
static void test_relative(void)
{
	struct why why = { "" };
	char before[4096];

	CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(before, sizeof(before)));
	CU_ASSERT_EQUAL(mkdir(unit_path("work"), 0700), 0);
	CU_ASSERT_EQUAL_FATAL(chdir(unit_path("work")), 0);

	CU_ASSERT_EQUAL(replace("here", "1", &why), STATUS_OK);
	CU_ASSERT_EQUAL(replace("x/y", "2", &why), STATUS_OK);

	CU_ASSERT_EQUAL_FATAL(chdir(before), 0);
	expect_content(unit_path("work/here"), "1");
	expect_content(unit_path("work/x/y"), "2");
	CU_ASSERT_EQUAL(entries(unit_path("work")), 2);
}

static void test_no_path(void)
{
	static char endless[6000];
	struct why why = { "" };

	CU_ASSERT_EQUAL(file_make_folders("", &why), STATUS_OK);
	memset(endless, 'x', sizeof(endless) - 1);
	CU_ASSERT_EQUAL(replace(endless, "1", &why), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "the path is too long");
	CU_ASSERT_EQUAL(file_make_folders(endless, &why), STATUS_CANT_CREATE);
	endless[250] = '\0'; /* a name may have 255 bytes, the file beside needs more */
	CU_ASSERT_EQUAL(replace(unit_path(endless + 100), "1", &why), STATUS_OK);
	CU_ASSERT_EQUAL(replace(endless, "1", &why), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "File name too long");
}

static void test_folder_in_the_way(void)
{
	struct why why = { "" };

	CU_ASSERT_EQUAL(mkdir(unit_path("way"), 0700), 0);
	CU_ASSERT_EQUAL(mkdir(unit_path("way/folder"), 0700), 0);

	CU_ASSERT_EQUAL(replace(unit_path("way/folder"), "x", &why), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "way/folder: Is a directory");
	CU_ASSERT_EQUAL(entries(unit_path("way")), 1); /* nothing stays behind */
}

static void test_file_in_the_way(void)
{
	struct why why = { "" };

	unit_file("solid", "x", 1);
	CU_ASSERT_EQUAL(replace(unit_path("solid/file"), "x", &why), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, "Not a directory");
	expect_content(unit_path("solid"), "x");
	CU_ASSERT_EQUAL(replace(unit_path("solid/deeper/file"), "x", &why), STATUS_CANT_CREATE);
}

/* A full disk, as far as a process can make one: no file may pass 100 bytes. */
static void test_write_fails(void)
{
	static char large[100000];
	struct rlimit before, limit;
	struct why why = { "" };

	CU_ASSERT_EQUAL(mkdir(unit_path("full"), 0700), 0);
	CU_ASSERT_EQUAL(replace(unit_path("full/model"), "the old one", &why), STATUS_OK);
	memset(large, 'n', sizeof(large));
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 100;
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &limit), 0);

	enum status st = file_replace(unit_path("full/model"), large, sizeof(large), &why);

	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	CU_ASSERT_EQUAL(st, STATUS_IO);
	ASSERT_HOLDS(why.text, "File too large");
	expect_content(unit_path("full/model"), "the old one");
	CU_ASSERT_EQUAL(entries(unit_path("full")), 1);
}

static void test_symlink(void)
{
	struct why why = { "" };

	unit_file("target", "untouched", 9);
	CU_ASSERT_EQUAL(symlink("target", unit_path("link")), 0);

	CU_ASSERT_EQUAL(replace(unit_path("link"), "new", &why), STATUS_OK);
	expect_content(unit_path("link"), "new");
	expect_content(unit_path("target"), "untouched");
}

static atomic_bool done;
static atomic_int torn, reads;

static void *read_over_and_over(void *path)
{
	while (!done) {
		struct why why;
		char *data;
		size_t len;
		if (file_read(path, 1 << 20, &data, &len, &why) != STATUS_OK) {
			torn++;
			continue;
		}
		if (len != 65536 || strspn(data, (char[]){ data[0], '\0' }) != len)
			torn++;
		free(data);
		reads++;
	}
	return NULL;
}

static void test_atomic(void)
{
	static char content[65536];
	char path[256];
	struct why why = { "" };
	pthread_t reader;

	snprintf(path, sizeof(path), "%s", unit_path("swapped"));
	memset(content, 'a', sizeof(content));
	CU_ASSERT_EQUAL_FATAL(file_replace(path, content, sizeof(content), &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&reader, NULL, read_over_and_over, path), 0);

	for (int i = 0; i < 200 || reads < 200; i++) {
		memset(content, 'a' + i % 26, sizeof(content));
		CU_ASSERT_EQUAL(file_replace(path, content, sizeof(content), &why), STATUS_OK);
	}
	done = true;
	pthread_join(reader, NULL);

	CU_ASSERT_EQUAL(torn, 0);
	CU_ASSERT_TRUE(reads >= 200);
}

static CU_TestInfo cases[] = {
	{ "a file is read whole, NULs and all, with a NUL behind", test_read },
	{ "a file larger than the limit is refused", test_limit },
	{ "a sparse file of 10 GB is refused by its size", test_sparse },
	{ "what is not there is told from what cannot be read", test_not_found },
	{ "a FIFO, a folder and a device are refused without waiting", test_special },
	{ "a file is made and replaced", test_replace },
	{ "missing folders are made, the last part is not one", test_folders_made },
	{ "relative paths are below the working folder", test_relative },
	{ "an empty path makes nothing, an endless one is refused", test_no_path },
	{ "a folder in the way is refused, nothing is left behind", test_folder_in_the_way },
	{ "a file where a folder should be is refused", test_file_in_the_way },
	{ "a failed write leaves the old file and nothing else", test_write_fails },
	{ "a symbolic link is replaced, its target is not written to", test_symlink },
	{ "a reader sees the old file or the new one, never parts", test_atomic },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("fileio", cases);
}
