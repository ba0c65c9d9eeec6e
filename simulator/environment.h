/* Options from the environment, for containers: ISOLDE_SIMULATOR_<OPTION> stands for --<option>.
 * The command line wins, because its words come later. */
#ifndef ISOLDE_SIMULATOR_ENVIRONMENT_H
#define ISOLDE_SIMULATOR_ENVIRONMENT_H

#include "common/status.h"
#include <argp.h>

enum { ENVIRONMENT_PREFIX_MAX = 40 };

/* argv with the options that the environment sets put before its other words; *out ends with
 * NULL and is the caller's, environment_free(). An empty value counts as absent; an option
 * without a value wants yes or no. STATUS_USAGE for a name or value that fits no option. */
enum status environment_words(const struct argp_option *options, char *const *environment, int argc,
	char **argv, char ***out, int *count, struct why *why) MUST_USE;
void environment_free(char **words, int argc); /* argc: of the original */

/* A host name's first label as a prefix of machine names: what is no letter, digit, '_' or '-'
 * becomes '-'. "" for an empty name. */
void environment_host_prefix(const char *host, char out[ENVIRONMENT_PREFIX_MAX + 1]);

#endif
