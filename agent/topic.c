#include "agent/topic.h"
#include <stdio.h>
#include <string.h>

static const char mark[] = "{machine}";
enum { MARK = sizeof(mark) - 1 };

enum status topic_parse(const char *text, struct topic_template *out, struct why *why)
{
	const char *at = strstr(text, mark);

	if (strncmp(text, "$share/", 7) == 0)
		return fail(why, STATUS_BAD_CONFIG,
			"topic \"%.100s\": no shared subscription; the broker forgets it when it is "
			"restarted, and what is on its way to a member that dies is lost",
			text);
	if (strlen(text) >= sizeof(out->text))
		return fail(why, STATUS_BAD_CONFIG, "topic \"%.60s...\": more than %zu bytes", text,
			sizeof(out->text) - 1);
	if (!at || strstr(at + 1, mark))
		return fail(why, STATUS_BAD_CONFIG,
			"topic \"%.100s\": one level has to be {machine}", text);
	char after = at[MARK];
	if ((at > text && at[-1] != '/') || (after && after != '/'))
		return fail(why, STATUS_BAD_CONFIG,
			"topic \"%.100s\": {machine} has to be a whole level", text);
	if (strpbrk(text, "+#") || text[0] == '$' || text[0] == '/')
		return fail(why, STATUS_BAD_CONFIG,
			"topic \"%.100s\": no wildcards, and neither $ nor / at its beginning",
			text);
	strcpy(out->text, text);
	out->prefix = (size_t)(at - text);
	out->suffix = strlen(at) - MARK;
	return STATUS_OK;
}

void topic_filter(const struct topic_template *template, char *out, size_t size)
{
	snprintf(out, size, "%.*s+%s", (int)template->prefix, template->text,
		template->text + template->prefix + MARK);
}

bool topic_machine(const struct topic_template *template, const char *topic, size_t len,
	char out[MACHINE_NAME_MAX + 1])
{
	size_t around = template->prefix + template->suffix;

	if (len <= around || memchr(topic, '\0', len))
		return false;
	size_t name_len = len - around;
	const char *name = topic + template->prefix;
	if (memcmp(topic, template->text, template->prefix) != 0 ||
		memcmp(name + name_len, template->text + template->prefix + MARK,
			template->suffix) != 0 ||
		!machine_name_valid(name, name_len))
		return false;
	memcpy(out, name, name_len);
	out[name_len] = '\0';
	return true;
}
