"""Settings: where they come from, and the sentence for each wrong one."""

import os
import unittest

from harness import SOURCE, SystemTest, main, program


class Config(SystemTest):
    broker_up = False

    def file(self, text, name="agent.conf", mode=0o644):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def printed(self, setting, *arguments, **environment):
        """The effective value's line in --print-config."""
        run = program("agent", *arguments, "--print-config", environment=environment)
        self.assertEqual(run.returncode, 0, run.stderr)
        section, name = setting.split(".")
        inside = ""
        for line in run.stdout.splitlines():
            words = line.split()
            if len(words) >= 2 and words[1] == "{":
                inside = words[0]
            elif words and inside == section and words[0] == name:
                return line
        self.fail(f"{setting} is not printed:\n{run.stdout}")

    def assert_refused(self, run, code, *words):
        self.assertEqual(run.returncode, code, run.stderr)
        self.assert_holds(run.stderr, *words)
        self.assertLessEqual(len(run.stderr.strip().splitlines()), 3, run.stderr)

    def test_default_then_file_then_environment_then_command_line(self):
        path = self.file('http {\n\tlisten = "127.0.0.1:8100"\n}\n')
        use = ("--config", path)
        environment = {"ISOLDE_HTTP_LISTEN": "127.0.0.1:8200"}
        word = ("--set", "http.listen=127.0.0.1:8300")

        self.assert_holds(self.printed("http.listen"), "127.0.0.1:8000", "default")
        self.assert_holds(self.printed("http.listen", *use), "127.0.0.1:8100", "agent.conf:2")
        self.assert_holds(
            self.printed("http.listen", *use, **environment), "127.0.0.1:8200", "ISOLDE_HTTP_LISTEN"
        )
        self.assert_holds(
            self.printed("http.listen", *use, *word, **environment), "127.0.0.1:8300", "--set"
        )

    def test_what_is_printed_loads_again(self):
        run = program("agent", "--set", "alarm.raise_count=4", "--print-config")
        path = self.file(run.stdout)

        again = program("agent", "--config", path, "--check-config")

        self.assertEqual(again.returncode, 0, again.stderr)
        self.assert_holds(self.printed("alarm.raise_count", "--config", path), "4")

    def test_the_annotated_file_is_valid(self):
        path = os.path.join(SOURCE, "config", "agent.conf")

        run = program("agent", "--config", path, "--check-config")

        self.assertEqual(run.returncode, 0, run.stderr)

    def test_without_config_no_file_is_read(self):
        self.assertNotIn(".conf", program("agent", "--print-config").stdout)

    def test_a_wrong_setting_on_the_command_line_exits_78_with_a_sentence(self):
        for word, *hints in (
            ("mqtt.urll=mqtt://x", "mqtt.urll", "mqtt.url"),
            ("mqt.url=mqtt://x", "mqt"),
            ("http.threads=0", "http.threads"),
            ("http.threads=many", "http.threads"),
            ("http.threads=1e999", "http.threads"),
            ("mqtt.url=ftp://x", "mqtt.url"),
            ("mqtt.url=mqtt://user:secret@x", "mqtt.url"),
            ("mqtt.topic=factory/reading", "mqtt.topic", "{machine}"),
            ("alarm.raise_count=6", "raise_count", "raise_window"),
            ("alerts.verdicts=some", "alerts.verdicts", "anomalies"),
            ("http.listen=8000", "http.listen"),
            ("http.read_token=short", "read_token"),
        ):
            with self.subTest(word):
                run = program("agent", "--set", word, "--check-config")
                self.assert_refused(run, 78, *hints)
                self.assertNotIn("secret", run.stderr)

    def test_a_wrong_file_exits_78_with_place_and_sentence(self):
        for text, *hints in (
            ('mqtt {\n\turll = "mqtt://x"\n}\n', "agent.conf:2", "mqtt.url"),
            ('mqqt {\n\turl = "mqtt://x"\n}\n', "agent.conf:1", "mqqt"),
            ('http {\n\tthreads = "0"\n}\n', "agent.conf:2", "http.threads"),
            ('http {\n\tthreads = "4"\n\tthreads = "5"\n}\n', "agent.conf:3", "threads"),
            ('http {\n}\nhttp {\n\tthreads = "5"\n}\n', "agent.conf:5", "http", "twice"),
            ('mqtt {\n\turl = "mqtt://x"\n', "agent.conf:"),
        ):
            with self.subTest(text):
                run = program("agent", "--config", self.file(text), "--check-config")
                self.assert_refused(run, 78, *hints)

    def test_a_wrong_variable_exits_78_and_is_named(self):
        for name, value in (("ISOLDE_HTTP_THREADS", "0"), ("ISOLDE_HTTP_THREAD", "4")):
            with self.subTest(name):
                run = program("agent", "--check-config", environment={name: value})
                self.assert_refused(run, 78, name)

    def test_a_missing_file_exits_66_and_is_named(self):
        run = program("agent", "--config", "/nowhere/agent.conf", "--check-config")

        self.assert_refused(run, 66, "/nowhere/agent.conf")

    def test_wrong_words_exit_64(self):
        for words in (["--what"], ["word"], ["--set", "noequals"], ["--config"]):
            with self.subTest(words):
                self.assertEqual(program("agent", *words).returncode, 64)

    def test_the_agent_itself_refuses_as_the_check_does(self):
        self.agent.settings["http.threads"] = "0"

        self.assertEqual(self.agent.launch().process.wait(10), 78)

        self.assertIn("http.threads", self.agent.process.words())

    def test_secrets_come_from_files_and_are_not_shown(self):
        path = self.file("canary-0123456789abcdef\n", "token", 0o600)
        run = program("agent", "--print-config", environment={"ISOLDE_HTTP_WRITE_TOKEN_FILE": path})
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertNotIn("canary", run.stdout + run.stderr)

        os.chmod(path, 0o644)
        run = program("agent", "--check-config", environment={"ISOLDE_HTTP_WRITE_TOKEN_FILE": path})
        self.assert_refused(run, 78, path)


class Words(unittest.TestCase):
    def test_every_program_has_help_and_version(self):
        for name in ("agent", "trainer", "simulator"):
            with self.subTest(name):
                run = program(name, "--help")
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.assertIn("isolde-" + name, run.stdout)
                run = program(name, "--version")
                self.assertEqual((run.returncode, run.stderr), (0, ""))
                self.assertRegex(run.stdout, r"\d+\.\d+\.\d+")


if __name__ == "__main__":
    main()
