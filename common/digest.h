/* SHA-256 (FIPS 180-4) by libcrypto, as hexadecimal digits. Any thread. */
#ifndef ISOLDE_COMMON_DIGEST_H
#define ISOLDE_COMMON_DIGEST_H

#include "common/status.h"
#include <stddef.h>
#include <stdint.h>

enum { DIGEST_TEXT_SIZE = 65 };

/* What `sha256sum` prints for these bytes. */
enum status digest_hex(
	const void *data, size_t len, char out[DIGEST_TEXT_SIZE], struct why *why) MUST_USE;

/* The same of bytes that come piece by piece: digest_start, digest_add as often as need be, and
 * digest_end, which frees it. digest_discard instead frees one that is not wanted; NULL is fine. */
struct digest;
enum status digest_start(struct digest **out, struct why *why) MUST_USE;
void digest_add(struct digest *digest, const void *data, size_t len);
enum status digest_end(struct digest *digest, char out[DIGEST_TEXT_SIZE], struct why *why) MUST_USE;
void digest_discard(struct digest *digest);

/* Of a file, read in pieces. */
enum status digest_file_hex(const char *path, char out[DIGEST_TEXT_SIZE], struct why *why) MUST_USE;

/* SipHash-2-4 (Aumasson, Bernstein, 2012): a keyed 64-bit digest of short input, for identities
 * and tables that a stranger must not be able to make collide. */
uint64_t digest_sip(const uint64_t key[2], const void *data, size_t len);

#endif
