"""Kill -9 at random instants while readings flow: each one published and acknowledged by the broker
is in the history, once. The seed is printed; ISOLDE_KILLS says how many kills."""

import os
import random
import sqlite3
import threading
import time

from harness import NORMAL, SystemTest, main, reading, until

KILLS = int(os.environ.get("ISOLDE_KILLS", "10"))
MACHINES = 10
NEVER = 4102444800  # the machines' clock begins in 2100: no clock of ours is meant


class Publisher(threading.Thread):
    """Ten machines, as fast as a window of 500 allows, until told to stop."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.count, self.stopping = client, 0, False

    def run(self):
        while not self.stopping:
            machine, seq = self.count % MACHINES, self.count // MACHINES
            self.client.publish(
                f"factory/press-{machine}/reading", reading(seq, NEVER + seq, **NORMAL)
            )
            self.count += 1
            if self.count % 100 == 0:
                until("room", lambda: self.client.published - self.client.acknowledged < 500)

    def stop(self):
        self.stopping = True
        self.join()
        self.client.wait_acknowledged()


def stored(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT machine.name, seq FROM reading JOIN machine ON machine.id = machine"
        ).fetchall()
        whole = database.execute("PRAGMA integrity_check").fetchone()[0]
    return rows, whole


class Kill(SystemTest):
    settings = {"alerts.verdicts": "none"}

    def test_nothing_is_lost_and_nothing_stored_twice(self):
        seed = random.randrange(2**32)
        print(f"seed {seed}, {KILLS} kills ...", end=" ", flush=True)
        chance = random.Random(seed)
        self.agent.start()
        publisher = Publisher(self.client("machines"))
        publisher.start()

        for _ in range(KILLS):
            time.sleep(chance.uniform(0.005, 0.6))  # the instant is what is random here
            self.agent.kill()
            self.agent.launch()
        publisher.stop()
        self.agent.wait_health(200)
        until(
            "the queue is drained",
            lambda: self.agent.ledger().pending == 0 and len(stored(self.agent.store)[0]) >= publisher.count,
            60,
        )

        rows, whole = stored(self.agent.store)
        sent = {(f"press-{n % MACHINES}", n // MACHINES) for n in range(publisher.count)}
        print(f"{publisher.count} readings, {len(sent - set(rows))} lost, {len(rows) - len(set(rows))} twice")
        self.assertEqual(whole, "ok")
        self.assertEqual(sent - set(rows), set(), "lost")
        self.assertEqual(len(rows), len(set(rows)), "stored twice")
        self.assertEqual(self.agent.ledger().stored, publisher.count)


if __name__ == "__main__":
    main()
