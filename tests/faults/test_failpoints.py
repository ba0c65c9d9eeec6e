"""The agent dies at every named place of its path (a build with -DISOLDE_FAILPOINTS=ON, which
ISOLDE_FAILPOINTS_BIN names)."""

import os
import random
import time

from faults import FAILPOINTS_BIN, FaultTest, figure, main, scaled, until
from harness import ANOMALY, reading

NOW = int(time.time())
POINTS = (
    "before_insert",
    "after_insert",
    "before_commit",
    "after_commit",
    "before_puback",
    "after_puback",
    "before_publish",
    "during_publish",
    "during_checkpoint",
    "during_model_swap",
    "before_prune",
    "during_prune",
)


class Failpoints(FaultTest):
    settings = {"alerts.verdicts": "none", "store.max_mb": "1"}

    def test_no_place_loses_or_repeats_a_reading(self):
        if not FAILPOINTS_BIN:
            self.skipTest("ISOLDE_FAILPOINTS_BIN names no build with failpoints")
        chance = random.Random(23)
        self.agent.bin = FAILPOINTS_BIN
        self.agent.settings["store.max_mb"] = "0"
        self.agent.start()  # once, so that the broker knows its session
        self.agent.stop()
        flood = self.flood(rate=2000)
        sensor = self.client("sensor")
        deaths = 0
        for point in POINTS:
            if point.endswith("_prune"):
                continue  # below: pruning takes rows that the checker would miss
            for turn in range(scaled(2, 20)):
                top = 3 if point in ("during_checkpoint", "during_model_swap", "before_publish", "during_publish") else 200
                self.agent.environment = {"ISOLDE_FAIL": f"{point}:{chance.randrange(1, top)}"}
                self.agent.launch()

                def dead():
                    if not self.agent.process.running():
                        return True
                    if point == "during_model_swap":
                        try:
                            self.agent.request("POST", "/reload")
                        except OSError:
                            pass
                    if point.endswith("_publish"):
                        self.hot(sensor)
                    return False

                until(f"death at {point}", dead, 30)
                self.assertEqual(self.agent.process.child.returncode, -9)
                deaths += 1
        self.agent.environment = {}
        self.agent.start()
        flood.stop()
        until("all are stored", lambda: self.rows() >= flood.published, 60)
        until("nothing pends", lambda: self.agent.ledger().pending == 0)
        from faults import Check

        check = Check(self.agent.store, flood)
        self.assertEqual((check.lost, check.twice, check.whole), (0, 0, "ok"), check)
        figure(f"{len(POINTS) - 2} failpoints, {deaths} deaths: {check}")

    hot_seq = 0

    def hot(self, sensor):
        self.hot_seq += 1
        # Three of each machine: every one raises an alarm of its own.
        sensor.publish(f"factory/hot-{self.hot_seq // 3}/reading", reading(self.hot_seq, NOW - 600 + self.hot_seq, **ANOMALY))

    def test_dying_while_pruning_leaves_the_history_whole(self):
        if not FAILPOINTS_BIN:
            self.skipTest("ISOLDE_FAILPOINTS_BIN names no build with failpoints")
        self.agent.bin = FAILPOINTS_BIN
        self.agent.start()
        self.agent.stop()
        flood = self.flood(rate=4000)
        for turn in range(scaled(2, 20)):
            point = ("before_prune", "during_prune")[turn % 2]
            self.agent.environment = {"ISOLDE_FAIL": f"{point}:{turn % 3 + 1}"}
            self.agent.launch()
            until("death while pruning", lambda: not self.agent.process.running(), 60)
        self.agent.environment = {}
        self.agent.start()
        flood.stop()
        from faults import Check

        until("nothing pends", lambda: self.agent.ledger().pending == 0)
        check = Check(self.agent.store, flood)
        self.assertEqual((check.twice, check.whole), (0, "ok"))


if __name__ == "__main__":
    main()
