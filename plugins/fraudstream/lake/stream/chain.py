"""A chain of objects for each topic-partition, so that each record is in exactly one object.

The name of an object has the offset of its first record, which is the first record at or after the end of the previous
object. So all readers of a topic-partition use the same chain of names, even if they split the records into different
batches. The writer that creates a name first decides where the object ends. Any other writer adopts the object: it
continues at the end of that object. A zombie whose end is outdated finds the names taken. A zombie at the end of the
chain may create the next object, which the new owner adopts.

The progress object stores where the chain ends. It is moved by compare-and-set only. If two readers both consider
themselves the owner of a partition, one of them fails at its next move.

:class:`ObjectChain` is for sinks that do further work after an object is created: they move the progress after the
work on each object. :class:`~fraudstream.lake.stream.appending.AppendingChain` lets the progress lag behind, for sinks
whose work is done once the object is created.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple, Protocol

from fraudstream.errors import LakeError, PartitionLost, TopicChanged
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import GZIP, ObjectInfo, ObjectStore
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.progress import Progress
from fraudstream.lake.stream.totals import Totals

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Link:
    """An object of a chain. It covers the offsets [`start`, `end`); its first record is at `first`.

    `totals` are the control totals of the records in the object.
    """

    partition: Partition
    start: int
    first: int
    end: int
    totals: Totals

    @property
    def rows(self) -> int:
        """The number of records in the object."""
        return self.totals.rows

    def metadata(self) -> dict[str, str]:
        """The metadata of the object. :meth:`of` is the inverse."""
        return {
            "topic": self.partition.topic,
            "partition": str(self.partition.number),
            "start": str(self.start),
            "first": str(self.first),
            "end": str(self.end),
            "totals": self.totals.to_json(),
        }

    @classmethod
    def of(cls, info: ObjectInfo) -> "Link":
        """The link that an object's metadata describes.

        :raises LakeError: the metadata is incomplete or does not match the name: the object was written by another
            program, or it was renamed or copied
        """
        named = names.parse_object_name(info.name)
        try:
            start, first, end = (int(info.metadata[key]) for key in ("start", "first", "end"))
            link = cls(
                Partition(info.metadata["topic"], int(info.metadata["partition"])),
                start,
                first,
                end,
                Totals.from_json(info.metadata["totals"]),
            )
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise LakeError(
                f"object {info.name} has unusable metadata ({error!r}; found {dict(info.metadata)}): it was not written"
                " by this pipeline; move it out of the lake's folders"
            ) from error
        if named is None or (named.partition, named.first_offset) != (link.partition, link.first):
            raise LakeError(f"object {info.name} holds, by its metadata, {link}: it was renamed or copied; remove it")
        if not link.start <= link.first < link.end:
            raise LakeError(f"object {info.name} says that it covers offsets {link.start} to {link.end}: remove it")
        return link


class Appended(NamedTuple):
    """The end of a chain, and whether the caller created its last object (`ours`) or it existed already."""

    end: int
    ours: bool


class KnowsTopics(Protocol):
    """What a chain requests from the brokers. :class:`fraudstream.kafka.topic.topic_identity.Topics` implements it."""

    def id(self, topic: str) -> str:
        """The topic's id."""

    def first_offset(self, partition: Partition) -> int:
        """The first offset that the partition has."""

    def end_offset(self, partition: Partition) -> int:
        """The offset after the partition's last record."""


#: Returns the first offset of each topic-partition that a folder's table doesn't have yet.
InTable = Callable[[], Mapping[Partition, int]]


class ObjectChain:
    """Appends to the chains of one folder. Threads may share it, but only one at a time may use a partition.

    :param topics: checks the topics when a chain is opened; None: no checks
    :param in_table: called if a progress object is missing
    """

    def __init__(
        self,
        store: ObjectStore,
        folder: str,
        topics: KnowsTopics | None = None,
        in_table: InTable = dict,
    ) -> None:
        self.store = store
        self.folder = folder
        self._topics = topics
        self._in_table = in_table
        #: The last known progress of each chain; generation 0 if there is no progress object.
        self._progress: dict[Partition, Progress] = {}
        #: The end of each chain; None if it has no object yet.
        self._ends: dict[Partition, int | None] = {}

    def open(self, partition: Partition, read_to: int = 0) -> int | None:
        """The offset at which a new owner continues to read a partition; None: its chain has no object yet.

        Without a progress object, it is the start of the chain's last object, or the end of the folder's table if that
        is later. The work on the last object may not be done, so it is adopted and repeated.

        :param read_to: the offset up to which records were read, if it is after the chain's end: deleted offsets before
            it don't count as unread
        :raises TopicChanged: the topic was recreated, restored or truncated after the chain's records were read
        """
        found = progress.load(self.store, self.folder, partition)
        end = self._last_start_in_lake(partition) if found is None else found.end
        self._begin(partition, found, end, read_to)
        return end

    def _begin(self, partition: Partition, found: Progress | None, end: int | None, read_to: int) -> None:
        position = found or Progress(end or 0, 0)
        if self._topics is not None:
            position = self._compared(partition, position, end or 0, read_to, self._topics)
        self._progress[partition] = position
        self._ends[partition] = end

    def _compared(
        self, partition: Partition, position: Progress, end: int, read_to: int, topics: KnowsTopics
    ) -> Progress:
        """The position with the topic's id, and with the number of offsets that were deleted before they were read.

        :param end: the chain's end, which may be after the position's
        :raises TopicChanged: the topic has another id, or ends before the position or the chain
        """
        now = topics.id(partition.topic)
        if position.topic_id not in {None, now}:
            raise TopicChanged(
                partition.topic,
                f"{partition}: the topic's id is {now}, but folder {self.folder}/ of bucket {self.store.bucket} holds "
                f"records of the topic with id {position.topic_id}, up to offset {end}: the topic was deleted "
                f"and created again, or restored. Nothing is read",
            )
        behind, held = topics.end_offset(partition), max(position.end, end)
        if held > behind:
            raise TopicChanged(
                partition.topic,
                f"{partition}: the partition ends at offset {behind}, but folder {self.folder}/ of bucket "
                f"{self.store.bucket} holds its records up to {held}: it was truncated or restored. Nothing is read",
            )
        deleted = max(0, topics.first_offset(partition) - max(end, read_to))
        return replace(position, topic_id=now, taken=position.taken + deleted)

    def _last_start_in_lake(self, partition: Partition) -> int | None:
        starts = [self._in_table().get(partition)]
        for info in self.store.list(f"{self.folder}/"):
            named_object = names.parse_object_name(info.name)
            if named_object is not None and named_object.partition == partition:
                starts.append(Link.of(info).start)
        return max((start for start in starts if start is not None), default=None)

    def claim(
        self, partition: Partition, first_offset: int, end_offset: int, day: date, body: bytes, totals: Totals
    ) -> Appended:
        """Creates the object of [`first_offset`, `end_offset`), or adopts the object of this name.

        Does not move the progress. The caller can now do further work on the object, and then call :meth:`advance`.
        After a crash before that call, the work is repeated.

        :param body: gzipped JSON lines
        :param totals: control totals of the records in `body`
        """
        start = self._ends[partition] or 0
        link = Link(partition, start, first_offset, end_offset, totals)
        # 1. create the object, unless its name exists
        name = names.object_name(self.folder, day, *partition, first_offset)
        created = self.store.create(name, body, content_type=GZIP, metadata=link.metadata())
        if created.ours:
            return Appended(end_offset, ours=True)
        # 2. if the name exists, adopt that object's end
        end = Link.of(created.info).end
        log.info("%s: %s is there already, going on at its end %d", partition, name, end)
        return Appended(end, ours=False)

    def advance(self, partition: Partition, end: int, day: date | None = None) -> None:
        """Moves the progress object of a partition to `end` by compare-and-set.

        :param day: the day of the object that ends there
        :raises PartitionLost: another reader moved the progress; this one must stop reading the partition
        """
        # 3. move the progress
        there = replace(self._progress[partition], end=end, day=day)
        moved = progress.save(self.store, self.folder, partition, there)
        if moved is None:
            raise self._lost(partition, end)
        self._progress[partition] = moved
        self._ends[partition] = end

    def forget(self, partition: Partition) -> None:
        """Drops the state of a partition that another reader owns now."""
        self._progress.pop(partition, None)
        self._ends.pop(partition, None)

    def _lost(self, partition: Partition, end: int) -> PartitionLost:
        self.forget(partition)
        return PartitionLost(
            f"{partition}: another reader moved the progress of folder {self.folder}/ while this one was at offset "
            f"{end}; it stops here, and the new owner of the partition continues"
        )
