"""What the fault tests share: the independent publisher, and a checker that reads only the database
and /metrics. FAULTS_SCALE says how much of everything: 1 is the short form."""

import contextlib
import json
import os
import sqlite3
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

from harness import BIN, Process, SystemTest, main, until  # noqa: E402,F401

SCALE = float(os.environ.get("FAULTS_SCALE", "1"))
FAILPOINTS_BIN = os.environ.get("ISOLDE_FAILPOINTS_BIN", "")


def scaled(least, most=None):
    """So many in the short form, in proportion in longer ones."""
    number = max(1, round(least * SCALE))
    return min(number, most) if most else number


def part(short, whole):
    """Of what README has on record as `whole`: all of it in runs of an hour, a tenth in those of
    minutes."""
    return whole if SCALE >= 20 else max(short, whole // 10) if SCALE >= 2 else short


def figure(text):
    """A line for the table of tests/faults/run."""
    print(f"figure: {text}", flush=True)


class Flood:
    """tests/faults/flood.c at work: numbered readings, each sent until its PUBACK has come."""

    def __init__(self, folder, port, count=0, **options):
        self.name = options.setdefault("name", "flood")
        self.machines = options.setdefault("machines", 10)
        self.log = os.path.join(folder, f"{self.name}.flood")
        words = [os.path.join(BIN, "flood"), str(port), str(count)]
        for name, value in options.items():
            words += [f"--{name}", str(value)]
        self.process = Process(words, self.log)

    def finish(self, seconds=120):
        """Waits for the end; its ledger."""
        code = self.process.wait(seconds)
        ledger = json.loads(self.process.words().splitlines()[-1])
        assert code == 0, f"not every message was acknowledged: {ledger}"
        self.published = ledger["published"]
        return ledger

    def stop(self, seconds=120):
        self.process.send(15)
        return self.finish(seconds)

    def acknowledged(self):
        """So far; a tenth of a second ago."""
        told = [line for line in self.process.words().splitlines() if line.endswith("}")]
        return json.loads(told[-1])["acknowledged"] if told else 0

    def expected(self):
        """Readings of each machine."""
        share, more = divmod(self.published, self.machines)
        return {f"{self.name}-{i}": share + (i < more) for i in range(self.machines)}


class Check:
    """Rows of a history beside what the publishers know."""

    def __init__(self, path, *floods):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            found = {
                name: (rows, distinct, top)
                for name, rows, distinct, top in database.execute(
                    "SELECT machine.name, count(*), count(DISTINCT seq), max(seq) FROM reading"
                    " JOIN machine ON machine.id = reading.machine GROUP BY machine.name"
                )
            }
            self.whole = database.execute("PRAGMA integrity_check").fetchone()[0]
        self.rows = sum(rows for rows, _, _ in found.values())
        self.twice = sum(rows - distinct for rows, distinct, _ in found.values())
        self.sent = self.lost = 0
        for flood in floods:
            for machine, count in flood.expected().items():
                self.sent += count
                _, distinct, top = found.get(machine, (0, 0, None))
                assert top is None or top < count, f"{machine}: seq {top} of {count} sent"
                self.lost += count - distinct

    def __repr__(self):
        return f"{self.sent} sent, {self.rows} rows, {self.lost} lost, {self.twice} twice"


class FaultTest(SystemTest):
    settings = {"alerts.verdicts": "none"}

    def setUp(self):
        super().setUp()
        self.floods = []
        self.addCleanup(lambda: [flood.process.kill() for flood in self.floods])

    def flood(self, count=0, port=None, **options):
        flood = Flood(self.folder, port or self.broker.port, count, **options)
        self.floods.append(flood)
        return flood

    def rows(self):
        if not os.path.exists(self.agent.store):
            return 0
        with contextlib.closing(sqlite3.connect(f"file:{self.agent.store}?mode=ro", uri=True)) as database:
            return database.execute("SELECT count(*) FROM reading").fetchone()[0]

    def settle(self, count, seconds=60):
        """Until the agent has come to an end with so many readings: stored or dropped."""

        def settled():
            self.agent.running()
            ledger = self.agent.ledger()
            return not ledger.pending and ledger.stored + ledger.dropped >= count and ledger

        return until(f"{count} readings settled", settled, seconds)

    def check(self, *floods, lost=0):
        """The law: what was sent is there once, or is `lost` and counted as dropped."""
        check = Check(self.agent.store, *(floods or self.floods))
        ledger = self.agent.ledger()
        self.assertEqual(check.whole, "ok")
        self.assertEqual(check.twice, 0, check)
        self.assertEqual(check.lost, lost, f"{check} {ledger}")
        self.assertEqual(ledger.dropped, lost, f"{check} {ledger}")
        self.assertEqual(ledger.stored, check.rows, f"{check} {ledger}")
        return check
