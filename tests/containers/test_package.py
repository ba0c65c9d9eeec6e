"""The .deb, made in the build stage, and what becomes of it in a bare Debian: installed, run as its
user, removed, installed again, purged. There is no systemd as process 1 in a container, so the unit
is verified and rated, and the agent is started by hand as the unit would."""

import os
import unittest

from stack import SOURCE, WORK, docker, run, until

EXPOSURE_MAX = "20"  # tenths
BUILD = """
set -e
apt-get -o Acquire::Retries=3 update -q >/dev/null
DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 install -q -y --no-install-recommends dpkg-dev file >/dev/null
export SOURCE_DATE_EPOCH=1700000000
cd /build
cpack -B /one >/dev/null && cpack -B /two >/dev/null
cmp /one/*.deb /two/*.deb
cp /one/*.deb /deb/
"""
# What lintian may say: nobody's address is invented, so the maintainer has none.
WITHOUT_ADDRESS = "bogus-mail-host-in-debian-changelog,malformed-contact"
AS_ISOLDE = "cd /var/lib/isolde && setpriv --reuid isolde --regid isolde --clear-groups "


class Package(unittest.TestCase):
    """In the order of their names: one bare Debian for all."""

    @classmethod
    def setUpClass(cls):
        cls.folder = os.path.join(WORK, "deb")
        os.makedirs(cls.folder, exist_ok=True)
        docker("build", "-q", "-f", "compose/Dockerfile", "--target", "build", "-t", "isolde/build",
               ".", cwd=SOURCE)
        docker("run", "--rm", "-v", f"{cls.folder}:/deb", "isolde/build", "sh", "-c", BUILD)
        cls.deb = next(name for name in os.listdir(cls.folder) if name.endswith(".deb"))
        cls.bare = docker("run", "-d", "--init", "-v", f"{cls.folder}:/deb:ro", "debian:bookworm-slim",
                          "sleep", "infinity").strip()
        cls.addClassCleanup(docker, "rm", "-f", cls.bare)
        cls.apt("update")

    @classmethod
    def sh(cls, text, check=True):
        return docker("exec", cls.bare, "sh", "-c", text, check=check)

    @classmethod
    def apt(cls, words):
        return cls.sh(f"DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -q -y --no-install-recommends {words} 2>&1")

    def test_1_install(self):
        self.sh(f"dpkg -i /deb/{self.deb} >/dev/null 2>&1", check=False)  # what it needs is not there
        self.apt("-f install")

        self.assertIn("ii  isolde", self.sh("dpkg -l isolde"))
        for path, wanted in (
            ("/var/lib/isolde", "isolde:isolde 750"), ("/var/lib/isolde/data", "isolde:isolde 750"),
            ("/etc/isolde/agent.conf", "root:root 644"), ("/usr/bin/isolde-agent", "root:root 755"),
        ):
            self.assertEqual(self.sh(f"stat -c '%U:%G %a' {path}").strip(), wanted, path)
        self.assertIn("/usr/sbin/nologin", self.sh("getent passwd isolde"))
        self.assertEqual(
            sorted(line.split()[0] for line in self.sh(
                "dpkg-query -W -f '${Conffiles}' isolde").split("\n") if line.strip()),
            ["/etc/isolde/agent.conf", "/etc/isolde/mosquitto.acl", "/etc/isolde/mosquitto.conf"],
        )
        self.sh("test -L /etc/systemd/system/multi-user.target.wants/isolde-agent.service")
        for name in ("agent", "trainer", "simulator"):
            self.assertNotIn("not found", self.sh(f"ldd /usr/bin/isolde-{name}"))

    def test_2_run_as_its_user(self):
        self.apt("install mosquitto mosquitto-clients")
        self.sh("chown -R mosquitto /var/lib/mosquitto")
        docker("exec", "-d", self.bare, "mosquitto", "-c", "/etc/isolde/mosquitto.conf")
        self.sh(AS_ISOLDE + "isolde-simulator baseline --output data/baseline.csv")
        self.sh(AS_ISOLDE + "isolde-trainer train --baseline data/baseline.csv "
                "--model data/models/default.json")
        unit = self.sh("cat /usr/lib/systemd/system/isolde-agent.service")
        start = next(line[10:] for line in unit.splitlines() if line.startswith("ExecStart="))
        docker("exec", "-d", self.bare, "sh", "-c", AS_ISOLDE + start + " 2>/tmp/log")

        try:
            until("it is healthy",
                  lambda: self.sh("isolde-agent --healthcheck 2>/dev/null", check=False).returncode == 0)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.sh('cat /tmp/log')}") from None
        said = self.sh(
            "mosquitto_sub -t alerts/press-1/verdict -C 1 -W 20 >/tmp/verdict & sub=$!; "
            "while [ ! -s /tmp/verdict ] && kill -0 $sub 2>/dev/null; do mosquitto_pub -q 1 "
            "-t factory/press-1/reading -m '{\"temperature\":95,\"humidity\":20,\"sound\":120}'; done; "
            "wait $sub; cat /tmp/verdict"
        )
        self.assertIn('"is_anomaly":1', said)
        self.assertEqual(self.sh("stat -c '%U %a' /var/lib/isolde/data/history.db").strip(), "isolde 640")

    def test_3_the_unit(self):
        self.apt("install systemd procps")  # the unit calls kill
        unit = "/usr/lib/systemd/system/isolde-agent.service"
        self.sh(f"systemd-analyze verify --man=no {unit} 2>&1")
        rated = self.sh(
            f"systemd-analyze security --no-pager --offline=true --threshold={EXPOSURE_MAX} {unit} 2>&1"
        )
        print("\n" + rated.strip().splitlines()[-1])
        text = self.sh(f"cat {unit}")
        for line in ("Type=notify", "WatchdogSec=30", "User=isolde", "Restart=on-failure"):
            self.assertIn(line, text.splitlines())

    def test_4_remove_keeps_settings_and_data(self):
        self.sh("pkill -x isolde-agent")
        self.sh("echo '# mine' >>/etc/isolde/agent.conf")
        self.apt("remove isolde")
        self.assertEqual(self.sh("ls /usr/bin/isolde-* 2>/dev/null || true"), "")
        self.sh("test -e /var/lib/isolde/data/history.db && test -e /etc/isolde/agent.conf")

        self.apt(f"install /deb/{self.deb}")
        self.assertIn("# mine", self.sh("cat /etc/isolde/agent.conf"))
        self.sh("isolde-agent --config /etc/isolde/agent.conf --check-config")

    def test_5_purge_leaves_nothing(self):
        self.apt("purge isolde")
        left = self.sh("find / -xdev -iname '*isolde*' -not -path '/proc/*' -not -path '/deb/*' "
                       "-not -path '/sys/*'")
        self.assertEqual(left, "")
        self.assertIn("nologin", self.sh("getent passwd isolde"))  # its number is not given again

    def test_6_lintian_has_nothing_to_say(self):
        self.apt("install lintian")
        self.sh(f"lintian --allow-root --fail-on error,warning --suppress-tags {WITHOUT_ADDRESS} "
                f"/deb/{self.deb} 2>&1")


if __name__ == "__main__":
    unittest.main(verbosity=2)
