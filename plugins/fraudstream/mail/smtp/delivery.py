"""Delivers mails over several SMTP connections: each mail ends as sent, failed or deferred, however the server behaves.

- Accepted (2xx): sent, with the reply.
- The server refuses one mailbox: failed if permanently (5xx), deferred if temporarily (4xx). The DAG retry_mails tries
  deferred mails again; this delivery does not wait for them.
- The session or the server refuses: no connection, 421, 4xx at MAIL, a limit of mails for each session, 4xx for all
  mails. The mail waits, which is not counted as a try. It is sent on a new connection if the server accepted mails on
  the last one, else after a pause. If the server throttles, the rate is lowered.
- The server refuses the account: a login is required or refused, 5xx at MAIL, the same 5xx for all mails. A retry can't
  help: an error names the settings to check.
- The connection was lost, or the reply timed out, after the content was sent: it isn't known whether the server has
  accepted the mail. It is sent again, a few times in this delivery, then as a deferred mail, up to `attempts` times in
  all. This is the only case in a delivery in which a mail can arrive twice. Both copies have the same Message-ID.

``refusals.py`` distinguishes these cases, ``pace.py`` limits the rate, and ``connections.py`` has the connections.
Pauses are random; their upper limit grows exponentially (full jitter).
"""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Sequence

import uvloop

from fraudstream.errors import FraudstreamError, MailError, SettingsError
from fraudstream.mail.smtp.connections import Connections, Pauses
from fraudstream.mail.smtp.conversation import Conversation, Mail, Stage
from fraudstream.mail.smtp.pace import Pace
from fraudstream.mail.smtp.refusals import About, Refusals, about, replies_of
from fraudstream.mail.smtp.server import SmtpServer

#: Seconds between two checks of time limits, due retries and `stop`.
_TICK = 0.05
#: Seconds that deliveries continue after `stop` returned true, as long as the server accepts mails.
_STOP_GRACE = 2.0
#: Maximum length of a stored reply, in characters.
_REPLY_LENGTH = 500
#: How often the content of a mail is sent without a reply, before the mail is deferred.
_UNANSWERED_HERE = 3
#: How often a mail is throttled while others are accepted, or ends a connection, before it is deferred.
_THROTTLED_HERE, _LOST_HERE = 3, 10


class Delivery:
    """Delivers mails through one server.

    To be used from one thread; connections stay open between calls.

    :param attempts: how often the content of a mail is sent without a reply, before the mail is failed
    :param stop: called repeatedly while mails are delivered; once it returns true, :meth:`deliver` ends soon
    :param per_second: maximum number of mails per second
    :param patient: what to do if the server refuses all mails. True: wait for the server, or raise an error if the
        refusal is permanent. False: defer the mails. This is for mails that were deferred before: if many of them are
        refused, the cause may be their mailboxes and not the server
    """

    def __init__(
        self,
        server: SmtpServer,
        *,
        connections: int,
        attempts: int,
        stop: Callable[[], bool],
        per_second: float = float("inf"),
        patient: bool = True,
        pauses: Pauses | None = None,
    ) -> None:
        self._server = server
        self._attempts = attempts
        self._stop = stop
        self._pace = Pace(per_second)
        self._patient = patient
        self._pauses = pauses or Pauses()
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._connections = Connections(server, connections, self, self._fail, self._pauses)
        self._ready: deque[Mail] = deque()
        self._later: list[tuple[float, int, Mail]] = []
        self._refusals = Refusals()
        self._serial = 0
        self._unsettled = 0
        self._accepted = 0
        self._changed = asyncio.Event()
        self._error: FraudstreamError | None = None
        #: The time limit after `stop`, for all deliveries together: a backlog is sent in many deliveries.
        self._stop_at = float("inf")

    def deliver(self, mails: Sequence[Mail]) -> None:
        """Settles every mail: `status` is then ``sent``, ``failed`` or ``deferred``.

        :raises MailError: the delivery was stopped before, or connecting failed with an unexpected error. The server
            may or may not have accepted the mails without a status
        :raises SettingsError: the server refuses the account, or doesn't support the options of the connection
        """
        self._runner.run(self._deliver(mails))

    def close(self) -> None:
        """Ends the session with QUIT."""
        self._runner.run(self._connections.quit())
        self._runner.close()

    async def _deliver(self, mails: Sequence[Mail]) -> None:
        self._unsettled = len(mails)
        self._error = None
        self._ready.extend(mails)
        try:
            # This detects connections that ended since the last delivery, before they are used.
            await asyncio.sleep(0)
            self._connections.wake()
            while self._unsettled:
                if self._error is None:
                    self._connections.fill(min(len(self._ready), self._unsettled))
                if self._stop():
                    self._stop_at = min(self._stop_at, time.monotonic() + _STOP_GRACE)
                    if time.monotonic() >= self._stop_at or not self._connections or self._connections.pausing:
                        raise MailError(
                            f"stopped before SMTP server {self._server} took all mails: {self._unsettled} of"
                            f" {len(mails)} have no answer yet; they are sent when the task runs again"
                        )
                await self._tick()
                if self._error is not None:
                    raise self._error
        finally:
            await self._connections.cancel()
            if self._unsettled:
                self._abandon()

    async def _tick(self) -> None:
        """Waits until all mails are settled, at most for one tick, and handles retries and time limits."""
        self._changed.clear()
        if self._unsettled and self._error is None:
            try:
                await asyncio.wait_for(self._changed.wait(), _TICK)
            except TimeoutError:
                now = time.monotonic()
                while self._later and self._later[0][0] <= now:
                    self._ready.append(heapq.heappop(self._later)[2])
                # If the last mail in flight got no reply, no callback decides about the refused mails.
                self._decide()
        self._connections.wake()

    def _abandon(self) -> None:
        self._unsettled = 0
        self._connections.abort("stopped")
        self._ready.clear()
        self._later.clear()
        self._refusals.forget()

    def _fail(self, error: FraudstreamError) -> None:
        self._error = self._error or error
        self._changed.set()

    # Called by conversations

    @property
    def waiting(self) -> int:
        return self._unsettled

    def ended(self, conversation: Conversation, reason: str, *, busy: bool) -> None:
        self._connections.ended(conversation, reason, self._unsettled if busy else 0)

    def take(self) -> Mail | None:
        if not self._ready or self._connections.pausing or self._error is not None or not self._pace.take():
            return None
        mail = self._ready.popleft()
        mail.attempts += 1
        if not mail.first_tried_at:
            mail.first_tried_at = time.time()
        return mail

    def accepted(self, mail: Mail, reply: str) -> None:
        self._connections.reset_failures()
        self._accepted += 1
        self._pace.accepted()
        self._refusals.accepted()
        self._settle(mail, "sent", reply)
        self._decide()

    def refused(self, conversation: Conversation, mail: Mail, stage: Stage, code: int, reply: str) -> bool:
        match about(stage, code, reply, fresh=not conversation.accepted):
            case About.SESSION:
                self._return(mail, counts=stage is not Stage.MAIL, reply=reply)
                return False
            case About.ACCOUNT:
                self._refuse_account(reply)
                return False
            case About.MAILBOX_FOR_GOOD:
                self._settle(mail, "failed", reply)
            case About.MAILBOX_FOR_NOW:
                self._settle(mail, "deferred", reply)
            case _:
                self._refusals.refused(mail, code, reply)
        self._decide()
        return True

    def no_reply(self, mail: Mail, reason: str, *, waited: bool = False) -> None:
        mail.unanswered += 1
        reply = f"no reply after the mail was sent: {reason}"
        if mail.unanswered >= self._attempts:
            self._settle(mail, "failed", reply)
        elif waited or mail.unanswered % _UNANSWERED_HERE == 0:  # the other mails have waited long enough
            self._settle(mail, "deferred", reply)
        else:
            mail.reply = reply[:_REPLY_LENGTH]
            self._serial += 1
            pause = self._pauses.after(mail.unanswered)
            heapq.heappush(self._later, (time.monotonic() + pause, self._serial, mail))

    def not_sent(self, mail: Mail, *, counts: bool) -> None:
        self._return(mail, counts=counts, reply="the server closed the connection when it was asked to take the mail")

    def _return(self, mail: Mail, *, counts: bool, reply: str) -> None:
        """Puts a mail back to be sent first, on another connection; this is not a try.

        A mail that has ended many connections is deferred. If the server hasn't accepted any mail yet, it is put behind
        the other mails instead: their replies show whether the server accepts mails at all.
        """
        mail.attempts -= 1
        mail.returns += counts
        if mail.returns >= _LOST_HERE and self._accepted:
            mail.attempts += 1
            self._settle(mail, "deferred", reply)
        elif mail.returns >= _LOST_HERE:
            self._ready.append(mail)
        else:
            self._ready.appendleft(mail)

    def _decide(self) -> None:
        on_their_way = self._unsettled - len(self._refusals) - len(self._ready) - len(self._later)
        if not len(self._refusals) or not (self._refusals.full or (not on_their_way and not self._ready)):
            return
        found = self._refusals.verdict(slowed=self._pace.slowed)
        if not self._patient:
            found.deferred = [*found.deferred, *found.throttled, *found.account]
            if found.throttled:
                self._pace.slow_down()
        elif found.account:
            self._refuse_account(found.account[0][1])
            return
        elif found.throttled:
            self._throttle(found.throttled)
        for mail, reply in found.failed:
            self._settle(mail, "failed", reply)
        for mail, reply in found.deferred:
            self._settle(mail, "deferred", reply)

    def _throttle(self, throttled: list[tuple[Mail, str]]) -> None:
        self._pace.slow_down()
        for mail, reply in throttled:
            if not mail.throttled:
                mail.accepted_before = self._accepted
            mail.throttled += 1
            if mail.throttled >= _THROTTLED_HERE and self._accepted > mail.accepted_before:
                self._settle(mail, "deferred", reply)
            else:
                mail.attempts -= 1
                self._ready.append(mail)
        pace = f"; at most {self._pace.rate:.0f} mails a second from now on" if self._pace.slowed else ""
        self._connections.pause(f"refuses everyone for now ({replies_of(throttled)}){pace}", self._unsettled)

    def _refuse_account(self, reply: str) -> None:
        self._fail(
            SettingsError(
                f"SMTP server {self._server} takes no mail from this account: {reply[:_REPLY_LENGTH]}. Check login and"
                " password of the connection, FRAUDSTREAM_MAIL_SENDER and FRAUDSTREAM_MAIL_ENVELOPE_SENDER, and that"
                " the server relays to the recipients of FRAUDSTREAM_MAIL_RECIPIENT_TEMPLATE"
            )
        )

    def _settle(self, mail: Mail, status: str, reply: str) -> None:
        mail.status = status
        mail.reply = reply[:_REPLY_LENGTH]
        mail.finished_at = time.time()
        self._unsettled -= 1
        if not self._unsettled:
            self._changed.set()
