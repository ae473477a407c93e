"""Runs Postfix's test programs smtp-sink and smtp-source."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from local.programs import debian
from local.programs.debian import MissingProgram

_HOW = (
    "smtp-sink and smtp-source, which come with Postfix, aren't on this machine. Install them: "
    "`sudo apt-get install --no-install-recommends postfix`, `sudo dnf install postfix`. "
    "As root on Debian or Ubuntu they are extracted from the package, without installing it"
)


def tool(name: str) -> list[str]:
    """Returns the command that runs one of Postfix's test programs.

    :raises MissingProgram: the program is missing; the message has the command that installs it
    """
    return debian.tool(name, ["postfix"], "usr/lib/postfix", _HOW)


@contextmanager
def smtp_sink(connections: int = 200, *, into: Path | None = None) -> Iterator[int]:
    """Runs smtp-sink, which accepts every mail and drops it or appends it to the file `into`; yields its port.

    Started by root, smtp-sink runs as user nobody, who then also owns the file and its folder.

    :param connections: the largest number of waiting connections
    :raises MissingProgram: smtp-sink is missing or doesn't start
    """
    if into:
        into.touch()  # the file may be read before the first mail arrives
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["-D", into.name] if into else []
    if os.geteuid() == 0:
        options += ["-u", "nobody"]
        for path in (into, into.parent) if into else ():
            shutil.chown(path, "nobody")
    with subprocess.Popen(
        [*tool("smtp-sink"), *options, f"127.0.0.1:{port}", str(connections)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=into.parent if into else None,  # -D gets only the name: smtp-sink expands a % in the path as a date
    ) as process:
        try:
            _wait_until_listening(port)
            yield port
        finally:
            process.terminate()


def _wait_until_listening(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise MissingProgram(f"smtp-sink doesn't listen on 127.0.0.1:{port} after 10 s")
