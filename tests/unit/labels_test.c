#include "common/fileio.h"
#include "simulator/labels.h"
#include "tests/unit/unit.h"
#include <stdlib.h>
#include <string.h>

static void expect_file(const char *path, const char *text)
{
	char *data;
	size_t len;
	struct why why;

	CU_ASSERT_EQUAL_FATAL(file_read(path, 1 << 20, &data, &len, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(data, text);
	free(data);
}

static void test_rows(void)
{
	const char *path = unit_path("labels.csv");
	struct labels *labels;
	struct why why;

	CU_ASSERT_EQUAL_FATAL(labels_create(path, &labels, &why), STATUS_OK);
	labels_add(labels, "press-1", 1795435200250, 0, false, "");
	labels_add(labels, "press-2", 1795435201250, 9007199254740991, true, "spike");
	CU_ASSERT_EQUAL(labels_flush(labels, &why), STATUS_OK);

	static const char text[] = "machine,timestamp,seq,label,fault\n"
				   "press-1,2026-11-23T12:00:00.250Z,0,0,\n"
				   "press-2,2026-11-23T12:00:01.250Z,9007199254740991,1,spike\n";
	expect_file(path, text); /* flushed: there before the end */
	CU_ASSERT_EQUAL(labels_destroy(labels, &why), STATUS_OK);
	expect_file(path, text);
}

static void test_anew(void)
{
	const char *path =
		unit_file("old.csv", "something longer than the header, and older\n", 44);
	struct labels *labels;
	struct why why;

	CU_ASSERT_EQUAL_FATAL(labels_create(path, &labels, &why), STATUS_OK);
	CU_ASSERT_EQUAL(labels_destroy(labels, &why), STATUS_OK);

	expect_file(path, "machine,timestamp,seq,label,fault\n");
}

static void test_no_place(void)
{
	struct labels *labels;
	struct why why;

	CU_ASSERT_EQUAL(labels_create(unit_folder(), &labels, &why), STATUS_CANT_CREATE);
	ASSERT_HOLDS(why.text, unit_folder());
}

static void test_full_disk(void)
{
	struct labels *labels;
	struct why why;

	CU_ASSERT_EQUAL_FATAL(labels_create("/dev/full", &labels, &why), STATUS_OK);
	labels_add(labels, "press-1", 0, 0, false, "");
	CU_ASSERT_EQUAL(labels_flush(labels, &why), STATUS_IO);
	ASSERT_HOLDS(why.text, "/dev/full");
	CU_ASSERT_EQUAL(labels_flush(labels, &why), STATUS_IO);
	CU_ASSERT_EQUAL(labels_destroy(labels, &why), STATUS_IO);
}

static void test_nobody_wants_labels(void)
{
	CU_ASSERT_EQUAL(labels_flush(NULL, NULL), STATUS_OK);
	CU_ASSERT_EQUAL(labels_destroy(NULL, NULL), STATUS_OK);
}

static CU_TestInfo cases[] = {
	{ "a row a reading, there after a flush", test_rows },
	{ "an older file is replaced", test_anew },
	{ "a file that can't be made is refused", test_no_place },
	{ "a full disk is said, and said again", test_full_disk },
	{ "without labels nothing happens", test_nobody_wants_labels },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("labels", cases);
}
