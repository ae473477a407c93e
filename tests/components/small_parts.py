"""Small parts for the tests of the supervisor, and functions that wait for their states."""

import os
import socket
import time
from collections.abc import Callable

import psutil

from local.stack.ports import HOST
from local.supervisor.control import Control

#: starts a child that ignores SIGTERM, as kaskade's child does, then serves
STUBBORN_CHILD = """
import http.server, subprocess, sys
ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", ignore])
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
PLAIN_ENVIRONMENT = {"PATH": os.environ["PATH"]}


def at_work(control: Control) -> list[int]:
    """The running supervisors and guardians of a stack."""
    command = ["-m", "local.supervisor", str(control.state)]
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[1:4] == command:
            found.append(process.pid)
    return found


def unseen(_: object) -> None:
    """Ignores the status."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
