"""A broker on the same machine, spoken with through its unix-domain socket."""

import json
import os

from harness import Broker, SystemTest, free_ports, main, program, reading, until

REFUSED = 78


class Local(SystemTest):
    broker_up = False

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder, "broker.sock")
        self.url = f"unix://{self.path}"
        self.broker = Broker(self.folder, free_ports(1)[0], local=self.path)
        self.addCleanup(self.broker.kill)
        self.agent.settings["mqtt.url"] = self.url

    def check(self, *words):
        return program("agent", "--check-config", *words)

    def test_every_reading_is_stored_and_its_verdict_published(self):
        self.broker.start()
        self.agent.start()
        watcher = self.client("watcher", "alerts/+/verdict", "isolde/isolde-agent/info")

        run = program(
            "simulator", "publish", "--broker", self.url, "--machines", "5", "--rate", "200", "--count", "400"
        )

        self.assertEqual(run.returncode, 0, run.stderr)
        received = self.agent.ledger().received
        self.assertIn(received, (400, 2000))  # --count is a machine's or all machines'
        self.assertEqual(self.agent.wait_received(received).stored, received)
        verdicts = "alerts/"
        watcher.wait(
            "a verdict for each", lambda all: sum(message.topic.startswith(verdicts) for message in all) == received
        )
        self.assert_holds(self.agent.process.words(), f"broker connected: {self.url}")
        health = program("agent", "--healthcheck", "--set", f"health.listen=127.0.0.1:{self.agent.health_port}")
        self.assertEqual(health.returncode, 0, health.stderr)

    def test_what_was_not_acknowledged_comes_again(self):
        self.broker.start()
        self.agent.start()
        sensor = self.client("sensor")
        for seq in range(2000):
            sensor.publish(
                "factory/press-1/reading", reading(seq, temperature=60.0 + seq % 7, humidity=35.0, sound=75.0)
            )
        until("it is at work", lambda: self.agent.ledger().received > 0)
        self.agent.kill()
        sensor.wait_acknowledged()

        self.agent.start()

        until("all of it is stored", lambda: len(self.agent.history()) == 2000)

    def test_a_socket_that_is_not_there_is_named_and_found_later(self):
        self.agent.launch()
        health = self.agent.wait_health(503)
        until("the reason is told", lambda: "No such file" in self.detail())
        self.assert_holds(self.detail(), self.path)
        self.assertEqual(health["status"], "unhealthy")

        self.broker.start()

        self.agent.wait_health(200)
        self.broker.kill()
        until("the loss is told", lambda: "Connection refused" in self.detail())
        self.broker.start()
        self.agent.wait_health(200)

    def detail(self):
        return json.dumps(self.agent.get("/health", self.agent.health_port)[2]["checks"]["broker"])

    def test_a_simulator_without_a_broker_says_where_it_looked(self):
        run = program("simulator", "publish", "--broker", self.url, "--count", "1")

        self.assertEqual(run.returncode, 69)
        self.assert_holds(run.stderr, self.path, "No such file or directory")

    def test_what_can_be_no_socket_is_refused(self):
        long = "/" + "x" * 107
        for words, sentence in (
            (["--set", f"mqtt.url=unix://{long}"], "at most 107 bytes"),
            (["--set", "mqtt.url=unix://broker.sock"], "whole path"),
            (["--set", "mqtt.url=unix:///run/"], "whole path"),
            (["--set", f"mqtt.url={self.url}", "--set", "mqtt.ca_file=/etc/ssl/ca"], "nothing is encrypted"),
            (["--set", f"mqtt.url={self.url},mqtts://broker"], "without TLS"),
        ):
            with self.subTest(words=words):
                run = self.check(*words)
                self.assertEqual(run.returncode, REFUSED, run.stderr)
                self.assert_holds(run.stderr, sentence)
        self.assertEqual(self.check("--set", f"mqtt.url={self.url}").returncode, 0)


if __name__ == "__main__":
    main()
