"""Prometheus (Debian's) scrapes the agent of the stack with our settings, on this machine and in the
profile `monitoring`; every series that the rules and the dashboard ask for is there. The official
images themselves are not run: they would have to come from a registry."""

import json
import os
import re
import shutil
import subprocess
import unittest
import urllib.request

from stack import ANOMALY, SOURCE, WORK, Stack, free_ports, inspect, reading, run, until

MONITORING = os.path.join(SOURCE, "compose", "monitoring")
# What Grafana puts in for its variables.
VARIABLES = ((r"\$__rate_interval", "30s"), (r"\$__range", "1h"), (r"\$[a-z]+", ".*"))


def read(name):
    with open(os.path.join(MONITORING, name), encoding="utf-8") as file:
        return file.read()


def dashboard():
    return json.loads(read("isolde.json"))


def expressions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr":
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def metric_names(text):
    return set(re.findall(r"\b((?:isolde|process)_[a-z0-9_]+)\b", text))


class Files(unittest.TestCase):
    def test_rules_are_right_and_fire_on_what_they_are_for(self):
        run("promtool", "check", "rules", os.path.join(MONITORING, "rules.yml"))
        run("promtool", "test", "rules", os.path.join(MONITORING, "rules_test.yml"))
        alerts = re.findall(r"- alert: (\w+)", read("rules.yml"))
        for alert in alerts:
            self.assertIn(f'alertname="{alert}"', read("rules_test.yml"))

    def test_the_secure_stack_scrapes_the_same_with_a_token(self):
        token, config = os.path.join(WORK, "token"), os.path.join(WORK, "secure.yml")
        with open(os.path.join(SOURCE, "compose", "secure", "prometheus.yml"), encoding="utf-8") as file:
            text = file.read()
        line = next(line for line in text.splitlines(True) if "authorization" in line)
        self.assertEqual([l for l in text.replace(line, "").splitlines() if l[:1] != "#"],
                         [l for l in read("prometheus.yml").splitlines() if l[:1] != "#"])
        with open(token, "w", encoding="ascii") as file:
            file.write("a-token-of-24-characters")
        with open(config, "w", encoding="utf-8") as file:
            file.write(text.replace("/run/secrets/read_token", token).replace("/etc/prometheus", MONITORING))
        run("promtool", "check", "config", config)

    def test_the_dashboard_is_one_that_grafana_takes(self):
        board = dashboard()
        self.assertNotIn("id", board)
        ids = [panel["id"] for panel in board["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        source = re.search(r"uid: (\S+)", read("datasource.yml"))[1]
        for panel in board["panels"]:
            grid = panel["gridPos"]
            self.assertLessEqual(grid["x"] + grid["w"], 24)
            self.assertTrue(panel["targets"])
            self.assertEqual(panel["datasource"]["uid"], source)
            for target in panel["targets"]:
                self.assertEqual(target["datasource"]["uid"], source)


class Scraped(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = Stack("monitoring")
        cls.stack.compose("build")
        cls.addClassCleanup(cls.stack.compose, "--profile", "monitoring", "down", "-v", "-t", "5",
                            "--remove-orphans")
        cls.stack.up(ISOLDE_SIMULATOR_RATE="20", ISOLDE_SIMULATOR_ANOMALY_RATE="0")
        cls.port, = free_ports(1)
        text = read("prometheus.yml")
        for old, new in (("agent:8000", f"127.0.0.1:{cls.stack.http_port}"),
                         ("scrape_interval: 5s", "scrape_interval: 1s"),
                         ("/etc/prometheus/", MONITORING + "/")):
            assert old in text, old
            text = text.replace(old, new)
        config = os.path.join(WORK, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(text)
        run("promtool", "check", "config", config)
        log = open(os.path.join(WORK, "prometheus.log"), "wb")
        cls.addClassCleanup(log.close)
        cls.prometheus = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{cls.port}",
             f"--storage.tsdb.path={os.path.join(WORK, 'tsdb')}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )
        cls.addClassCleanup(cls.prometheus.wait)
        cls.addClassCleanup(cls.prometheus.terminate)
        until("it scrapes", lambda: cls.query("up == 1"), 30)

    @classmethod
    def query(cls, expression):
        return cls.stack.query(expression, cls.port)

    def test_every_name_is_a_metric_of_the_agent(self):
        _, _, page = self.stack.get("/metrics")
        families = dict(re.findall(r"(?m)^# TYPE (\S+) (\S+)", page))
        known = set(families)
        for family, kind in families.items():
            if kind == "histogram":
                known |= {family + tail for tail in ("_bucket", "_sum", "_count")}
        self.assertEqual(metric_names(read("rules.yml") + read("isolde.json")) - known, set())

    def test_every_panel_shows_something(self):
        self.stack.exec("broker", "mosquitto_pub", "-q", "1", "-t", "factory/press-9/reading",
                        "-m", reading(seq=1, **ANOMALY))
        queries = set(expressions(dashboard()))
        self.assertGreater(len(queries), 15)
        for query in sorted(queries):
            for pattern, value in VARIABLES:
                query = re.sub(pattern, value, query)
            with self.subTest(query):
                until(f"there is a series: {query}", lambda q=query: self.query(q), 10)

    def test_no_alert_on_a_healthy_plant(self):
        text = self.query('ALERTS{alertstate="firing"}')
        self.assertEqual(text, [])
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/rules", timeout=10) as answer:
            groups = json.load(answer)["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertEqual(len(rules), len(re.findall(r"- alert:", read("rules.yml"))))
        self.assertEqual([rule["lastError"] for rule in rules if rule.get("lastError")], [])

    def test_what_prometheus_stored_is_what_the_agent_says(self):
        stored = self.query("isolde_messages_stored_total")[0]["value"][1]
        self.assertLessEqual(0, float(stored))
        self.assertLessEqual(float(stored), self.stack.metrics()["isolde_messages_stored_total"])
        unaccounted = next(q for q in expressions(dashboard()) if "pending" in q and "received" in q)
        self.assertEqual(self.query(unaccounted)[0]["value"][1], "0")

    def test_the_profile_runs_closed_like_the_rest(self):
        self.stack.monitor()
        container = inspect(self.stack.compose("--profile", "monitoring", "ps", "-q", "prometheus").strip())
        self.assertTrue(container["HostConfig"]["ReadonlyRootfs"])
        self.assertEqual(container["Config"]["User"], "65534:65534")
        until("readings are seen", lambda: float(
            self.stack.query("isolde_messages_stored_total")[0]["value"][1]) > 0)
        url = f"http://127.0.0.1:{self.stack.prometheus_port}/api/v1/rules"
        with urllib.request.urlopen(url, timeout=10) as answer:
            self.assertEqual(len(json.load(answer)["data"]["groups"]), 1)


if __name__ == "__main__":
    if not shutil.which("prometheus"):
        print("prometheus is not installed")
        raise SystemExit(77)
    unittest.main(verbosity=2)
