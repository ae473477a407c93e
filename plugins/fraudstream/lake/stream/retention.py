"""What retention deleted from topics before it was read, for the audit and commands."""

from collections.abc import Mapping
from dataclasses import dataclass

from fraudstream.kafka.records import Partition
from fraudstream.kafka.topic.topic_identity import Topics
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.progress import Progress


@dataclass(frozen=True, slots=True)
class Unread:
    """A topic-partition that a folder is filled from: the next offset to read, and the first that is there."""

    folder: str
    partition: Partition
    next_unread: int
    first_available: int
    #: Offsets that were deleted unread before the chain went on behind them.
    taken_before: int

    @property
    def taken(self) -> int:
        """Offsets that were deleted before they were read: 0, or records are lost. Markers count, too."""
        return self.taken_before + max(0, self.first_available - self.next_unread)


def unread(
    store: ObjectStore, topics: Topics, folder: str, topic: str, committed: Mapping[Partition, int] | None = None
) -> list[Unread]:
    """Each partition of a topic, as a folder knows it. A rebase of the topic acknowledges what was taken.

    :param committed: offsets of the group that fills the folder, which has passed over what lies behind the last record
        of the chain
    :raises KafkaError: the brokers don't say what they have
    """
    known = progress.every(store, folder)
    found = []
    for partition in topics.partitions(topic):
        position = known.get(partition, Progress(0, 0))
        first = topics.first_offset(partition)
        end = max(position.end, (committed or {}).get(partition, 0))
        found.append(Unread(folder, partition, end, first, position.taken))
    return found
