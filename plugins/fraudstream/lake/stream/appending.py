"""A chain whose progress object moves every 30 s, not with each object, so that an object costs one write.

Cloud Storage accepts about one write per second of the same object name, and a write of the progress costs as much as
one of an object. So the progress lags behind the end of the chain. The next reader lists the objects after the progress
and adopts them. It also moves the progress when it opens the chain, which stops the previous reader at its next object.

Compaction deletes only objects that end at or before the progress. A zombie that doesn't know the latest progress could
find a deleted name free, create it again with another end, and continue from there with names that are not in the
chain. So after each object the writer checks the progress. If no other reader has moved it, no object after it was
deleted, and the name that was just created or adopted is in the chain. If another reader has moved it, the writer
stops. It may leave one object under a deleted name. The table has the first offset of that object, so readers skip it.
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
#: Minimum seconds between two writes of the same object name on Cloud Storage.
_PAUSE_SECONDS = 1.0


class AppendingChain(ObjectChain):
    """Chains of one folder for sinks whose work on records is done once their object is created."""

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
        #: The day of each chain's last object.
        self._days: dict[Partition, date] = {}

    def open(self, partition: Partition, read_to: int = 0) -> int | None:
        """Adopts the objects after the progress, and moves the progress to the chain's end.

        Returns the end, the offset at which reading continues; None: the chain has no object yet.

        :param read_to: the offset up to which records were read, if it is after the chain's end: deleted offsets before
            it don't count as unread
        :raises TopicChanged: the topic was recreated, restored or truncated after the chain's records were read
        """
        while True:
            # 1. load the progress
            there = progress.load(self.store, self.folder, partition)
            # 2. find the objects after it
            end, day, adopted = _end(self.store, self.folder, partition, there, self._in_table)
            self._begin(partition, there, end, read_to)
            self._moved_at[partition] = float("-inf")
            if end is None:
                return None
            # 3. move the progress; start over if another reader has moved it: the chain may have another end now
            behind_end = self._progress[partition].taken - (there.taken if there else 0)
            taken = (there.taken if there else 0) + self._taken_before(partition, adopted)
            self._progress[partition] = replace(self._progress[partition], taken=taken)
            try:
                self.advance(partition, end, day)
            except PartitionLost:
                continue
            # Offsets deleted after the chain's end are saved with its next object. Until then the audit counts them as
            # the distance from the progress to the topic's first offset; saved earlier, they would count twice.
            if behind_end:
                self._progress[partition] = replace(self._progress[partition], taken=taken + behind_end)
                self._moved_at[partition] = float("-inf")
            if there is None or end != there.end:
                log.info("%s: what is written behind the progress is adopted, up to offset %d", partition, end)
            return end

    def append(
        self, partition: Partition, first_offset: int, end_offset: int, day: date, body: bytes, totals: Totals
    ) -> Appended:
        """Adds the records of [`first_offset`, `end_offset`) as one object, or adopts the object of this name.

        If the name exists already, `body` is not written. The caller continues with its records at and after the
        returned end, which may happen to be `end_offset`. The next reader adopts an object that was created just before
        a crash.

        :param body: gzipped JSON lines
        :param totals: control totals of the records in `body`
        :raises PartitionLost: another reader moved the progress; this one must stop reading the partition
        """
        # 1. create or adopt
        appended = self.claim(partition, first_offset, end_offset, day, body, totals)
        # 2. move the progress, or check that no other reader has moved it
        if self._clock() - self._moved_at[partition] >= PROGRESS_SECONDS:
            self.advance(partition, appended.end, day)
        else:
            self._require_unmoved(partition)
            self._ends[partition], self._days[partition] = appended.end, day
        return appended

    def overdue(self) -> bool:
        """Whether a progress is behind its chain's end and was last moved :data:`PROGRESS_SECONDS` ago or earlier."""
        return any(self._lags(partition, PROGRESS_SECONDS) for partition in list(self._ends))

    def settle(self, *, only_overdue: bool = False) -> None:
        """Moves the progress of each partition to its chain's end; waits if it was moved less than a second ago.

        :param only_overdue: leave out partitions whose progress was moved within the last :data:`PROGRESS_SECONDS`
        :raises PartitionLost: another reader moved a progress; this one must stop reading the partition
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
        """The number of offsets before adopted objects that were deleted unread.

        The writer of an object may have died before it saved this number with the progress. A gap before an object's
        first record counts only if the topic's first available offset is in it, or is the offset of that record. In
        other gaps, deleted records can't be told from transaction markers.
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
    """The end of a chain, including the objects after its progress; 0 if nothing is written. Changes nothing."""
    end, _, _ = _end(store, folder, partition, progress.load(store, folder, partition), in_table)
    return end or 0


def _end(
    store: ObjectStore, folder: str, partition: Partition, there: Progress | None, in_table: InTable
) -> tuple[int | None, date | None, list[Link]]:
    """The end of a chain, the day of its last object, and the objects after its progress.

    Without a progress, the chain begins at the end of the folder's table, or else at its first object. If the progress
    has a day, only the objects of that day and the next one are listed. It lags by 30 s, so later days are rare: a
    reader adopts such an object when it finds the name taken.
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
    """The links of a partition's objects and their days, in offset order."""
    found = []
    for info in listed:
        named = names.parse_object_name(info.name)
        if named is not None and named.partition == partition:
            found.append((Link.of(info), named.day))
    return sorted(found, key=lambda pair: pair[0].first)
