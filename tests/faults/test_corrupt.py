"""Damaged files: the history, its WAL, the model."""

import os
import random
import time

from faults import FaultTest, figure, main, scaled, until


class Corrupt(FaultTest):
    def overwrite(self, path, at, count):
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(os.urandom(count))

    def test_a_damaged_history_is_put_aside_and_reported(self):
        self.agent.start()
        flood = self.flood(count=5000)
        flood.finish()
        self.settle(5000)
        self.agent.stop()
        for turn in range(3):
            self.overwrite(self.agent.store, 0 if turn == 0 else 4096 * 3, 4096)
            self.agent.start()
            health = self.agent.get("/health", self.agent.health_port)[2]
            self.assertEqual(health["checks"]["store"]["status"], "degraded", health)
            self.assert_holds(health["checks"]["store"]["detail"], "put aside", "corrupt-1")
            self.assertEqual(self.agent.metrics()["isolde_store_put_aside_total"], 1)
            more = self.flood(count=2000, name=f"more{turn}")
            more.finish()
            self.settle(5000 + 2000 * (turn + 1))
            self.assertEqual(self.rows(), 2000)
            self.agent.stop()
        kept = sorted(name for name in os.listdir(self.folder) if "corrupt" in name)
        self.assertEqual(kept, ["history.db.corrupt-1", "history.db.corrupt-2"])
        figure("3 damaged histories put aside, two kept, counters went on")

    def test_damage_that_is_met_while_running(self):
        self.agent.start()
        flood = self.flood(rate=1000)
        until("readings are stored", lambda: self.agent.ledger().stored > 2000)
        size = os.path.getsize(self.agent.store)
        until("a checkpoint", lambda: os.path.getsize(self.agent.store) >= max(size, 65536), 10)
        # Every page but the first: whatever the agent has not in memory is wrong.
        self.overwrite(self.agent.store, 4096, os.path.getsize(self.agent.store) - 4096)
        before = self.agent.ledger().stored
        until("readings are stored again", lambda: self.agent.ledger().stored > before + 2000, 30)
        flood.stop()
        ledger = self.settle(flood.published)
        self.assertEqual(ledger.dropped, 0)
        aside = self.agent.metrics()["isolde_store_put_aside_total"]
        figure(f"pages overwritten while running: {aside:.0f} put aside, {ledger.stored:.0f} stored in all")

    def test_a_damaged_wal_loses_at_most_what_was_in_it(self):
        chance = random.Random(3)
        for turn in range(scaled(3, 30)):
            self.agent.start()
            flood = self.flood(count=3000, name=f"wal{turn}")
            flood.finish()
            self.agent.kill()
            wal = self.agent.store + "-wal"
            if os.path.exists(wal) and os.path.getsize(wal) > 8192:
                self.overwrite(wal, chance.randrange(32, os.path.getsize(wal) - 100), 100)
            self.agent.start()
            self.assertEqual(self.agent.get("/history?limit=5&anomalies=0")[0], 200)
            self.agent.stop()
        figure("a damaged WAL never stops the start")

    def test_a_damaged_model_is_refused_and_the_old_one_stays(self):
        self.agent.start()
        model = self.agent.settings["model.path"]
        size, chance = os.path.getsize(model), random.Random(5)
        with open(model, "rb") as file:
            good = file.read()
        for _ in range(scaled(30, 500)):
            bad = bytearray(good)
            if chance.random() < 0.5:
                del bad[chance.randrange(size) :]
            else:
                bad[chance.randrange(size)] ^= 1 << chance.randrange(8)
            with open(model, "wb") as file:
                file.write(bad)
            self.assertEqual(self.agent.request("POST", "/reload")[0], 422)
        with open(model, "wb") as file:
            file.write(good)
        self.assertEqual(self.agent.request("POST", "/reload")[0], 200)
        flood = self.flood(count=1000)
        flood.finish()
        self.settle(1000)
        self.check()


if __name__ == "__main__":
    main()
