"""SIGTERM under load, two agents with one id, few descriptors, little memory."""

import os
import resource
import time

from faults import FaultTest, figure, main, scaled, until
from harness import Agent


class Limits(FaultTest):
    def test_sigterm_under_load_loses_nothing_and_is_quick(self):
        self.agent.start()
        flood = self.flood(rate=5000)
        worst = 0.0
        for _ in range(scaled(4, 50)):
            rows = self.rows()
            until("readings flow", lambda: self.rows() > rows + 500, 30)
            began = time.monotonic()
            self.assertEqual(self.agent.stop(10), 0)
            worst = max(worst, time.monotonic() - began)
            self.agent.launch()
        flood.stop()
        self.agent.wait_health(200)
        until("all are stored", lambda: self.rows() >= flood.published, 60)
        self.settle(flood.published)
        figure(f"SIGTERM under load, slowest stop {worst:.2f} s, {self.check()}")

    def test_two_agents_with_one_id_are_named(self):
        self.agent.start()
        twin = Agent(self.folder, self.broker.port, **{"store.path": os.path.join(self.folder, "twin.db"), "alerts.verdicts": "none"})
        twin.log = os.path.join(self.folder, "twin.log")
        twin.settings["model.path"] = self.agent.settings["model.path"]
        self.addCleanup(twin.kill)
        twin.launch()

        def named():
            answers = [one.get("/health", one.health_port)[2] for one in (self.agent, twin)]
            return any("client_id_conflict" in a["checks"]["broker"]["detail"] for a in answers)

        until("the conflict is named", named, 60)
        twin.kill()
        until(
            "it is over",
            lambda: "conflict" not in self.agent.get("/health", self.agent.health_port)[2]["checks"]["broker"]["detail"],
            90,
        )
        figure("two agents with one id: named in /health")

    def test_few_descriptors(self):
        self.agent.limits = {resource.RLIMIT_NOFILE: (32, 32)}
        self.agent.start()
        flood = self.flood(count=20000)
        for _ in range(40):  # more requests than there are descriptors
            self.agent.get("/history?limit=10&anomalies=0")
        flood.finish()
        self.settle(flood.published)
        figure(f"32 descriptors, {self.check()}")

    def test_little_memory(self):
        self.agent.limits = {resource.RLIMIT_DATA: (300 << 20, 300 << 20)}
        self.agent.start()
        flood = self.flood(count=50000, machines=200)
        flood.finish()
        self.settle(flood.published)
        figure(f"300 MB of data and stacks, {self.check()}")


if __name__ == "__main__":
    main()
