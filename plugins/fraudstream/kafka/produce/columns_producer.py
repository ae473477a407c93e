"""Passes messages from Arrow columns to librdkafka, without a Python object for each message.

confluent_kafka's produce_batch() takes a dictionary for each message. librdkafka's own function takes an array of
structs, which here point into the columns. It takes a third of the time and releases Python's lock (docs/benchmarks.md
has the figures).
"""

import ctypes
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
from confluent_kafka import KafkaError as Code
from confluent_kafka import KafkaException, Producer

from fraudstream.kafka.consume.librdkafka import MESSAGE, handle, library, usable

_ANY_PARTITION = -1
_COPY = 2
#: Messages that are queued at once, and messages that may be in the client's queue before that: they limit its memory.
_AT_ONCE = 10_000
_QUEUED = 100_000
#: Maximum number of messages that this module keeps in the client's queue.
QUEUE = _QUEUED + _AT_ONCE


@dataclass(frozen=True)
class Messages:
    """Keys and values of messages: the structs for librdkafka, and the Arrow columns that these point into."""

    structs: np.ndarray
    columns: tuple[pa.Array, pa.Array]

    @classmethod
    def of(cls, keys: pa.StringArray, values: pa.BinaryArray) -> Self:
        """Messages of two columns of the same length, without nulls."""
        structs = np.zeros(len(values), MESSAGE)
        structs["partition"] = _ANY_PARTITION
        structs["key"], structs["key_bytes"] = _addresses(keys)
        structs["value"], structs["value_bytes"] = _addresses(values)
        return cls(structs, (keys, values))

    def __len__(self) -> int:
        return len(self.structs)

    def where(self, mask: np.ndarray) -> "Messages":
        """The messages for which `mask` (bool) is true, in their order."""
        # indexing with the mask takes eight times as long
        return Messages(self.structs.take(np.flatnonzero(mask)), self.columns)

    def part(self, first: int, count: int) -> "Messages":
        """`count` messages from index `first` on, or fewer at the end."""
        return Messages(self.structs[first : first + count], self.columns)


class ColumnsProducer:
    """Queues :class:`Messages` in a producer. A context manager, which must be left before the producer is closed.

    If librdkafka can't be called directly, confluent_kafka's produce_batch() is used.
    """

    def __init__(self, producer: Producer) -> None:
        self._producer = producer
        self._directly = usable()
        self._topics: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for topic in self._topics.values():
            library.rd_kafka_topic_destroy(topic)

    def produce(self, topic: str, messages: Messages) -> None:
        """Queues messages, and waits while the client's queue is full.

        A failed delivery makes the transaction's commit fail.

        :raises KafkaException: the client didn't take all messages; the error has the reason
        """
        queue = self._queue if self._directly else self._queue_objects
        for first in range(0, len(messages), _AT_ONCE):
            while len(self._producer) > _QUEUED:
                self._producer.poll(0.01)
            queue(topic, messages.part(first, _AT_ONCE))

    def _queue(self, topic: str, messages: Messages) -> None:
        if topic not in self._topics:
            self._topics[topic] = library.rd_kafka_topic_new(handle(self._producer), topic.encode(), None)
        structs = messages.structs
        taken = library.rd_kafka_produce_batch(
            self._topics[topic], _ANY_PARTITION, _COPY, structs.ctypes.data, len(structs)
        )
        if taken != len(structs):
            reason = Code(int(structs["error"][np.flatnonzero(structs["error"])[0]]))
            raise _not_taken(topic, len(structs), taken, reason)

    def _queue_objects(self, topic: str, messages: Messages) -> None:
        contents = [
            {
                "key": ctypes.string_at(int(struct["key"]), int(struct["key_bytes"])),
                "value": ctypes.string_at(int(struct["value"]), int(struct["value_bytes"])),
            }
            for struct in messages.structs
        ]
        taken = self._producer.produce_batch(topic, contents)
        if taken != len(contents):
            raise _not_taken(topic, len(contents), taken, next(c["_error"] for c in contents if "_error" in c))


def _not_taken(topic: str, rows: int, taken: int, reason: Code) -> KafkaException:
    said = f"{rows - taken} of {rows} rows for {topic} weren't taken: {reason.str()}"
    return KafkaException(Code(reason.code(), said))


def _addresses(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The address in memory of each value of a column, and its length in bytes."""
    _, offsets, texts = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].astype(np.uint64)
    return (texts.address if texts else 0) + ends[:-1], np.diff(ends)
