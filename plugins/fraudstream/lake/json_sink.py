"""Decoded records to gzipped JSON lines in the lake, each record in exactly one object.

Lines are made and compressed in threads as the records come in, so that the thread that polls goes on polling; an
object's body is these pieces one after the other, as a gzip may consist of several members (RFC 1952, 2.2).
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, takewhile

import numpy as np
from isal import igzip

from fraudstream.kafka.records import Batch, Partition
from fraudstream.lake.chain import ObjectChain
from fraudstream.lake.lines import ToLines
from fraudstream.lake.names import day_of

log = logging.getLogger(__name__)

_DAY_MS = 86_400_000
#: ISA-L's level 1 takes half the time of zlib-ng's level 1 and a fifth of zlib's, and its output is the smaller one.
_GZIP_LEVEL = 1
_WRITERS = 4
_ENCODERS = 2


@dataclass(frozen=True)
class _Part:
    """Records of one UTC day, none if all of them were dead letters, and the gzip member that is being made of them."""

    batch: Batch
    member: Future[bytes]

    @property
    def day(self) -> int | None:
        """Days since 1970; None without records."""
        return int(self.batch.timestamps[0]) // _DAY_MS if len(self.batch) else None


class JsonSink:
    """:class:`~fraudstream.kafka.records.Sink` that appends to the chains of one folder.

    An object holds consecutive records of one topic-partition and of one UTC day (of the Kafka record timestamp).
    It is written once `flush_rows` rows of a partition wait, or the oldest row waits for `flush_seconds`.
    Partitions are written in parallel. Where a partition's chain ends decides where reading starts, not the
    group's committed offset: a lake that lost nothing goes on, an empty lake is filled from the beginning.
    """

    def __init__(
        self,
        chain: ObjectChain,
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
        self._buffers: dict[Partition, list[_Part]] = {}
        self._rows: dict[Partition, int] = {}
        self._durable: dict[Partition, int] = {}
        self._oldest: float | None = None
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="lake-encoder")
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="lake-writer")

    def assigned(self, partition: Partition, committed: int | None) -> int:
        """The end of the partition's chain; 0 where it has none: whatever the group committed, nothing is written."""
        self._drop(partition)
        start = self._chain.open(partition) or 0
        self._durable[partition] = start
        if committed is not None and committed != start:
            log.info("%s: the group committed offset %d, the lake goes on at %d", partition, committed, start)
        return start

    def write(self, batch: Batch) -> None:
        parts = self._buffers.setdefault(batch.partition, [])
        if parts and batch.next_offset < parts[-1].batch.next_offset:
            raise ValueError(f"batches of {batch.partition} are not in offset order")
        parts += map(self._encoding, _days(batch))
        self._rows[batch.partition] = self._rows.get(batch.partition, 0) + len(batch)
        if self._oldest is None:
            self._oldest = self._clock()

    def due(self) -> bool:
        if self._oldest is None:
            return False
        return (
            self._clock() - self._oldest >= self._flush_seconds
            or max(self._rows.values(), default=0) >= self._flush_rows
        )

    def flush(self) -> dict[Partition, int]:
        buffers, self._buffers, self._rows, self._oldest = self._buffers, {}, {}, None
        written = self._writers.map(self._write_partition, buffers.values())
        return dict(zip(buffers, written, strict=True))

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._drop(partition)

    def close(self) -> None:
        self._encoders.shutdown()
        self._writers.shutdown()

    def _drop(self, partition: Partition) -> None:
        self._buffers.pop(partition, None)
        self._rows.pop(partition, None)
        self._durable.pop(partition, None)
        self._chain.forget(partition)
        if not self._buffers:
            self._oldest = None

    def _encoding(self, batch: Batch) -> _Part:
        return _Part(batch, self._encoders.submit(self._encode, batch))

    def _encode(self, batch: Batch) -> bytes:
        return igzip.compress(self._to_lines(batch), _GZIP_LEVEL) if len(batch) else b""

    def _write_partition(self, parts: list[_Part]) -> int:
        """Appends what waits of one partition, an object a day, and returns where reading of it goes on."""
        partition, end = parts[0].batch.partition, parts[-1].batch.next_offset
        durable = self._durable[partition]
        while parts := self._since(parts, durable):
            run = _first_day(parts)
            durable = self._chain.append(
                partition,
                int(parts[0].batch.offsets[0]),
                run[-1].batch.next_offset,
                day_of(int(parts[0].batch.timestamps[0])),
                b"".join(part.member.result() for part in run),
                rows=sum(len(part.batch) for part in run),
            )
            self._durable[partition] = durable
        return max(end, durable)

    def _since(self, parts: list[_Part], offset: int) -> list[_Part]:
        """The parts from the first record at or after `offset` on; one that begins before it is made anew."""
        for index, part in enumerate(parts):
            rest = part.batch.since(offset)
            if len(rest):
                return [part if rest is part.batch else self._encoding(rest), *parts[index + 1 :]]
        return []


def _first_day(parts: list[_Part]) -> list[_Part]:
    """The parts up to the first one of another day than the first."""
    return list(takewhile(lambda part: part.day in {parts[0].day, None}, parts))


def _days(batch: Batch) -> list[Batch]:
    """The batch cut where a record is of another UTC day than the one before it."""
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
