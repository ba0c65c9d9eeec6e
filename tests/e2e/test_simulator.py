"""The simulator against a real broker and a real agent."""

import csv
import json
import os
import signal

from harness import BIN, Process, SystemTest, clean_environment, free_ports, main, program, until


class Simulator(SystemTest):
    def url(self):
        return f"mqtt://127.0.0.1:{self.broker.port}"

    def publish(self, *words):
        return program("simulator", "publish", "--broker", self.url(), *words)

    def launch(self, *words, name="simulator"):
        process = Process(
            [os.path.join(BIN, "isolde-simulator"), "publish", "--broker", self.url(), *words],
            os.path.join(self.folder, name + ".log"),
            clean_environment(),
        )
        self.addCleanup(process.kill)
        return process

    def test_every_reading_it_counts_is_stored(self):
        self.agent.start()

        run = self.publish("--machines", "4", "--rate", "200", "--count", "250")

        self.assertEqual(run.returncode, 0, run.stderr)
        received = self.agent.ledger().received
        self.assertIn(received, (250, 1000))  # --count is a machine's or all machines'
        self.assertEqual(self.agent.wait_received(received).stored, received)
        machines = {row["machine"] for row in self.agent.history()}
        self.assertEqual(machines, {f"press-{i}" for i in range(1, 5)})

    def test_labels_tell_of_every_reading(self):
        watcher = self.client("watcher", "factory/+/reading")
        labels = os.path.join(self.folder, "labels.csv")

        run = self.publish(
            *("--machines", "2", "--rate", "500", "--count", "300", "--anomaly-rate", "0.3"),
            *("--labels", labels),
        )

        self.assertEqual(run.returncode, 0, run.stderr)
        with open(labels, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(list(rows[0]), ["machine", "timestamp", "seq", "label", "fault"])
        watcher.wait("all readings", lambda all: len(all) == len(rows))
        sent = {
            (message.topic.split("/")[1], json.loads(message.payload)["seq"])
            for message in watcher.messages
        }
        self.assertEqual(sent, {(row["machine"], int(row["seq"])) for row in rows})
        for row in rows:
            self.assertEqual(row["label"] == "1", bool(row["fault"]), row)
        self.assertTrue(any(row["fault"] for row in rows))

    def test_healthy_machines_seldom_look_ill(self):
        self.agent.start()

        run = self.publish(
            "--machines", "10", "--rate", "300", "--count", "3000", "--anomaly-rate", "0"
        )

        self.assertEqual(run.returncode, 0, run.stderr)
        ledger = self.agent.wait_received(self.agent.ledger().received)
        self.assertGreaterEqual(ledger.received, 3000)
        flagged = self.agent.metrics()['isolde_verdicts_total{verdict="anomaly"}']
        self.assertLessEqual(flagged / ledger.received, 0.03)

    def test_a_second_simulator_of_the_same_prefix_exits_73(self):
        first = self.launch("--seconds", "60")
        watcher = self.client("watcher", "factory/+/reading")
        watcher.wait("readings of the first", lambda all: len(all) >= 1)

        second = self.publish("--seconds", "1")

        self.assertEqual(second.returncode, 73, second.stderr)
        self.assertIn("press", second.stderr)
        other = self.publish("--seconds", "1", "--prefix", "mill")
        self.assertEqual(other.returncode, 0, other.stderr)
        self.assertEqual(first.stop(5), 0, first.words())

    def test_the_prefix_of_a_killed_simulator_is_free_again(self):
        first = self.launch("--seconds", "60")
        self.client("watcher", "factory/+/reading").wait("a reading", lambda all: len(all) >= 1)

        first.send(signal.SIGKILL)
        first.wait(5)

        def again():
            return self.publish("--seconds", "1").returncode == 0

        until("the last will freed the prefix", again, 10)

    def test_without_a_broker_it_exits_69_within_15_seconds(self):
        run = program(
            *("simulator", "publish", "--broker", f"mqtt://127.0.0.1:{free_ports(1)[0]}"),
            seconds=15,
        )

        self.assertEqual(run.returncode, 69)
        self.assertIn("127.0.0.1", run.stderr)

    def test_a_recorded_file_is_replayed_in_order(self):
        watcher = self.client("watcher", "factory/+/reading")
        path = os.path.join(self.folder, "recorded.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.write("timestamp,temperature,humidity,sound,label\n")
            file.writelines(f"{1000 + i * 60},{60 + i},35,75,{i % 2}\n" for i in range(50))

        run = self.publish("--replay", path, "--rate", "100", "--keep-timestamps")

        self.assertEqual(run.returncode, 0, run.stderr)
        watcher.wait("50 readings", lambda all: len(all) == 50)
        readings = [json.loads(message.payload) for message in watcher.messages]
        self.assertEqual([one["temperature"] for one in readings], [60 + i for i in range(50)])
        self.assertEqual(readings[0]["timestamp"], "1970-01-01T00:16:40.000Z")
        self.assertTrue(all("label" not in one for one in readings))

    def test_wrong_words_and_files_have_their_codes(self):
        cases = (
            (64, ["fly"]),
            (64, ["publish", "--machines", "many"]),
            (64, ["publish", "--anomaly-rate", "2"]),
            (66, ["publish", "--replay", "/nowhere.csv", "--broker", self.url()]),
            (73, ["baseline", "--output", "/proc/none/b.csv"]),
        )
        for code, words in cases:
            with self.subTest(words):
                run = program("simulator", *words)
                self.assertEqual(run.returncode, code, run.stderr)


if __name__ == "__main__":
    main()
