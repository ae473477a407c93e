"""Records as every reader returns them: by partition and in offset order, separate from partition ends and errors."""

from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import KafkaError as Code
from fraudstream.kafka.consume.message_consumer import Failure, MessageConsumer

from tests.unit.kafka.topic.memory_topic import Placed


class Message(Placed):
    """A record, or an event of a partition or of the client."""

    def __init__(
        self, number: int | None, offset: int | None, value: bytes | None = None, error: Code | None = None
    ) -> None:
        super().__init__(number, offset, error)
        self._value = value

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes:
        return b"key of " + (self._value or b"")

    def headers(self) -> list[tuple[str, bytes]] | None:
        return [("trace", self._value)] if self._value else None

    def timestamp(self) -> tuple[int, int]:
        return 2, 1_000 + (self._offset or 0)


class Consumer:
    """A consumer with these messages."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.asked: list[Any] = []

    def poll(self, seconds: float) -> Message | None:
        self.asked.append(seconds)
        return self._messages.pop(0) if self._messages else None

    def consume(self, most: int, seconds: float) -> list[Message]:
        self.asked.append((most, seconds))
        found, self._messages = self._messages[:most], self._messages[most:]
        return found


def test_the_first_record_is_waited_for_and_what_is_there_comes_with_it() -> None:
    consumer = Consumer(Message(1, 7, b"a"), Message(0, 3, b"x"), Message(1, 9, None))
    found, failures = MessageConsumer(consumer, 100).read(0.2)  # type: ignore[arg-type]
    assert consumer.asked == [0.2, (99, 0)]
    assert failures == []
    assert list(found) == [1, 0]
    assert (found[1].offsets.tolist(), found[1].timestamps.tolist()) == ([7, 9], [1_007, 1_009])
    assert found[1].values.equals(pa.array([b"a", None], pa.binary()))
    assert found[1].key_and_headers(0) == (b"key of a", [("trace", b"a")])
    assert found[1].key_and_headers(1) == (b"key of ", [])
    assert (len(found[0]), found[0].values.to_pylist()) == (1, [b"x"])


def test_no_more_than_the_most_are_read_at_once() -> None:
    consumer = Consumer(*(Message(0, offset, b"v") for offset in range(5)))
    reader = MessageConsumer(consumer, 3)  # type: ignore[arg-type]
    assert [reader.read(0)[0][0].offsets.tolist() for _ in range(2)] == [[0, 1, 2], [3, 4]]


def test_where_nothing_came_there_is_nothing() -> None:
    consumer = Consumer()
    assert MessageConsumer(consumer, 100).read(0.2) == ({}, [])  # type: ignore[arg-type]
    assert consumer.asked == [0.2], "and nothing else is waited for"


@pytest.mark.parametrize(("number", "offset", "place"), [(0, 0, (0, 0)), (2, 9, (2, 9)), (None, None, (-1, -1))])
def test_ends_and_failures_are_no_records(number: int | None, offset: int | None, place: tuple[int, int]) -> None:
    error = Code(Code._PARTITION_EOF)
    consumer = Consumer(Message(number, offset, error=error), Message(0, 3, b"x"))
    found, failures = MessageConsumer(consumer, 100).read(0.2)  # type: ignore[arg-type]
    assert failures == [Failure(*place, error)]
    assert found[0].offsets.tolist() == [3]
