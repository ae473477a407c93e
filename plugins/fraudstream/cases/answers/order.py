"""Decides which of two records of a topic is the earlier one.

The timestamp of a record is the broker's append time (LogAppendTime). Within a partition the offset decides
nevertheless: a broker's clock may be set back, and the clock of the next leader may be behind. Between partitions the
append time decides: if partitions were added to a topic, the records of a case may be in two of them.

To combine both, the append time of a record counts as at least that of the earlier records of its case in its
partition. :func:`in_log_order` sorts a complete collection of records, :class:`CaseOrder` takes them one by one.
"""

from collections.abc import Callable, Hashable, Iterable
from operator import itemgetter
from typing import TypeVar

from confluent_kafka import Message

#: Append time in ms since 1970, partition, offset.
Place = tuple[int, int, int]
T = TypeVar("T")


def place_of(message: Message) -> Place:
    """Returns a record's append time, partition and offset."""
    return int(message.timestamp()[1]), message.partition() or 0, int(message.offset() or 0)


class CaseOrder:
    """Corrects the places of records for clocks that were set back: the smaller place is the earlier record of a case.

    The records of a partition must be passed in offset order; the order of the partitions doesn't matter. Only cases
    with more than one record take memory.
    """

    def __init__(self) -> None:
        #: By case and partition, the latest append time.
        self._latest: dict[str, dict[int, int]] = {}

    def place(self, case: str, place: Place, known: Place | None) -> Place:
        """Returns the corrected place of a record.

        :param known: the corrected place of the case's record that counts so far; None: this is the first one
        """
        if known is None:
            return place
        time, partition, offset = place
        latest = self._latest.setdefault(case, {known[1]: known[0]})
        latest[partition] = max(time, latest.get(partition, time))
        return latest[partition], partition, offset

    def forget(self, case: str) -> None:
        """Drops the append times of a case."""
        self._latest.pop(case, None)


def in_log_order(
    records: Iterable[T], place: Callable[[T], Place], case: Callable[[T], Hashable] = lambda _: None
) -> list[T]:
    """Sorts records of one topic by append time; records of the same case and partition stay in offset order.

    :param place: returns append time, partition and offset of a record
    :param case: returns the case of a record; by default all records belong to one case
    """
    latest: dict[tuple[Hashable, int], int] = {}
    timed = []
    for record in sorted(records, key=lambda one: place(one)[1:]):
        time, partition, offset = place(record)
        key = case(record), partition
        latest[key] = max(time, latest.get(key, time))
        timed.append(((latest[key], partition, offset), record))
    return [record for _, record in sorted(timed, key=itemgetter(0))]
