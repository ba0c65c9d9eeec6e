#include "trainer/command.h"
#include "common/csvfile.h"
#include "common/log.h"
#include "common/model.h"
#include "common/number.h"
#include "common/smooth.h"
#include "common/timeutil.h"
#include "common/train.h"
#include "trainer/baseline.h"
#include "trainer/evaluate.h"
#include "trainer/events.h"
#include "trainer/plot.h"
#include "trainer/progress.h"
#include "trainer/report.h"
#include "trainer/score.h"
#include "trainer/series.h"
#include "trainer/show.h"
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- train ---- */

static bool amends_known(const struct options *o, const struct schema *schema, struct why *why)
{
	for (size_t i = 0; i < o->amendments; i++) {
		if (schema_find(schema, o->amendment[i].name) < 0) {
			(void)fail(why, STATUS_USAGE, "--%s: %s has no column %s",
				*o->amendment[i].unit ? "unit" : "range", o->baseline,
				o->amendment[i].name);
			return false;
		}
	}
	return true;
}

/* The file's columns with the units and ranges of the command line. */
static enum status amend_schema(
	const struct options *o, const struct schema *from, struct schema *out, struct why *why)
{
	struct schema schema = { .count = 0 };

	if (!amends_known(o, from, why))
		return STATUS_USAGE;
	for (size_t i = 0; i < from->count; i++) {
		struct feature f = from->feature[i];
		for (size_t j = 0; j < o->amendments; j++) {
			const struct amendment *a = &o->amendment[j];
			if (strcmp(a->name, f.name) != 0)
				continue;
			if (*a->unit) {
				memcpy(f.unit, a->unit, sizeof(f.unit));
			} else {
				f.low = a->low;
				f.high = a->high;
			}
		}
		if (schema_add(&schema, f.name, f.unit, f.low, f.high, why) != STATUS_OK)
			return STATUS_USAGE; /* the file's own names were checked when read */
	}
	*out = schema;
	return STATUS_OK;
}

static void warn_impossible(const struct report *report, const struct schema *schema)
{
	for (size_t i = 0; i < schema->count; i++) {
		const struct feature *f = &schema->feature[i];
		if (report->column[i].beyond > 0)
			log_warning("column %s: %zu values outside its range %g .. %g, trained on "
				    "all the same",
				f->name, report->column[i].beyond, f->low, f->high);
	}
}

/* Moves the rows with no missing cell to the front; returns how many. */
static size_t keep_complete(struct csvfile *csv)
{
	size_t width = csv->schema.count, kept = 0;

	for (size_t row = 0; row < csv->rows; row++) {
		const double *x = &csv->value[row * width];
		bool complete = true;
		for (size_t i = 0; i < width; i++)
			complete = complete && !isnan(x[i]);
		if (!complete)
			continue;
		memmove(&csv->value[kept * width], x, width * sizeof(*x));
		if (csv->at_ms)
			csv->at_ms[kept] = csv->at_ms[row];
		if (csv->machine)
			csv->machine[kept] = csv->machine[row];
		kept++;
	}
	return kept;
}

/* Now, or the time that makes a model reproducible bit for bit
 * (reproducible-builds.org/specs/source-date-epoch). */
static enum status training_time(int64_t *out, struct why *why)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	long long seconds;

	if (!epoch) {
		*out = time_now_ms();
		return STATUS_OK;
	}
	if (!number_parse_integer(epoch, 0, TIME_MAX_MS / 1000, &seconds))
		return fail(why, STATUS_BAD_CONFIG,
			"SOURCE_DATE_EPOCH=\"%.40s\" is not a number of seconds since 1970", epoch);
	*out = seconds * 1000;
	return STATUS_OK;
}

static enum status sign(struct model *model, const struct csvfile *baseline, struct why *why)
{
	snprintf(model->program, sizeof(model->program), "isolde-trainer %s", ISOLDE_VERSION);
	memcpy(model->data_digest, baseline->digest, sizeof(model->data_digest));
	return training_time(&model->trained_ms, why);
}

static void print_trained(const struct model *model, const struct options *o)
{
	const struct detector *d = &model->detector;
	size_t sample_size = d->kind == DETECTOR_FUSED ? d->fused->sample_size
						       : forest_columns(d->forest)->sample_size;

	printf("\ntrained        %s: %zu trees of %zu rows, seed %llu, on %llu rows\n",
		detector_name(d->kind), detector_trees(d), sample_size,
		(unsigned long long)model->seed, (unsigned long long)model->rows);
	printf("threshold      %.6f (the %g %s)\n", model->threshold, model->quantile,
		d->kind == DETECTOR_FUSED
			? "of scores by members fitted without the row, tightened by one standard error"
			: "quantile of the training scores");
	show_sample(model, stdout);
	show_rate(model, stdout);
	if (model->smooth > 1)
		printf("alarm          at %.6f of the mean of %zu scores, over below %.6f%s\n",
			model->alarm_threshold, model->smooth, model->alarm_clear,
			show_drift(model));
	show_promise(model, stdout);
	printf("model          %s\n", o->model);
	printf("id             %s\n", model->id);
}

static enum status train_and_save(
	const struct options *o, struct baseline *baseline, struct why *why)
{
	struct csvfile *csv = &baseline->csv;
	struct feature_stats whole[FEATURES_MAX];
	struct progress progress;
	struct train_options options = { .kind = o->detector,
		.trees = o->trees,
		.sample_size = o->sample_size,
		.seed = o->seed,
		.quantile = o->quantile,
		.at_ms = csv->at_ms,
		.machine = csv->machine,
		.false_alarms_per_day = o->false_alarms_per_day,
		.progress = progress_update,
		.context = &progress };
	struct model *model = NULL;
	size_t rows = keep_complete(csv);

	if (o->false_alarms_per_day > 0 && !csv->at_ms)
		return fail(why, STATUS_BAD_INPUT,
			"%s: no timestamp column: how many false alarms a day there would be cannot "
			"be known",
			o->baseline);
	if (baseline->tally) {
		options.drawn_from = tally_stats(baseline->tally, whole);
		options.whole = whole;
	}
	progress_start(&progress, "training");
	enum status st = train_model(&csv->schema, csv->value, rows, &options, &model, why);
	progress_finish(&progress);
	if (st == STATUS_OK)
		st = sign(model, csv, why);
	if (st == STATUS_OK)
		st = model_save(model, o->model, why);
	if (st == STATUS_OK)
		print_trained(model, o);
	model_destroy(model);
	return st;
}

/* What the taker of rows needs. */
struct reading_in {
	const struct options *options;
	struct baseline baseline;
};

/* The header is known: columns with their ranges, and whether the order of rows will matter. */
static enum status begin_rows(
	struct reading_in *in, const struct csvfile *head, bool timed, struct why *why)
{
	const struct options *o = in->options;

	in->baseline.rows_max = o->rows_kept;
	in->baseline.block = timed || o->detector == DETECTOR_FUSED ? BASELINE_BLOCK : 1;
	in->baseline.seed = o->seed;
	return amend_schema(o, &head->schema, &in->baseline.csv.schema, why);
}

static enum status take_row(
	void *context, const struct csvfile *head, const struct csvfile_row *row, struct why *why)
{
	struct reading_in *in = context;

	if (head->rows == 0) {
		enum status st = begin_rows(in, head, row->at_ms != NULL, why);
		if (st != STATUS_OK)
			return st;
	}
	return baseline_add(&in->baseline, row, why);
}

static enum status read_baseline(struct reading_in *in, struct why *why)
{
	struct csvfile head = { .rows = 0 };
	struct csvfile *kept = &in->baseline.csv;
	enum status st = csvfile_each(in->options->baseline, take_row, in, &head, why);

	if (st == STATUS_OK && head.rows == 0)
		st = begin_rows(in, &head, false, why);
	if (st == STATUS_OK)
		st = baseline_finish(&in->baseline, why);
	kept->machine_name = head.machine_name; /* what the rows kept count as, too */
	kept->machines = head.machines;
	memcpy(kept->digest, head.digest, sizeof(kept->digest));
	return st;
}

enum status command_train(const struct options *o, struct why *why)
{
	struct reading_in in = { .options = o };
	struct report report;

	enum status st = read_baseline(&in, why);
	if (st == STATUS_OK)
		st = baseline_report(&in.baseline, &report, why);
	if (st != STATUS_OK)
		goto done;

	report_print(&report, &in.baseline.csv, o->baseline, stdout);
	fflush(stdout); /* before a refusal on stderr; main looks for errors */
	st = report_check(&report, &in.baseline.csv, o->baseline, why);
	if (st != STATUS_OK)
		goto done;
	warn_impossible(&report, &in.baseline.csv.schema);
	st = train_and_save(o, &in.baseline, why);
done:
	baseline_free(&in.baseline);
	return st;
}

/* ---- score, evaluate ---- */

/* A file and its scores by a model. */
struct scoring {
	struct model *model;
	struct csvfile csv;
	size_t column[FEATURES_MAX]; /* where the file keeps each feature */
	double *score;               /* [csv.rows] */
};

static void scoring_finish(struct scoring *s)
{
	model_destroy(s->model);
	csvfile_free(&s->csv);
	free(s->score);
}

/* scoring_finish(out) afterwards, also on failure. */
static enum status scoring_make(const struct options *o, struct scoring *out, struct why *why)
{
	char ignored[512];

	*out = (struct scoring){ .model = NULL };
	enum status st = model_load(o->model, &out->model, why);
	if (st == STATUS_OK) {
		detector_tabulate(&out->model->detector, FOREST_TABLE_BYTES);
		st = csvfile_load(o->input, &out->csv, why);
	}
	if (st == STATUS_OK)
		st = score_match(out->model, &out->csv, o->input, out->column, why);
	if (st != STATUS_OK)
		return st;
	score_ignored(out->model, &out->csv, ignored, sizeof(ignored));
	if (*ignored)
		log_warning("%s: the model does not know these columns, ignoring them: %s",
			o->input, ignored);
	out->score = malloc((out->csv.rows ? out->csv.rows : 1) * sizeof(*out->score));
	if (!out->score)
		return fail(why, STATUS_NO_MEMORY, "no memory for %zu scores", out->csv.rows);
	score_rows(out->model, &out->csv, out->column, out->score);
	return STATUS_OK;
}

static enum status smooth_scores(struct scoring *s, size_t width, struct why *why)
{
	struct series series;
	enum status st = series_make(&s->csv, &series, why);

	if (st != STATUS_OK)
		return st;
	score_smooth(&series, s->csv.rows, width, s->score);
	series_free(&series);
	return STATUS_OK;
}

enum status command_score(const struct options *o, struct why *why)
{
	struct scoring s;
	enum status st = scoring_make(o, &s, why);

	if (st == STATUS_OK && o->smooth > 1)
		st = smooth_scores(&s, o->smooth, why);
	if (st == STATUS_OK)
		score_print(s.model, s.score, s.csv.rows, stdout);
	scoring_finish(&s);
	return st;
}

static enum status check_labelled(const struct scoring *s, const char *path, struct why *why)
{
	if (!s->csv.label)
		return fail(why, STATUS_BAD_INPUT, "%s: no label column%s, nothing to compare with",
			path, s->csv.rows ? "" : " or no rows");
	return STATUS_OK;
}

/* The alarm of a model that smooths has a higher level, and may look at means of readings as well:
 * events are counted once more. */
static enum status evaluate_alarm(
	const struct scoring *s, const struct series *series, struct why *why)
{
	double threshold = s->model->alarm_threshold;
	struct event_figures events;
	enum status st = score_drift(s->model, &s->csv, s->column, series, s->score, why);

	if (st == STATUS_OK)
		st = events_measure(&s->csv, series, s->score, threshold, &events, why);
	if (st == STATUS_OK) {
		printf("alarm_threshold %.6f\n", threshold);
		events_print(&events, "alarm_", stdout);
	}
	return st;
}

/* Of a series: events, and the same figures of smoothed scores, each name with its prefix. A model
 * that smooths has a level of its own for them; of one that does not, ten readings are averaged and
 * the threshold of single ones stands. */
static enum status evaluate_series(const struct scoring *s, struct why *why)
{
	size_t window = s->model->smooth > 1 ? s->model->smooth : SMOOTH_WINDOW;
	double threshold = s->model->smooth > 1 ? s->model->smooth_threshold : s->model->threshold;
	struct event_figures events;
	struct figures figures;
	struct series series;

	enum status st = series_make(&s->csv, &series, why);
	if (st != STATUS_OK)
		return st;
	st = events_measure(&s->csv, &series, s->score, s->model->threshold, &events, why);
	if (st == STATUS_OK) {
		events_print(&events, "", stdout);
		score_smooth(&series, s->csv.rows, window, s->score);
		st = evaluate(s->score, s->csv.label, s->csv.rows, threshold, &figures, why);
	}
	if (st == STATUS_OK)
		st = events_measure(&s->csv, &series, s->score, threshold, &events, why);
	if (st == STATUS_OK) {
		printf("smoothed_window %zu\n", window);
		evaluate_print(&figures, "smoothed_", stdout);
		events_print(&events, "smoothed_", stdout);
	}
	if (st == STATUS_OK && s->model->smooth > 1)
		st = evaluate_alarm(s, &series, why);
	series_free(&series);
	return st;
}

static enum status draw(const struct options *o, const struct scoring *s,
	const struct figures *figures, struct why *why)
{
	char title[512];

	if (!o->plot)
		return STATUS_OK;
	snprintf(title, sizeof(title), "Anomaly score of %.200s by %.200s (%s)", o->input, o->model,
		detector_name(s->model->detector.kind));
	const struct plot plot = { title, &s->csv, s->score, figures };
	return plot_write(&plot, o->plot, why);
}

enum status command_evaluate(const struct options *o, struct why *why)
{
	struct scoring s;
	struct figures figures;

	enum status st = scoring_make(o, &s, why);
	if (st == STATUS_OK)
		st = check_labelled(&s, o->input, why);
	if (st == STATUS_OK)
		st = evaluate(s.score, s.csv.label, s.csv.rows, s.model->threshold, &figures, why);
	if (st == STATUS_OK) {
		evaluate_print(&figures, "", stdout);
		st = draw(o, &s, &figures, why);
	}
	if (st == STATUS_OK) {
		if (s.csv.at_ms)
			st = evaluate_series(&s, why);
		fflush(stdout); /* main looks for errors */
		if (evaluate_gaps(&figures))
			log_warning("%s: %s", o->input, evaluate_gaps(&figures));
	}
	scoring_finish(&s);
	return st;
}

/* ---- show ---- */

enum status command_show(const struct options *o, struct why *why)
{
	struct model *model;
	enum status st = model_load(o->model, &model, why);

	if (st != STATUS_OK)
		return st;
	show_print(model, o->model, stdout);
	model_destroy(model);
	return STATUS_OK;
}
