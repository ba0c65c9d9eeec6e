"""Starting, stopping, dying, and a broker that comes and goes."""

import json
import os
import signal
import threading
import socket
import time

from harness import (
    ANOMALY,
    BIN,
    NORMAL,
    Agent,
    Process,
    SystemTest,
    clean_environment,
    main,
    reading,
    time_text,
    until,
)

TOPIC = "factory/press-1/reading"
ALARM = "alerts/press-1/alarm"
STATUS = "isolde/isolde-agent/status"


def last_state(client, topic):
    messages = client.on(topic)
    return json.loads(messages[-1].payload)["state"] if messages else None


class Life(SystemTest):
    def setUp(self):
        super().setUp()
        self.now = time.time()
        self.sent = 0

    def send(self, sensor, count=1, values=NORMAL):
        for _ in range(count):
            sensor.publish(TOPIC, reading(self.sent, time_text(self.now + self.sent), **values))
            self.sent += 1
        sensor.wait_acknowledged()

    def test_a_restart_keeps_history_counters_and_alarm(self):
        self.agent.start()
        sensor = self.client("sensor")
        watcher = self.client("watcher", "alerts/+/alarm")
        self.send(sensor, 2)
        self.send(sensor, 3, ANOMALY)
        self.agent.wait_received(5)
        watcher.wait("the alarm", lambda all: len(all) >= 1)
        alarm = json.loads(watcher.on(ALARM)[0].payload)
        rows = self.agent.history()

        self.assertEqual(self.agent.stop(), 0)
        self.agent.start()

        self.assertEqual(self.agent.history(), rows)
        self.assertEqual(self.agent.ledger().stored, 5)
        self.assertEqual(self.agent.metrics()["isolde_alarms_active"], 1)
        self.send(sensor, 5)
        self.agent.wait_stored(10)
        watcher.wait("the end of the alarm", lambda all: last_state(watcher, ALARM) == "returned")
        self.assertEqual(json.loads(watcher.on(ALARM)[-1].payload)["id"], alarm["id"])

    def test_what_came_while_the_agent_was_away_arrives_after_the_start(self):
        self.agent.start()
        sensor = self.client("sensor")
        self.send(sensor, 3)
        self.agent.wait_received(3)
        self.assertEqual(self.agent.stop(), 0)

        self.send(sensor, 500)
        self.agent.start()

        self.agent.wait_stored(503)

    def test_a_killed_agent_finds_its_history_whole(self):
        self.agent.start()
        sensor = self.client("sensor")
        self.send(sensor, 300)
        self.agent.wait_received(300)

        self.agent.kill()
        self.agent.start()

        self.assertEqual([row["seq"] for row in self.agent.history()], list(range(299, -1, -1)))
        self.assertEqual(self.agent.ledger().stored, 300)

    def test_sigterm_ends_it_within_5_seconds_with_0_and_all_received_stored(self):
        self.agent.start()
        sensor = self.client("sensor")
        for _ in range(2000):
            sensor.publish(TOPIC, reading(self.sent, time_text(self.now + self.sent), **NORMAL))
            self.sent += 1

        self.assertEqual(self.agent.stop(5), 0)
        sensor.wait_acknowledged()

        self.agent.start()
        self.agent.wait_stored(2000)
        self.assertEqual(len(self.agent.history()), 2000)

    def test_sigint_ends_it_as_well(self):
        self.agent.start()

        self.agent.process.send(signal.SIGINT)

        self.assertEqual(self.agent.process.wait(5), 0)

    def test_birth_and_goodbye_are_retained(self):
        self.agent.start()

        watcher = self.client("watcher", STATUS)
        watcher.wait("the birth", lambda all: last_state(watcher, STATUS) == "online")
        # The birth travels beside the health: only who comes after it gets it as retained.
        early = self.client("early", STATUS)
        early.wait("the retained birth", lambda all: last_state(early, STATUS) == "online")
        self.assertTrue(early.on(STATUS)[0].retained)
        self.agent.stop()

        watcher.wait("the goodbye", lambda all: last_state(watcher, STATUS) == "offline")
        later = self.client("later", STATUS)
        later.wait("the retained state", lambda all: last_state(later, STATUS) == "offline")

    def test_the_last_will_tells_of_a_killed_agent(self):
        self.agent.start()
        watcher = self.client("watcher", STATUS)
        watcher.wait("the birth", lambda all: last_state(watcher, STATUS) == "online")

        self.agent.kill()

        watcher.wait("the last will", lambda all: last_state(watcher, STATUS) == "offline")

    def test_the_info_topic_tells_version_and_settings_without_secrets(self):
        secret = os.path.join(self.folder, "password")
        with open(secret, "w", encoding="utf-8") as file:
            file.write("canary-9f31\n")
        os.chmod(secret, 0o600)
        self.agent.settings.update({"mqtt.username": "agent", "mqtt.password_file": secret})
        self.agent.start()

        # The info travels beside the health: a first watcher says when it is there.
        self.client("first", "isolde/isolde-agent/info").wait("the info", lambda all: len(all) >= 1)
        watcher = self.client("watcher", "isolde/isolde-agent/info")
        message = watcher.wait("the retained info", lambda all: len(all) >= 1)[0]

        self.assertTrue(message.retained)
        self.assert_holds(json.dumps(json.loads(message.payload)), "version", "mqtt.url")
        self.assertNotIn(b"canary", message.payload)
        self.assertNotIn("canary", self.agent.process.words())

    def test_systemd_is_told_of_readiness_and_stopping(self):
        path = os.path.join(self.folder, "notify")
        notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(notify.close)
        notify.bind(path)
        notify.settimeout(20)

        def wait_for(word):
            while word not in notify.recv(4096).decode().splitlines():
                pass

        self.agent.start(NOTIFY_SOCKET=path, WATCHDOG_USEC="400000")
        wait_for("READY=1")
        wait_for("WATCHDOG=1")
        self.assertEqual(self.agent.stop(), 0)
        wait_for("STOPPING=1")

    def test_a_taken_port_is_named(self):
        for setting in ("http.listen", "health.listen"):
            with self.subTest(setting), socket.socket() as holder:
                holder.bind(("127.0.0.1", 0))
                holder.listen()
                port = holder.getsockname()[1]
                second = Agent(self.folder, self.broker.port, **{setting: f"127.0.0.1:{port}"})
                second.log += ".second"

                self.assertEqual(second.launch().process.wait(10), 73)

                self.assert_holds(second.process.words(), f"127.0.0.1:{port}", "in use")
                os.remove(second.log)

    def test_a_store_that_cannot_be_made_is_named(self):
        self.agent.settings["store.path"] = "/proc/nowhere/history.db"

        self.assertIn(self.agent.launch().process.wait(10), (73, 74))

        self.assertIn("/proc/nowhere", self.agent.process.words())


class BrokerComesAndGoes(SystemTest):
    broker_up = False

    def test_the_agent_starts_without_a_broker_and_finds_it_later(self):
        self.agent.launch()
        body = self.agent.wait_health(503)

        self.assertEqual(body["status"], "unhealthy")
        self.assertEqual(body["checks"]["broker"]["status"], "fail")
        self.assertEqual(self.agent.get("/health/live", self.agent.health_port)[0], 200)
        until(
            "the model answers",
            lambda: self.agent.request("POST", "/predict", json.dumps(NORMAL))[0] == 200,
        )
        self.assertEqual(self.agent.metrics()["isolde_mqtt_connected"], 0)

        self.broker.start()

        self.assertEqual(self.agent.wait_health(200, 40)["status"], "ok")
        self.assertEqual(self.agent.metrics()["isolde_mqtt_connected"], 1)

    def test_without_a_broker_it_still_stops_at_once(self):
        self.agent.launch()
        self.agent.wait_health(503)

        self.assertEqual(self.agent.stop(5), 0)

    def test_a_broker_that_hangs_for_a_while_gets_every_acknowledgement(self):
        """Its socket is full of our verdicts then. What is not acknowledged would come again."""
        self.broker.start()
        self.agent.start()
        sensor = self.client("sensor")
        now, certain = time.time(), 0
        for i in range(60000):
            if i % 20000 == 10000:
                self.broker.process.send(signal.SIGSTOP)
                threading.Timer(1, self.broker.process.send, [signal.SIGCONT]).start()
            qos = int(i % 50 == 0)
            certain += qos
            sensor.publish(TOPIC, reading(i, now + i / 1000, **NORMAL), qos)
        sensor.wait_acknowledged(60)
        until(
            "every QoS-1 reading is stored",
            lambda: self.agent.ledger().pending == 0
            and sum(row["seq"] % 50 == 0 for row in self.agent.history()) == certain,
        )

        self.agent.kill()
        self.agent.start()

        before = self.agent.ledger()
        sensor.publish(TOPIC, reading(60000, now + 60, **NORMAL))
        self.agent.wait_received(before.received + 1)
        self.assertEqual(self.agent.ledger().duplicate, before.duplicate)

    def test_a_broker_restart_costs_nothing(self):
        self.broker.start()
        self.agent.start()
        sensor = self.client("sensor")
        for i in range(100):
            sensor.publish(TOPIC, reading(i, time_text(i), **NORMAL))
        sensor.wait_acknowledged()
        self.agent.wait_received(100)

        self.broker.stop()
        until("the agent notices", lambda: self.agent.metrics()["isolde_mqtt_connected"] == 0)
        self.assertEqual(self.agent.get("/history")[0], 200)
        self.broker.start()
        # The session came back with the broker: what is sent before the agent is there waits.
        sensor = self.client("sensor-2")
        for i in range(100, 200):
            sensor.publish(TOPIC, reading(i, time_text(i), **NORMAL))
        sensor.wait_acknowledged()

        self.agent.wait_health(200, 60)
        self.agent.wait_stored(200)
        self.assertEqual(len(self.agent.history()), 200)
        watcher = self.client("watcher", STATUS)
        watcher.wait("the birth again", lambda all: last_state(watcher, STATUS) == "online")
        self.assertGreaterEqual(self.agent.metrics()["isolde_mqtt_connects_total"], 2)

    def test_an_alarm_raised_before_a_broker_lost_everything_is_published_again(self):
        self.broker.start()
        self.agent.start()
        sensor = self.client("sensor")
        for i in range(3):
            sensor.publish(TOPIC, reading(i, time_text(i), **ANOMALY))
        self.agent.wait_received(3)

        self.broker.kill()
        for name in ("mosquitto.db", "mosquitto.db.new"):
            if os.path.exists(os.path.join(self.folder, name)):
                os.remove(os.path.join(self.folder, name))
        self.broker.start()

        watcher = self.client("watcher", ALARM)
        watcher.wait(
            "the alarm again", lambda all: last_state(watcher, ALARM) == "unacknowledged", 60
        )


class NoBrokerAtAll(SystemTest):
    broker_up = False

    def test_the_health_check_of_a_container_asks_the_running_agent(self):
        self.agent.launch()
        self.agent.wait_health(503)
        asked = [os.path.join(BIN, "isolde-agent"), "--healthcheck"]
        asked += ["--set", f"health.listen={self.agent.settings['health.listen']}"]

        def healthcheck():
            log = os.path.join(self.folder, "healthcheck.log")
            return Process(asked, log, clean_environment()).wait(10)

        self.assertNotEqual(healthcheck(), 0)
        self.broker.start()
        self.agent.wait_health(200, 40)
        self.assertEqual(healthcheck(), 0)
        self.agent.stop()
        self.assertNotEqual(healthcheck(), 0)


if __name__ == "__main__":
    main()
