/* A topic from a broker nobody trusts: what names a machine is a name that is safe everywhere. */
#include "agent/topic.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char safe[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	struct topic_template template;
	char name[MACHINE_NAME_MAX + 1];
	char *topic = malloc(size + 1);

	if (!topic || topic_parse("factory/{machine}/reading", &template, NULL) != STATUS_OK)
		abort();
	memcpy(topic, data, size);
	topic[size] = '\0';
	if (topic_machine(&template, topic, size, name) &&
		(!*name || strspn(name, safe) != strlen(name)))
		abort();
	/* And as a template of ours. */
	if (topic_parse(topic, &template, NULL) == STATUS_OK && !strstr(topic, "{machine}"))
		abort();
	free(topic);
	return 0;
}
