"""Delivers mails over several SMTP connections: each is settled, sent or failed, whatever the server does meanwhile.

- Accepted (2xx): sent, with the reply.
- Refused for good (5xx): failed, with the reply.
- Refused for now (4xx), or the connection lost or silent after the content was sent: tried again after a pause, up to
  `attempts` times in all, then failed with the last reply or the reason. Only such a second try can double a mail,
  and it has the same Message-ID.
- No connection, or lost before the content was sent: the mail waits, without counting a try, until the server is
  back, however long that takes. Each pause is logged with what is wrong.

Pauses grow exponentially and are drawn at random up to their length (full jitter).
"""

import asyncio
import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Sequence

import uvloop

from fraudstream.errors import MailError
from fraudstream.mail.conversation import Conversation, Mail
from fraudstream.mail.server import SmtpServer, open_connection

logger = logging.getLogger(__name__)

#: Seconds between two looks at time limits, due retries and whether to stop.
_TICK = 0.05
#: Seconds that a delivery goes on after it was asked to stop, as long as the server takes mails.
_STOP_GRACE = 5.0
#: Longest reply kept, in characters.
_REPLY_LENGTH = 500


class Pauses:
    """Lengths of the pauses between tries, in seconds: random up to `first`, doubled each time, at most `longest`."""

    def __init__(self, first: float = 1.0, longest: float = 30.0) -> None:
        self._first = first
        self._longest = longest

    def after(self, failures: int) -> float:
        """The pause after so many failures in a row, at least one."""
        return random.uniform(0, min(self._longest, self._first * 2.0 ** min(failures - 1, 30)))  # noqa: S311  no secret


class Delivery:
    """Delivers mails from one sender through one server.

    `stop` is asked all the time while mails are delivered; once it says true, :meth:`deliver` ends soon.
    To be used from one thread; connections stay open between calls.
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        sender: str,
        connections: int,
        attempts: int,
        stop: Callable[[], bool],
        pauses: Pauses | None = None,
    ) -> None:
        self._server = server
        self._sender = sender
        self._connections = connections
        self._attempts = attempts
        self._stop = stop
        self._pauses = pauses or Pauses()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._open: set[Conversation] = set()
        self._ready: deque[Mail] = deque()
        self._later: list[tuple[float, int, Mail]] = []
        self._serial = 0
        self._unsettled = 0
        self._settled = asyncio.Event()
        self._failures = 0
        self._connect_at = 0.0

    def deliver(self, mails: Sequence[Mail]) -> None:
        """Settles every mail: `status` is then ``sent`` or ``failed``.

        :raises MailError: it was stopped first; mails without a status may or may not have been accepted
        :raises SettingsError: the server refuses the login or can't do what the connection asks for
        """
        self._runner.run(self._deliver(mails))

    def close(self) -> None:
        """Takes leave of the server."""
        self._runner.run(self._quit())
        self._runner.close()

    async def _deliver(self, mails: Sequence[Mail]) -> None:
        self._unsettled = len(mails)
        self._ready.extend(mails)
        self._settled.clear()
        connecting: asyncio.Task[None] | None = None
        stop_at: float | None = None
        try:
            # Connections that ended while nobody listened are found out before they are used.
            await asyncio.sleep(0)
            self._wake()
            while self._unsettled:
                if connecting is not None and connecting.done():
                    connecting.result()
                    connecting = None
                if connecting is None and self._wants_connection():
                    connecting = asyncio.create_task(self._connect())
                if self._stop():
                    stop_at = stop_at or time.monotonic() + _STOP_GRACE
                    if time.monotonic() >= stop_at or not self._open:
                        raise MailError(
                            f"stopped before SMTP server {self._server} took all mails: {self._unsettled} of"
                            f" {len(mails)} have no answer yet; they are sent when the task runs again"
                        )
                await self._tick()
        finally:
            if connecting is not None:
                connecting.cancel()
                await asyncio.wait([connecting])
            if self._unsettled:
                self._abandon()

    async def _tick(self) -> None:
        try:
            await asyncio.wait_for(self._settled.wait(), _TICK)
        except TimeoutError:
            now = time.monotonic()
            while self._later and self._later[0][0] <= now:
                self._ready.append(heapq.heappop(self._later)[2])
            self._wake()
            for conversation in list(self._open):
                if conversation.silent_for() > self._server.timeout:
                    conversation.abort(f"no reply for {self._server.timeout:g} s")

    def _wake(self) -> None:
        for conversation in list(self._open):
            if not self._ready:
                return
            conversation.wake()

    def _abandon(self) -> None:
        self._ready.clear()
        self._later.clear()
        for conversation in list(self._open):
            conversation.abort("stopped")
        self._ready.clear()
        self._later.clear()

    async def _quit(self) -> None:
        for conversation in self._open:
            conversation.quit()
        self._open.clear()
        await asyncio.sleep(0)

    # Connections

    def _wants_connection(self) -> bool:
        wanted = min(self._connections, self._unsettled)
        return bool(self._ready) and len(self._open) < wanted and time.monotonic() >= self._connect_at

    async def _connect(self) -> None:
        """Opens connections one after the other until there are enough or one fails."""
        while self._wants_connection():
            try:
                opened = await open_connection(self._server)
            except MailError as error:
                self._trouble(str(error))
                return
            conversation = Conversation(opened.transport, self, sender=self._sender, pipelining=opened.pipelining)
            self._open.add(conversation)
            conversation.wake()

    def _trouble(self, reason: str) -> None:
        now = time.monotonic()
        if now < self._connect_at:
            # Several connections ended by one cause are one failure.
            return
        self._failures += 1
        pause = self._pauses.after(self._failures)
        self._connect_at = now + pause
        logger.warning(
            "SMTP server %s: %s. %d mails wait; failure %d in a row, trying again in %.1f s for as long as it takes."
            " Check that the server runs and accepts connections from here",
            self._server,
            reason,
            self._unsettled,
            self._failures,
            pause,
        )

    def ended(self, conversation: Conversation, reason: str, *, busy: bool) -> None:
        self._open.discard(conversation)
        if busy and self._unsettled:
            self._trouble(reason)

    # What the server says of mails

    def take(self) -> Mail | None:
        if not self._ready:
            return None
        mail = self._ready.popleft()
        mail.attempts += 1
        if mail.attempts == 1:
            mail.first_tried_at = time.time()
        return mail

    def accepted(self, mail: Mail, reply: str) -> None:
        self._settle(mail, "sent", reply)

    def refused(self, mail: Mail, code: int, reply: str) -> None:
        if code >= 500:
            self._settle(mail, "failed", reply)
        else:
            self._try_again(mail, reply)

    def doubtful(self, mail: Mail, reason: str) -> None:
        self._try_again(mail, f"no reply after the mail was sent: {reason}")

    def given_back(self, mail: Mail) -> None:
        mail.attempts -= 1
        self._ready.appendleft(mail)

    def _try_again(self, mail: Mail, reply: str) -> None:
        if mail.attempts >= self._attempts:
            self._settle(mail, "failed", reply)
            return
        mail.reply = reply[:_REPLY_LENGTH]
        self._serial += 1
        heapq.heappush(self._later, (time.monotonic() + self._pauses.after(mail.attempts), self._serial, mail))

    def _settle(self, mail: Mail, status: str, reply: str) -> None:
        self._failures = 0
        mail.status = status
        mail.reply = reply[:_REPLY_LENGTH]
        mail.finished_at = time.time()
        self._unsettled -= 1
        if not self._unsettled:
            self._settled.set()
