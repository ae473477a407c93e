"""The connections to one server. They are opened in parallel; after a failure, one at a time and after a pause."""

import asyncio
import logging
import random
import time
from collections.abc import Callable

from fraudstream.errors import FraudstreamError, MailError
from fraudstream.mail.smtp.conversation import Conversation, Post, Stage
from fraudstream.mail.smtp.server import SmtpServer, open_connection

logger = logging.getLogger(__name__)

#: Seconds to wait, at the end, until the server has closed its side of the connections.
_GOODBYE = 1.0


class Pauses:
    """Random pauses between tries, in seconds. Their limit is `first`; each failure doubles it, up to `longest`."""

    def __init__(self, first: float = 1.0, longest: float = 60.0) -> None:
        self._first = first
        self._longest = longest

    def after(self, failures: int) -> float:
        """Returns the pause after this number of consecutive failures, which is at least one."""
        return random.uniform(0, min(self._longest, self._first * 2.0 ** min(failures - 1, 30)))  # noqa: S311  no secret


class Connections:
    """Conversations with one server; to be used inside the event loop.

    :param limit: maximum number of connections
    :param post: gives mails to the conversations, and receives the replies
    :param on_error: called with an error that a retry can't solve
    """

    def __init__(
        self,
        server: SmtpServer,
        limit: int,
        post: Post,
        on_error: Callable[[FraudstreamError], None],
        pauses: Pauses,
    ) -> None:
        self._server = server
        self._limit = limit
        self._post = post
        self._on_error = on_error
        self._pauses = pauses
        self._open: set[Conversation] = set()
        self._not_closed: set[Conversation] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._resume_at = 0.0

    def __bool__(self) -> bool:
        """Whether a connection is open."""
        return bool(self._open)

    @property
    def pausing(self) -> bool:
        """Whether a pause is not over yet: no mail is sent, and no connection is opened."""
        return time.monotonic() < self._resume_at

    def fill(self, waiting: int) -> None:
        """Begins to open connections, up to the limit: one for each of `waiting` mails, or only one after a failure."""
        if self.pausing:
            return
        wanted = min(self._limit, len(self._open) + (min(waiting, 1) if self._failures else waiting))
        for _ in range(wanted - len(self._open) - len(self._connecting)):
            task = asyncio.get_running_loop().create_task(self._open_one())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    def wake(self) -> None:
        """Starts the next mail on idle connections, and aborts those that have waited too long for a reply."""
        for conversation in list(self._open):
            content = conversation.awaits is Stage.CONTENT
            limit = self._server.content_timeout if content else self._server.timeout
            if conversation.silent_for() > limit:
                conversation.abort(f"no reply for {limit:g} s", waited=True)
            else:
                conversation.wake()

    def reset_failures(self) -> None:
        """Sets the number of consecutive failures to 0, because the server accepted a mail."""
        self._failures = 0

    def pause(self, reason: str, waiting: int) -> None:
        """Begins a pause. During a pause it does nothing: connections that ended for the same cause are one failure."""
        if self.pausing:
            return
        self._failures += 1
        pause = self._pauses.after(self._failures)
        self._resume_at = time.monotonic() + pause
        logger.warning(
            "SMTP server %s: %s. %d mails wait; failure %d in a row, trying again in %.1f s for as long as the run may"
            " take. Check that the server runs and accepts mail from here",
            self._server,
            reason,
            waiting,
            self._failures,
            pause,
        )

    def ended(self, conversation: Conversation, reason: str, waiting: int) -> None:
        """Handles the end of a connection that `waiting` mails could have used.

        If the server accepted mails on it, a new one is opened at once, else a pause begins.
        """
        self._open.discard(conversation)
        if not waiting:
            return
        if conversation.accepted:
            logger.debug("SMTP server %s after %d mails: %s", self._server, conversation.accepted, reason)
            self.fill(waiting)
        else:
            self.pause(reason, waiting)

    async def cancel(self) -> None:
        """Cancels the connections that are being opened."""
        connecting = list(self._connecting)
        for task in connecting:
            task.cancel()
        if connecting:
            await asyncio.wait(connecting)

    def abort(self, reason: str) -> None:
        """Aborts all connections."""
        for conversation in list(self._open):
            conversation.abort(reason)

    async def quit(self) -> None:
        """Sends QUIT on all connections and waits until they are closed, so that the event loop can be closed."""
        for conversation in self._open:
            conversation.quit()
        self._open.clear()
        if self._not_closed:
            await asyncio.wait({one.closed for one in self._not_closed}, timeout=_GOODBYE)
        for conversation in self._not_closed:
            conversation.abort("the server did not close the connection")
        await asyncio.sleep(0)

    async def _open_one(self) -> None:
        try:
            opened = await open_connection(self._server)
        except MailError as error:
            self.pause(str(error), self._post.waiting)
        except FraudstreamError as error:
            self._on_error(error)
        except Exception as error:
            # The exception of a task is lost. Without this, each check would open another connection without a pause.
            logger.exception("SMTP server %s", self._server)
            self._on_error(MailError(f"SMTP server {self._server}: connecting ended with {error!r}"))
        else:
            conversation = Conversation(opened.transport, self._post, pipelining=opened.pipelining)
            self._open.add(conversation)
            self._not_closed.add(conversation)
            conversation.closed.add_done_callback(lambda _: self._not_closed.discard(conversation))
            conversation.wake()
