"""How the site's applications are served: one uvicorn server each, several of them in a process.

uvicorn with h11 bounds the head of a request (docs/decisions/0025-links-and-site.md says what else was tried). What no
setting of it does is :class:`Connection`'s: a deadline, and a bound that silent clients can't use up.
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

#: Longer than an answer may take to be confirmed, so that the customer who pressed the button gets the result.
GRACE_SECONDS = 15
#: Below the default limit of 1,024 open files of a process.
MOST_CONNECTIONS = 800
#: Request line and headers. A link's campaign parameters may fill most of it.
LONGEST_HEAD = 64 * 1024
#: For a whole head to come in, for the rest of a body that is answered already, for a response to be taken.
PATIENCE_SECONDS = 10.0
#: Google's balancer keeps a connection for 600 s: it must be the one that closes it.
KEEP_ALIVE_SECONDS = 620

#: Why a connection was ended: its client was too slow, others needed its place, or it sent what is not a request.
Ended = Literal["slow", "crowded", "invalid"]


class Connection(H11Protocol):
    """A connection that ends when its client keeps it waiting.

    * A client owes the head of its first request from the start, of a later one from its first byte, the rest of a body
      once the request is answered, and must take its response: each within :data:`PATIENCE_SECONDS`.
    * The connection that is one too many replaces one without a pending request: the one that has been silent for
      longest, or else the one whose last request is oldest.
    """

    def __init__(self, *args: Any, most_connections: int, on_end: Callable[[Ended], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most_connections = most_connections
        self._on_end = on_end
        self._deadline: asyncio.TimerHandle | None = None
        self._waiting_since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Takes a place, and starts to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self._most_connections:
            self._make_room()
        self._set_deadline(True)

    def data_received(self, data: bytes) -> None:
        """A part of a head or of a body."""
        super().data_received(data)
        self._set_deadline(not self._request_pending and self.conn.their_state in {h11.IDLE, h11.SEND_BODY})

    def send_400_response(self, msg: str) -> None:
        """What came is not a request, or its head is too long."""
        self._on_end("invalid")
        super().send_400_response(msg)

    def on_response_complete(self) -> None:
        """The connection may be kept; the rest of a body is owed."""
        super().on_response_complete()
        self._waiting_since = time.monotonic()
        self._set_deadline(not self._request_pending and self.conn.their_state is h11.SEND_BODY)

    def pause_writing(self) -> None:
        """The client doesn't take its response."""
        super().pause_writing()
        self._set_deadline(True)

    def resume_writing(self) -> None:
        """The client takes its response again."""
        super().resume_writing()
        self._set_deadline(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Either side ended it."""
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
    """One of several servers in a process: signals are for the process to handle, which sets `should_exit`."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Does not handle signals."""
        yield


def server(
    app: ASGIApp, *, most_connections: int = MOST_CONNECTIONS, on_end: Callable[[Ended], None] = lambda _: None
) -> Server:
    """A server for one application; ``serve(sockets=[...])`` runs it in the event loop that is there.

    :param on_end: told of each connection that was ended before its time
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
            proxy_headers=False,  # the app itself trusts the configured ones, and no others
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )


@contextmanager
def listening(bind: str, setting: str) -> Iterator[socket.socket]:
    """A socket that listens on host:port, which `setting` says.

    :raises SettingsError: it can't
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
