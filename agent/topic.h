/* The reading topics: a template whose level {machine} names the machine,
 * "factory/{machine}/reading". Pure. */
#ifndef ISOLDE_AGENT_TOPIC_H
#define ISOLDE_AGENT_TOPIC_H

#include "common/schema.h"
#include "common/status.h"
#include <stdbool.h>
#include <stddef.h>

struct topic_template {
	char text[512];
	size_t prefix, suffix; /* bytes before and behind {machine} */
};

/* STATUS_BAD_CONFIG unless exactly one whole level is {machine} and the rest is a valid topic
 * without wildcards. */
enum status topic_parse(const char *text, struct topic_template *out, struct why *why) MUST_USE;

/* The subscription, "factory/+/reading", into out[size]; size of the template's text suffices. */
void topic_filter(const struct topic_template *template, char *out, size_t size);

/* The machine's name in a topic of `len` bytes; false if the topic is not of the template or
 * the name is not valid. */
bool topic_machine(const struct topic_template *template, const char *topic, size_t len,
	char out[MACHINE_NAME_MAX + 1]);

#endif
