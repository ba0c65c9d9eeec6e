"""Topics, payloads and packets from devices, and from a broker, that nobody trusts."""

import json
import os
import random
import re
import socket
import struct
import threading
import time

from hostile import NORMAL, SystemTest, figure, main, memory_kb, reading, time_text, until

# (what, topic): none names a machine; each is counted, none is stored, shown or logged as it came.
TOPICS = [
    ("a way out", "factory/../../etc/passwd/reading"),
    ("dots", "factory/../reading"),
    ("a slash too many", "factory/a/b/reading"),
    ("markup", "factory/<script>alert(1)<|script>/reading"),
    ("a quote", "factory/a\"b/reading"),
    ("SQL", "factory/a';DROP TABLE reading;--/reading"),
    ("turned around", "factory/\u202egnidaer/reading"),
    ("a wide space", "factory/a\u3000b/reading"),
    ("a format", "factory/%s%n%x/reading"),
    ("65 letters", f"factory/{'m' * 65}/reading"),
    ("500 letters", f"factory/{'m' * 500}/reading"),
    ("60,000 letters", f"factory/{'m' * 60000}/reading"),
    ("no letters", "factory//reading"),
    ("umlauts", "factory/m\u00fchle/reading"),
]  # fmt: skip

# A broker should let none of these through (MQTT 3.1.1, 1.5.3); Mosquitto does not.
CONTROL = ["factory/a\nlevel=error msg=owned/reading", "factory/a\rb/reading", "factory/\x1b[2J/reading",
           'factory/a"} 1\nisolde_up{x="/reading', "factory/\x7f/reading"]  # fmt: skip


def check_log(test):
    log = test.agent.process.words()
    for line in log.splitlines():
        test.assertRegex(line, r"^time=\S+Z level=(info|warning|error) msg=", "a line that is not ours")
    test.assertFalse(re.search("[\x00-\x09\x0b-\x1f\x7f]", log), "a control byte in the log")


class Topics(SystemTest):
    def test_topics_name_machines_and_nothing_else(self):
        self.agent.start()
        sensor = self.client("sensor")
        sent = 0
        for what, topic in TOPICS:
            with self.subTest(what):
                sensor.publish(topic, reading(1, time_text(time.time()), **NORMAL))
                sensor.wait_acknowledged()
                sent += topic.count("/") == 2  # else the subscription does not match
                ledger = self.agent.wait_received(sent)
                self.assertEqual(ledger.reasons.get("topic", 0), sent)
        self.assertEqual(ledger.stored, 0)
        check_log(self)
        self.assertNotIn("<script>alert", json.dumps(self.agent.get("/plant")[2]))
        for name in os.listdir(self.folder):
            self.assertNotIn("passwd", name)

    def test_ten_thousand_retained_messages_are_counted_and_not_stored(self):
        sensor = self.client("sensor")
        for i in range(10000):
            sensor.publish(f"factory/old-{i}/reading", reading(i, **NORMAL), retain=True)
            if i % 500 == 499:
                sensor.wait_acknowledged()
        sensor.wait_acknowledged()

        self.agent.start()

        ledger = self.agent.wait_received(10000, 60)
        self.assertEqual(ledger.reasons, {"retained": 10000})
        self.assertEqual(self.agent.history(), [])

    def test_many_machines_are_one_label(self):
        self.agent.start()
        sensor = self.client("sensor")
        for i in range(3000):
            sensor.publish(f"factory/m-{i}/reading", reading(1, time_text(time.time()), **NORMAL))
            if i % 500 == 499:
                sensor.wait_acknowledged()
        self.agent.wait_received(3000, 60)

        names = {match[1] for match in (re.search(r'machine="([^"]*)"', key) for key in self.agent.metrics()) if match}

        self.assertLessEqual(len(names), 1001)
        self.assertIn("other", names)


class Large(SystemTest):
    def test_a_message_of_200_mb_stays_outside(self):
        """The broker ends who sends it; the agent never sees a byte."""
        self.agent.start()
        self.client("sensor").publish("factory/m/reading", reading(1, time_text(time.time()), **NORMAL))
        self.agent.wait_received(1)
        before = memory_kb(self.agent.process)
        size = 200 * 1024 * 1024
        head = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05giant"
        topic = b"\x00\x11factory/m/reading\x00\x01"
        rest, length = size + len(topic), b""
        while rest:
            length += bytes([rest % 128 | (128 if rest > 127 else 0)])
            rest //= 128
        sent = 0
        with socket.create_connection(("127.0.0.1", self.broker.port), timeout=10) as giant:
            try:
                giant.sendall(head + b"\x32" + length + topic)
                block = bytes(1 << 20)
                for _ in range(size >> 20):
                    giant.sendall(block)
                    sent += len(block)
            except (ConnectionResetError, BrokenPipeError):
                pass
        self.client("sensor-2").publish("factory/m/reading", reading(2, time_text(time.time()), **NORMAL))
        self.agent.wait_received(2)
        grown = memory_kb(self.agent.process) - before
        figure(f"a 200 MB publish: the broker ended it after {sent >> 20} MB; the agent grew by {grown} kB (must 1,024)")
        self.assertLess(grown, 1024)


def packet(kind, body):
    """With a remaining length as MQTT has it."""
    length, rest = b"", len(body)
    while True:
        length += bytes([rest % 128 | (128 if rest > 127 else 0)])
        rest //= 128
        if not rest:
            return bytes([kind]) + length + body


CONNACK = packet(0x20, b"\x00\x00")
PUBLISH = packet(0x32, b"\x00\x11factory/m/reading\x00\x01{}")

# What a broker that is none may send once we are connected.
PACKETS = [
    b"\x00\x00",
    b"\xff\xff\xff\xff\xff\xff",
    b"\x30\xff\xff\xff\xff\x7f",  # a length of five bytes
    b"\x30\xff\xff\xff\x7f",  # 256 MB to come
    b"\x32\x02\x00\x00",
    b"\x32\x05\x00\xffab\x00",  # a topic longer than its packet
    b"\x32\x04\x00\x00\x00\x01",  # an empty topic
    b"\x36\x07\x00\x01a\x00\x01{}",  # QoS 3
    b"\x32\x07\x00\x01a\x00\x00{}",  # packet id 0
    b"\x34\x07\x00\x01a\x00\x01{}",  # QoS 2
    b"\x40\x00",
    b"\x40\x02\xff\xff",  # acknowledges what was never sent
    b"\x90\x02\x00\x01",  # a SUBACK that grants nothing
    b"\x90\x03\xff\xff\x80",
    b"\x20\x02\x00\x00",  # a second CONNACK
    b"\xb0\x02\x00\x01",
    b"\xd0\x05abcde",
    b"\x10\x00",
    b"\xe0\x00",
    PUBLISH[:9],
]


class FalseBroker:
    """Answers CONNECT and SUBSCRIBE, and then says one of `words` after the other for as long as the
    connection holds."""

    def __init__(self, words):
        self.words, self.said, self.connections = list(words), 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                try:
                    self.talk(connection)
                except OSError:
                    pass  # it has had enough

    def talk(self, connection):
        connection.settimeout(0.1)
        if connection.recv(4096)[:1] != b"\x10":  # CONNECT
            return
        connection.sendall(CONNACK)
        while True:
            try:
                heard = connection.recv(4096)
                if not heard:
                    return
                if heard[0] >> 4 == 8:  # SUBSCRIBE
                    connection.sendall(b"\x90\x03" + heard[2:4] + b"\x01")
            except TimeoutError:
                if self.said == len(self.words):
                    return
                self.said += 1
                connection.sendall(self.words[self.said - 1])

    def close(self):
        self.listener.close()


class Packets(SystemTest):
    broker_up = False

    def say(self, words):
        """To agents, each of which is left alone before its pauses between connections grow long."""
        false = FalseBroker(words)
        self.addCleanup(false.close)
        self.agent.settings["mqtt.url"] = f"mqtt://127.0.0.1:{false.port}"
        agents = 0
        while false.said < len(words):
            agents += 1
            before = false.connections
            self.agent.launch()

            def heard():
                self.agent.running()
                return false.said == len(words) or false.connections - before >= 5

            until("it heard them", heard, 60)
            self.assertTrue(until("it answers", self.agent.ledger).balances())
            self.assertEqual(self.agent.stop(10), 0, self.agent.process.words()[-2000:])
        return false, agents

    def test_a_false_broker_ends_nothing(self):
        dice = random.Random(5)
        noise = [dice.randbytes(dice.randrange(1, 200)) for _ in range(20)]
        torn = [bytes(b ^ (1 << dice.randrange(8)) if dice.random() < 0.1 else b for b in PUBLISH * 3) for _ in range(20)]
        false, agents = self.say(PACKETS + noise + torn)
        figure(f"a false broker: {false.said} malformed packets, {false.connections} connections, {agents} agents lived")

    def test_topics_that_no_broker_lets_through(self):
        payload = reading(1, time_text(time.time()), **NORMAL).encode()
        words = [
            packet(0x32, struct.pack(">H", len(topic.encode())) + topic.encode() + struct.pack(">H", i + 1) + payload)
            for i, topic in enumerate([*CONTROL, "factory/\0/reading"])
        ]
        self.say(words)
        check_log(self)


if __name__ == "__main__":
    main()
