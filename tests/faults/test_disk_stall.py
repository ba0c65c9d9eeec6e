"""A disk that hangs for six seconds (fsync does not return): the broker's window holds the flow back,
the connection lives, nothing is lost."""

import os
import time

from faults import BIN, FaultTest, figure, main, until


class Stall(FaultTest):
    def test_six_seconds_cost_nothing(self):
        stall = os.path.join(BIN, "stall.so")
        if not os.path.exists(stall):
            self.skipTest("stall.so is not built")
        flag = os.path.join(self.folder, "stalled")
        self.agent.environment = {"LD_PRELOAD": stall, "STALL_FILE": flag}
        self.agent.settings["mqtt.keepalive_s"] = "5"
        self.agent.start()
        flood = self.flood(rate=2000)
        until("readings are stored", lambda: self.agent.ledger().stored > 1000)
        connects = self.agent.metrics()["isolde_mqtt_connects_total"]
        with open(flag, "w", encoding="utf-8"):
            pass
        began = time.monotonic()
        until("six seconds have passed", lambda: time.monotonic() - began > 6)
        os.unlink(flag)
        stored = self.agent.ledger().stored
        until("readings are stored again", lambda: self.agent.ledger().stored > stored + 1000)
        flood.stop()
        ledger = self.settle(flood.published)
        again = self.agent.metrics()["isolde_mqtt_connects_total"] - connects
        figure(f"disk stall of 6 s, {self.check()}, {again:.0f} reconnects, {ledger.duplicate:.0f} duplicates")
        self.assertEqual(again, 0)


if __name__ == "__main__":
    main()
