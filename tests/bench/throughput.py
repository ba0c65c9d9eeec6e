"""The acknowledged path beside a subscriber that does nothing: the same broker, the same publisher
(tests/faults/flood.c at full speed), by turns, so that what the machine is busy with hits both.
Each may come in over TCP or over the broker's unix-domain socket."""

import glob
import json
import os
import statistics
import subprocess
import time

from harness import BIN, Agent, until

READINGS = 40_000
TURNS = 3
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        words = file.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICKS


def cpu_ns(pid):
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def address(broker, way):
    """As the load programs take it."""
    return broker.local if way == "unix" else str(broker.port)


def flood(where, name):
    return subprocess.Popen(
        [os.path.join(BIN, "flood"), where, str(READINGS), "--machines", "20", "--name", name],
        stdout=subprocess.DEVNULL,
    )


def null_turn(broker, way, sensors, turn):
    """(messages a second, CPU in us a message)"""
    null = subprocess.Popen(
        [os.path.join(BIN, "null"), address(broker, way), str(READINGS)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert null.stdout.readline() == "ready\n"
        began = time.perf_counter()
        publisher = flood(address(broker, sensors), f"null-{turn}")
        assert null.stdout.readline() == "done\n"
        seconds = time.perf_counter() - began
        used = os.wait4(null.pid, 0)[2]
        null.returncode = 0
        assert publisher.wait(60) == 0
        return READINGS / seconds, (used.ru_utime + used.ru_stime) / READINGS * 1e6
    finally:
        if null.returncode is None:
            null.kill()
            null.wait()


def make_agent(folder, broker, way, name, **settings):
    agent = Agent(
        folder,
        broker.port,
        **{"mqtt.client_id": name, "store.path": os.path.join(folder, f"{name}.db"), **settings},
    )
    if way == "unix":
        agent.settings["mqtt.url"] = f"unix://{broker.local}"
    return agent


def forget(agent):
    agent.stop()
    for path in glob.glob(agent.settings["store.path"] + "*"):  # and its reserve, which counts on
        os.remove(path)


def wait_stored(agent, count):
    def stored():
        time.sleep(0.01)  # asking costs the agent, too
        return agent.ledger().stored >= count

    until(f"{count} readings are stored", stored, 120)


def agent_turn(agent, where, turn):
    before = agent.ledger().stored
    used = cpu_ns(agent.process.child.pid)
    began = time.perf_counter()
    publisher = flood(where, f"agent-{turn}")
    wait_stored(agent, before + READINGS)
    seconds = time.perf_counter() - began
    used = cpu_ns(agent.process.child.pid) - used
    assert publisher.wait(60) == 0
    return READINGS / seconds, used / READINGS / 1e3


class Compared:
    """The agent's turns beside the null subscriber's: `ratios` of each pair; of both, null first, the
    medians of `rates` and of `cpu` in us a message; `agent_cpu` of each turn."""

    def __init__(self, nulls, agents):
        self.ratios = [a[0] / n[0] for a, n in zip(agents, nulls)]
        self.agent_cpu = [a[1] for a in agents]
        self.rates = [statistics.median(turn[0] for turn in turns) for turns in (nulls, agents)]
        self.cpu = [statistics.median(turn[1] for turn in turns) for turns in (nulls, agents)]

    def __str__(self):
        return (
            f"{self.rates[1]:.0f}/s stored and acknowledged, {self.rates[0]:.0f}/s received by the null subscriber;"
            f" CPU a message {self.cpu[1]:.1f} and {self.cpu[0]:.1f} us"
        )


def measure(folder, broker, verdicts, agent="tcp", null="tcp", sensors="tcp", turns=TURNS):
    nulls, agents = [], []
    for turn in range(turns):
        nulls.append(null_turn(broker, null, sensors, turn))
        one = make_agent(folder, broker, agent, f"throughput-{turn}", **{"alerts.verdicts": verdicts})
        one.start()
        try:
            agents.append(agent_turn(one, address(broker, sensors), turn))
        finally:
            forget(one)
            drain(str(broker.port), f"throughput-{turn}")
    return Compared(nulls, agents)


def drain(where, name, *count):
    done = subprocess.run(
        [os.path.join(BIN, "bench_drain"), where, name, *map(str, count)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)["rate"] if done.stdout else None


def agent_drains(agent):
    """Messages a second from the first one that is seen to be stored to the last."""
    agent.launch()

    def some():
        agent.running()
        return agent.ledger().stored

    first = until("it catches up", some)
    began = time.perf_counter()
    until("it has caught up", lambda: agent.ledger().stored >= READINGS, 60)
    return (READINGS - first) / (time.perf_counter() - began)


def catch_up(folder, broker, way="tcp", turns=TURNS):
    """Draining a queue of READINGS, over a plain socket that only acknowledges, by turns."""
    ratios, rates = [], []
    for turn in range(turns):
        where = address(broker, way)
        drain(where, f"drain-{turn}", 0)
        assert flood(where, f"waits-{turn}").wait(60) == 0
        alone = drain(where, f"drain-{turn}", READINGS)
        drain(where, f"drain-{turn}")
        agent = make_agent(folder, broker, way, f"catch-up-{turn}", **{"alerts.verdicts": "none"})
        agent.start()
        assert agent.stop() == 0
        assert flood(where, f"late-{turn}").wait(60) == 0
        try:
            rates.append(agent_drains(agent))
        finally:
            forget(agent)
            drain(where, f"catch-up-{turn}")
        ratios.append(rates[-1] / alone)
    return ratios, rates
