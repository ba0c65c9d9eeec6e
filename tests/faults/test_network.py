"""A network that delays, cuts, swallows, and a link that goes down."""

import os
import socket
import subprocess
import threading
import time

from faults import FaultTest, figure, main, scaled, until
from harness import free_ports


class Proxy:
    """TCP to the broker. `delay` holds every piece back, `deaf` swallows what comes and keeps the
    connections open (half-open), cut() ends them."""

    def __init__(self, to_port):
        self.port, self.to_port = free_ports(1)[0], to_port
        self.delay, self.deaf = 0.0, False
        self.pairs, self.lock = [], threading.Lock()
        self.server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self.to_port))
            except OSError:
                client.close()
                continue
            with self.lock:
                self.pairs.append((client, broker))
            for a, b in ((client, broker), (broker, client)):
                threading.Thread(target=self.carry, args=(a, b), daemon=True).start()

    def carry(self, source, target):
        try:
            while piece := source.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                if not self.deaf:
                    target.sendall(piece)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        with self.lock:
            pairs, self.pairs = self.pairs, []
        for pair in pairs:
            for one in pair:
                try:
                    one.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def close(self):
        self.server.close()
        self.cut()


class Behind(FaultTest):
    def setUp(self):
        super().setUp()
        self.proxy = Proxy(self.broker.port)
        self.addCleanup(self.proxy.close)
        self.agent.settings["mqtt.url"] = f"mqtt://127.0.0.1:{self.proxy.port}"
        self.agent.settings["mqtt.keepalive_s"] = "5"

    def test_cuts_cost_nothing(self):
        self.agent.start()
        flood = self.flood(rate=3000)
        cuts = scaled(8, 300)
        for _ in range(cuts):
            before = self.agent.ledger().received
            until("readings flow", lambda: self.agent.ledger().received > before + 300, 40)
            self.proxy.cut()
        flood.stop()
        self.settle(flood.published)
        figure(f"{cuts} cuts, {self.check()}")

    def test_delay_costs_nothing(self):
        self.proxy.delay = 0.05
        self.agent.start()
        flood = self.flood(count=scaled(10000, 50000), rate=3000)
        flood.finish()
        self.settle(flood.published)
        figure(f"50 ms of delay either way, {self.check()}")

    def test_a_half_open_connection_is_noticed_and_made_anew(self):
        self.agent.start()
        flood = self.flood(rate=500)
        until("readings flow", lambda: self.agent.ledger().stored > 300)
        began = time.monotonic()
        self.proxy.deaf = True
        # The agent's side: nothing comes back, not even to a ping.
        until(
            "the loss is noticed",
            lambda: self.agent.metrics()["isolde_mqtt_connected"] == 0,
            30,
        )
        noticed = time.monotonic() - began
        self.proxy.deaf = False
        self.agent.wait_health(200, 40)
        flood.stop()
        self.settle(flood.published)
        figure(f"half-open noticed after {noticed:.1f} s (keepalive 5 s), {self.check()}")
        self.assertLess(noticed, 30)  # some two keepalives, and the time of a busy machine


def run(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        return subprocess.CompletedProcess(words, 127, "", str(missing))


class Link(FaultTest):
    """The agent in a network namespace of its own, behind a veth pair that goes down."""

    def setUp(self):
        super().setUp()
        self.name = f"isolde{os.getpid()}"
        made = run("ip", "netns", "add", self.name)
        if made.returncode:
            self.skipTest(f"no network namespace can be made: {made.stderr.strip()}")
        self.addCleanup(run, "ip", "netns", "del", self.name)
        outer, inner = f"i{os.getpid()}a"[:15], f"i{os.getpid()}b"[:15]
        self.outer = outer
        steps = (
            ("ip", "link", "add", outer, "type", "veth", "peer", "name", inner, "netns", self.name),
            ("ip", "addr", "add", "10.213.7.1/30", "dev", outer),
            ("ip", "link", "set", outer, "up"),
            ("ip", "-n", self.name, "addr", "add", "10.213.7.2/30", "dev", inner),
            ("ip", "-n", self.name, "link", "set", inner, "up"),
            ("ip", "-n", self.name, "link", "set", "lo", "up"),
        )
        self.addCleanup(run, "ip", "link", "del", outer)
        for step in steps:
            made = run(*step)
            if made.returncode:
                self.skipTest(f"no link can be made: {made.stderr.strip()}")
        with open(self.broker.configuration, "a", encoding="utf-8") as file:
            file.write(f"listener {self.broker.port} 10.213.7.1\nallow_anonymous true\n")
        self.broker.stop()
        self.broker.start()

    def test_a_link_that_goes_down_costs_nothing(self):
        self.agent.settings["mqtt.keepalive_s"] = "5"
        self.agent.start()  # once, so that the broker knows its session
        self.agent.stop()
        self.agent.prefix = ["ip", "netns", "exec", self.name]
        self.agent.settings["mqtt.url"] = f"mqtt://10.213.7.1:{self.broker.port}"
        self.agent.launch()
        flood = self.flood(rate=1000)
        downs = scaled(1, 10)
        until("readings are stored", lambda: self.rows() > 500, 30)
        for _ in range(downs):
            run("ip", "link", "set", self.outer, "down")
            time.sleep(scaled(4, 20))
            stuck = self.rows()
            run("ip", "link", "set", self.outer, "up")
            until("readings are stored again", lambda: self.rows() > stuck + 500, 60)
        flood.stop()
        until("all are stored", lambda: self.rows() >= flood.published, 60)
        self.agent.stop()
        # Its ports are in the namespace: the rest is seen from here again.
        self.agent.settings["mqtt.url"] = f"mqtt://127.0.0.1:{self.broker.port}"
        self.agent.prefix = []
        self.agent.start()
        figure(f"link down {downs} times, {self.check()}")


if __name__ == "__main__":
    main()
