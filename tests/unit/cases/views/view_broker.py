"""A broker in memory for the views of topics, which use a consumer without a group."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from confluent_kafka import KafkaError as Code
from confluent_kafka import TopicPartition

from tests.fakes.cases import transaction

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Record:
    """A message as librdkafka delivers it; `failure` makes it an event."""

    place: tuple[int, int]
    content: Any = b""
    failure: Code | None = None
    sent: int = 0

    def error(self) -> Code | None:
        return self.failure

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def value(self) -> Any:
        return self.content

    def timestamp(self) -> tuple[int, int]:
        return 1, self.sent or int(time.time() * 1000)


@dataclass
class Broker:
    """The log of the fake consumer; while `answers` is false, the broker is down."""

    ends: dict[int, int] = field(default_factory=lambda: {0: 0})
    queue: deque[Record] = field(default_factory=deque)
    away: Code | None = None
    assigned: list[TopicPartition] = field(default_factory=list)
    consumers: int = 0
    closed: int = 0
    young_from: int = -1
    #: The requests that it got, in order.
    asked: list[tuple[str, int]] = field(default_factory=list)

    def end_of(self, partition: int, offset: int) -> None:
        self.queue.append(Record((partition, offset), failure=Code(Code._PARTITION_EOF)))

    def answer(self, case: str, status: str, partition: int = 0, offset: int = 0, **more: Any) -> None:
        content = transaction(case) | {"status": status, "answeredAt": NOW}
        self.queue.append(Record((partition, offset), content, **more))


def until(condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the condition didn't come true within 5 s")
