"""Writes decoded records to the lake as gzipped JSON lines, each record to exactly one object.

Threads format, compress and write the lines while records arrive, so that the polling thread can continue. The body of
an object is a sequence of compressed pieces: a gzip file may consist of several members (RFC 1952, 2.2).
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import NamedTuple

import numpy as np
from isal import igzip

from fraudstream.kafka.records import Batch, Partition
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.lines import ToLines
from fraudstream.lake.stream.names import day_of
from fraudstream.lake.stream.totals import Totals, total, totals_of, totals_of_lines

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
#: ISA-L's level 1 takes half the time of zlib-ng's level 1 and a fifth of zlib's, and its output is smaller.
_GZIP_LEVEL = 1
#: Rows to wait for before they are formatted. With the fewer rows of one poll and partition, a fifth would be overhead.
_PIECE_ROWS = 10_000
_WRITERS = 4
_ENCODERS = 2


class _Member(NamedTuple):
    """A gzip member with the lines of some records, and their control totals."""

    data: bytes
    totals: Totals


@dataclass(frozen=True)
class _Part:
    """Records of one UTC day, and the gzip member that is being made of them.

    `day` is in days since 1970. If all records were dead letters, `offsets` is empty and `day` is None.
    """

    offsets: np.ndarray
    next_offset: int
    day: int | None
    member: Future["_Member"]


class JsonSink:
    """:class:`~fraudstream.kafka.records.Sink` that appends to the chains of one folder.

    An object holds consecutive records of one topic-partition and of one UTC day (of the Kafka record timestamp).
    A partition is written once `flush_rows` of its rows are waiting. All partitions are written once the oldest row has
    waited for `flush_seconds`. Partitions are written in parallel, and the objects of a partition in offset order.

    Reading starts at the end of a partition's chain, not at the group's committed offset. So a complete lake is
    continued, and an empty lake is filled from the beginning.
    """

    def __init__(
        self,
        chain: AppendingChain,
        to_lines: ToLines,
        *,
        flush_rows: int,
        flush_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chain = chain
        self._to_lines = to_lines
        self._flush_rows = flush_rows
        self._flush_seconds = flush_seconds
        self._clock = clock
        self._fresh: dict[Partition, list[Batch]] = {}
        self._buffers: dict[Partition, list[_Part]] = {}
        self._rows: dict[Partition, int] = {}
        self._writing: dict[Partition, Future[int]] = {}
        self._durable: dict[Partition, int] = {}
        self._oldest: float | None = None
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="lake-encoder")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="lake-writer")

    def assigned(self, partition: Partition, committed: int | None) -> int:
        """The end of the partition's chain; 0 if it has no object, even if the group has a committed offset."""
        self._drop(partition)
        start = self._chain.open(partition) or 0
        self._durable[partition] = start
        if committed is not None and committed != start:
            log.info("%s: the group committed offset %d, the lake continues at %d", partition, committed, start)
        return start

    def write(self, batch: Batch) -> None:
        fresh = self._fresh.setdefault(batch.partition, [])
        if fresh and batch.next_offset < fresh[-1].next_offset:
            raise ValueError(f"batches of {batch.partition} are not in offset order")
        fresh.append(batch)
        if sum(map(len, fresh)) >= _PIECE_ROWS:
            self._start_encoding(batch.partition)
        self._rows[batch.partition] = self._rows.get(batch.partition, 0) + len(batch)
        if self._oldest is None:
            self._oldest = self._clock()
        if self._rows[batch.partition] >= self._flush_rows:
            self._start_writing(batch.partition)

    def due(self) -> bool:
        waited = self._oldest is not None and self._clock() - self._oldest >= self._flush_seconds
        return waited or self._chain.overdue()

    def flush(self) -> dict[Partition, int]:
        """Writes the waiting rows and returns the next offset of each partition that was written.

        Moves each progress that is overdue to its chain's end; if no rows are waiting, every progress.
        """
        if not self._rows and not self._writing:
            self._chain.settle()
        for partition in list(self._rows):
            self._start_writing(partition)
        writing, self._writing, self._oldest = self._writing, {}, None
        durable = {partition: written.result() for partition, written in writing.items()}
        self._chain.settle(only_overdue=True)
        return durable

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._drop(partition)

    def close(self) -> None:
        self._encoders.shutdown()
        self._writers.shutdown()

    def _start_encoding(self, partition: Partition) -> None:
        fresh = self._fresh.pop(partition, [])
        if fresh:
            self._buffers.setdefault(partition, []).extend(map(self._encoding, _days(Batch.joined(fresh))))

    def _start_writing(self, partition: Partition) -> None:
        self._start_encoding(partition)
        if partition in self._writing:
            self._writing[partition].result()  # raises the error of that write; one write at a time bounds the memory
        self._rows.pop(partition)
        self._writing[partition] = self._writers.submit(self._write_partition, partition, self._buffers.pop(partition))

    def _drop(self, partition: Partition) -> None:
        writing = self._writing.pop(partition, None)
        if writing is not None and (error := writing.exception()) is not None:
            log.warning("%s: its new reader writes again what this one couldn't: %s", partition, error)
        self._fresh.pop(partition, None)
        self._buffers.pop(partition, None)
        self._rows.pop(partition, None)
        self._durable.pop(partition, None)
        self._chain.forget(partition)
        if not self._rows and not self._writing:
            self._oldest = None

    def _encoding(self, batch: Batch) -> _Part:
        day = int(batch.timestamps[0]) // _DAY_MS if len(batch) else None
        return _Part(batch.offsets, batch.next_offset, day, self._encoders.submit(self._encode, batch))

    def _encode(self, batch: Batch) -> _Member:
        totals = totals_of(batch.offsets, batch.rows)
        return _Member(igzip.compress(self._to_lines(batch), _GZIP_LEVEL) if len(batch) else b"", totals)

    def _write_partition(self, partition: Partition, parts: list[_Part]) -> int:
        """Appends the waiting rows of a partition, one object per day, and returns the next offset to read."""
        end = parts[-1].next_offset
        durable = self._durable[partition]
        while parts := self._since(parts, durable):
            run = _first_day(parts)
            members = [part.member.result() for part in run]
            durable = self._chain.append(
                partition,
                int(parts[0].offsets[0]),
                run[-1].next_offset,
                day_of((parts[0].day or 0) * _DAY_MS),
                b"".join(member.data for member in members),
                total(member.totals for member in members),
            ).end
            self._durable[partition] = durable
        return max(end, durable)

    def _since(self, parts: list[_Part], offset: int) -> list[_Part]:
        """The parts from the first record at or after `offset` on. Earlier lines of the first of them are removed."""
        for index, part in enumerate(parts):
            before = int(np.searchsorted(part.offsets, offset))
            if before < len(part.offsets):
                return [self._without(part, before) if before else part, *parts[index + 1 :]]
        return []

    def _without(self, part: _Part, count: int) -> _Part:
        member = self._encoders.submit(_shortened, part.member.result(), part.offsets, count)
        return _Part(part.offsets[count:], part.next_offset, part.day, member)


def _shortened(member: _Member, offsets: np.ndarray, count: int) -> _Member:
    """The member without its first `count` lines, whose totals are calculated from the lines and subtracted."""
    lines = igzip.decompress(member.data).splitlines(keepends=True)
    dropped = totals_of_lines(lines[:count], member.totals.columns)
    columns = {name: value - dropped.columns[name] for name, value in member.totals.columns.items()}
    totals = Totals(len(offsets) - count, int(offsets[count:].sum()), columns)
    return _Member(igzip.compress(b"".join(lines[count:]), _GZIP_LEVEL), totals)


def _first_day(parts: list[_Part]) -> list[_Part]:
    """The parts before the first one of another day. Parts without records belong to any day."""
    return list(takewhile(lambda part: part.day in {parts[0].day, None}, parts))


def _days(batch: Batch) -> list[Batch]:
    """The batch, split where the UTC day changes."""
    days = batch.timestamps // _DAY_MS
    cuts = [0, *(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), len(batch)]
    return [
        Batch(
            batch.partition,
            batch.offsets[start:end],
            batch.timestamps[start:end],
            batch.rows.slice(start, end - start),
            int(batch.offsets[end]) if end < len(batch) else batch.next_offset,
        )
        for start, end in pairwise(cuts)
    ]
