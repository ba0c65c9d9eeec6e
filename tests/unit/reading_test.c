#include "common/reading.h"
#include "common/timeutil.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static struct schema schema;

static bool make_schema(void)
{
	static const char *const names[] = { "temperature", "humidity", "sound" };

	for (size_t i = 0; i < 3; i++) {
		if (schema_add(&schema, names[i], "", -INFINITY, INFINITY, NULL) != STATUS_OK)
			return false;
	}
	return true;
}

static struct why why;

/* The reading as the pipeline hands it in: machine and arrival filled in. */
static enum reject decode(const char *json, struct reading *out)
{
	memset(out, 0x5a, sizeof(*out));
	strcpy(out->machine, "press-1");
	out->received_ms = 1700000000000;
	why.text[0] = '\0';
	return reading_decode(json, strlen(json), &schema, out, &why);
}

static void test_whole(void)
{
	struct reading r;

	CU_ASSERT_EQUAL(decode("{\"timestamp\":\"2026-11-23T12:00:00.250Z\",\"seq\":18231,"
			       "\"temperature\":61.2,\"humidity\":38.5,\"sound\":71.9}",
				&r),
		REJECT_NONE);
	CU_ASSERT_STRING_EQUAL(r.machine, "press-1");
	CU_ASSERT_EQUAL(r.at_ms, 1795435200250);
	CU_ASSERT_EQUAL(r.at_ns, 0);
	CU_ASSERT_TRUE(r.at_sent);
	CU_ASSERT_EQUAL(r.received_ms, 1700000000000);
	CU_ASSERT_EQUAL(r.seq, 18231);
	CU_ASSERT_EQUAL(r.missing, 0);
	CU_ASSERT_EQUAL(r.value[0], 61.2);
	CU_ASSERT_EQUAL(r.value[1], 38.5);
	CU_ASSERT_EQUAL(r.value[2], 71.9);
}

static void test_bare(void)
{
	struct reading r;

	CU_ASSERT_EQUAL(
		decode("{\"sound\":1,\"humidity\":-2e3,\"temperature\":0}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.at_ms, 1700000000000);
	CU_ASSERT_EQUAL(r.at_ns, 0);
	CU_ASSERT_FALSE(r.at_sent);
	CU_ASSERT_EQUAL(r.seq, READING_NO_SEQ);
	CU_ASSERT_EQUAL(r.value[0], 0);
	CU_ASSERT_EQUAL(r.value[1], -2000);
	CU_ASSERT_EQUAL(r.value[2], 1);
	CU_ASSERT_EQUAL(decode("{\"timestamp\":null,\"seq\":null,\"sound\":1}", &r), REJECT_NONE);
	CU_ASSERT_FALSE(r.at_sent);
	CU_ASSERT_EQUAL(r.at_ms, 1700000000000);
	CU_ASSERT_EQUAL(r.seq, READING_NO_SEQ);
}

static void test_missing(void)
{
	struct reading r;

	CU_ASSERT_EQUAL(decode("{\"temperature\":61.2,\"humidity\":null}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.missing, 2);
	CU_ASSERT_EQUAL(r.value[0], 61.2);
	CU_ASSERT_TRUE(isnan(r.value[1]));
	CU_ASSERT_TRUE(isnan(r.value[2]));
}

static void test_unknown_members(void)
{
	struct reading r;

	CU_ASSERT_EQUAL(decode("\xef\xbb\xbf {\"Temperature\":\"hot\",\"firmware\":{\"version\":"
			       "[1,{\"a\":null}]},\"machine\":\"other\",\"anomaly_score\":9,"
			       "\"received\":1,\"temperature\":5} \r\n",
				&r),
		REJECT_NONE);
	CU_ASSERT_EQUAL(r.value[0], 5);
	CU_ASSERT_EQUAL(r.missing, 2);
	CU_ASSERT_STRING_EQUAL(r.machine, "press-1");
}

static void test_times(void)
{
	static const struct {
		const char *time;
		int64_t at_ms;
		int32_t at_ns;
	} good[] = {
		{ "0", 0, 0 },
		{ "-0", 0, 0 },
		{ "1763899200", 1763899200000, 0 },
		{ "1763899200.25", 1763899200250, 0 },
		/* A double has no 1763899200.123, only a number just below it. */
		{ "1763899200.123", 1763899200123, 0 },
		{ "1763899200.001", 1763899200001, 0 },
		{ "1763899200.999", 1763899200999, 0 },
		{ "1.005", 1005, 0 }, /* 1.005 * 1000 is below 1005 */
		{ "2150000000.001", 2150000000001, 0 },
		{ "1763899200.000250", 1763899200000, 250000 },
		{ "1.763899200123e9", 1763899200123, 0 },
		{ "1763899200123", 1763899200123, 0 },
		{ "1763899200123.5", 1763899200123, 500000 },
		{ "4398046511.103", TIME_MAX_MS, 0 },
		{ "4398046511103", TIME_MAX_MS, 0 },
		{ "99999999999.9e-2", 999999999999, 0 },
		{ "100000000000", 100000000000, 0 }, /* 1e11: milliseconds of 1973 */
		{ "\"1970-01-01T00:00:00Z\"", 0, 0 },
		{ "\"2109-05-15T07:35:11.103Z\"", TIME_MAX_MS, 0 },
		{ "\"2026-11-23T13:00:00.250123456+01:00\"", 1795435200250, 123456 },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		char json[128];
		struct reading r;
		snprintf(json, sizeof(json), "{\"timestamp\":%s,\"sound\":1}", good[i].time);
		enum reject reject = decode(json, &r);
		if (reject != REJECT_NONE || r.at_ms != good[i].at_ms || r.at_ns != good[i].at_ns)
			fprintf(stderr, "\n%s: %s %lld %d\n", json, reject_name(reject),
				(long long)r.at_ms, (int)r.at_ns);
		CU_ASSERT_EQUAL(reject, REJECT_NONE);
		CU_ASSERT_EQUAL(r.at_ms, good[i].at_ms);
		CU_ASSERT_EQUAL(r.at_ns, good[i].at_ns);
		CU_ASSERT_TRUE(r.at_sent);
	}
}

/* Every millisecond of a second, as a number of seconds, is that millisecond. */
static void test_every_millisecond(void)
{
	size_t wrong = 0;

	for (int ms = 0; ms < 1000; ms++) {
		char json[64];
		struct reading r;
		snprintf(json, sizeof(json), "{\"timestamp\":1795435200.%03d,\"sound\":1}", ms);
		wrong += decode(json, &r) != REJECT_NONE || r.at_ms != 1795435200000 + ms ||
			r.at_ns != 0;
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

static void test_seq(void)
{
	struct reading r;

	CU_ASSERT_EQUAL(decode("{\"seq\":0,\"sound\":1}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.seq, 0);
	CU_ASSERT_EQUAL(decode("{\"seq\":9007199254740991,\"sound\":1}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.seq, INT64_C(9007199254740991));
	CU_ASSERT_EQUAL(decode("{\"seq\":3e2,\"sound\":1}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.seq, 300);
}

struct refusal {
	const char *json;
	enum reject reject;
	const char *word; /* of the sentence */
};

static void test_refusals(void)
{
	static const struct refusal refusals[] = {
		{ "", REJECT_JSON, "empty" },
		{ "{\"sound\":1", REJECT_JSON, "too early" },
		{ "{\"sound\":1}x", REJECT_JSON, "after the end" },
		{ "{\"sound\":1}{\"sound\":1}", REJECT_JSON, "after the end" },
		{ "{\"sound\":NaN}", REJECT_JSON, "byte 9" },
		{ "{\"sound\":+1}", REJECT_JSON, "byte 9" },
		{ "{\"sound\":01}", REJECT_JSON, "byte" },
		{ "{\"sound\":1,}", REJECT_JSON, "name in quotes" },
		{ "{\"sound\":\"\xff\"}", REJECT_JSON, "UTF-8" },
		{ "{\"sound\":1,\"sound\":1}", REJECT_JSON, "\"sound\" is there twice" },
		{ "{\"sound\":1,\"s\\u006fund\":2}", REJECT_JSON, "\"sound\" is there twice" },
		{ "{\"sound\":1,\"x\":{\"a\":1,\"a\":2}}", REJECT_JSON, "\"a\" is there twice" },
		{ "61.2", REJECT_TYPE, "not a JSON object" },
		{ "[{\"sound\":1}]", REJECT_TYPE, "not a JSON object" },
		{ "null", REJECT_TYPE, "not a JSON object" },
		{ "{\"sound\":\"71.9\"}", REJECT_TYPE, "\"sound\" is not a number" },
		{ "{\"sound\":true}", REJECT_TYPE, "\"sound\" is not a number" },
		{ "{\"sound\":[71.9]}", REJECT_TYPE, "\"sound\" is not a number" },
		{ "{\"temperature\":1,\"sound\":{}}", REJECT_TYPE, "\"sound\" is not a number" },
		{ "{\"timestamp\":true,\"sound\":1}", REJECT_TYPE, "\"timestamp\"" },
		{ "{\"timestamp\":{},\"sound\":1}", REJECT_TYPE, "\"timestamp\"" },
		{ "{\"seq\":\"1\",\"sound\":1}", REJECT_TYPE, "\"seq\"" },
		{ "{\"seq\":false,\"sound\":1}", REJECT_TYPE, "\"seq\"" },
		{ "{\"sound\":1e999}", REJECT_RANGE, "\"sound\" is beyond" },
		{ "{\"sound\":-1e999}", REJECT_RANGE, "\"sound\" is beyond" },
		{ "{\"seq\":9007199254740992,\"sound\":1}", REJECT_RANGE, "\"seq\"" },
		{ "{\"seq\":-1,\"sound\":1}", REJECT_RANGE, "\"seq\"" },
		{ "{\"seq\":1.5,\"sound\":1}", REJECT_RANGE, "\"seq\"" },
		{ "{\"seq\":1e999,\"sound\":1}", REJECT_RANGE, "\"seq\"" },
		{ "{\"timestamp\":-1,\"sound\":1}", REJECT_RANGE, "\"timestamp\"" },
		{ "{\"timestamp\":-1e-9,\"sound\":1}", REJECT_RANGE, "\"timestamp\"" },
		{ "{\"timestamp\":4398046511.104,\"sound\":1}", REJECT_RANGE, "\"timestamp\"" },
		{ "{\"timestamp\":4398046511104,\"sound\":1}", REJECT_RANGE, "\"timestamp\"" },
		{ "{\"timestamp\":1e999,\"sound\":1}", REJECT_RANGE, "\"timestamp\"" },
		{ "{\"timestamp\":\"yesterday\",\"sound\":1}", REJECT_RANGE, "\"timestamp\"" },
		{ "{\"timestamp\":\"\",\"sound\":1}", REJECT_RANGE, "\"timestamp\"" },
		{ "{\"timestamp\":\"2026-11-23T12:00:00\",\"sound\":1}", REJECT_RANGE, "offset" },
		{ "{\"timestamp\":\"1969-12-31T23:59:59.999Z\",\"sound\":1}", REJECT_RANGE,
			"outside" },
		{ "{\"timestamp\":\"2109-05-15T07:35:11.104Z\",\"sound\":1}", REJECT_RANGE,
			"outside" },
		{ "{}", REJECT_EMPTY, "none of the 3 features" },
		{ "{\"seq\":1,\"pressure\":5}", REJECT_EMPTY, "none of the 3 features" },
		{ "{\"sound\":null,\"humidity\":null}", REJECT_EMPTY, "none of the 3" },
	};

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		const struct refusal *r = &refusals[i];
		struct reading reading;
		enum reject reject = decode(r->json, &reading);
		if (reject != r->reject)
			fprintf(stderr, "\n%s: %s\n", r->json, reject_name(reject));
		CU_ASSERT_EQUAL(reject, r->reject);
		ASSERT_HOLDS(why.text, r->word);
	}
}

/* `depth` levels in all. */
static enum reject decode_nested(int depth)
{
	char json[256] = "{\"sound\":1,\"x\":";
	struct reading r;

	for (int i = 1; i < depth; i++)
		strcat(json, "[");
	if (depth == 1)
		strcat(json, "0");
	for (int i = 1; i < depth; i++)
		strcat(json, "]");
	strcat(json, "}");
	return decode(json, &r);
}

static void test_depth(void)
{
	CU_ASSERT_EQUAL(decode_nested(1), REJECT_NONE);
	CU_ASSERT_EQUAL(decode_nested(8), REJECT_NONE);
	CU_ASSERT_EQUAL(decode_nested(9), REJECT_JSON);
	ASSERT_HOLDS(why.text, "deeper than 8");
	CU_ASSERT_EQUAL(decode_nested(100), REJECT_JSON);
}

static enum reject decode_members(int members)
{
	static char json[PAYLOAD_MAX];
	struct reading r;
	size_t at = (size_t)snprintf(json, sizeof(json), "{\"sound\":1");

	for (int i = 1; i < members; i++)
		at += (size_t)snprintf(json + at, sizeof(json) - at, ",\"m%d\":%d", i, i);
	snprintf(json + at, sizeof(json) - at, "}");
	return decode(json, &r);
}

static void test_members(void)
{
	CU_ASSERT_EQUAL(decode_members(256), REJECT_NONE);
	CU_ASSERT_EQUAL(decode_members(257), REJECT_JSON);
	ASSERT_HOLDS(why.text, "more than 256 members");
}

static void test_oversize(void)
{
	static char json[PAYLOAD_MAX + 2];
	struct reading r;

	memset(json, ' ', sizeof(json) - 1);
	memcpy(json, "{\"sound\":1}", 11);
	CU_ASSERT_EQUAL(decode(json, &r), REJECT_OVERSIZE);
	ASSERT_HOLDS(why.text, "16385 bytes");
	json[PAYLOAD_MAX] = '\0';
	CU_ASSERT_EQUAL(decode(json, &r), REJECT_NONE);
}

/* Paho's payloads end where they end. */
static void test_no_terminator(void)
{
	static const char text[] = "{\"sound\":71.9}";
	char bytes[sizeof(text) - 1];
	struct reading r = { .received_ms = 5 };

	memcpy(bytes, text, sizeof(bytes));
	CU_ASSERT_EQUAL(reading_decode(bytes, sizeof(bytes), &schema, &r, &why), REJECT_NONE);
	CU_ASSERT_EQUAL(r.value[2], 71.9);
	for (size_t len = 0; len < sizeof(bytes); len++)
		CU_ASSERT_EQUAL(reading_decode(bytes, len, &schema, &r, &why), REJECT_JSON);
}

static void test_long_numbers(void)
{
	char json[400] = "{\"sound\":0.";
	struct reading r;

	for (int i = 0; i < 200; i++)
		strcat(json, "3");
	strcat(json, "}");
	CU_ASSERT_EQUAL(decode(json, &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.value[2], 1.0 / 3);
	CU_ASSERT_EQUAL(decode("{\"sound\":4.9e-324}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.value[2], 0x1p-1074);
	CU_ASSERT_EQUAL(decode("{\"sound\":1.7976931348623157e308}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.value[2], 0x1.fffffffffffffp1023);
	CU_ASSERT_EQUAL(decode("{\"sound\":1e-400}", &r), REJECT_NONE);
	CU_ASSERT_EQUAL(r.value[2], 0);
}

static void test_nul(void)
{
	static const char json[] = "{\"sound\":1}\0{";
	struct reading r = { .received_ms = 5 };

	CU_ASSERT_EQUAL(reading_decode(json, sizeof(json) - 1, &schema, &r, &why), REJECT_JSON);
}

static void test_names(void)
{
	for (int i = REJECT_NONE; i < REJECT_COUNT; i++) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(reject_name((enum reject)i));
		for (int j = REJECT_NONE; j < i; j++)
			CU_ASSERT_STRING_NOT_EQUAL(
				reject_name((enum reject)i), reject_name((enum reject)j));
	}
	CU_ASSERT_STRING_EQUAL(reject_name(REJECT_OVERSIZE), "oversize");
	CU_ASSERT_STRING_EQUAL(reject_name(REJECT_MACHINES), "machines");
}

static void discover(const char *json, struct schema *out)
{
	reading_discover(json, strlen(json), out);
}

static void test_discover(void)
{
	struct schema found = { .count = 0 };

	discover(
		"{\"timestamp\":5,\"seq\":7,\"b\":1,\"a\":2.5,\"state\":\"on\",\"nested\":{\"c\":1},"
		"\"label\":1,\"huge\":1e999,\"null\":null}",
		&found);
	CU_ASSERT_EQUAL_FATAL(found.count, 2);
	CU_ASSERT_STRING_EQUAL(found.feature[0].name, "b");
	CU_ASSERT_STRING_EQUAL(found.feature[1].name, "a");
	discover("{\"a\":1,\"c\":1,\"co,mma\":2,\"\":3}", &found);
	CU_ASSERT_EQUAL_FATAL(found.count, 3);
	CU_ASSERT_STRING_EQUAL(found.feature[2].name, "c");
	discover("{\"d\":1", &found);
	discover("[1,2]", &found);
	discover("17", &found);
	CU_ASSERT_EQUAL(found.count, 3);
}

static void test_discover_full(void)
{
	struct schema found = { .count = 0 };
	char json[2048];
	size_t at = (size_t)snprintf(json, sizeof(json), "{\"m\":0");

	for (int i = 0; i < 100; i++)
		at += (size_t)snprintf(json + at, sizeof(json) - at, ",\"f%d\":%d", i, i);
	snprintf(json + at, sizeof(json) - at, "}");
	discover(json, &found);
	CU_ASSERT_EQUAL(found.count, FEATURES_MAX);
	CU_ASSERT_STRING_EQUAL(found.feature[FEATURES_MAX - 1].name, "f62");
}

static CU_TestInfo cases[] = {
	{ "a whole reading is read", test_whole },
	{ "without timestamp and seq it takes its arrival", test_bare },
	{ "absent and null features are missing", test_missing },
	{ "unknown members and a byte order mark are ignored", test_unknown_members },
	{ "timestamps are text, seconds or milliseconds", test_times },
	{ "a millisecond in seconds stays that millisecond", test_every_millisecond },
	{ "seq is 0 to 2^53-1", test_seq },
	{ "what is no reading is refused with its reason", test_refusals },
	{ "eight levels are deep enough", test_depth },
	{ "256 members are enough", test_members },
	{ "a byte more than 16,384 is too much", test_oversize },
	{ "no byte beyond the payload is read", test_no_terminator },
	{ "long and extreme numbers keep their value", test_long_numbers },
	{ "a NUL byte ends nothing", test_nul },
	{ "every reason has a name of its own", test_names },
	{ "without a model, finite numbers are features", test_discover },
	{ "discovery ends at 64 features", test_discover_full },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return make_schema() ? unit_run("reading", cases) : 1;
}
