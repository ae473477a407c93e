"""The connections to a mail server that are left when a delivery ends."""

import asyncio
from collections.abc import Callable

import pytest
from fraudstream.errors import FraudstreamError, MailError, SettingsError
from fraudstream.mail.smtp import connections
from fraudstream.mail.smtp.connections import Connections, Pauses
from fraudstream.mail.smtp.conversation import Conversation, Mail, Stage
from fraudstream.mail.smtp.server import Opened, SmtpServer


class SlowTransport(asyncio.Transport):
    """Closes some time after the request, as TLS does, or never."""

    def __init__(self, closes_after: float | None) -> None:
        super().__init__()
        self.protocol: asyncio.BaseProtocol | None = None
        self.closes_after = closes_after
        self.closing = self.closed = self.aborted = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def close(self) -> None:
        self.closing = True
        if self.closes_after is not None:
            asyncio.get_running_loop().call_later(self.closes_after, self._lost)

    def abort(self) -> None:
        self.closing = self.aborted = True
        self._lost()

    def _lost(self) -> None:
        self.closed = True
        assert isinstance(self.protocol, asyncio.Protocol)
        self.protocol.connection_lost(None)


class Nobody:
    """A source without mails."""

    waiting = 0

    def take(self) -> Mail | None:
        return None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: None


def quit_from(transport: SlowTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened(server: SmtpServer) -> Opened:
        return Opened(transport, False)

    async def run() -> None:
        open_ones = Connections(SmtpServer("127.0.0.1", 25), 1, Nobody(), lambda error: None, Pauses())  # type: ignore[arg-type]
        open_ones.fill(1)
        await asyncio.sleep(0.01)
        assert open_ones
        await open_ones.quit()

    monkeypatch.setattr(connections, "open_connection", opened)
    asyncio.run(run())


def test_the_end_waits_until_the_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = SlowTransport(closes_after=0.05)
    quit_from(transport, monkeypatch)
    assert transport.closed
    assert not transport.aborted


def test_a_server_that_never_closes_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_GOODBYE", 0.05)
    transport = SlowTransport(closes_after=None)
    quit_from(transport, monkeypatch)
    assert transport.aborted


def test_an_unforeseen_error_of_connecting_ends_the_delivery_and_is_not_tried_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[FraudstreamError] = []

    async def opened(server: SmtpServer) -> Opened:
        raise KeyError("of a library")

    async def run() -> None:
        open_ones = Connections(SmtpServer("127.0.0.1", 25), 1, Nobody(), told.append, Pauses())  # type: ignore[arg-type]
        open_ones.fill(1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    monkeypatch.setattr(connections, "open_connection", opened)
    asyncio.run(run())
    (error,) = told
    assert error.retryable
    assert "127.0.0.1:25" in str(error)
    assert "KeyError('of a library')" in str(error)


@pytest.mark.parametrize(("awaited", "given_up"), [(Stage.RCPT, True), (Stage.CONTENT, False)])
def test_the_reply_to_the_content_is_waited_for_longer_than_others(awaited: Stage, given_up: bool) -> None:
    async def run() -> SlowTransport:
        server = SmtpServer("127.0.0.1", 25, timeout=30.0, content_timeout=600.0)
        open_ones = Connections(server, 1, Nobody(), lambda error: None, Pauses())  # type: ignore[arg-type]
        transport = SlowTransport(closes_after=None)
        conversation = Conversation(transport, Nobody(), pipelining=True)  # type: ignore[arg-type]
        conversation._expected.append((awaited, Mail("c@bank.example", b"")))
        open_ones._open.add(conversation)
        conversation._active_at -= 599
        open_ones.wake()
        assert transport.aborted == given_up
        conversation._active_at -= 2
        open_ones.wake()
        return transport

    assert asyncio.run(run()).aborted


@pytest.mark.parametrize(
    ("error", "pauses", "told"),
    [(MailError("connection refused"), True, False), (SettingsError("no such user"), False, True)],
)
def test_a_connection_that_can_not_be_opened_is_tried_again_after_a_pause_unless_no_retry_helps(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception, pauses: bool, told: bool
) -> None:
    async def fails(server: SmtpServer) -> Opened:
        raise error

    async def run() -> None:
        errors: list[FraudstreamError] = []
        lasting = Pauses(1_000.0, 1_000.0)
        monkeypatch.setattr(lasting, "after", lambda failures: 1_000.0)
        open_ones = Connections(SmtpServer("127.0.0.1", 25), 3, Nobody(), errors.append, lasting)  # type: ignore[arg-type]
        open_ones.fill(1)
        await asyncio.sleep(0.01)
        assert not open_ones
        assert open_ones.pausing is pauses
        assert errors == ([error] if told else [])
        assert ("connection refused" in caplog.text) is pauses
        open_ones.fill(1)
        assert bool(open_ones._connecting) is not pauses
        await open_ones.cancel()

    monkeypatch.setattr(connections, "open_connection", fails)
    asyncio.run(run())


def test_as_many_are_opened_as_mails_can_use_and_after_a_failure_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def opened(server: SmtpServer) -> Opened:
        await asyncio.sleep(60)
        raise AssertionError

    async def begun(waiting: int, failures: int) -> int:
        open_ones = Connections(SmtpServer("127.0.0.1", 25), 3, Nobody(), lambda error: None, Pauses())  # type: ignore[arg-type]
        open_ones._failures = failures
        open_ones.fill(waiting)
        open_ones.fill(waiting)  # connections that are being opened count
        found = len(open_ones._connecting)
        await open_ones.cancel()
        return found

    monkeypatch.setattr(connections, "open_connection", opened)
    assert [asyncio.run(begun(waiting, 0)) for waiting in (0, 1, 2, 3, 50)] == [0, 1, 2, 3, 3]
    assert [asyncio.run(begun(waiting, 2)) for waiting in (0, 1, 50)] == [0, 1, 1]
