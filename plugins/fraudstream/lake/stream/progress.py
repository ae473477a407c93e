"""The progress object of a topic-partition: where its chain is known to end.

It only moves by compare-and-set, and nothing before it is ever written again: what ends at or before the progress is
settled, so compaction may take it. What lies behind it (further on) may be a dead writer's object that its successor
has yet to adopt under the same name; an object that vanished there would be written a second time, with another end.
"""

import json
from dataclasses import dataclass

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import JSON, ObjectStore
from fraudstream.lake.stream import names


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a chain is known to end, and the generation of the object that says so."""

    end: int
    generation: int


def load(store: ObjectStore, folder: str, partition: Partition) -> Progress | None:
    """The progress of a topic-partition; None: nothing was ever written, or the object was deleted.

    :raises LakeError: the object is unreadable
    """
    name = names.progress_name(folder, *partition)
    found = store.get(name)
    if found is None:
        return None
    try:
        return Progress(int(json.loads(found.data)["end"]), found.info.generation)
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(
            f"progress object {name} is unreadable ({error!r}): delete it, then the end is found again from the"
            " objects of the partition"
        ) from error


def save(store: ObjectStore, folder: str, partition: Partition, end: int, generation: int) -> Progress | None:
    """Moves the progress to `end`, from exactly `generation` (0: there is none yet); None: another one is there."""
    name = names.progress_name(folder, *partition)
    moved = store.replace(name, json.dumps({"end": end}).encode(), generation, content_type=JSON)
    return None if moved is None else Progress(end, moved.generation)


def ends(store: ObjectStore, folder: str) -> dict[Partition, int]:
    """Where each chain of a folder is known to end."""
    found = {}
    for info in store.list(names.progress_prefix(folder)):
        partition = names.parse_progress_name(info.name)
        if partition is not None and (progress := load(store, folder, partition)) is not None:
            found[partition] = progress.end
    return found
