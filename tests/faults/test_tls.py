"""The same over TLS, where Paho writes in another way: kill -9, cuts, a connection that goes deaf."""

import os
import random
import shutil
import subprocess
import time

from faults import FaultTest, figure, main, scaled, until
from harness import free_ports
from test_network import Proxy

SEED = int(os.environ.get("FAULTS_SEED", random.randrange(2**32)))


class Tls(FaultTest):
    def setUp(self):
        super().setUp()
        if not shutil.which("openssl"):
            self.skipTest("openssl is not installed")
        port = free_ports(1)[0]
        key, certificate = (os.path.join(self.folder, name) for name in ("key.pem", "cert.pem"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=127.0.0.1",
             "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True,
        )
        with open(self.broker.configuration, "a", encoding="utf-8") as file:
            file.write(
                f"listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {certificate}\nkeyfile {key}\n"
            )
        self.broker.stop()
        self.broker.start()
        self.proxy = Proxy(port)
        self.addCleanup(self.proxy.close)
        self.agent.settings["mqtt.url"] = f"mqtts://127.0.0.1:{self.proxy.port}"
        self.agent.settings["mqtt.ca_file"] = certificate
        self.agent.settings["mqtt.keepalive_s"] = "5"

    def test_kills_and_cuts_cost_nothing(self):
        chance = random.Random(SEED)
        self.agent.start()
        flood = self.flood(rate=2000)
        turns = scaled(5, 100)
        for _ in range(turns):
            before = self.agent.ledger().received
            until("readings flow", lambda: self.agent.ledger().received > before + 300, 60)
            self.proxy.cut()
            time.sleep(chance.uniform(0.005, 0.6))  # the instant is what is random here
            self.agent.kill()
            self.agent.launch()
            self.agent.wait_health(200, 60)
        flood.stop()
        self.settle(flood.published, 120)
        figure(f"TLS, seed {SEED}: {turns} cuts and kills, {self.check()}")

    def test_a_deaf_connection_is_made_anew(self):
        self.agent.start()
        flood = self.flood(rate=500)
        until("readings flow", lambda: self.agent.ledger().stored > 300, 60)
        self.proxy.deaf = True
        until("the loss is noticed", lambda: self.agent.metrics()["isolde_mqtt_connected"] == 0, 60)
        self.proxy.deaf = False
        self.proxy.cut()  # half of TLS is lost for good
        self.agent.wait_health(200, 60)
        flood.stop()
        self.settle(flood.published, 120)
        figure(f"TLS, half-open: {self.check()}")


if __name__ == "__main__":
    main()
