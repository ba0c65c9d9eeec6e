#include "common/digest.h"
#include "tests/unit/unit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FIPS 180-4 examples (NIST CSRC) and the empty message. */
static void test_sha256(void)
{
	static const struct {
		const char *text, *sum;
	} rows[] = {
		{ "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
		{ "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
			"248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
	};
	char out[DIGEST_TEXT_SIZE];
	struct why why;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CU_ASSERT_EQUAL(
			digest_hex(rows[i].text, strlen(rows[i].text), out, &why), STATUS_OK);
		CU_ASSERT_STRING_EQUAL(out, rows[i].sum);
	}
}

static const char million_sum[] =
	"cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

static void test_million(void)
{
	char *letters = malloc(1000000), out[DIGEST_TEXT_SIZE];
	struct why why;

	CU_ASSERT_PTR_NOT_NULL_FATAL(letters);
	memset(letters, 'a', 1000000);

	CU_ASSERT_EQUAL(digest_hex(letters, 1000000, out, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(out, million_sum);

	const char *path = unit_file("million", letters, 1000000);
	CU_ASSERT_EQUAL(digest_file_hex(path, out, &why), STATUS_OK);
	CU_ASSERT_STRING_EQUAL(out, million_sum);
	free(letters);
}

/* Around the pieces a file is read in, and with NULs inside. */
static void test_file_equals(void)
{
	static const size_t sizes[] = { 0, 1, 63, 64, 65, 16383, 16384, 16385, 40000 };
	static unsigned char data[40000];
	char of_file[DIGEST_TEXT_SIZE], of_bytes[DIGEST_TEXT_SIZE];
	struct why why;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 >> 3);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const char *path = unit_file("digested", data, sizes[i]);
		CU_ASSERT_EQUAL(digest_file_hex(path, of_file, &why), STATUS_OK);
		CU_ASSERT_EQUAL(digest_hex(data, sizes[i], of_bytes, &why), STATUS_OK);
		CU_ASSERT_STRING_EQUAL(of_file, of_bytes);
	}
}

static void test_file_refused(void)
{
	char out[DIGEST_TEXT_SIZE] = "untouched";
	struct why why = { "" };

	CU_ASSERT_EQUAL(digest_file_hex(unit_path("nowhere"), out, &why), STATUS_NOT_FOUND);
	ASSERT_HOLDS(why.text, "nowhere: No such file");
	CU_ASSERT_EQUAL(digest_file_hex(unit_folder(), out, &why), STATUS_IO);
	ASSERT_HOLDS(why.text, "Is a directory");
	CU_ASSERT_STRING_EQUAL(out, "untouched");
}

/* vectors_sip64 of the authors' reference implementation (github.com/veorq/SipHash), key
 * 00 01 .. 0f, message 00 01 .. of n bytes, as little-endian bytes; that of 15 bytes is in the
 * paper's appendix A too. */
static void test_siphash(void)
{
	static const struct {
		size_t n;
		unsigned char sum[8];
	} rows[] = {
		{ 0, { 0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72 } },
		{ 1, { 0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74 } },
		{ 2, { 0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d } },
		{ 3, { 0x2d, 0x7e, 0xfb, 0xd7, 0x96, 0x66, 0x67, 0x85 } },
		{ 4, { 0xb7, 0x87, 0x71, 0x27, 0xe0, 0x94, 0x27, 0xcf } },
		{ 5, { 0x8d, 0xa6, 0x99, 0xcd, 0x64, 0x55, 0x76, 0x18 } },
		{ 6, { 0xce, 0xe3, 0xfe, 0x58, 0x6e, 0x46, 0xc9, 0xcb } },
		{ 7, { 0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab } },
		{ 8, { 0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93 } },
		{ 9, { 0xb0, 0xe4, 0xa9, 0x0b, 0xdf, 0x82, 0x00, 0x9e } },
		{ 15, { 0xe5, 0x45, 0xbe, 0x49, 0x61, 0xca, 0x29, 0xa1 } },
		{ 16, { 0xdb, 0x9b, 0xc2, 0x57, 0x7f, 0xcc, 0x2a, 0x3f } },
		{ 31, { 0x42, 0xc3, 0x41, 0xd8, 0xfa, 0x92, 0xd8, 0x32 } },
		{ 63, { 0x72, 0x45, 0x06, 0xeb, 0x4c, 0x32, 0x8a, 0x95 } },
	};
	static const uint64_t key[2] = { UINT64_C(0x0706050403020100),
		UINT64_C(0x0f0e0d0c0b0a0908) };
	unsigned char message[64];

	for (size_t i = 0; i < sizeof(message); i++)
		message[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t sum = digest_sip(key, message, rows[i].n);
		for (int k = 0; k < 8; k++)
			CU_ASSERT_EQUAL((sum >> (8 * k)) & 0xff, rows[i].sum[k]);
	}
}

static void test_siphash_key(void)
{
	static const uint64_t key[2] = { 1, 2 }, other[2] = { 1, 3 }, third[2] = { 0, 2 };

	CU_ASSERT_NOT_EQUAL(digest_sip(key, "press-1", 7), digest_sip(other, "press-1", 7));
	CU_ASSERT_NOT_EQUAL(digest_sip(key, "press-1", 7), digest_sip(third, "press-1", 7));
	CU_ASSERT_NOT_EQUAL(digest_sip(key, "press-1", 7), digest_sip(key, "press-2", 7));
	CU_ASSERT_NOT_EQUAL(digest_sip(key, "a\0", 2), digest_sip(key, "a", 1));
}

static CU_TestInfo cases[] = {
	{ "SHA-256 gives the sums of FIPS 180-4", test_sha256 },
	{ "a million letters a give their known sum, in memory and from a file", test_million },
	{ "a file's sum is its bytes' sum, whatever its size", test_file_equals },
	{ "a missing file and a folder are refused with the reason", test_file_refused },
	{ "SipHash-2-4 gives its authors' vectors", test_siphash },
	{ "key, length and every byte count in SipHash", test_siphash_key },
	CU_TEST_INFO_NULL,
};

int main(void)
{
	return unit_run("digest", cases);
}
