#include "agent/reload.h"
#include "common/log.h"
#include <malloc.h>
#include <string.h>

enum status reload_model(struct model_slot *slot, const char *path, struct metrics *metrics,
	const char *asker, char id[MODEL_ID_SIZE], struct why *why)
{
	enum status st = model_slot_load(slot, path, why);

	if (st != STATUS_OK) {
		metrics_add(metrics, METRIC_MODEL_RELOAD_FAILURES, 1);
		log_error(
			"model not reloaded, the old one stays: asked by %s: %s", asker, why->text);
		return st;
	}
	const struct model *model = model_slot_hold(slot, NULL);
	metrics_add(metrics, METRIC_MODEL_RELOADS, 1);
	log_info("model reloaded: asked by %s, id=%s trees=%zu threshold=%g", asker, model->id,
		detector_trees(&model->detector), model->threshold);
	memcpy(id, model->id, MODEL_ID_SIZE);
	model_slot_release(slot, model);
	malloc_trim(0); /* parsing took many times what the model keeps */
	return STATUS_OK;
}
