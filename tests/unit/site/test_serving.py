"""How long clients may keep the site waiting. The clock is the event loop's; nothing is sent over a network."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fraudstream.site import serving
from fraudstream.site.serving import LONGEST_HEAD, Connection, server
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

GET = b"GET /confirm/x/fraud HTTP/1.1\r\nHost: site\r\n"


class Wire:
    """A transport that stores what is written to it."""

    def __init__(self) -> None:
        self.sent = b""
        self.open = True
        self.lost: Callable[[], None] = lambda: None

    def get_extra_info(self, name: str) -> Any:
        return ("203.0.113.7", 50_000) if name == "peername" else None

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.open = False
        self.lost()

    abort = close

    def is_closing(self) -> bool:
        return not self.open

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Clients:
    """Clients of one server."""

    def __init__(self, most_connections: int = 3) -> None:
        self.ended: Counter[str] = Counter()
        self.answer = asyncio.Event()
        self.answer.set()
        self._config = server(
            self.app, most_connections=most_connections, on_end=lambda reason: self.ended.update([reason])
        ).config
        self._config.load()
        self._state = ServerState()

    async def app(self, scope: Scope, _: Receive, send: Send) -> None:
        await self.answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self) -> tuple[Connection, Wire]:
        wire = Wire()
        connection = self._config.http_protocol_class(  # type: ignore[call-arg, operator, union-attr]
            config=self._config, server_state=self._state, app_state={}
        )
        wire.lost = lambda: connection.connection_lost(None) if connection in self._state.connections else None
        connection.connection_made(wire)
        return connection, wire


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(serving, "PATIENCE_SECONDS", 0.1)
    yield


async def served(connection: Connection, data: bytes = GET + b"\r\n") -> None:
    connection.data_received(data)
    await asyncio.sleep(0.02)


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 10))


def test_who_sends_nothing_is_ended() -> None:
    async def test() -> None:
        clients = Clients()
        _, wire = clients.connect()
        await asyncio.sleep(0.2)
        assert not wire.open
        assert clients.ended == {"slow": 1}

    run(test)


@pytest.mark.parametrize("begun", [b"", GET + b"\r\n"], ids=["first", "second"])
def test_whose_head_trickles_in_is_ended_though_each_byte_comes_soon(begun: bytes) -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        if begun:
            await served(connection, begun)
            assert wire.sent.startswith(b"HTTP/1.1 200")
        for byte in GET * 3:
            if not wire.open:
                break
            connection.data_received(bytes([byte]))
            await asyncio.sleep(0.01)
        assert not wire.open
        assert clients.ended == {"slow": 1}

    run(test)


def test_who_never_sends_the_rest_of_a_body_that_is_answered_is_ended() -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        await served(connection, b"POST / HTTP/1.1\r\nHost: site\r\nContent-Length: 1000000\r\n\r\nabc")
        for _ in range(20):
            if wire.open:
                connection.data_received(b"a")
            await asyncio.sleep(0.01)
        assert b"ok" in wire.sent
        assert not wire.open

    run(test)


def test_who_does_not_take_a_response_is_ended() -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        await served(connection)
        connection.pause_writing()
        await asyncio.sleep(0.2)
        assert not wire.open

    run(test)


def test_a_connection_is_kept_between_requests_for_longer_than_the_balancer_keeps_it() -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        for _ in range(3):
            await served(connection)
            await asyncio.sleep(0.15)
        assert wire.open
        assert wire.sent.count(b"200 OK") == 3
        timer = connection.timeout_keep_alive_task
        assert timer is not None
        assert timer.when() - asyncio.get_running_loop().time() > 600

    run(test)


def test_a_request_that_takes_its_time_is_not_the_clients_fault() -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        clients.answer.clear()
        connection.data_received(GET + b"\r\n")
        await asyncio.sleep(0.3)
        assert wire.open
        clients.answer.set()
        await asyncio.sleep(0.02)
        assert b"ok" in wire.sent

    run(test)


def test_the_one_too_many_takes_the_place_of_the_longest_silent_then_of_the_longest_kept() -> None:
    async def test() -> None:
        clients = Clients(most_connections=3)
        first, kept_longest = clients.connect()
        await served(first)
        second, kept = clients.connect()
        await served(second)
        _, silent = clients.connect()
        _, newer = clients.connect()
        assert [w.open for w in (kept_longest, kept, silent, newer)] == [True, True, False, True]
        _, newest = clients.connect()
        assert [w.open for w in (kept_longest, kept, newer, newest)] == [True, True, False, True]
        third, _ = clients.connect()
        await served(third)
        clients.connect()
        assert [w.open for w in (kept_longest, kept)] == [False, True]
        assert clients.ended == {"crowded": 4}

    run(test)


def test_no_request_in_hand_is_given_up_for_a_newcomer() -> None:
    async def test() -> None:
        clients = Clients(most_connections=2)
        clients.answer.clear()
        busy = [clients.connect() for _ in range(2)]
        for connection, _ in busy:
            connection.data_received(GET + b"\r\n")
        await asyncio.sleep(0)
        _, newcomer = clients.connect()
        assert not newcomer.open
        assert all(wire.open for _, wire in busy)
        clients.answer.set()
        await asyncio.sleep(0.02)
        assert all(b"ok" in wire.sent for _, wire in busy)

    run(test)


@pytest.mark.parametrize("head", [GET + b"X: ", b"GET /", GET + b"X: 1\r\n" * 1_000])
def test_a_head_without_end_is_refused(head: bytes) -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        connection.data_received(head)
        taken = len(head)
        while wire.open and taken < 10 * LONGEST_HEAD:
            connection.data_received(b"X: 1\r\n" * 100 if head.endswith(b"\n") else b"a" * 600)
            taken += 600
        assert not wire.open
        assert taken <= LONGEST_HEAD + 600
        assert wire.sent.startswith(b"HTTP/1.1 4")
        assert clients.ended == {"invalid": 1}

    run(test)


def test_a_link_with_60_kb_of_parameters_is_taken() -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        await served(connection, b"GET /?gclid=" + b"x" * 60_000 + b" HTTP/1.1\r\nHost: site\r\n\r\n")
        assert wire.sent.startswith(b"HTTP/1.1 200")

    run(test)


def test_nobody_fills_the_log_with_what_is_no_request(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        clients = Clients()
        for data in (b"\x16\x03\x01 a TLS hello\r\n\r\n", GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"):
            connection, _ = clients.connect()
            await served(connection, data)
        assert clients.ended == {"invalid": 1}

    run(test)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_a_websocket_is_not_opened() -> None:
    async def test() -> None:
        clients = Clients()
        connection, wire = clients.connect()
        upgrade = (
            b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n"
        )
        await served(connection, GET + upgrade + b"\r\n")
        assert wire.sent.startswith(b"HTTP/1.1 200")

    run(test)
