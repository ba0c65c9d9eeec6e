"""The agent's clock jumps by an hour and by ten years, back and forth (libfaketime): no reading goes,
none is lost, no duration is negative."""

import glob
import os
import time

from faults import FaultTest, figure, main, until


class Clock(FaultTest):
    settings = {"alerts.verdicts": "none", "store.keep_days": "30"}

    def test_jumps_cost_nothing(self):
        library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not library:
            self.skipTest("libfaketime is not installed")
        file = os.path.join(self.folder, "time")

        def jump(text):
            with open(file + ".new", "w", encoding="utf-8") as out:
                out.write(text + "\n")
            os.replace(file + ".new", file)

        jump("+0")
        self.agent.environment = {
            "LD_PRELOAD": library[0],
            "FAKETIME_TIMESTAMP_FILE": file,
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
        self.agent.start()
        flood = self.flood(rate=500)
        jumps = ["+3600", "-3600", "+3650d", "-3650d", "+0"]
        for text in jumps:
            jump(text)
            before = self.agent.ledger().stored
            until("readings are stored", lambda: self.agent.ledger().stored > before + 500, 30)
            self.assertEqual(self.agent.get("/health/live", self.agent.health_port)[0], 200)
        # And while it is away.
        for text in ("+3650d", "+0"):
            self.agent.stop()
            jump(text)
            self.agent.start()
        flood.stop()
        self.settle(flood.published)
        metrics = self.agent.metrics()
        self.assertEqual(metrics["isolde_history_pruned_total"], 0)
        for name in ("score_duration", "store_commit_duration", "end_to_end_latency"):
            self.assertGreaterEqual(metrics[f"isolde_{name}_seconds_sum"], 0)
        figure(f"clock jumps {', '.join(jumps)}: {self.check()}")


if __name__ == "__main__":
    main()
