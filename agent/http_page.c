/* The live page: files of agent/page and dygraphs, which the build packs into the program
 * (agent/page/assets.S). They hold nothing that is secret, so that a browser can load them and ask
 * for a token. All but index.html are kept and sent as gzip. */
#include "agent/http_routes.h"
#include <string.h>

#define ASSET(symbol, path, file, sum) extern const char asset_##symbol[], asset_##symbol##_end[];
#include <assets.inc>
#undef ASSET

struct asset {
	const char *path, *sum; /* of the content, for the ETag */
	const char *data, *end;
};

static const struct asset assets[] = {
#define ASSET(symbol, path, file, sum) { path, sum, asset_##symbol, asset_##symbol##_end },
#include <assets.inc>
#undef ASSET
};

static const char *type_of(const char *path)
{
	const char *dot = strrchr(path, '.');

	if (!dot)
		return "text/html; charset=utf-8";
	return strcmp(dot, ".js") == 0     ? "text/javascript; charset=utf-8"
		: strcmp(dot, ".css") == 0 ? "text/css; charset=utf-8"
					   : "image/svg+xml";
}

static const struct asset *find_asset(const char *path)
{
	for (size_t i = 0; i < sizeof(assets) / sizeof(assets[0]); i++) {
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	}
	return NULL;
}

void route_page(struct http_state *state, struct exchange *exchange,
	const struct parameters *parameters, const char *body, size_t len)
{
	const struct asset *asset = find_asset(exchange->path);
	size_t count;
	const char *known = request_header(exchange, "If-None-Match", &count);

	(void)state, (void)parameters, (void)body, (void)len;
	if (!asset) {
		reply_problem(exchange, 404, "there is nothing here");
		return;
	}
	exchange->sources = "default-src 'self'";
	exchange->cache = "no-cache"; /* kept, but asked for again: the next version may differ */
	reply_header(exchange, "ETag: \"%s\"", asset->sum);
	if (known && strstr(known, asset->sum)) {
		reply_send(exchange, 304, type_of(asset->path), "", 0);
		return;
	}
	if (asset->path[1])
		reply_header(exchange, "Content-Encoding: gzip");
	reply_send(exchange, 200, type_of(asset->path), asset->data,
		(size_t)(asset->end - asset->data));
}
