#include "common/fileio.h"
#include "common/model_internal.h"
#include "common/number.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void put_number(FILE *out, double value)
{
	char text[NUMBER_TEXT_SIZE];
	number_format(value, text);
	fputs(text, out);
}

static void put_member(FILE *out, const char *name, double value)
{
	fprintf(out, ",\"%s\":", name);
	put_number(out, value);
}

static void put_features(FILE *out, const struct model *model)
{
	fputs(",\n\"features\":[", out);
	for (size_t i = 0; i < model->schema.count; i++) {
		const struct feature *f = &model->schema.feature[i];
		const struct feature_stats *s = &model->detector.stats[i];
		fprintf(out, "%s\n{\"name\":\"%s\",\"unit\":\"%s\"", i ? "," : "", f->name,
			f->unit);
		put_member(out, "low", f->low); /* null: unknown */
		put_member(out, "high", f->high);
		put_member(out, "mean", s->mean);
		put_member(out, "sd", s->sd);
		put_member(out, "median", s->median);
		put_member(out, "normal_low", s->low);
		put_member(out, "normal_high", s->high);
		fprintf(out, ",\"stuck_after\":%zu", s->stuck_after);
		fputs("}", out);
	}
	fputs("]", out);
}

static void put_column(FILE *out, const char *name, const double *value, size_t n)
{
	fprintf(out, ",\"%s\":[", name);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? "," : "", out);
		put_number(out, value[i]);
	}
	fputs("]", out);
}

static void put_rule(FILE *out, const struct drift_rule *rule, size_t features)
{
	fprintf(out, "\n{\"window\":%zu,\"brief\":%zu", rule->window, rule->brief);
	put_member(out, "scale", rule->scale);
	put_member(out, "offset", rule->offset);
	put_column(out, "centre", rule->centre, features);
	put_column(out, "reach", rule->reach, features);
	put_column(out, "whitening", rule->whitening, features * (features + 1) / 2);
	fputs("}", out);
}

static void put_drift(FILE *out, const struct model *model)
{
	if (model->drift[0].window == 0)
		return;
	fputs(",\n\"drift\":[", out);
	for (size_t i = 0; i < DRIFT_RULES && model->drift[i].window > 0; i++) {
		fputs(i ? "," : "", out);
		put_rule(out, &model->drift[i], model->schema.count);
	}
	fputs("]", out);
}

/* Nothing where the alarm is fed by the score itself. */
static void put_alarm(FILE *out, const struct model *model)
{
	bool plain = model->smooth == 1 && model->alarm_threshold == model->threshold &&
		model->alarm_clear == model->threshold && model->raise_count == 0 &&
		model->clear_count == 0 && model->step_ms == 0 &&
		isnan(model->false_alarms_per_day);

	if (plain || model->smooth == 0) /* 0: never set */
		return;
	fprintf(out, ",\n\"alarm\":{\"smooth\":%zu", model->smooth);
	put_member(out, "smooth_threshold", model->smooth_threshold);
	put_member(out, "threshold", model->alarm_threshold);
	put_member(out, "clear", model->alarm_clear);
	fprintf(out, ",\"step_ms\":%lld,\"raise_count\":%u,\"raise_window\":%u,\"clear_count\":%u",
		(long long)model->step_ms, model->raise_count, model->raise_window,
		model->clear_count);
	put_member(out, "false_alarms_per_day", model->false_alarms_per_day);
	put_member(out, "false_alarms_per_day_low", model->false_alarms_per_day_low);
	put_member(out, "false_alarms_per_day_high", model->false_alarms_per_day_high);
	put_drift(out, model);
	fputs("}", out);
}

static void put_quantiles(FILE *out, const struct model *model)
{
	fputs(",\n\"score_quantiles\":[", out);
	for (size_t i = 0; i < model->quantiles; i++) {
		fputs(i ? "," : "", out);
		put_number(out, model->score_quantile[i]);
	}
	fputs("]", out);
}

static void put_forest(FILE *out, const struct forest_columns *c)
{
	fprintf(out, ",\n\"forest\":{\"trees\":%zu,\"sample_size\":%zu,\n\"root\":[", c->trees,
		c->sample_size);
	for (size_t i = 0; i < c->trees; i++)
		fprintf(out, "%s%u", i ? "," : "", c->root[i]);
	fputs("],\n\"feature\":[", out);
	for (size_t i = 0; i < c->nodes; i++)
		fprintf(out, "%s%d", i ? "," : "", c->feature[i]);
	fputs("],\n\"split\":[", out);
	for (size_t i = 0; i < c->nodes; i++) {
		fputs(i ? "," : "", out);
		put_number(out, c->split[i]);
	}
	fputs("],\n\"left\":[", out);
	for (size_t i = 0; i < c->nodes; i++)
		fprintf(out, "%s%u", i ? "," : "", c->left[i]);
	fputs("],\n\"rows\":[", out);
	for (size_t i = 0; i < c->nodes; i++)
		fprintf(out, "%s%u", i ? "," : "", c->rows[i]);
	fputs("]}", out);
}

static void put_model(FILE *out, const struct model *model)
{
	char time[TIME_TEXT_SIZE];

	time_format(model->trained_ms, time);
	/* A 64-bit seed does not fit a JSON number. */
	fprintf(out, "{\"schema\":\"%s\",\n\"detector\":\"%s\"", model_format_name,
		detector_name(model->detector.kind));
	put_member(out, "threshold", model->threshold);
	put_member(out, "quantile", model->quantile);
	fprintf(out,
		",\n\"trained\":{\"rows\":%llu,\"seed\":\"%llu\",\"time\":\"%s\",\"program\":\"%s\","
		"\"data_sha256\":\"%s\"}",
		(unsigned long long)model->rows, (unsigned long long)model->seed, time,
		model->program, model->data_digest);
	if (model->drawn > 0) {
		fprintf(out, ",\n\"sample\":{\"rows\":%llu", (unsigned long long)model->drawn);
		put_member(out, "share_error", model->share_error);
		fputs("}", out);
	}
	if (model->rate > 0) {
		fputs(",\n\"calibration\":{\"rate\":", out);
		put_number(out, model->rate);
		put_member(out, "effective_rows", model->effective_rows);
		fputs("}", out);
	}
	put_alarm(out, model);
	put_features(out, model);
	put_quantiles(out, model);
	if (model->detector.kind == DETECTOR_FUSED)
		model_put_fused(out, model->detector.fused);
	else
		put_forest(out, forest_columns(model->detector.forest));
}

/* The text with its seal; the caller's to free. */
static enum status encode(const struct model *model, char **out, size_t *len, struct why *why)
{
	char *text = NULL;
	size_t n = 0;
	FILE *stream = open_memstream(&text, &n);
	char digest[DIGEST_TEXT_SIZE];

	if (!stream)
		return fail(why, STATUS_NO_MEMORY, "no memory to write a model");
	put_model(stream, model);
	enum status st = STATUS_OK;
	if (fflush(stream) != 0)
		st = fail(why, STATUS_NO_MEMORY, "no memory to write a model");
	else
		st = digest_hex(text, n, digest, why);
	if (st == STATUS_OK)
		fprintf(stream, "%s%s%s", model_seal_start, digest, model_seal_end);
	if (fclose(stream) != 0 && st == STATUS_OK)
		st = fail(why, STATUS_NO_MEMORY, "no memory to write a model");
	if (st != STATUS_OK) {
		free(text);
		return st;
	}
	*out = text;
	*len = n;
	return STATUS_OK;
}

enum status model_save(struct model *model, const char *path, struct why *why)
{
	char *text = NULL;
	size_t len = 0;
	enum status st = encode(model, &text, &len, why);

	if (st != STATUS_OK)
		return st;
	st = model_set_id(model, text, len, why);
	if (st == STATUS_OK)
		st = file_replace(path, text, len, why);
	free(text);
	return st;
}
