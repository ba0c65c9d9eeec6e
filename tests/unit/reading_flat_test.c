#include "common/rng.h"
#include "tests/unit/flat_compare.h"
#include "tests/unit/unit.h"
#include <math.h>
#include <stdlib.h>

static struct schema schema;

static bool make_schema(void)
{
	static const char *const names[] = { "temperature", "humidity", "sound", "caf\xc3\xa9" };

	for (size_t i = 0; i < 4; i++) {
		if (schema_add(&schema, names[i], "", -INFINITY, INFINITY, NULL) != STATUS_OK)
			return false;
	}
	return true;
}

/* In memory that ends where the text ends, for the sanitizers. */
static bool agrees(const char *json, size_t len, bool *taken)
{
	char *exact = malloc(len > 0 ? len : 1);

	CU_ASSERT_PTR_NOT_NULL_FATAL(exact);
	memcpy(exact, json, len);
	bool same = flat_agrees(exact, len, &schema, taken);
	if (!same)
		fprintf(stderr, "\nthe two ways differ: %.*s\n", (int)len, json);
	free(exact);
	return same;
}

/* What machines send; the short way has to take it, or it is for nothing. */
static const char *const usual[] = {
	"{\"temperature\":61.2,\"humidity\":38.5,\"sound\":71.9}",
	("{\"timestamp\":\"2026-11-23T12:00:00.250Z\",\"seq\":18231,\"temperature\":61.2,"
	 "\"humidity\":38.5,\"sound\":71.9}"),
	"{\"timestamp\":\"2026-11-23T13:00:00.250123456+01:00\",\"sound\":1}",
	"{\"timestamp\":1763899200.25,\"seq\":0,\"sound\":-1}",
	"{\"timestamp\":1763899200123,\"seq\":9007199254740991,\"sound\":1}",
	"{\"sound\":1,\"humidity\":-2e3,\"temperature\":0}",
	" {\r\n\t\"sound\" : 71.9 ,\n \"temperature\":61.2 }\n",
	"{\"humidity\":1E+2,\"sound\":-0.0,\"temperature\":1e-400}",
	"{\"seq\":1e3,\"sound\":5e-324,\"temperature\":1.7976931348623157e308}",
	"{\"sound\":0.1234567890123456789012345678901234567}",
	"{\"seq\":-0,\"sound\":-0}",
};

/* Everything else that comes to mind. */
static const char *const awkward[] = {
	"",
	" ",
	"{",
	"}",
	"{}",
	"[]",
	"null",
	"1",
	"\"sound\"",
	"{]",
	"{,}",
	"{\"sound\"}",
	"{\"sound\":}",
	"{\"sound\":1,}",
	"{\"sound\":1}}",
	"{\"sound\":1} x",
	"{\"sound\":1},",
	"{\"sound\":1 \"humidity\":2}",
	"{\"sound\":1,,\"humidity\":2}",
	"{sound:1}",
	"{'sound':1}",
	"{\"sound\":1;\"humidity\":2}",
	"{\"sound\" 1}",
	"{\"sound\"::1}",
	"{\"sound\":1,\"sound\":1}",
	"{\"seq\":1,\"seq\":1,\"sound\":1}",
	"{\"timestamp\":1,\"timestamp\":1,\"sound\":1}",
	"{\"x\":1,\"x\":2,\"sound\":1}",
	"{\"sound\":null}",
	"{\"sound\":null,\"humidity\":1}",
	"{\"sound\":true}",
	"{\"sound\":\"1\"}",
	"{\"sound\":[1]}",
	"{\"sound\":{\"a\":1}}",
	"{\"other\":1}",
	"{\"other\":1,\"sound\":1}",
	"{\"other\":{\"a\":[1,2]},\"sound\":1}",
	"{\"Sound\":1}",
	"{\"soun\":1}",
	"{\"sounds\":1}",
	"{\"\":1,\"sound\":1}",
	"{\"so\\u0075nd\":1}",
	"{\"sound\\u0000\":1}",
	"{\"caf\xc3\xa9\":1}",
	"{\"caf\xc3\":1}",
	"{\"caf\\u00e9\":1}",
	"{\"sound\":01}",
	"{\"sound\":1.}",
	"{\"sound\":.5}",
	"{\"sound\":+1}",
	"{\"sound\":--1}",
	"{\"sound\":-}",
	"{\"sound\":1e}",
	"{\"sound\":1e+}",
	"{\"sound\":1.2.3}",
	"{\"sound\":1e999}",
	"{\"sound\":-1e999}",
	"{\"sound\":0x10}",
	"{\"sound\":NaN}",
	"{\"sound\":Infinity}",
	"{\"sound\":inf}",
	"{\"sound\":1_000}",
	"{\"sound\":1,5}",
	"{\"sound\":-00}",
	"{\"sound\":00.1}",
	"{\"sound\":1e0001}",
	"{\"sound\":9007199254740993}",
	"{\"sound\":0.30000000000000004}",
	"{\"sound\":123456789012345678}",
	"{\"sound\":2.2250738585072011e-308}",
	"{\"sound\":9.5367431640625e-7}",
	"{\"timestamp\":\"\",\"sound\":1}",
	"{\"timestamp\":\"yesterday\",\"sound\":1}",
	"{\"timestamp\":\"2026-11-23T12:00:00\",\"sound\":1}",
	"{\"timestamp\":\"1969-12-31T23:59:59.999Z\",\"sound\":1}",
	"{\"timestamp\":\"2109-05-15T07:35:11.104Z\",\"sound\":1}",
	"{\"timestamp\":\"2026-11-23T12:00:00\\u005a\",\"sound\":1}",
	"{\"timestamp\":\"2026-02-29T12:00:00Z\",\"sound\":1}",
	"{\"timestamp\":\"2026-11-23 12:00:60z\",\"sound\":1}",
	"{\"timestamp\":-1,\"sound\":1}",
	"{\"timestamp\":1e18,\"sound\":1}",
	"{\"timestamp\":1e999,\"sound\":1}",
	"{\"timestamp\":null,\"seq\":null,\"sound\":1}",
	"{\"timestamp\":true,\"sound\":1}",
	"{\"timestamp\":[],\"sound\":1}",
	"{\"seq\":-1,\"sound\":1}",
	"{\"seq\":1.5,\"sound\":1}",
	"{\"seq\":9007199254740992,\"sound\":1}",
	"{\"seq\":\"1\",\"sound\":1}",
	"{\"seq\":1e999,\"sound\":1}",
	"{\"seq\":1,\"timestamp\":2}",
	"{\"seq\":1}",
	"\xef\xbb\xbf{\"sound\":1}",
	"\xef\xbb\xbf",
	"{\"sound\":1}\xef\xbb\xbf",
	"{\"sound\":1}\v",
	"{\f\"sound\":1}",
	"{\"sound\":1\x01}",
	"{\"so\nund\":1}",
	"{\"sound\":1,\"sound \":2}",
	"{\"sound\":1/2}",
	"/**/{\"sound\":1}",
	"{\"sound\":\"\\",
	"{\"sound\":1,\"",
	"{\"sound\":99999999999999999999999999999999999999999999999999999999999999999999999}",
};

static void test_usual(void)
{
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		bool taken;
		CU_ASSERT_TRUE(agrees(usual[i], strlen(usual[i]), &taken));
		if (!taken)
			fprintf(stderr, "\nnot taken: %s\n", usual[i]);
		CU_ASSERT_TRUE(taken);
	}
}

static void test_awkward(void)
{
	bool taken;

	for (size_t i = 0; i < sizeof(awkward) / sizeof(awkward[0]); i++)
		CU_ASSERT_TRUE(agrees(awkward[i], strlen(awkward[i]), &taken));
	CU_ASSERT_TRUE(agrees("{\"sound\":1}\0{", 13, &taken));
	CU_ASSERT_TRUE(agrees("{\"sound\0\":1}", 12, &taken));
}

static void test_cut(void)
{
	size_t taken_short = 0;

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		for (size_t len = 0; len < strlen(usual[i]); len++) {
			bool taken;
			CU_ASSERT_TRUE(agrees(usual[i], len, &taken));
			taken_short += taken;
		}
	}
	CU_ASSERT_EQUAL(taken_short, 1); /* the one that ends with a blank */
}

/* Changes a byte, takes one out, puts one in, or doubles a stretch. */
static size_t mutate(char *text, size_t len, size_t size, struct rng *rng)
{
	static const char bytes[] = "\"\\{}[],:.+-eE0123456789 \t\n\r\0\x7f\x80\xc3ntfulsoundseqm";
	size_t at = (size_t)rng_below(rng, len + 1);
	char byte = bytes[rng_below(rng, sizeof(bytes) - 1)];

	switch (rng_below(rng, 4)) {
	case 0:
		if (at < len)
			text[at] = byte;
		return len;
	case 1:
		if (at == len)
			return len;
		memmove(text + at, text + at + 1, len - at - 1);
		return len - 1;
	case 2:
		if (len == size)
			return len;
		memmove(text + at + 1, text + at, len - at);
		text[at] = byte;
		return len + 1;
	default: {
		size_t n = (size_t)rng_below(rng, len - at + 1);
		if (len + n > size)
			return len;
		memmove(text + at + n, text + at, len - at);
		return len + n;
	}
	}
}

static void test_mutations(void)
{
	enum { MUTATIONS = 50000 };
	size_t texts = sizeof(usual) / sizeof(usual[0]), different = 0, accepted = 0;
	struct rng rng;

	rng_seed(&rng, 20);
	for (size_t i = 0; i < MUTATIONS; i++) {
		char text[512];
		size_t len = strlen(usual[i % texts]);
		bool taken;
		memcpy(text, usual[i % texts], len);
		for (uint64_t n = 1 + rng_below(&rng, 3); n > 0; n--)
			len = mutate(text, len, sizeof(text), &rng);
		different += !agrees(text, len, &taken);
		accepted += taken;
	}
	CU_ASSERT_EQUAL(different, 0);
	CU_ASSERT_TRUE(accepted > MUTATIONS / 20 && accepted < MUTATIONS / 2); /* of both kinds */
}

/* Numbers as they may be written: the same double by both ways. */
static void test_numbers(void)
{
	size_t different = 0, refused = 0;
	struct rng rng;

	rng_seed(&rng, 21);
	for (size_t i = 0; i < 20000; i++) {
		char text[128];
		double x = rng_normal(&rng) * pow(10, (double)rng_below(&rng, 40) - 20);
		bool taken;
		int len = snprintf(text, sizeof(text), "{\"sound\":%.*g,\"humidity\":%.*f}",
			(int)rng_below(&rng, 18) + 1, x, (int)rng_below(&rng, 12), x);
		different += !agrees(text, (size_t)len, &taken);
		refused += !taken;
	}
	CU_ASSERT_EQUAL(different, 0);
	CU_ASSERT_EQUAL(refused, 0);
}

static void test_oversize(void)
{
	static char text[PAYLOAD_MAX + 1];
	bool taken;

	memset(text, ' ', sizeof(text));
	memcpy(text, usual[0], strlen(usual[0]));
	CU_ASSERT_TRUE(agrees(text, PAYLOAD_MAX, &taken));
	CU_ASSERT_TRUE(taken);
	CU_ASSERT_TRUE(agrees(text, PAYLOAD_MAX + 1, &taken));
}

/* All 64 features, the last one named twice. */
static void test_many_features(void)
{
	struct schema wide = { .count = 0 };
	char text[2048], name[16];
	size_t at = 0;
	bool taken;

	for (int i = 0; i < FEATURES_MAX; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		CU_ASSERT_EQUAL_FATAL(
			schema_add(&wide, name, "", -INFINITY, INFINITY, NULL), STATUS_OK);
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%c\"f%d\":%d", i ? ',' : '{',
			FEATURES_MAX - 1 - i, i);
	}
	snprintf(text + at, sizeof(text) - at, "}");
	CU_ASSERT_TRUE(flat_agrees(text, at + 1, &wide, &taken));
	CU_ASSERT_TRUE(taken);
	at += (size_t)snprintf(text + at, sizeof(text) - at, ",\"f63\":1}");
	CU_ASSERT_TRUE(flat_agrees(text, at, &wide, &taken));
	CU_ASSERT_FALSE(taken);
	wide.count = 0;
	CU_ASSERT_TRUE(flat_agrees("{\"seq\":1}", 9, &wide, &taken));
	CU_ASSERT_FALSE(taken);
}

static CU_TestInfo cases[] = {
	{ "what machines send goes the short way, with the same result", test_usual },
	{ "awkward texts are accepted or refused alike", test_awkward },
	{ "cut anywhere they say the same", test_cut },
	{ "50,000 mutations say the same", test_mutations },
	{ "numbers are the same doubles", test_numbers },
	{ "the largest payload, and one byte more", test_oversize },
	{ "64 features, one of them twice, and none", test_many_features },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return make_schema() ? unit_run("reading_flat", cases) : 1;
}
