#include "agent/config_file.h"
#include "common/fileio.h"
#include <confuse.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SECTIONS_MAX = 16,
	SECTION_SETTINGS_MAX = 16,
	/* bytes; libconfuse's time grows with the square of a text's length */
	LINE_MAX_BYTES = 4096,
};

/* libconfuse's callbacks get no context of ours, and its scanner is static anyway. */
static struct reading_file {
	const char *path;
	config_file_each *each;
	void *context;
	struct why *why;
	enum status status; /* of the first failure */
} * current;

static void place_of(const char *path, int line, char out[SETTING_PLACE_MAX])
{
	/* Of a long path the end says more. */
	size_t len = strlen(path), most = 128;

	snprintf(out, SETTING_PLACE_MAX, "%s:%d: ", len > most ? path + len - most : path, line);
}

static enum status refuse(const char *path, int line, struct why *why, const char *sentence)
{
	char place[SETTING_PLACE_MAX];

	place_of(path, line, place);
	return fail(why, STATUS_BAD_CONFIG, "%s%s", place, sentence);
}

/* ---- lines and comments ---- */

static enum status check_lines(const char *path, const char *text, struct why *why)
{
	for (int line = 1; *text; line++) {
		size_t len = strcspn(text, "\n");
		if (len > LINE_MAX_BYTES)
			return refuse(path, line, why, "this line is far too long");
		text += len + (text[len] == '\n');
	}
	return STATUS_OK;
}

struct cursor {
	char *at;
	int line;
};

static void step(struct cursor *cursor)
{
	if (*cursor->at == '\n')
		cursor->line++;
	cursor->at++;
}

/* From an opening quote past its closing one, or to the end. */
static void skip_quoted(struct cursor *cursor)
{
	char quote = *cursor->at;

	step(cursor);
	while (*cursor->at && *cursor->at != quote) {
		if (*cursor->at == '\\' && cursor->at[1])
			step(cursor);
		step(cursor);
	}
	if (*cursor->at)
		step(cursor);
}

/* A slash comment needs a blank or a brace before it: mqtt://host is a word. */
static bool comment_begins(const char *text, const char *at)
{
	if (*at == '#')
		return true;
	if (at[0] != '/' || (at[1] != '/' && at[1] != '*'))
		return false;
	return at == text || strchr(" \t\r\n{}=", at[-1]);
}

/* Overwrites a comment with blanks, but for the line ends; false if it never ends. */
static bool blank_comment(struct cursor *cursor)
{
	bool block = cursor->at[0] == '/' && cursor->at[1] == '*';
	const char *end = block ? strstr(cursor->at + 2, "*/") : strchr(cursor->at, '\n');

	if (block && !end)
		return false;
	if (block)
		end += 2;
	while (*cursor->at && cursor->at != end) {
		bool newline = *cursor->at == '\n';
		char *here = cursor->at;
		step(cursor);
		if (!newline)
			*here = ' ';
	}
	return true;
}

/* libconfuse 3.3 counts every line with a comment up to three times, takes a comment that never
 * ends for the end of the file, and a section that never ends for a finished one. So comments
 * go before it looks, and sections are checked here. */
static enum status prepare(const char *path, char *text, struct why *why)
{
	struct cursor cursor = { text, 1 };
	int opened = 0; /* the line of the open section, 0: none */

	while (*cursor.at) {
		if (*cursor.at == '"' || *cursor.at == '\'') {
			skip_quoted(&cursor);
			continue;
		}
		if (comment_begins(text, cursor.at)) {
			if (!blank_comment(&cursor))
				return refuse(path, cursor.line, why,
					"the comment that begins here never ends");
			continue;
		}
		if (*cursor.at == '{' && opened == 0)
			opened = cursor.line;
		if (*cursor.at == '}')
			opened = 0;
		step(&cursor);
	}
	if (opened > 0)
		return refuse(path, opened, why, "the section that begins here is never closed");
	return STATUS_OK;
}

/* ---- libconfuse ---- */

static int on_value(cfg_t *section, cfg_opt_t *option, const char *value, void *result)
{
	const struct setting *setting = setting_find(section->name, option->name);

	/* We keep the value, libconfuse need not: it could be a secret. */
	*(const char **)result = "";
	current->status =
		current->each(current->context, setting, value, section->line, current->why);
	return current->status ? -1 : 0;
}

/* The word between the quotes of libconfuse's "no such option 'word'"; false for other messages. */
static bool unknown_word(const char *message, char *out, size_t size)
{
	static const char lead[] = "no such option '";

	if (strncmp(message, lead, sizeof(lead) - 1) != 0)
		return false;
	snprintf(out, size, "%s", message + sizeof(lead) - 1);
	char *quote = strrchr(out, '\'');
	if (quote)
		*quote = '\0';
	return true;
}

static enum status refuse_word(const char *place, const char *section, char *word, struct why *why)
{
	char *dot = strchr(word, '.');

	if (strcmp(section, "root") != 0)
		return setting_refuse_unknown(place, section, word, why);
	if (!dot)
		return setting_refuse_unknown(place, word, "", why);
	*dot = '\0';
	if (!setting_find(word, dot + 1))
		return setting_refuse_unknown(place, word, dot + 1, why);
	return fail(why, STATUS_BAD_CONFIG,
		"%s%s.%s: a setting stands inside its section: %s { %s = ... }", place, word,
		dot + 1, word, dot + 1);
}

static void __attribute__((format(printf, 2, 0)))
on_error(cfg_t *section, const char *format, va_list args)
{
	char message[256], word[256], place[SETTING_PLACE_MAX];

	if (current->status)
		return;
	vsnprintf(message, sizeof(message), format, args);
	place_of(current->path, section->line, place);
	if (unknown_word(message, word, sizeof(word)))
		current->status = refuse_word(place, section->name, word, current->why);
	else
		current->status = fail(current->why, STATUS_BAD_CONFIG, "%s%s", place, message);
}

/* One list of options a section, each section ended by CFG_END. */
struct options {
	cfg_opt_t sections[SECTIONS_MAX + 1];
	cfg_opt_t of[SECTIONS_MAX][SECTION_SETTINGS_MAX + 1];
};

static void fill_options(struct options *options)
{
	size_t section = 0, setting = 0;

	while (setting < setting_count && section < SECTIONS_MAX) {
		const char *name = settings[setting].section;
		cfg_opt_t *of = options->of[section];
		size_t n = 0;
		for (; setting < setting_count && n < SECTION_SETTINGS_MAX; setting++, n++) {
			if (strcmp(settings[setting].section, name) != 0)
				break;
			of[n] = (cfg_opt_t)CFG_STR_CB(
				settings[setting].name, NULL, CFGF_NODEFAULT, on_value);
		}
		of[n] = (cfg_opt_t)CFG_END();
		/* MULTI, so that a second one is seen instead of merged. */
		options->sections[section++] = (cfg_opt_t)CFG_SEC(name, of, CFGF_MULTI);
	}
	options->sections[section] = (cfg_opt_t)CFG_END();
}

static enum status refuse_repeated_sections(cfg_t *cfg, const char *path, struct why *why)
{
	char sentence[160];

	for (size_t i = 0; i < setting_count; i++) {
		const char *name = settings[i].section;
		if (cfg_size(cfg, name) < 2)
			continue;
		snprintf(sentence, sizeof(sentence),
			"%s: this section is there twice; the second one ends here", name);
		return refuse(path, cfg_getnsec(cfg, name, 1)->line, why, sentence);
	}
	return STATUS_OK;
}

static enum status parse(struct reading_file *file, const char *text)
{
	struct options options;
	fill_options(&options);
	cfg_t *cfg = cfg_init(options.sections, CFGF_NONE);
	if (!cfg)
		return fail(file->why, STATUS_NO_MEMORY, "%s: out of memory", file->path);
	cfg_set_error_function(cfg, on_error);

	current = file;
	int result = cfg_parse_buf(cfg, text);
	current = NULL;

	enum status st = file->status;
	if (result == CFG_SUCCESS)
		st = refuse_repeated_sections(cfg, file->path, file->why);
	else if (!st)
		st = fail(file->why, STATUS_BAD_CONFIG, "%s: cannot be parsed", file->path);
	cfg_free(cfg);
	return st;
}

enum status config_file_read(
	const char *path, config_file_each *each, void *context, struct why *why)
{
	struct reading_file file = { path, each, context, why, STATUS_OK };
	char *text;
	size_t len;

	enum status st = file_read(path, CONFIG_FILE_MAX, &text, &len, why);
	if (st == STATUS_BAD_INPUT || st == STATUS_FULL)
		return STATUS_BAD_CONFIG; /* a folder, or far too large */
	if (st)
		return st;
	if (memchr(text, '\0', len))
		st = fail(why, STATUS_BAD_CONFIG, "%s: holds a NUL byte, is it a text?", path);
	if (!st)
		st = check_lines(path, text, why);
	if (!st)
		st = prepare(path, text, why);
	if (!st)
		st = parse(&file, text);
	explicit_bzero(text, len);
	free(text);
	return st;
}
