"""Which of two records of a topic is the earlier one.

Brokers say when they took a record (LogAppendTime). In one partition the offset decides all the same: a broker's clock
may be set back, and that of the next leader may be behind. Between partitions it is the time: the records of a case lie
in two of them once some were added.
"""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TypeVar

from confluent_kafka import Message

#: Append time in ms since 1970, partition, offset.
Place = tuple[int, int, int]
T = TypeVar("T")


def place_of(message: Message) -> Place:
    """Where a record lies, and when a broker took it."""
    return int(message.timestamp()[1]), message.partition() or 0, int(message.offset() or 0)


def is_before(place: Place, other: Place) -> bool:
    """Whether a record is earlier than another one."""
    _, partition, offset = place
    return offset < other[2] if partition == other[1] else place < other


def in_log_order(records: Iterable[T], place: Callable[[T], Place]) -> list[T]:
    """Records of one topic by time, as if no clock had been set back: those of a partition are in its order."""
    latest: dict[int, int] = {}
    timed = []
    for record in sorted(records, key=lambda one: place(one)[1:]):
        time, partition, offset = place(record)
        latest[partition] = max(time, latest.get(partition, time))
        timed.append(((latest[partition], partition, offset), record))
    return [record for _, record in sorted(timed, key=itemgetter(0))]
