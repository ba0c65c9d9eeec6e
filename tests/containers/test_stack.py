"""The stack as docker-compose.yml makes it: closed, healthy within seconds, losing nothing."""

import json
import os
import signal
import threading
import time
import unittest

from stack import ANOMALY, NORMAL, Client, Stack, docker, inspect, reading, until

UP_MAX_S = 8  # images built, to a healthy agent
ANON_MAX = 24 << 20
LIMIT = 64 << 20  # of the agent's container
BACKLOG = 50_000
SERVICES = ("broker", "agent", "simulator")
CREATED = {"setup": "no", "trainer": "no", **{name: "unless-stopped" for name in SERVICES}}


def memory_is_limited():
    """Some kernels discard the limit, and the engine only warns."""
    return json.loads(docker("info", "-f", "{{json .MemoryLimit}}"))


def host_processes(container):
    """Host process ids under the container's docker-init: the program itself."""
    first = inspect(container)["State"]["Pid"]
    with open(f"/proc/{first}/task/{first}/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


class Ledger(threading.Thread):
    """A device with a notebook: publishes numbered readings at QoS 1, one after the other, writes
    down which the broker acknowledged, and sends again what it did not when a connection breaks."""

    def __init__(self, port, login, machine, pause_s=0.005):
        super().__init__(daemon=True)
        self.port, self.login, self.machine, self.pause_s = port, login, machine, pause_s
        self.acknowledged, self.next, self.connections = [], 1, 0
        self.ended = threading.Event()
        self.begin_s = int(time.time())

    def payload(self, seq):
        return reading(seq=seq, at=self.begin_s + seq / 1000, **NORMAL)

    def run(self):
        while not self.ended.is_set():
            try:
                client = Client(self.port, client_id=self.machine, login=self.login)
            except OSError:
                self.ended.wait(0.05)
                continue
            self.connections += 1
            self.publish(client)
            client.abort()

    def publish(self, client):
        try:
            while not self.ended.is_set():
                client.publish(f"factory/{self.machine}/reading", self.payload(self.next))
                client.wait_acknowledged(5)
                self.acknowledged.append(self.next)
                self.next += 1
                self.ended.wait(self.pause_s)
        except (OSError, AssertionError):
            pass  # it is sent again on the next connection

    def finish(self):
        self.ended.set()
        self.join()
        return set(self.acknowledged)


class Running(unittest.TestCase):
    """In the order of their names: one stack for all."""

    @classmethod
    def setUpClass(cls):
        cls.stack = Stack("stack")
        cls.stack.compose("build")
        cls.addClassCleanup(cls.stack.down, "-v", "--remove-orphans")
        cls.took = [cls.stack.up()]
        if cls.took[0] > UP_MAX_S:  # something else may have run beside it: once more, from nothing
            cls.stack.down("-v")
            cls.took.append(cls.stack.up())

    def assert_all_stored(self, machine, acknowledged):
        """Every acknowledged reading is in the history, and none twice."""
        def stored():
            seqs = [row["seq"] for row in self.stack.history(f"anomalies=0&machine={machine}")]
            return seqs if acknowledged <= set(seqs) else None

        try:
            seqs = until("all are stored", stored, 30)
        except AssertionError:
            seqs = {row["seq"] for row in self.stack.history(f"anomalies=0&machine={machine}")}
            missing = sorted(acknowledged - seqs)
            raise AssertionError(f"{len(missing)} lost: {missing[:20]}\n{self.stack.logs()}") from None
        self.assertEqual(len(seqs), len(set(seqs)))
        return len(seqs)

    def ledger(self, machine):
        ledger = Ledger(self.stack.mqtt_port, self.stack.simulator_login(), machine)
        ledger.start()
        self.addCleanup(ledger.finish)
        until("readings are acknowledged", lambda: len(ledger.acknowledged) > 50)
        return ledger

    def test_01_up_to_healthy_within_seconds(self):
        print(f"\nup, images built, no volumes, to a healthy agent: "
              f"{', then '.join(f'{s:.1f}' for s in self.took)} s (at most {UP_MAX_S})")
        self.assertLess(min(self.took), 5 * UP_MAX_S)  # told above; a busy machine is no failure
        self.assertEqual([self.stack.health(name) for name in ("broker", "agent")], ["healthy"] * 2)
        for name in ("setup", "trainer"):
            state = inspect(docker(
                "ps", "-aq", "--filter", f"label=com.docker.compose.service={name}", "--filter",
                f"label=com.docker.compose.project={self.stack.environment['COMPOSE_PROJECT_NAME']}",
            ).strip())["State"]
            self.assertEqual((state["Status"], state["ExitCode"]), ("exited", 0), name)

    def test_02_everything_is_closed(self):
        project = self.stack.environment["COMPOSE_PROJECT_NAME"]
        ids = docker("ps", "-aq", "--filter", f"label=com.docker.compose.project={project}").split()
        seen = set()
        for container in map(inspect, ids):
            host = container["HostConfig"]
            name = container["Config"]["Labels"]["com.docker.compose.service"]
            seen.add(name)
            with self.subTest(name):
                self.assertTrue(host["ReadonlyRootfs"])
                self.assertEqual([c.upper() for c in host["CapDrop"]], ["ALL"])
                self.assertEqual(host["CapAdd"] or [], ["CHOWN"] if name == "setup" else [])
                self.assertIn("no-new-privileges:true", host["SecurityOpt"])
                self.assertFalse(host["Privileged"])
                self.assertGreater(host["PidsLimit"], 0)
                if memory_is_limited():
                    self.assertGreater(host["Memory"], 0)
                    self.assertEqual(host["MemorySwap"], host["Memory"])
                self.assertEqual(host["RestartPolicy"]["Name"], CREATED[name])
                self.assertTrue(container["Config"]["User"][0].isdigit())
                for bindings in (host["PortBindings"] or {}).values():
                    self.assertEqual({b["HostIp"] for b in bindings}, {"127.0.0.1"})
        self.assertEqual(seen, set(CREATED))
        for name in SERVICES:
            for pid in host_processes(self.stack.id(name)):
                with open(f"/proc/{pid}/status", encoding="ascii") as file:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
                self.assertEqual((int(status["CapEff"], 16), int(status["CapBnd"], 16)), (0, 0))
                self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
                self.assertNotEqual(status["Uid"].split()[0], "0")

    def test_03_the_quick_checks(self):
        status, _, health = self.stack.get("/health")
        self.assertEqual((status, health["status"]), (200, "ok"))
        status, _, body = self.stack.get("/history")
        self.assertEqual((status, body["limit"]), (200, 100))
        self.assertIn("isolde_messages_received_total", self.stack.metrics())
        status, _, body = self.stack.request("POST", "/predict", json.dumps(ANOMALY))
        self.assertEqual((status, body["is_anomaly"]), (200, 1))
        self.assertEqual(self.stack.get("/")[0], 200)

    def test_04_readings_flow_and_verdicts_come_out(self):
        before = self.stack.metrics()["isolde_messages_stored_total"]
        for topic, verdict in self.stack.subscribe("alerts/+/verdict", 6):
            self.assertEqual(topic, f"alerts/{verdict['machine']}/verdict")
            self.assertEqual(verdict["is_anomaly"], int(verdict["anomaly_score"] > verdict["threshold"]))
        self.assertGreater(self.stack.metrics()["isolde_messages_stored_total"], before)

    def test_05_history_fills(self):
        topic = "factory/press-9/reading"
        self.stack.exec("broker", "mosquitto_pub", "-q", "1", "-t", topic, "-m", reading(seq=1, **ANOMALY))
        rows = until("it is in the history", lambda: self.stack.get("/history?machine=press-9")[2]["items"])
        self.assertEqual((rows[0]["seq"], rows[0]["is_anomaly"]), (1, 1))

    def test_06_nobody_is_anonymous_and_nobody_may_do_anything(self):
        for login in (None, ("simulator", "wrong"), ("isolde-agent", "")):
            with self.subTest(login), self.assertRaises(OSError):
                Client(self.stack.mqtt_port, login=login)
        client = Client(self.stack.mqtt_port, client_id="c", login=self.stack.simulator_login())
        self.addCleanup(client.close)
        client.publish("alerts/press-1/alarm", b'{"state":"forged"}', retain=True)
        client.publish("isolde/isolde-agent/request/reload", b"{}")
        client.wait_acknowledged()
        self.assertEqual(self.stack.exec(
            "broker", "mosquitto_sub", "-t", "alerts/press-1/alarm", "-W", "1", check=False,
        ).stdout, "")

    def test_07_reload_needs_the_write_token(self):
        self.assertEqual(self.stack.request("POST", "/reload")[0], 401)
        token = self.stack.write_token()
        status, _, body = self.stack.request("POST", "/reload", headers={"Authorization": "Bearer " + token})
        self.assertEqual((status, body["status"]), (200, "reloaded"))
        for service in ("agent", "broker"):
            text = json.dumps(inspect(self.stack.id(service))) + self.stack.logs(service)
            self.assertNotIn(token, text)
            self.assertNotIn(self.stack.simulator_login()[1], text)

    def test_08_three_simulators_are_three_plants(self):
        self.stack.compose("up", "-d", "--scale", "simulator=3")
        names = {inspect(one)["Config"]["Hostname"] for one in self.stack.ids("simulator")}
        self.assertEqual(len(names), 3)

        def plants():
            items = self.stack.get("/history?anomalies=0&limit=1000")[2]["items"]
            return {row["machine"].rsplit("-", 1)[0] for row in items} >= names

        until("each is heard", plants)
        for name in names:
            machines = {row["machine"] for row in self.stack.history("anomalies=0&machine=" + name + "-1")}
            self.assertEqual(machines, {name + "-1"})
        self.stack.compose("up", "-d", "--scale", "simulator=1")

    def test_09_a_killed_agent_loses_nothing(self):
        ledger = self.ledger("ledger-a")
        killed = self.stack.id("agent")
        docker("kill", killed)  # by hand: no restart policy brings it back
        until("it is dead", lambda: not inspect(killed)["State"]["Running"])
        until("more is acknowledged", lambda n=len(ledger.acknowledged): len(ledger.acknowledged) > n + 50)
        self.stack.up()
        self.assertEqual(self.stack.id("agent"), killed)
        acknowledged = ledger.finish()
        print(f"\n{len(acknowledged)} acknowledged, "
              f"{self.assert_all_stored('ledger-a', acknowledged)} stored")

    def test_09_b_what_waited_for_an_absent_agent_is_taken_within_its_memory(self):
        docker("kill", self.stack.id("agent"))
        client = Client(self.stack.mqtt_port, client_id="b", login=self.stack.simulator_login())
        self.addCleanup(client.close)
        began = int(time.time())
        for seq in range(BACKLOG):
            client.publish("factory/backlog/reading", reading(seq=seq, at=began + seq / 1000, **NORMAL))
        client.wait_acknowledged(60)

        start, most = time.monotonic(), 0
        self.stack.up()

        def all_stored():
            nonlocal most
            most = max(most, self.stack.memory("agent")["anon"])
            newest = self.stack.get("/history?anomalies=0&machine=backlog&limit=1")[2]["items"]
            return newest and newest[0]["seq"] == BACKLOG - 1

        until("all are stored", all_stored, 60)
        rows = self.stack.history("anomalies=0&machine=backlog")
        print(f"\n{BACKLOG} waited, {len(rows)} stored, {time.monotonic() - start:.1f} s after the start; "
              f"anon at most {most / 2**20:.1f} MB")
        self.assertEqual(len({row["seq"] for row in rows}), BACKLOG)
        self.assertEqual(len(rows), BACKLOG)
        self.assertFalse(inspect(self.stack.id("agent"))["State"]["OOMKilled"])
        self.assertEqual(inspect(self.stack.id("agent"))["RestartCount"], 0)

    def test_10_a_killed_broker_loses_nothing(self):
        ledger = self.ledger("ledger-b")
        killed = self.stack.id("broker")
        for _ in range(3):
            until("more", lambda n=len(ledger.acknowledged): len(ledger.acknowledged) > n + 100)
            docker("kill", killed)
            connections = ledger.connections
            docker("start", killed)
            until("the device is back", lambda: ledger.connections > connections)
            until("the agent is back", lambda: self.stack.metrics()["isolde_mqtt_connected"] == 1)
        until("more", lambda n=len(ledger.acknowledged): len(ledger.acknowledged) > n + 100)
        acknowledged = ledger.finish()
        self.stack.wait_healthy("agent")
        print(f"\n3 kills: {len(acknowledged)} acknowledged, "
              f"{self.assert_all_stored('ledger-b', acknowledged)} stored")

    def test_11_a_program_that_dies_is_started_again(self):
        for service in ("agent", "broker"):
            container = self.stack.id(service)
            began = inspect(container)["RestartCount"]
            for pid in host_processes(container):
                os.kill(pid, signal.SIGKILL)
            until("it is restarted", lambda: inspect(container)["RestartCount"] == began + 1)
        self.stack.wait_healthy("broker")
        self.stack.wait_healthy("agent")

    def test_12_a_thousand_readings_a_second_in_24_megabytes(self):
        self.stack.compose(
            "up", "-d", ISOLDE_SIMULATOR_MACHINES="100", ISOLDE_SIMULATOR_RATE="10"
        )
        if not memory_is_limited():
            self.skipTest("the engine discards memory limits here")
        stored = lambda: self.stack.metrics()["isolde_messages_stored_total"]
        until("they flow", lambda n=stored(): stored() > n + 1000)
        began, first, most = time.monotonic(), stored(), 0
        while time.monotonic() - began < 12:
            most = max(most, self.stack.memory("agent")["anon"])
            time.sleep(0.1)
        rate = (stored() - first) / (time.monotonic() - began)
        broker = self.stack.memory("broker")["anon"]
        print(f"\n{rate:.0f} readings/s: agent anon {most / 2**20:.1f} MB (at most 24), "
              f"broker {broker / 2**20:.1f} MB")
        self.assertGreater(rate, 900)
        self.assertLess(most, ANON_MAX)
        for service in SERVICES:
            self.assertFalse(inspect(self.stack.id(service))["State"]["OOMKilled"], service)
        self.assertEqual(inspect(self.stack.id("agent"))["HostConfig"]["Memory"], LIMIT)

    def test_13_down_and_up_keep_history_and_alarms(self):
        self.stack.compose("stop", "simulator")
        topic, alarm = "factory/press-7/reading", "alerts/press-7/alarm"
        for seq in range(5):
            self.stack.exec("broker", "mosquitto_pub", "-q", "1", "-t", topic, "-m", reading(seq=seq, **ANOMALY))
        until("all are stored", lambda: len(self.stack.history("machine=press-7")) == 5)
        (_, before), = self.stack.subscribe(alarm, 1)
        self.assertEqual(before["state"], "unacknowledged")
        write = {"Authorization": "Bearer " + self.stack.write_token()}
        status, _, acknowledged = self.stack.request(
            "POST", f"/alarms/{before['id']}/ack", '{"operator":"anna"}', write
        )
        self.assertEqual((status, acknowledged["state"]), (200, "acknowledged"))
        ledger = self.stack.get("/health")[2]["ledger"]
        token = self.stack.write_token()

        self.stack.down()
        self.stack.up("--scale", "simulator=0")

        (_, after), = self.stack.subscribe(alarm, 1)
        for name in ("id", "since", "first_sensor", "peak_score"):
            self.assertEqual(after[name], before[name], name)
        self.assertEqual(after["state"], "acknowledged")
        kept, = self.stack.get("/alarms?machine=press-7")[2]["items"]
        self.assertEqual((kept["id"], kept["state"], kept["operator"]),
                         (before["id"], "acknowledged", "anna"))
        self.assertGreaterEqual(after["count"], before["count"])
        self.assertEqual(self.stack.get("/health")[2]["ledger"], ledger)
        self.assertEqual(len(self.stack.history("machine=press-7")), 5)
        self.assertEqual(self.stack.write_token(), token)
        # And the agent goes on where it was: normal readings end the alarm of that id.
        for seq in range(5, 10):
            self.stack.exec("broker", "mosquitto_pub", "-q", "1", "-t", topic, "-m", reading(seq=seq, **NORMAL))
        (_, over), = until(
            "it is over", lambda: (found := self.stack.subscribe(alarm, 1))
            and found[0][1]["state"] in ("returned", "normal") and found,
        )
        self.assertEqual(over["id"], before["id"])

    def test_14_nothing_is_left_after_down(self):
        project = f"label=com.docker.compose.project={self.stack.environment['COMPOSE_PROJECT_NAME']}"
        self.stack.down("-v", "--remove-orphans")
        for words in (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q")):
            self.assertEqual(docker(*words, "--filter", project), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
