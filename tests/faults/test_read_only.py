"""A disk that can only be read: verdicts and alarms go on, nothing is stored, everything counted;
when it can be written again the history goes on without a restart."""

import os
import time

from disks import Ext4, run
from faults import FaultTest, figure, main, until
from harness import ANOMALY, NORMAL, reading


NOW = int(time.time())


class ReadOnly(FaultTest):
    settings = {"store.hold_s": "0", "store.reserve_mb": "0"}

    def test_it_scores_and_alarms_and_says_so(self):
        self.disk = Ext4(self, 64)
        self.agent.settings["store.path"] = self.agent.store = os.path.join(self.disk.path, "history.db")
        self.agent.start()
        sensor = self.client("sensor")
        for i in range(10):
            sensor.publish("factory/press-1/reading", reading(i, NOW - 60 + i, **NORMAL))
        self.agent.wait_received(10)
        self.agent.stop()

        self.assertEqual(run("mount", "-o", "remount,ro", self.disk.path).returncode, 0)
        self.agent.launch()
        health = self.agent.wait_health(200)
        self.assertEqual(health["checks"]["store"]["status"], "degraded")
        self.assert_holds(health["checks"]["store"]["detail"], "can only be read")
        self.assertEqual(self.agent.ledger().stored, 10)
        watcher = self.client("watcher", "alerts/+/alarm", "alerts/+/verdict")
        for i in range(5):
            sensor.publish("factory/press-1/reading", reading(20 + i, NOW - 40 + i, **ANOMALY))
        watcher.wait("the alarm", lambda all: any(m.topic.endswith("/alarm") and not m.retained for m in all))
        watcher.wait("the verdicts", lambda all: sum(m.topic.endswith("/verdict") for m in all) == 5)
        ledger = self.agent.ledger()
        self.assertEqual((ledger.stored, ledger.dropped), (10, 5))

        self.assertEqual(run("mount", "-o", "remount,rw", self.disk.path).returncode, 0)
        sent = [25]

        def stored_again():
            sensor.publish("factory/press-1/reading", reading(sent[0], NOW - 60 + sent[0], **NORMAL))
            sent[0] += 1
            return self.agent.ledger().stored > 10

        until("it is stored again", stored_again, 20)
        self.agent.wait_health(200)
        figure("read-only disk: scored, alarmed, counted; stored again without a restart")
        self.agent.stop()


if __name__ == "__main__":
    main()
