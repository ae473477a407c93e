"""One chain of objects for each topic-partition: how a record gets into exactly one object.

The name of an object is made of the offset of its first record, and that is the first record at or after the end
of the object before it. So the names form one chain that every reader of the topic-partition walks in the same
way, however it cuts its batches: the writer that creates a name first decides where that object ends, and every other
takes that end over. A zombie can therefore write nothing that the chain doesn't hold already, or it writes the
chain's next link, which the new owner then adopts. The progress object says where the chain ends; since it only
moves by compare-and-set, of two readers that both think they own a partition one finds out at its next step.

:class:`ObjectChain` moves the progress with each object, for sinks whose work on an object is done only then.
:class:`~fraudstream.lake.stream.appending.AppendingChain` lets it lag behind, for sinks whose work the object is.
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
    """An object of a chain: records of [`start`, `end`), the first at `first`, those that are kept with `totals`."""

    partition: Partition
    start: int
    first: int
    end: int
    totals: Totals

    @property
    def rows(self) -> int:
        """Records that are kept."""
        return self.totals.rows

    def metadata(self) -> dict[str, str]:
        """As it is kept with the object."""
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
        """The link that an object's metadata describe.

        :raises LakeError: the metadata are incomplete or don't fit the name: not written by this program
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
    """Where a chain ends now, and whether its last object is the caller's, or was there already."""

    end: int
    ours: bool


class KnowsTopics(Protocol):
    """What a chain asks of the brokers: see :class:`fraudstream.kafka.topic.topic_identity.Topics`."""

    def id(self, topic: str) -> str:
        """The topic's id."""

    def first_offset(self, partition: Partition) -> int:
        """The first offset that the partition has."""

    def end_offset(self, partition: Partition) -> int:
        """The offset behind its last record."""


#: By topic-partition, the first offset that a folder's table doesn't have yet.
InTable = Callable[[], Mapping[Partition, int]]


class ObjectChain:
    """Appends to the chains of one folder. One thread at a time for each partition; any number of partitions.

    :param topics: the topics as they are now; None where chains are only looked at
    :param in_table: asked where a progress is missing
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
        #: What the progress objects say; generation 0 where there is none.
        self._progress: dict[Partition, Progress] = {}
        #: Where the chains end, None where they have no object yet.
        self._ends: dict[Partition, int | None] = {}

    def open(self, partition: Partition, read_to: int = 0) -> int | None:
        """Where reading continues in a partition that this reader now owns; None: its chain has no object yet.

        Where the progress object is missing, the objects and the table say where the chain's last object
        starts: one may always be there that the progress doesn't know yet, and is adopted.

        :param read_to: offset up to which the records were read, though the chain has none of the last ones
        :raises TopicChanged: the chain is of another topic of the same name, which was deleted since
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
        """The position with the topic's id, and with what was deleted before it was read.

        :param end: of the chain, which may lie behind the position
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
        """Creates the object of [`first_offset`, `end_offset`), or adopts the one under its name.

        The progress stays: whatever belongs to the object can be done now, again after a crash, and is done once
        and for all by :meth:`advance`.

        :param body: gzipped JSON lines
        :param totals: of the records in it
        """
        start = self._ends[partition] or 0
        link = Link(partition, start, first_offset, end_offset, totals)
        # 1. create the object under the name made of its first offset, unless it is there
        name = names.object_name(self.folder, day, *partition, first_offset)
        created = self.store.create(name, body, content_type=GZIP, metadata=link.metadata())
        if created.ours:
            return Appended(end_offset, ours=True)
        # 2. if it is there, adopt its end
        end = Link.of(created.info).end
        log.info("%s: %s is there already, going on at its end %d", partition, name, end)
        return Appended(end, ours=False)

    def advance(self, partition: Partition, end: int, day: date | None = None) -> None:
        """Moves the progress object of a partition to `end` by compare-and-set.

        :param day: of the object that ends there
        :raises PartitionLost: another reader moved it; this one must stop reading the partition
        """
        # 3. move the progress
        there = replace(self._progress[partition], end=end, day=day)
        moved = progress.save(self.store, self.folder, partition, there)
        if moved is None:
            raise self._lost(partition, end)
        self._progress[partition] = moved
        self._ends[partition] = end

    def forget(self, partition: Partition) -> None:
        """Drops what is remembered of a partition that another reader owns now."""
        self._progress.pop(partition, None)
        self._ends.pop(partition, None)

    def _lost(self, partition: Partition, end: int) -> PartitionLost:
        self.forget(partition)
        return PartitionLost(
            f"{partition}: another reader moved the progress of folder {self.folder}/ while this one was at offset "
            f"{end}; it stops here, and the new owner of the partition continues"
        )
