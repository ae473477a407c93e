"""The sink that turns records into mails and keeps a log line of each in the lake.

For each piece of at most `mail_batch_rows` records, numbered as in the code:

1. write the mails,
2. deliver them until each is settled: sent, failed or suppressed,
3. append their log lines to the chain of folder email_confirmation/, which moves the partition's progress,
4. only then report the offset as done.

The mails of the next piece are written while the log of the one before is; they are delivered after it.

A crash before 3 repeats the mails of one piece at most, with the same Message-IDs; after 3 it repeats none, since
reading starts where the chain ends.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Protocol

import numpy as np
from isal import igzip

from fraudstream.errors import MailError
from fraudstream.kafka.records import Batch, Partition
from fraudstream.lake.stream.names import day_of
from fraudstream.lake.stream.totals import Totals, totals_of
from fraudstream.mail.conversation import Mail
from fraudstream.mail.delivery import Delivery
from fraudstream.mail.letters import KINDS, Letter, LetterWriter, MakesLinks, log_lines
from fraudstream.mail.server import SmtpServer
from fraudstream.mail.templates import Kind
from fraudstream.settings import Settings

#: Longest time in seconds that a record waits for others to share its log object.
_LINGER = 0.5
_LOG_WRITERS = 4
_GZIP_LEVEL = 1


class Chain(Protocol):
    """What the sink needs of :class:`fraudstream.lake.stream.chain.ObjectChain`."""

    def open(self, partition: Partition) -> int | None:
        """Where reading goes on; None: the chain has no object yet."""

    def append(
        self, partition: Partition, first_offset: int, end_offset: int, day: date, body: bytes, totals: Totals
    ) -> int:
        """Adds one object and returns where the chain ends now."""

    def forget(self, partition: Partition) -> None:
        """Drops what is remembered of a partition."""


class Delivers(Protocol):
    """What the sink needs of :class:`~fraudstream.mail.delivery.Delivery`."""

    def deliver(self, mails: Sequence[Mail]) -> None:
        """Settles every mail, or raises :class:`~fraudstream.errors.MailError`."""

    def close(self) -> None:
        """Takes leave of the server."""


def mail_sink(
    settings: Settings, server: SmtpServer, chain: Chain, links: MakesLinks, *, stop: Callable[[], bool]
) -> "MailSink":
    """The sink of send_mail; `stop` is asked while the server is down, so that waiting for it can be ended.

    :raises SettingsError: a mail setting is unusable
    """
    writer = LetterWriter(settings, links)
    delivery = Delivery(
        server,
        sender=writer.sender,
        connections=settings.mail_connections,
        attempts=settings.mail_attempts,
        stop=stop,
    )
    return MailSink(writer, delivery, chain, piece_rows=settings.mail_batch_rows)


@dataclass
class _Piece:
    """Letters of one partition that are sent together, and the offset where reading goes on after them."""

    letters: list[Letter]
    end: int


class _Logging:
    """Log objects that are being written."""

    def __init__(self, appended: list[Future[None]]) -> None:
        self._appended = appended

    def wait(self) -> None:
        """Until they are written; each is waited for: one lost partition must not keep others' mails out of the log.

        :raises FraudstreamError: what one of them raised
        """
        errors = [error for future in self._appended if (error := future.exception()) is not None]
        if errors:
            raise errors[0]


class MailSink:
    """:class:`~fraudstream.kafka.records.Sink` that sends a mail for each record; see the module for its protocol.

    Where a partition's log ends decides where reading starts; a partition without a log starts where the group
    committed, so that a new lake doesn't mail everybody again.
    """

    def __init__(
        self,
        writer: LetterWriter,
        delivery: Delivers,
        chain: Chain,
        *,
        piece_rows: int,
        kinds: Mapping[str, Kind] = KINDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._writer = writer
        self._delivery = delivery
        self._chain = chain
        self._piece_rows = piece_rows
        self._kinds = kinds
        self._clock = clock
        self._waiting: deque[Batch] = deque()
        self._oldest = 0.0
        self._durable: dict[Partition, int] = {}
        self._log_writers = ThreadPoolExecutor(_LOG_WRITERS, thread_name_prefix="mail-log")

    def assigned(self, partition: Partition, committed: int | None) -> int | None:
        self._drop(partition)
        start = self._chain.open(partition)
        if start is not None:
            self._durable[partition] = start
        return start

    def write(self, batch: Batch) -> None:
        if not self._waiting:
            self._oldest = self._clock()
        self._waiting.append(batch)

    def due(self) -> bool:
        if not self._waiting:
            return False
        return self._clock() - self._oldest >= _LINGER or sum(map(len, self._waiting)) >= self._piece_rows

    def flush(self) -> dict[Partition, int]:
        moved: dict[Partition, int] = {}
        logging = _Logging([])
        while self._waiting:
            batches = self._take_piece()
            # 1. write
            piece = self._written([batch for batch in batches if len(batch)])
            logging.wait()
            logging = self._deliver(piece)
            for batch in batches:
                moved[batch.partition] = max(batch.next_offset, moved.get(batch.partition, 0))
        logging.wait()
        # 4. report
        return {partition: max(end, self._durable.get(partition, 0)) for partition, end in moved.items()}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._drop(partition)

    def close(self) -> None:
        self._log_writers.shutdown()
        self._delivery.close()

    def _drop(self, partition: Partition) -> None:
        self._waiting = deque(batch for batch in self._waiting if batch.partition != partition)
        self._durable.pop(partition, None)
        self._chain.forget(partition)

    def _take_piece(self) -> list[Batch]:
        """What is sent next: the oldest records, at most a piece of them, without those whose log exists already."""
        piece: list[Batch] = []
        room = self._piece_rows
        while self._waiting and room:
            batch = self._waiting.popleft()
            batch = batch.since(self._durable.get(batch.partition, 0))
            if len(batch) > room:
                self._waiting.appendleft(batch.since(int(batch.offsets[room])))
                batch = _head(batch, room)
            room -= len(batch)
            piece.append(batch)
        return piece

    def _written(self, batches: list[Batch]) -> dict[Partition, _Piece]:
        pieces: dict[Partition, _Piece] = {}
        for batch in batches:
            written = self._writer.letters(batch, self._kinds[batch.partition.topic])
            before = pieces[batch.partition].letters if batch.partition in pieces else []
            pieces[batch.partition] = _Piece([*before, *written], batch.next_offset)
        return pieces

    def _deliver(self, pieces: dict[Partition, _Piece]) -> "_Logging":
        # The log of the piece before may have adopted one that covers what was written meanwhile.
        for partition, piece in pieces.items():
            durable = self._durable.get(partition, 0)
            piece.letters = [letter for letter in piece.letters if letter.offset >= durable]
        # 2. deliver
        mails = [letter.mail for piece in pieces.values() for letter in piece.letters if letter.unsettled]
        try:
            if mails:
                self._delivery.deliver(mails)
        except MailError:
            # What the server took before it was given up isn't sent again.
            self._log(pieces).wait()
            raise
        # 3. log
        return self._log(pieces)

    def _log(self, pieces: dict[Partition, _Piece]) -> "_Logging":
        return _Logging(
            [
                self._log_writers.submit(self._log_partition, partition, piece.letters, piece.end)
                for partition, piece in pieces.items()
            ]
        )

    def _log_partition(self, partition: Partition, letters: list[Letter], end: int) -> None:
        """Appends an object a UTC day, up to the first letter that isn't settled; `end` is that of the whole list."""
        first = 0
        while first < len(letters) and not letters[first].unsettled:
            day = day_of(letters[first].timestamp)
            rest = range(first, len(letters))
            last = next((i for i in rest if letters[i].unsettled or day_of(letters[i].timestamp) != day), len(letters))
            self._durable[partition] = self._chain.append(
                partition,
                letters[first].offset,
                letters[last].offset if last < len(letters) else end,
                day,
                igzip.compress(log_lines(partition, letters[first:last]), _GZIP_LEVEL),
                totals_of(np.array([letter.offset for letter in letters[first:last]])),
            )
            first = bisect_left(letters, self._durable[partition], key=lambda letter: letter.offset)


def _head(batch: Batch, rows: int) -> Batch:
    return Batch(
        batch.partition,
        batch.offsets[:rows],
        batch.timestamps[:rows],
        batch.rows.slice(0, rows),
        _end(batch, rows),
    )


def _end(batch: Batch, rows: int) -> int:
    """Where reading goes on after the first `rows` records."""
    return int(batch.offsets[rows]) if rows < len(batch) else batch.next_offset
