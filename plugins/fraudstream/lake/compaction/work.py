"""What passes between the protocol of a compaction and the engine that does the work."""

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
    """A source is gone: another run compacted it meanwhile."""


@dataclass(frozen=True, slots=True)
class Work:
    """Objects whose rows have to follow a snapshot of a table."""

    store: ObjectStore
    folder: str
    table: Table
    base: Snapshot
    sources: list[Settled]
    #: What the new snapshot says of itself.
    properties: dict[str, str]
    target_bytes: int


@dataclass(frozen=True, slots=True)
class Staged:
    """A snapshot on the branch, and the control totals of the rows that were read back from it."""

    snapshot: Snapshot
    totals: dict[Partition, Totals]
    files: int
    bytes: int


#: Does steps 2 and 3 of :mod:`fraudstream.lake.compaction.protocol` up to the comparison.
Engine = Callable[[Work], Staged]


def expected_totals(sources: Sequence[Settled]) -> dict[Partition, Totals]:
    """What the objects say of their rows, by topic-partition."""
    found: dict[Partition, list[Totals]] = {}
    for one in sources:
        found.setdefault(one.link.partition, []).append(one.link.totals)
    return {partition: total(parts) for partition, parts in found.items()}


def day_of(one: Settled) -> date:
    """The day whose rows an object holds."""
    named = parse_object_name(one.info.name)
    if named is None:
        raise ValueError(f"{one.info.name} isn't the name of an object with JSON lines")
    return named.day
