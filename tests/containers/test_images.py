"""The images: small, without privileges, labelled, the same bytes twice."""

import os
import re
import unittest

from stack import SOURCE, Stack, docker, inspect, run

PROGRAMS = ("agent", "trainer", "simulator", "broker")
USERS = {"agent": "10001:10001", "trainer": "10001:10001", "simulator": "10001:10001",
         "broker": "10002:10002"}
OWN_LAYERS_MAX = 5_000_000


def size(text):
    number, unit = re.fullmatch(r"([0-9.]+)([kMG]?B)", text).groups()
    return float(number) * {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]


def layers(image):
    """(bytes, instruction), newest first."""
    text = docker("history", "--no-trunc", "--format", "{{.Size}}\t{{.CreatedBy}}", image)
    return [(size(line.split("\t")[0]), line.split("\t")[1]) for line in text.splitlines()]


class Images(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.stack = Stack("images")
        cls.stack.compose("build")

    def test_sizes(self):
        base = inspect("debian:bookworm-slim")["Size"]
        print(f"\n{'image':10} {'in all':>9} {'base':>9} {'Debian':>9} {'own':>9}  (MB)")
        for name in PROGRAMS:
            own = sum(n for n, made in layers("isolde/" + name) if "COPY" in made)
            whole = inspect("isolde/" + name)["Size"]
            print(f"{name:10} " + " ".join(
                f"{n / 1e6:9.2f}" for n in (whole, base, whole - base - own, own)))
            self.assertLess(own, OWN_LAYERS_MAX)

    def test_what_an_image_says_of_itself(self):
        with open(os.path.join(SOURCE, "CMakeLists.txt"), encoding="utf-8") as file:
            version = re.search(r"VERSION ([0-9.]+)", file.read().split("project(")[1])[1]
        for name in PROGRAMS:
            with self.subTest(name):
                config = inspect("isolde/" + name)["Config"]
                labels = config["Labels"]
                self.assertEqual(config["User"], USERS[name])
                self.assertFalse(config.get("Volumes"))
                self.assertEqual(labels["org.opencontainers.image.title"], "isolde-" + name)
                self.assertEqual(labels["org.opencontainers.image.version"], version)
                for label in ("description", "licenses", "vendor", "revision"):
                    self.assertTrue(labels["org.opencontainers.image." + label])
        self.assertEqual(
            inspect("isolde/agent")["Config"]["Healthcheck"]["Test"],
            ["CMD", "/usr/bin/isolde-agent", "--healthcheck"],
        )

    def test_nothing_but_what_runs(self):
        for name in PROGRAMS:
            with self.subTest(name):
                found = docker(
                    "run", "--rm", "--network", "none", "--entrypoint", "sh", "isolde/" + name, "-c",
                    "ls /var/lib/apt/lists /var/cache/apt /src /build 2>/dev/null | grep -v ':$'; "
                    "command -v gcc cmake; find / -xdev -perm -4000 -newer /etc/debian_version "
                    "-path '*isolde*'; find / -xdev -name '*.c' -path '*isolde*'; true",
                )
                left = [line for line in found.split() if line not in ("archives", "lock", "partial")]
                self.assertEqual(left, [])

    def test_programs_run_as_nobody_in_particular(self):
        for name in ("agent", "trainer", "simulator"):
            said = docker(
                "run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL",
                "--user", "54321:54321", "isolde/" + name, "--version",
            )
            self.assertIn("isolde-" + name, said)

    def test_two_builds_give_the_same_bytes(self):
        sums = []
        for number in ("1", "2"):
            docker(
                "build", "-q", "-f", "compose/Dockerfile", "--target", "build",
                "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--build-arg", "BUILD_RUN=" + number,
                "-t", "isolde/build", ".", cwd=SOURCE,
            )
            sums.append(docker(
                "run", "--rm", "--network", "none", "isolde/build", "sh", "-c",
                "cd /out && find . -type f -exec sha256sum {} + | sort && "
                "find . -printf '%p %T@ %m\\n' | sort",
            ))
        self.assertIn("/out/usr/bin/isolde-agent".replace("/out/", "./"), sums[0])
        self.assertIn("1700000000.0", sums[0])
        self.assertEqual(sums[0], sums[1])

    def test_the_compose_file_is_valid_in_every_front_end(self):
        for front in (["docker-compose"], ["docker", "compose"]):
            if run(*front, "version", check=False).returncode:
                continue
            for more in ([], ["-f", "compose/secure/docker-compose.yml"]):
                run(*front, "-f", "compose/docker-compose.yml", *more, "config", "-q", cwd=SOURCE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
