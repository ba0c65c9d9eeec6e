"""The machine loses its power: what was acknowledged is in the history when it comes back
(store.durability = strict). ext4 in a file on a loop device is shut down by EXT4_IOC_SHUTDOWN
without flushing its log, the agent killed, the disk mounted again. The broker and the publisher
live on: the broker's own disk is not ours to promise.

The agent is sent SIGKILL first and the disk cut while it dies: a machine without power tells nobody
anything. The other way round the injector itself is at fault: an fsync that EXT4_IOC_SHUTDOWN
overtakes may return 0 for what is not on the disk (a program of ten lines that appends and calls
fdatasync saw it in 13 of 200 cuts on Linux 6.18, and in none of 200 when it was killed first), and
a living agent would acknowledge what it was told is safe."""

import os
import random
import time

from disks import Ext4
from faults import FaultTest, figure, main, scaled, until

CUTS = int(os.environ.get("FAULTS_CUTS", scaled(6, 200)))


class PowerCut(FaultTest):
    def test_no_acknowledged_reading_is_lost(self):
        disk = Ext4(self, 256)
        self.agent.settings["store.path"] = self.agent.store = os.path.join(disk.path, "history.db")
        self.agent.start()
        flood = self.flood(rate=1000)
        chance = random.Random(11)
        for _ in range(CUTS):
            before = self.agent.ledger().stored
            until("readings are stored", lambda: self.agent.ledger().stored > before + 100, 20)
            time.sleep(chance.uniform(0, 0.3))  # the instant is what is random here
            self.agent.process.send(9)
            disk.cut()
            self.agent.kill()
            disk.power_up()
            self.agent.start()
        flood.stop()
        until("all are stored", lambda: self.rows() >= flood.published, 60)
        self.settle(flood.published)
        figure(f"{CUTS} power cuts, {self.check()}")
        self.agent.stop()


if __name__ == "__main__":
    main()
