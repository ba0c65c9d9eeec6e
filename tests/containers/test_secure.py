"""The whole stack with TLS, client certificates, tokens and the proxy: compose/secure."""

import os
import shutil
import socket
import ssl
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from stack import ANOMALY, SOURCE, Client, Stack, docker, free_ports, inspect, reading, run, until


class Secure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="isolde-secure-", dir="/var/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        run(os.path.join(SOURCE, "compose", "secure", "make"), "--dir", cls.folder,
            "--device", "press-1", "--device", "press-2", "--host", "plant.example")
        cls.stack = Stack("secure", "secure", ISOLDE_SECURE_DIR=cls.folder,
                          ISOLDE_HTTP_HOSTS="plant.example")
        cls.stack.compose("build")
        cls.addClassCleanup(cls.stack.compose, "--profile", "monitoring", "down", "-v", "-t", "5",
                            "--remove-orphans")
        cls.stack.up()
        cls.read = {"Authorization": "Bearer " + cls.secret("agent/read_token")}
        cls.write = {"Authorization": "Bearer " + cls.secret("agent/write_token")}

    @classmethod
    def secret(cls, name):
        with open(os.path.join(cls.folder, name), encoding="ascii") as file:
            return file.read()

    def tls(self, device=None):
        context = ssl.create_default_context(cafile=f"{self.folder}/ca/ca.crt")
        if device:
            stem = f"{self.folder}/device/{device}/{device}"
            context.load_cert_chain(stem + ".crt", stem + ".key")
        return context

    def device(self, name):
        client = Client(self.stack.mqtts_port, client_id=name, tls=self.tls(name))
        self.addCleanup(client.close)
        return client

    def https(self, method, path, body=None, headers=None):
        request = urllib.request.Request(
            f"https://localhost:{self.stack.https_port}{path}", method=method, data=body,
            headers={**({"Content-Type": "application/json"} if body else {}), **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=self.tls()) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def https_raw(self, text):
        """The answer's first line to a request as it stands."""
        with socket.create_connection(("127.0.0.1", self.stack.https_port), timeout=10) as plain:
            with self.tls().wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(text)
                return secure.recv(4096).split(b"\r\n")[0].decode()

    def test_it_runs_through_tls(self):
        for topic, verdict in self.stack.subscribe("alerts/+/verdict", 3):
            self.assertEqual(topic, f"alerts/{verdict['machine']}/verdict")
        self.assertIn("broker connected: ssl://broker:8883", self.stack.logs("agent"))
        self.assertIn("broker connected: ssl://broker:8883", self.stack.logs("simulator"))

    def test_a_device_writes_only_its_own_readings(self):
        device = self.device("press-1")
        device.publish("factory/press-2/reading", reading(seq=1, **ANOMALY))
        device.publish("alerts/press-2/alarm", b'{"state":"forged"}', retain=True)
        device.publish("factory/press-1/reading", reading(seq=2, **ANOMALY))
        device.wait_acknowledged()

        def rows(machine):
            status, _, page = self.stack.get("/history?machine=" + machine, **self.read)
            self.assertEqual(status, 200)
            return page["items"]

        until("its own is stored", lambda: rows("press-1"))
        self.assertEqual([row["seq"] for row in rows("press-1")], [2])
        self.assertEqual(rows("press-2"), [])

    def test_who_has_no_certificate_or_a_wrong_password_stays_outside(self):
        good = ("press-2", self.secret("device/press-2/password"))
        device = Client(self.stack.password_port, client_id="x", login=good, tls=self.tls())
        self.addCleanup(device.close)
        for port, login in (
            (self.stack.mqtts_port, good),
            (self.stack.mqtts_port, None),
            (self.stack.password_port, None),
            (self.stack.password_port, ("press-2", "wrong")),
        ):
            with self.subTest(port=port, login=login), self.assertRaises(OSError):
                Client(port, login=login, tls=self.tls())
        for port in (self.stack.mqtts_port, self.stack.password_port, self.stack.mqtt_port):
            with self.subTest(plain=port), self.assertRaises(OSError):
                Client(port, login=good)

    def test_tokens_behind_the_proxy(self):
        self.assertEqual(self.https("GET", "/")[0], 200)  # the page itself asks for the token
        for path in ("/health", "/history", "/plant"):
            self.assertEqual(self.https("GET", path)[0], 401, path)
            self.assertEqual(self.https("GET", path, headers=self.read)[0], 200, path)
        body = b'{"temperature":95,"humidity":20,"sound":120}'
        status, text = self.https("POST", "/predict", body, self.read)
        self.assertEqual(status, 200, text)
        self.assertEqual(self.https("POST", "/reload", headers=self.read)[0], 403)
        self.assertEqual(self.https("POST", "/reload", headers=self.write)[0], 200)
        self.assertEqual(self.https("GET", "/metrics", headers=self.read)[0], 403)

    def test_what_the_proxy_keeps_from_the_agent(self):
        self.assertEqual(self.https("POST", "/predict", b"[" + b" " * 70_000 + b"]", self.read)[0], 413)
        self.assertIn(" 400 ", self.https_raw(
            b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ))
        self.assertIn(" 400 ", self.https_raw(b"GET / HTTP/1.1\r\n\r\n"))

    def test_by_which_names_it_may_be_called(self):
        for name, status in (("localhost", 200), ("127.0.0.1:8443", 200), ("plant.example", 200),
                             ("plant.example:8443", 200), ("evil.example", 421)):
            with self.subTest(name):
                self.assertEqual(self.https("GET", "/health", headers={**self.read, "Host": name})[0], status)
        self.assertEqual(self.stack.get("/health", Host="evil.example", **self.read)[0], 421)

    def test_the_proxy_outlives_the_agent(self):
        agent = self.stack.id("agent")
        self.stack.compose("stop", "agent")
        began = time.monotonic()
        self.assertIn(self.https("GET", "/health", headers=self.read)[0], (502, 504))
        self.assertLess(time.monotonic() - began, 10)
        self.stack.compose("start", "agent")
        self.assertEqual(self.stack.id("agent"), agent)
        until("it is there again", lambda: self.https("GET", "/health", headers=self.read)[0] == 200)

    def test_prometheus_reads_with_its_token(self):
        self.stack.monitor()
        until("readings are seen", lambda: float(
            self.stack.query("isolde_messages_stored_total")[0]["value"][1]) > 0)

    def test_no_secret_is_shown(self):
        secrets = [self.secret(name) for name in (
            "agent/read_token", "agent/write_token", "device/press-1/password")]
        _, _, metrics = self.stack.get("/metrics", **self.read)
        shown = metrics + self.stack.logs() + "".join(
            str(inspect(one)) for name in ("agent", "broker", "simulator", "proxy")
            for one in self.stack.ids(name)
        )
        for secret in secrets:
            self.assertNotIn(secret, shown)

    def test_without_its_files_nothing_starts(self):
        empty = Stack("empty", "secure", ISOLDE_SECURE_DIR="/var/tmp/isolde-no-such-folder")
        self.addCleanup(empty.down, "-v", "--remove-orphans")
        done = empty.compose("up", "-d", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("isolde-no-such-folder", done.stdout + done.stderr)
        self.assertFalse(os.path.exists("/var/tmp/isolde-no-such-folder"))


# In place of the agent: an event at once, and the next when the file named by the path is there.
EVENTS = r"""
use IO::Socket::INET; $| = 1;
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
    while (<$client>) { last if /^\r?$/ }
    print $client "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";
    for my $n (1 .. 3) {
        print $client "data: $n\n\n"; $client->flush;
        select(undef, undef, undef, 0.05) until -e "/tmp/go$n" or $n == 3;
    }
    close $client;
}
"""


class Proxy(unittest.TestCase):
    """nginx by itself, in front of a stream that waits: were anything held back, the first event
    would not come before the file that the second waits for."""

    def test_events_pass_at_once(self):
        name = f"isolde-proxy-{os.getpid()}"
        port, = free_ports(1)
        folder = tempfile.mkdtemp(prefix="isolde-secure-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        run(os.path.join(SOURCE, "compose", "secure", "make"), "--dir", folder)
        docker("build", "-q", "-f", "compose/Dockerfile", "--target", "proxy", "-t", "isolde/proxy", ".",
               cwd=SOURCE)
        docker("network", "create", name)
        self.addCleanup(docker, "network", "rm", name)
        proxy = docker(
            "run", "-d", "--init", "--read-only", "--cap-drop", "ALL", "--network", name,
            "--tmpfs", "/tmp:mode=1777", "-v", f"{folder}/proxy:/run/secrets:ro",
            "-p", f"127.0.0.1:{port}:8443", "isolde/proxy").strip()
        self.addCleanup(docker, "rm", "-f", proxy)
        context = ssl.create_default_context(cafile=f"{folder}/ca/ca.crt")

        def get(path):
            return urllib.request.urlopen(f"https://localhost:{port}{path}", timeout=10, context=context)

        def refused():  # it starts although there is no agent yet
            try:
                get("/")
            except urllib.error.HTTPError as error:
                with error:
                    return error.code in (502, 504)

        until("the proxy listens, without an agent", refused)
        agent = docker("run", "-d", "--init", "--network", name, "--network-alias", "agent",
                       "debian:bookworm-slim", "perl", "-e", EVENTS).strip()
        self.addCleanup(docker, "rm", "-f", agent)

        def stream():
            try:
                return get("/events")
            except urllib.error.HTTPError as error:
                error.close()  # the name is not known yet
                return None

        with until("the agent answers", stream) as events:
            for number in (1, 2, 3):
                self.assertEqual(events.readline(), f"data: {number}\n".encode())
                self.assertEqual(events.readline(), b"\n")
                docker("exec", agent, "touch", f"/tmp/go{number}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
