"""From the sensor's publish to the verdict, the row and the alarm."""

import json
import time

from harness import ANOMALY, NORMAL, SystemTest, main, model_file, model_id, reading, time_text, until

TOPIC = "factory/press-1/reading"
ALARM = "alerts/press-1/alarm"


def states(client):
    return [json.loads(message.payload)["state"] for message in client.on(ALARM)]


class Path(SystemTest):
    def setUp(self):
        super().setUp()
        self.agent.start()
        self.sensor = self.client("sensor")
        self.sent = 0
        self.now = time.time()

    def send(self, count=1, values=NORMAL, topic=TOPIC, qos=1):
        """Readings a second apart, ending about now; seq is the count of all so far."""
        for _ in range(count):
            payload = reading(self.sent, time_text(self.now + self.sent), **values)
            self.sensor.publish(topic, payload, qos)
            self.sent += 1

    def test_a_reading_becomes_a_verdict_and_a_row_with_equal_numbers(self):
        watcher = self.client("watcher", "alerts/+/verdict")
        values = [
            {"temperature": 61.2 + i / 7, "humidity": 38.5 - i / 3, "sound": 71.9 + i} for i in range(10)
        ] + [ANOMALY]

        for one in values:
            self.send(values=one)
        verdicts = watcher.wait("11 verdicts", lambda all: len(all) == 11)
        self.agent.wait_received(11)
        rows = self.agent.history()

        self.assertEqual({message.topic for message in verdicts}, {"alerts/press-1/verdict"})
        seen = sorted((json.loads(message.payload) for message in verdicts), key=lambda v: v["seq"])
        self.assertEqual(seen, rows[::-1])
        for i, verdict in enumerate(seen):
            for name, value in values[i].items():
                self.assertEqual(verdict[name], value)
            self.assertEqual(verdict["seq"], i)
            self.assertEqual(verdict["timestamp"], time_text(self.now + i))
            self.assertEqual(verdict["model"], model_id(model_file()))
            self.assertEqual(verdict["is_anomaly"], int(verdict["anomaly_score"] > verdict["threshold"]))
        self.assertEqual(seen[-1]["is_anomaly"], 1)

    def test_who_has_seen_the_verdict_finds_the_row(self):
        """The commit waits for more readings; who asks for the history does not."""
        watcher = self.client("watcher", "alerts/+/verdict")
        for i in range(5):
            self.send()
            watcher.wait("the verdict", lambda all, n=i + 1: len(all) == n)
            began = time.monotonic()
            if i % 2 == 0:
                self.assertEqual([row["seq"] for row in self.agent.history()], list(range(i, -1, -1)))
            self.assertEqual(self.agent.metrics()["isolde_messages_stored_total"], i + 1)
            self.assertLess(time.monotonic() - began, 0.2, "it waited for the commit's company")

    def test_a_limit_beyond_every_integer_is_answered_with_1000(self):
        self.send()
        self.agent.wait_received(1)

        status, _, page = self.agent.get(f"/history?anomalies=0&limit={'9' * 30}")

        self.assertEqual((status, page["limit"], page["count"]), (200, 1000, 1))

    def test_every_reading_of_a_burst_has_its_verdict_published(self):
        watcher = self.client("watcher", "alerts/+/verdict")

        self.send(3000)

        verdicts = watcher.wait("3,000 verdicts", lambda all: len(all) >= 3000)
        self.assertEqual(sorted(json.loads(v.payload)["seq"] for v in verdicts), list(range(3000)))
        self.assertEqual(self.agent.metrics()["isolde_verdicts_unpublished_total"], 0)

    def test_an_alarm_that_comes_and_goes_in_one_batch_is_published_twice(self):
        watcher = self.client("watcher", "alerts/+/alarm")
        self.agent.stop()
        self.send(3, ANOMALY)
        self.send(5)
        self.agent.start()

        alarms = watcher.wait("two changes", lambda all: len(all) >= 2)
        self.assertEqual(
            [json.loads(alarm.payload)["state"] for alarm in alarms[:2]], ["unacknowledged", "returned"]
        )

    def test_predict_gives_the_stored_score_and_leaves_no_trace(self):
        self.send(values=ANOMALY)
        self.agent.wait_received(1)
        row = self.agent.history()[0]

        status, _, answer = self.agent.request("POST", "/predict", json.dumps(ANOMALY))

        self.assertEqual(status, 200)
        for name in ("anomaly_score", "is_anomaly", "threshold"):
            self.assertEqual(answer[name], row[name])
        self.assertEqual(len(self.agent.history()), 1)

    def test_history_holds_the_anomalies_and_all_readings_when_asked(self):
        self.send(3)
        self.send(2, ANOMALY)
        self.agent.wait_received(5)

        anomalies = self.agent.get("/history")[2]

        self.assertEqual([row["seq"] for row in anomalies["items"]], [4, 3])
        self.assertEqual(anomalies["count"], 2)
        self.assertEqual([row["seq"] for row in self.agent.history()], [4, 3, 2, 1, 0])

    def test_verdicts_are_counted_in_the_metrics(self):
        self.send(4)
        self.send(1, ANOMALY)
        self.agent.wait_received(5)

        metrics = self.agent.metrics()

        self.assertEqual(metrics['isolde_verdicts_total{verdict="normal"}'], 4)
        self.assertEqual(metrics['isolde_verdicts_total{verdict="anomaly"}'], 1)
        self.assertEqual(metrics["isolde_mqtt_connected"], 1)
        self.assertEqual(metrics["isolde_score_duration_seconds_count"], 5)

    def test_an_alarm_is_raised_by_3_of_5_and_cleared_by_5_normal_readings(self):
        watcher = self.client("watcher", "alerts/+/alarm")

        self.send(2, ANOMALY)
        self.send(3)
        self.agent.wait_received(5)
        self.assertEqual(states(watcher), [])

        self.send(1, ANOMALY)
        self.send(1)
        self.send(2, ANOMALY)
        watcher.wait("the alarm", lambda all: len(all) >= 1)
        raised = json.loads(watcher.on(ALARM)[0].payload)
        self.assertEqual(raised["state"], "unacknowledged")
        self.assertEqual(raised["machine"], "press-1")
        self.assertIn(raised["first_sensor"], ANOMALY)
        self.assertGreater(raised["peak_score"], 0.2)
        self.assertEqual(raised["since"], time_text(self.now + 8))

        self.send(4)
        self.agent.wait_received(13)
        self.assertEqual(set(states(watcher)), {"unacknowledged"})
        self.send(1)
        watcher.wait("the end", lambda all: states(watcher)[-1] == "returned")
        self.assertEqual(json.loads(watcher.on(ALARM)[-1].payload)["id"], raised["id"])

    def test_the_alarm_is_retained_for_who_comes_later(self):
        self.send(3, ANOMALY)
        self.agent.wait_received(3)
        # The alarm travels beside the metrics: a first watcher says when it is there.
        self.client("first", ALARM).wait("the alarm", lambda all: len(all) >= 1)

        later = self.client("later", ALARM)

        message = later.wait("the retained alarm", lambda all: len(all) >= 1)[0]
        self.assertTrue(message.retained)
        self.assertEqual(json.loads(message.payload)["state"], "unacknowledged")

    def test_a_repeated_message_is_stored_once(self):
        payload = reading(7, time_text(self.now), **NORMAL)
        for _ in range(3):
            self.sensor.publish(TOPIC, payload)
        ledger = self.agent.wait_received(3)

        self.assertEqual((ledger.stored, ledger.duplicate), (1, 2))

        self.sensor.publish(TOPIC, reading(8, time_text(self.now), **NORMAL))  # other seq
        self.sensor.publish(TOPIC, reading(7, time_text(self.now), **ANOMALY))  # other values
        self.sensor.publish("factory/press-2/reading", payload)  # other machine
        ledger = self.agent.wait_received(6)
        self.assertEqual((ledger.stored, ledger.duplicate), (4, 2))

    def test_without_a_timestamp_seq_and_payload_tell_a_repetition(self):
        for payload in (reading(1, **NORMAL), reading(1, **NORMAL), reading(2, **NORMAL)):
            self.sensor.publish(TOPIC, payload)

        ledger = self.agent.wait_received(3)

        self.assertEqual((ledger.stored, ledger.duplicate), (2, 1))

    def test_a_missing_feature_is_stored_as_null_and_not_scored(self):
        self.sensor.publish(TOPIC, reading(1, time_text(self.now), temperature=60.5, sound=None))
        self.agent.wait_received(1)

        row = self.agent.history()[0]

        self.assertEqual(row["quality"], "missing")
        self.assertEqual(row["temperature"], 60.5)
        for name in ("humidity", "sound", "anomaly_score", "is_anomaly"):
            self.assertIsNone(row[name], name)

    def test_late_readings_are_stored_and_flagged_and_raise_no_alarm(self):
        self.send(1)
        for i in range(5):
            self.sensor.publish(TOPIC, reading(100 + i, time_text(self.now - 3600 + i), **ANOMALY))
        ledger = self.agent.wait_received(6)

        self.assertEqual(ledger.stored, 6)
        self.assertEqual(self.agent.metrics()["isolde_readings_late_total"], 5)
        self.assertEqual(self.agent.metrics()["isolde_alarms_raised_total"], 0)
        self.assertTrue(all(row.get("late") for row in self.agent.history()[1:]))

    def test_qos_0_readings_are_stored_as_well(self):
        self.send(20, qos=0)

        self.assertEqual(self.agent.wait_received(20).stored, 20)

    def test_one_machines_alarm_is_not_anothers(self):
        watcher = self.client("watcher", "alerts/+/alarm")
        for _ in range(3):
            self.send(1, ANOMALY)
            self.send(1, NORMAL, "factory/press-2/reading")
        self.agent.wait_received(6)
        watcher.wait("the alarm", lambda all: len(all) >= 1)

        self.assertEqual({message.topic for message in watcher.messages}, {ALARM})

    def test_ten_thousand_readings_of_ten_machines_are_all_there_once(self):
        for seq in range(1000):
            at = time_text(self.now + seq)
            for machine in range(10):
                self.sensor.publish(f"factory/m-{machine}/reading", reading(seq, at, **NORMAL))
        self.sensor.wait_acknowledged()

        ledger = self.agent.wait_received(self.sensor.acknowledged, 60)

        self.assertEqual((ledger.received, ledger.stored), (10000, 10000))
        rows = self.agent.history()
        self.assertEqual(len(rows), 10000)
        self.assertEqual(len({(row["machine"], row["seq"]) for row in rows}), 10000)
        times = [row["timestamp"] for row in rows]
        self.assertEqual(times, sorted(times, reverse=True))

    def test_only_anomalies_are_published_when_so_set(self):
        self.agent.stop()
        self.agent.settings["alerts.verdicts"] = "anomalies"
        self.agent.start()
        watcher = self.client("watcher", "alerts/+/verdict")

        self.send(5)
        self.send(1, ANOMALY)
        watcher.wait("the verdict", lambda all: len(all) >= 1)

        self.agent.wait_received(6)
        until("six rows", lambda: len(self.agent.history()) == 6)
        self.assertEqual([json.loads(m.payload)["seq"] for m in watcher.messages], [5])


if __name__ == "__main__":
    main()
