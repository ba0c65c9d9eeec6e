#include "common/hash.h"

unsigned hash_bytes(const void *data, size_t len)
{
	const unsigned char *byte = data;
	unsigned hash = 2166136261u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ byte[i]) * 16777619u;
	return hash;
}
