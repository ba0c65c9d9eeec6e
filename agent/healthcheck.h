/* isolde-agent --healthcheck: asks a running agent's health port, for containers without curl. */
#ifndef ISOLDE_AGENT_HEALTHCHECK_H
#define ISOLDE_AGENT_HEALTHCHECK_H

#include "common/status.h"

enum { HEALTHCHECK_TIMEOUT_MS = 1000 };

/* GET /health on `listen` ("127.0.0.1:8001"). STATUS_OK for 200, STATUS_UNAVAILABLE with a
 * sentence for everything else, after at most HEALTHCHECK_TIMEOUT_MS. */
enum status healthcheck(const char *listen, struct why *why) MUST_USE;

#endif
