/* through train TARGET FILE: makes the model of `plant` (TARGET false alarms a day asked for, 0:
 * nothing) and prints what it promised of one machine.
 * through publish URL FILE MACHINES SECONDS: the same healthy plant, published to a broker at QoS 1
 * as fast as it goes, a second of it after the other, the last one now. Every reading goes through
 * the agent's pipeline in this process, too: a line `alarm MACHINE SINCE SENSOR` for each one
 * raised. A line `published N` now and then, upon which it waits for a line on stdin: who runs this
 * sees to it that what is on its way has arrived. */
#include "common/mqtt.h"
#include "common/timeutil.h"
#include "tests/detection/rig.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
	BASELINE_SEED = 11,
	PLANT_SEED = 77,
	BASELINE_MACHINES = 4,
	BASELINE_S = 6 * 3600,
	MACHINES_MAX = 100,
	SHARE = 50000, /* readings between two lines */
	UNSENT_MAX = 5000,
	WAIT_S = 60
};

static int complain(const char *text)
{
	fprintf(stderr, "%s\n", text);
	return 70;
}

static int train(double target, const char *file)
{
	struct model *model =
		rig_train(DETECTOR_FUSED, BASELINE_SEED, BASELINE_MACHINES, BASELINE_S, target);
	struct why why;

	if (model_save(model, file, &why) != STATUS_OK)
		return complain(why.text);
	printf("promised %g\npromised_low %g\npromised_high %g\n", model->false_alarms_per_day,
		model->false_alarms_per_day_low, model->false_alarms_per_day_high);
	model_destroy(model);
	return 0;
}

/* Polls until so few publishes wait for their end. */
static bool drain(struct mqtt *mqtt, size_t most)
{
	static const struct timespec moment = { 0, 1000000 };
	int64_t end_ns = time_monotonic_ns() + (int64_t)WAIT_S * 1000000000;

	while (!mqtt_connected(mqtt) || mqtt_unsent(mqtt) > most) {
		if (time_monotonic_ns() > end_ns)
			return false;
		(void)nanosleep(&moment, NULL); /* between two looks */
	}
	return true;
}

static bool send(struct mqtt *mqtt, const struct rig_message *message)
{
	static size_t sent;

	if (sent++ % 100 == 0 && !drain(mqtt, UNSENT_MAX))
		return false;
	return mqtt_publish(mqtt, message->topic, message->payload, message->len, 1, false,
		       MQTT_UNTOLD) == STATUS_OK;
}

static bool tell(struct mqtt *mqtt, size_t published)
{
	char line[16];

	if (!drain(mqtt, 0))
		return false;
	printf("published %zu\n", published);
	fflush(stdout);
	return fgets(line, sizeof(line), stdin);
}

static int play(struct mqtt *mqtt, struct rig *rig, size_t machines, int64_t seconds)
{
	static struct machine machine[MACHINES_MAX];
	size_t published = 0;

	for (size_t m = 0; m < machines; m++)
		machine_init(&machine[m], PLANT_SEED, m, 0);
	for (int64_t s = 0; s < seconds; s++) {
		for (size_t m = 0; m < machines; m++) {
			struct rig_message message;
			struct sample sample;
			char name[RIG_NAME_MAX];
			int64_t before = rig->raised;
			snprintf(name, sizeof(name), "press-%zu", m);
			machine_next(&machine[m], &sample);
			rig_write(rig, name, s, sample.value, &message);
			rig_judge(rig, &message);
			if (rig->raised > before)
				printf("alarm %s %s %s\n", rig->machine, rig->since, rig->sensor);
			if (!send(mqtt, &message))
				return complain("the broker takes no more");
			if (++published % SHARE == 0 && !tell(mqtt, published))
				return complain("nobody listens");
		}
	}
	return tell(mqtt, published) ? 0 : complain("nobody listens");
}

static int publish(const char *url, const char *file, size_t machines, int64_t seconds)
{
	const struct mqtt_options options = {
		.url = url, .client_id = "plant", .keepalive_s = 60, .clean_session = true
	};
	struct model *model = NULL;
	struct mqtt *mqtt = NULL;
	struct rig rig;
	struct why why;

	if (machines < 1 || machines > MACHINES_MAX)
		return 64;
	if (model_load(file, &model, &why) != STATUS_OK ||
		mqtt_create(&options, &mqtt, &why) != STATUS_OK ||
		mqtt_start(mqtt, &why) != STATUS_OK)
		return complain(why.text);
	rig_start(&rig, model);
	rig.begin_ms = time_now_ms() - seconds * RIG_STEP_MS;
	int code = play(mqtt, &rig, machines, seconds);
	mqtt_stop(mqtt, 1000);
	mqtt_destroy(mqtt);
	rig_stop(&rig);
	model_destroy(model);
	return code;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "train") == 0)
		return train(strtod(argv[2], NULL), argv[3]);
	if (argc == 6 && strcmp(argv[1], "publish") == 0)
		return publish(
			argv[2], argv[3], strtoul(argv[4], NULL, 10), strtoll(argv[5], NULL, 10));
	fprintf(stderr, "through train TARGET FILE | publish URL FILE MACHINES SECONDS\n");
	return 64;
}
