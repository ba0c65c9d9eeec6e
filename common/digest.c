#include "common/digest.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void to_hex(const unsigned char *bytes, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 15];
	}
	*out = '\0';
}

static enum status no_digest(struct why *why)
{
	return fail(why, STATUS_NO_MEMORY, "SHA-256 is not to be had from libcrypto");
}

enum status digest_hex(const void *data, size_t len, char out[DIGEST_TEXT_SIZE], struct why *why)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (EVP_Digest(data, len, sum, &n, EVP_sha256(), NULL) != 1)
		return no_digest(why);
	to_hex(sum, n, out);
	return STATUS_OK;
}

struct digest {
	EVP_MD_CTX *context;
	bool failed;
};

enum status digest_start(struct digest **out, struct why *why)
{
	struct digest *d = calloc(1, sizeof(*d));

	if (d)
		d->context = EVP_MD_CTX_new();
	if (!d || !d->context || EVP_DigestInit_ex(d->context, EVP_sha256(), NULL) != 1) {
		digest_discard(d);
		return no_digest(why);
	}
	*out = d;
	return STATUS_OK;
}

void digest_add(struct digest *d, const void *data, size_t len)
{
	d->failed = d->failed || EVP_DigestUpdate(d->context, data, len) != 1;
}

enum status digest_end(struct digest *d, char out[DIGEST_TEXT_SIZE], struct why *why)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	bool ok = !d->failed && EVP_DigestFinal_ex(d->context, sum, &n) == 1;

	digest_discard(d);
	if (!ok)
		return no_digest(why);
	to_hex(sum, n, out);
	return STATUS_OK;
}

void digest_discard(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->context);
	free(d);
}

enum status digest_file_hex(const char *path, char out[DIGEST_TEXT_SIZE], struct why *why)
{
	FILE *file = fopen(path, "rbe");
	if (!file)
		return fail(why, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "%s: %s", path,
			strerror(errno));

	struct digest *digest = NULL;
	unsigned char piece[16384];
	size_t n;
	enum status st = digest_start(&digest, why);
	while (st == STATUS_OK && (n = fread(piece, 1, sizeof(piece), file)) > 0)
		digest_add(digest, piece, n);
	if (st == STATUS_OK && ferror(file)) {
		st = fail(why, STATUS_IO, "%s: %s", path, strerror(errno));
		digest_discard(digest);
	} else if (st == STATUS_OK) {
		st = digest_end(digest, out, why);
	}
	fclose(file);
	return st;
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t little_endian(const unsigned char *bytes, size_t n)
{
	uint64_t word = 0;

	for (size_t i = 0; i < n; i++)
		word |= (uint64_t)bytes[i] << (8 * i);
	return word;
}

uint64_t digest_sip(const uint64_t key[2], const void *data, size_t len)
{
	uint64_t v[4] = { key[0] ^ UINT64_C(0x736f6d6570736575),
		key[1] ^ UINT64_C(0x646f72616e646f6d), key[0] ^ UINT64_C(0x6c7967656e657261),
		key[1] ^ UINT64_C(0x7465646279746573) };
	const unsigned char *bytes = data;
	size_t left = len;

	for (; left >= 8; left -= 8, bytes += 8) {
		uint64_t word = little_endian(bytes, 8);
		v[3] ^= word;
		sip_round(v);
		sip_round(v);
		v[0] ^= word;
	}
	uint64_t last = little_endian(bytes, left) | (uint64_t)(len & 0xff) << 56;
	v[3] ^= last;
	sip_round(v);
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
