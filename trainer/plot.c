#include "trainer/plot.h"
#include "common/fileio.h"
#include "common/timeutil.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The page's light palette. */
#define INK "#16191d"
#define INK2 "#4c5560"
#define LINE "#d5d9df"
#define SERIES "#33506f"
#define ALARM "#a01020"
#define OVER "#fbdcd8"

enum {
	WIDTH = 1120,
	HEIGHT = 760,
	TICKS = 5,
	COLUMNS = 960,   /* of the series: one line from the lowest to the highest score each */
	CURVE_MAX = 400, /* points of a curve */
};

/* A rectangle to draw in, and what its edges mean. */
struct panel {
	double left, top, width, height;
	double x_low, x_high, y_low, y_high;
};

static double x_of(const struct panel *p, double x)
{
	return p->left + (x - p->x_low) / (p->x_high - p->x_low) * p->width;
}

static double y_of(const struct panel *p, double y)
{
	return p->top + p->height - (y - p->y_low) / (p->y_high - p->y_low) * p->height;
}

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '&':
			fputs("&amp;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			if ((unsigned char)*text >= ' ')
				fputc(*text, out);
		}
	}
}

static void put_text(FILE *out, double x, double y, const char *anchor, const char *colour,
	int size, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\" font-size=\"%d\">",
		x, y, anchor, colour, size);
	put_escaped(out, text);
	fputs("</text>\n", out);
}

static void put_frame(FILE *out, const struct panel *p, const char *title, const char *x_label)
{
	char number[32];

	put_text(out, p->left, p->top - 10, "start", INK, 15, title);
	for (int i = 0; i <= TICKS; i++) {
		double y = p->y_low + (p->y_high - p->y_low) * i / TICKS;
		snprintf(number, sizeof(number), "%.3g", y);
		fprintf(out, "<path d=\"M%.1f %.1fh%.1f\" stroke=\"" LINE "\"/>\n", p->left,
			y_of(p, y), p->width);
		put_text(out, p->left - 6, y_of(p, y) + 4, "end", INK2, 12, number);
	}
	put_text(out, p->left + p->width / 2, p->top + p->height + 36, "middle", INK2, 12, x_label);
}

static void put_ticks(FILE *out, const struct panel *p)
{
	char number[32];

	for (int i = 0; i <= TICKS; i++) {
		double x = p->x_low + (p->x_high - p->x_low) * i / TICKS;
		snprintf(number, sizeof(number), "%.3g", x);
		put_text(out, x_of(p, x), p->top + p->height + 18, "middle", INK2, 12, number);
	}
}

/* ---- the series ---- */

/* Rows that fall into a column of the picture. */
struct column {
	double low, high;
	bool labelled;
};

static double place(const struct csvfile *csv, size_t row)
{
	return csv->at_ms ? (double)csv->at_ms[row] : (double)row;
}

static void gather(const struct plot *plot, const struct panel *p, struct column *column)
{
	for (size_t i = 0; i < COLUMNS; i++)
		column[i] = (struct column){ INFINITY, -INFINITY, false };
	for (size_t i = 0; i < plot->csv->rows; i++) {
		double at = (place(plot->csv, i) - p->x_low) / (p->x_high - p->x_low);
		struct column *c = &column[(size_t)fmin(at * COLUMNS, COLUMNS - 1)];
		c->labelled |= plot->csv->label[i] == 1;
		if (isnan(plot->score[i]))
			continue;
		c->low = fmin(c->low, plot->score[i]);
		c->high = fmax(c->high, plot->score[i]);
	}
}

static void put_times(FILE *out, const struct plot *plot, const struct panel *p)
{
	char text[TIME_TEXT_SIZE];

	if (!plot->csv->at_ms) {
		put_ticks(out, p);
		return;
	}
	for (int i = 0; i <= TICKS; i++) {
		double at = p->x_low + (p->x_high - p->x_low) * i / TICKS;
		time_format((int64_t)at, text);
		text[16] = '\0'; /* to the minute */
		text[10] = ' ';
		put_text(out, x_of(p, at), p->top + p->height + 18,
			i == 0               ? "start"
				: i == TICKS ? "end"
					     : "middle",
			INK2, 12, text);
	}
}

static void put_series(
	FILE *out, const struct plot *plot, const struct column *column, const struct panel *p)
{
	double step = p->width / COLUMNS, threshold = plot->figures->threshold;

	for (size_t i = 0; i < COLUMNS; i++) {
		size_t from = i;
		while (i < COLUMNS && column[i].labelled)
			i++;
		if (i > from)
			fprintf(out,
				"<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"" OVER
				"\"/>\n",
				p->left + (double)from * step, p->top, (double)(i - from) * step,
				p->height);
	}
	put_frame(out, p, plot->title,
		plot->csv->at_ms ? "time (UTC); red ground: labelled anomalous"
				 : "row; red ground: labelled anomalous");
	put_times(out, plot, p);
	fputs("<path stroke=\"" SERIES "\" fill=\"none\" d=\"", out);
	for (size_t i = 0; i < COLUMNS; i++) {
		if (!(column[i].low <= column[i].high))
			continue;
		double low = y_of(p, column[i].low), high = y_of(p, column[i].high);
		fprintf(out, "M%.1f %.1fV%.1f", p->left + ((double)i + 0.5) * step, low + 0.5,
			high - 0.5);
	}
	fputs("\"/>\n", out);
	fprintf(out,
		"<path d=\"M%.1f %.1fh%.1f\" stroke=\"" ALARM "\" stroke-dasharray=\"6 4\"/>\n",
		p->left, y_of(p, threshold), p->width);
	put_text(
		out, p->left + p->width - 4, y_of(p, threshold) - 5, "end", ALARM, 12, "threshold");
}

/* ---- the curves ---- */

/* Down the ranking in steps of equal scores: `roc` draws hits over false flags, else precision over
 * recall. */
static void put_curve(FILE *out, const struct panel *p, const struct scored *r, size_t n, bool roc)
{
	double positives = 0, hits = 0;

	for (size_t i = 0; i < n; i++)
		positives += r[i].label;
	fprintf(out, "<path stroke=\"" SERIES "\" stroke-width=\"2\" fill=\"none\" d=\"M%.1f %.1f",
		x_of(p, 0), y_of(p, roc ? 0 : 1));
	size_t apart = n / CURVE_MAX + 1, drawn = 0;
	for (size_t i = 0; i < n;) {
		double score = r[i].score;
		for (; i < n && r[i].score == score; i++)
			hits += r[i].label;
		if (i < n && i - drawn < apart)
			continue;
		drawn = i;
		double x = roc ? ((double)i - hits) / ((double)n - positives) : hits / positives;
		double y = roc ? hits / positives : hits / (double)i;
		fprintf(out, "L%.1f %.1f", x_of(p, x), y_of(p, y));
	}
	fputs("\"/>\n", out);
}

static void put_point(FILE *out, const struct panel *p, double x, double y)
{
	if (isnan(x) || isnan(y))
		return;
	fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"" ALARM "\"/>\n", x_of(p, x),
		y_of(p, y));
	put_text(out, x_of(p, x) + 10, y_of(p, y) + 16, "start", ALARM, 12, "at the threshold");
}

static void put_curves(FILE *out, const struct plot *plot, struct scored *r)
{
	const struct figures *f = plot->figures;
	const struct panel left = { 80, 460, 420, 240, 0, 1, 0, 1 };
	const struct panel right = { 620, 460, 420, 240, 0, 1, 0, 1 };
	char title[96];
	size_t n = evaluate_rank(plot->score, plot->csv->label, plot->csv->rows, r);

	snprintf(title, sizeof(title), "ROC, area %.3f", f->roc_auc);
	put_frame(out, &left, title, "false-alarm rate (up: recall)");
	put_ticks(out, &left);
	snprintf(title, sizeof(title), "Precision and recall, average precision %.3f",
		f->average_precision);
	put_frame(out, &right, title, "recall (up: precision)");
	put_ticks(out, &right);
	if (f->positives == 0 || f->positives == f->rows) {
		put_text(out, 290, 580, "middle", INK2, 14, "needs rows of both labels");
		return;
	}
	put_curve(out, &left, r, n, true);
	put_curve(out, &right, r, n, false);
	put_point(out, &left, f->false_alarm_rate, f->recall);
	put_point(out, &right, f->recall, f->precision);
}

static void put_all(FILE *out, const struct plot *plot, struct column *column, struct scored *r)
{
	struct panel p = { 80, 60, COLUMNS, 320, INFINITY, -INFINITY, 0, 0 };

	p.y_low = p.y_high = plot->figures->threshold;
	for (size_t i = 0; i < plot->csv->rows; i++) {
		p.x_low = fmin(p.x_low, place(plot->csv, i));
		p.x_high = fmax(p.x_high, place(plot->csv, i));
		if (!isnan(plot->score[i])) {
			p.y_low = fmin(p.y_low, plot->score[i]);
			p.y_high = fmax(p.y_high, plot->score[i]);
		}
	}
	if (!(p.x_low < p.x_high)) { /* one row, or none */
		p.x_low = isinf(p.x_low) ? 0 : p.x_low;
		p.x_high = p.x_low + 1;
	}
	double air = (p.y_high - p.y_low) * 0.05;
	p.y_low -= air > 0 ? air : 1;
	p.y_high += air > 0 ? air : 1;
	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
		"height=\"%d\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n<title>",
		WIDTH, HEIGHT, WIDTH, HEIGHT);
	put_escaped(out, plot->title);
	fprintf(out, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", WIDTH,
		HEIGHT);
	gather(plot, &p, column);
	put_series(out, plot, column, &p);
	put_curves(out, plot, r);
	fputs("</svg>\n", out);
}

enum status plot_write(const struct plot *plot, const char *path, struct why *why)
{
	struct column *column = malloc(COLUMNS * sizeof(*column));
	struct scored *r = malloc((plot->csv->rows + 1) * sizeof(*r));
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	enum status st = STATUS_OK;

	if (column && r && out)
		put_all(out, plot, column, r);
	if (!out || fclose(out) != 0 || !column || !r)
		st = fail(why, STATUS_NO_MEMORY, "%s: no memory for the picture", path);
	if (st == STATUS_OK)
		st = file_replace(path, text, len, why);
	free(column);
	free(r);
	free(text);
	return st;
}
