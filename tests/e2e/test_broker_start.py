"""compose/broker-start: a broker comes up whatever it finds on its disk, and says what it moved."""

import os
import socket
import subprocess
import tempfile
import unittest

from harness import Process, free_ports, main, until

START = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "compose", "broker-start")


class BrokerStart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="isolde-broker-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        (self.port,) = free_ports(1)
        self.database = os.path.join(self.folder, "mosquitto.db")
        self.config = os.path.join(self.folder, "mosquitto.conf")
        with open(self.config, "w", encoding="ascii") as file:
            file.write(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
            file.write(f"persistence true\npersistence_location {self.folder}/\n")
            if os.geteuid() == 0:
                file.write("user root\n")

    def start(self):
        process = Process([START, "-c", self.config], os.path.join(self.folder, "log"))
        self.addCleanup(process.kill)
        return process

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def up(self, process):
        until("the broker listens", lambda: process.child.poll() is not None or self.answers(), 20)
        self.assertIsNone(process.child.poll(), process.words())
        return process

    def end(self, process):
        process.send(15)
        self.assertEqual(process.wait(20), 0, process.words())

    def queued(self, *arguments):
        """A session of `keeper`: what waits for it."""
        done = subprocess.run(
            ["mosquitto_sub", "-p", str(self.port), "-i", "keeper", "-c", "-q", "1", "-t", "kept", *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return done.stdout.split()

    def saved(self):
        """A database with a session and a message in it."""
        process = self.up(self.start())
        self.queued("-E")
        subprocess.run(["mosquitto_pub", "-p", str(self.port), "-q", "1", "-t", "kept", "-m", "7"], check=True)
        self.end(process)
        with open(self.database, "rb") as file:
            return file.read()

    def test_a_good_file_stays(self):
        self.saved()
        process = self.up(self.start())
        self.assertEqual(self.queued("-C", "1", "-W", "5"), ["7"])
        self.end(process)
        self.assertNotIn("cannot be read", process.words())

    def test_files_that_cannot_be_read_are_moved_aside(self):
        whole = self.saved()
        damaged = {
            "cut short": whole[: len(whole) // 2],
            "garbage": os.urandom(3000),
            "a changed byte": whole[:40] + b"\xff" + whole[41:],
        }
        for number, (what, content) in enumerate(damaged.items(), 1):
            with self.subTest(what):
                with open(self.database, "wb") as file:
                    file.write(content)
                process = self.up(self.start())
                self.assertIn(f"{self.database} cannot be read: moved to", process.words())
                with open(self.database + ".unreadable-1", "rb") as file:
                    self.assertEqual(file.read(), content)
                self.end(process)
                kept = [name for name in os.listdir(self.folder) if "unreadable" in name]
                self.assertEqual(len(kept), min(number, 2))

    def test_other_trouble_ends_it_and_moves_nothing(self):
        whole = self.saved()
        with open(self.config, "a", encoding="ascii") as file:
            file.write("no_such_setting 1\n")
        process = self.start()
        self.assertNotEqual(process.wait(20), 0)
        self.assertIn("no_such_setting", process.words())
        with open(self.database, "rb") as file:
            self.assertEqual(file.read(), whole)


if __name__ == "__main__":
    main()
