"""Files that an enemy wrote, and surroundings that nobody checked: the agent starts, or says in one
sentence why not, and never by a signal."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess

from hostile import BIN, NORMAL, SystemTest, clean_environment, main, reading, until

REFUSED = {65, 66, 73, 74, 78}


def sealed(model):
    """As isolde-trainer ends a model file: the digest of every byte before it."""
    body = json.dumps(model, separators=(",", ":"))[:-1]
    return body + ',\n"sha256":"' + hashlib.sha256(body.encode()).hexdigest() + '"}\n'


class Models(SystemTest):
    def cases(self):
        with open(self.agent.settings["model.path"], encoding="utf-8") as file:
            text = file.read()
        whole = json.loads(text)
        del whole["sha256"]

        def changed(**members):
            return sealed({**whole, **members})

        forest = whole["forest"]
        left = list(forest["left"])
        loop = {**forest, "left": [0] * len(left)}
        yield "nothing", ""
        yield "cut short", text[: len(text) // 2]
        yield "a byte changed", text[:3000] + ("1" if text[3000] != "1" else "2") + text[3001:]
        yield "binary", os.urandom(5000)
        yield "another file's seal", text[:-68] + "0" * 64 + text[-4:]
        yield "circles", changed(forest=loop)
        yield "children far away", changed(forest={**forest, "left": [2**31 - 1] * len(left)})
        yield "a hundred million trees", changed(forest={**forest, "trees": 100000000})
        yield "no trees", changed(forest={**forest, "trees": 0, "root": []})
        yield "a feature that is not there", changed(forest={**forest, "feature": [77] * len(forest["feature"])})
        yield "a reserved name", changed(features=[{**whole["features"][0], "name": "is_anomaly"}, *whole["features"][1:]])
        yield "65 features", changed(features=[{**whole["features"][0], "name": f"f{i}"} for i in range(65)])
        yield "a threshold that is text", changed(threshold="1")
        yield "another schema", changed(schema="isolde-model/99")
        yield "another detector", changed(detector="oracle")
        yield "deep", sealed({**whole, "x": json.loads("[" * 200 + "]" * 200)})

    def things(self):
        """What is no file of a sensible size; each makes itself at the model's path."""
        path = self.agent.settings["model.path"]

        def sparse():
            with open(path, "wb") as file:
                file.truncate(10 << 30)

        yield "10 GB of nothing", sparse
        yield "a pipe", lambda: os.mkfifo(path)
        yield "a folder", lambda: os.mkdir(path)
        yield "a link to zeros without end", lambda: os.symlink("/dev/zero", path)
        yield "a link to somebody's file", lambda: os.symlink("/etc/passwd", path)
        yield "a link to itself", lambda: os.symlink(path, path)
        yield "a link to nowhere", lambda: os.symlink("/nowhere/model.json", path)

    def put(self, content):
        path = self.agent.settings["model.path"]
        if os.path.isdir(path) and not os.path.islink(path):
            os.rmdir(path)
        elif os.path.lexists(path):
            os.unlink(path)
        if callable(content):
            content()
            return
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())

    def test_none_is_put_in_force(self):
        self.agent.start()
        before = self.agent.request("POST", "/predict", json.dumps(NORMAL))[2]
        for what, content in [*self.cases(), *self.things()]:
            with self.subTest(what):
                self.put(content)
                status, _, answer = self.agent.request("POST", "/reload")
                self.assertEqual(status, 422, answer)
                self.assertIn("model.json", answer["detail"])
                self.assertEqual(self.agent.request("POST", "/predict", json.dumps(NORMAL))[2], before)
                shown = subprocess.run(
                    [os.path.join(BIN, "isolde-trainer"), "show", "--model", self.agent.settings["model.path"]],
                    capture_output=True,
                    text=True,
                    timeout=20,
                    check=False,
                )
                self.assertIn(shown.returncode, REFUSED, shown.stderr)
                self.agent.running()
        self.assertTrue(self.agent.ledger().balances())


class Histories(SystemTest):
    def enemy(self, *statements):
        """Our own schema, and what an enemy added."""
        self.agent.start()
        self.client("sensor").publish("factory/m/reading", reading(1, "2026-11-23T12:00:00Z", **NORMAL))
        self.agent.wait_received(1)
        self.agent.stop()
        with contextlib.closing(sqlite3.connect(self.agent.store)) as database:
            for statement in statements:
                database.execute(statement)
            database.commit()

    def goes_on(self):
        """It starts, on this file or on a new one beside it, and stores."""
        self.agent.start()
        client = self.client("sensor-2")
        client.publish("factory/m/reading", reading(2, "2026-11-23T12:00:01Z", **NORMAL))
        client.wait_acknowledged()

        def stored():
            self.agent.running()
            return self.agent.get("/history?anomalies=0&limit=9")[2]

        until("it is stored", lambda: 2 in [item["seq"] for item in stored().get("items", [])], 30)
        self.assertTrue(self.agent.ledger().balances())
        self.assertEqual(self.agent.stop(10), 0)

    def store_is_red(self):
        """Other checks are, too, until the broker is there."""
        status, _, answer = self.agent.get("/health")
        return status == 503 and answer["checks"]["store"]["status"] == "fail"

    def test_triggers(self):
        self.enemy(
            "CREATE TRIGGER t AFTER INSERT ON reading BEGIN DELETE FROM reading WHERE id < new.id; END",
            "CREATE TRIGGER u BEFORE INSERT ON minute BEGIN SELECT raise(ABORT, 'no'); END",
        )
        self.goes_on()

    def test_views_in_the_place_of_tables(self):
        """What has become of it is for a person to see: nothing is put aside, readings are scored and counted."""
        self.enemy("DROP TABLE label", "CREATE VIEW label AS SELECT * FROM label")
        self.agent.settings["store.hold_s"] = "0"
        self.agent.launch()
        until("it is red", self.store_is_red)
        self.client("sensor-2").publish("factory/m/reading", reading(2, "2026-11-23T12:00:01Z", **NORMAL))
        until("it is counted", lambda: self.agent.ledger().dropped == 1, 20)
        self.assert_holds(self.agent.process.words(), "history.db: making the tables")
        self.assertEqual(self.agent.stop(10), 0)

    def test_another_programs_file(self):
        with contextlib.closing(sqlite3.connect(self.agent.store)) as database:
            database.execute("CREATE TABLE accounts(name)")
            database.execute("INSERT INTO accounts VALUES('kept')")
            database.execute("PRAGMA application_id = 77")
            database.commit()
        self.agent.launch()
        self.assertIn(self.agent.process.wait(10), REFUSED, self.agent.process.words())
        self.assert_holds(self.agent.process.words(), "history.db")
        with contextlib.closing(sqlite3.connect(self.agent.store)) as database:
            self.assertEqual(database.execute("SELECT name FROM accounts").fetchall(), [("kept",)])

    def test_a_schema_of_thousands_of_tables(self):
        self.enemy("BEGIN", *(f"CREATE TABLE x{i}({', '.join(f'c{k}' for k in range(100))})" for i in range(3000)))
        self.goes_on()

    def test_what_is_no_file(self):
        """It says so and is red, or ends with the sentence; it never waits for a writer."""
        for what, make in (
            ("a folder", os.mkdir),
            ("a pipe", os.mkfifo),
            ("a link to itself", lambda path: os.symlink(path, path)),
            ("a device", lambda path: os.symlink("/dev/zero", path)),
        ):
            with self.subTest(what):
                make(self.agent.store)
                self.agent.launch()

                try:
                    until("it ended or is red", lambda: not self.agent.process.running() or self.store_is_red())
                    self.assert_holds(self.agent.process.words(), "level=error", "history.db: ")
                    if self.agent.process.running():
                        self.assertEqual(self.agent.stop(10), 0, self.agent.process.words())
                    else:
                        self.assertIn(self.agent.process.wait(1), REFUSED)
                finally:
                    self.agent.kill()
                    (os.rmdir if os.path.isdir(self.agent.store) else os.unlink)(self.agent.store)

    def test_rows_that_lie(self):
        self.enemy(
            'UPDATE reading SET "values" = zeroblob(100000)',
            "UPDATE reading SET feature_set = 4711, model = 4711, back = -1, machine = 99",
            "UPDATE minute SET head = 123456789012, readings = -5",
            "UPDATE machine SET alarm = '{\"state\":[[[[[[[[[[1]]]]]]]]]]}'",
        )
        self.agent.start()
        for path in ("/history?anomalies=0", "/history", "/alarms", "/alarms?history=1", "/plant", "/machines/press-1/series"):
            self.assertIn(self.agent.get(path)[0], (200, 503))
        self.agent.running()
        self.assertTrue(self.agent.ledger().balances())

    def test_pages_of_noise(self):
        self.enemy()
        with open(self.agent.store, "r+b") as file:
            file.seek(0, 2)
            size = file.tell()
            for at in range(4096 + 100, size, 1000):
                file.seek(at)
                file.write(os.urandom(7))
        self.goes_on()


# (what, file, words that the sentence holds)
SETTINGS = [
    ("an unknown name", "http {\n threeds = 5\n}\n", ("agent.conf:2", "threads")),
    ("a name twice", "http {\n threads = 5\n threads = 6\n}\n", ("agent.conf:3", "threads")),
    ("a line of a megabyte", "http {\n listen = \"" + "x" * 1000000 + "\"\n}\n", ("agent.conf",)),
    ("port 65536", "http {\n listen = \"127.0.0.1:65536\"\n}\n", ("listen",)),
    ("minus one", "http {\n threads = -1\n}\n", ("threads",)),
    ("inf", "store {\n hold_s = inf\n}\n", ("hold_s",)),
    ("no UTF-8", b"mqtt {\n client_id = \"\xff\xfe\"\n}\n", ("client_id",)),
    ("a NUL", b"mqtt {\n client_id = \"a\0b\"\n}\n", ("agent.conf",)),
    ("a brace too few", "http {\n threads = 5\n", ("agent.conf",)),
    ("a brace too many", "http {\n threads = 5\n}\n}\n", ("agent.conf",)),
    ("a string without an end", "mqtt {\n client_id = \"a\n}\n", ("agent.conf",)),
    ("a password in the url", "mqtt {\n url = \"mqtt://u:p@h\"\n}\n", ("url",)),
    ("a shared subscription", "mqtt {\n topic = \"$share/g/factory/{machine}/reading\"\n}\n", ("topic",)),
    ("a topic without a machine", "mqtt {\n topic = \"factory/+/reading\"\n}\n", ("{machine}",)),
    ("a secret that is not there", "http {\n read_token_file = \"/nowhere/at/all\"\n}\n", ("/nowhere/at/all",)),
    ("a folder for a secret", "http {\n read_token_file = \"/tmp\"\n}\n", ("/tmp",)),
    ("half of TLS", "mqtt {\n url = \"mqtts://h\"\n cert_file = \"/x\"\n}\n", ("cert_file",)),
    ("random bytes", os.urandom(2000), ("agent.conf",)),
]  # fmt: skip


class Starts(SystemTest):
    def check(self, *words, **environment):
        return subprocess.run(
            [os.path.join(BIN, "isolde-agent"), *words],
            env=clean_environment(**environment),
            capture_output=True,
            timeout=20,
            check=False,
        )

    def test_each_bad_setting_ends_the_start_with_its_place(self):
        path = os.path.join(self.folder, "agent.conf")
        for what, content, words in SETTINGS:
            with self.subTest(what):
                with open(path, "wb") as file:
                    file.write(content if isinstance(content, bytes) else content.encode())
                done = self.check("--config", path, "--check-config")
                said = done.stderr.decode(errors="replace")
                self.assertEqual(done.returncode, 78, said)
                self.assertLess(len(said), 4000)
                for word in words:
                    self.assertIn(word, said)

    def test_secrets_that_others_may_read_are_refused(self):
        path = os.path.join(self.folder, "token")
        with open(path, "w", encoding="ascii") as file:
            file.write("0123456789abcdef\n")
        os.chmod(path, 0o644)
        done = self.check("--set", f"http.read_token_file={path}", "--check-config")
        self.assertEqual(done.returncode, 78)
        self.assertIn(b"token", done.stderr)

    def starts(self, **environment):
        self.agent.start(**environment)
        client = self.client(f"sensor-{len(environment)}")
        client.publish("factory/m/reading", reading(7, "2026-11-23T12:00:00Z", temperature=60.25, humidity=35, sound=75))
        client.wait_acknowledged()
        item = until("it is stored", self.agent.history)[0]
        self.assertEqual((item["temperature"], item["timestamp"]), (60.25, "2026-11-23T12:00:00.000Z"))
        self.assertEqual(self.agent.stop(10), 0, self.agent.process.words())
        shutil.rmtree(os.path.join(self.folder, "history.db"), ignore_errors=True)

    def test_surroundings(self):
        cases = {
            "a decimal comma": {"LC_ALL": "de_DE.UTF-8", "LC_NUMERIC": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
            "a far time zone": {"TZ": "Pacific/Kiritimati"},
            "a time zone that is a file": {"TZ": ":/etc/passwd"},
            "a large variable": {"X": "x" * 100000},
            "a home that is nowhere": {"HOME": "/nowhere", "TMPDIR": "/nowhere"},
        }
        for what, environment in cases.items():
            with self.subTest(what):
                self.starts(**environment)

    def test_without_a_home_and_with_every_descriptor_closed(self):
        self.agent.prefix = ["/bin/sh", "-c", 'umask 000; unset HOME; exec "$@" <&- >&-', "sh"]
        self.starts()
        mode = os.stat(self.agent.store).st_mode & 0o777
        self.assertEqual(mode & 0o007, 0, f"the history may be read by others: {mode:o}")

    def test_a_port_in_use_is_named(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.agent.settings["http.listen"] = f"127.0.0.1:{port}"
            self.agent.launch()
            self.assertIn(self.agent.process.wait(10), REFUSED)
            self.assert_holds(self.agent.process.words(), f"127.0.0.1:{port}", "in use")


if __name__ == "__main__":
    main()
