"""One machine storms at many times its share while others are quiet."""

import signal
import time

from faults import Flood, FaultTest, figure, main, scaled, until
from harness import NORMAL, reading, time_text


class Storm(FaultTest):
    def test_qos_1_waits_at_the_broker_and_quiet_machines_are_heard(self):
        self.agent.start()
        storm = self.flood(count=scaled(100000, 500000), name="storm", machines=1, window=50000)
        quiet = self.flood(count=scaled(300, 1500), name="quiet", machines=9, rate=100)
        storm.finish()
        quiet.finish()
        self.settle(storm.published + quiet.published, 120)
        figure(f"storm of QoS 1: {self.check(storm, quiet)}")

    def test_qos_1_without_room_is_refused_and_comes_again(self):
        """A queue far smaller than the broker's window, and a worker that is slow to begin with."""
        self.agent.settings["reading.queue_kb"] = "64"
        self.agent.settings["store.batch"] = "1"
        self.agent.start()
        self.agent.process.send(signal.SIGSTOP)
        flood = self.flood(count=scaled(2000, 4000), machines=5, window=50000)
        flood.finish()
        self.agent.process.send(signal.SIGCONT)
        self.settle(flood.published, 120)
        refused = self.agent.metrics()["isolde_messages_refused_total"]
        self.assertGreater(refused, 0)
        figure(f"no room for QoS 1: {self.check(flood)}, {refused:.0f} refused")

    def test_qos_0_is_dropped_by_fair_shares_and_counted(self):
        self.agent.settings["reading.queue_kb"] = "64"
        self.agent.settings["store.batch"] = "10"
        self.agent.start()
        loud, quiet = self.client("loud"), self.client("quiet")
        sent, now = 0, time.time()
        for i in range(200):
            for k in range(100):
                loud.publish("factory/loud/reading", reading(sent, time_text(now + sent / 1000), **NORMAL), qos=0)
                sent += 1
            quiet.publish(f"factory/quiet-{i % 9}/reading", reading(i, time_text(now + i), **NORMAL), qos=0)
        until("nothing pends", lambda: self.agent.ledger().received >= 200 and not self.agent.ledger().pending, 60)

        def settled():
            a = self.agent.ledger()
            time.sleep(0.2)
            b = self.agent.ledger()
            return a.received == b.received and not b.pending

        until("nothing more comes", settled, 60)
        ledger = self.agent.ledger()
        stored = len({(i["machine"], i["seq"]) for i in self.agent.history() if i["machine"] != "loud"})
        # What the broker itself dropped, on its way to a slow agent, could be anybody's.
        self.assertGreaterEqual(stored, 200 - (sent + 200 - ledger.received), ledger)
        figure(
            f"storm of QoS 0: {ledger.received:.0f} of {sent + 200} received, {ledger.dropped:.0f} dropped,"
            f" {stored} of the quiet machines' 200 stored"
        )


if __name__ == "__main__":
    main()
