"""A conversation with a fake SMTP server: without a socket, and with a record of every write."""

import asyncio
import functools
import inspect
from collections import deque
from collections.abc import Callable
from typing import Any

from fraudstream.mail.smtp.conversation import Conversation, Mail, Stage


class Wire(asyncio.Transport):
    """A connection that records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closing = self.aborted = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Does nothing: tests call the protocol directly."""

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing = self.aborted = True


class Told:
    """Provides mails, and records what the conversation reports about them."""

    def __init__(self, *mails: Mail, use_on: bool = True) -> None:
        self.mails = deque(mails)
        self.use_on = use_on
        self.told: list[tuple[Any, ...]] = []

    @property
    def waiting(self) -> int:
        return len(self.mails)

    def take(self) -> Mail | None:
        return self.mails.popleft() if self.mails else None

    def accepted(self, mail: Mail, reply: str) -> None:
        self.told.append(("accepted", mail.recipient, reply))

    def refused(self, conversation: Conversation, mail: Mail, stage: Stage, code: int, reply: str) -> bool:
        self.told.append(("refused", mail.recipient, stage, code, reply))
        return self.use_on

    def no_reply(self, mail: Mail, reason: str, *, waited: bool = False) -> None:
        self.told.append(("no_reply", mail.recipient, reason, waited))

    def not_sent(self, mail: Mail, *, counts: bool) -> None:
        self.told.append(("given back", mail.recipient, counts))

    def ended(self, conversation: Conversation, reason: str, *, busy: bool) -> None:
        self.told.append(("ended", reason, busy))


class Line:
    """A conversation with a fake server."""

    def __init__(self, *mails: Mail, pipelining: bool = True, use_on: bool = True) -> None:
        self.wire, self.post = Wire(), Told(*mails, use_on=use_on)
        self.conversation = Conversation(self.wire, self.post, pipelining=pipelining)
        self.conversation.wake()

    def says(self, *replies: str) -> list[bytes]:
        """What is written after these replies, which arrive together."""
        self.wire.written.clear()
        self.conversation.data_received("".join(f"{reply}\r\n" for reply in replies).encode())
        return self.wire.written

    @property
    def told(self) -> list[tuple[Any, ...]]:
        told, self.post.told = self.post.told, []
        return told


A = Mail("a@bank.example", b"Subject: a\r\n\r\nbody\r\n", sender="bounces@bank.example")
B = Mail("b@bank.example", b"Subject: b\r\n\r\nbody\r\n", sender="bounces@bank.example")
ENVELOPE_A = [b"MAIL FROM:<bounces@bank.example>\r\n", b"RCPT TO:<a@bank.example>\r\n", b"DATA\r\n"]
ENVELOPE_B = [b"MAIL FROM:<bounces@bank.example>\r\n", b"RCPT TO:<b@bank.example>\r\n", b"DATA\r\n"]
OK = "250 ok"
GO_ON = "354 go on"


def in_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Runs a test inside an event loop."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        async def inside() -> None:
            found = test(*arguments, **named)
            if inspect.isawaitable(found):
                await found

        asyncio.run(inside())

    return run
