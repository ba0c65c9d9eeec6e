/* Result codes, the sentence that explains a failure to a person, and the exit code a
 * program ends with. Pure; any thread. */
#ifndef ISOLDE_COMMON_STATUS_H
#define ISOLDE_COMMON_STATUS_H

#define MUST_USE __attribute__((warn_unused_result))

enum status {
	STATUS_OK = 0,
	STATUS_BAD_INPUT,   /* malformed or out of range: the data is at fault */
	STATUS_BAD_CONFIG,  /* a setting is unknown, repeated or out of range */
	STATUS_USAGE,       /* a wrong word on the command line */
	STATUS_NOT_FOUND,   /* the named input does not exist */
	STATUS_FULL,        /* a stated limit is reached */
	STATUS_IO,          /* file, database or network */
	STATUS_UNAVAILABLE, /* the other side does not answer */
	STATUS_CANT_CREATE, /* the output can't be made, or is somebody else's */
	STATUS_NO_MEMORY,
	STATUS_CONFLICT, /* what is asked for is not possible as things stand */
};

/* One sentence, written on failure only, by the function that noticed, never by its callers. */
struct why {
	char text[320];
};

/* Fills *why (may be NULL) and returns `status`:
 * `return fail(why, STATUS_BAD_INPUT, "%s: tree %zu: no root", path, tree);` */
enum status fail(struct why *why, enum status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The sysexits code of a status: 0, 65 bad data, 78 configuration, 64 usage, 66 no input,
 * 74 I/O (also for full), 69 unavailable, 73 cannot create, 71 no memory,
 * 75 conflict: try again when things have changed. */
int status_exit_code(enum status status);

#endif
