/* What receiving costs at the least: a Paho subscriber (MQTTAsync, QoS 1) whose callback counts and
 * returns. The yardstick of throughput.py; knows nothing of Isolde's code.
 *
 *   null ADDRESS COUNT
 *
 * ADDRESS is a port of 127.0.0.1, or the path of a unix-domain socket, which takes the place of the
 * one that Paho 1.3.12 has just made: it knows only TCP (linked with --wrap=connect).
 * Prints `ready` when the subscription is granted, and at the COUNTth message `done`. */
#include <MQTTAsync.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const char *path; /* NULL: TCP */
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

int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	/* Each acknowledgement takes 800 bytes of it; when it is full Paho naps 100 ms. */
	const int room = 4 << 20;
	struct sockaddr_un to = { .sun_family = AF_UNIX };

	if (!path)
		return __real_connect(fd, address, len);
	int local = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(local, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	int rc = __real_connect(local, (struct sockaddr *)&to, sizeof(to));
	if (rc == 0 && dup2(local, fd) < 0)
		rc = -1;
	close(local);
	return rc;
}

int main(int argc, char **argv)
{
	MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
	char url[64];

	if (argc != 3)
		return 64;
	wanted = strtol(argv[2], NULL, 10);
	path = *argv[1] == '/' ? argv[1] : NULL;
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", path ? 1883 : atoi(argv[1]));
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
