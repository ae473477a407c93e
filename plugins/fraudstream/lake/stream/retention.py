"""Counts offsets that retention deleted from topics before they were read, for the audit and commands."""

from collections.abc import Mapping
from dataclasses import dataclass

from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.progress import Progress


@dataclass(frozen=True, slots=True)
class Unread:
    """A source topic-partition of a folder: the next offset to read, and the first one that the partition has."""

    folder: str
    partition: Partition
    next_unread: int
    first_available: int
    #: The number of offsets that were deleted unread before `next_unread`. The chain has continued after them.
    taken_before: int

    @property
    def taken(self) -> int:
        """The number of offsets that were deleted before they were read. Transaction markers count, too."""
        return self.taken_before + max(0, self.first_available - self.next_unread)


def unread(
    store: ObjectStore, topics: Topics, folder: str, topic: str, committed: Mapping[Partition, int] | None = None
) -> list[Unread]:
    """The state of each partition of a topic in a folder. A rebase of the topic resets `taken_before` to 0.

    :param committed: the committed offsets of the group that fills the folder. The group may have read offsets after
        the chain's end that have no record for the chain
    :raises KafkaError: the brokers don't return the offsets
    """
    known = progress.every(store, folder)
    found = []
    for partition in topics.partitions(topic):
        position = known.get(partition, Progress(0, 0))
        first = topics.first_offset(partition)
        end = max(position.end, (committed or {}).get(partition, 0))
        found.append(Unread(folder, partition, end, first, position.taken))
    return found
