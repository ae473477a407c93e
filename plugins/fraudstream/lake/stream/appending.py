"""A chain whose progress moves every half minute, not with each object: one write of the store for each object.

Cloud Storage takes about one write a second of one object name, and each costs as much as an object's. So the
progress lags behind the chain, and the next reader adopts the objects behind it from a listing. It moves the progress
as it opens the chain, which stops the previous reader at its next object.

What may be deleted ends at or before the progress. A zombie that doesn't know of a later progress could therefore find
a name free again, create it with another end, and continue from there, with names that the chain never has. So an
object counts as written only after another look at the progress: while no other reader moved it, nothing at or behind
it was deleted, and the name that was just created or adopted is the chain's. A reader that finds it moved stops; the
one object that it may have left begins before what is deleted, and counts for no reader.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

from fraudstream.errors import PartitionLost
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.chain import Appended, InTable, KnowsTopics, Link, ObjectChain
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.totals import Totals

log = logging.getLogger(__name__)

#: Seconds between two moves of a partition's progress.
PROGRESS_SECONDS = 30.0
#: Seconds that Cloud Storage wants between two writes of one object.
_PAUSE_SECONDS = 1.0


class AppendingChain(ObjectChain):
    """Chains of one folder for sinks that are done with records once their object is there."""

    def __init__(
        self,
        store: ObjectStore,
        folder: str,
        topics: KnowsTopics | None = None,
        in_table: InTable = dict,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(store, folder, topics, in_table)
        self._clock = clock
        self._sleep = sleep
        self._moved_at: dict[Partition, float] = {}
        #: Day of each chain's last object.
        self._days: dict[Partition, date] = {}

    def open(self, partition: Partition, read_to: int = 0) -> int | None:
        """Where the chain ends, objects behind the progress included; None: it has no object yet.

        :param read_to: offset up to which the records were read, though the chain has none of the last ones
        :raises TopicChanged: the chain is of another topic of the same name, which was deleted since
        """
        while True:
            # 1. progress
            there = progress.load(self.store, self.folder, partition)
            # 2. objects behind it
            end, day, adopted = _end(self.store, self.folder, partition, there, self._in_table)
            self._begin(partition, there, end, read_to)
            self._moved_at[partition] = float("-inf")
            if end is None:
                return None
            # 3. they are the chain's unless another reader moved the progress meanwhile
            behind_end = self._progress[partition].taken - (there.taken if there else 0)
            taken = (there.taken if there else 0) + self._taken_before(partition, adopted)
            self._progress[partition] = replace(self._progress[partition], taken=taken)
            try:
                self.advance(partition, end, day)
            except PartitionLost:
                continue
            # What retention deleted is counted once the chain continues behind it, and reported with its next object.
            if behind_end:
                self._progress[partition] = replace(self._progress[partition], taken=taken + behind_end)
                self._moved_at[partition] = float("-inf")
            if there is None or end != there.end:
                log.info("%s: what is written behind the progress is adopted, up to offset %d", partition, end)
            return end

    def append(
        self, partition: Partition, first_offset: int, end_offset: int, day: date, body: bytes, totals: Totals
    ) -> Appended:
        """Adds the records of [`first_offset`, `end_offset`) as one object.

        If an object of that name was there already, `body` was not written, and the caller continues with what it has
        at and after the returned end, which may be `end_offset` all the same. A crash leaves an object that the next
        reader adopts.

        :param body: gzipped JSON lines
        :param totals: of the records in it
        :raises PartitionLost: another reader moved the progress; this one must stop reading the partition
        """
        # 1. create or adopt
        appended = self.claim(partition, first_offset, end_offset, day, body, totals)
        # 2. move the progress, or check that no other reader did
        if self._clock() - self._moved_at[partition] >= PROGRESS_SECONDS:
            self.advance(partition, appended.end, day)
        else:
            self._require_unmoved(partition)
            self._ends[partition], self._days[partition] = appended.end, day
        return appended

    def overdue(self) -> bool:
        """Whether a progress lags behind for so long that :meth:`settle` should move it."""
        return any(self._lags(partition, PROGRESS_SECONDS) for partition in list(self._ends))

    def settle(self, *, only_overdue: bool = False) -> None:
        """Moves the progress of each partition to its chain's end.

        :raises PartitionLost: another reader moved it; this one must stop reading the partition
        """
        for partition, end in list(self._ends.items()):
            if end is not None and self._lags(partition, PROGRESS_SECONDS if only_overdue else 0):
                left = self._moved_at[partition] + _PAUSE_SECONDS - self._clock()
                if left > 0:
                    self._sleep(left)
                self.advance(partition, end, self._days.get(partition))

    def advance(self, partition: Partition, end: int, day: date | None = None) -> None:
        super().advance(partition, end, day)
        self._moved_at[partition] = self._clock()

    def _taken_before(self, partition: Partition, adopted: Sequence[Link]) -> int:
        """Offsets before an adopted object that were deleted unread, if its writer died before it reported them.

        It is the one that begins where the topic does now, or behind. Of the others nothing tells a marker that was
        passed over from a record.
        """
        if self._topics is None or all(link.first == link.start for link in adopted):
            return 0
        available = self._topics.first_offset(partition)
        return sum(available - link.start for link in adopted if link.start < available <= link.first)

    def _require_unmoved(self, partition: Partition) -> None:
        there = self.store.look_up(names.progress_name(self.folder, *partition))
        if (there.generation if there else 0) != self._progress[partition].generation:
            raise self._lost(partition, self._ends[partition] or 0)

    def _lags(self, partition: Partition, seconds: float) -> bool:
        there = self._progress.get(partition)
        if there is None or self._clock() - self._moved_at[partition] < seconds:
            return False
        return self._ends.get(partition) not in {None, there.end}


def written_end(store: ObjectStore, folder: str, partition: Partition, in_table: InTable = dict) -> int:
    """Where a chain ends now, objects behind the progress included; 0 where nothing is written. Changes nothing."""
    end, _, _ = _end(store, folder, partition, progress.load(store, folder, partition), in_table)
    return end or 0


def _end(
    store: ObjectStore, folder: str, partition: Partition, there: Progress | None, in_table: InTable
) -> tuple[int | None, date | None, list[Link]]:
    """End and last day of the chain that follows a progress, and its objects behind it.

    Without one, the folder's table and the objects tell. Where the progress has a day, only that one and the next
    are listed: half a minute of objects lies nowhere else, and any that does is adopted when its name is found taken.
    """
    if there is not None and there.day is not None:
        prefixes = [names.object_prefix(folder, there.day + timedelta(days=n), *partition) for n in range(2)]
        listed = [info for prefix in prefixes for info in store.list(prefix, f"{prefix}{there.end:020d}")]
    else:
        listed = store.list(f"{folder}/")
    links = _links(partition, listed)
    if there is not None:
        end: int | None = there.end
    else:
        end = in_table().get(partition)
        if end is None:
            end = min((link.start for link, _ in links), default=None)
    day = there.day if there else None
    adopted = []
    for link, of_object in links:
        if link.start == end:
            end, day = link.end, of_object
            adopted.append(link)
    return end, day, adopted


def _links(partition: Partition, listed: Iterable[ObjectInfo]) -> list[tuple[Link, date]]:
    """Links of a partition's objects, and the day of each, in the order of their offsets."""
    found = []
    for info in listed:
        named = names.parse_object_name(info.name)
        if named is not None and named.partition == partition:
            found.append((Link.of(info), named.day))
    return sorted(found, key=lambda pair: pair[0].first)
