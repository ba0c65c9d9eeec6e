"""The acknowledged path beside a subscriber that does nothing: the same broker, the same publisher
(tests/faults/flood.c at full speed), by turns, so that what the machine is busy with hits both."""

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


def flood(port, name):
    return subprocess.Popen(
        [os.path.join(BIN, "flood"), str(port), str(READINGS), "--machines", "20", "--name", name],
        stdout=subprocess.DEVNULL,
    )


def null_turn(port, turn):
    """(messages a second, CPU in us a message)"""
    null = subprocess.Popen(
        [os.path.join(BIN, "null"), str(port), str(READINGS)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert null.stdout.readline() == "ready\n"
        began = time.perf_counter()
        publisher = flood(port, f"null-{turn}")
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


def agent_turn(agent, turn):
    before = agent.ledger().stored
    used = cpu_seconds(agent.process.child.pid)
    began = time.perf_counter()
    publisher = flood(agent.broker_port, f"agent-{turn}")

    def stored():
        time.sleep(0.01)  # asking costs the agent, too
        return agent.ledger().stored - before >= READINGS

    until("all of it is stored", stored, 120)
    seconds = time.perf_counter() - began
    used = cpu_seconds(agent.process.child.pid) - used
    assert publisher.wait(60) == 0
    return READINGS / seconds, used / READINGS * 1e6


def measure(folder, broker, verdicts):
    """The agent's rate over the null subscriber's, of each turn; both rates; CPU a message of both."""
    nulls, agents = [], []
    for turn in range(TURNS):
        nulls.append(null_turn(broker.port, turn))
        agent = Agent(
            folder,
            broker.port,
            **{
                "alerts.verdicts": verdicts,
                "mqtt.client_id": f"throughput-{turn}",
                "store.path": os.path.join(folder, f"throughput-{turn}.db"),
            },
        )
        agent.broker_port = broker.port
        agent.start()
        try:
            agents.append(agent_turn(agent, turn))
        finally:
            agent.stop()
            os.remove(os.path.join(folder, f"throughput-{turn}.db"))
    ratios = [a[0] / n[0] for a, n in zip(agents, nulls)]
    rates = statistics.median(n[0] for n in nulls), statistics.median(a[0] for a in agents)
    cpu = statistics.median(n[1] for n in nulls), statistics.median(a[1] for a in agents)
    return ratios, rates, cpu
