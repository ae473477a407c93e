"""Records that a group can't process yet. Their partitions are paused, and the other partitions are read."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, TopicPartition

from fraudstream.kafka.consume.message_consumer import Records
from fraudstream.kafka.records import Partition

log = logging.getLogger(__name__)

#: How often held-back records are checked.
_LOOK_SECONDS = 1.0


class HeldBack:
    """The waiting records of each partition, in offset order: at most those read before the pause took effect."""

    def __init__(self) -> None:
        self._records: dict[Partition, deque[Records]] = {}
        self._since: dict[Partition, float] = {}
        self._look_at = 0.0

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._records

    def __len__(self) -> int:
        return len(self._records)

    @property
    def since(self) -> float | None:
        """The time.monotonic() since which a partition waits; None if none waits. Safe from any thread."""
        return min(list(self._since.values()), default=None)

    def add(self, consumer: Consumer, partition: Partition, records: Records) -> None:
        """Pauses the partition, if it isn't paused yet, and appends the records to its waiting ones."""
        if partition not in self._records:
            consumer.pause([TopicPartition(*partition)])
            self._records[partition] = deque()
            self._since[partition] = time.monotonic()
        self._records[partition].append(records)

    def retry(self, consumer: Consumer, settle: Callable[[Partition, Records], bool]) -> None:
        """Processes waiting records in their order, and resumes partitions without waiting records.

        Does so at most once a second.

        :param settle: processes records; False if they still have to wait
        """
        if time.monotonic() < self._look_at:
            return
        for partition, waiting in list(self._records.items()):
            while waiting and settle(partition, waiting[0]):
                waiting.popleft()
            if not waiting:
                self.forget(consumer, [partition])
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def forget(self, consumer: Consumer, partitions: Iterable[Partition]) -> None:
        """Drops the waiting records of these partitions, which are still assigned, and resumes them."""
        for partition in self._records.keys() & set(partitions):
            consumer.resume([TopicPartition(*partition)])
            del self._records[partition], self._since[partition]
