"""Runs the receiver of returned mails as a process of the demo, because the stack has none."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ROOT

from local.stack.environment import LOGS
from local.stack.ports import HOST

_START_SECONDS = 60
_STOP_SECONDS = 10


class NoReceiver(FraudstreamError):
    """The receiver of returned mails doesn't start."""


@contextmanager
def bounce_receiver() -> Iterator[int]:
    """Runs ``python -m fraudstream.mail bounces`` with this process's settings; yields its SMTP port.

    :raises NoReceiver: the process ends, or doesn't listen within a minute
    """
    smtp, web = _free_ports()
    binds = {"FRAUDSTREAM_MAIL_BOUNCE_BIND": f"{HOST}:{smtp}", "FRAUDSTREAM_MAIL_WEBHOOK_BIND": f"{HOST}:{web}"}
    log = LOGS / "demo-bounces.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "fraudstream.mail", "bounces"],
            env=os.environ | binds,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _listens(smtp):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NoReceiver(f"the receiver of returned mails doesn't listen on port {smtp}: see {log}")
                time.sleep(0.1)
            yield smtp
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_ports() -> tuple[int, int]:
    with socket.create_server((HOST, 0)) as one, socket.create_server((HOST, 0)) as other:
        return one.getsockname()[1], other.getsockname()[1]


def _listens(port: int) -> bool:
    with suppress(ConnectionError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
