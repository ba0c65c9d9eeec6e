/* Putting a new model file in force, whoever asks: SIGHUP, POST /reload, an MQTT request.
 * Any thread. */
#ifndef ISOLDE_AGENT_RELOAD_H
#define ISOLDE_AGENT_RELOAD_H

#include "agent/metrics.h"
#include "agent/model_slot.h"

/* Loads the models into the slot, counts and logs that; id takes the usual model's. On failure the
 * old models stay and *why has the sentence. */
enum status reload_model(struct model_slot *slot, const struct model_paths *paths,
	struct metrics *metrics, const char *asker, char id[MODEL_ID_SIZE],
	struct why *why) MUST_USE;

#endif
