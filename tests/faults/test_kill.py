"""kill -9 of the agent at random instants while readings flow at full speed, and the same for a
consumer that acknowledges when its callback returns. FAULTS_SEED repeats a run; FAULTS_KILLS and
FAULTS_MESSAGES say how many kills, and how many readings at least."""

import contextlib
import os
import random
import sqlite3
import time

from faults import BIN, Check, FaultTest, Process, figure, main, part, until

KILLS = int(os.environ.get("FAULTS_KILLS", part(12, 1000)))
MESSAGES = int(os.environ.get("FAULTS_MESSAGES", part(0, 2000000)))
RATE = 6000  # readings a second
SEED = int(os.environ.get("FAULTS_SEED", random.randrange(2**32)))


class Kill(FaultTest):
    def test_nothing_is_lost_and_nothing_is_stored_twice(self):
        chance = random.Random(SEED)
        self.agent.start()
        flood, began = self.flood(machines=20, rate=RATE), time.monotonic()
        for kill in range(KILLS):
            time.sleep(chance.uniform(0.005, 0.6))  # the instant is what is random here
            self.agent.kill()
            self.agent.launch()
            if kill % 10 == 9:
                # The broker's queue is bounded: what it drops when nobody takes it is no loss of ours.
                self.agent.wait_health(200, 120)
                until("it catches up", lambda: self.agent.ledger().stored >= flood.acknowledged() - 20000, 120)
        self.agent.wait_health(200, 120)
        until("enough was sent", lambda: self.agent.ledger().stored >= MESSAGES, 60 + MESSAGES / 1000)
        flood.stop()
        try:
            until("the backlog is stored", lambda: self.agent.ledger().stored >= flood.published, 120)
        except AssertionError as error:
            dropped = self.agent.metrics().get("isolde_broker_dropped_messages")
            raise AssertionError(
                f"{error}: {Check(self.agent.store, flood)}, {self.agent.ledger()},"
                f" the broker dropped {dropped}\n{self.agent.process.words()[-4000:]}"
            ) from error
        self.settle(flood.published)
        check = self.check()
        figure(f"seed {SEED}: {KILLS} kills, {check}, {time.monotonic() - began:.0f} s")


class Naive(FaultTest):
    """For comparison: the loss of a queue in memory behind an early acknowledgement."""

    def test_how_much_an_early_acknowledgement_loses(self):
        chance = random.Random(SEED)
        path = os.path.join(self.folder, "naive.db")

        def launch():
            return Process(
                [os.path.join(BIN, "naive"), str(self.broker.port), path],
                os.path.join(self.folder, "naive.log"),
            )

        naive = launch()
        self.addCleanup(lambda: naive.kill())

        def rows():
            try:
                with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                    return database.execute("SELECT count(*), count(DISTINCT machine || seq) FROM row").fetchone()
            except sqlite3.OperationalError:
                return 0, 0

        until("it subscribed and stored", lambda: self.flood(count=10, name="probe").finish() and rows()[0])
        already = rows()[1]
        flood = self.flood(machines=20, rate=5000)
        for _ in range(min(KILLS, 100)):
            time.sleep(chance.uniform(0.005, 0.6))
            naive.kill()
            naive = launch()
        flood.stop()

        last = [(-1, 0)]

        def still():
            now = rows()
            same, last[0] = now == last[0], now
            time.sleep(0.3)  # it counts nothing that could be asked
            return same and now[0] > 0

        until("it stores no more", still, 60)
        total, distinct = rows()
        lost = flood.published - (distinct - already)
        figure(
            f"naive consumer: {min(KILLS, 100)} kills, {flood.published} sent, {lost} lost, {total - distinct} twice"
        )
        self.assertGreaterEqual(lost, 0)


if __name__ == "__main__":
    main()
