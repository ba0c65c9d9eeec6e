"""MQTT with passwords, TLS and client certificates: the broker as compose/secure sets it up, real
certificates, and every way in which they can be wrong. What is wrong is said in one sentence, in
the log and in /health, which is red; nothing ever falls back to plain."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

from harness import (
    ANOMALY, BIN, MOSQUITTO, NORMAL, SOURCE, Agent, Process, SystemTest, clean_environment,
    connect_when_up, free_ports, main, model_file, program, reading, until,
)
from mqtt import Client


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, stdin=subprocess.DEVNULL)


def make(folder, *words):
    """compose/secure/make; devices press-1 and press-2."""
    run = subprocess.run(
        [os.path.join(SOURCE, "compose", "secure", "make"), "--dir", folder]
        + ["--device", "press-1", "--device", "press-2", *words],
        capture_output=True, text=True, check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


class TlsBroker:
    """Mosquitto with the settings of the container, on free ports."""

    def __init__(self, folder, secure, certificate=None):
        self.port, self.password_port = free_ports(2)
        self.log = os.path.join(folder, "broker.log")
        self.process = None
        text = subprocess.run(
            [os.path.join(SOURCE, "compose", "broker-conf"), "tls",
             os.path.join(SOURCE, "config", "mosquitto.conf")],
            capture_output=True, text=True, check=True,
        ).stdout
        text = text.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        text = text.replace("listener 8884", f"listener {self.password_port} 127.0.0.1")
        text = text.replace("/etc/isolde/mosquitto.acl", f"{SOURCE}/config/mosquitto.acl")
        text = text.replace("/run/secrets/", f"{secure}/broker/")
        text = re.sub(r"(?m)^persistence_location .*", f"persistence_location {folder}/", text)
        if certificate:
            text = re.sub(r"(?m)^certfile .*", f"certfile {certificate}.crt", text)
            text = re.sub(r"(?m)^keyfile .*", f"keyfile {certificate}.key", text)
        text += "log_type debug\n" + ("user root\n" if os.geteuid() == 0 else "")
        self.configuration = os.path.join(folder, "mosquitto.conf")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        self.process = Process([MOSQUITTO, "-c", self.configuration], self.log)

        def listens():
            assert self.process.running(), self.process.words()
            socket.create_connection(("127.0.0.1", self.password_port)).close()
            return True

        until("the broker listens", listens, 5)
        return self

    def kill(self):
        if self.process:
            self.process.kill()


class Secure(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pki = tempfile.mkdtemp(prefix="isolde-e2e-")
        cls.addClassCleanup(shutil.rmtree, cls.pki, ignore_errors=True)
        cls.secure = make(os.path.join(cls.pki, "ours"))
        cls.foreign = make(os.path.join(cls.pki, "foreign"))

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="isolde-e2e-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        shutil.copy(model_file(), os.path.join(self.folder, "model.json"))

    def broker(self, certificate=None):
        broker = TlsBroker(self.folder, self.secure, certificate)
        self.addCleanup(broker.kill)
        return broker.start()

    def agent(self, broker, **changes):
        """With our CA and certificate, unless told otherwise; None leaves a setting out."""
        settings = {
            "mqtt.url": f"mqtts://127.0.0.1:{broker.port}",
            "mqtt.ca_file": f"{self.secure}/agent/ca.crt",
            "mqtt.cert_file": f"{self.secure}/agent/isolde-agent.crt",
            "mqtt.key_file": f"{self.secure}/agent/isolde-agent.key",
            **{f"mqtt.{name}": value for name, value in changes.items()},
        }
        agent = Agent(self.folder, broker.port)
        agent.settings.update(settings)
        agent.settings = {name: value for name, value in agent.settings.items() if value is not None}
        self.addCleanup(agent.kill)
        return agent.launch()

    def tls(self, name=None, folder=None):
        context = ssl.create_default_context(cafile=f"{self.secure}/ca/ca.crt")
        if name:
            stem = f"{self.secure}/{folder or 'device/' + name}/{name}"
            context.load_cert_chain(stem + ".crt", stem + ".key")
        return context

    def client(self, broker, name, folder=None, **options):
        client = connect_when_up(
            broker.port, client_id=options.pop("client_id", name), tls=self.tls(name, folder), **options
        )
        self.addCleanup(client.close)
        return client

    def leaf(self, name, subject, days="2", ca=None):
        """A server's and client's certificate of our CA: the path without .crt and .key."""
        stem, ca = os.path.join(self.folder, name), ca or f"{self.secure}/ca/ca"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
                "-subj", "/CN=" + name, "-keyout", stem + ".key", "-out", stem + ".csr")
        with open(stem + ".ext", "w", encoding="utf-8") as file:
            file.write(f"subjectAltName={subject}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", stem + ".csr", "-CA", ca + ".crt", "-CAkey", ca + ".key",
                "-days", days, "-extfile", stem + ".ext", "-set_serial", "77", "-out", stem + ".crt")
        os.chmod(stem + ".key", 0o600)
        return stem

    def expired(self, name, subject):
        stem = self.leaf(name, subject, days="0")
        over = lambda: subprocess.run(
            ["openssl", "x509", "-checkend", "0", "-noout", "-in", stem + ".crt"],
            capture_output=True, check=False,
        ).returncode == 1
        until("the certificate has expired", over)
        time.sleep(1.1)  # seconds are the finest that certificates know
        return stem

    def assert_red(self, agent, check, *words):
        """/health is 503 with these words in `check`, the log has them too, and it goes on."""
        def said():
            answer = agent.get("/health", agent.health_port)
            detail = answer[2]["checks"][check]["detail"]
            return answer if all(word in detail for word in words) else None

        try:
            status, _, body = until(f"/health says {words}", said)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{agent.process.words()[-3000:]}") from None
        self.assertEqual(status, 503)
        self.assertEqual(body["status"], "unhealthy")
        self.assertEqual(body["checks"][check]["status"], "fail")
        for word in words:
            self.assertIn(word, agent.process.words())
        self.assertTrue(agent.running())

    # ---- all is well ----

    def test_a_device_writes_its_own_readings_and_no_other(self):
        broker = self.broker()
        agent = self.agent(broker)
        agent.wait_health(200)
        monitor = self.client(broker, "monitor", "monitor").subscribe("alerts/+/verdict", "isolde/#")
        device = self.client(broker, "press-1")

        device.publish("factory/press-2/reading", reading(seq=1, **ANOMALY))  # not its own
        device.publish("alerts/press-2/alarm", b'{"state":"normal"}', retain=True)
        device.publish("factory/press-1/reading", reading(seq=2, **NORMAL))
        device.wait_acknowledged()  # the broker acknowledges what it throws away too

        monitor.wait("verdict", lambda all: any(m.topic == "alerts/press-1/verdict" for m in all))
        self.assertEqual([row["machine"] for row in agent.history()], ["press-1"])
        self.assertEqual(agent.ledger().received, 1)
        self.assertFalse(monitor.on("alerts/press-2/alarm"))
        self.assertIn("Denied PUBLISH from press-1", broker.process.words())
        self.assertRegex(broker.process.words(), r"Denied PUBLISH.*factory/press-2/reading")

    def test_a_password_over_tls_is_as_good(self):
        broker = self.broker()
        agent = self.agent(broker)
        agent.wait_health(200)
        with open(f"{self.secure}/device/press-2/password", encoding="utf-8") as file:
            password = file.read()

        device = Client(
            broker.password_port, client_id="x", login=("press-2", password), tls=self.tls()
        )
        self.addCleanup(device.close)
        device.publish("factory/press-2/reading", reading(seq=1, **NORMAL))

        agent.wait_received(1)
        for port, login in (
            (broker.password_port, ("press-2", "wrong")),
            (broker.password_port, None),  # nobody is anonymous
            (broker.port, ("press-2", password)),  # here only certificates count
        ):
            with self.subTest(port=port, login=login), self.assertRaises(OSError):
                Client(port, login=login, tls=self.tls())
        with open(f"{self.secure}/broker/passwords", encoding="utf-8") as file:
            self.assertNotIn(password, file.read())

    def test_the_agent_writes_only_its_own_topics(self):
        broker = self.broker()
        monitor = self.client(broker, "monitor", "monitor").subscribe("#")
        agent = self.client(broker, "isolde-agent", "agent")

        agent.publish("factory/press-1/reading", reading(seq=1, **NORMAL))
        agent.publish("isolde/other/status", b'{"state":"online"}', retain=True)
        agent.publish("isolde/isolde-agent/status", b'{"state":"online"}', retain=True)
        agent.publish("alerts/press-1/alarm", b'{"state":"normal"}', retain=True)
        agent.wait_acknowledged()

        monitor.wait("alarm", lambda all: any(m.topic == "alerts/press-1/alarm" for m in all))
        self.assertEqual(
            [message.topic for message in monitor.messages],
            ["isolde/isolde-agent/status", "alerts/press-1/alarm"],
        )

    def test_an_operator_asks_and_a_device_may_not(self):
        broker = self.broker()
        agent = self.agent(broker)
        agent.wait_health(200)
        operator = self.client(broker, "operator", "operator").subscribe("isolde/+/response/+")
        device = self.client(broker, "press-1")

        device.publish("isolde/isolde-agent/request/health", b'{"transaction":1}')
        device.wait_acknowledged()
        operator.publish("isolde/isolde-agent/request/health", b'{"transaction":2}')

        operator.wait("answer", lambda all: all)
        self.assertEqual(
            [json.loads(m.payload)["transaction"] for m in operator.messages], [2]
        )

    def test_a_device_cannot_take_the_agents_session_by_its_client_id(self):
        broker = self.broker()
        agent = self.agent(broker)
        agent.wait_health(200)

        device = self.client(broker, "press-1", client_id="isolde-agent")
        device.publish("factory/press-1/reading", reading(seq=1, **NORMAL))

        agent.wait_received(1)
        self.assertEqual(agent.metrics()["isolde_mqtt_connects_total"], 1)

    def test_the_simulator_speaks_tls_with_a_certificate(self):
        broker = self.broker()
        agent = self.agent(broker)
        agent.wait_health(200)
        run = program(
            "simulator", "publish", "--count", "5", "--rate", "50", "--machines", "1",
            "--broker", f"mqtts://127.0.0.1:{broker.port}",
            "--ca-file", f"{self.secure}/simulator/ca.crt",
            "--cert-file", f"{self.secure}/simulator/simulator.crt",
            "--key-file", f"{self.secure}/simulator/simulator.key",
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertIn("acknowledged=5", run.stdout)
        agent.wait_received(5)

    def test_make_keeps_what_is_there_and_adds_what_is_new(self):
        folder = make(os.path.join(self.folder, "site"))

        def read(name):
            with open(os.path.join(folder, name), "rb") as file:
                return file.read()

        kept = ("ca/ca.crt", "agent/isolde-agent.key", "agent/write_token", "device/press-1/password")
        before, broker, passwords = [read(n) for n in kept], read("broker/broker.crt"), read("broker/passwords")
        make(folder)
        self.assertEqual([read(n) for n in kept], before)
        self.assertEqual((read("broker/broker.crt"), read("broker/passwords")), (broker, passwords))

        make(folder, "--device", "press-3", "--host", "plant.example", "--host", "10.9.8.7")
        self.assertEqual([read(n) for n in kept], before)
        self.assertTrue(read("broker/passwords").startswith(passwords))
        self.assertIn(b"\npress-3:$7$", read("broker/passwords"))
        shown = subprocess.run(
            ["openssl", "x509", "-noout", "-text", "-in", f"{folder}/broker/broker.crt"],
            capture_output=True, text=True, check=True,
        ).stdout
        self.assertIn("DNS:plant.example, IP Address:10.9.8.7", shown)
        for stem in ("broker/broker", "proxy/proxy", "agent/isolde-agent", "device/press-3/press-3"):
            openssl("verify", "-x509_strict", "-CAfile", f"{folder}/ca/ca.crt", f"{folder}/{stem}.crt")
        for path, _, names in os.walk(folder):
            for name in names:
                self.assertEqual(os.stat(os.path.join(path, name)).st_mode & 0o077, 0, name)

    def test_make_refuses_what_is_no_name(self):
        tool = os.path.join(SOURCE, "compose", "secure", "make")
        for words in (["--device", "a/b"], ["--device", "isolde-agent"], ["--device"], ["--days", "x"],
                      ["--host", "a b"], ["press-1"]):
            with self.subTest(words):
                run = subprocess.run([tool, "--dir", self.folder + "/x", *words], capture_output=True, check=False)
                self.assertEqual(run.returncode, 64)
                self.assertFalse(os.path.exists(self.folder + "/x"))

    def test_a_broker_that_comes_back_is_blamed_for_no_certificate(self):
        broker = self.broker()
        agent = self.agent(broker)
        agent.wait_health(200)
        broker.kill()

        def said():
            detail = agent.get("/health", agent.health_port)[2]["checks"]["broker"]["detail"]
            return detail if "no connection to the broker" in detail else None

        self.assertNotIn("certificate", until("it tried again", said))
        broker.start()
        until("it is connected", lambda: agent.metrics()["isolde_mqtt_connected"] == 1, 40)
        device = self.client(broker, "press-1")
        device.publish("factory/press-1/reading", reading(seq=1, **NORMAL))
        agent.wait_received(1)

    # ---- what can be wrong with a certificate ----

    def test_a_broker_of_another_ca(self):
        agent = self.agent(self.broker(), ca_file=f"{self.foreign}/ca/ca.crt")
        self.assert_red(agent, "broker", "the broker's certificate is not trusted")

    def test_a_broker_of_no_ca_the_system_knows(self):
        agent = self.agent(self.broker(), ca_file=None)
        self.assert_red(agent, "broker", "the broker's certificate is not trusted")

    def test_a_broker_whose_certificate_has_expired(self):
        broker = self.broker(self.expired("old", "DNS:localhost,IP:127.0.0.1"))
        agent = self.agent(broker)
        self.assert_red(agent, "broker", "not trusted: certificate has expired")

    def test_a_broker_of_another_name(self):
        broker = self.broker(self.leaf("elsewhere", "DNS:elsewhere,IP:10.9.8.7"))
        agent = self.agent(broker)
        self.assert_red(
            agent, "broker", "certificate is for elsewhere, 10.9.8.7, not for 127.0.0.1"
        )
        self.assertNotIn("isolde-agent", re.sub(r"(?m)^.*SSL.*$", "", broker.process.words()))

    def test_an_agent_without_a_certificate(self):
        agent = self.agent(self.broker(), cert_file=None, key_file=None)
        self.assert_red(agent, "broker", "the broker refuses us: it wants a client certificate")

    def test_an_agent_with_a_certificate_of_another_ca(self):
        agent = self.agent(
            self.broker(),
            cert_file=f"{self.foreign}/agent/isolde-agent.crt",
            key_file=f"{self.foreign}/agent/isolde-agent.key",
        )
        self.assert_red(agent, "broker", "the broker refuses us: it does not know the CA")

    def test_an_agent_whose_certificate_has_expired(self):
        stem = self.expired("isolde-agent", "DNS:isolde-agent")
        agent = self.agent(self.broker(), cert_file=stem + ".crt", key_file=stem + ".key")
        self.assert_red(agent, "broker", "the broker refuses us: our certificate has expired")

    def test_a_wrong_password(self):
        broker = self.broker()
        wrong = os.path.join(self.folder, "password")
        with open(wrong, "w", encoding="utf-8") as file:
            file.write("wrong-and-secret\n")
        os.chmod(wrong, 0o600)
        agent = self.agent(
            broker, url=f"mqtts://127.0.0.1:{broker.password_port}", cert_file=None, key_file=None,
            username="press-1", password_file=wrong,
        )
        self.assert_red(agent, "broker", "not allowed; wrong user name or password?")
        self.assertNotIn("wrong-and-secret", agent.process.words() + broker.process.words())

    # ---- TLS here, none there ----

    def test_a_plain_broker_is_not_spoken_to_in_plain(self):
        plain = os.path.join(self.folder, "plain.conf")
        port, = free_ports(1)
        with open(plain, "w", encoding="utf-8") as file:
            file.write(f"listener {port} 127.0.0.1\nallow_anonymous true\nlog_dest stderr\n")
        process = Process([MOSQUITTO, "-c", plain], os.path.join(self.folder, "plain.log"))
        self.addCleanup(process.kill)
        connect_when_up(port).close()

        agent = Agent(self.folder, port)
        agent.settings["mqtt.url"] = f"mqtts://127.0.0.1:{port}"
        agent.settings["mqtt.ca_file"] = f"{self.secure}/agent/ca.crt"
        self.addCleanup(agent.kill)
        agent.launch()

        self.assert_red(agent, "broker", "no connection to the broker ssl://")
        self.assertNotIn("as isolde-agent", process.words())

    def test_a_broker_with_tls_does_not_take_plain(self):
        broker = self.broker()
        agent = self.agent(
            broker, url=f"mqtt://127.0.0.1:{broker.port}", ca_file=None, cert_file=None, key_file=None
        )
        self.assert_red(agent, "broker", "no connection to the broker tcp://")

    # ---- half configured ----

    def test_half_of_tls_is_refused_at_the_start(self):
        ours = f"{self.secure}/agent/"
        open_key = os.path.join(self.folder, "open.key")
        shutil.copy(ours + "isolde-agent.key", open_key)
        os.chmod(open_key, 0o644)
        ca, cert, key = "mqtt.ca_file=", "mqtt.cert_file=", "mqtt.key_file="
        tls = "mqtt.url=mqtts://127.0.0.1:1"
        for words, *sentence in (
            ([ca + ours + "ca.crt"], "mqtt.ca_file", "needs an mqtts:// url"),
            ([cert + ours + "isolde-agent.crt", key + ours + "isolde-agent.key"],
             "mqtt.cert_file", "needs an mqtts:// url"),
            ([tls, cert + ours + "isolde-agent.crt"], "mqtt.cert_file", "needs mqtt.key_file"),
            ([tls, key + ours + "isolde-agent.key"], "mqtt.key_file", "needs mqtt.cert_file"),
            ([tls, ca + "/nowhere/ca.crt"], "/nowhere/ca.crt", "No such file"),
            ([tls, ca + ours + "isolde-agent.key"], "holds no certificate"),
            ([tls, cert + ours + "isolde-agent.crt", key + ours + "ca.crt"], "holds no key"),
            ([tls, cert + ours + "isolde-agent.crt",
              key + f"{self.secure}/simulator/simulator.key"], "is not the key of"),
            ([tls, cert + ours + "isolde-agent.crt", key + open_key], "others may read"),
            (["mqtt.username=press-1"], "mqtt.username", "no password"),
            (["mqtt.password=secret-word"], "mqtt.username", "MQTT needs both"),
            ([f"mqtt.password_file={open_key}", "mqtt.username=x"], "others may read"),
            (["mqtt.password_file=/nowhere", "mqtt.username=x"], "/nowhere", "No such file"),
        ):
            with self.subTest(words=words):
                sets = [part for word in words for part in ("--set", word)]
                run = program("agent", *sets, "--check-config")
                self.assertEqual(run.returncode, 78, run.stdout + run.stderr)
                for word in sentence:
                    self.assertIn(word, run.stderr)
                self.assertNotIn("secret-word", run.stderr)
                self.assertEqual(program("agent", *sets, seconds=5).returncode, 78)

    def test_the_simulator_refuses_half_of_tls_too(self):
        ours = f"{self.secure}/simulator/"
        for words, sentence in (
            (["--ca-file", ours + "ca.crt"], "nothing is encrypted"),
            (["--broker", "mqtts://127.0.0.1:1", "--cert-file", ours + "simulator.crt"],
             "belong together"),
            (["--broker", "mqtts://127.0.0.1:1", "--ca-file", "/nowhere"], "No such file"),
        ):
            with self.subTest(words=words):
                run = program("simulator", "publish", *words)
                self.assertEqual(run.returncode, 78, run.stderr)
                self.assertIn(sentence, run.stderr)


class Refused(SystemTest):
    """An ACL file of Mosquitto 2.0 grants every subscription and delivers nothing; the dynamic
    security plugin of the same package refuses."""

    broker_up = False

    def test_a_refused_subscription_is_red(self):
        plugin = os.path.join(
            "/usr/lib", os.uname().machine + "-linux-gnu", "mosquitto_dynamic_security.so"
        )
        if not os.path.exists(plugin):
            self.skipTest("no dynamic security plugin")
        rules = os.path.join(self.folder, "rules.json")
        with open(rules, "w", encoding="utf-8") as file:
            file.write(
                '{"defaultACLAccess":{"publishClientSend":true,"publishClientReceive":true,'
                '"subscribe":false,"unsubscribe":true},"clients":[],"groups":[],"roles":[]}'
            )
        with open(self.broker.configuration, "a", encoding="utf-8") as file:
            file.write(f"plugin {plugin}\nplugin_opt_config_file {rules}\n")
        self.broker.start()
        self.agent.launch()

        status, _, body = until(
            "the subscription fails",
            lambda: (answer := self.agent.get("/health", self.agent.health_port))
            and "refuses" in answer[2]["checks"]["subscription"]["detail"] and answer,
        )

        self.assertEqual((status, body["status"]), (503, "unhealthy"))
        self.assertEqual(body["checks"]["subscription"]["status"], "fail")
        self.assert_holds(
            body["checks"]["subscription"]["detail"],
            "the broker refuses the subscription to factory/+/reading: not allowed",
        )


if __name__ == "__main__":
    if not shutil.which("openssl"):
        print("openssl is not installed")
        raise SystemExit(77)
    main()
