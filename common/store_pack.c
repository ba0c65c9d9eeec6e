#include "common/store_internal.h"
#include <math.h>
#include <string.h>

/* Everything is a double, so that a row needs no further column and goes when its row goes:
 *   value[features] [alarm_score [severity {feature contribution share low high z}...]]
 * Rows without what follows the values are those of the first version. */
enum { HEAD = 2, ENTRY = 6 };

size_t store_pack(const struct verdict *verdict, size_t features, double out[STORE_PACKED_MAX])
{
	size_t n = features;

	memcpy(out, verdict->reading.value, features * sizeof(*out));
	if (!verdict->smoothed && verdict->explained == 0)
		return n;
	out[n++] = verdict->smoothed ? verdict->alarm_score : INFINITY; /* not said */
	if (verdict->explained == 0)
		return n;
	out[n++] = verdict->severity;
	for (size_t i = 0; i < verdict->explained && i < EXPLAINED_MAX; i++) {
		const struct explained *e = &verdict->explanation[i];
		out[n++] = (double)e->feature;
		out[n++] = e->contribution;
		out[n++] = e->share;
		out[n++] = e->low;
		out[n++] = e->high;
		out[n++] = e->z;
	}
	return n;
}

static bool unpack_sensor(const double *from, size_t features, struct explained *out)
{
	if (!(from[0] >= 0 && from[0] < (double)features))
		return false;
	out->feature = (size_t)from[0];
	out->contribution = from[1];
	out->share = from[2];
	out->low = from[3];
	out->high = from[4];
	out->z = from[5];
	return true;
}

bool store_unpack(const void *blob, int bytes, size_t features, struct verdict *out)
{
	double packed[STORE_PACKED_MAX];
	size_t n = (size_t)bytes / sizeof(double);

	if (bytes < 0 || (size_t)bytes % sizeof(double) != 0 || n < features ||
		n > STORE_PACKED_MAX)
		return false;
	if (n == 0)
		return true;
	memcpy(packed, blob, (size_t)bytes);
	memcpy(out->reading.value, packed, features * sizeof(*packed));
	const double *more = packed + features;
	if (n == features)
		return true;
	out->smoothed = !isinf(more[0]);
	out->alarm_score = more[0];
	if (n == features + 1)
		return true;
	size_t rest = n - features - HEAD;
	if (n < features + HEAD || rest % ENTRY != 0 || rest / ENTRY > EXPLAINED_MAX)
		return false;
	out->severity = more[1];
	for (size_t i = 0; i < rest / ENTRY; i++) {
		if (!unpack_sensor(more + HEAD + i * ENTRY, features, &out->explanation[i]))
			return false;
		out->explained++;
	}
	return true;
}
