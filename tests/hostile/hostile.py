"""What the hostile tests share."""

import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

from harness import (  # noqa: E402,F401
    BIN,
    NORMAL,
    Process,
    SystemTest,
    clean_environment,
    free_ports,
    main,
    program,
    reading,
    time_text,
    until,
)


def figure(text):
    """A line for the table of tests/hostile/run."""
    print(f"figure: {text}", flush=True)


def memory_kb(process):
    """Memory of its own: what a flood would have to fill."""
    with open(f"/proc/{process.child.pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))


def ask_raw(port, request, seconds=10):
    """Sends the bytes; (status of the first answer or None, all that came until the end)."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        answer = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
        except OSError:
            pass  # refused before all was read, and the answer may be lost with it
    word = answer.split(b" ", 2)
    return (int(word[1]) if len(word) > 2 and answer.startswith(b"HTTP/1.1 ") else None), answer
