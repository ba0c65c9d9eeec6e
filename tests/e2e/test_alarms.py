"""Alarms as operators know them, over HTTP and MQTT; sensor faults, which are no anomalies."""

import csv
import json
import os
import time

from harness import ANOMALY, NORMAL, SystemTest, baseline_file, main, program, reading, time_text, until

TOPIC = "factory/press-1/reading"
ALARM = "alerts/press-1/alarm"
VERDICT = "alerts/press-1/verdict"
WIRE = "id machine state priority since updated count peak_score first_sensor shelved_until".split()


class AlarmTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.sent = {}
        self.now = time.time() - 60
        self.start_agent()
        self.sensor = self.client("sensor")
        self.watcher = self.client("watcher", "alerts/+/alarm")

    def start_agent(self):
        self.agent.start()

    def send(self, count=1, values=NORMAL, machine="press-1", **more):
        for _ in range(count):
            i = self.sent.get(machine, 0)
            self.sent[machine] = i + 1
            wobble = {name: value + i % 7 / 10 for name, value in {**values, **more}.items() if value is not None}
            self.sensor.publish(
                f"factory/{machine}/reading", reading(i, time_text(self.now + i / 10), **wobble)
            )
        self.sensor.wait_acknowledged()

    def alarms(self, query=""):
        status, _, answer = self.agent.get(f"/alarms{query}")
        self.assertEqual(status, 200, answer)
        return answer

    def wire(self, state=None, machine="press-1"):
        """The newest published alarm, once it is in that state."""
        topic = f"alerts/{machine}/alarm"

        def newest():
            all = self.watcher.on(topic)
            alarm = json.loads(all[-1].payload) if all and all[-1].payload else None
            return alarm if alarm and state in (None, alarm["state"]) else None

        return until(f"{machine} is {state}", newest)

    def post(self, path, status=200, **body):
        got, _, answer = self.agent.request("POST", path, json.dumps(body) if body else None)
        self.assertEqual(got, status, answer)
        return answer

    def raised(self, machine="press-1"):
        self.send(3, ANOMALY, machine)
        return self.wire("unacknowledged", machine)


class Operators(AlarmTest):
    settings = {"alarm.shelve_max_h": 2}

    def test_an_acknowledgement_over_http_is_seen_on_the_topic(self):
        alarm = self.raised()
        self.assertEqual(list(alarm), WIRE)

        answer = self.post(f"/alarms/{alarm['id']}/ack", operator="anna")

        self.assertEqual((answer["state"], answer["operator"]), ("acknowledged", "anna"))
        seen = self.wire("acknowledged")
        self.assertEqual(list(seen), WIRE)
        self.assertEqual(seen["id"], alarm["id"])
        self.send(5)
        self.wire("normal")
        self.assertEqual(self.alarms()["count"], 0)
        self.assertEqual(self.alarms("?state=normal")["items"][0]["id"], alarm["id"])

    def test_what_nobody_acknowledged_has_returned_and_is_another_when_it_comes_again(self):
        first = self.raised()
        self.send(5)
        self.wire("returned")
        self.assertEqual(self.alarms()["items"][0]["state"], "returned")

        second = self.raised()

        self.assertNotEqual(second["id"], first["id"])
        problem = self.post(f"/alarms/{first['id']}/ack", 409, operator="anna")
        self.assertIn("newer", problem["detail"])
        self.post(f"/alarms/{second['id']}/ack")
        self.post(f"/alarms/{second['id']}/ack", 409)
        self.send(5)
        self.wire("normal")
        events = self.alarms("?history=1&machine=press-1")
        self.assertEqual(
            [event["event"] for event in reversed(events["items"])],
            ["raised", "cleared", "raised", "acknowledged", "cleared"],
        )
        self.assertEqual(events["items"][-1]["id"], first["id"])

    def test_the_journal_is_read_page_by_page(self):
        self.raised()
        self.send(5)
        self.wire("returned")
        self.raised()
        seen, cursor = [], ""
        for _ in range(3):
            page = self.alarms(f"?history=1&limit=1{cursor}")
            seen += [item["event"] for item in page["items"]]
            cursor = f"&cursor={page['next_cursor']}"
        self.assertEqual(seen, ["raised", "cleared", "raised"])
        self.assertIsNone(page["next_cursor"])

    def test_a_restart_keeps_a_shelved_alarm_and_its_reason(self):
        alarm = self.raised()
        shelved = self.post(
            f"/alarms/{alarm['id']}/shelve", operator="anna", minutes=90, reason="fan is replaced"
        )
        self.assertEqual(shelved["state"], "shelved")
        self.assertEqual(self.wire("shelved")["shelved_until"], shelved["shelved_until"])

        self.assertEqual(self.agent.stop(), 0)
        self.agent.start()

        item = self.alarms()["items"][0]
        for name in ("id", "state", "shelved_until", "reason", "operator", "since", "count", "condition"):
            self.assertEqual(item[name], shelved[name])
        self.assertEqual(item["condition"], "unacknowledged")
        self.post(f"/alarms/{alarm['id']}/unshelve", operator="bo")
        self.wire("unacknowledged")

    def test_a_shelf_ends_by_itself(self):
        alarm = self.raised()
        self.post(f"/alarms/{alarm['id']}/shelve", minutes=0.02, reason="a short one")
        self.wire("shelved")
        self.wire("unacknowledged")
        self.assertEqual(self.alarms("?history=1")["items"][0]["event"], "expired")

    def test_what_is_asked_wrongly_is_refused_with_its_field(self):
        alarm = self.raised()
        path = f"/alarms/{alarm['id']}/shelve"
        for body, field in (
            ({"minutes": 5}, "reason"),
            ({"reason": "x"}, "minutes"),
            ({"reason": "x", "minutes": 0}, "minutes"),
            ({"reason": "x", "minutes": 121}, "minutes"),
            ({"reason": "x", "minutes": 1e300}, "minutes"),
            ({"reason": "x", "minutes": "5"}, "minutes"),
            ({"reason": "x", "until": "tomorrow"}, "until"),
            ({"reason": "x", "minutes": 5, "until": "2026-01-01T00:00:00Z"}, "minutes"),
            ({"reason": "x" * 201, "minutes": 5}, "reason"),
            ({"reason": "x\n", "minutes": 5}, "reason"),
            ({"reason": "x", "minutes": 5, "operator": 7}, "operator"),
        ):
            answer = self.post(path, 422, **body)
            self.assertEqual(answer["errors"][0]["field"], field, answer)
        self.assertEqual(self.agent.request("POST", path, "[1]")[0], 422)
        self.assertEqual(self.agent.request("POST", path, "{")[0], 400)
        self.post("/alarms/019ab095-d2fa-7000-8000-000000000000/ack", 404)
        self.post(f"/alarms/{'x' * 100}/ack", 404)
        self.post("/alarms/x/explode", 404)
        self.post("/machines/nobody/stop", 404)
        self.assertEqual(self.agent.get(f"/alarms/{alarm['id']}/ack")[0], 405)
        for query in ("state=loud", "limit=0", "history=2", "from=1", "machine=a%20b", "who=me", "history=1&state=normal"):
            self.assertEqual(self.agent.get(f"/alarms?{query}")[0], 400, query)
        self.assertEqual(self.wire()["state"], "unacknowledged")

    def test_a_stopped_machine_raises_nothing(self):
        self.send(3)
        self.post("/machines/press-1/stop", operator="plc", reason="end of shift")
        self.wire("suppressed")
        self.send(10, ANOMALY)
        self.agent.wait_received(13)
        self.assertEqual(self.agent.metrics()["isolde_alarms_raised_total"], 0)
        self.assertEqual(self.agent.metrics()['isolde_alarms{state="suppressed"}'], 1)

        self.agent.stop()
        self.agent.start()
        self.assertEqual(self.alarms()["items"][0]["state"], "suppressed")
        self.post("/machines/press-1/start")
        self.wire("normal")
        self.raised()

    def test_a_false_alarm_is_a_label_in_the_history(self):
        self.send(2)
        alarm = self.raised()
        self.assertNotIn("label", self.agent.history()[0])
        self.post(f"/alarms/{alarm['id']}/false-alarm", operator="anna", reason="tool change")
        self.wire("acknowledged")
        self.send(1, ANOMALY)
        self.send(5)
        self.wire("normal")
        self.send(1, ANOMALY)
        self.agent.wait_received(12)

        rows = self.agent.history()
        self.assertEqual(
            [row.get("label") for row in reversed(rows) if row["is_anomaly"]], [0, 0, 0, 0, None]
        )
        self.assertEqual(self.agent.metrics()["isolde_false_alarms_total"], 1)
        self.agent.stop()
        self.agent.start()
        self.assertEqual(self.agent.history(), rows)
        self.assertEqual(self.agent.metrics()["isolde_false_alarms_total"], 1)
        self.post(f"/alarms/{alarm['id']}/false-alarm", 409)

    def test_the_same_over_mqtt(self):
        asker = self.client("asker", "isolde/isolde-agent/response/+")
        answers = 0

        def ask(verb, **body):
            nonlocal answers
            answers += 1
            asker.publish(f"isolde/isolde-agent/request/{verb}", json.dumps({"transaction": answers, **body}))
            last = asker.wait("an answer", lambda all: len(all) == answers)[-1]
            self.assertEqual(last.topic, f"isolde/isolde-agent/response/{verb}")
            answer = json.loads(last.payload)
            self.assertEqual(answer["transaction"], answers)
            return answer

        alarm = self.raised()
        self.assertEqual(ask("ack", id=alarm["id"], operator="anna")["alarm"]["state"], "acknowledged")
        self.wire("acknowledged")
        self.assertEqual(ask("ack", id=alarm["id"])["status"], "error")
        self.assertIn("nothing to acknowledge", ask("ack", machine="press-1")["error"])
        self.assertIn("reason", ask("shelve", machine="press-1", minutes=5)["error"])
        self.assertEqual(ask("shelve", machine="press-1", minutes=5, reason="x")["alarm"]["state"], "shelved")
        self.assertEqual(ask("unshelve", machine="press-1")["alarm"]["state"], "acknowledged")
        self.assertEqual(ask("false-alarm", machine="press-1")["alarm"]["false_alarm"], True)
        self.assertEqual(ask("stop", machine="press-1")["alarm"]["state"], "suppressed")
        self.assertEqual(ask("start", machine="press-1")["alarm"]["state"], "normal")
        self.assertIn("no machine", ask("stop", machine="press-7")["error"])
        self.assertIn("machine", ask("stop")["error"])
        self.assertIn("unknown request", ask("explode")["error"])

        self.assertEqual(ask("forget", machine="press-1")["status"], "ok")
        self.watcher.wait("the empty payload", lambda all: all[-1].payload == b"")
        self.assertEqual(self.alarms("?state=all")["count"], 0)
        later = self.client("later", ALARM)
        self.agent.stop()
        self.agent.start()
        self.assertEqual(self.alarms("?state=all")["count"], 0)
        self.assertEqual(later.on(ALARM), [])
        self.assertEqual(len(self.agent.history()), 3)
        self.raised()

    def test_machines_that_fire_together_are_a_group(self):
        for i in range(1, 6):
            self.send(3, ANOMALY, f"press-{i}")
        until("five alarms", lambda: self.alarms()["count"] == 5)

        groups = {item["group"] for item in self.alarms()["items"]}

        self.assertEqual(len(groups), 1)
        self.assertIn(groups.pop(), [item["id"] for item in self.alarms()["items"]])
        self.assertEqual(self.agent.metrics()["isolde_alarm_groups_total"], 1)
        self.assertEqual(self.agent.metrics()["isolde_alarm_rate_10min"], 5)
        self.assertEqual(self.agent.metrics()["isolde_alarm_flood"], 0)
        for i in range(6, 12):
            self.send(3, ANOMALY, f"press-{i}")
        until("a flood", lambda: self.alarms()["flood"])
        self.assertEqual(self.agent.metrics()["isolde_alarm_flood"], 1)

    def test_the_delay_goes_on_over_a_kill(self):
        self.send(2, ANOMALY)
        self.agent.wait_received(2)
        self.agent.kill()
        self.agent.start()
        self.send(1, ANOMALY)
        self.wire("unacknowledged")

    def test_every_anomaly_names_its_sensors(self):
        verdicts = self.client("verdicts", VERDICT)
        self.send(1)
        self.send(1, {**NORMAL, "sound": 140.0, "temperature": 20.0})
        self.agent.wait_received(2)
        calm, strange = [json.loads(m.payload) for m in verdicts.wait("both", lambda all: len(all) == 2)]

        self.assertNotIn("explanation", calm)
        self.assertNotIn("severity", calm)
        first, second = strange["explanation"][:2]
        self.assertEqual((first["sensor"], first["direction"]), ("sound", "high"))
        self.assertEqual((second["sensor"], second["direction"]), ("temperature", "low"))
        self.assertGreater(first["z"], 5)
        self.assertLess(first["normal"][0], 75)
        self.assertGreater(first["normal"][1], 75)
        self.assertAlmostEqual(sum(one["share"] for one in strange["explanation"]), 1, 1)
        self.assertGreater(strange["severity"], 0)
        self.assertEqual(self.agent.history()[0], strange)


class SensorFaults(AlarmTest):
    settings = {"alarm.fault_count": 3, "alarm.silent_s": 1}

    def start_agent(self):
        run = program(
            "trainer", "train", "--baseline", baseline_file(), "--model", self.agent.settings["model.path"],
            "--range", "temperature=-40:150", "--range", "humidity=0:100",
        )
        assert run.returncode == 0, run.stderr
        self.agent.start()

    def test_what_cannot_be_is_no_anomaly(self):
        self.send(3)
        self.send(2, temperature=900)
        self.agent.wait_received(5)
        self.assertEqual(self.watcher.on(ALARM), [])
        self.send(1, temperature=900)

        alarm = self.wire("unacknowledged")

        self.assertEqual((alarm["first_sensor"], alarm["peak_score"]), ("temperature", None))
        self.assertEqual(self.alarms()["items"][0]["causes"], ["out_of_range"])
        row = self.agent.history()[0]
        self.assertEqual((row["quality"], row["is_anomaly"], row["anomaly_score"]), ("out_of_range", None, None))
        self.assertGreater(row["temperature"], 899)
        metrics = self.agent.metrics()
        self.assertEqual(metrics['isolde_quality_total{quality="out_of_range"}'], 3)
        self.assertEqual(metrics['isolde_quality_total{quality="good"}'], 3)
        self.assertEqual(metrics['isolde_alarm_causes{cause="out_of_range"}'], 1)
        self.send(5)
        self.wire("returned")

    def test_a_stuck_sensor_is_found_within_60_readings(self):
        self.send(40)
        for _ in range(40):
            i = self.sent["press-1"]
            self.sent["press-1"] = i + 1
            values = {"temperature": 60 + i % 7 / 10, "humidity": 35.2, "sound": 75 + i % 5 / 10}
            self.sensor.publish(TOPIC, reading(i, time_text(self.now + i / 10), **values))

        alarm = self.wire("unacknowledged")
        self.agent.wait_received(80)

        self.assertEqual((alarm["first_sensor"], alarm["priority"]), ("humidity", "low"))
        self.assertEqual(self.alarms()["items"][0]["causes"], ["stuck"])
        row = self.agent.history()[0]
        self.assertEqual((row["quality"], row["anomaly_score"], row["humidity"]), ("stuck", None, 35.2))
        self.assertGreaterEqual(self.agent.metrics()['isolde_quality_total{quality="stuck"}'], 9)

    def test_a_missing_sensor(self):
        self.send(3)
        self.send(3, sound=None)
        self.assertEqual(self.wire("unacknowledged")["first_sensor"], "sound")
        self.assertEqual(self.alarms()["items"][0]["causes"], ["missing"])
        self.assertEqual(self.agent.history()[0]["quality"], "missing")

    def test_a_wrong_clock_is_flagged_and_raises_nothing(self):
        self.now = time.time() + 7200
        self.send(8, ANOMALY)
        self.agent.wait_received(8)
        self.assertEqual({row["quality"] for row in self.agent.history()}, {"skew"})
        self.assertEqual(self.agent.metrics()['isolde_quality_total{quality="skew"}'], 8)
        self.assertEqual(self.agent.metrics()["isolde_alarms_raised_total"], 0)
        row = self.agent.history()[0]
        self.assertNotEqual(row["timestamp"][:16], row["received"][:16])

    def test_a_machine_that_falls_silent(self):
        began = time.time()
        deadline = began + 2.5
        while time.time() < deadline:  # its pace is learnt from real intervals
            self.now = time.time() - self.sent.get("press-1", 0) / 10
            self.send(1)
            self.agent.wait_received(self.sent["press-1"])

        alarm = self.wire("unacknowledged")

        self.assertEqual(alarm["first_sensor"], "")
        self.assertEqual(self.alarms()["items"][0]["causes"], ["silent"])
        self.assertGreaterEqual(self.agent.metrics()['isolde_quality_total{quality="silent"}'], 1)
        self.now = time.time() - self.sent["press-1"] / 10
        self.send(1)
        self.wire("returned")

    def test_silence_of_the_broker_is_no_silence_of_machines(self):
        deadline = time.time() + 2.5
        while time.time() < deadline:
            self.now = time.time() - self.sent.get("press-1", 0) / 10
            self.send(1)
            self.agent.wait_received(self.sent["press-1"])
        before = self.agent.metrics()["isolde_alarms_raised_total"]  # 0, unless this machine is slow
        self.broker.stop()
        until("it is noticed", lambda: self.agent.metrics()["isolde_mqtt_connected"] == 0)
        gone = time.time()
        until("more than its patience", lambda: time.time() - gone > 2.5)

        self.assertEqual(self.agent.metrics()["isolde_alarms_raised_total"], before)


class Simulated(AlarmTest):
    settings = {"alarm.silent_s": 0}

    def test_every_stuck_sensor_is_found_and_no_other(self):
        """Against the simulator's own truth: faults of 30 readings, some cut off by its end."""
        labels = os.path.join(self.folder, "labels.csv")
        run = program(
            "simulator", "publish", "--broker", f"mqtt://127.0.0.1:{self.broker.port}", "--machines", "20",
            "--rate", "10", "--count", "120", "--anomaly-rate", "0.5", "--labels", labels, "--seed", "2",
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        self.agent.wait_received(2400)
        with open(labels, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["fault"] == "stuck_sensor"]
        truth, episodes = set(), {}
        for row in sorted(rows, key=lambda row: (row["machine"], int(row["seq"]))):
            name, seq = row["machine"], int(row["seq"])
            start = episodes[(name, seq - 1)] if (name, seq - 1) in truth else seq
            episodes[(name, seq)] = start
            truth.add((name, seq))
        found = {(row["machine"], row["seq"]) for row in self.agent.history() if row.get("quality") == "stuck"}

        self.assertLessEqual(found, truth)
        lasted = {}
        for (name, seq), start in episodes.items():
            lasted[(name, start)] = seq - start + 1
        long = {episode for episode, count in lasted.items() if count >= 25}
        self.assertGreater(len(long), 3)
        self.assertEqual({(name, episodes[(name, seq)]) for name, seq in found} & long, long)


class Guarded(AlarmTest):
    def setUp(self):
        self.tokens = {"http.read_token": "read-0123456789abcdef", "http.write_token": "write-0123456789abcdef"}
        super().setUp()

    def start_agent(self):
        self.agent.settings.update(self.tokens)
        self.agent.launch()
        self.agent.wait_health(200)

    def test_acting_needs_the_write_token(self):
        alarm = self.raised()
        path = f"/alarms/{alarm['id']}/ack"

        def status(method, path, token):
            headers = {"Authorization": f"Bearer {self.tokens[token]}"} if token else {}
            return self.agent.request(method, path, headers=headers)[0]

        self.assertEqual(status("GET", "/alarms", None), 401)
        self.assertEqual(status("GET", "/alarms", "http.read_token"), 200)
        self.assertEqual(status("POST", path, None), 401)
        self.assertEqual(status("POST", path, "http.read_token"), 403)
        self.assertEqual(status("POST", path, "http.write_token"), 200)
        self.assertEqual(status("POST", "/machines/press-1/stop", "http.read_token"), 403)


if __name__ == "__main__":
    main()
