#include "simulator/environment.h"
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char variable_prefix[] = "ISOLDE_SIMULATOR_";

/* "anomaly-rate" and "ANOMALY_RATE=" are the same. */
static bool names(const char *option, const char *variable, size_t len)
{
	if (strlen(option) != len)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = variable[i] == '_' ? '-' : (char)tolower((unsigned char)variable[i]);
		if (c != option[i])
			return false;
	}
	return true;
}

static const struct argp_option *find(
	const struct argp_option *options, const char *variable, size_t len)
{
	for (; options->name; options++)
		if (names(options->name, variable, len))
			return options;
	return NULL;
}

/* The word for one entry of the environment; *out stays NULL if it has nothing to say. */
static enum status word_of(
	const struct argp_option *options, const char *entry, char **out, struct why *why)
{
	const char *equals = strchr(entry, '=');

	if (!equals || strncmp(entry, variable_prefix, sizeof(variable_prefix) - 1) != 0)
		return STATUS_OK;
	const char *variable = entry + sizeof(variable_prefix) - 1, *value = equals + 1;
	int len = (int)(equals - entry);
	const struct argp_option *option = find(options, variable, (size_t)(equals - variable));
	if (!option)
		return fail(why, STATUS_USAGE, "environment %.*s: publish has no such option",
			len > 80 ? 80 : len, entry);
	if (!*value)
		return STATUS_OK;
	bool yes = strcmp(value, "yes") == 0;
	if (!option->arg && !yes && strcmp(value, "no") != 0)
		return fail(why, STATUS_USAGE, "environment %.*s: \"%.40s\" is neither yes nor no",
			len, entry, value);
	if (!option->arg && !yes)
		return STATUS_OK;

	size_t size = strlen(option->name) + strlen(value) + sizeof("--=");
	char *word = malloc(size);
	if (!word)
		return fail(why, STATUS_NO_MEMORY, "out of memory");
	snprintf(word, size, "--%s%s%s", option->name, option->arg ? "=" : "",
		option->arg ? value : "");
	*out = word;
	return STATUS_OK;
}

static int length(char *const *words)
{
	int n = 0;

	while (words && words[n])
		n++;
	return n;
}

enum status environment_words(const struct argp_option *options, char *const *environment, int argc,
	char **argv, char ***out, int *count, struct why *why)
{
	size_t most = (size_t)length(environment) + (size_t)argc + 1;
	char **words = calloc(most, sizeof(*words));
	enum status st = STATUS_OK;
	int made = 0;

	if (!words)
		return fail(why, STATUS_NO_MEMORY, "out of memory");
	for (; environment && *environment && st == STATUS_OK; environment++) {
		st = word_of(options, *environment, &words[1 + made], why);
		made += words[1 + made] != NULL;
	}
	if (st != STATUS_OK) {
		for (int i = 0; i < made; i++)
			free(words[1 + i]);
		free(words);
		return st;
	}
	words[0] = argv[0];
	for (int i = 1; i < argc; i++)
		words[made + i] = argv[i];
	*out = words;
	*count = made + argc;
	return STATUS_OK;
}

void environment_free(char **words, int argc)
{
	int made = length(words) - argc;

	for (int i = 0; i < made; i++)
		free(words[1 + i]);
	free(words);
}

void environment_host_prefix(const char *host, char out[ENVIRONMENT_PREFIX_MAX + 1])
{
	size_t len = strcspn(host, ".");

	if (len > ENVIRONMENT_PREFIX_MAX)
		len = ENVIRONMENT_PREFIX_MAX;
	for (size_t i = 0; i < len; i++)
		out[i] = isalnum((unsigned char)host[i]) || host[i] == '_' ? host[i] : '-';
	out[len] = '\0';
}
