/* Our validator against a decoder that is written another way, after RFC 3629 section 3. */
#include "common/jsontext.h"
#include "tests/fuzz/fuzz.h"
#include <stdbool.h>

static bool decodes(const uint8_t *at, size_t left)
{
	static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };

	while (left > 0) {
		size_t more = *at < 0x80 ? 0 : *at >> 5 == 6 ? 1 : *at >> 4 == 14 ? 2 : 3;
		uint32_t point = more ? *at & (0x3fu >> more) : *at;
		if ((more == 3 && *at >> 3 != 30) || left < more + 1)
			return false;
		for (size_t i = 1; i <= more; i++) {
			if (at[i] >> 6 != 2)
				return false;
			point = point << 6 | (at[i] & 0x3f);
		}
		if (point < least[more] || point > 0x10ffff || point >> 11 == 0x1b)
			return false;
		at += more + 1;
		left -= more + 1;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (utf8_valid((const char *)data, size) != decodes(data, size))
		abort();
	return 0;
}
