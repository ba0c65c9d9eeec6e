#include "common/csvfile.h"
#include "common/number.h"
#include "common/timeutil.h"
#include <csv.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum role { ROLE_FEATURE, ROLE_TIMESTAMP, ROLE_MACHINE, ROLE_LABEL };
enum { COLUMNS_MAX = FEATURES_MAX + 3 };

/* libcsv hands over cells and row ends; this is what is known between two of them. */
struct parse {
	const char *path;
	struct csvfile csv;    /* the head, without columns */
	struct digest *digest; /* NULL: not wanted */
	csvfile_take *take;
	void *context;
	size_t rows_max;
	double cell[FEATURES_MAX]; /* this row's */
	int64_t at_ms;
	uint32_t machine;
	int8_t label;
	struct csvfile_row row; /* where they are */
	enum role role[COLUMNS_MAX];
	size_t columns, column; /* of the header; of the next cell */
	size_t line;            /* of the file, as an editor counts; 0 before the first */
	bool line_ended;        /* what comes next is on another line */
	size_t value;           /* next feature of this row */
	bool in_header;
	enum status status; /* first failure; the rest is skipped */
	struct why *why;
};

static const char *column_name(const struct parse *p, size_t column)
{
	size_t feature = 0;

	for (size_t i = 0; i < column; i++)
		feature += p->role[i] == ROLE_FEATURE;
	switch (p->role[column]) {
	case ROLE_TIMESTAMP:
		return "timestamp";
	case ROLE_MACHINE:
		return "machine";
	case ROLE_LABEL:
		return "label";
	case ROLE_FEATURE:
		break;
	}
	return p->csv.schema.feature[feature].name;
}

static bool has_role(const struct parse *p, enum role role)
{
	for (size_t i = 0; i < p->columns; i++) {
		if (p->role[i] == role)
			return true;
	}
	return false;
}

static void refuse(struct parse *p, const char *cell, size_t len, const char *reason)
{
	p->status = fail(p->why, STATUS_BAD_INPUT, "%s:%zu: column %s: \"%.*s\" %s", p->path,
		p->line, column_name(p, p->column), len > 40 ? 40 : (int)len, cell, reason);
}

static void header_cell(struct parse *p, const char *cell, size_t len)
{
	static const struct {
		const char *name;
		enum role role;
	} special[] = { { "timestamp", ROLE_TIMESTAMP }, { "machine", ROLE_MACHINE },
		{ "label", ROLE_LABEL } };

	if (p->columns == COLUMNS_MAX) {
		p->status = fail(p->why, STATUS_BAD_INPUT, "%s:1: more than %d columns", p->path,
			COLUMNS_MAX);
		return;
	}
	if (strlen(cell) != len) {
		p->status = fail(p->why, STATUS_BAD_INPUT,
			"%s:1: column %zu: a NUL byte in its name", p->path, p->columns + 1);
		return;
	}
	enum role role = ROLE_FEATURE;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++) {
		if (strcmp(cell, special[i].name) == 0)
			role = special[i].role;
	}
	if (role != ROLE_FEATURE && has_role(p, role)) {
		p->status = fail(
			p->why, STATUS_BAD_INPUT, "%s:1: column %s is there twice", p->path, cell);
		return;
	}
	struct why reason;
	if (role == ROLE_FEATURE &&
		schema_add(&p->csv.schema, cell, "", -INFINITY, INFINITY, &reason) != STATUS_OK) {
		p->status = fail(p->why, STATUS_BAD_INPUT, "%s:1: %s", p->path, reason.text);
		return;
	}
	p->role[p->columns++] = role;
}

/* realloc for one column of `rows` elements; keeps the old one on failure. */
static bool grow(void *column, size_t rows, size_t element)
{
	void **old = column;
	void *larger = realloc(*old, rows * element);

	if (larger)
		*old = larger;
	return larger != NULL;
}

struct csvfile_row csvfile_row_at(const struct csvfile *csv, size_t i)
{
	return (struct csvfile_row){ csv->value + i * csv->schema.count,
		csv->at_ms ? csv->at_ms + i : NULL, csv->machine ? csv->machine + i : NULL,
		csv->label ? csv->label + i : NULL };
}

bool csvfile_append(struct csvfile *csv, const struct csvfile_row *row)
{
	size_t width = csv->schema.count, at = csv->rows;

	if (at == csv->room) {
		size_t room = csv->room ? csv->room * 2 : 1024;
		if (!grow(&csv->value, room * (width ? width : 1), sizeof(double)) ||
			(row->at_ms && !grow(&csv->at_ms, room, sizeof(*csv->at_ms))) ||
			(row->machine && !grow(&csv->machine, room, sizeof(*csv->machine))) ||
			(row->label && !grow(&csv->label, room, sizeof(*csv->label))))
			return false;
		csv->room = room;
	}
	memcpy(csv->value + at * width, row->value, width * sizeof(double));
	if (row->at_ms)
		csv->at_ms[at] = *row->at_ms;
	if (row->machine)
		csv->machine[at] = *row->machine;
	if (row->label)
		csv->label[at] = *row->label;
	csv->rows++;
	return true;
}

static void feature_cell(struct parse *p, const char *cell, size_t len)
{
	double *value = &p->cell[p->value++];

	if (len == 0) {
		*value = NAN;
		p->csv.missing++;
	} else if (!number_parse(cell, len, value)) {
		refuse(p, cell, len, "is not a finite decimal number");
	}
}

static void timestamp_cell(struct parse *p, const char *cell, size_t len)
{
	double number;

	if (number_parse(cell, len, &number)) {
		double ms = fabs(number) < 1e11 ? number * 1000 : number;
		if (fabs(ms) > (double)TIME_MAX_MS)
			refuse(p, cell, len, "is not a time before 2109-05-15");
		else
			p->at_ms = (int64_t)floor(ms + 0.5);
	} else if (time_parse(cell, len, &p->at_ms, NULL, NULL) != STATUS_OK) {
		refuse(p, cell, len, "is neither RFC 3339 nor a number of seconds or milliseconds");
	}
}

static void machine_cell(struct parse *p, const char *cell, size_t len)
{
	struct csvfile *csv = &p->csv;

	if (!machine_name_valid(cell, len)) {
		refuse(p, cell, len, "is not a machine name, [A-Za-z0-9_-]{1,64}");
		return;
	}
	/* Rows of one machine mostly stand together, so the search ends at once. */
	size_t i = csv->machines;
	while (i > 0 && strcmp(csv->machine_name[i - 1], cell) != 0)
		i--;
	if (i == 0) {
		if (csv->machines == CSV_MACHINES_MAX) {
			p->status = fail(p->why, STATUS_FULL, "%s:%zu: more than %d machines",
				p->path, p->line, CSV_MACHINES_MAX);
			return;
		}
		if (!grow(&csv->machine_name, csv->machines + 1, sizeof(csv->machine_name[0]))) {
			p->status = fail(p->why, STATUS_NO_MEMORY, "%s: no memory", p->path);
			return;
		}
		memcpy(csv->machine_name[csv->machines], cell, len + 1);
		i = ++csv->machines;
	}
	p->machine = (uint32_t)(i - 1);
}

static void data_cell(struct parse *p, const char *cell, size_t len)
{
	if (p->column == p->columns) {
		p->status = fail(p->why, STATUS_BAD_INPUT,
			"%s:%zu: more cells than the header's %zu", p->path, p->line, p->columns);
		return;
	}
	if (p->column == 0 && p->csv.rows == p->rows_max) {
		p->status = fail(p->why, STATUS_FULL, "%s:%zu: more than %zu rows", p->path,
			p->line, p->rows_max);
		return;
	}
	switch (p->role[p->column]) {
	case ROLE_FEATURE:
		feature_cell(p, cell, len);
		break;
	case ROLE_TIMESTAMP:
		timestamp_cell(p, cell, len);
		break;
	case ROLE_MACHINE:
		machine_cell(p, cell, len);
		break;
	case ROLE_LABEL:
		if (len == 1 && (*cell == '0' || *cell == '1'))
			p->label = (int8_t)(*cell - '0');
		else
			refuse(p, cell, len, "is not a label, 0 or 1");
		break;
	}
	p->column++;
}

static void on_cell(void *data, size_t len, void *context)
{
	struct parse *p = context;
	const char *cell = data ? data : ""; /* CSV_APPEND_NULL: always terminated */

	if (p->status != STATUS_OK)
		return;
	if (len > CSV_CELL_MAX)
		p->status =
			fail(p->why, STATUS_BAD_INPUT, "%s:%zu: a cell of %zu bytes, at most %d",
				p->path, p->line, len, CSV_CELL_MAX);
	else if (p->in_header)
		header_cell(p, cell, len);
	else
		data_cell(p, cell, len);
}

static void on_row(int c, void *context)
{
	struct parse *p = context;
	(void)c;

	if (p->status != STATUS_OK)
		return;
	if (p->in_header) {
		p->in_header = false;
		p->row = (struct csvfile_row){ p->cell,
			has_role(p, ROLE_TIMESTAMP) ? &p->at_ms : NULL,
			has_role(p, ROLE_MACHINE) ? &p->machine : NULL,
			has_role(p, ROLE_LABEL) ? &p->label : NULL };
		return;
	}
	if (p->column < p->columns) {
		p->status = fail(p->why, STATUS_BAD_INPUT, "%s:%zu: %zu cells, the header has %zu",
			p->path, p->line, p->column, p->columns);
		return;
	}
	p->status = p->take(p->context, &p->csv, &p->row, p->why);
	p->csv.rows++;
	p->column = 0;
	p->value = 0;
}

/* What libcsv holds of a cell: the cell, its closing quote, a NUL and one byte to come. */
enum { CELL_BUFFER = CSV_CELL_MAX + 4 };

/* Feeds libcsv a line or the part of one that is in memory, so that an error can name it. */
static void parse_piece(struct parse *p, struct csv_parser *parser, const char *text, size_t len)
{
	p->line += p->line_ended;
	p->line_ended = text[len - 1] == '\n';
	if (csv_parse(parser, text, len, on_cell, on_row, p) != len && p->status == STATUS_OK)
		p->status = fail(p->why, STATUS_BAD_INPUT, "%s:%zu: %s", p->path, p->line,
			csv_error(parser) == CSV_EPARSE
				? "a quotation mark that neither begins nor ends a cell"
				: csv_strerror(csv_error(parser)));
	/* A cell is known here only when it ends: one open quote would take in the whole file. */
	if (p->status == STATUS_OK && csv_get_buffer_size(parser) > CELL_BUFFER)
		p->status = fail(p->why, STATUS_BAD_INPUT,
			"%s:%zu: a cell of more than %d bytes, or a quote that does not end",
			p->path, p->line, CSV_CELL_MAX);
}

static void parse_block(struct parse *p, struct csv_parser *parser, const char *text, size_t len)
{
	while (len > 0 && p->status == STATUS_OK) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) + 1 : len;
		parse_piece(p, parser, text, n);
		text += n;
		len -= n;
	}
}

static void parse_file(struct parse *p, FILE *file, struct csv_parser *parser)
{
	char block[8192]; /* a line of any length costs no more */
	size_t n;

	while (p->status == STATUS_OK && (n = fread(block, 1, sizeof(block), file)) > 0) {
		if (p->digest)
			digest_add(p->digest, block, n);
		bool marked = p->line == 0 && n >= 3 && memcmp(block, "\xef\xbb\xbf", 3) == 0;
		size_t skip = marked ? 3 : 0;
		parse_block(p, parser, block + skip, n - skip);
	}
	if (p->status == STATUS_OK && ferror(file))
		p->status = fail(p->why, STATUS_IO, "%s: %s", p->path, strerror(errno));
	if (p->status == STATUS_OK && csv_fini(parser, on_cell, on_row, p) != 0)
		p->status = fail(p->why, STATUS_BAD_INPUT, "%s:%zu: a quoted cell does not end",
			p->path, p->line);
}

static enum status read_rows(struct parse *p, struct csvfile *out)
{
	struct csv_parser parser;
	const char *path = p->path;

	FILE *file = fopen(path, "rbe");
	if (!file)
		return fail(p->why,
			errno == ENOENT || errno == ENOTDIR ? STATUS_NOT_FOUND : STATUS_IO,
			"%s: %s", path, strerror(errno));
	if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0) {
		fclose(file);
		return fail(p->why, STATUS_NO_MEMORY, "%s: no memory", path);
	}
	csv_set_blk_size(&parser, CELL_BUFFER);
	p->line_ended = p->in_header = true;
	parse_file(p, file, &parser);
	csv_free(&parser);
	fclose(file);

	if (p->status == STATUS_OK && p->in_header)
		p->status =
			fail(p->why, STATUS_BAD_INPUT, "%s: empty, not even a header row", path);
	if (p->status == STATUS_OK && p->csv.schema.count == 0)
		p->status = fail(p->why, STATUS_BAD_INPUT, "%s:1: no feature column", path);
	if (p->status == STATUS_OK)
		*out = p->csv;
	else
		csvfile_free(&p->csv);
	return p->status;
}

enum status csvfile_each(
	const char *path, csvfile_take *take, void *context, struct csvfile *out, struct why *why)
{
	struct parse p = {
		.path = path, .take = take, .context = context, .rows_max = SIZE_MAX, .why = why
	};
	struct csvfile head;

	enum status st = digest_start(&p.digest, why);
	if (st != STATUS_OK)
		return st;
	st = read_rows(&p, &head);
	if (st != STATUS_OK) {
		digest_discard(p.digest);
		return st;
	}
	st = digest_end(p.digest, head.digest, why);
	if (st == STATUS_OK)
		*out = head;
	else
		csvfile_free(&head);
	return st;
}

static enum status keep_row(
	void *context, const struct csvfile *head, const struct csvfile_row *row, struct why *why)
{
	struct csvfile *kept = context;

	if (kept->rows == 0)
		kept->schema = head->schema;
	if (csvfile_append(kept, row))
		return STATUS_OK;
	return fail(why, STATUS_NO_MEMORY, "no memory for %zu rows", kept->rows + 1);
}

enum status csvfile_load(const char *path, struct csvfile *out, struct why *why)
{
	struct csvfile kept = { .rows = 0 }, head;
	struct parse p = { .path = path,
		.take = keep_row,
		.context = &kept,
		.rows_max = CSV_ROWS_MAX,
		.why = why };

	enum status st = read_rows(&p, &head);
	if (st != STATUS_OK) {
		csvfile_free(&kept);
		return st;
	}
	head.value = kept.value;
	head.at_ms = kept.at_ms;
	head.machine = kept.machine;
	head.label = kept.label;
	head.room = kept.room;
	*out = head;
	return STATUS_OK;
}

void csvfile_free(struct csvfile *csv)
{
	free(csv->value);
	free(csv->at_ms);
	free(csv->machine);
	free(csv->machine_name);
	free(csv->label);
	memset(csv, 0, sizeof(*csv));
}
