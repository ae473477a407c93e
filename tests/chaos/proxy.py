"""An HTTP proxy on loopback in front of one server, which injects faults on request.

For an emulated object store it can also enforce Cloud Storage's limit of one write per second and object name:
https://cloud.google.com/storage/quotas#objects
"""

import asyncio
import json
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import TracebackType
from typing import NamedTuple
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

_HOST = "127.0.0.1"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")
_UPLOADS = "/upload/"
#: Maximum size of an upload's JSON part, which has name and metadata of the object.
_LONGEST_PART = 64 << 10
#: Cloud Storage's minimum interval, in seconds, between two writes of one object.
OBJECT_SECONDS = 1.0


class HttpFault(Enum):
    """A fault of a request; reports use the value."""

    UNAVAILABLE = "answers 503"
    TOO_MANY = "answers 429"
    RESET = "resets the connection"
    LOST_ANSWER = "does the write, loses the answer"
    STALL = "stalls"
    NOT_FOUND = "answers 404"
    HELD_PROGRESS = "never does a write of progress"


_STATUS = {
    HttpFault.UNAVAILABLE: "503 Service Unavailable",
    HttpFault.TOO_MANY: "429 Too Many Requests",
    HttpFault.NOT_FOUND: "404 Not Found",
}
#: The faults that any request to any server can have; the others are for one kind of request.
ANY_SERVER = (
    HttpFault.UNAVAILABLE,
    HttpFault.TOO_MANY,
    HttpFault.RESET,
    HttpFault.LOST_ANSWER,
    HttpFault.STALL,
)
#: The name, in any kind of upload, of the lake's object with a consumer's progress.
_PROGRESS = re.compile(rb"_progress/[\w./-]+\.json")


class _Request(NamedTuple):
    method: str
    target: str
    head: list[bytes]
    body: bytes


class FaultyProxy:
    """A proxy in its own thread; a context manager. Each connection has one request.

    :param object_seconds: an upload to an object name that was written less than this many seconds ago gets 429 and
        isn't forwarded; None: no limit
    """

    def __init__(self, upstream: int, seed: int, *, object_seconds: float | None = None) -> None:
        self._upstream = upstream
        self._object_seconds = object_seconds
        self._written_at: dict[str, float] = {}
        #: The number of uploads by object name: accepted by the store, and refused by the limit.
        self.written: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._random = random.Random(seed)  # noqa: S311  no secret
        self._fault: HttpFault | None = None
        self._share = 0.0
        self._over = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{upstream}")
        self._server: asyncio.Server | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self.hits: Counter[HttpFault] = Counter()
        #: Names of the progress objects whose writes were held.
        self.held: list[str] = []
        self.port = 0

    def __enter__(self) -> "FaultyProxy":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def fault(self, fault: HttpFault, share: float) -> Iterator[None]:
        """Injects the fault into this share of the requests (for a lost answer, of the writes) during the context.

        A stalled or held request hangs until the context ends. Then its connection is reset, and it is never forwarded.
        """
        self._share, self._fault = share, fault
        try:
            yield
        finally:
            self._fault = None
            self._loop.call_soon_threadsafe(self._end_stalls)

    def _end_stalls(self) -> None:
        self._over.set()
        self._over = asyncio.Event()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._client, _HOST, 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        while self._handlers:
            for handler in self._handlers:
                handler.cancel()
            await asyncio.wait(self._handlers)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        task.add_done_callback(self._handlers.discard)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            # One side has closed its connection: the other side gets a reset.
            _reset(writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read(reader)
        match self._drawn(request):
            case None:
                writer.write(await self._limited(request))
                await writer.drain()
            case (HttpFault.UNAVAILABLE | HttpFault.TOO_MANY | HttpFault.NOT_FOUND) as fault:
                writer.write(_answer(_STATUS[fault]))
                await writer.drain()
            case HttpFault.RESET:
                _reset(writer)
            case HttpFault.LOST_ANSWER:
                await self._forward(request)
                _reset(writer)
            case HttpFault.STALL | HttpFault.HELD_PROGRESS:
                await self._over.wait()
                _reset(writer)

    def _drawn(self, request: _Request) -> HttpFault | None:
        fault = self._fault
        if fault is None or self._random.random() >= self._share:
            return None
        if fault in {HttpFault.LOST_ANSWER, HttpFault.HELD_PROGRESS} and request.method not in _WRITES:
            return None
        if fault is HttpFault.HELD_PROGRESS:
            named = _PROGRESS.search(unquote_to_bytes(request.head[0]) + b" " + request.body[:2_000])
            if named is None:
                return None
            self.held.append(named[0].decode())
        self.hits[fault] += 1
        return fault

    async def _limited(self, request: _Request) -> bytes:
        """The store's response, or 429 for an upload that comes too early. Uploads that change nothing don't count."""
        name = _uploaded(request)
        if name is None or self._object_seconds is None:
            return await self._forward(request)
        before = self._written_at.get(name)
        if before is not None and time.monotonic() - before < self._object_seconds:
            self.refused[name] += 1
            return _answer(_STATUS[HttpFault.TOO_MANY])
        # The limit counts from here: of two simultaneous uploads one is too many.
        self._written_at[name] = time.monotonic()
        answer = await self._forward(request)
        if answer.split(b" ", 2)[1].startswith(b"2"):
            self._written_at[name] = time.monotonic()
            self.written[name] += 1
        elif before is None:
            del self._written_at[name]
        else:
            self._written_at[name] = before
        return answer

    async def _forward(self, request: _Request) -> bytes:
        reader, writer = await asyncio.open_connection(_HOST, self._upstream)
        try:
            head = [*request.head, f"Host: {_HOST}:{self._upstream}".encode(), b"Connection: close"]
            writer.write(b"\r\n".join(head) + b"\r\n\r\n" + request.body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> _Request:
    """Reads a request, without the headers of its connection."""
    first, *headers = (await reader.readuntil(b"\r\n\r\n")).removesuffix(b"\r\n\r\n").split(b"\r\n")
    length = 0
    kept = [first]
    for header in headers:
        match header.partition(b":")[0].strip().lower():
            case b"content-length":
                length = int(header.partition(b":")[2])
                kept.append(header)
            case b"transfer-encoding":
                raise NotImplementedError(f"the proxy takes bodies with a Content-Length only, found {header!r}")
            case b"host" | b"connection" | b"keep-alive":
                pass
            case _:
                kept.append(header)
    method, target, _ = first.decode().split(" ", 2)
    return _Request(method, target, kept, await reader.readexactly(length))


def _uploaded(request: _Request) -> str | None:
    """The object name of an upload; None for any other request."""
    target = urlsplit(request.target)
    if request.method != "POST" or not target.path.startswith(_UPLOADS):
        return None
    if "name" in (query := parse_qs(target.query)):
        return query["name"][0]
    # The JSON part is at the start of a multipart upload's body; it is the whole body of a resumable one.
    start = request.body.index(b"{")
    document, _ = json.JSONDecoder().raw_decode(request.body[start : start + _LONGEST_PART].decode(errors="replace"))
    return str(document["name"])


def _answer(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection as a crash does: with RST, not FIN."""
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
