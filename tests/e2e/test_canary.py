"""Secrets given by file are nowhere to be seen, and the running agent is confined."""

import os

from harness import SystemTest, main, program, until

CANARIES = {
    "mqtt.password": "canary-password-5d1c0a77",
    "http.read_token": "canary-read-token-91f4e2b8",
    "http.write_token": "canary-write-token-c03b6d15",
}


class Canary(SystemTest):
    settings = {"log.level": "debug"}

    def setUp(self):
        super().setUp()
        for name, secret in CANARIES.items():
            path = os.path.join(self.folder, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(secret + "\n")
            os.chmod(path, 0o600)
            self.agent.settings[name + "_file"] = path
        self.agent.settings["mqtt.username"] = "somebody"

    def proc(self, name):
        with open(f"/proc/{self.agent.process.child.pid}/{name}", "rb") as file:
            return file.read().decode(errors="replace")

    def assert_hidden(self, place, text):
        self.assertTrue(text, place)
        for name, secret in CANARIES.items():
            self.assertNotIn(secret, text, f"{name} in {place}")

    def test_secrets_are_nowhere_to_be_seen(self):
        watcher = self.client("watcher", "isolde/isolde-agent/info")
        self.agent.start()
        info = until("the info", lambda: watcher.on("isolde/isolde-agent/info"))
        self.agent.get("/history", headers={"Authorization": "Bearer wrong-token-0000"})
        token = {"Authorization": "Bearer " + CANARIES["http.read_token"]}
        self.assertEqual(self.agent.get("/history", headers=token)[0], 200)
        port = self.agent.health_port
        self.assert_hidden("argv", self.proc("cmdline"))
        try:
            self.assert_hidden("environ", self.proc("environ"))
        except PermissionError:
            pass  # in a container without CAP_SYS_PTRACE: the agent cannot be looked into, not even by root
        self.assert_hidden("/metrics", self.agent.get("/metrics", port)[2])
        self.assert_hidden("/health", str(self.agent.get("/health", port)[2]))
        self.assert_hidden("info", str(info))
        sets = [word for word in self.agent.arguments()[1:]]
        self.assert_hidden("--print-config", program("agent", "--print-config", *sets).stdout)
        self.assertEqual(self.agent.stop(), 0)
        self.assert_hidden("the log", self.agent.process.words())

    def test_the_running_agent_is_confined(self):
        self.agent.start()
        if "system calls are filtered" not in self.agent.process.words():
            self.skipTest("a sanitizer's build has no sandbox")
        pid = self.agent.process.child.pid
        for thread in os.listdir(f"/proc/{pid}/task"):
            status = self.proc(f"task/{thread}/status")
            self.assertIn("\nSeccomp:\t2\n", status)
            self.assertIn("\nNoNewPrivs:\t1\n", status)
        limits = [line.split() for line in self.proc("limits").splitlines()]
        core = next(words for words in limits if words[:2] == ["Max", "core"])
        self.assertEqual(core[4:6], ["0", "0"])


if __name__ == "__main__":
    main()
