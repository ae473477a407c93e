"""The progress object of a topic-partition: where its chain is known to end, and of which topic.

It only moves by compare-and-set, and nothing before it is ever written again: what ends at or before the progress is
settled, so compaction may take it. What lies behind it (further on) may be a dead writer's object that its successor
has yet to adopt under the same name; an object that vanished there would be written a second time, with another end.

A topic that is deleted and created again, or restored from a backup, has another id and other records at the offsets
that the chain knows: the topic's id (KIP-516) is kept with the offset, so that readers notice. How many offsets were
deleted before they were read is kept, too, for later readers.
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
    """Where a chain is known to end, and the generation of the object that says so."""

    end: int
    generation: int
    #: None: unknown, written before ids were kept.
    topic_id: str | None = None
    #: Offsets that retention took before they were read.
    taken: int = 0
    #: Of the chain's last object.
    day: date | None = None


def load(store: ObjectStore, folder: str, partition: Partition) -> Progress | None:
    """The progress of a topic-partition; None: nothing was ever written, or the object was deleted.

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
    """Moves the progress, from exactly `moved.generation` (0: there is none yet); None: another one is there."""
    name = names.progress_name(folder, *partition)
    content: dict[str, Any] = {"end": moved.end}
    content |= {"topic_id": moved.topic_id} if moved.topic_id else {}
    content |= {"taken": moved.taken} if moved.taken else {}
    content |= {"day": moved.day.isoformat()} if moved.day else {}
    written = store.replace(name, json.dumps(content).encode(), moved.generation, content_type=JSON)
    return None if written is None else replace(moved, generation=written.generation)


def every(store: ObjectStore, folder: str) -> dict[Partition, Progress]:
    """The progress of each chain of a folder."""
    found = {}
    for info in store.list(names.progress_prefix(folder)):
        partition = names.parse_progress_name(info.name)
        if partition is not None and (progress := load(store, folder, partition)) is not None:
            found[partition] = progress
    return found


def ends(store: ObjectStore, folder: str) -> dict[Partition, int]:
    """Where each chain of a folder is known to end."""
    return {partition: progress.end for partition, progress in every(store, folder).items()}
