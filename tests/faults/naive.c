/* What many a consumer does, for comparison: Paho's callback puts the message into a queue in
 * memory and returns, which acknowledges it; a thread writes what is there to SQLite, a transaction
 * at a time. The same schema for the checker as Isolde's: machine and reading(seq).
 *
 *   naive PORT FILE
 */
#include <MQTTAsync.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct item {
	char machine[64];
	long long seq;
	struct item *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static struct item *first, **last = &first;
static MQTTAsync client;

static int on_message(void *context, char *topic, int len, MQTTAsync_message *message)
{
	struct item *item = calloc(1, sizeof(*item));
	const char *seq = memmem(message->payload, (size_t)message->payloadlen, "\"seq\":", 6);

	(void)context;
	(void)len;
	if (item && seq && sscanf(topic, "factory/%63[^/]", item->machine) == 1) {
		item->seq = strtoll(seq + 6, NULL, 10);
		pthread_mutex_lock(&lock);
		*last = item;
		last = &item->next;
		pthread_cond_signal(&filled);
		pthread_mutex_unlock(&lock);
	}
	MQTTAsync_freeMessage(&message);
	MQTTAsync_free(topic);
	return 1;
}

static void on_connected(void *context, char *cause)
{
	(void)context;
	(void)cause;
	MQTTAsync_subscribe(client, "factory/+/reading", 1, NULL);
}

static struct item *take(void)
{
	pthread_mutex_lock(&lock);
	while (!first)
		pthread_cond_wait(&filled, &lock);
	struct item *all = first;
	first = NULL;
	last = &first;
	pthread_mutex_unlock(&lock);
	return all;
}

static void store(sqlite3 *db, sqlite3_stmt *add, struct item *all)
{
	sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
	while (all) {
		struct item *item = all;
		all = item->next;
		sqlite3_bind_text(add, 1, item->machine, -1, SQLITE_STATIC);
		sqlite3_bind_int64(add, 2, item->seq);
		sqlite3_step(add);
		sqlite3_reset(add);
		free(item);
	}
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
}

int main(int argc, char **argv)
{
	MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
	char uri[64];
	sqlite3 *db;
	sqlite3_stmt *add;

	if (argc < 3)
		return 64;
	sqlite3_open(argv[2], &db);
	sqlite3_exec(db, "PRAGMA journal_mode=WAL;CREATE TABLE IF NOT EXISTS row(machine, seq)",
		NULL, NULL, NULL);
	sqlite3_prepare_v2(db, "INSERT INTO row VALUES(?1, ?2)", -1, &add, NULL);
	snprintf(uri, sizeof(uri), "tcp://127.0.0.1:%s", argv[1]);
	MQTTAsync_create(&client, uri, "naive", MQTTCLIENT_PERSISTENCE_NONE, NULL);
	MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL);
	MQTTAsync_setConnected(client, NULL, on_connected);
	options.cleansession = 0;
	options.automaticReconnect = 1;
	MQTTAsync_connect(client, &options);
	for (;;)
		store(db, add, take());
}
