"""The types that the protocol of a compaction and its engines exchange."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.stream.names import parse_object_name
from fraudstream.lake.stream.settled import Settled
from fraudstream.lake.stream.totals import Totals, total


class Vanished(Exception):
    """An object is gone: another run compacted and deleted it meanwhile."""


@dataclass(frozen=True, slots=True)
class Work:
    """The objects to compact, and the table's snapshot `base` that their rows are added to."""

    store: ObjectStore
    folder: str
    table: Table
    base: Snapshot
    sources: list[Settled]
    #: For the summary of the new snapshot.
    properties: dict[str, str]
    target_bytes: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A snapshot on the branch, the control totals of its new rows, and the number and size in bytes of its new files.

    The control totals are of rows that were read back from written files, not of the objects.
    """

    snapshot: Snapshot
    totals: dict[Partition, Totals]
    files: int
    bytes: int


#: Does steps 2 and 3 of :mod:`fraudstream.lake.compaction.protocol` up to the comparison.
Engine = Callable[[Work], Staged]


def expected_totals(sources: Sequence[Settled]) -> dict[Partition, Totals]:
    """Returns the control totals in the objects' metadata, added up by topic-partition."""
    found: dict[Partition, list[Totals]] = {}
    for one in sources:
        found.setdefault(one.link.partition, []).append(one.link.totals)
    return {partition: total(parts) for partition, parts in found.items()}


def day_of(one: Settled) -> date:
    """Returns the day of an object's rows.

    :raises ValueError: the object's name isn't that of an object with JSON lines
    """
    named = parse_object_name(one.info.name)
    if named is None:
        raise ValueError(f"{one.info.name} isn't the name of an object with JSON lines")
    return named.day
