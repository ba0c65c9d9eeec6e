"""A headless Chromium, driven over WebDriver (W3C) by plain HTTP: no library is needed."""

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from harness import free_ports, until  # noqa: E402

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-renderer-backgrounding", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--force-device-scale-factor=1", "--hide-scrollbars")  # fmt: skip


def available():
    return shutil.which("chromium") and shutil.which("chromedriver")


class Driver:
    """One chromedriver; sessions are browsers of their own."""

    def __init__(self):
        self.port = free_ports(1)[0]
        self.process = subprocess.Popen(
            ["chromedriver", f"--port={self.port}", "--silent"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until("chromedriver answers", lambda: self.call("GET", "/status")["ready"])

    def call(self, method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Content-Type": "application/json"},
            data=None if body is None else json.dumps(body).encode(),
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(json.loads(error.read())["value"]["message"]) from None

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Browser:
    def __init__(self, driver, width=1440, height=900, dark=False):
        self.driver = driver
        self.profile = tempfile.mkdtemp(prefix="isolde-page-")
        flags = [*FLAGS, f"--window-size={width},{height}", f"--user-data-dir={self.profile}"]
        if dark:
            flags.append("--blink-settings=preferredColorScheme=0")
        session = driver.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "goog:chromeOptions": {"binary": shutil.which("chromium"), "args": flags},
        }}})  # fmt: skip
        self.id = session["sessionId"]
        self.problems, self.origins, self.url_of, self.transferred = [], set(), {}, {}
        # Chromium's window is wider than what it shows of a page; a phone is narrower than any.
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        self.command(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}],
        )

    def call(self, method, path, body=None):
        return self.driver.call(method, f"/session/{self.id}{path}", body)

    def command(self, name, **arguments):
        return self.call("POST", "/goog/cdp/execute", {"cmd": name, "params": arguments})

    def open(self, url):
        self.call("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script, *arguments):
        return self.call("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def text(self, selector):
        """Of all that match, or "" """
        return self.run(
            "return Array.from(document.querySelectorAll(arguments[0]), e => e.innerText).join('\\n')", selector
        )

    def click(self, selector):
        self.run(
            "const e = document.querySelector(arguments[0]); if (!e) throw Error('no ' + arguments[0]); e.click()",
            selector,
        )

    def type(self, selector, text):
        self.run(
            "const e = document.querySelector(arguments[0]); e.value = arguments[1];"
            "e.dispatchEvent(new Event('input', { bubbles: true }))", selector, text,
        )  # fmt: skip

    def key(self, key):
        self.run(
            "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0], bubbles: true, cancelable: true }))",
            key,
        )

    def until(self, what, script, seconds=15, arguments=()):
        return until(what, lambda: self.run(script, *arguments), seconds)

    def wait_text(self, selector, words, seconds=15):
        try:
            until(f"{words!r} in {selector}", lambda: words in self.text(selector), seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.text(selector)[:1000]!r}") from None

    def shot(self, path):
        data = self.call("GET", "/screenshot")
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def collect(self):
        """What the console said, and whom the page asked, since the last look."""
        for line in self.call("POST", "/se/log", {"type": "browser"}):
            if line["level"] in ("SEVERE", "WARNING"):
                self.problems.append(line["message"])
        for line in self.call("POST", "/se/log", {"type": "performance"}):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.origins.add(message["params"]["request"]["url"])
                self.url_of[message["params"]["requestId"]] = message["params"]["request"]["url"]
            elif message["method"] == "Network.loadingFinished":
                url = self.url_of.get(message["params"]["requestId"], "")
                self.transferred[url] = self.transferred.get(url, 0) + message["params"]["encodedDataLength"]
        return self.problems

    def cpu_seconds(self):
        """Of all the browser's processes so far."""
        total = 0
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    if self.profile not in file.read():
                        continue
                with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            except OSError:
                pass
        return total

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            shutil.rmtree(self.profile, ignore_errors=True)
