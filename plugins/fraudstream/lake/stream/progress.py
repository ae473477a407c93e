"""The progress object of a topic-partition: the known end of its chain, and the id of its topic.

The progress is moved by compare-and-set only. Objects that end at or before it are settled: they are never written
again, so compaction may delete them. An object after the progress may be one of a dead writer, which its successor has
not adopted yet. If such an object were deleted, its records would be written a second time, with another end.

A topic that is deleted and created again, or restored from a backup, has another id and may have other records at
offsets that the chain has. So the topic's id (KIP-516) is stored with the offset, and readers compare it. The number of
offsets that were deleted before they were read is stored, too, for later readers.
"""

import json
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import JSON, ObjectStore
from fraudstream.lake.stream import names


@dataclass(frozen=True, slots=True)
class Progress:
    """The known end of a chain, and the generation of the progress object."""

    end: int
    generation: int
    #: None: unknown, written by a version that stored no ids.
    topic_id: str | None = None
    #: The number of offsets that retention deleted before they were read.
    taken: int = 0
    #: The day of the chain's last object; None: unknown.
    day: date | None = None


def load(store: ObjectStore, folder: str, partition: Partition) -> Progress | None:
    """The progress of a topic-partition; None: nothing is written yet, or the progress object was deleted.

    :raises LakeError: the object is unreadable
    """
    name = names.progress_name(folder, *partition)
    found = store.get(name)
    if found is None:
        return None
    try:
        content = json.loads(found.data)
        day = content.get("day")
        return Progress(
            int(content["end"]),
            found.info.generation,
            content.get("topic_id"),
            int(content.get("taken", 0)),
            date.fromisoformat(day) if day else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            f"progress object {name} is unreadable ({error!r}): delete it, then the end is found again from the"
            " objects of the partition"
        ) from error


def save(store: ObjectStore, folder: str, partition: Partition, moved: Progress) -> Progress | None:
    """Replaces the progress object of exactly generation `moved.generation`; 0: there is none yet.

    Returns the progress with its new generation; None: the object has another generation, nothing is written.
    """
    name = names.progress_name(folder, *partition)
    content: dict[str, Any] = {"end": moved.end}
    content |= {"topic_id": moved.topic_id} if moved.topic_id else {}
    content |= {"taken": moved.taken} if moved.taken else {}
    content |= {"day": moved.day.isoformat()} if moved.day else {}
    written = store.replace(name, json.dumps(content).encode(), moved.generation, content_type=JSON)
    return None if written is None else replace(moved, generation=written.generation)


def every(store: ObjectStore, folder: str) -> dict[Partition, Progress]:
    """The progress of each chain of a folder, by topic-partition."""
    found = {}
    for info in store.list(names.progress_prefix(folder)):
        partition = names.parse_progress_name(info.name)
        if partition is not None and (progress := load(store, folder, partition)) is not None:
            found[partition] = progress
    return found


def ends(store: ObjectStore, folder: str) -> dict[Partition, int]:
    """The known end of each chain of a folder, by topic-partition."""
    return {partition: progress.end for partition, progress in every(store, folder).items()}
