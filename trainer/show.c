#include "trainer/show.h"
#include "common/number.h"
#include "common/timeutil.h"
#include "common/train.h"
#include <math.h>
#include <string.h>

static void print_range(const struct feature *feature, FILE *out)
{
	if (isinf(feature->low) && isinf(feature->high))
		fputs("  not stated", out);
	else
		fprintf(out, "  %.6g .. %.6g", feature->low, feature->high);
}

static void print_features(const struct model *model, FILE *out)
{
	size_t width = 7;

	for (size_t i = 0; i < model->schema.count; i++) {
		size_t len = strlen(model->schema.feature[i].name);
		width = len > width ? len : width;
	}
	fprintf(out, "\n%-*s %-8s %12s %12s %12s %12s %12s  %s\n", (int)width, "feature", "unit",
		"mean", "sd", "median", "normal from", "to", "possible range");
	for (size_t i = 0; i < model->schema.count; i++) {
		const struct feature *f = &model->schema.feature[i];
		const struct feature_stats *s = &model->detector.stats[i];
		fprintf(out, "%-*s %-8s %12.6g %12.6g %12.6g %12.6g %12.6g", (int)width, f->name,
			*f->unit ? f->unit : "-", s->mean, s->sd, s->median, s->low, s->high);
		print_range(f, out);
		fputc('\n', out);
	}
	fputs("(normal: from the 0.01 to the 0.99 quantile of the training rows)\n\n", out);
}

static void print_scores(const struct model *model, FILE *out)
{
	static const double share[] = { 0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.99, 1 };
	char number[NUMBER_TEXT_SIZE];

	number_format(model->threshold, number);
	fprintf(out, "threshold      %s (the %g quantile of %s)\n", number, model->quantile,
		model->detector.kind == DETECTOR_FUSED ? "scores by members fitted without the row"
						       : "the training scores");
	show_sample(model, out);
	show_rate(model, out);
	if (model->quantiles < 2)
		return;
	fputs("training scores", out);
	for (size_t i = 0; i < sizeof(share) / sizeof(share[0]); i++)
		fprintf(out, "%s %g: %.4f", i ? "," : "", share[i],
			train_quantile(model->score_quantile, model->quantiles, share[i]));
	fputs(" (quantile: score)\n", out);
}

static void print_detector(const struct model *model, FILE *out)
{
	const struct detector *d = &model->detector;

	if (d->kind == DETECTOR_FUSED) {
		fprintf(out,
			"detector       fused: %zu trees of %zu rows, %zu nodes, %zu prototypes\n",
			d->fused->trees, d->fused->sample_size, d->fused->nodes,
			d->fused->prototypes);
		return;
	}
	const struct forest_columns *c = forest_columns(d->forest);
	fprintf(out, "detector       %s: %zu trees of %zu rows, %zu nodes\n",
		detector_name(model->detector.kind), c->trees, c->sample_size, c->nodes);
}

void show_sample(const struct model *model, FILE *out)
{
	if (model->drawn == 0)
		return;
	fprintf(out, "sample         %llu of the rows, drawn at random",
		(unsigned long long)model->drawn);
	if (model->share_error > 0)
		fprintf(out, ": %.3g %% of all rows lie above the threshold (95 %%: +- %.2g %%)",
			100 * (1 - model->quantile), 100 * model->share_error);
	fputc('\n', out);
}

/* The share of a tail is as uncertain as the count of what lies in it (as train_fused tightens it).
 */
void show_rate(const struct model *model, FILE *out)
{
	if (!(model->rate > 0))
		return;
	double error = 1.96 * sqrt(model->rate / model->effective_rows);
	fprintf(out,
		"false flags    expected: %.2g %% of healthy readings (95 %%: %.2g to %.2g %%), told by "
		"%.0f effective rows\n",
		100 * model->rate, 100 * fmax(model->rate - error, 0),
		100 * fmin(model->rate + error, 1), model->effective_rows);
}

void show_promise(const struct model *model, FILE *out)
{
	if (isnan(model->false_alarms_per_day))
		return;
	fprintf(out,
		"false alarms   expected a day and machine: %.3g (95 %%: %.3g to %.3g), by the training "
		"data replayed%s\n",
		model->false_alarms_per_day, model->false_alarms_per_day_low,
		model->false_alarms_per_day_high,
		model->detector.kind == DETECTOR_FUSED ? " block by block, each held out"
						       : "; fresh data may differ");
}

const char *show_drift(const struct model *model)
{
	return model->drift[0].window > 0 ? "; or of what means of readings say" : "";
}

static void print_alarm(const struct model *model, FILE *out)
{
	char set[NUMBER_TEXT_SIZE], over[NUMBER_TEXT_SIZE];

	number_format(model->alarm_threshold, set);
	number_format(model->alarm_clear, over);
	if (model->smooth > 1)
		fprintf(out, "alarm          mean of %zu scores above %s, over at or below %s%s\n",
			model->smooth, set, over, show_drift(model));
	if (model->raise_count > 0)
		fprintf(out, "delays         raised by %u of %u, over after %u in a row\n",
			model->raise_count, model->raise_window, model->clear_count);
	if (model->step_ms > 0)
		fprintf(out, "step           %g s between readings\n",
			(double)model->step_ms / 1000);
	show_promise(model, out);
}

void show_print(const struct model *model, const char *path, FILE *out)
{
	char time[TIME_TEXT_SIZE];

	time_format(model->trained_ms, time);
	fprintf(out, "model          %s\n", path);
	fprintf(out, "id             %s\n", model->id);
	print_features(model, out);
	print_detector(model, out);
	print_scores(model, out);
	print_alarm(model, out);
	fprintf(out, "trained        %s by %s on %llu rows, seed %llu\n", time, model->program,
		(unsigned long long)model->rows, (unsigned long long)model->seed);
	fprintf(out, "data           SHA-256 %s\n", *model->data_digest ? model->data_digest : "-");
}
