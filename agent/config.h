/* The agent's settings, read once into plain structs; each module is handed its own section and
 * nothing else. Default < file < environment (ISOLDE_SECTION_NAME) < command line
 * (--set section.name=VALUE). One table in config.c names every setting with unit, default and
 * range; config/agent.conf documents them, and a test holds the two together. */
#ifndef ISOLDE_AGENT_CONFIG_H
#define ISOLDE_AGENT_CONFIG_H

#include "common/log.h"
#include "common/status.h"
#include "common/store.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { CONFIG_TEXT_MAX = 512 }; /* bytes of a value */
typedef char config_text[CONFIG_TEXT_MAX];

struct mqtt_config {
	config_text url, client_id, topic;
	config_text username, password, password_file;
	config_text ca_file, cert_file, key_file;
	int64_t keepalive_s, grace_s;
};

struct http_config {
	config_text listen, hosts;
	int64_t threads;
	bool open_read;
	config_text read_token, read_token_file, write_token, write_token_file;
};

struct health_config {
	config_text listen;
};

struct store_config {
	config_text path;
	enum durability durability;
	int64_t batch;      /* readings of one commit, at most */
	int64_t hold_s;     /* readings wait for a failing store, then they are dropped */
	int64_t keep_days;  /* readings go after, 0: never */
	int64_t max_mb;     /* the oldest readings go, 0: never */
	int64_t reserve_mb; /* free space below which /health says so */
};

struct model_config {
	config_text path;
	config_text machines; /* a folder; "": none */
	int64_t table_bytes;
};

struct reading_config {
	int64_t late_s, skew_s, machines;
	int64_t queue_kb;
};

struct alarm_config {
	int64_t raise_count, raise_window, clear_count; /* readings */
	int64_t fault_count;                            /* readings */
	bool latch;                                     /* what is over waits for a person */
	int64_t silent_s; /* least silence of a machine that is one, 0: none is */
	int64_t shelve_max_h;
	int64_t group_machines; /* 0: no groups */
};

enum verdict_feed { VERDICTS_ALL, VERDICTS_ANOMALIES, VERDICTS_BATCH, VERDICTS_NONE };
struct alerts_config {
	enum verdict_feed verdicts;
	int64_t verdict_qos;
	int64_t outbox_max; /* messages */
};

struct log_config {
	enum log_level level;
	enum log_format format;
};

struct process_config {
	bool sandbox;
};

struct config_origin; /* where each value came from */

struct config {
	struct mqtt_config mqtt;
	struct http_config http;
	struct health_config health;
	struct store_config store;
	struct model_config model;
	struct reading_config reading;
	struct alarm_config alarm;
	struct alerts_config alerts;
	struct log_config log;
	struct process_config process;
	struct config_origin *origin; /* owned */
};

/* Defaults, then the file (NULL: none), the environment (NULL: none; environ otherwise), and
 * `sets` (count words "section.name=VALUE"). Secrets named by a *_file are read. Unknown names
 * are refused with place and the nearest known name, as are repeated names and values out of
 * range. STATUS_BAD_CONFIG; STATUS_USAGE for a bad word in `sets`; STATUS_NOT_FOUND. */
enum status config_load(const char *path, char *const *environment, const char *const *sets,
	size_t count, struct config *out, struct why *why) MUST_USE;
void config_finish(struct config *config); /* wipes secrets; accepts a zeroed one */

/* The effective settings in the file's own form, each with its origin in a comment; secrets
 * hidden. */
void config_print(const struct config *config, FILE *out);

/* {"mqtt.url":"...",...} without secrets; length, 0 if `size` is too small. */
size_t config_json(const struct config *config, char *out, size_t size);

#endif
