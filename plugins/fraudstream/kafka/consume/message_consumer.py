"""The interface for reading assigned partitions of a topic, and a reader with confluent_kafka's plain consumer."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from confluent_kafka import Consumer, Message
from confluent_kafka import KafkaError as Code

KeyAndHeaders = tuple[bytes | None, list[tuple[str, bytes | None]]]


@dataclass(frozen=True)
class Records:
    """Records of one partition: columns of the same length, in offset order. A null in `values` is a tombstone.

    `key_and_headers` returns key and headers of the record at an index. It may be called until the reader's next read.
    """

    offsets: np.ndarray
    timestamps: np.ndarray
    values: pa.BinaryArray
    key_and_headers: Callable[[int], KeyAndHeaders]

    def __len__(self) -> int:
        return len(self.offsets)


class Failure(NamedTuple):
    """An event that the client returns instead of a record: the end of a partition, or an error.

    `partition` is -1 if the event concerns the group or the connection.
    """

    partition: int
    offset: int
    error: Code


class RecordsReader(Protocol):
    """Reads the partitions of a topic that are assigned to a consumer."""

    def forward_queues(self, partitions: Iterable[int]) -> None:
        """Prepares the reader for these partitions. It is called before they are assigned."""

    def read(self, seconds: float) -> tuple[dict[int, Records], list[Failure]]:
        """Returns queued records by partition number, and failures; waits up to `seconds` if there are none.

        Also serves the consumer's callbacks.
        """

    def close(self) -> None:
        """Releases the records of the last read."""


class MessageConsumer:
    """:class:`RecordsReader` with an object for each record.

    :param most: maximum number of records of one :meth:`read`
    """

    def __init__(self, consumer: Consumer, most: int) -> None:
        self._consumer = consumer
        self._most = most

    def forward_queues(self, partitions: Iterable[int]) -> None:
        """Does nothing: the consumer's own queue has the records."""

    def close(self) -> None:
        """Does nothing: this reader keeps no records."""

    def read(self, seconds: float) -> tuple[dict[int, Records], list[Failure]]:
        # poll returns at the first record; consume alone would wait for all records or until the time is over
        first = self._consumer.poll(seconds)
        if first is None:
            return {}, []
        by_partition: dict[int, list[Message]] = defaultdict(list)
        failures = []
        for message in [first, *self._consumer.consume(self._most - 1, 0)]:
            number, offset, error = message.partition(), message.offset(), message.error()
            if error is None:
                by_partition[number].append(message)
            else:
                failures.append(Failure(-1 if number is None else number, -1 if offset is None else offset, error))
        return {number: _records(messages) for number, messages in by_partition.items()}, failures


def _records(messages: list[Message]) -> Records:
    def key_and_headers(index: int) -> KeyAndHeaders:
        return messages[index].key(), list(messages[index].headers() or [])

    return Records(
        np.array([message.offset() for message in messages], np.int64),
        np.array([message.timestamp()[1] for message in messages], np.int64),
        pa.array([message.value() for message in messages], pa.binary()),
        key_and_headers,
    )
