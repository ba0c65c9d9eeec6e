/* A model file made by an enemy. The input is everything before the seal, which is added here:
 * else nothing would come past it. What loads must score to a number. */
#include "common/model.h"
#include "tests/fuzz/fuzz.h"
#include <math.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char file[65536];
	char digest[DIGEST_TEXT_SIZE];
	struct model *model;
	struct why why;

	if (size > sizeof(file) - 128 || digest_hex(data, size, digest, &why) != STATUS_OK)
		return 0;
	memcpy(file, data, size);
	int n = snprintf(file + size, sizeof(file) - size, ",\n\"sha256\":\"%s\"}\n", digest);
	const char *path = fuzz_file((const uint8_t *)file, size + (size_t)n);
	if (model_load(path, &model, &why) != STATUS_OK)
		return 0;
	double x[FEATURES_MAX] = { 1, -1e300, INFINITY };
	double score = detector_score(&model->detector, x);
	if (!(score >= -0.5 && score <= 0.5))
		abort();
	model_destroy(model);
	return 0;
}
