"""One SMTP connection, driven by the server's replies. With PIPELINING, a mail takes one round trip.

The order on the wire (RFC 5321, RFC 2920). Each step waits for the replies to the step before:

1. ``MAIL FROM``, ``RCPT TO``, ``DATA``: in one write with PIPELINING, else one at a time.
2. The content with its final dot; with PIPELINING, the next mail's step 1 is in the same write.
3. The reply to the content settles the mail. If the connection is lost between 2 and 3, it isn't known whether the
   server has accepted the mail.

Callbacks instead of a coroutine, because this is the hot path: a mail costs one read and one write.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

#: Maximum length of a reply; RFC 5321 allows lines of 512 characters.
_LONGEST_REPLY = 65536


@dataclass(slots=True, eq=False)
class Mail:
    """A mail to deliver, and the result of its delivery.

    `content` has CRLF line ends, also at its end. Times are seconds since 1970. `status` is empty until the mail is
    settled. `reply` is the server's last reply, or the reason why there is none. `unanswered` counts how often the
    content was sent without a reply. `returns`, `throttled` and `accepted_before` are internal to the delivery.
    """

    recipient: str
    content: bytes
    sender: str = ""
    status: str = ""
    reply: str = ""
    attempts: int = 0
    first_tried_at: float = 0.0
    finished_at: float = 0.0
    unanswered: int = 0
    returns: int = 0
    throttled: int = 0
    accepted_before: int = 0


class Stage(Enum):
    """The command or content that a reply answers."""

    VOID = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    CONTENT = auto()


class Post(Protocol):
    """Gives mails to a conversation, and receives the server's replies."""

    @property
    def waiting(self) -> int:
        """The number of mails that are not settled."""

    def take(self) -> Mail | None:
        """Returns the next mail to send now, if there is one, and counts a try of it."""

    def accepted(self, mail: Mail, reply: str) -> None:
        """The server accepted the mail."""

    def refused(self, conversation: "Conversation", mail: Mail, stage: Stage, code: int, reply: str) -> bool:
        """The server answered 4xx or 5xx. Returns whether the connection should be used for more mails."""

    def no_reply(self, mail: Mail, reason: str, *, waited: bool = False) -> None:
        """The content was sent, but the connection was lost before the reply, or the reply timed out (`waited`)."""

    def not_sent(self, mail: Mail, *, counts: bool) -> None:
        """The connection was lost before the content of the mail was sent. This is not a try.

        :param counts: whether the mail may be the cause, since the server was processing it
        """

    def ended(self, conversation: "Conversation", reason: str, *, busy: bool) -> None:
        """The connection ended; `busy`: it awaited replies, or its mails must be sent on another connection."""


_Awaited = tuple[Stage, Mail | None]


class Conversation(asyncio.Protocol):
    """Sends mails over one open connection until it ends. To be created and used inside the event loop."""

    def __init__(self, transport: asyncio.Transport, post: Post, *, pipelining: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._post = post
        self._pipelining = pipelining
        self._expected: deque[_Awaited] = deque()
        self._refusal: tuple[Stage, int, str] | None = None
        self._rest = b""
        self._unsent: list[bytes] = []
        self._lines: list[str] = []
        self._reason = ""
        self._waited = False
        self._over = self._refused = False
        self.accepted = 0
        #: Done once the event loop has closed the connection. With TLS this is a round trip after :meth:`quit`.
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._active_at = self._loop.time()
        transport.set_protocol(self)
        # If the connection ended since the login, asyncio may have called connection_lost of the former protocol.
        if transport.is_closing():
            self.connection_lost(None)

    def wake(self) -> None:
        """Starts the next mail, if the conversation is idle and there is a mail."""
        if not self._expected and not self._over:
            self._next()
            self._write()

    def silent_for(self) -> float:
        """Returns for how many seconds the conversation has waited for a reply; 0.0 if it awaits none."""
        return self._loop.time() - self._active_at if self._expected else 0.0

    @property
    def awaits(self) -> Stage | None:
        """The stage of the next awaited reply; None: no reply is awaited."""
        return self._expected[0][0] if self._expected else None

    def abort(self, reason: str, *, waited: bool = False) -> None:
        """Ends the connection at once. Its mails are reported as lost; `waited`: a reply timed out."""
        self._reason = self._reason or reason
        self._waited = waited
        self._transport.abort()
        self._end(None)

    def quit(self) -> None:
        """Sends QUIT without waiting for the reply."""
        self._over = True
        if not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")
            self._transport.close()

    def _leave(self, reason: str) -> None:
        """Ends the connection with QUIT. Commands that were already sent for further mails have no effect."""
        if not self._transport.is_closing():
            self._transport.write(b"QUIT\r\n")
            self._transport.close()
        self._reason = self._reason or reason
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        self._end(exc)

    def _end(self, exc: Exception | None) -> None:
        if self._over:
            return
        self._over = True
        reason = self._reason or (f"connection lost: {exc}" if exc else "the server closed the connection")
        expected, self._expected = self._expected, deque()
        for index, (stage, mail) in enumerate(expected):
            if mail is None:
                continue
            if stage is Stage.CONTENT:
                self._post.no_reply(mail, reason, waited=self._waited)
            elif stage is Stage.DATA or not self._pipelining:
                if self._refusal is None:
                    beyond_mail = index < 2 if self._pipelining else stage is not Stage.MAIL
                    self._post.not_sent(mail, counts=expected[0][1] is mail and (beyond_mail or not self.accepted))
                else:
                    self._post.refused(self, mail, *self._refusal)
                    self._refusal = None
        self._post.ended(self, reason, busy=bool(expected) or self._refused)

    def data_received(self, data: bytes) -> None:
        self._active_at = self._loop.time()
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_REPLY or len(self._lines) > 1000:
            self.abort("the server's reply is too long")
            return
        for line in lines:
            if self._over:
                return
            self._lines.append(line[4:].decode("utf-8", "replace").strip())
            if line[3:4] == b"-":
                continue
            text, self._lines = " ".join(self._lines), []
            code = line[:3]
            if not code.isdigit() or len(code) != 3:
                self.abort(f"the server's reply is not an SMTP reply: {line[:80]!r}")
                return
            self._reply(int(code), text)
        self._write()

    def _reply(self, code: int, text: str) -> None:
        if not self._expected:
            self.abort(f"the server ends the conversation: {code} {text}")
            return
        stage, mail = self._expected.popleft()
        if mail is not None:
            if stage is Stage.CONTENT:
                self._content_reply(mail, code, text)
            elif stage is Stage.DATA:
                self._data_reply(mail, code, text)
            else:
                self._envelope_reply(stage, mail, code, text)
        if code == 421:
            self._refused = True
            self._leave(f"the server ends the conversation: {code} {text}")
        elif not self._expected and not self._over:
            self._next()

    def _envelope_reply(self, stage: Stage, mail: Mail, code: int, text: str) -> None:
        if code >= 300 and self._refusal is None:
            self._refusal = stage, code, f"{code} {text}"
        if self._pipelining:
            return
        if self._refusal is not None:
            self._leave_transaction(mail, *self._refusal)
        elif stage is Stage.MAIL:
            self._send(_rcpt(mail), (Stage.RCPT, mail))
        else:
            self._send(b"DATA\r\n", (Stage.DATA, mail))

    def _data_reply(self, mail: Mail, code: int, text: str) -> None:
        if code == 354 and self._refusal is None:
            self._send_content(mail)
            return
        if code == 354:
            # RFC 2920 allows a 354 even after a refusal: empty content ends the transaction.
            self._send(b".\r\n", (Stage.VOID, None))
        self._leave_transaction(mail, *(self._refusal or (Stage.DATA, code, f"{code} {text}")))

    def _content_reply(self, mail: Mail, code: int, text: str) -> None:
        reply = f"{code} {text}"
        if 200 <= code < 300:
            self.accepted += 1
            self._post.accepted(mail, reply)
        else:
            self._refuse(mail, Stage.CONTENT, code, reply)

    def _leave_transaction(self, mail: Mail, stage: Stage, code: int, reply: str) -> None:
        self._refusal = None
        self._send(b"RSET\r\n", (Stage.VOID, None))
        self._refuse(mail, stage, code, reply)

    def _refuse(self, mail: Mail, stage: Stage, code: int, reply: str) -> None:
        if 400 <= code < 600:
            if not self._post.refused(self, mail, stage, code, reply):
                self._refused = True
                self._leave(f"the server takes no more mails here: {reply}")
        else:
            self._post.no_reply(mail, f"reply out of turn: {reply}")
            self.abort(f"reply out of turn: {reply}")

    def _next(self) -> None:
        mail = self._post.take()
        if mail is not None:
            self._send(*self._envelope(mail))

    def _envelope(self, mail: Mail) -> tuple[bytes, *tuple[_Awaited, ...]]:
        if not self._pipelining:
            return _mail(mail), (Stage.MAIL, mail)
        commands = _mail(mail) + _rcpt(mail) + b"DATA\r\n"
        return commands, (Stage.MAIL, mail), (Stage.RCPT, mail), (Stage.DATA, mail)

    def _send_content(self, mail: Mail) -> None:
        content = mail.content.replace(b"\n.", b"\n..") + b".\r\n"
        self._send(content if not content.startswith(b".") else b"." + content, (Stage.CONTENT, mail))
        if self._pipelining:
            self._next()

    def _send(self, data: bytes, *awaited: _Awaited) -> None:
        if not self._expected:
            self._active_at = self._loop.time()
        self._expected.extend(awaited)
        self._unsent.append(data)

    def _write(self) -> None:
        """Sends all pending commands in one write, because each write is a system call."""
        if self._unsent and not self._over:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()


def _mail(mail: Mail) -> bytes:
    return b"MAIL FROM:<" + mail.sender.encode("ascii") + b">\r\n"


def _rcpt(mail: Mail) -> bytes:
    return b"RCPT TO:<" + mail.recipient.encode("ascii") + b">\r\n"
