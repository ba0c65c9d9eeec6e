"""Duplicates, shuffles and late readings."""

import random
import time

from faults import FaultTest, figure, main, scaled, until
from harness import NORMAL, reading, time_text


class Order(FaultTest):
    def test_each_is_stored_once_whatever_the_order(self):
        count = scaled(3000, 30000)
        self.agent.start()
        sensor = self.client("sensor")
        now = time.time()
        payloads = [reading(i, time_text(now - 30 + i / 1000), **NORMAL) for i in range(count)]
        deliveries = payloads * 3
        random.Random(7).shuffle(deliveries)
        for i, payload in enumerate(deliveries):
            sensor.publish("factory/press-1/reading", payload)
            if i % 500 == 499:
                sensor.wait_acknowledged()
        sensor.wait_acknowledged()
        until("all came to their end", lambda: self.agent.ledger().received >= 3 * count and not self.agent.ledger().pending)
        ledger = self.agent.ledger()
        self.assertEqual((ledger.stored, ledger.duplicate), (count, 2 * count))
        self.assertEqual(self.rows(), count)
        figure(f"{count} readings three times, shuffled: {ledger.stored:.0f} stored, {ledger.duplicate:.0f} duplicates")

    def test_late_readings_are_stored_flagged_and_raise_no_alarm(self):
        self.agent.start()
        watcher = self.client("watcher", "alerts/+/alarm")
        sensor = self.client("sensor")
        now = time.time()
        sensor.publish("factory/press-1/reading", reading(0, time_text(now), **NORMAL))
        self.agent.wait_received(1)
        hot = {"temperature": 120, "humidity": 5, "sound": 140}
        for i in range(20):
            sensor.publish("factory/press-1/reading", reading(1 + i, time_text(now - 86400 + i), **hot))
        self.agent.wait_received(21)
        items = self.agent.history()
        self.assertEqual(sum(item.get("late", False) for item in items), 20)
        self.assertEqual(watcher.on("alerts/press-1/alarm"), [])
        # A restarted seq is no duplicate.
        sensor.publish("factory/press-1/reading", reading(0, time_text(now + 1), **NORMAL))
        self.assertEqual(self.agent.wait_received(22).stored, 22)


if __name__ == "__main__":
    main()
