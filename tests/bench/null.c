/* What receiving costs at the least: a Paho subscriber (MQTTAsync, QoS 1) whose callback counts and
 * returns. The yardstick of throughput.py; knows nothing of Isolde's code.
 *
 *   null PORT COUNT
 *
 * Prints `ready` when the subscription is granted, and at the COUNTth message `done`. */
#include <MQTTAsync.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static long wanted;
static atomic_long received;
static sem_t ready, done;
static MQTTAsync client;

static int on_message(void *context, char *topic, int len, MQTTAsync_message *message)
{
	(void)context;
	(void)len;
	if (atomic_fetch_add(&received, 1) + 1 == wanted)
		sem_post(&done);
	MQTTAsync_freeMessage(&message);
	MQTTAsync_free(topic);
	return 1;
}

static void on_subscribed(void *context, MQTTAsync_successData *response)
{
	(void)context;
	(void)response;
	sem_post(&ready);
}

static void on_connected(void *context, char *cause)
{
	MQTTAsync_responseOptions options = MQTTAsync_responseOptions_initializer;

	(void)context;
	(void)cause;
	options.onSuccess = on_subscribed;
	MQTTAsync_subscribe(client, "factory/+/reading", 1, &options);
}

int main(int argc, char **argv)
{
	MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
	char url[64];

	if (argc != 3)
		return 64;
	wanted = strtol(argv[2], NULL, 10);
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", atoi(argv[1]));
	sem_init(&ready, 0, 0);
	sem_init(&done, 0, 0);
	if (MQTTAsync_create(&client, url, "null", MQTTCLIENT_PERSISTENCE_NONE, NULL) ||
		MQTTAsync_setCallbacks(client, NULL, NULL, on_message, NULL) ||
		MQTTAsync_setConnected(client, NULL, on_connected))
		return 69;
	options.cleansession = 1;
	if (MQTTAsync_connect(client, &options))
		return 69;
	sem_wait(&ready);
	puts("ready");
	fflush(stdout);
	sem_wait(&done);
	puts("done");
	return 0;
}
