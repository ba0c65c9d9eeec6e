"""The compose stack in a project of its own, on free ports, and what one asks it. until() polls
with a deadline; nothing sleeps for a fixed time."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "e2e"))

from harness import ANOMALY, NORMAL, Ledger, free_ports, reading, until  # noqa: E402,F401
from mqtt import Client  # noqa: E402

COMPOSE = os.environ.get("ISOLDE_COMPOSE", "docker-compose").split()
WORK = os.environ.get("ISOLDE_CONTAINERS", "/tmp")


def run(*words, check=True, seconds=300, **more):
    """A program's standard output; on failure both its outputs are told."""
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL,
        check=False, **more,
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if check else done


def docker(*words, **more):
    return run("docker", *words, **more)


def inspect(name):
    return json.loads(docker("inspect", name))[0]


# Debian's Prometheus in place of the official image, which would have to come from a registry: the
# same program, user and folder.
PROMETHEUS = """FROM debian:bookworm-slim
RUN apt-get -o Acquire::Retries=3 update -q && DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -q -y \\
	--no-install-recommends prometheus && install -d -o 65534 -g 65534 /prometheus
USER 65534
ENTRYPOINT ["/usr/bin/prometheus"]
"""


def prometheus_image():
    name = "isolde/test-prometheus"
    done = subprocess.run(
        ["docker", "build", "-q", "-t", name, "-"], input=PROMETHEUS, capture_output=True, text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return name


class Stack:
    def __init__(self, name, overlay=None, **environment):
        ports = free_ports(7)
        self.http_port, self.mqtt_port, self.mqtts_port, self.password_port, self.https_port = ports[:5]
        self.prometheus_port = ports[5]
        self.files = ["-f", os.path.join(SOURCE, "compose", "docker-compose.yml")]
        if overlay:
            self.files += ["-f", os.path.join(SOURCE, "compose", overlay, "docker-compose.yml")]
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ISOLDE_")},
            "COMPOSE_PROJECT_NAME": f"isolde-{name}-{os.getpid()}",
            "COMPOSE_HTTP_TIMEOUT": "120",
            "ISOLDE_HTTP_PORT": str(self.http_port),
            "ISOLDE_MQTT_PORT": str(self.mqtt_port),
            "ISOLDE_MQTTS_LISTEN": f"127.0.0.1:{self.mqtts_port}",
            "ISOLDE_MQTTS_PASSWORD_LISTEN": f"127.0.0.1:{self.password_port}",
            "ISOLDE_HTTPS_LISTEN": f"127.0.0.1:{self.https_port}",
            "ISOLDE_PROMETHEUS_PORT": str(self.prometheus_port),
            "ISOLDE_GRAFANA_PORT": str(ports[6]),
            **environment,
        }

    def compose(self, *words, check=True, **environment):
        return run(
            *COMPOSE, *self.files, *words, check=check,
            env={**self.environment, **environment},
        )

    def up(self, *words, **environment):
        """Returns once the agent is healthy: the seconds it took."""
        began = time.monotonic()
        try:
            self.compose("up", "-d", *words, **environment)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None
        self.wait_healthy("agent")
        return time.monotonic() - began

    def down(self, *words):
        self.compose("down", "-t", "5", *words)

    def logs(self, *services):
        return self.compose("logs", "--no-color", *services, check=False).stdout[-6000:]

    def ids(self, service):
        return self.compose("ps", "-q", service).split()

    def id(self, service):
        return self.ids(service)[0]

    def health(self, service):
        return inspect(self.id(service))["State"]["Health"]["Status"]

    def wait_healthy(self, service, seconds=40):
        try:
            until(f"{service} is healthy", lambda: self.health(service) == "healthy", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None

    def exec(self, service, *words, check=True):
        return docker("exec", self.id(service), *words, check=check)

    def subscribe(self, topic, count, seconds=30):
        """(topic, JSON) of the next messages, by the client in the broker's image."""
        text = self.exec(
            "broker", "mosquitto_sub", "-v", "-t", topic, "-C", str(count), "-W", str(seconds)
        )
        return [(line.split(" ", 1)[0], json.loads(line.split(" ", 1)[1])) for line in text.splitlines()]

    def simulator_login(self):
        words = self.exec("broker", "cat", "/run/isolde/mosquitto_pub").split()
        return words[1], words[3]

    def write_token(self):
        return self.exec("agent", "cat", "/run/isolde/write_token")

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body: JSON already read)."""
        request = urllib.request.Request(
            f"http://localhost:{self.http_port}{path}", method=method,
            data=None if body is None else body.encode(),
            headers={**({} if body is None else {"Content-Type": "application/json"}), **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, head, text = answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, head, text = error.code, error.headers, error.read().decode()
        return status, head, json.loads(text) if "json" in head.get("Content-Type", "") else text

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def metrics(self, **headers):
        status, _, text = self.get("/metrics", **headers)
        assert status == 200, text
        values = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                values[name] = float(value)
        ledger = Ledger(values)
        assert ledger.balances(), f"the ledger does not balance: {ledger}"
        return values

    def history(self, query):
        """Every row, through the cursor."""
        items, cursor = [], None
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            status, _, page = self.get(f"/history?limit=1000&{query}{more}")
            assert status == 200, page
            items += page["items"]
            cursor = page["next_cursor"]
            if not cursor:
                return items

    def monitor(self):
        """Starts the Prometheus of the profile `monitoring`; returns once it scrapes the agent."""
        image = prometheus_image()
        if not self.ids("agent"):
            raise AssertionError("there is no agent to monitor")
        try:
            self.compose("--profile", "monitoring", "up", "-d", "prometheus",
                         ISOLDE_PROMETHEUS_IMAGE=image)
            until("it scrapes", lambda: self.query("up == 1"), 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('--profile', 'monitoring', 'logs', 'prometheus').lstrip()}") from None

    def query(self, expression, port=None):
        """The series of a PromQL expression."""
        url = f"http://127.0.0.1:{port or self.prometheus_port}/api/v1/query?query="
        try:
            with urllib.request.urlopen(url + urllib.parse.quote(expression), timeout=10) as answer:
                return json.load(answer)["data"]["result"]
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise  # not up yet
            with error:
                raise AssertionError(f"{expression}: {error.read().decode()}") from None

    def memory(self, service):
        """memory.stat of the container's control group, in bytes; either version of them."""
        with open(f"/proc/{inspect(self.id(service))['State']['Pid']}/cgroup", encoding="ascii") as file:
            groups = [line.rstrip("\n").split(":", 2) for line in file]
        path = next((g[2] for g in groups if g[1] == "memory"), None)
        root = "/sys/fs/cgroup/memory" if path is not None else "/sys/fs/cgroup"
        path = path if path is not None else next(g[2] for g in groups if g[1] == "")
        with open(f"{root}{path}/memory.stat", encoding="ascii") as file:
            values = dict(line.split() for line in file)
        return {"anon": int(values.get("anon") or values["rss"]), "cache": int(values.get("file") or values["cache"])}
