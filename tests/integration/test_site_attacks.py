"""Attacks on the site's process over real sockets, with their cost in memory. Needs no stack: no link is opened."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from fraudstream.site.serving import LONGEST_HEAD, MOST_CONNECTIONS, PATIENCE_SECONDS

pytestmark = pytest.mark.integration

MIB = 2**20


class Victim:
    """A site without brokers: for foreign links it answers with its page."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self._address = ("127.0.0.1", port)
        self._process = process

    def connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=5)

    def memory(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def page(self, headers: str = "") -> tuple[bytes, float]:
        """The start of the response to a request, and the seconds until it arrived."""
        started = time.monotonic()
        with self.connect() as connection:
            connection.sendall(f"GET /confirm/forged/fraud HTTP/1.1\r\nHost: site\r\n{headers}\r\n".encode())
            return connection.recv(12), time.monotonic() - started

    def endless(self, beginning: bytes, more: bytes, most: int) -> int:
        """The number of bytes of a request's head that the site accepts."""
        sent = 0
        with self.connect() as connection, suppress(ConnectionError):
            connection.sendall(beginning)
            while sent < most:
                connection.sendall(more)
                sent += len(more)
        return sent


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        public, private = (int(listener.getsockname()[1]) for listener in (one, two))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUDSTREAM_")} | {
        "FRAUDSTREAM_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "FRAUDSTREAM_CONFIRMATION_KEYS": "example-key-of-the-tests",
        "FRAUDSTREAM_CONFIRMATION_BIND": f"127.0.0.1:{public}",
        "FRAUDSTREAM_CONFIRMATION_HEALTH_BIND": f"127.0.0.1:{private}",
        "FRAUDSTREAM_CONFIRMATION_REQUESTS_PER_MINUTE": "100000",
    }
    command = [sys.executable, "-m", "fraudstream.site"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            victim = Victim(public, process)
            until = time.monotonic() + 30
            while True:
                with suppress(OSError):
                    victim.page()
                    break
                assert time.monotonic() < until, "the site doesn't listen"
                time.sleep(0.1)
            yield victim
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("beginning", "more", "size"),
    [
        (b"GET / HTTP/1.1\r\nHost: site\r\n", b"X-Filler: " + b"a" * 8_180 + b"\r\n", 200 * MIB),
        (b"GET / HTTP/1.1\r\nHost: site\r\nX-Filler: ", b"a" * 8_192, 200 * MIB),
        (b"GET /", b"a" * 8_192, 50 * MIB),
    ],
    ids=["headers", "one header", "request line"],
)
def test_a_head_of_many_mebibytes_is_refused_and_takes_no_memory(
    victim: Victim, beginning: bytes, more: bytes, size: int
) -> None:
    before = victim.memory()
    assert victim.endless(beginning, more, size) < 16 * MIB, "what fits into the sockets' buffers is more than it reads"
    assert victim.memory() - before < 8
    assert victim.page()[0] == b"HTTP/1.1 404"


def test_a_thousand_silent_clients_keep_nobody_out_and_are_ended(victim: Victim) -> None:
    before = victim.memory()
    with ExitStack() as opened:
        silent = [opened.enter_context(victim.connect()) for _ in range(MOST_CONNECTIONS + 300)]
        begun = time.monotonic()
        answer, seconds = victim.page()
        assert answer == b"HTTP/1.1 404"
        assert seconds < 2
        assert victim.memory() - before < 32
        for connection in silent:
            connection.settimeout(max(0.1, begun + PATIENCE_SECONDS + 5 - time.monotonic()))
            with suppress(ConnectionError):
                assert connection.recv(1) == b"", "still open"


def test_heads_that_are_nearly_whole_on_every_connection_take_bounded_memory(victim: Victim) -> None:
    before = victim.memory()
    head = b"GET / HTTP/1.1\r\nHost: site\r\nX: " + b"a" * (LONGEST_HEAD - 1_000)
    with ExitStack() as opened:
        for _ in range(MOST_CONNECTIONS):
            opened.enter_context(victim.connect()).sendall(head)
        assert victim.page()[0] == b"HTTP/1.1 404"
        assert victim.memory() - before < 2 * MOST_CONNECTIONS * LONGEST_HEAD / MIB


def test_a_websocket_is_not_opened(victim: Victim) -> None:
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
    assert victim.page(upgrade)[0] == b"HTTP/1.1 404"
