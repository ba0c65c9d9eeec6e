#include "common/reading_flat.h"
#include "common/number.h"
#include "common/timeutil.h"
#include <math.h>
#include <string.h>

enum { NUMBER_LEN_MAX = 40, TEXT_LEN_MAX = 64 };

struct flat {
	const char *at, *end;
	const struct schema *schema;
	struct reading *out;
	size_t likely;  /* the feature that comes next if the order is the schema's */
	uint64_t found; /* features, a bit each */
	bool timed, numbered;
};

_Static_assert(FEATURES_MAX <= 64, "a bit a feature");

static void skip_blanks(struct flat *f)
{
	while (f->at < f->end &&
		(*f->at == ' ' || *f->at == '\t' || *f->at == '\n' || *f->at == '\r'))
		f->at++;
}

static bool take(struct flat *f, char c)
{
	if (f->at == f->end || *f->at != c)
		return false;
	f->at++;
	return true;
}

/* Printable ASCII in quotes, without escapes: *text borrows what is between. */
static bool take_text(struct flat *f, const char **text, size_t *len)
{
	if (!take(f, '"'))
		return false;
	const char *first = f->at;
	while (f->at < f->end && *f->at >= ' ' && *f->at <= '~' && *f->at != '"' && *f->at != '\\')
		f->at++;
	*text = first;
	*len = (size_t)(f->at - first);
	return *len <= TEXT_LEN_MAX && take(f, '"');
}

static size_t take_digits(struct flat *f)
{
	const char *first = f->at;

	while (f->at < f->end && *f->at >= '0' && *f->at <= '9')
		f->at++;
	return (size_t)(f->at - first);
}

/* RFC 8259 section 6: number_parse alone takes +1, 01, 1. and .5, too. */
static bool take_number(struct flat *f, double *out)
{
	const char *first = f->at;

	(void)take(f, '-'); /* or not */
	if (!take(f, '0') && take_digits(f) == 0)
		return false;
	if (take(f, '.') && take_digits(f) == 0)
		return false;
	if (take(f, 'e') || take(f, 'E')) {
		(void)(take(f, '+') || take(f, '-'));
		if (take_digits(f) == 0)
			return false;
	}
	size_t len = (size_t)(f->at - first);
	return len <= NUMBER_LEN_MAX && number_parse(first, len, out);
}

static bool take_time(struct flat *f)
{
	struct reading *r = f->out;
	const char *text;
	size_t len;
	double number;

	if (f->timed)
		return false;
	f->timed = true;
	if (f->at < f->end && *f->at == '"')
		return take_text(f, &text, &len) &&
			time_parse(text, len, &r->at_ms, &r->at_ns, NULL) == STATUS_OK;
	return take_number(f, &number) && time_from_number(number, &r->at_ms, &r->at_ns);
}

static bool take_seq(struct flat *f)
{
	double seq;

	if (f->numbered || !take_number(f, &seq) || !(seq >= 0 && seq <= 0x1p53 - 1) ||
		seq != floor(seq))
		return false;
	f->numbered = true;
	f->out->seq = (int64_t)seq;
	return true;
}

static bool named(const char *name, const char *text, size_t len)
{
	return strncmp(name, text, len) == 0 && name[len] == '\0';
}

static bool take_feature(struct flat *f, const char *text, size_t len)
{
	const struct schema *schema = f->schema;
	size_t i = f->likely;

	if (i >= schema->count || !named(schema->feature[i].name, text, len)) {
		for (i = 0; i < schema->count && !named(schema->feature[i].name, text, len);)
			i++;
	}
	if (i == schema->count || (f->found >> i & 1) || !take_number(f, &f->out->value[i]))
		return false;
	f->found |= UINT64_C(1) << i;
	f->likely = i + 1;
	return true;
}

static bool take_member(struct flat *f)
{
	const char *text;
	size_t len;

	skip_blanks(f);
	if (!take_text(f, &text, &len))
		return false;
	skip_blanks(f);
	if (!take(f, ':'))
		return false;
	skip_blanks(f);
	bool taken = named("timestamp", text, len) ? take_time(f)
		: named("seq", text, len)          ? take_seq(f)
						   : take_feature(f, text, len);
	skip_blanks(f);
	return taken;
}

/* What was not there; false if that is every feature. */
static bool fill_missing(const struct flat *f)
{
	struct reading *r = f->out;

	r->at_sent = f->timed;
	if (!f->timed) {
		r->at_ms = r->received_ms;
		r->at_ns = 0;
	}
	if (!f->numbered)
		r->seq = READING_NO_SEQ;
	r->missing = 0;
	for (size_t i = 0; i < f->schema->count; i++) {
		if (f->found >> i & 1)
			continue;
		r->value[i] = NAN;
		r->missing++;
	}
	return f->found != 0;
}

bool reading_decode_flat(
	const char *json, size_t len, const struct schema *schema, struct reading *out)
{
	struct flat f = { .at = json, .end = json + len, .schema = schema, .out = out };

	skip_blanks(&f);
	if (!take(&f, '{'))
		return false;
	do {
		if (!take_member(&f))
			return false;
	} while (take(&f, ','));
	if (!take(&f, '}'))
		return false;
	skip_blanks(&f);
	return f.at == f.end && fill_missing(&f);
}
