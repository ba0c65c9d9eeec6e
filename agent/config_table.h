/* The table of every setting, and the one parser for values of all origins (default, file,
 * environment, command line), so that each gives the same errors. Private to config*.c. Pure. */
#ifndef ISOLDE_AGENT_CONFIG_TABLE_H
#define ISOLDE_AGENT_CONFIG_TABLE_H

#include "agent/config.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum setting_kind {
	SETTING_TEXT,
	SETTING_SECRET, /* a text that is never shown */
	SETTING_INTEGER,
	SETTING_BOOLEAN,
	SETTING_CHOICE, /* one of some words; its index is kept */
};

/* What a text must be beyond its length; *why says what is wrong, without naming the setting. */
typedef enum status setting_check(const char *value, struct why *why);

struct setting {
	const char *section, *name;
	enum setting_kind kind;
	size_t offset;              /* in struct config */
	const char *value;          /* the default, as one would write it */
	int64_t low, high;          /* of an integer; of a text: its bytes */
	const char *unit;           /* of an integer */
	const char *const *choices; /* NULL-terminated, in the order of the enum */
	setting_check *check;       /* of a text, NULL: none */
	const char *help;           /* one line */
};

enum {
	SETTING_NAME_MAX = 64, /* bytes of "section.name" and of "ISOLDE_SECTION_NAME" */
	SETTING_PLACE_MAX = 192,
};

extern const struct setting settings[]; /* [setting_count], sections together */
extern const size_t setting_count;

/* NULL if there is no such setting. */
const struct setting *setting_find(const char *section, const char *name);
bool setting_section_known(const char *section);

/* The setting, or section, whose name takes the fewest edits to reach (Levenshtein 1966). */
const struct setting *setting_nearest(const char *section, const char *name);
const char *setting_nearest_section(const char *section);

/* Refuses section.name with its nearest relative; `place` leads the sentence. */
enum status setting_refuse_unknown(
	const char *place, const char *section, const char *name, struct why *why);

/* Puts the value in its place in *config; `place` leads the sentence on failure, which never
 * holds a secret. */
enum status setting_parse(const struct setting *setting, const char *value, const char *place,
	struct config *config, struct why *why) MUST_USE;

/* Where the value of a text or a secret is. */
char *setting_text(const struct setting *setting, struct config *config);

/* The value as one would write it, without quotes; a secret is "(set)" or "". */
void setting_format(const struct setting *setting, const struct config *config, config_text out);

/* "ISOLDE_MQTT_URL" */
void setting_environment_name(const struct setting *setting, char out[SETTING_NAME_MAX]);

#endif
