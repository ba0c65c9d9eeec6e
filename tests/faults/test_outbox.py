"""Alarms reach the broker at least once: across kills, a broker that is away, one that forgot all,
and a history that is gone."""

import json
import os
import time

from faults import FaultTest, figure, main, scaled, until
from harness import ANOMALY, NORMAL, reading


NOW = int(time.time())


class Outbox(FaultTest):
    settings = {"alerts.verdicts": "none", "alarm.latch": "no"}
    seq = 0

    def send(self, sensor, machine, values, count):
        for _ in range(count):
            self.seq += 1
            sensor.publish(f"factory/{machine}/reading", reading(self.seq, NOW - 600 + self.seq, **values))
        sensor.wait_acknowledged()

    def retained(self, name):
        """{machine: state} as a dashboard that comes now sees it, and what changes from then on."""
        watcher = self.client(name, "alerts/+/alarm")

        def states():
            return {m.topic.split("/")[1]: json.loads(m.payload)["state"] for m in watcher.messages}

        return states

    def test_alarms_of_an_outage_arrive_after_it(self):
        self.agent.start()
        sensor = self.client("sensor")
        watcher = self.client("watcher", "alerts/+/alarm", clean=False)
        machines = [f"m{i}" for i in range(scaled(20, 100))]
        for machine in machines:
            self.send(sensor, machine, ANOMALY, 3)
        self.agent.wait_received(3 * len(machines))
        for turn in range(scaled(4, 40)):
            self.send(sensor, machines[turn % len(machines)], NORMAL if turn % 2 else ANOMALY, 5)
            self.agent.kill()
            self.agent.start()
        received = {(json.loads(m.payload)["machine"], json.loads(m.payload)["id"]) for m in watcher.messages}
        until("every machine's alarm arrived", lambda: {m for m, _ in {(json.loads(x.payload)["machine"], 0) for x in watcher.messages}} == set(machines))
        self.assertEqual(self.agent.metrics()["isolde_outbox_dropped_total"], 0)
        until("the outbox is empty", lambda: self.agent.metrics()["isolde_outbox_messages"] == 0)
        figure(f"{len(machines)} alarms, {scaled(4, 40)} kills: all arrived ({len(received)} seen before)")

    def test_a_broker_that_forgot_everything_has_the_alarms_back(self):
        self.agent.start()
        sensor = self.client("sensor")
        self.send(sensor, "press-1", ANOMALY, 3)
        self.agent.wait_received(3)
        states = self.retained("first")
        until("the alarm is retained", lambda: states().get("press-1") == "unacknowledged")
        self.broker.kill()
        for name in os.listdir(self.folder):
            if name.startswith("mosquitto.db"):
                os.unlink(os.path.join(self.folder, name))
        self.broker.start()
        self.agent.wait_health(200, 40)
        states = self.retained("second")
        until("it is there again", lambda: states().get("press-1") == "unacknowledged", 10)

    def test_a_new_history_takes_the_alarms_from_the_broker(self):
        self.agent.start()
        sensor = self.client("sensor")
        self.send(sensor, "press-1", ANOMALY, 3)
        self.agent.wait_received(3)
        states = self.retained("first")
        until("the alarm is retained", lambda: states().get("press-1") == "unacknowledged")
        self.agent.stop()
        for name in os.listdir(self.folder):
            if name.startswith("history.db"):
                os.unlink(os.path.join(self.folder, name))
        self.agent.start()
        until("it is taken over", lambda: self.agent.metrics()["isolde_alarms_active"] == 1, 10)
        self.send(sensor, "press-1", NORMAL, 5)
        states = self.retained("second")
        until("and cleared", lambda: states().get("press-1") == "normal", 10)

    def test_verdicts_of_qos_1_survive_kills(self):
        self.agent.settings["alerts.verdicts"] = "all"
        self.agent.settings["alerts.verdict_qos"] = "1"
        self.agent.start()
        watcher = self.client("watcher", "alerts/+/verdict", clean=False)
        flood = self.flood(rate=500, machines=3)
        for _ in range(scaled(4, 40)):
            rows = self.rows()
            until("readings are stored", lambda: self.rows() > rows + 100, 20)
            self.agent.kill()
            self.agent.launch()
        flood.stop()
        self.agent.wait_health(200)

        def arrived():
            return len({(json.loads(m.payload)["machine"], json.loads(m.payload)["seq"]) for m in watcher.messages})

        until("every verdict arrived", lambda: arrived() == flood.published, 60)
        figure(f"{flood.published} verdicts of QoS 1, {scaled(4, 40)} kills: all arrived")


if __name__ == "__main__":
    main()
