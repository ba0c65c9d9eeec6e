/* Every file of a corpus once, without libFuzzer: replay FOLDER */
#include "tests/fuzz/fuzz.h"
#include <dirent.h>

enum { INPUT_MAX = 1 << 20 };

static void replay(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = malloc(INPUT_MAX);

	if (!file || !data)
		abort();
	size_t size = fread(data, 1, INPUT_MAX, file);
	fclose(file);
	/* Just as large as it is, so that a sanitizer sees what reads past it. */
	uint8_t *exact = realloc(data, size > 0 ? size : 1);
	if (!exact)
		abort();
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
}

int main(int argc, char **argv)
{
	char path[4096];
	DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
	int count = 0;

	if (!folder) {
		fprintf(stderr, "usage: replay FOLDER\n");
		return 64;
	}
	for (struct dirent *entry; (entry = readdir(folder));) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
		replay(path);
		count++;
	}
	closedir(folder);
	printf("%d inputs\n", count);
	return count == 0;
}
