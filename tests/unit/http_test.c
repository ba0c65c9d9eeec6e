/* The real server on loopback, spoken to over plain sockets. */
#include "agent/http.h"
#include "agent/http_guard.h"
#include "common/rng.h"
#include "common/store.h"
#include "common/timeutil.h"
#include "common/train.h"
#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANSWER_MAX = 1 << 20, ANSWER_MS = 15000, ROWS = 300 };
static const int64_t first_ms = INT64_C(1795000000000);

/* ---- the server under test ---- */

static char model_path[256], store_path[256], no_store_path[256];
static struct model_paths model_files = { model_path, "" };
static struct schema schema;

static struct rig {
	struct http_config config;
	struct health_config health_config;
	struct http_options options;
	struct health health;
	struct model_slot *slot;
	struct metrics *metrics;
	struct board *board;
	struct plant *plant;
	struct desk *desk;
	struct http *http;
	int port, health_port;
} rig;

static void prepare_rig(const char *host, const char *store)
{
	memset(&rig, 0, sizeof(rig));
	rig.port = unit_free_port();
	do
		rig.health_port = unit_free_port();
	while (rig.health_port == rig.port);
	snprintf(rig.config.listen, sizeof(rig.config.listen), "%s:%d", host, rig.port);
	snprintf(rig.health_config.listen, sizeof(rig.health_config.listen), "127.0.0.1:%d",
		rig.health_port);
	rig.config.threads = 8;
	CU_ASSERT_EQUAL_FATAL(model_slot_create(&rig.slot), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(metrics_create(&rig.metrics), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(board_create(&rig.board), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(plant_create(&rig.plant), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(desk_create(NULL, NULL, &rig.desk), STATUS_OK);
	rig.health.slot = rig.slot;
	rig.health.metrics = rig.metrics;
	rig.health.store_path = store;
	rig.health.started_ms = time_now_ms();
	atomic_store(&rig.health.beat_ns, time_monotonic_ns());
	rig.options = (struct http_options){ &rig.config, &rig.health_config, store, &model_files,
		rig.slot, rig.metrics, &rig.health, rig.board, rig.plant, rig.desk, 24 };
}

static void start_rig(void)
{
	struct why why = { "" };

	CU_ASSERT_EQUAL(model_slot_load(rig.slot, &model_files, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(http_start(&rig.options, &rig.http, &why), STATUS_OK);
}

static void start(void)
{
	prepare_rig("127.0.0.1", store_path);
	start_rig();
}

static void stop(void)
{
	http_stop(rig.http);
	model_slot_destroy(rig.slot);
	metrics_destroy(rig.metrics);
	desk_destroy(rig.desk);
	board_destroy(rig.board);
	plant_destroy(rig.plant);
}

/* ---- a client ---- */

static char answer[ANSWER_MAX];
static size_t answer_len;

static int dial(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		perror("dial");
		abort();
	}
	return fd;
}

static void send_bytes(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* refused early: the answer will tell */
		data += n;
		len -= (size_t)n;
	}
}

static void send_text(int fd, const char *text)
{
	send_bytes(fd, text, strlen(text));
}

/* The value of an answer's header, up to its line end, in one of two buffers; NULL if absent. */
static const char *header(const char *name)
{
	static char value[2][1024];
	static unsigned turn;
	const char *end = strstr(answer, "\r\n\r\n");
	const char *line = answer;
	size_t len = strlen(name);

	while (end && line < end && (line = strstr(line, "\r\n")) && line < end) {
		line += 2;
		if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
			char *out = value[turn++ % 2];
			snprintf(out, 1024, "%.*s", (int)strcspn(line + len + 2, "\r"),
				line + len + 2);
			return out;
		}
	}
	return NULL;
}

static const char *answer_body(void)
{
	const char *end = strstr(answer, "\r\n\r\n");
	return end ? end + 4 : "";
}

/* One recv into the answer before the deadline; false at its end. */
static bool receive_some(int fd, int64_t deadline_ns)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	int64_t left_ms = (deadline_ns - time_monotonic_ns()) / 1000000;

	if (left_ms <= 0 || poll(&ready, 1, (int)left_ms) <= 0)
		return false;
	ssize_t n = recv(fd, answer + answer_len, ANSWER_MAX - 1 - answer_len, 0);
	if (n <= 0)
		return false;
	answer_len += (size_t)n;
	answer[answer_len] = '\0';
	return true;
}

/* The status of the next answer on fd, 0 if none comes; `bodyless` for HEAD. */
static int receive(int fd, bool bodyless)
{
	int64_t deadline = time_monotonic_ns() + ANSWER_MS * INT64_C(1000000);
	const char *length;

	answer_len = 0;
	answer[0] = '\0';
	for (;;) {
		const char *head_end = strstr(answer, "\r\n\r\n");
		if (head_end) {
			length = header("Content-Length");
			size_t want = bodyless || !length ? 0 : (size_t)atol(length);
			if (answer_len >= (size_t)(head_end + 4 - answer) + want)
				break;
		}
		if (!receive_some(fd, deadline))
			break;
	}
	return strncmp(answer, "HTTP/1.1 ", 9) == 0 ? atoi(answer + 9) : 0;
}

/* The peer closes within a second or two, sending nothing more. */
static bool closes(int fd)
{
	struct pollfd ready = { fd, POLLIN, 0 };
	char byte;

	return poll(&ready, 1, 6000) > 0 && recv(fd, &byte, 1, 0) <= 0;
}

static int ask_at(int port, const char *request)
{
	int fd = dial(port);

	send_text(fd, request);
	int status = receive(fd, strncmp(request, "HEAD", 4) == 0);
	close(fd);
	return status;
}

static int ask(const char *request)
{
	return ask_at(rig.port, request);
}

static int get(const char *path)
{
	char request[2048];
	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
	return ask(request);
}

static int post(const char *path, const char *body)
{
	size_t size = strlen(body) + 512;
	char *request = malloc(size);

	snprintf(request, size,
		"POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
		"Content-Length: %zu\r\n\r\n%s",
		path, strlen(body), body);
	int status = ask(request);
	free(request);
	return status;
}

struct row {
	const char *request;
	int status;
	const char *word; /* in the answer; NULL: whatever */
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int status = ask(rows[i].request);
		if (status != rows[i].status)
			fprintf(stderr, "\n%d, not %d, for %s\n%s\n", status, rows[i].status,
				rows[i].request, answer);
		CU_ASSERT_EQUAL(status, rows[i].status);
		if (rows[i].word)
			ASSERT_HOLDS(answer, rows[i].word);
		if (status >= 400)
			ASSERT_HOLDS(answer, "Content-Type: application/problem+json\r\n");
	}
}
#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof(rows[0]))

#define H1 " HTTP/1.1\r\nHost: a\r\n"
#define JSON_OF(n) "Content-Type: application/json\r\nContent-Length: " #n "\r\n\r\n"

/* ---- the cases ---- */

static void test_routes(void)
{
	static const struct row rows[] = {
		{ "GET /metrics" H1 "\r\n", 200, "isolde_messages_received_total 0" },
		{ "GET /health/live" H1 "\r\n", 200, "{\"status\":\"live\"}" },
		{ "GET /health" H1 "\r\n", 503, NULL },
		{ "GET /history" H1 "\r\n", 200, "\"next_cursor\"" },
		{ "GET /" H1 "\r\n", 200, "<title>Isolde</title>" },
		{ "GET /nothing" H1 "\r\n", 404, "\"instance\":\"/nothing\"" },
		{ "GET /HEALTH" H1 "\r\n", 404, "\"status\":404" },
		{ "GET //health" H1 "\r\n", 404, "Not Found" },
		{ "GET /health/" H1 "\r\n", 404, NULL },
		{ "GET /health/../metrics" H1 "\r\n", 404, NULL },
		{ "GET /favicon.ico" H1 "\r\n", 404, NULL },
		{ "POST /history" H1 "Content-Length: 0\r\n\r\n", 405, "Allow: GET, HEAD\r\n" },
		{ "GET /predict" H1 "\r\n", 405, "Allow: POST\r\n" },
		{ "GET /reload" H1 "\r\n", 405, "Allow: POST\r\n" },
		{ "OPTIONS /health" H1 "\r\n", 405, "Allow: GET, HEAD\r\n" },
		{ "DELETE /health" H1 "\r\n", 405, NULL },
		{ "PROPFIND /" H1 "\r\n", 405, NULL },
		{ "GET /metrics HTTP/1.0\r\n\r\n", 200, "Connection: close\r\n" },
		{ "GET /alarms" H1 "\r\n", 200, "\"flood\":false,\"chattering\":0,\"items\":[]}" },
		{ "GET /alarms?history=1" H1 "\r\n", 200, "\"items\":[],\"next_cursor\":null}" },
		{ "GET /alarms?history=1&limit=9999" H1 "\r\n", 200, "\"limit\":1000" },
		{ "POST /alarms" H1 "Content-Length: 0\r\n\r\n", 405, "Allow: GET, HEAD\r\n" },
		{ "GET /alarms/x/ack" H1 "\r\n", 405, "Allow: POST\r\n" },
		{ "GET /alarms/x" H1 "\r\n", 404, NULL },
		{ "GET /alarms//ack" H1 "\r\n", 404, NULL },
		{ "GET /alarms/x/y/ack" H1 "\r\n", 404, NULL },
		{ "GET /alarms/x/ack/" H1 "\r\n", 404, NULL },
		{ "GET /machines/x" H1 "\r\n", 404, NULL },
	};

	start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(ask(rows[i].request), rows[i].status);
		if (rows[i].word)
			ASSERT_HOLDS(answer, rows[i].word);
	}
	CU_ASSERT_TRUE(metrics_get(rig.metrics, METRIC_HTTP_REQUESTS) >= 18);
	CU_ASSERT_TRUE(metrics_get(rig.metrics, METRIC_HTTP_ERRORS) >= 12);
	stop();
}

/* An alarm on the board is listed; what is asked of it waits at the desk, in vain here: nobody
 * serves it. */
static void test_alarms(void)
{
	struct alarm alarm = { .condition = ALARM_UNACKNOWLEDGED,
		.causes = ALARM_BIT(ALARM_STUCK),
		.id = "some-id",
		.peak_score = NAN,
		.reason = "\"\xff<" };

	start();
	board_put(rig.board, "press-1", &alarm);
	CU_ASSERT_EQUAL(get("/alarms"), 200);
	ASSERT_HOLDS(answer, "{\"count\":1,\"total\":1,\"limit\":1000,");
	ASSERT_HOLDS(answer, "\"id\":\"some-id\",\"machine\":\"press-1\"");
	ASSERT_HOLDS(answer, "\"causes\":[\"stuck\"]");
	ASSERT_HOLDS(answer, "\"peak_score\":null");
	ASSERT_HOLDS(answer, "\"reason\":\"\\\"?<\"");
	ASSERT_HOLDS(answer, "\"group\":null}]}");
	CU_ASSERT_EQUAL(get("/alarms?state=returned"), 200);
	ASSERT_HOLDS(answer, "\"items\":[]");
	CU_ASSERT_EQUAL(post("/alarms/some-id/ack", "{}"), 503);
	ASSERT_HOLDS(answer, "Retry-After: 2\r\n");
	ASSERT_HOLDS(answer, "nothing was done");
	desk_close(rig.desk);
	CU_ASSERT_EQUAL(post("/alarms/some-id/ack", "{}"), 503);
	ASSERT_HOLDS(answer, "stopping");
	stop();
}

static void test_malformed(void)
{
	static const struct row rows[] = {
		{ "GET /%68ealth" H1 "\r\n", 400, "escape" },
		{ "GET /health%00" H1 "\r\n", 400, NULL },
		{ "GET /health%0d%0aX:%20y" H1 "\r\n", 400, NULL },
		{ "GET /he\x80lth" H1 "\r\n", 400, NULL },
		{ "GET /health HTTP/1.1\r\n\r\n", 400, "Host" },
		{ "GET /health" H1 "Host: b\r\n\r\n", 400, "Host" },
		{ "GARBAGE\r\n\r\n", 400, NULL },
		{ "GET /health HTTP/7.0\r\nHost: a\r\n\r\n", 505, NULL },
		{ "GET /health" H1 "no colon\r\n\r\n", 400, NULL },
		{ "POST /predict" H1 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, NULL },
		{ "POST /predict" H1 "Transfer-Encoding: gzip\r\n" JSON_OF(2) "{}", 411, NULL },
		{ "POST /predict" H1 "Transfer-Encoding: chunked\r\n" JSON_OF(2) "{}", 411, NULL },
		{ "POST /predict" H1 "Content-Type: application/json\r\n\r\n", 411, NULL },
		{ "POST /predict" H1 JSON_OF(5abc) "{}   ", 400, "Content-Length" },
		{ "POST /predict" H1 JSON_OF(abc) "{}", 400, NULL },
		{ "POST /predict" H1 JSON_OF(-5) "{}", 400, "Content-Length" },
		{ "POST /predict" H1 JSON_OF(+2) "{}", 400, "Content-Length" },
		{ "POST /predict" H1 "Content-Length: 2\r\n" JSON_OF(2) "{}", 400,
			"Content-Length" },
		{ "POST /predict" H1 JSON_OF(65537), 413, "65536" },
		{ "POST /predict" H1 JSON_OF(99999999999999999999), 413, "65536" },
		{ "POST /predict" H1 "Expect: miracles\r\n" JSON_OF(2) "{}", 417, NULL },
	};

	start();
	CHECK_ROWS(rows);
	CU_ASSERT_EQUAL(get("/metrics"), 200);
	stop();
}

static void test_predict(void)
{
	static const struct row rows[] = {
		{ "POST /predict" H1 "Content-Length: 2\r\n\r\n{}", 415, NULL },
		{ "POST /predict" H1 "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415,
			NULL },
		{ "POST /predict" H1
		  "Content-Type: application/jsonx\r\nContent-Length: 2\r\n\r\n{}",
			415, NULL },
		{ "POST /predict" H1
		  "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}",
			422, "\"errors\":[{\"field\":\"temperature\",\"detail\":\"is missing\"}" },
		{ "POST /predict" H1 JSON_OF(0), 400, NULL },
		{ "POST /predict" H1 JSON_OF(1) "{", 400, NULL },
		{ "POST /predict" H1 JSON_OF(4) "{}{}", 400, NULL },
		{ "POST /predict" H1 JSON_OF(3) "NaN", 400, NULL },
		{ "POST /predict" H1 JSON_OF(2) "17", 422, "must be an object" },
		{ "POST /predict" H1 JSON_OF(2) "[]", 200, "\r\n\r\n[]" },
		{ "POST /predict" H1 JSON_OF(4) "[[]]", 422, "\"field\":\"[0]\"" },
		{ "POST /predict?x=1" H1 JSON_OF(2) "[]", 400, "unknown query parameter" },
	};

	start();
	CHECK_ROWS(rows);

	CU_ASSERT_EQUAL(
		post("/predict", "{\"temperature\":95,\"humidity\":20,\"sound\":120}"), 200);
	ASSERT_HOLDS(answer_body(), "{\"anomaly_score\":");
	ASSERT_HOLDS(answer_body(), ",\"is_anomaly\":1,\"threshold\":");
	ASSERT_HOLDS(answer, "Content-Type: application/json\r\n");
	CU_ASSERT_EQUAL(
		post("/predict",
			"{\"temperature\":60,\"humidity\":35,\"sound\":75,\"machine\":\"x\"}"),
		200);
	ASSERT_HOLDS(answer_body(), ",\"is_anomaly\":0,\"threshold\":");
	CU_ASSERT_EQUAL(post("/predict",
				"[{\"temperature\":60,\"humidity\":35,\"sound\":75},"
				"{\"temperature\":95,\"humidity\":20,\"sound\":120}]"),
		200);
	CU_ASSERT_EQUAL(*answer_body(), '[');
	ASSERT_HOLDS(answer_body(), "},{\"anomaly_score\":");

	CU_ASSERT_EQUAL(post("/predict",
				"[{\"temperature\":60,\"humidity\":35,\"sound\":75},"
				"{\"temperature\":\"hot\",\"Humidity\":20,\"sound\":null}]"),
		422);
	ASSERT_HOLDS(
		answer, "{\"field\":\"[1].temperature\",\"detail\":\"must be a finite number\"}");
	ASSERT_HOLDS(answer, "{\"field\":\"[1].humidity\",\"detail\":\"is missing\"}");
	ASSERT_HOLDS(answer, "{\"field\":\"[1].sound\",\"detail\":\"must be a finite number\"}");
	CU_ASSERT_PTR_NULL(strstr(answer, "[0]"));
	stop();
}

/* `n` readings as an array; the caller's. */
static char *many_readings(size_t n)
{
	static const char one[] = "{\"temperature\":60,\"humidity\":35,\"sound\":75},";
	char *text = malloc(n * (sizeof(one) - 1) + 3);
	char *at = text;

	*at++ = '[';
	for (size_t i = 0; i < n; i++, at += sizeof(one) - 1)
		memcpy(at, one, sizeof(one) - 1);
	memcpy(at - 1, "]", 2);
	return text;
}

static void test_predict_limits(void)
{
	char *readings = many_readings(1000);

	start();
	CU_ASSERT_EQUAL(post("/predict", readings), 200);
	size_t scores = 0;
	for (const char *at = answer; (at = strstr(at, "anomaly_score")); at++)
		scores++;
	CU_ASSERT_EQUAL(scores, 1000);
	free(readings);
	readings = many_readings(1001);
	CU_ASSERT_EQUAL(post("/predict", readings), 413);
	ASSERT_HOLDS(answer, "1000");
	free(readings);
	stop();
}

static void test_deep_json(void)
{
	char deep[801], longer[65537];

	memset(deep, '[', 800);
	deep[800] = '\0';
	memset(longer, '[', 65536);
	longer[65536] = '\0';
	start();
	CU_ASSERT_EQUAL(post("/predict", deep), 400);
	CU_ASSERT_EQUAL(post("/predict", longer), 400);
	CU_ASSERT_EQUAL(get("/health/live"), 200);
	stop();
}

static void test_no_model(void)
{
	struct why why;

	prepare_rig("127.0.0.1", store_path);
	CU_ASSERT_EQUAL_FATAL(http_start(&rig.options, &rig.http, &why), STATUS_OK);
	CU_ASSERT_EQUAL(post("/predict", "{}"), 503);
	CU_ASSERT_PTR_NOT_NULL(header("Retry-After"));
	CU_ASSERT_EQUAL(get("/metrics"), 200);
	CU_ASSERT_PTR_NULL(strstr(answer, "isolde_model_info"));
	stop();
}

static void test_reload(void)
{
	static const char broken[] = "{\"not\":\"a model\"}";
	static const char reload[] = "POST /reload" H1 "Content-Length: 0\r\n\r\n";
	char expected[64];

	start();
	const struct models *models = model_slot_hold(rig.slot);
	snprintf(expected, sizeof(expected), "{\"status\":\"reloaded\",\"model\":\"%s\"}",
		models->usual->id);
	model_slot_release(rig.slot, models);
	CU_ASSERT_EQUAL(ask(reload), 200);
	ASSERT_HOLDS(answer, expected);
	CU_ASSERT_EQUAL(ask("POST /reload" H1 "\r\n"), 200);
	CU_ASSERT_EQUAL(post("/reload", "{}"), 200);
	CU_ASSERT_EQUAL(ask("POST /reload" H1 "Content-Type: text/plain\r\n"
			    "Content-Length: 1\r\n\r\nx"),
		415);
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_MODEL_RELOADS), 3);

	model_files.usual = unit_file("broken.json", broken, sizeof(broken) - 1);
	http_stop(rig.http);
	struct why why;
	CU_ASSERT_EQUAL_FATAL(http_start(&rig.options, &rig.http, &why), STATUS_OK);
	CU_ASSERT_EQUAL(ask(reload), 422);
	ASSERT_HOLDS(answer, "broken.json");
	http_stop(rig.http);
	model_files.usual = unit_path("absent.json");
	CU_ASSERT_EQUAL_FATAL(http_start(&rig.options, &rig.http, &why), STATUS_OK);
	CU_ASSERT_EQUAL(ask(reload), 422);
	ASSERT_HOLDS(answer, "absent.json");
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_MODEL_RELOAD_FAILURES), 2);
	CU_ASSERT_EQUAL(
		post("/predict", "{\"temperature\":95,\"humidity\":20,\"sound\":120}"), 200);
	CU_ASSERT_EQUAL(get("/health"), 503);
	ASSERT_HOLDS(answer, "stays in force");
	stop();
	model_files.usual = model_path;
}

/* What is asked of a machine is answered by its model. */
static void test_own_model(void)
{
	static const char reading[] = "{\"temperature\":95,\"humidity\":20,\"sound\":120}";
	struct model *model = NULL;
	struct why why;

	CU_ASSERT_EQUAL_FATAL(model_load(model_path, &model, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(mkdir(unit_path("machines"), 0700), 0);
	model->threshold = 0.4375;
	CU_ASSERT_EQUAL_FATAL(
		model_save(model, unit_path("machines/oven-1.json"), &why), STATUS_OK);
	model_destroy(model);
	model_files.machines = unit_path("machines");
	start();

	CU_ASSERT_EQUAL(post("/predict?machine=oven-1", reading), 200);
	ASSERT_HOLDS(answer, "\"threshold\":0.4375");
	CU_ASSERT_EQUAL(get("/machines/oven-1/model"), 200);
	ASSERT_HOLDS(answer, "\"threshold\":0.4375");
	CU_ASSERT_EQUAL(post("/predict?machine=press-1", reading), 200);
	CU_ASSERT_PTR_NULL(strstr(answer, "0.4375"));
	CU_ASSERT_EQUAL(get("/machines/press-1/model"), 200);
	CU_ASSERT_PTR_NULL(strstr(answer, "0.4375"));
	CU_ASSERT_EQUAL(post("/predict", reading), 200);
	CU_ASSERT_PTR_NULL(strstr(answer, "0.4375"));
	CU_ASSERT_EQUAL(get("/machines/a.b/model"), 404);
	CU_ASSERT_EQUAL(post("/predict?machines=oven-1", reading), 400);
	(void)get("/health");
	ASSERT_HOLDS(answer, ", 1 machine with a model of its own");
	stop();
	model_files.machines = "";
}

static void test_query(void)
{
	static const struct row rows[] = {
		{ "GET /history?limit=3" H1 "\r\n", 200, "{\"count\":3,\"limit\":3,\"items\":[{" },
		{ "GET /history?limit=1001" H1 "\r\n", 200, "\"limit\":1000," },
		{ "GET /history?limit=9223372036854775807" H1 "\r\n", 200, "\"limit\":1000," },
		{ "GET /history?" H1 "\r\n", 200, "\"limit\":100," },
		{ "GET /history?limit=0" H1 "\r\n", 400, "limit" },
		{ "GET /history?limit=-1" H1 "\r\n", 400, "limit" },
		{ "GET /history?limit=ten" H1 "\r\n", 400, "limit" },
		{ "GET /history?limit=1.5" H1 "\r\n", 400, "limit" },
		{ "GET /history?limit=" H1 "\r\n", 400, NULL },
		{ "GET /history?limit" H1 "\r\n", 400, NULL },
		{ "GET /history?limit=5&limit=6" H1 "\r\n", 400, "twice" },
		{ "GET /history?limit=5&" H1 "\r\n", 400, NULL },
		{ "GET /history?&limit=5" H1 "\r\n", 400, NULL },
		{ "GET /history?Limit=5" H1 "\r\n", 400, "unknown" },
		{ "GET /history?limit=5&color=red" H1 "\r\n", 400, "color" },
		{ "GET /history?%6cimit=5" H1 "\r\n", 200, "\"limit\":5" },
		{ "GET /history?limit=%3" H1 "\r\n", 400, NULL },
		{ "GET /history?limit=%3x" H1 "\r\n", 400, NULL },
		{ "GET /history?limit=5%00" H1 "\r\n", 400, NULL },
		{ "GET /history?machine=press-1" H1 "\r\n", 200, "press-1" },
		{ "GET /history?machine=nobody" H1 "\r\n", 200, "\"count\":0" },
		{ "GET /history?machine=a%20b" H1 "\r\n", 400, "machine" },
		{ "GET /history?machine='%20OR%201=1" H1 "\r\n", 400, NULL },
		{ "GET /history?anomalies=2" H1 "\r\n", 400, "anomalies" },
		{ "GET /history?from=yesterday" H1 "\r\n", 400, "from" },
		{ "GET /history?from=2&to=1" H1 "\r\n", 400, "from is after to" },
		{ "GET /history?from=2&to=2" H1 "\r\n", 200, "\"count\":0" },
		{ "GET /history?from=-1" H1 "\r\n", 400, "from" },
		{ "GET /history?from=1e400" H1 "\r\n", 400, NULL },
		{ "GET /history?from=1e308" H1 "\r\n", 400, NULL },
		{ "GET /history?to=2026-11-23T12:00:00%2B01:00" H1 "\r\n", 200, NULL },
		{ "GET /history?to=2026-11-23T12:00:00+01:00" H1 "\r\n", 200, NULL },
		{ "GET /history?cursor=xyz" H1 "\r\n", 400, "cursor" },
		{ "GET /history?cursor=0000000000000000" H1 "\r\n", 400, "cursor" },
		{ "GET /history?cursor=ffffffffffffffff" H1 "\r\n", 400, "cursor" },
		{ "GET /health?x=1" H1 "\r\n", 400, "unknown query parameter" },
		{ "GET /?x=1" H1 "\r\n", 400, NULL },
		{ "GET /metrics?x" H1 "\r\n", 400, NULL },
	};
	char longer[1400];

	start();
	CHECK_ROWS(rows);
	memset(longer, 'a', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	memcpy(longer, "/history?machine=", 17);
	CU_ASSERT_EQUAL(get(longer), 400);
	stop();
}

/* Row `i` of the store under test: three machines in turn, two rows share a time. */
static struct verdict sample(int i)
{
	struct verdict verdict = { .score = i % 5 == 0 ? 0.25 : -0.0625,
		.threshold = 0.125,
		.anomalous = i % 5 == 0,
		.late = i == 7,
		.model = "0123456789abcdef" };
	struct reading *reading = &verdict.reading;

	snprintf(reading->machine, sizeof(reading->machine), "press-%d", i % 3 + 1);
	reading->at_ms = first_ms + i / 2 * 1000;
	reading->at_sent = true;
	reading->received_ms = reading->at_ms + 20;
	reading->seq = i;
	reading->value[0] = 60.5 + i;
	reading->value[1] = 35;
	reading->value[2] = 75.25;
	return verdict;
}

static void make_store(void)
{
	struct store *store;
	struct why why = { "" };
	bool duplicate;

	CU_ASSERT_EQUAL_FATAL(store_open(store_path, STORE_WRITE, &store, &why), STATUS_OK);
	CU_ASSERT_EQUAL_FATAL(store_begin(store, &why), STATUS_OK);
	for (int i = 0; i < ROWS; i++) {
		struct verdict verdict = sample(i);
		CU_ASSERT_EQUAL(store_add(store, &verdict, &schema, &duplicate, &why), STATUS_OK);
	}
	CU_ASSERT_EQUAL(store_commit(store, &why), STATUS_OK);
	store_close(store);
}

/* The integers behind every `key` of the answer. */
static size_t numbers_of(const char *key, long long *out, size_t max)
{
	size_t n = 0;

	for (const char *at = answer; n < max && (at = strstr(at, key)); n++)
		out[n] = atoll(at += strlen(key));
	return n;
}

/* Walks by cursor; the number of rows, each of `expected` seen once. */
static int walk(const char *query, bool *seen)
{
	char path[256], cursor[64] = "";
	long long seq[64];
	int rows = 0;

	for (int pages = 0; pages < 200; pages++) {
		snprintf(path, sizeof(path), "/history?limit=7%s%s", query, cursor);
		CU_ASSERT_EQUAL_FATAL(get(path), 200);
		size_t n = numbers_of("\"seq\":", seq, 64);
		for (size_t i = 0; i < n; i++) {
			CU_ASSERT_FALSE(seen[seq[i]]);
			seen[seq[i]] = true;
			rows++;
		}
		const char *next = strstr(answer, "\"next_cursor\":\"");
		CU_ASSERT_EQUAL(!next, header("Link") == NULL);
		if (!next)
			return rows;
		CU_ASSERT_EQUAL(n, 7);
		snprintf(cursor, sizeof(cursor), "&cursor=%.16s", next + 15);
	}
	return -1;
}

static void test_paging(void)
{
	bool seen[ROWS] = { false };

	start();
	CU_ASSERT_EQUAL(walk("&anomalies=0", seen), ROWS);
	memset(seen, 0, sizeof(seen));
	CU_ASSERT_EQUAL(walk("", seen), ROWS / 5);
	CU_ASSERT_TRUE(seen[0] && !seen[1] && seen[295]);
	memset(seen, 0, sizeof(seen));
	CU_ASSERT_EQUAL(walk("&anomalies=0&machine=press-2", seen), ROWS / 3);
	CU_ASSERT_TRUE(!seen[0] && seen[1] && !seen[2]);

	long long seq[ROWS];
	CU_ASSERT_EQUAL(get("/history?anomalies=0&limit=1000"), 200);
	CU_ASSERT_EQUAL(numbers_of("\"seq\":", seq, ROWS), ROWS);
	for (size_t i = 1; i < ROWS; i++)
		CU_ASSERT_TRUE(seq[i] / 2 <= seq[i - 1] / 2);

	CU_ASSERT_EQUAL(get("/history?anomalies=0&limit=300"), 200); /* full, and nothing behind */
	ASSERT_HOLDS(answer, "\"count\":300,");
	ASSERT_HOLDS(answer, "\"next_cursor\":null");
	stop();
}

static void test_time_bounds(void)
{
	char path[256], from[TIME_TEXT_SIZE], to[TIME_TEXT_SIZE];
	long long seq[64];

	start();
	time_format(first_ms + 10000, from);
	time_format(first_ms + 12000, to);
	snprintf(path, sizeof(path), "/history?anomalies=0&from=%s&to=%s", from, to);
	CU_ASSERT_EQUAL(get(path), 200);
	CU_ASSERT_EQUAL(numbers_of("\"seq\":", seq, 64), 4); /* from is in, to is out */
	snprintf(path, sizeof(path), "/history?anomalies=0&limit=1&from=%lld&to=%lld",
		(long long)first_ms / 1000 + 10, (long long)first_ms + 12000);
	CU_ASSERT_EQUAL(get(path), 200);
	CU_ASSERT_EQUAL(numbers_of("\"seq\":", seq, 64), 1);
	CU_ASSERT_EQUAL(seq[0] / 2, 11);

	char link[1024];
	snprintf(link, sizeof(link), "%s", header("Link"));
	link[strcspn(link, ">")] = '\0';
	CU_ASSERT_EQUAL(get(link + 1), 200);
	CU_ASSERT_EQUAL(numbers_of("\"seq\":", seq, 64), 1);
	CU_ASSERT_TRUE(seq[0] >= 20 && seq[0] <= 23);
	stop();
}

static void test_items(void)
{
	struct verdict verdict = sample(295);
	char *text = malloc(VERDICT_TEXT_MAX);

	start();
	CU_ASSERT_EQUAL(get("/history?limit=1"), 200);
	CU_ASSERT_TRUE(verdict_encode(&verdict, &schema, text, VERDICT_TEXT_MAX) > 0);
	ASSERT_HOLDS(answer, text);
	ASSERT_HOLDS(answer, "\"seq\":295,\"temperature\":355.5,");
	free(text);
	stop();
}

static void test_csv(void)
{
	static const char request[] = "GET /history?anomalies=0&limit=1000" H1
				      "Accept: text/html, text/csv;q=0.9\r\n\r\n";
	static const char none[] = "GET /history?machine=nobody" H1 "Accept: text/csv\r\n\r\n";
	size_t lines = 0;

	start();
	CU_ASSERT_EQUAL(ask(request), 200);
	ASSERT_HOLDS(answer, "Content-Type: text/csv");
	CU_ASSERT_EQUAL(strncmp(answer_body(),
				"machine,timestamp,received,seq,temperature,humidity,sound,"
				"anomaly_score,threshold,is_anomaly,model,quality,late\r\n",
				112),
		0);
	for (const char *at = answer_body(); (at = strstr(at, "\r\n")); at += 2)
		lines++;
	CU_ASSERT_EQUAL(lines, ROWS + 1);
	ASSERT_HOLDS(answer, ",295,355.5,35,75.25,0.25,0.125,1,0123456789abcdef,good,0\r\n");
	ASSERT_HOLDS(answer, ",7,67.5,35,75.25,-0.0625,0.125,0,0123456789abcdef,good,1\r\n");
	CU_ASSERT_EQUAL(ask(none), 200);
	CU_ASSERT_STRING_EQUAL(answer_body(),
		"machine,timestamp,received,seq,anomaly_score,threshold,is_anomaly,model,quality,"
		"late\r\n");
	stop();
}

static void test_no_store(void)
{
	prepare_rig("127.0.0.1", no_store_path);
	start_rig();
	CU_ASSERT_EQUAL(get("/history"), 200);
	ASSERT_HOLDS(answer, "{\"count\":0,\"limit\":100,\"items\":[],\"next_cursor\":null}");
	CU_ASSERT_EQUAL(get("/"), 200);
	CU_ASSERT_NOT_EQUAL(access(no_store_path, F_OK), 0);
	stop();
}

static void test_page(void)
{
	char request[256], sum[64];

	start();
	CU_ASSERT_EQUAL(get("/"), 200);
	ASSERT_HOLDS(answer, "Content-Type: text/html; charset=utf-8\r\n");
	ASSERT_HOLDS(answer, "Content-Security-Policy: default-src 'self'; base-uri 'none'");
	ASSERT_HOLDS(answer, "\r\nCache-Control: no-cache\r\n");
	ASSERT_HOLDS(answer, "<script src=\"/page/app.js\" type=\"module\">");
	snprintf(sum, sizeof(sum), "%s", header("ETag"));
	snprintf(request, sizeof(request), "GET /" H1 "If-None-Match: %s\r\n\r\n", sum);
	CU_ASSERT_EQUAL(ask(request), 304);
	CU_ASSERT_STRING_EQUAL(answer_body(), "");
	CU_ASSERT_EQUAL(get("/page/app.js"), 200);
	ASSERT_HOLDS(answer, "Content-Type: text/javascript; charset=utf-8\r\n");
	ASSERT_HOLDS(answer, "Content-Encoding: gzip\r\n");
	CU_ASSERT_EQUAL(answer_body()[0], '\x1f');
	CU_ASSERT_EQUAL(get("/page/shapes.svg"), 200);
	ASSERT_HOLDS(answer, "Content-Type: image/svg+xml\r\n");
	CU_ASSERT_EQUAL(get("/page/secret.js"), 404);
	CU_ASSERT_EQUAL(get("/page/"), 404);
	stop();
}

/* It holds nothing secret: a browser has to load it before it can send a token. */
static void test_page_needs_no_token(void)
{
	prepare_rig("127.0.0.1", store_path);
	snprintf(rig.config.read_token, sizeof(rig.config.read_token), "a-token-to-read");
	start_rig();
	CU_ASSERT_EQUAL(get("/"), 200);
	CU_ASSERT_EQUAL(get("/page/app.css"), 200);
	CU_ASSERT_EQUAL(get("/plant"), 401);
	CU_ASSERT_EQUAL(get("/events"), 401);
	CU_ASSERT_EQUAL(get("/machines/press-1/series"), 401);
	stop();
}

static void note(int seq, double score)
{
	struct verdict verdict = sample(seq);

	verdict.score = verdict.alarm_score = score;
	plant_note(rig.plant, &verdict, &schema, 0);
}

static void test_plant(void)
{
	start();
	CU_ASSERT_EQUAL(get("/plant"), 200);
	ASSERT_HOLDS(answer, "\"machines\":[]}");
	ASSERT_HOLDS(answer, "\"status\":{\"now\":");
	ASSERT_HOLDS(answer, "\"model\":{\"id\":\"");
	note(1, 0.25);
	CU_ASSERT_EQUAL(get("/plant"), 200);
	ASSERT_HOLDS(answer, "\"machines\":[{\"machine\":\"press-2\",\"at\":");
	ASSERT_HOLDS(answer, "\"score\":0.25,");
	ASSERT_HOLDS(answer, "\"alarm\":null}]}");
	stop();
}

static char stream[131072];

/* Reads a stream until it holds `word`, or the client's patience is over. */
static bool stream_until(int fd, const char *word)
{
	size_t len = 0;

	while (len < sizeof(stream) - 1) {
		ssize_t n = recv(fd, stream + len, sizeof(stream) - 1 - len, 0);
		if (n <= 0)
			return false;
		len += (size_t)n;
		stream[len] = '\0';
		if (strstr(stream, word))
			return true;
	}
	return false;
}

static int open_stream(const char *id)
{
	static const struct timeval patience = { .tv_sec = 10 };
	int fd = dial(rig.port);
	char request[256];

	snprintf(request, sizeof(request), "GET /events" H1 "%s%s%s\r\n",
		id ? "Last-Event-ID: " : "", id ? id : "", id ? "\r\n" : "");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	CU_ASSERT_EQUAL(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
	return fd;
}

static void test_events(void)
{
	char id[64] = "";

	start();
	note(1, 0.25);
	int fd = open_stream(NULL);
	CU_ASSERT_TRUE(stream_until(fd, "event: status\ndata: {"));
	ASSERT_HOLDS(stream, "Content-Type: text/event-stream; charset=utf-8\r\n");
	ASSERT_HOLDS(stream, "event: machines\ndata: {\"now\":");
	ASSERT_HOLDS(stream, "\"score\":0.25,");
	CU_ASSERT_PTR_NULL(strstr(stream, "resync"));
	const char *at = strstr(stream, "id: ");
	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	snprintf(id, sizeof(id), "%.*s", (int)strcspn(at + 4, "\n"), at + 4);
	note(2, 0.5);
	CU_ASSERT_TRUE(stream_until(fd, "\"score\":0.5,"));
	close(fd);

	fd = open_stream(id); /* goes on after what it had */
	CU_ASSERT_TRUE(stream_until(fd, "event: status"));
	ASSERT_HOLDS(stream, "\"score\":0.5,");
	CU_ASSERT_PTR_NULL(strstr(stream, "resync"));
	close(fd);

	fd = open_stream("1-0-1"); /* of another start */
	CU_ASSERT_TRUE(stream_until(fd, "event: status"));
	ASSERT_HOLDS(stream, "event: resync\ndata: {}");
	plant_remove(rig.plant, "press-2");
	CU_ASSERT_TRUE(stream_until(fd, "event: resync"));
	close(fd);
	stop();
}

static size_t count_of(const char *text, const char *word)
{
	size_t n = 0;

	for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
		n++;
	return n;
}

/* A page can draw between events of a hundred machines; who breaks off among them gets them all. */
static void test_events_in_parts(void)
{
	struct verdict verdict = sample(1);

	start();
	for (int i = 0; i < 250; i++) {
		snprintf(verdict.reading.machine, sizeof(verdict.reading.machine), "press-%d", i);
		plant_note(rig.plant, &verdict, &schema, 0);
	}
	int fd = open_stream(NULL);
	CU_ASSERT_TRUE(stream_until(fd, "event: status\ndata: {"));
	CU_ASSERT_EQUAL(count_of(stream, "event: machines\n"), 3);
	CU_ASSERT_EQUAL(count_of(stream, "{\"machine\":\""), 250);
	CU_ASSERT_EQUAL(count_of(stream, "\nid: "), 1);
	const char *last = strstr(stream, "\nid: ");
	CU_ASSERT_PTR_NOT_NULL_FATAL(last);
	CU_ASSERT_EQUAL(count_of(last, "event: machines\n"), 1);
	CU_ASSERT_EQUAL(count_of(last, "{\"machine\":\""), 50);
	close(fd);
	stop();
}

static void test_streams_are_bounded(void)
{
	int fd[HTTP_STREAMS_MAX];

	start();
	note(1, 0.25);
	for (int i = 0; i < HTTP_STREAMS_MAX; i++) {
		fd[i] = open_stream(NULL);
		CU_ASSERT_TRUE(stream_until(fd[i], "event: machines"));
	}
	CU_ASSERT_EQUAL(get("/events"), 503);
	CU_ASSERT_TRUE(atol(header("Retry-After")) > 0);
	CU_ASSERT_EQUAL(get("/plant"), 200); /* others have threads left */
	int64_t began_ns = time_monotonic_ns();
	stop(); /* ends them: does not wait for their life to be over */
	CU_ASSERT_TRUE(time_monotonic_ns() - began_ns < INT64_C(5000000000));
	for (int i = 0; i < HTTP_STREAMS_MAX; i++)
		close(fd[i]);
}

static void test_series(void)
{
	start();
	CU_ASSERT_EQUAL(get("/machines/press-2/series?steps=4"), 200);
	ASSERT_HOLDS(answer, "{\"machine\":\"press-2\",\"from\":");
	ASSERT_HOLDS(answer, "\"features\":[\"temperature\",\"humidity\",\"sound\"],\"steps\":[[");
	CU_ASSERT_EQUAL(get("/machines/nobody/series"), 200);
	ASSERT_HOLDS(answer, "\"steps\":[]}");
	CU_ASSERT_EQUAL(get("/machines/a.b/series"), 404);
	CU_ASSERT_EQUAL(get("/machines/press-2/series?steps=0"), 400);
	CU_ASSERT_EQUAL(get("/machines/press-2/series?from=2020-01-01T00:00:00Z&to=3"), 400);
	CU_ASSERT_EQUAL(get("/machines/press-2/series?colour=red"), 400);
	stop();
}

static void test_head(void)
{
	static const char *const paths[] = { "/metrics", "/history", "/", "/nothing" };
	char request[128];

	start();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		int status = get(paths[i]);
		long length = atol(header("Content-Length"));
		char type[128];
		snprintf(type, sizeof(type), "%s", header("Content-Type"));
		snprintf(request, sizeof(request), "HEAD %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
		CU_ASSERT_EQUAL(ask(request), status);
		CU_ASSERT_STRING_EQUAL(answer_body(), "");
		CU_ASSERT_STRING_EQUAL(header("Content-Type"), type);
		CU_ASSERT_TRUE(labs(atol(header("Content-Length")) - length) < 64);
	}
	stop();
}

static void test_headers(void)
{
	static const char *const paths[] = { "/plant", "/health", "/metrics", "/history",
		"/nothing" };

	start();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		CU_ASSERT_TRUE(get(paths[i]) > 0);
		ASSERT_HOLDS(answer, "\r\nX-Content-Type-Options: nosniff\r\n");
		ASSERT_HOLDS(answer, "\r\nReferrer-Policy: no-referrer\r\n");
		ASSERT_HOLDS(answer, "\r\nContent-Security-Policy: default-src 'none'; base-uri");
		ASSERT_HOLDS(answer, "\r\nCache-Control: no-store\r\n");
		ASSERT_HOLDS(answer, "\r\nDate: ");
		CU_ASSERT_PTR_NULL(header("Access-Control-Allow-Origin"));
	}
	CU_ASSERT_EQUAL(get("/metrics"), 200);
	ASSERT_HOLDS(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	stop();
}

static void test_keep_alive(void)
{
	static const char body[] = "{\"temperature\":60,\"humidity\":35,\"sound\":75}";
	char request[512];
	struct exchange_case {
		const char *request;
		int status;
	} cases[] = {
		{ "GET /health/live" H1 "\r\n", 200 },
		{ request, 200 },
		{ "GET /nothing" H1 "\r\n", 404 },
		{ "GET /history?limit=x" H1 "\r\n", 400 },
		{ request, 200 },
		{ "HEAD /metrics" H1 "\r\n", 200 },
		{ "GET /health/live" H1 "Content-Length: 3\r\n\r\nabc", 200 },
		{ "GET /health/live" H1 "Connection: keep-alive\r\n\r\n", 200 },
	};

	snprintf(request, sizeof(request),
		"POST /predict" H1
		"Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		strlen(body), body);
	start();
	int fd = dial(rig.port);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		send_text(fd, cases[i].request);
		CU_ASSERT_EQUAL(
			receive(fd, strncmp(cases[i].request, "HEAD", 4) == 0), cases[i].status);
		ASSERT_HOLDS(answer, "\r\nConnection: keep-alive\r\n");
	}
	send_text(fd, "GET /health/live" H1 "Connection: close\r\n\r\n");
	CU_ASSERT_EQUAL(receive(fd, false), 200);
	ASSERT_HOLDS(answer, "\r\nConnection: close\r\n");
	CU_ASSERT_TRUE(closes(fd));
	close(fd);
	stop();
}

/* A body that was not read must never pass for the next request. */
static void test_no_smuggling(void)
{
	static const char *const requests[] = {
		"POST /nothing" H1
		"Content-Length: 38\r\n\r\nGET /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /predict" H1 "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics" H1
		"\r\n",
		"POST /predict" H1 JSON_OF(99999) "GET /health/live" H1 "\r\n",
		"GET /predict" H1
		"Content-Length: 38\r\n\r\nGET /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
	};

	start();
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		int fd = dial(rig.port);
		send_text(fd, requests[i]);
		CU_ASSERT_TRUE(receive(fd, false) >= 400);
		ASSERT_HOLDS(answer, "\r\nConnection: close\r\n");
		CU_ASSERT_PTR_NULL(strstr(answer + 9, "HTTP/1.1 200"));
		CU_ASSERT_TRUE(closes(fd));
		close(fd);
	}
	stop();
}

static void test_expect(void)
{
	start();
	int fd = dial(rig.port);
	send_text(fd, "POST /predict" H1 "Expect: 100-continue\r\n" JSON_OF(2));
	CU_ASSERT_EQUAL(receive(fd, true), 100);
	send_text(fd, "[]");
	CU_ASSERT_EQUAL(receive(fd, false), 200);
	close(fd);

	fd = dial(rig.port); /* refused without the body being sent */
	send_text(fd, "POST /predict" H1 "Expect: 100-continue\r\n" JSON_OF(70000));
	CU_ASSERT_EQUAL(receive(fd, false), 413);
	CU_ASSERT_TRUE(closes(fd));
	close(fd);
	stop();
}

/* One byte every 100 ms keeps a read alive for ever; the whole body has a deadline. */
static void test_slow_body(void)
{
	start();
	int stalled = dial(rig.port), fd = dial(rig.port);
	send_text(stalled, "POST /predict" H1 JSON_OF(500) "[");
	send_text(fd, "POST /predict" H1 JSON_OF(500));
	int64_t begin = time_monotonic_ns();
	struct pollfd ready = { fd, POLLIN, 0 };
	while (poll(&ready, 1, 100) == 0 && time_monotonic_ns() - begin < INT64_C(9000000000))
		send_text(fd, " ");
	CU_ASSERT_EQUAL(receive(fd, false), 408);
	CU_ASSERT_TRUE(time_monotonic_ns() - begin < INT64_C(4000000000));
	CU_ASSERT_TRUE(closes(fd));
	close(fd);
	CU_ASSERT_EQUAL(receive(stalled, false), 408);
	CU_ASSERT_TRUE(closes(stalled));
	close(stalled);
	stop();
}

static void test_large_body_in_pieces(void)
{
	char *readings = many_readings(1000);
	size_t len = strlen(readings);
	char head[256];

	start();
	int fd = dial(rig.port);
	snprintf(head, sizeof(head),
		"POST /predict" H1 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
		len);
	send_text(fd, head);
	for (size_t at = 0; at < len; at += 1000)
		send_bytes(fd, readings + at, len - at < 1000 ? len - at : 1000);
	CU_ASSERT_EQUAL(receive(fd, false), 200);
	close(fd);
	free(readings);
	stop();
}

static void test_origin(void)
{
	static const struct row rows[] = {
		{ "GET /health/live HTTP/1.1\r\nHost: a:80\r\nOrigin: http://a:80\r\n\r\n", 200,
			NULL },
		{ "GET /health/live" H1 "Origin: http://A\r\n\r\n", 200, NULL },
		{ "GET /health/live" H1 "Origin: http://evil\r\n\r\n", 403, NULL },
		{ "GET /health/live" H1 "Origin: http://a.evil\r\n\r\n", 403, NULL },
		{ "GET /health/live" H1 "Origin: http://a:81\r\n\r\n", 403, NULL },
		{ "GET /health/live" H1 "Origin: null\r\n\r\n", 403, NULL },
		{ "GET /health/live" H1 "Origin: http://a\r\nOrigin: http://evil\r\n\r\n", 403,
			NULL },
		{ "POST /reload" H1 "Origin: http://evil\r\nContent-Length: 0\r\n\r\n", 403, NULL },
	};

	start();
	CHECK_ROWS(rows);
	CU_ASSERT_EQUAL(metrics_get(rig.metrics, METRIC_MODEL_RELOADS), 0);
	stop();
}

static int with_token(const char *method, const char *path, const char *token)
{
	char request[1024], line[600] = "";

	if (token)
		snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", token);
	snprintf(request, sizeof(request), "%s %s" H1 "%sContent-Length: 0\r\n\r\n", method, path,
		line);
	return ask(request);
}

/* A browser that somebody else's page sent here names that page's host. */
static void test_names(void)
{
	static const struct row rows[] = {
		{ "GET /health/live HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 200, NULL },
		{ "GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", 200, NULL },
		{ "GET /health/live HTTP/1.1\r\nHost: plant.example\r\n\r\n", 200, NULL },
		{ "GET /health/live HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, "http.hosts" },
		{ "POST /reload HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n", 421,
			NULL },
		{ "GET /health/live HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 421, NULL },
	};

	prepare_rig("127.0.0.1", store_path);
	snprintf(rig.config.hosts, sizeof(rig.config.hosts), "plant.example");
	start_rig();
	CHECK_ROWS(rows);
	CU_ASSERT_EQUAL(
		ask_at(rig.health_port, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
		421);
	stop();
}

static int with_token(const char *method, const char *path, const char *token);

static void test_guessing(void)
{
	prepare_rig("127.0.0.1", store_path);
	snprintf(rig.config.read_token, CONFIG_TEXT_MAX, "right");
	start_rig();
	for (int i = 0; i < GUARD_FAILURES_MAX; i++)
		CU_ASSERT_EQUAL(with_token("GET", "/history", "wrong"), 401);
	CU_ASSERT_EQUAL(with_token("GET", "/history", "wrong"), 429);
	CU_ASSERT_PTR_NOT_NULL_FATAL(header("Retry-After"));
	CU_ASSERT(atoi(header("Retry-After")) > 0);
	CU_ASSERT_EQUAL(with_token("GET", "/history", "right"), 429); /* else one could go on */
	CU_ASSERT_EQUAL(with_token("GET", "/history", NULL), 401);
	stop();
}

static void test_tokens(void)
{
	static const struct token_case {
		const char *host, *read, *write;
		bool open;
		/* status of reading with: none, wrong, read token, write token; then of /reload */
		int reads[4], writes[4];
	} cases[] = {
		{ "127.0.0.1", "", "", false, { 200, 200, 200, 200 }, { 200, 200, 200, 200 } },
		{ "127.0.0.1", "r1", "", false, { 401, 401, 200, 401 }, { 403, 403, 403, 403 } },
		{ "127.0.0.1", "", "w1", false, { 200, 200, 200, 200 }, { 401, 401, 401, 200 } },
		{ "127.0.0.1", "r1", "w1", false, { 401, 401, 200, 200 }, { 401, 401, 403, 200 } },
		{ "127.0.0.1", "r1", "w1", true, { 200, 200, 200, 200 }, { 401, 401, 403, 200 } },
		{ "0.0.0.0", "", "", false, { 403, 403, 403, 403 }, { 403, 403, 403, 403 } },
		{ "0.0.0.0", "", "", true, { 200, 200, 200, 200 }, { 403, 403, 403, 403 } },
		{ "0.0.0.0", "r1", "", false, { 401, 401, 200, 401 }, { 403, 403, 403, 403 } },
		{ "0.0.0.0", "", "w1", false, { 401, 401, 401, 200 }, { 401, 401, 401, 200 } },
		{ "0.0.0.0", "r1", "w1", false, { 401, 401, 200, 200 }, { 401, 401, 403, 200 } },
		{ "0.0.0.0", "", "w1", true, { 200, 200, 200, 200 }, { 401, 401, 401, 200 } },
	};
	static const char *const tokens[] = { NULL, "r", "r1", "w1" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct token_case *c = &cases[i];
		prepare_rig(c->host, store_path);
		rig.config.open_read = c->open;
		snprintf(rig.config.read_token, CONFIG_TEXT_MAX, "%s", c->read);
		snprintf(rig.config.write_token, CONFIG_TEXT_MAX, "%s", c->write);
		start_rig();
		for (size_t t = 0; t < 4; t++) {
			int read = with_token("GET", "/history", tokens[t]);
			if (read == 401)
				ASSERT_HOLDS(answer, "\r\nWWW-Authenticate: Bearer");
			int write = with_token("POST", "/reload", tokens[t]);
			if (read != c->reads[t] || write != c->writes[t])
				fprintf(stderr, "\ncase %zu, token %zu: %d %d\n", i, t, read,
					write);
			CU_ASSERT_EQUAL(read, c->reads[t]);
			CU_ASSERT_EQUAL(write, c->writes[t]);
		}
		CU_ASSERT_EQUAL(ask_at(rig.health_port, "GET /metrics" H1 "\r\n"), 200);
		stop();
	}
}

static void test_health_port(void)
{
	static const struct port_case {
		const char *request;
		int status;
	} cases[] = {
		{ "GET /health/live" H1 "\r\n", 200 },
		{ "GET /health" H1 "\r\n", 503 },
		{ "GET /metrics" H1 "\r\n", 200 },
		{ "GET /history" H1 "\r\n", 404 },
		{ "GET /" H1 "\r\n", 404 },
		{ "POST /reload" H1 "Content-Length: 0\r\n\r\n", 404 },
		{ "POST /predict" H1 JSON_OF(2) "[]", 404 },
	};

	start();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		CU_ASSERT_EQUAL(ask_at(rig.health_port, cases[i].request), cases[i].status);
	stop();
}

static void test_health(void)
{
	start();
	CU_ASSERT_EQUAL(get("/health"), 503);
	ASSERT_HOLDS(answer, "{\"status\":\"unhealthy\",\"version\":\"");
	ASSERT_HOLDS(
		answer, "\"checks\":{\"broker\":{\"status\":\"fail\",\"detail\":\"not started\"}");
	ASSERT_HOLDS(answer, "\"model\":{\"status\":\"ok\"");
	ASSERT_HOLDS(answer, "\"store\":{\"status\":\"ok\"");
	ASSERT_HOLDS(answer, "\"disk\":{\"status\":\"ok\"");
	ASSERT_HOLDS(answer, "\"ledger\":{\"received\":0,\"stored\":0,");
	atomic_store(&rig.health.store_failing, true);
	rig.health.reserve_bytes = INT64_MAX;
	CU_ASSERT_EQUAL(get("/health"), 503);
	ASSERT_HOLDS(answer, "\"store\":{\"status\":\"fail\"");
	ASSERT_HOLDS(answer, "\"disk\":{\"status\":\"degraded\"");
	CU_ASSERT_EQUAL(get("/health/live"), 200);
	atomic_store(&rig.health.beat_ns,
		time_monotonic_ns() - (HEALTH_STUCK_S + 1) * INT64_C(1000000000));
	CU_ASSERT_EQUAL(get("/health/live"), 503);
	stop();
}

static void test_slow_clients(void)
{
	enum { SLOW = 60 };
	int fd[SLOW];

	start();
	for (int i = 0; i < SLOW; i++) {
		fd[i] = dial(rig.port);
		send_text(fd[i], i % 2 ? "GET /hea" : "POST /predict" H1 JSON_OF(500) "[");
	}
	for (int i = 0; i < 20; i++) {
		int64_t begin = time_monotonic_ns();
		CU_ASSERT_EQUAL(ask_at(rig.health_port, "GET /health/live" H1 "\r\n"), 200);
		CU_ASSERT_TRUE(time_monotonic_ns() - begin < INT64_C(500000000));
	}
	for (int i = 0; i < SLOW; i++)
		close(fd[i]);
	CU_ASSERT_EQUAL(get("/health/live"), 200);
	stop();
}

/* Nor do those of the health port itself, for long. */
static void test_slow_probes(void)
{
	enum { SLOW = 60 };
	int fd[SLOW];

	start();
	for (int i = 0; i < SLOW; i++) {
		fd[i] = dial(rig.health_port);
		send_text(fd[i], "GET /hea");
	}
	int64_t begin = time_monotonic_ns();
	CU_ASSERT_EQUAL(ask_at(rig.health_port, "GET /health/live" H1 "\r\n"), 200);
	CU_ASSERT_TRUE(time_monotonic_ns() - begin < INT64_C(10000000000));
	for (int i = 0; i < SLOW; i++)
		close(fd[i]);
	stop();
}

static void test_addresses(void)
{
	static const char *const malformed[] = { "", "8000", ":8000", "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:8000s", "127.0.0.1:-1",
		"[::1]:8000", "127.0.0.1:80,127.0.0.1:81", "localhost:8000", "127.1:8000",
		"127.0.0.1:8000 " };
	struct http *second;
	struct why why;

	start();
	char taken[64];
	snprintf(taken, sizeof(taken), "127.0.0.1:%d: address already in use", rig.port);
	CU_ASSERT_EQUAL(http_start(&rig.options, &second, &why), STATUS_CANT_CREATE);
	CU_ASSERT_STRING_EQUAL(why.text, taken);
	stop();

	prepare_rig("127.0.0.1", store_path);
	for (size_t i = 0; i < sizeof(malformed) / sizeof(malformed[0]); i++) {
		snprintf(rig.config.listen, CONFIG_TEXT_MAX, "%s", malformed[i]);
		CU_ASSERT_EQUAL(http_start(&rig.options, &second, &why), STATUS_BAD_CONFIG);
		ASSERT_HOLDS(why.text, "http.listen");
	}
	snprintf(rig.config.listen, CONFIG_TEXT_MAX, "127.0.0.1:%d", rig.port);
	snprintf(rig.health_config.listen, CONFIG_TEXT_MAX, "127.0.0.1:%d", rig.port);
	CU_ASSERT_EQUAL(http_start(&rig.options, &second, &why), STATUS_CANT_CREATE);
	stop();
}

/* ---- many at once ---- */

struct load {
	int failures;
	const char *request;
};

static void *load_run(void *context)
{
	static const char *const good = "HTTP/1.1 200 OK\r\n";
	struct load *load = context;
	char buf[4096];

	for (int i = 0; i < 40; i++) {
		int fd = dial(rig.port);
		send_text(fd, load->request);
		ssize_t n = recv(fd, buf, strlen(good), MSG_WAITALL);
		if (n != (ssize_t)strlen(good) || memcmp(buf, good, strlen(good)) != 0)
			load->failures++;
		while (recv(fd, buf, sizeof(buf), 0) > 0)
			;
		close(fd);
	}
	return NULL;
}

static void test_many(void)
{
	static const char *const requests[] = {
		"POST /predict" H1 "Connection: close\r\n" JSON_OF(
			45) "{\"temperature\":60,\"humidity\":35,\"sound\":75}  ",
		"GET /history?anomalies=0" H1 "Connection: close\r\n\r\n",
		"GET /metrics" H1 "Connection: close\r\n\r\n",
		"POST /reload" H1 "Connection: close\r\nContent-Length: 0\r\n\r\n",
		"GET /" H1 "Connection: close\r\n\r\n",
		"GET /history" H1 "Accept: text/csv\r\nConnection: close\r\n\r\n",
	};
	enum { THREADS = 12 };
	pthread_t thread[THREADS];
	struct load load[THREADS];

	start();
	for (size_t i = 0; i < THREADS; i++) {
		load[i] = (struct load){ 0, requests[i % 6] };
		CU_ASSERT_EQUAL_FATAL(pthread_create(&thread[i], NULL, load_run, &load[i]), 0);
	}
	for (size_t i = 0; i < THREADS; i++) {
		pthread_join(thread[i], NULL);
		CU_ASSERT_EQUAL(load[i].failures, 0);
	}
	stop();
}

static void make_model(void)
{
	enum { TRAINING_ROWS = 2000 };
	static double value[TRAINING_ROWS * 3];
	static const double mean[3] = { 60, 35, 75 };
	struct train_options options = {
		.trees = 100, .sample_size = 256, .seed = 42, .quantile = 0.99
	};
	struct model *model;
	struct rng rng;
	struct why why = { "" };

	rng_seed(&rng, 5);
	for (size_t i = 0; i < TRAINING_ROWS * 3; i++)
		value[i] = mean[i % 3] + 10 * rng_normal(&rng);
	if (schema_add(&schema, "temperature", "", -INFINITY, INFINITY, &why) != STATUS_OK ||
		schema_add(&schema, "humidity", "", -INFINITY, INFINITY, &why) != STATUS_OK ||
		schema_add(&schema, "sound", "", -INFINITY, INFINITY, &why) != STATUS_OK ||
		train_model(&schema, value, TRAINING_ROWS, &options, &model, &why) != STATUS_OK ||
		model_save(model, model_path, &why) != STATUS_OK) {
		fprintf(stderr, "%s\n", why.text);
		exit(97);
	}
	model_destroy(model);
}

static CU_TestInfo cases[] = {
	{ "a store with known rows is made", make_store },
	{ "every route answers its methods and no others", test_routes },
	{ "alarms are listed, commands wait for the worker", test_alarms },
	{ "doubtful requests are refused with a reason", test_malformed },
	{ "/predict scores what fits the model and names what does not", test_predict },
	{ "/predict takes 1,000 readings and no more", test_predict_limits },
	{ "deeply nested JSON is refused and kills nobody", test_deep_json },
	{ "without a model /predict says to come back", test_no_model },
	{ "/reload takes a good file and keeps the old model otherwise", test_reload },
	{ "a machine's own model answers for it", test_own_model },
	{ "query parameters are read strictly", test_query },
	{ "cursors lead through every row once", test_paging },
	{ "from is inclusive, to is exclusive, the link leads on", test_time_bounds },
	{ "an item of /history is the verdict itself", test_items },
	{ "/history answers CSV when asked", test_csv },
	{ "without a store the history is empty", test_no_store },
	{ "the page comes packed, and again only if it changed", test_page },
	{ "the page needs no token, what it shows does", test_page_needs_no_token },
	{ "/plant tells how every machine is", test_plant },
	{ "/events goes on from where it was, or says that it can't", test_events },
	{ "/events shows many machines in parts", test_events_in_parts },
	{ "streams are bounded, and end with the server", test_streams_are_bounded },
	{ "a series is made of steps", test_series },
	{ "HEAD answers as GET without a body", test_head },
	{ "every answer bears the security headers", test_headers },
	{ "one connection serves many requests", test_keep_alive },
	{ "an unread body never passes for a request", test_no_smuggling },
	{ "100-continue is answered", test_expect },
	{ "a dripping body ends with 408", test_slow_body },
	{ "a large body may come in pieces", test_large_body_in_pieces },
	{ "a foreign origin is refused", test_origin },
	{ "a name that is not ours is refused", test_names },
	{ "who guesses tokens is not listened to for a while", test_guessing },
	{ "tokens open what they should and nothing else", test_tokens },
	{ "the health port serves three routes", test_health_port },
	{ "/health tells every check", test_health },
	{ "slow clients do not starve the health port", test_slow_clients },
	{ "nor do its own, for long", test_slow_probes },
	{ "addresses are checked and taken ones named", test_addresses },
	{ "many clients at once are all served", test_many },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT);
	snprintf(model_path, sizeof(model_path), "%s", unit_path("model.json"));
	snprintf(store_path, sizeof(store_path), "%s", unit_path("history.db"));
	snprintf(no_store_path, sizeof(no_store_path), "%s", unit_path("absent.db"));
	make_model();
	return unit_run("http", cases);
}
