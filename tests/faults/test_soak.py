"""A day of a plant at 100 readings a second, in one run and faster: memory, descriptors and threads stay
what they were. FAULTS_SOAK says how many readings."""

import os
import statistics
import time

from faults import FaultTest, figure, main, part, until

READINGS = int(os.environ.get("FAULTS_SOAK", part(20000, 8640000)))
RATE = int(os.environ.get("FAULTS_SOAK_RATE", 8000))
GROWTH_MAX = 0.01  # of a day's run; a short one is mostly warming up


class Soak(FaultTest):
    def usage(self):
        pid = self.agent.process.child.pid
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            memory = next(int(line.split()[1]) for line in file if line.startswith("Rss:"))
        return memory, len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))

    def test_memory_descriptors_and_threads_stay_what_they_were(self):
        self.agent.start()
        try:
            self.usage()
        except PermissionError as error:  # it cannot be traced, and root in a container may not either
            self.skipTest(f"the agent's memory cannot be looked at: {error}")
        flood = self.flood(count=READINGS, rate=RATE, machines=100)
        samples = []  # (readings settled, memory, descriptors, threads)

        def over():
            time.sleep(0.1)  # asking costs, too
            ledger = self.agent.ledger()
            done = ledger.stored + ledger.dropped
            if not samples or done >= samples[-1][0] + READINGS / 400:
                samples.append((done, *self.usage()))
            return done >= READINGS and not ledger.pending

        until(f"{READINGS} readings settled", over, READINGS / RATE * 4 + 60)
        flood.finish()
        check = self.check()
        # The first checkpoint, which opens a connection of its own, comes after some 2,400 readings.
        warm = [sample for sample in samples if sample[0] >= max(READINGS / 10, 6000)]
        early = statistics.median(memory for done, memory, _, _ in warm if done <= READINGS * 0.45)
        late = statistics.median(memory for done, memory, _, _ in warm if done >= READINGS * 0.8)
        growth = late / early - 1
        figure(
            f"soak: {check}, {RATE}/s asked; {early} kB resident after warming up, {late} kB at the end"
            f" ({growth:+.2%}); {warm[0][2]} descriptors, {warm[0][3]} threads"
        )
        for what, column in (("descriptors", 2), ("threads", 3)):
            numbers = {sample[column] for sample in warm}
            self.assertLessEqual(max(numbers) - min(numbers), 1, f"{what}: {numbers}")  # a scrape under way
        self.assertLess(growth, GROWTH_MAX if READINGS >= 8000000 else 0.5)


if __name__ == "__main__":
    main()
