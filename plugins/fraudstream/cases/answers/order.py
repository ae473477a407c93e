"""Which of two records of a topic is the earlier one.

Brokers say when they took a record (LogAppendTime). In one partition the offset decides all the same: a broker's clock
may be set back, and that of the next leader may be behind. Between partitions it is the time: the records of a case lie
in two of them once some were added.

To make one order of both, a record counts as taken no earlier than those of its case before it in its partition.
:func:`in_log_order` sorts records that are all at hand, :class:`CaseOrder` places them one by one as they are read.
"""

from collections.abc import Callable, Hashable, Iterable
from operator import itemgetter
from typing import TypeVar

from confluent_kafka import Message

#: Append time in ms since 1970, partition, offset.
Place = tuple[int, int, int]
T = TypeVar("T")


def place_of(message: Message) -> Place:
    """Where a record lies, and when a broker took it."""
    return int(message.timestamp()[1]), message.partition() or 0, int(message.offset() or 0)


class CaseOrder:
    """Places of records as if no clock had been set back: the smaller one is the earlier record of its case.

    It is given the records of each partition in their order, and partitions in any. A case's first record costs no
    memory, so most cases don't.
    """

    def __init__(self) -> None:
        #: By case and partition, the latest append time.
        self._latest: dict[str, dict[int, int]] = {}

    def place(self, case: str, place: Place, known: Place | None) -> Place:
        """Where a record stands among those of its case.

        :param known: where the one stands that counts so far; None: this is the first that is read
        """
        if known is None:
            return place
        time, partition, offset = place
        latest = self._latest.setdefault(case, {known[1]: known[0]})
        latest[partition] = max(time, latest.get(partition, time))
        return latest[partition], partition, offset

    def forget(self, case: str) -> None:
        """Drops what is known of a case."""
        self._latest.pop(case, None)


def in_log_order(
    records: Iterable[T], place: Callable[[T], Place], case: Callable[[T], Hashable] = lambda _: None
) -> list[T]:
    """Records of one topic by time, as if no clock had been set back: those of a case and partition are in their order.

    :param case: whose record it is; by default all are of one case
    """
    latest: dict[tuple[Hashable, int], int] = {}
    timed = []
    for record in sorted(records, key=lambda one: place(one)[1:]):
        time, partition, offset = place(record)
        key = case(record), partition
        latest[key] = max(time, latest.get(key, time))
        timed.append(((latest[key], partition, offset), record))
    return [record for _, record in sorted(timed, key=itemgetter(0))]
