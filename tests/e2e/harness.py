"""Real programs on free ports in a folder of their own: a Mosquitto with the limits of
config/mosquitto.conf, the agent, and whoever publishes. Nothing here sleeps for a fixed time:
until() polls with a deadline.

ISOLDE_BIN names the folder of the programs (build/bin)."""

import atexit
import functools
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from mqtt import Client, connect_when_up

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("ISOLDE_BIN", os.path.join(SOURCE, "build", "bin"))
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")

NORMAL = {"temperature": 60.5, "humidity": 35.25, "sound": 75.0}
ANOMALY = {"temperature": 120.0, "humidity": 5.0, "sound": 140.0}


def until(what, condition, seconds=20):
    """Polls until condition() is true and returns its value. An OSError means: not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            value = condition()
            if value:
                return value
        except OSError as error:
            value = error
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {what} (last: {value!r})")
        time.sleep(0.02)


GIVEN = set()


def free_ports(count):
    """Ports that nobody listens on, none given twice: a server may come to listen on its port only
    after the next one was asked for. They lie below those that the kernel gives to outgoing
    connections: one of these could be taken by any client before."""
    ports = []
    while len(ports) < count:
        port = random.randrange(10000, 30000)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in GIVEN:
            GIVEN.add(port)
            ports.append(port)
    return ports


def clean_environment(**more):
    """Ours, without settings that are meant for somebody else's agent."""
    drop = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ISOLDE_") and name not in drop
    }
    return {**kept, **more}


def program(name, *arguments, environment=None, seconds=60):
    """Runs one of our programs to its end."""
    return subprocess.run(
        [os.path.join(BIN, "isolde-" + name), *arguments],
        env=clean_environment(**(environment or {})),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@functools.lru_cache(maxsize=None)
def baseline_file():
    folder = tempfile.mkdtemp(prefix="isolde-e2e-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = os.path.join(folder, "baseline.csv")
    run = program("simulator", "baseline", "--output", path)
    assert run.returncode == 0, run.stderr
    return path


def model_file(seed=42):
    """A model of the default baseline; another seed makes another model."""
    return _trained(seed)


@functools.lru_cache(maxsize=None)
def _trained(seed):
    path = os.path.join(os.path.dirname(baseline_file()), f"model-{seed}.json")
    run = program(
        "trainer", "train", "--baseline", baseline_file(), "--model", path, "--seed", str(seed)
    )
    assert run.returncode == 0, run.stderr
    return path


def model_id(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def reading(seq=None, at=None, **values):
    """A payload; `at` is RFC 3339 text or a number."""
    members = {} if at is None else {"timestamp": at}
    if seq is not None:
        members["seq"] = seq
    return json.dumps({**members, **values})


def time_text(seconds):
    whole, ms = divmod(round(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{ms:03d}Z"


class Process:
    """A child with its log; ends with the test."""

    def __init__(self, arguments, log, environment=None, limits=None):
        """`limits`: {resource.RLIMIT_...: (soft, hard)} of the child."""
        self.log = log
        with open(log, "ab") as file:
            self.child = subprocess.Popen(
                arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=(lambda: [resource.setrlimit(*limit) for limit in limits.items()]) if limits else None,
            )

    def send(self, number):
        self.child.send_signal(number)

    def running(self):
        return self.child.poll() is None

    def wait(self, seconds):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self.words()}") from None

    def stop(self, seconds=10):
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self):
        if self.running():
            self.child.kill()
        self.child.wait()

    def words(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()


class Broker:
    def __init__(self, folder, port, local=None):
        """`local`: the path of a unix-domain socket that it listens on as well."""
        self.port, self.local = port, local
        self.configuration = os.path.join(folder, "mosquitto.conf")
        self.log = os.path.join(folder, "broker.log")
        self.process = None
        with open(os.path.join(SOURCE, "config", "mosquitto.conf"), encoding="utf-8") as file:
            text = file.read()
        text = re.sub(r"(?m)^listener .*", f"listener {port} 127.0.0.1", text)
        text = re.sub(r"(?m)^persistence_location .*", f"persistence_location {folder}/", text)
        if os.geteuid() == 0:
            text += "user root\n"
        if local:
            text += f"listener 0 {local}\n"
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        self.process = Process([MOSQUITTO, "-c", self.configuration], self.log)
        connect_when_up(self.port, client_id="is-it-up").close()
        return self

    def stop(self):
        self.process.stop()

    def kill(self):
        if self.process:
            self.process.kill()


class Agent:
    def __init__(self, folder, broker_port, **settings):
        http, health = free_ports(2)
        self.http_port, self.health_port = http, health
        self.log = os.path.join(folder, "agent.log")
        self.store = os.path.join(folder, "history.db")
        self.settings = {
            "mqtt.url": f"mqtt://127.0.0.1:{broker_port}",
            "http.listen": f"127.0.0.1:{http}",
            "health.listen": f"127.0.0.1:{health}",
            "store.path": self.store,
            "model.path": os.path.join(folder, "model.json"),
            **settings,
        }
        self.process = None
        # For those who start it in another way: words before the program, its folder, what it
        # finds in its environment and may use.
        self.prefix, self.bin, self.environment, self.limits = [], BIN, {}, {}

    def arguments(self):
        words = [*self.prefix, os.path.join(self.bin, "isolde-agent")]
        for name, value in self.settings.items():
            words += ["--set", f"{name}={value}"]
        return words

    def launch(self, **environment):
        """Starts and does not wait."""
        self.process = Process(
            self.arguments(), self.log, clean_environment(**self.environment, **environment), self.limits
        )
        return self

    def start(self, **environment):
        self.launch(**environment)
        self.wait_health(200)
        return self

    def running(self):
        if not self.process.running():
            raise AssertionError(f"the agent ended: {self.process.words()}")
        return True

    def wait_health(self, status, seconds=20):
        def asked():
            self.running()
            answer = self.get("/health", self.health_port)
            return answer if answer[0] == status else None

        try:
            return until(f"/health is {status}", asked, seconds)[2]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.process.words()[-3000:]}") from None

    def request(self, method, path, body=None, port=None, headers=None):
        """(status, headers, body: JSON already read)."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{port or self.http_port}{path}",
            data=None if body is None else body.encode(),
            method=method,
            headers={**({} if body is None else {"Content-Type": "application/json"}), **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, head, text = answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, head, text = error.code, error.headers, error.read().decode()
        if "json" in (head.get("Content-Type") or ""):
            return status, head, json.loads(text)
        return status, head, text

    def get(self, path, port=None, headers=None):
        return self.request("GET", path, port=port, headers=headers)

    def metrics(self):
        """{'name{labels}': value}; the law of the ledger is checked at every scrape."""
        status, _, text = self.get("/metrics", self.health_port)
        assert status == 200, status
        values = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        ledger = Ledger(values)
        assert ledger.balances(), f"the ledger does not balance: {ledger}"
        return values

    def ledger(self):
        return Ledger(self.metrics())

    def wait_received(self, count, seconds=30):
        """Until so many messages came in and none of them is pending."""

        def settled():
            self.running()
            ledger = self.ledger()
            return ledger if ledger.received >= count and not ledger.pending else None

        try:
            ledger = until(f"{count} messages received and settled", settled, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.ledger()}\n{self.process.words()[-3000:]}") from None
        assert ledger.received == count, f"more than the {count} expected: {ledger}"
        return ledger

    def wait_stored(self, count, seconds=30):
        """As wait_received, where an interrupted connection may have brought messages twice:
        what the broker had not seen acknowledged comes again, and is recognised."""
        ledger = until(
            f"{count} stored: {self.ledger()}",
            lambda: self.running() and self.ledger().stored >= count and self.ledger(),
            seconds,
        )
        assert (ledger.stored, ledger.rejected, ledger.dropped) == (count, 0, 0), ledger

    def history(self, query="anomalies=0"):
        """Every row, through the cursor, newest first."""
        items, cursor = [], None
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            status, _, page = self.get(f"/history?limit=1000&{query}{more}")
            assert status == 200, page
            items += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return items

    def stop(self, seconds=5):
        return self.process.stop(seconds)

    def kill(self):
        if self.process:
            self.process.kill()


class Ledger:
    """received = stored + duplicate + rejected + dropped + pending"""

    def __init__(self, metrics):
        def total(name):
            return sum(
                value
                for key, value in metrics.items()
                if key == f"isolde_messages_{name}" or key.startswith(f"isolde_messages_{name}{{")
            )

        self.received = total("received_total")
        self.stored = total("stored_total")
        self.duplicate = total("duplicate_total")
        self.rejected = total("rejected_total")
        self.dropped = total("dropped_total")
        self.pending = total("pending")
        self.reasons = {
            match[1]: value
            for match, value in (
                (re.match(r'isolde_messages_rejected_total\{reason="(.*)"\}', key), value)
                for key, value in metrics.items()
            )
            if match and value
        }

    def balances(self):
        ends = self.stored + self.duplicate + self.rejected + self.dropped + self.pending
        return self.received == ends

    def __repr__(self):
        return str(vars(self))


class SystemTest(unittest.TestCase):
    """A folder, a broker, an agent that is not started yet, and a publisher."""

    settings = {}
    broker_up = True

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="isolde-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.broker = Broker(self.folder, free_ports(1)[0])
        self.addCleanup(self.broker.kill)
        self.agent = Agent(self.folder, self.broker.port, **self.settings)
        self.addCleanup(self.agent.kill)
        shutil.copy(model_file(), self.agent.settings["model.path"])
        if self.broker_up:
            self.broker.start()

    def client(self, name, *filters, **options):
        client = Client(self.broker.port, client_id=name, **options)
        self.addCleanup(client.close)
        return client.subscribe(*filters)

    def assert_holds(self, text, *words):
        for word in words:
            self.assertIn(word, text)


def main():
    if not MOSQUITTO:
        print("mosquitto is not installed")
        raise SystemExit(77)
    for name in ("agent", "trainer", "simulator"):
        if not os.access(os.path.join(BIN, "isolde-" + name), os.X_OK):
            raise SystemExit(f"{BIN}/isolde-{name} is not built; ISOLDE_BIN names the folder")
    unittest.main(verbosity=2)
