#include "agent/reload.h"
#include "common/log.h"
#include <malloc.h>
#include <string.h>

enum status reload_model(struct model_slot *slot, const struct model_paths *paths,
	struct metrics *metrics, const char *asker, char id[MODEL_ID_SIZE], struct why *why)
{
	enum status st = model_slot_load(slot, paths, why);

	if (st != STATUS_OK) {
		metrics_add(metrics, METRIC_MODEL_RELOAD_FAILURES, 1);
		log_error(
			"model not reloaded, the old one stays: asked by %s: %s", asker, why->text);
		return st;
	}
	const struct models *models = model_slot_hold(slot);
	const struct model *model = models->usual;
	metrics_add(metrics, METRIC_MODEL_RELOADS, 1);
	log_info(
		"model reloaded: asked by %s, id=%s trees=%zu threshold=%g, machines with their own: %zu",
		asker, model->id, detector_trees(&model->detector), model->threshold,
		models_own(models));
	memcpy(id, model->id, MODEL_ID_SIZE);
	model_slot_release(slot, models);
	malloc_trim(0); /* parsing took many times what the model keeps */
	return STATUS_OK;
}
