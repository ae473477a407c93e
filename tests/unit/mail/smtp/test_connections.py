"""What is left of the connections to a mail server when a delivery ends."""

import asyncio
from collections.abc import Callable

import pytest
from fraudstream.errors import FraudstreamError
from fraudstream.mail.smtp import connections
from fraudstream.mail.smtp.connections import Connections, Pauses
from fraudstream.mail.smtp.conversation import Conversation, Mail, Stage
from fraudstream.mail.smtp.server import Opened, SmtpServer


class SlowTransport(asyncio.Transport):
    """Closes some time after it was asked to, as TLS does, or never."""

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
    """Has no mails."""

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
