#include "tests/unit/unit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[] = "/tmp/isolde-unit-XXXXXX";
static int made;

int unit_run(const char *suite, CU_TestInfo *cases)
{
	CU_SuiteInfo suites[] = { { suite, NULL, NULL, NULL, NULL, cases }, CU_SUITE_INFO_NULL };

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS) {
		fprintf(stderr, "%s: %s\n", suite, CU_get_error_msg());
		return 99;
	}
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures() + CU_get_number_of_suites_failed();
	unsigned run = CU_get_number_of_tests_run();
	CU_cleanup_registry();
	if (run == 0)
		return 98; /* an empty table proves nothing */
	return failures > 90 ? 90 : (int)failures;
}

static void remove_folder(void)
{
	char command[64];
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	if (system(command) != 0)
		fprintf(stderr, "%s stays behind\n", folder);
}

const char *unit_folder(void)
{
	if (!made) {
		if (!mkdtemp(folder)) {
			perror(folder);
			exit(97);
		}
		made = 1;
		atexit(remove_folder);
	}
	return folder;
}

const char *unit_path(const char *name)
{
	static char path[4][256];
	static unsigned turn;
	char *out = path[turn++ % 4];

	snprintf(out, sizeof(path[0]), "%s/%s", unit_folder(), name);
	return out;
}

const char *unit_file(const char *name, const void *data, size_t len)
{
	const char *path = unit_path(name);
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(data, 1, len, file) != len || fclose(file) != 0) {
		perror(path);
		exit(97);
	}
	return path;
}

int unit_free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	unsigned short number;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (;;) {
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			abort();
		int port = 10000 + number % 20000;
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		address.sin_port = htons((unsigned short)port);
		int rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
		close(fd);
		if (rc == 0)
			return port;
	}
}

int unit_holds(const char *text, const char *word)
{
	if (strstr(text, word))
		return 1;
	fprintf(stderr, "\n\"%s\" does not hold \"%s\"\n", text, word);
	return 0;
}
