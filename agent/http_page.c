/* The page at /: a plain table of machines that needs no script, until the live page is there. */
#include "agent/http_routes.h"
#include "common/timeutil.h"
#include <math.h>

enum { PAGE_REFRESH_S = 5 };

static void add_cell(struct body *page, double value)
{
	body_add(page, "<td>");
	if (isnan(value))
		body_add(page, "-");
	else
		body_add_number(page, value);
	body_add(page, "</td>");
}

static const char *state_name(const struct verdict *verdict)
{
	if (isnan(verdict->score))
		return "not scored";
	return verdict->anomalous ? "<strong>anomaly</strong>" : "normal";
}

static bool add_machine(
	void *context, int64_t id, const struct verdict *verdict, const struct schema *schema)
{
	struct body *page = context;
	char at[TIME_TEXT_SIZE];

	(void)id;
	time_format(verdict->reading.at_ms, at);
	body_add(page, "<tr><td>");
	body_add_html(page, verdict->reading.machine);
	body_add_format(page, "</td><td>%s</td><td>", at);
	for (size_t i = 0; i < schema->count; i++) {
		body_add(page, i > 0 ? ", " : "");
		body_add_html(page, schema->feature[i].name);
		body_add(page, " ");
		body_add_number(page, verdict->reading.value[i]);
	}
	body_add(page, "</td>");
	add_cell(page, verdict->score);
	add_cell(page, verdict->threshold);
	body_add_format(page, "<td>%s</td></tr>\n", state_name(verdict));
	return !page->failed;
}

static enum status add_machines(struct store *store, void *page, struct why *why)
{
	return store_machines(store, add_machine, page, why);
}

void route_page(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	struct body page = { 0 };
	struct why why;

	(void)parameters, (void)body, (void)len;
	body_add_format(&page,
		"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta http-equiv=\"refresh\" content=\"%d\"><title>Isolde</title></head><body>\n"
		"<h1>Isolde</h1>\n<p>A plain page: the newest reading of every machine.</p>\n"
		"<table border=\"1\" cellpadding=\"4\">\n<tr><th>machine</th><th>last reading</th>"
		"<th>values</th><th>score</th><th>threshold</th><th>state</th></tr>\n",
		PAGE_REFRESH_S);
	if (store_pool_use(&state->stores, add_machines, &page, &why) != STATUS_OK) {
		body_free(&page);
		reply_problem(exchange, 503, "%s", why.text);
		return;
	}
	body_add(&page, "</table>\n</body></html>\n");
	reply_body(exchange, 200, "text/html; charset=utf-8", &page);
}
