"""Records of a topic's assigned partitions, read with confluent_kafka's plain consumer; and what every reader gives."""

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
    """Records of one partition: columns of the same length, in offset order; a null is a null of the record.

    `key_and_headers` gives those of the record at a place, until the reader's next read.
    """

    offsets: np.ndarray
    timestamps: np.ndarray
    values: pa.BinaryArray
    key_and_headers: Callable[[int], KeyAndHeaders]

    def __len__(self) -> int:
        return len(self.offsets)


class Failure(NamedTuple):
    """What the client says instead of a record: that this is the end of a partition, or what went wrong there.

    `partition` is -1 where it is about the group or the connection.
    """

    partition: int
    offset: int
    error: Code


class RecordsReader(Protocol):
    """Reads the partitions of a topic that are assigned to a consumer."""

    def forward_queues(self, partitions: Iterable[int]) -> None:
        """To be called before these partitions are assigned."""

    def read(self, seconds: float) -> tuple[dict[int, Records], list[Failure]]:
        """Records by partition, those that are there or came within `seconds`; serves the consumer's callbacks."""

    def close(self) -> None:
        """Releases what was read last."""


class MessageConsumer:
    """:class:`RecordsReader` with an object for each record.

    :param most: records of one :meth:`read`
    """

    def __init__(self, consumer: Consumer, most: int) -> None:
        self._consumer = consumer
        self._most = most

    def forward_queues(self, partitions: Iterable[int]) -> None:
        """Nothing is needed."""

    def close(self) -> None:
        """Nothing is held."""

    def read(self, seconds: float) -> tuple[dict[int, Records], list[Failure]]:
        # poll wakes at the first record; consume alone would wait for all of them or for the time
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
