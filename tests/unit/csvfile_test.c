#include "common/csvfile.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct csvfile csv;

static void load_bytes(const char *bytes, size_t len)
{
	struct why why = { "" };

	csvfile_free(&csv);
	CU_ASSERT_EQUAL(csvfile_load(unit_file("in.csv", bytes, len), &csv, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(why.text, "");
}

static void load(const char *text)
{
	load_bytes(text, strlen(text));
}

/* The whole sentence behind the path: the line number matters. */
static void expect_refused_bytes(const char *bytes, size_t len, const char *sentence)
{
	struct why why = { "" };
	const char *path = unit_file("bad.csv", bytes, len);
	struct csvfile untouched = { .rows = 77 };

	CU_ASSERT_EQUAL(csvfile_load(path, &untouched, &why), STATUS_BAD_INPUT);
	CU_ASSERT_EQUAL(strncmp(why.text, path, strlen(path)), 0);
	if (strcmp(why.text + strlen(path), sentence) != 0)
		fprintf(stderr, "\nsaid     %s\nexpected ...%s\n", why.text, sentence);
	CU_ASSERT_STRING_EQUAL(why.text + strlen(path), sentence);
	CU_ASSERT_EQUAL(untouched.rows, 77);
}

static void expect_refused(const char *text, const char *sentence)
{
	expect_refused_bytes(text, strlen(text), sentence);
}

static void expect_shape(size_t rows, size_t columns)
{
	CU_ASSERT_EQUAL_FATAL(csv.rows, rows);
	CU_ASSERT_EQUAL_FATAL(csv.schema.count, columns);
}

static void expect_value(size_t row, size_t column, double value)
{
	CU_ASSERT_EQUAL(csv.value[row * csv.schema.count + column], value);
}

static void test_plain(void)
{
	load("temperature,humidity\n61.2,38.5\n-1e-3,+2\n");

	expect_shape(2, 2);
	CU_ASSERT_STRING_EQUAL(csv.schema.feature[0].name, "temperature");
	CU_ASSERT_STRING_EQUAL(csv.schema.feature[1].name, "humidity");
	expect_value(0, 0, 61.2);
	expect_value(0, 1, 38.5);
	expect_value(1, 0, -0.001);
	expect_value(1, 1, 2);
	CU_ASSERT_PTR_NULL(csv.at_ms);
	CU_ASSERT_PTR_NULL(csv.machine);
	CU_ASSERT_PTR_NULL(csv.label);
	CU_ASSERT_EQUAL(csv.missing, 0);
}

static void test_same_file(void)
{
	static const char *const forms[] = { "a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4",
		"a,b\r\n1,2\r\n3,4\r\n", "a,b\r\n1,2\r\n3,4", "\357\273\277a,b\n1,2\n3,4\n",
		"\xef\xbb\xbf\"a\",b\r\n1,2\r\n3,4\r\n", "\"a\",\"b\"\n\"1\",\"2\"\n\"3\",4\n",
		"a,b\n\n1,2\n\n\n3,4\n\n", "\n\na,b\n1,2\n3,4\n", " a , b \n 1 ,\t2\n3,4 \n",
		"a,b\n1,\"2\"\r\n3,4\n", "a,b\n1,\"2\" \n3,4\n" };

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		load(forms[i]);
		expect_shape(2, 2);
		CU_ASSERT_STRING_EQUAL(csv.schema.feature[0].name, "a");
		CU_ASSERT_STRING_EQUAL(csv.schema.feature[1].name, "b");
		expect_value(0, 0, 1);
		expect_value(0, 1, 2);
		expect_value(1, 0, 3);
		expect_value(1, 1, 4);
	}
}

static void test_set_apart(void)
{
	load("label,a,machine,b,timestamp\n"
	     "0,1,press-1,2,2026-11-23T12:00:00.250Z\n"
	     "1,3,press-2,4,2026-11-23T13:00:01+01:00\n"
	     "0,5,press-1,6,1795435202\n");

	expect_shape(3, 2);
	CU_ASSERT_STRING_EQUAL(csv.schema.feature[0].name, "a");
	CU_ASSERT_STRING_EQUAL(csv.schema.feature[1].name, "b");
	for (size_t i = 0; i < 6; i++)
		CU_ASSERT_EQUAL(csv.value[i], (double)i + 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(csv.at_ms);
	CU_ASSERT_EQUAL(csv.at_ms[0], 1795435200250);
	CU_ASSERT_EQUAL(csv.at_ms[1], 1795435201000);
	CU_ASSERT_EQUAL(csv.at_ms[2], 1795435202000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(csv.machine);
	CU_ASSERT_EQUAL(csv.machines, 2);
	CU_ASSERT_EQUAL(csv.machine[0], 0);
	CU_ASSERT_EQUAL(csv.machine[1], 1);
	CU_ASSERT_EQUAL(csv.machine[2], 0);
	CU_ASSERT_STRING_EQUAL(csv.machine_name[0], "press-1");
	CU_ASSERT_STRING_EQUAL(csv.machine_name[1], "press-2");
	CU_ASSERT_PTR_NOT_NULL_FATAL(csv.label);
	CU_ASSERT_EQUAL(csv.label[0], 0);
	CU_ASSERT_EQUAL(csv.label[1], 1);
	CU_ASSERT_EQUAL(csv.label[2], 0);
}

static void test_timestamps(void)
{
	static const struct {
		const char *cell;
		int64_t ms;
	} rows[] = { { "1795435200.25", 1795435200250 }, { "1795435200250", 1795435200250 },
		{ "2026-11-23T12:00:00.250Z", 1795435200250 },
		{ "2026-11-23 12:00:00.25+00:00", 1795435200250 }, { "0", 0 }, { "17", 17000 },
		{ "0.0015", 2 }, { "-2.5", -2500 }, { "1e11", 100000000000 },
		{ "4398046511.103", TIME_MAX_MS }, { "4398046511103", TIME_MAX_MS } };
	char text[200];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "timestamp,a\n%s,1\n", rows[i].cell);
		load(text);
		expect_shape(1, 1);
		CU_ASSERT_EQUAL(csv.at_ms[0], rows[i].ms);
	}
}

static void test_timestamps_refused(void)
{
	expect_refused("timestamp,a\n1,1\nyesterday,1\n",
		":3: column timestamp: \"yesterday\" is neither RFC 3339 nor a number of seconds or "
		"milliseconds");
	expect_refused("timestamp,a\n,1\n",
		":2: column timestamp: \"\" is neither RFC 3339 nor a number of seconds or "
		"milliseconds");
	expect_refused("timestamp,a\n2026-02-29T12:00:00Z,1\n",
		":2: column timestamp: \"2026-02-29T12:00:00Z\" is neither RFC 3339 nor a number of "
		"seconds or milliseconds");
	expect_refused("timestamp,a\n4398046511104,1\n",
		":2: column timestamp: \"4398046511104\" is not a time before 2109-05-15");
	expect_refused("timestamp,a\n99999999999,1\n",
		":2: column timestamp: \"99999999999\" is not a time before 2109-05-15");
	expect_refused("timestamp,a\n-1e300,1\n",
		":2: column timestamp: \"-1e300\" is not a time before 2109-05-15");
}

static void test_missing(void)
{
	load("a,b,c\n1,,3\n,,\n\"\",5, \n");

	expect_shape(3, 3);
	CU_ASSERT_EQUAL(csv.missing, 6);
	expect_value(0, 0, 1);
	CU_ASSERT_TRUE(isnan(csv.value[1]));
	expect_value(0, 2, 3);
	for (size_t i = 3; i < 7; i++)
		CU_ASSERT_TRUE(isnan(csv.value[i]));
	expect_value(2, 1, 5);
	CU_ASSERT_TRUE(isnan(csv.value[8]));

	load("a,b\n1,2\n3,"); /* also as the very last byte */
	expect_shape(2, 2);
	CU_ASSERT_TRUE(isnan(csv.value[3]));
}

static void test_ragged(void)
{
	expect_refused("a,b\n1,2\n3\n4,5\n", ":3: 1 cells, the header has 2");
	expect_refused("a,b\n1,2\n3,4,5\n6,7\n", ":3: more cells than the header's 2");
	expect_refused("a,b\n1,2,\n", ":2: more cells than the header's 2");
	expect_refused("a,b\r\n1,2\r\n3\r\n", ":3: 1 cells, the header has 2");
	expect_refused("a,b\n1,2\n3", ":3: 1 cells, the header has 2");
	expect_refused("a,b\n1,2\n3,4,5", ":3: more cells than the header's 2");
}

static void test_not_numbers(void)
{
	static const char *const cells[] = { "x", "NaN", "nan", "inf", "-Infinity", "1e999", "0x10",
		"1 2", "1.2.3", "null", "=cmd", "--1", "1e", "12%" };
	char text[100], sentence[200];

	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		snprintf(text, sizeof(text), "a,b\n1,2\n3,%s\n5,6\n", cells[i]);
		snprintf(sentence, sizeof(sentence),
			":3: column b: \"%s\" is not a finite decimal number", cells[i]);
		expect_refused(text, sentence);
		text[strlen(text) - 5] = '\0'; /* the same as a last line without its newline */
		expect_refused(text, sentence);
	}
	expect_refused("a,b\n1,2\n1,5,2\n", ":3: more cells than the header's 2");
	expect_refused("a,b\n\"1,5\",2\n", ":2: column a: \"1,5\" is not a finite decimal number");
	expect_refused("a;b\n1;2\n", ":2: column a;b: \"1;2\" is not a finite decimal number");
}

/* The column is named with the others set apart before it. */
static void test_column_named(void)
{
	expect_refused("timestamp,a,machine,b,label\n1,2,m,x,0\n",
		":2: column b: \"x\" is not a finite decimal number");
	expect_refused("timestamp,a,machine,b,label\n1,2,m/1,3,0\n",
		":2: column machine: \"m/1\" is not a machine name, [A-Za-z0-9_-]{1,64}");
	expect_refused("timestamp,a,machine,b,label\n1,2,m,3,2\n",
		":2: column label: \"2\" is not a label, 0 or 1");
}

static void test_labels_refused(void)
{
	static const char *const cells[] = { "", "2", "-1", "00", "1.0", "true", "01" };
	char text[100], sentence[200];

	for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
		snprintf(text, sizeof(text), "a,label\n1,0\n2,1\n3,%s\n", cells[i]);
		snprintf(sentence, sizeof(sentence),
			":4: column label: \"%s\" is not a label, 0 or 1", cells[i]);
		expect_refused(text, sentence);
	}
}

static void test_machines(void)
{
	char text[300], name[MACHINE_NAME_MAX + 2];

	memset(name, 'm', sizeof(name));
	name[MACHINE_NAME_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "machine,a\n%s,1\n", name + 1);
	load(text);
	CU_ASSERT_STRING_EQUAL(csv.machine_name[0], name + 1);

	snprintf(text, sizeof(text), "machine,a\n%s,1\n", name);
	expect_refused(text,
		":2: column machine: \"mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm\" is not a machine name, "
		"[A-Za-z0-9_-]{1,64}");
	expect_refused("machine,a\n,1\n",
		":2: column machine: \"\" is not a machine name, [A-Za-z0-9_-]{1,64}");
}

static void test_headers_refused(void)
{
	char text[300], name[FEATURE_NAME_MAX + 2];

	expect_refused("a,b,a\n1,2,3\n", ":1: feature \"a\" is there twice");
	expect_refused("a,label,label\n1,0,0\n", ":1: column label is there twice");
	expect_refused("timestamp,timestamp\n1,0\n", ":1: column timestamp is there twice");
	expect_refused("machine,a,machine\nm,0,m\n", ":1: column machine is there twice");
	expect_refused("a,seq\n1,2\n", ":1: feature \"seq\": this name is reserved");
	expect_refused(
		"anomaly_score\n1\n", ":1: feature \"anomaly_score\": this name is reserved");
	expect_refused("a,,c\n1,2,3\n", ":1: feature 2: a name has 1 to 64 bytes, this one 0");
	expect_refused("a,b,\n1,2,3\n", ":1: feature 3: a name has 1 to 64 bytes, this one 0");
	expect_refused("a,\"b\nc\"\n1,2\n",
		":1: feature 2: its name holds a control byte, quote, backslash or comma, or is not "
		"UTF-8");
	expect_refused("a,\"b,c\"\n1,2\n",
		":1: feature 2: its name holds a control byte, quote, backslash or comma, or is not "
		"UTF-8");
	expect_refused("Lautst\xe4rke\n1\n",
		":1: feature 1: its name holds a control byte, quote, backslash or comma, or is not "
		"UTF-8");
	expect_refused("timestamp,label\n1,0\n", ":1: no feature column");
	memset(name, 'n', sizeof(name));
	name[FEATURE_NAME_MAX + 1] = '\0';
	snprintf(text, sizeof(text), "a,%s\n1,2\n", name);
	expect_refused(text, ":1: feature 2: a name has 1 to 64 bytes, this one 65");
}

static void test_empty(void)
{
	expect_refused("", ": empty, not even a header row");
	expect_refused("\xef\xbb\xbf", ": empty, not even a header row");
	expect_refused("\n\r\n\n", ": empty, not even a header row");

	load("a,b\n");
	expect_shape(0, 2);
	load("a,b"); /* a header only is a file of no rows: who needs rows says so */
	expect_shape(0, 2);
}

static void test_nul(void)
{
	static const char in_cell[] = "a,b\n1,2\n3\0,4\n";
	static const char whole[] = "a,b\n1,2\n3,\0\n";
	static const char in_name[] = "a\0x,b\n1,2\n";
	static const char in_machine[] = "machine,a\nm\0m,1\n";
	static const char in_time[] = "timestamp,a\n2026-11-23T12:00:00Z\0,1\n";
	static const char in_label[] = "label,a\n1\0,1\n";

	expect_refused_bytes(
		in_cell, sizeof(in_cell) - 1, ":3: column a: \"3\" is not a finite decimal number");
	expect_refused_bytes(
		whole, sizeof(whole) - 1, ":3: column b: \"\" is not a finite decimal number");
	expect_refused_bytes(in_name, sizeof(in_name) - 1, ":1: column 1: a NUL byte in its name");
	expect_refused_bytes(in_machine, sizeof(in_machine) - 1,
		":2: column machine: \"m\" is not a machine name, [A-Za-z0-9_-]{1,64}");
	expect_refused_bytes(in_time, sizeof(in_time) - 1,
		":2: column timestamp: \"2026-11-23T12:00:00Z\" is neither RFC 3339 nor a number of "
		"seconds or milliseconds");
	expect_refused_bytes(
		in_label, sizeof(in_label) - 1, ":2: column label: \"1\" is not a label, 0 or 1");
}

static void test_quotes(void)
{
	load("\"a\",\"b\"\n\"1\",2\n");
	expect_shape(1, 2);
	expect_refused("a,b\n1,2\n3,\"x\"\"y\"\n",
		":3: column b: \"x\"y\" is not a finite decimal number");
	expect_refused(
		"a,b\n1,2\n3,\"4\"5\n", ":3: a quotation mark that neither begins nor ends a cell");
	expect_refused(
		"a,b\n1,2\n3,4\"5\n", ":3: a quotation mark that neither begins nor ends a cell");
	expect_refused("a,b\n1,2\n3,\"4\"\"\n", ":3: a quoted cell does not end");
}

/* A cell of several lines is named by its last, what follows by its own. */
static void test_newline_in_quotes(void)
{
	expect_refused(
		"a,b\n1,\"2\n\"\n3,4\n", ":3: column b: \"2\n\" is not a finite decimal number");
	load("\"machine\",a\n\"press-1\",\"1\"\n");
	expect_shape(1, 1);
	expect_refused(
		"a,b\n\"1\n\n\n\",2\n", ":5: column a: \"1\n\n\n\" is not a finite decimal number");
}

static void test_unterminated(void)
{
	expect_refused("a,b\n1,2\n3,\"4\n5,6\n", ":4: a quoted cell does not end");
	expect_refused("a,b\n1,2\n3,\"4", ":3: a quoted cell does not end");
	expect_refused("\"a,b\n1,2\n", ":2: a quoted cell does not end");
}

/* Blank lines, CRLF and a mark are counted like an editor counts them. */
static void test_line_numbers(void)
{
	static const char wrong[] = " is not a finite decimal number";
	char sentence[100];

	snprintf(sentence, sizeof(sentence), ":6: column a: \"x\"%s", wrong);
	expect_refused("a\n1\n\n\n2\nx\n3\n", sentence);
	expect_refused("a\n1\n\n\n2\nx", sentence);
	expect_refused("a\r\n1\r\n\r\n\r\n2\r\nx\r\n", sentence);
	expect_refused("\n\n\na\n1\nx\n", sentence);
	expect_refused("\357\273\277a\n1\n\n\n2\nx\n", sentence);
	expect_refused("\"a\"\n\"1\"\n\n\n\"2\"\n\"x\"", sentence);
}

/* "f0,f1,f2" with a prefix of "f". */
static const char *cells(size_t n, const char *prefix)
{
	static char text[100000];
	char *at = text;

	for (size_t i = 0; i < n; i++)
		at += sprintf(at, "%s%s%zu", i ? "," : "", prefix, i);
	return text;
}

static void test_columns(void)
{
	static char text[200000];

	snprintf(text, sizeof(text), "%s\n", cells(64, "f"));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", cells(64, ""));
	load(text);
	expect_shape(1, 64);
	expect_value(0, 63, 63);

	snprintf(text, sizeof(text), "timestamp,machine,label,%s\n1,m,0,", cells(64, "f"));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", cells(64, ""));
	load(text);
	expect_shape(1, 64);

	snprintf(text, sizeof(text), "%s\n", cells(65, "f"));
	expect_refused(text, ":1: more than 64 features");
	snprintf(text, sizeof(text), "timestamp,machine,label,%s\n", cells(65, "f"));
	expect_refused(text, ":1: more than 67 columns");
	snprintf(text, sizeof(text), "%s\n", cells(9000, "f"));
	expect_refused(text, ":1: more than 64 features");
}

static void test_huge_cell(void)
{
	static char text[3000000], cell[CSV_CELL_MAX + 1];

	memset(cell, '0', sizeof(cell));
	snprintf(text, sizeof(text), "a,b\n1,2\n3,%.*s\n", CSV_CELL_MAX, cell);
	expect_refused(text,
		":3: column b: \"0000000000000000000000000000000000000000\" is not a "
		"finite decimal number"); /* long, but a cell: numbers end at 511 */
	snprintf(text, sizeof(text), "a,b\n1,2\n3,\"%.*s\"\n", CSV_CELL_MAX, cell);
	expect_refused(text,
		":3: column b: \"0000000000000000000000000000000000000000\" is not a "
		"finite decimal number");
	snprintf(text, sizeof(text), "a,b\n1,2\n3,%.*s\n", CSV_CELL_MAX + 1, cell);
	expect_refused(text, ":3: a cell of 1025 bytes, at most 1024");
	snprintf(text, sizeof(text), "a,b\n1,%.*s\n", 500, cell);
	load(text);
	expect_value(0, 1, 0);

	memset(text, '1', sizeof(text) - 1);
	memcpy(text, "a,b\n1,2\n3,", 10);
	text[sizeof(text) - 1] = '\0';
	expect_refused(text, ":3: a cell of more than 1024 bytes, or a quote that does not end");
}

/* One open quote in a long file: found where the cell grows too long, in bounded memory. */
static void test_open_quote_early(void)
{
	enum { LINES = 2000000 };
	char *text = malloc(LINES * 4 + 16), *at = text;
	struct rusage before, after;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	at = stpcpy(at, "a,b\n1,\"2\n");
	for (int i = 0; i < LINES; i++)
		at = stpcpy(at, "3,4\n");
	getrusage(RUSAGE_SELF, &before);

	/* Lines of 4 bytes: 1,028 bytes of buffer are passed in line 259. */
	expect_refused_bytes(text, (size_t)(at - text),
		":259: a cell of more than 1024 bytes, or a quote that does not end");

	getrusage(RUSAGE_SELF, &after);
#ifndef __SANITIZE_THREAD__ /* its shadow memory counts as ours */
	CU_ASSERT_TRUE(after.ru_maxrss - before.ru_maxrss < 4096); /* KiB */
#endif
	free(text);
}

static void test_many_rows(void)
{
	enum { ROWS = 200000 };
	char *text = malloc(ROWS * 64), *at = text;

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	at = stpcpy(at, "timestamp,machine,a,b,label\n");
	for (int i = 0; i < ROWS; i++)
		at += sprintf(
			at, "%d,press-%d,%d.5,%s,%d\n", i, i % 7, i, i % 10 ? "1e-3" : "", i % 2);
	load_bytes(text, (size_t)(at - text));

	expect_shape(ROWS, 2);
	CU_ASSERT_EQUAL(csv.missing, ROWS / 10);
	CU_ASSERT_EQUAL(csv.machines, 7);
	size_t wrong = 0;
	for (size_t i = 0; i < ROWS; i++) {
		wrong += csv.at_ms[i] != (int64_t)i * 1000 || csv.machine[i] != i % 7 ||
			csv.value[2 * i] != (double)i + 0.5 || csv.label[i] != (int8_t)(i % 2) ||
			(i % 10 ? csv.value[2 * i + 1] != 0.001 : !isnan(csv.value[2 * i + 1]));
	}
	CU_ASSERT_EQUAL(wrong, 0);

	strcpy(at, "1,press-1,x,1,0\n");
	expect_refused(text, ":200002: column a: \"x\" is not a finite decimal number");
	free(text);
}

/* 20 million rows fit, one more is refused: 40 MB of file, 256 MB of memory for a second. */
static void test_too_many_rows(void)
{
	size_t len = 2 + 2 * ((size_t)CSV_ROWS_MAX + 1);
	char *text = malloc(len);
	struct csvfile large;
	struct why why = { "" };

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	for (size_t i = 0; i < len; i += 2)
		memcpy(text + i, i ? "1\n" : "a\n", 2);

	const char *path = unit_file("large.csv", text, len - 2);
	CU_ASSERT_EQUAL_FATAL(csvfile_load(path, &large, &why), STATUS_OK);
	CU_ASSERT_EQUAL(large.rows, CSV_ROWS_MAX);
	csvfile_free(&large);

	path = unit_file("large.csv", text, len);
	CU_ASSERT_EQUAL(csvfile_load(path, &large, &why), STATUS_FULL);
	ASSERT_HOLDS(why.text, "large.csv:20000002: more than 20000000 rows");
	free(text);
}

static void test_too_many_machines(void)
{
	char *text = malloc(200000), *at = text;
	struct csvfile many;
	struct why why = { "" };

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	at = stpcpy(at, "machine,a\n");
	for (int i = 0; i < CSV_MACHINES_MAX; i++)
		at += sprintf(at, "m%d,1\n", i);
	load(text);
	CU_ASSERT_EQUAL(csv.machines, CSV_MACHINES_MAX);
	CU_ASSERT_STRING_EQUAL(csv.machine_name[9999], "m9999");

	strcpy(at, "one-more,1\n");
	const char *path = unit_file("many.csv", text, strlen(text));
	CU_ASSERT_EQUAL(csvfile_load(path, &many, &why), STATUS_FULL);
	ASSERT_HOLDS(why.text, "many.csv:10002: more than 10000 machines");
	free(text);
}

/* A file is read 8 KiB at a time: every byte of a row falls on that border once. */
static void test_block_borders(void)
{
	static char text[10000];
	char sentence[80];

	for (size_t blanks = 8192 - 64; blanks < 8192; blanks++) {
		char *at = stpcpy(text, "a,b,c\n");
		memset(at, '\n', blanks);
		at += blanks;
		strcpy(at, "12.25,\"34.5\",\"\"\r\n1,2,3\n");
		load(text);
		expect_shape(2, 3);
		expect_value(0, 0, 12.25);
		expect_value(0, 1, 34.5);
		expect_value(1, 2, 3);

		strcpy(at, "12.25,\"34.5\",\"\"\r\n1,2,x\n");
		snprintf(sentence, sizeof(sentence),
			":%zu: column c: \"x\" is not a finite decimal number", blanks + 3);
		expect_refused(text, sentence);
	}
}

/* A mark is one only at the beginning of the file, not of what is read next. */
static void test_mark_later(void)
{
	static char text[9000];

	memset(text, '\n', 8192);
	memcpy(text, "a\n1\n", 4);
	strcpy(text + 8192, "\357\273\2772\n");
	expect_refused(text, ":8191: column a: \"\357\273\2772\" is not a finite decimal number");
}

static void test_no_file(void)
{
	struct csvfile none = { .rows = 77 };
	struct why why = { "" };

	CU_ASSERT_EQUAL(csvfile_load(unit_path("none.csv"), &none, &why), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "none.csv: No such file");
	CU_ASSERT_EQUAL(csvfile_load(unit_path("none/x.csv"), &none, &why), STATUS_NOT_FOUND);
	CU_ASSERT_EQUAL(csvfile_load(unit_folder(), &none, &why), STATUS_IO);
	ASSERT_HOLDS(why.text, "Is a directory");
	CU_ASSERT_EQUAL(none.rows, 77);
}

static void test_free(void)
{
	struct csvfile zero = { .rows = 0 };

	csvfile_free(&zero);
	load("machine,timestamp,label,a\nm,1,0,2\n");
	csvfile_free(&csv);
	CU_ASSERT_EQUAL(csv.rows, 0);
	CU_ASSERT_PTR_NULL(csv.value);
	csvfile_free(&csv);
}

struct taken {
	size_t rows, stop_at; /* seen; after so many it is enough */
	double sum;
	int64_t last_ms;
	bool columns; /* times, machines and labels came along */
};

static enum status take(
	void *context, const struct csvfile *head, const struct csvfile_row *row, struct why *why)
{
	struct taken *t = context;

	CU_ASSERT_EQUAL(head->rows, t->rows);
	if (++t->rows == t->stop_at)
		return fail(why, STATUS_FULL, "enough");
	t->sum += row->value[0] + 100 * row->value[1];
	t->columns = row->at_ms && row->machine && row->label;
	t->last_ms = row->at_ms ? *row->at_ms : -1;
	if (row->machine)
		CU_ASSERT_STRING_EQUAL(head->machine_name[*row->machine], t->rows == 1 ? "p" : "q");
	return STATUS_OK;
}

static void test_each(void)
{
	static const char text[] = "timestamp,a,machine,b,label\n1,2,p,3,0\n5,4,q,5,1\n";
	struct taken taken = { .rows = 0 };
	struct csvfile head = { .rows = 99 };
	struct why why = { "" };
	const char *path = unit_file("each.csv", text, sizeof(text) - 1);

	CU_ASSERT_EQUAL_FATAL(csvfile_each(path, take, &taken, &head, &why), STATUS_OK);
	CU_ASSERT_EQUAL(taken.rows, 2);
	CU_ASSERT_EQUAL(taken.sum, 806);
	CU_ASSERT_EQUAL(taken.last_ms, 5000);
	CU_ASSERT_TRUE(taken.columns);
	CU_ASSERT_EQUAL(head.rows, 2);
	CU_ASSERT_EQUAL(head.machines, 2);
	CU_ASSERT_EQUAL(head.schema.count, 2);
	CU_ASSERT_PTR_NULL(head.value);
	char digest[DIGEST_TEXT_SIZE];
	CU_ASSERT_EQUAL(digest_file_hex(path, digest, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(head.digest, digest);
	csvfile_free(&head);

	head.rows = 99;
	taken = (struct taken){ .stop_at = 2 };
	CU_ASSERT_EQUAL(csvfile_each(path, take, &taken, &head, &why), STATUS_FULL);
	CU_ASSERT_STRING_EQUAL(why.text, "enough");
	CU_ASSERT_EQUAL(taken.rows, 2);
	CU_ASSERT_EQUAL(head.rows, 99);

	path = unit_file("bare.csv", "a,b\n1,2\n", 8);
	taken = (struct taken){ .rows = 0 };
	CU_ASSERT_EQUAL_FATAL(csvfile_each(path, take, &taken, &head, &why), STATUS_OK);
	CU_ASSERT_FALSE(taken.columns);
	CU_ASSERT_EQUAL(taken.last_ms, -1);
	csvfile_free(&head);
}

static CU_TestInfo cases[] = {
	{ "columns and numbers are read in their order", test_plain },
	{ "marks, CRLF, quotes, blank lines and blanks make no difference", test_same_file },
	{ "timestamp, machine and label are set apart, wherever they stand", test_set_apart },
	{ "timestamps are RFC 3339, seconds or milliseconds", test_timestamps },
	{ "other timestamps are refused", test_timestamps_refused },
	{ "empty cells are missing values", test_missing },
	{ "a row too short or too long is refused with its line", test_ragged },
	{ "text, NaN, infinities and 1e999 are refused with line and column", test_not_numbers },
	{ "the column at fault is named", test_column_named },
	{ "labels are 0 or 1", test_labels_refused },
	{ "machine names have 1 to 64 bytes", test_machines },
	{ "repeated, reserved, empty and unfit column names are refused", test_headers_refused },
	{ "an empty file is refused, a header only has no rows", test_empty },
	{ "a NUL byte is refused everywhere", test_nul },
	{ "quotes may enclose a cell and nothing less", test_quotes },
	{ "a newline in quotes is part of its cell", test_newline_in_quotes },
	{ "a quote that does not end is refused", test_unterminated },
	{ "line numbers are those of an editor", test_line_numbers },
	{ "64 features and 67 columns fit, more do not", test_columns },
	{ "a cell of 1,024 bytes fits, a larger one is refused", test_huge_cell },
	{ "an open quote does not take the whole file into memory", test_open_quote_early },
	{ "200,000 rows are read, and the line behind them is known", test_many_rows },
	{ "20,000,000 rows fit, one more is refused", test_too_many_rows },
	{ "10,000 machines fit, one more is refused", test_too_many_machines },
	{ "rows may lie across the borders of what is read at once", test_block_borders },
	{ "a mark in the middle of the file is text", test_mark_later },
	{ "a missing file and a folder are told apart", test_no_file },
	{ "row by row, until the file or the taker ends it", test_each },
	{ "freeing twice is safe", test_free },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	int failures = unit_run("csvfile", cases);

	csvfile_free(&csv);
	return failures;
}
