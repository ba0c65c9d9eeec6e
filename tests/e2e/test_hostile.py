"""What bad devices send is counted by its reason and harms nobody else."""

import gzip
import json
import random
import time

from harness import NORMAL, SystemTest, main, reading, time_text

TOPIC = "factory/press-1/reading"


def members(count):
    """An object of so many members, the three features among them."""
    return json.dumps({**NORMAL, **{f"m{i}": i for i in range(count - len(NORMAL))}})


def nested(depth):
    """The object is the first level."""
    return '{"temperature":60,"humidity":35,"sound":75,"x":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


def sized(size):
    text = json.dumps({**NORMAL, "note": ""})
    return text[:-2] + "x" * (size - len(text)) + text[-2:]


# (what, topic, payload, reason)
BAD = [
    ("no JSON", TOPIC, "temperature=60", "json"),
    ("nothing", TOPIC, "", "json"),
    ("an object cut short", TOPIC, '{"temperature":60,"humidity":35', "json"),
    ("text after the object", TOPIC, json.dumps(NORMAL) + " {}", "json"),
    ("a NUL byte", TOPIC, json.dumps(NORMAL).encode() + b"\0", "json"),
    ("gzip", TOPIC, gzip.compress(json.dumps(NORMAL).encode()), "json"),
    ("a NUL in a string", TOPIC, '{"temperature":60,"humidity":35,"sound":75,"x":"a\\u0000b"}', "json"),
    ("a control byte in a string", TOPIC, b'{"temperature":60,"humidity":35,"sound":75,"x":"a\x01b"}', "json"),
    ("half a character", TOPIC, '{"temperature":60,"humidity":35,"sound":75,"x":"\\ud800"}', "json"),
    ("an overlong slash", TOPIC, b'{"temperature":60,"humidity":35,"sound":75,"x":"\xc0\xaf"}', "json"),
    ("no UTF-8", TOPIC, b'{"temperature":60,"humidity":35,"sound":75,"x":"\xff\xfe"}', "json"),
    ("NaN", TOPIC, '{"temperature":NaN,"humidity":35,"sound":75}', "json"),
    ("Infinity", TOPIC, '{"temperature":-Infinity,"humidity":35,"sound":75}', "json"),
    ("hexadecimal", TOPIC, '{"temperature":0x3c,"humidity":35,"sound":75}', "json"),
    ("a point at the end", TOPIC, '{"temperature":60.,"humidity":35,"sound":75}', "json"),
    ("a nought in front", TOPIC, '{"temperature":060,"humidity":35,"sound":75}', "json"),
    ("16,384 brackets", TOPIC, "[" * 16384, "json"),
    ("depth 9", TOPIC, nested(9), "json"),
    ("depth 5,000", TOPIC, nested(5000), "json"),
    ("257 members", TOPIC, members(257), "json"),
    ("1,000 members", TOPIC, members(1000), "json"),
    ("a repeated member", TOPIC, '{"temperature":60,"humidity":35,"sound":75,"sound":75}', "json"),
    ("16,385 bytes", TOPIC, sized(16385), "oversize"),
    ("30,000 bytes", TOPIC, sized(30000), "oversize"),
    ("an array", TOPIC, "[60,35,75]", "type"),
    ("a number", TOPIC, "60", "type"),
    ("a feature that is text", TOPIC, '{"temperature":"60","humidity":35,"sound":75}', "type"),
    ("a feature that is true", TOPIC, '{"temperature":true,"humidity":35,"sound":75}', "type"),
    ("a timestamp that is an object", TOPIC, reading(at={}, **NORMAL), "type"),
    ("a seq that is text", TOPIC, reading(seq="7", **NORMAL), "type"),
    ("1e999", TOPIC, '{"temperature":1e999,"humidity":35,"sound":75}', "range"),
    ("1e400", TOPIC, '{"temperature":60,"humidity":35,"sound":-1e400}', "range"),
    ("10,000 digits", TOPIC, '{"temperature":' + "9" * 10000 + ',"humidity":35,"sound":75}', "json"),
    ("a negative seq", TOPIC, reading(seq=-1, **NORMAL), "range"),
    ("a seq of 2^53", TOPIC, reading(seq=2**53, **NORMAL), "range"),
    ("a seq with a fraction", TOPIC, reading(seq=1.5, **NORMAL), "range"),
    ("a timestamp of the year 9999", TOPIC, reading(at="9999-01-01T00:00:00Z", **NORMAL), "range"),
    ("none of the features", TOPIC, '{"pressure":3}', "empty"),
    ("only nulls", TOPIC, '{"temperature":null,"humidity":null,"sound":null}', "empty"),
    ("a machine with a space", "factory/press 1/reading", json.dumps(NORMAL), "topic"),
    ("a machine of 65 letters", f"factory/{'m' * 65}/reading", json.dumps(NORMAL), "topic"),
    ("a machine without a name", "factory//reading", json.dumps(NORMAL), "topic"),
    ("a machine with a quote", 'factory/a"b/reading', json.dumps(NORMAL), "topic"),
]

# At the very limit, and odd, but valid.
GOOD = [
    ("depth 8", nested(8)),
    ("256 members", members(256)),
    ("16,384 bytes", sized(16384)),
    ("members nobody knows", reading(seq=2**53 - 1, unknown={"a": [1]}, **NORMAL)),
    ("1e-400", '{"temperature":60,"humidity":35,"sound":1e-400}'),
    ("numbers in other dress", '{"temperature":6e1,"humidity":35.0,"sound":-0}'),
]


class Hostile(SystemTest):
    def setUp(self):
        super().setUp()
        self.sensor = self.client("sensor")

    def test_every_bad_payload_is_counted_by_its_reason_and_harms_no_other(self):
        self.agent.start()
        for i, (what, topic, payload, reason) in enumerate(BAD):
            with self.subTest(what):
                before = self.agent.ledger()
                self.sensor.publish(topic, payload)
                self.sensor.publish("factory/press-2/reading", reading(i, time_text(i), **NORMAL))

                after = self.agent.wait_received(before.received + 2)

                self.assertEqual(after.rejected - before.rejected, 1)
                grown = {
                    name for name, n in after.reasons.items() if n != before.reasons.get(name, 0)
                }
                self.assertEqual(grown, {reason})
                self.assertEqual(after.stored - before.stored, 1)
        self.sensor.wait_acknowledged()
        self.assertEqual(self.agent.get("/health")[0], 200)

    def test_what_is_at_the_limit_is_taken(self):
        self.agent.start()
        for i, (what, payload) in enumerate(GOOD):
            with self.subTest(what):
                self.sensor.publish(TOPIC, payload)
                ledger = self.agent.wait_received(i + 1)
                self.assertEqual(ledger.stored, i + 1, ledger)

    def test_retained_readings_are_rejected(self):
        for i in range(20):
            self.sensor.publish(f"factory/old-{i}/reading", reading(i, **NORMAL), retain=True)
        self.sensor.wait_acknowledged()

        self.agent.start()

        ledger = self.agent.wait_received(20)
        self.assertEqual(ledger.reasons, {"retained": 20})
        self.assertEqual(ledger.stored, 0)

    def test_random_bytes_do_no_harm(self):
        self.agent.start()
        dice = random.Random(11)
        whole = reading(1, time_text(time.time()), **NORMAL).encode()
        for _ in range(1000):
            payload = bytearray(whole)
            for _ in range(dice.randrange(1, 6)):
                payload[dice.randrange(len(payload))] = dice.randrange(256)
            self.sensor.publish(TOPIC, bytes(payload[: dice.randrange(1, len(payload) + 1)]))
            self.sensor.publish(TOPIC, dice.randbytes(dice.randrange(200)))
        self.sensor.wait_acknowledged()

        self.agent.wait_received(2000)

        self.assertEqual(self.agent.get("/health")[0], 200)

    def test_machines_beyond_the_limit_are_rejected_and_the_known_go_on(self):
        self.agent.settings["reading.machines"] = 3
        self.agent.start()
        for i in range(5):
            self.sensor.publish(f"factory/m-{i}/reading", reading(1, time_text(i), **NORMAL))
        self.sensor.publish("factory/m-0/reading", reading(2, time_text(9), **NORMAL))

        ledger = self.agent.wait_received(6)

        self.assertEqual(ledger.reasons, {"machines": 2})
        self.assertEqual(ledger.stored, 4)


if __name__ == "__main__":
    main()
