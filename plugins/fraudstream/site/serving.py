"""Serves the site's applications: one uvicorn server for each, several of them in a process.

uvicorn with h11 limits the head of a request (docs/decisions/0025-links-and-site.md has the alternatives). uvicorn has
no setting for deadlines or for a limit on connections that silent clients can't exhaust: :class:`Connection` adds them.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, cast

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from fraudstream.errors import SettingsError

#: How long a server that ends waits for responses: longer than Kafka may take to acknowledge a customer's answer.
GRACE_SECONDS = 15
#: Below the default limit of 1,024 open files of a process.
MOST_CONNECTIONS = 800
#: Maximum bytes of request line and headers. Parameters that were appended to a link may fill most of it.
LONGEST_HEAD = 64 * 1024
#: How long a client may take to send a head, to send the rest of a body after the response, or to read a response.
PATIENCE_SECONDS = 10.0
#: Longer than the 600 s of Google's load balancer, which must be the side that closes an idle connection.
KEEP_ALIVE_SECONDS = 620

#: Why a connection was ended: its client was too slow, others needed its place, or it sent what is not a request.
Ended = Literal["slow", "crowded", "invalid"]


class Connection(H11Protocol):
    """A connection that ends if its client is too slow, or if a new connection needs its place.

    * Within :data:`PATIENCE_SECONDS`, the client must send the head of its first request (from the connection's start),
      the head of a later request (from its first byte) and the rest of a body (from the end of the response), and must
      continue to read a response.
    * A connection above the limit replaces one without a pending request: the one that has waited longest for its first
      request, or else the one whose last response is oldest.
    """

    def __init__(self, *args: Any, most_connections: int, on_end: Callable[[Ended], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most_connections = most_connections
        self._on_end = on_end
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting_since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Closes another connection if there are too many, and starts the deadline of the first request."""
        super().connection_made(transport)
        if len(self.connections) > self._most_connections:
            self._make_room()
        self._set_deadline(True)

    def data_received(self, data: bytes) -> None:
        """Handles a part of a head or of a body, and starts or cancels the deadline."""
        super().data_received(data)
        self._set_deadline(not self._request_pending and self.conn.their_state in {h11.IDLE, h11.SEND_BODY})

    def send_400_response(self, msg: str) -> None:
        """Counts and refuses an invalid request, or one whose head is too long."""
        self._on_end("invalid")
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """Starts the deadline for the rest of the body, if the client hasn't sent all of it."""
        super().on_response_complete()
        self._waiting_since = time.monotonic()
        self._set_deadline(not self._request_pending and self.conn.their_state is h11.SEND_BODY)

    def pause_writing(self) -> None:
        """Starts the deadline: the client doesn't read its response."""
        super().pause_writing()
        self._set_deadline(True)

    def resume_writing(self) -> None:
        """Cancels the deadline: the client reads its response again."""
        super().resume_writing()
        self._set_deadline(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the deadline: the connection is closed."""
        self._set_deadline(False)
        super().connection_lost(exc)

    @property
    def _request_pending(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _set_deadline(self, something: bool) -> None:
        if not something and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        elif something and self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE_SECONDS, self._end, "slow")

    def _end(self, reason: Ended) -> None:
        self._on_end(reason)
        self.transport.abort()

    def _make_room(self) -> None:
        others = [c for c in self.connections if isinstance(c, Connection) and c is not self and not c._request_pending]
        # first those without a first request, then by age; if all have a pending request, the new one ends
        min(others, key=lambda c: (c.cycle is not None, c._waiting_since), default=self)._end("crowded")


class Server(uvicorn.Server):
    """One of several servers in a process, which itself handles signals and sets `should_exit`."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Does not handle signals."""
        yield


def server(
    app: ASGIApp, *, most_connections: int = MOST_CONNECTIONS, on_end: Callable[[Ended], None] = lambda _: None
) -> Server:
    """Returns a server for one application; ``serve(sockets=[...])`` runs it in the current event loop.

    :param on_end: called with the reason for each connection that the server ends early
    """
    connection = partial(Connection, most_connections=most_connections, on_end=on_end)
    return Server(
        uvicorn.Config(
            app,
            interface="asgi3",
            http=cast(Any, connection),
            h11_max_incomplete_event_size=LONGEST_HEAD,
            ws="none",
            access_log=False,  # it would log tokens
            log_config=None,
            log_level="error",  # a line for each invalid request would let anyone fill the log: they are counted
            server_header=False,
            proxy_headers=False,  # the app itself handles the headers of the configured proxies
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


@contextmanager
def listening(bind: str, setting: str) -> Iterator[socket.socket]:
    """A socket that listens on `bind` (host:port), the value of `setting`.

    :raises SettingsError: the socket can't listen there
    """
    host, _, port = bind.rpartition(":")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=2048)
    except (OSError, ValueError, OverflowError) as error:
        raise SettingsError(
            f"{setting} is {bind!r}, which can't be listened on: {error}; expected a free host:port of this machine"
        ) from error
    with listener:
        yield listener
