"""An SMTP server on loopback that stores accepted mails and misbehaves on request."""

import asyncio
import base64
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from enum import Enum
from types import TracebackType
from typing import Literal, cast

Stage = Literal["connect", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "content"]


class Fault(Enum):
    """A fault instead of a reply."""

    DROP = "the connection is closed"
    KEEP_AND_DROP = "the mail is accepted, then the connection is closed without a reply"
    STALL = "nothing is ever said again"


#: Called at each stage of each mail with the recipient (empty at MAIL); returns a fault, a reply, or None for success.
Script = Callable[[Stage, str], Fault | str | None]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A mail that the server accepted, as it was sent, without dot-stuffing."""

    recipient: str
    content: bytes
    sender: str = ""

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.content, policy=default)

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])


class FakeSmtpServer:
    """A server in its own thread; a context manager. `down()` and `up()` close and open its port.

    `seconds_per_mail`: time until it answers to a content.
    `session_limit`: after this number of mails it answers to the next MAIL of the session with this reply.
    `lenient`: it asks for the content even if it refused the recipient, which RFC 2920 allows.
    """

    def __init__(
        self,
        script: Script = lambda stage, recipient: None,
        *,
        pipelining: bool = True,
        login: tuple[str, str] | None = None,
        certificate: ssl.SSLContext | None = None,
        starttls: bool = False,
        lenient: bool = False,
        session_limit: tuple[int, Fault | str] | None = None,
        seconds_per_mail: float = 0.0,
    ) -> None:
        self.script = script
        self.pipelining = pipelining
        self.login = login
        self.certificate = certificate
        self.starttls = starttls
        self.lenient = lenient
        self.session_limit = session_limit
        self.seconds_per_mail = seconds_per_mail
        self.accepted: list[Accepted] = []
        self.for_nobody: list[bytes] = []
        self.commands: list[str] = []
        self.connections = 0
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-smtp")
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()

    def __enter__(self) -> "FakeSmtpServer":
        self._thread.start()
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def up(self) -> None:
        """Opens the same port as before."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    def down(self) -> None:
        """Closes the port and resets every connection."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)

    async def _listen(self) -> None:
        tls = None if self.starttls else self.certificate
        self._server = await asyncio.start_server(self._client, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        # The loop needs some rounds to create the handlers of connections that were accepted just now.
        for _ in range(5):
            for handler in list(self._handlers):
                handler.cancel()
            await asyncio.sleep(0.001)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._handlers.add(task)
        self.connections += 1
        try:
            await _Session(self, reader, writer).run()
        except asyncio.CancelledError:
            writer.transport.abort()
        except _Leave:
            # What was sent before must arrive: send FIN, and wait until the client has read it and closes its side.
            if writer.can_write_eof():
                writer.write_eof()
                await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            # The client closed first.
            pass
        finally:
            self._handlers.discard(task)
            writer.close()


class _Leave(Exception):
    """Raised to end the connection."""


class _Session:
    def __init__(self, server: FakeSmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._sender: str | None = None
        self._recipient = ""
        self._taken = 0

    async def run(self) -> None:
        await self._answer("connect", "220 fake ESMTP")
        while True:
            line = (await self._reader.readuntil(b"\r\n")).decode().strip()
            self._server.commands.append(line)
            match line.partition(" ")[0].upper():
                case "EHLO" | "HELO":
                    await self._ehlo()
                case "STARTTLS":
                    self._say("220 go ahead")
                    await self._writer.start_tls(cast(ssl.SSLContext, self._server.certificate))
                case "AUTH":
                    await self._auth(line)
                case "MAIL":
                    await self._mail(line.partition("<")[2].rpartition(">")[0])
                case "RCPT":
                    await self._rcpt(line.partition("<")[2].rpartition(">")[0])
                case "DATA":
                    await self._data()
                case "RSET":
                    self._sender, self._recipient = None, ""
                    self._say("250 forgotten")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("500 what")

    async def _ehlo(self) -> None:
        if (other := self._server.script("EHLO", "")) is not None:
            await self._fault(other)
            return
        extensions = ["fake", "SIZE 10000000"]
        if self._server.pipelining:
            extensions.append("PIPELINING")
        if self._server.starttls and self._writer.get_extra_info("sslcontext") is None:
            extensions.append("STARTTLS")
        if self._server.login is not None:
            extensions.append("AUTH PLAIN LOGIN")
        for extension in extensions[:-1]:
            self._say(f"250-{extension}")
        self._say(f"250 {extensions[-1]}")

    async def _mail(self, sender: str) -> None:
        limit = self._server.session_limit
        if limit is not None and self._taken >= limit[0]:
            await self._fault(limit[1])
        elif await self._answer("MAIL", "250 sender ok"):
            self._sender = sender

    async def _auth(self, line: str) -> None:
        if (other := self._server.script("AUTH", "")) is not None:
            await self._fault(other)
            return
        _, method, initial = (line + " ").split(" ", 2)
        if method.upper() == "PLAIN":
            _, user, password = base64.b64decode(initial).decode().split("\0")
        else:
            user = base64.b64decode(initial).decode()
            self._say("334 " + base64.b64encode(b"Password:").decode())
            password = base64.b64decode(await self._reader.readuntil(b"\r\n")).decode()
        self._say("235 welcome" if (user, password) == self._server.login else "535 wrong login")

    async def _rcpt(self, recipient: str) -> None:
        if self._sender is None:
            self._say("503 no sender")
            return
        self._recipient = recipient
        if not await self._answer("RCPT", "250 recipient ok"):
            self._recipient = ""

    async def _data(self) -> None:
        if not self._recipient:
            await self._data_for_nobody()
            return
        if not await self._answer("DATA", "354 go ahead"):
            return
        raw = await self._reader.readuntil(b"\r\n.\r\n")
        content = raw[:-3].replace(b"\r\n..", b"\r\n.")
        mail = Accepted(self._recipient, content, self._sender or "")
        self._sender, self._recipient = None, ""
        if self._server.seconds_per_mail:
            await asyncio.sleep(self._server.seconds_per_mail)
        match self._server.script("content", mail.recipient):
            case None:
                self._server.accepted.append(mail)
                self._taken += 1
                self._say("250 queued")
            case Fault.KEEP_AND_DROP:
                self._server.accepted.append(mail)
                raise _Leave
            case other:
                await self._fault(other)

    async def _data_for_nobody(self) -> None:
        if not self._server.lenient:
            self._say("503 no recipient")
            return
        self._say("354 go ahead")
        self._server.for_nobody.append(await self._reader.readuntil(b".\r\n"))
        self._say("554 no valid recipients")

    async def _answer(self, stage: Stage, reply: str) -> bool:
        other = self._server.script(stage, self._recipient)
        if other is None:
            self._say(reply)
            return True
        await self._fault(other)
        return False

    async def _fault(self, fault: Fault | str) -> None:
        if fault is Fault.STALL:
            await asyncio.Event().wait()
        if isinstance(fault, Fault):
            raise _Leave
        self._say(fault)
        if fault.startswith("421"):
            raise _Leave

    def _say(self, line: str) -> None:
        self._writer.write(line.encode() + b"\r\n")
