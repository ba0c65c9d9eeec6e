"""A disk that is full for a while: short troubles cost nothing, long ones cost exactly what is
counted. The disk is a small tmpfs, for which one has to be root."""

import os
import subprocess
import time

from harness import NORMAL, SystemTest, main, reading, time_text, until

TOPIC = "factory/press-1/reading"
DROPPED = 'isolde_messages_dropped_total{reason="store"}'


class Disk(SystemTest):
    hold_s = None

    def setUp(self):
        super().setUp()
        self.disk = os.path.join(self.folder, "disk")
        os.mkdir(self.disk)
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", self.disk],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode:
            self.skipTest(f"no tmpfs can be mounted: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", self.disk], check=False)
        self.agent.settings["store.path"] = os.path.join(self.disk, "history.db")
        self.agent.settings["store.hold_s"] = self.hold_s
        self.agent.settings["store.reserve_mb"] = "0"
        self.agent.start()
        self.sensor = self.client("sensor")
        self.sent, self.began = 0, time.time()

    def send(self, count):
        for _ in range(count):
            self.sensor.publish(TOPIC, reading(self.sent, time_text(self.began + self.sent), **NORMAL))
            self.sent += 1
        self.sensor.wait_acknowledged()

    def fill(self):
        with open(os.path.join(self.disk, "ballast"), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def free(self):
        os.unlink(os.path.join(self.disk, "ballast"))

    def fails(self):
        answer = self.agent.get("/health", self.agent.health_port)
        return answer[0] == 503 and answer[2]["checks"]["store"]["status"] == "fail"

    def settled(self):
        return self.agent.ledger().pending == 0 and self.agent.ledger().received == self.sent


class ShortTrouble(Disk):
    hold_s = "30"

    def test_it_costs_nothing(self):
        self.send(100)
        self.agent.wait_received(100)

        self.fill()
        self.send(400)
        until("the store fails", self.fails)
        self.free()

        ledger = self.agent.wait_received(500)
        self.assertEqual((ledger.stored, ledger.dropped), (500, 0))
        self.assertEqual(len(self.agent.history()), 500)
        self.agent.wait_health(200)


class LongTrouble(Disk):
    hold_s = "1"

    def test_it_costs_exactly_what_is_counted(self):
        watcher = self.client("watcher", "alerts/+/verdict")
        self.send(100)
        self.agent.wait_received(100)

        self.fill()
        self.send(300)
        until("readings are shed", lambda: self.agent.metrics()[DROPPED] > 0)
        until("everything came to its end", self.settled)
        watcher.wait("the verdicts of shed readings too", lambda all: len(all) == 400)
        self.free()
        freed = time.monotonic()
        while self.fails():
            self.send(1)
        resumed = time.monotonic() - freed
        self.send(100)
        until("everything came to its end", self.settled)

        ledger = self.agent.ledger()
        self.assertEqual(ledger.stored + ledger.dropped, self.sent, ledger)
        self.assertEqual(len(self.agent.history()), ledger.stored)
        self.assertLess(resumed, 1.5)

        self.agent.stop()
        self.agent.start()
        self.assertEqual(self.agent.ledger().dropped, ledger.dropped)


if __name__ == "__main__":
    main()
