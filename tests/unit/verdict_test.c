#include "common/jsontext.h"
#include "common/timeutil.h"
#include "common/verdict.h"
#include "tests/unit/unit.h"
#include <cjson/cJSON.h>
#include <math.h>
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

/* The verdict that DESIGN shows. */
static struct verdict usual(void)
{
	struct verdict v = {
		.score = 0.2381, .threshold = 0.112, .anomalous = true, .model = "4f1c09aa00112233"
	};

	strcpy(v.reading.machine, "press-1");
	v.reading.at_ms = 1795435200250;
	v.reading.at_sent = true;
	v.reading.received_ms = 1795435200301;
	v.reading.seq = 18231;
	v.reading.value[0] = 61.2;
	v.reading.value[1] = 38.5;
	v.reading.value[2] = 71.9;
	return v;
}

static const char *encode(const struct verdict *v)
{
	static char out[VERDICT_TEXT_MAX];
	size_t len = verdict_encode(v, &schema, out, sizeof(out));

	CU_ASSERT_EQUAL(len, strlen(out));
	return out;
}

#define HEAD                                                                                \
	"{\"machine\":\"press-1\",\"timestamp\":\"2026-11-23T12:00:00.250Z\",\"received\":" \
	"\"2026-11-23T12:00:00.301Z\","

static void test_scored(void)
{
	struct verdict v = usual();

	CU_ASSERT_STRING_EQUAL(encode(&v),
		HEAD "\"seq\":18231,\"temperature\":61.2,\"humidity\":38.5,\"sound\":71.9,"
		     "\"anomaly_score\":0.2381,\"threshold\":0.112,\"is_anomaly\":1,"
		     "\"model\":\"4f1c09aa00112233\"}");
	v.score = -0.1;
	v.anomalous = false;
	CU_ASSERT_STRING_EQUAL(encode(&v),
		HEAD "\"seq\":18231,\"temperature\":61.2,\"humidity\":38.5,\"sound\":71.9,"
		     "\"anomaly_score\":-0.1,\"threshold\":0.112,\"is_anomaly\":0,"
		     "\"model\":\"4f1c09aa00112233\"}");
}

static void test_explained(void)
{
	struct verdict v = usual();

	v.smoothed = true;
	v.alarm_score = 0.125;
	v.severity = 2.5;
	v.explained = 2;
	v.explanation[0] = (struct explained){ 2, 0.75, 0.75, 64.1, 76.2, 6.5 };
	v.explanation[1] = (struct explained){ 0, 0.25, 0.25, 50, 70, -1.5 };
	v.quality = QUALITY_OUT_OF_RANGE;
	v.label = LABEL_HEALTHY;
	ASSERT_HOLDS(encode(&v),
		"\"model\":\"4f1c09aa00112233\",\"alarm_score\":0.125,\"severity\":2.5,"
		"\"explanation\":[{\"sensor\":\"sound\",\"contribution\":0.75,\"share\":0.75,"
		"\"direction\":\"high\",\"normal\":[64.1,76.2],\"z\":6.5},"
		"{\"sensor\":\"temperature\",\"contribution\":0.25,\"share\":0.25,"
		"\"direction\":\"low\",\"normal\":[50,70],\"z\":-1.5}],"
		"\"quality\":\"out_of_range\",\"label\":0}");
}

static void test_unscored(void)
{
	struct verdict v = usual();

	v.score = v.threshold = NAN;
	v.anomalous = false;
	v.model[0] = '\0';
	CU_ASSERT_STRING_EQUAL(encode(&v),
		HEAD "\"seq\":18231,\"temperature\":61.2,\"humidity\":38.5,\"sound\":71.9,"
		     "\"anomaly_score\":null,\"threshold\":null,\"is_anomaly\":null,"
		     "\"model\":null}");
}

static void test_missing_late(void)
{
	struct verdict v = usual();

	v.score = v.threshold = NAN;
	v.anomalous = false;
	v.model[0] = '\0';
	v.reading.value[1] = NAN;
	v.reading.missing = 1;
	v.quality = QUALITY_MISSING;
	v.late = true;
	CU_ASSERT_STRING_EQUAL(encode(&v),
		HEAD "\"seq\":18231,\"temperature\":61.2,\"humidity\":null,\"sound\":71.9,"
		     "\"anomaly_score\":null,\"threshold\":null,\"is_anomaly\":null,"
		     "\"model\":null,\"quality\":\"missing\",\"late\":true}");
}

static void test_seq(void)
{
	struct verdict v = usual();

	v.reading.seq = READING_NO_SEQ;
	ASSERT_HOLDS(encode(&v), "\"seq\":null,");
	v.reading.seq = 0;
	ASSERT_HOLDS(encode(&v), "\"seq\":0,");
	v.reading.seq = (INT64_C(1) << 53) - 1;
	ASSERT_HOLDS(encode(&v), "\"seq\":9007199254740991,");
}

static void test_times(void)
{
	struct verdict v = usual();

	v.reading.at_ms = 0;
	v.reading.received_ms = TIME_MAX_MS;
	ASSERT_HOLDS(encode(&v),
		"\"timestamp\":\"1970-01-01T00:00:00.000Z\","
		"\"received\":\"2109-05-15T07:35:11.103Z\"");
}

static void test_decimals(void)
{
	static const struct {
		double value;
		const char *text;
	} table[] = { { 0.1, "0.1" }, { 0.1 + 0.2, "0.30000000000000004" }, { 100, "100" },
		{ -0.0, "-0" }, { 1.0 / 3, "0.3333333333333333" }, { 1e300, "1e+300" },
		{ 2.5e-7, "2.5e-07" }, { 123456789.125, "123456789.125" },
		{ 0x1.fffffffffffffp1023, "1.7976931348623157e+308" } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct verdict v = usual();
		char member[64];
		v.reading.value[1] = table[i].value;
		snprintf(member, sizeof(member), "\"humidity\":%s,", table[i].text);
		ASSERT_HOLDS(encode(&v), member);
	}
}

/* 64 features with names and numbers as long as can be. */
static void test_largest(void)
{
	static const struct json_limits limits = { JSON_DEPTH_MAX, JSON_MEMBERS_MAX };
	struct schema wide = { .count = 0 };
	struct verdict v = usual();
	char name[FEATURE_NAME_MAX + 1], out[VERDICT_TEXT_MAX];
	cJSON *root = NULL;

	memset(v.reading.machine, 'm', MACHINE_NAME_MAX);
	v.reading.machine[MACHINE_NAME_MAX] = '\0';
	v.reading.seq = (INT64_C(1) << 53) - 1;
	v.score = v.threshold = -1.7976931348623157e-300;
	v.quality = QUALITY_OUT_OF_RANGE;
	v.late = v.smoothed = true;
	v.label = LABEL_HEALTHY;
	v.alarm_score = v.severity = v.score;
	v.explained = EXPLAINED_MAX;
	for (size_t i = 0; i < EXPLAINED_MAX; i++)
		v.explanation[i] =
			(struct explained){ i, v.score, v.score, v.score, v.score, v.score };
	for (int i = 0; i < FEATURES_MAX; i++) {
		snprintf(name, sizeof(name), "%064d", i);
		CU_ASSERT_EQUAL_FATAL(
			schema_add(&wide, name, "", -INFINITY, INFINITY, NULL), STATUS_OK);
		v.reading.value[i] = -1.7976931348623157e-300;
	}
	size_t len = verdict_encode(&v, &wide, out, sizeof(out));
	CU_ASSERT_TRUE_FATAL(len > 0);
	CU_ASSERT_EQUAL_FATAL(json_parse(out, len, &limits, &root, NULL), STATUS_OK);
	for (int i = 0; i < FEATURES_MAX; i++) {
		snprintf(name, sizeof(name), "%064d", i);
		CU_ASSERT_EQUAL(cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(root, name)),
			v.reading.value[i]);
	}
	cJSON_Delete(root);
}

static void test_too_small(void)
{
	struct verdict v = usual();
	char out[512];
	size_t len = verdict_encode(&v, &schema, out, sizeof(out));

	CU_ASSERT_TRUE_FATAL(len > 0);
	CU_ASSERT_EQUAL(verdict_encode(&v, &schema, out, len + 1), len);
	for (size_t size = 0; size <= len; size++)
		CU_ASSERT_EQUAL(verdict_encode(&v, &schema, out, size), 0);
}

static CU_TestInfo cases[] = {
	{ "a scored verdict is the object of the design", test_scored },
	{ "an anomaly tells how severe it is and which sensors made it", test_explained },
	{ "an unscored one has null for all that was not concluded", test_unscored },
	{ "a missing value and a late reading are said", test_missing_late },
	{ "seq is an integer or null", test_seq },
	{ "times are RFC 3339 from 1970 to 2109", test_times },
	{ "numbers are the shortest decimals that read back", test_decimals },
	{ "the largest verdict fits", test_largest },
	{ "a buffer too small holds nothing", test_too_small },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return make_schema() ? unit_run("verdict", cases) : 1;
}
