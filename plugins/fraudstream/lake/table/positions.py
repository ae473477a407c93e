"""What each snapshot's summary says: which offsets the table has, and the control totals of the rows that it adds.

They are committed with the rows in one atomic step, so that a snapshot proves which records it holds.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.stream.totals import Totals

#: By topic-partition, the first offset that a table doesn't have yet.
Offsets = Mapping[Partition, int]

_OFFSETS = "fraudstream.offsets"
_TOTALS = "fraudstream.added"
#: Summary of a table without rows.
NOTHING = {_OFFSETS: "{}"}


def summary(offsets: Offsets, added: Mapping[Partition, Totals] | None = None) -> dict[str, str]:
    """Properties for a snapshot that holds all records before `offsets`.

    :param added: control totals of the rows that the snapshot adds; None: it only rewrites rows
    """
    properties = {_OFFSETS: _text(offsets)}
    if added is not None:
        properties[_TOTALS] = _text({partition: totals.to_dict() for partition, totals in added.items()})
    return properties


def offsets_of(table: Table, snapshot: Snapshot | None = None) -> dict[Partition, int]:
    """The offsets of a snapshot, by default of the current one.

    A snapshot that another program made (Spark's rewrite_data_files) says nothing: then its nearest ancestor counts.

    :raises LakeError: no ancestor says it either
    """
    for one in lineage(table, snapshot or table.current_snapshot()):
        if (text := _property(one, _OFFSETS)) is not None:
            return {partition: int(offset) for partition, offset in _values(text).items()}
    raise LakeError(
        f"no snapshot of table {'.'.join(table.name())} has {_OFFSETS} in its summary: another program wrote to the"
        " table and expired the snapshots of compact_lake; roll back to a snapshot that has it, or create the table"
        " again and replay its topics"
    )


def lineage(table: Table, snapshot: Snapshot | None) -> Iterator[Snapshot]:
    """A snapshot and its ancestors, up to the first one that says its offsets: what it takes to know them."""
    while snapshot is not None:
        yield snapshot
        if _property(snapshot, _OFFSETS) is not None or snapshot.parent_snapshot_id is None:
            return
        snapshot = table.snapshot_by_id(snapshot.parent_snapshot_id)


def totals_added(snapshot: Snapshot) -> dict[Partition, Totals]:
    """Control totals of the rows that a snapshot adds; none where its summary doesn't say."""
    text = _property(snapshot, _TOTALS) or "{}"
    return {partition: Totals.from_dict(sums) for partition, sums in _values(text).items()}


def _property(snapshot: Snapshot, name: str) -> str | None:
    return snapshot.summary.additional_properties.get(name) if snapshot.summary is not None else None


def _values(text: str) -> dict[Partition, Any]:
    return {
        Partition(topic, int(number)): value
        for topic, partitions in json.loads(text).items()
        for number, value in partitions.items()
    }


def _text(values: Mapping[Partition, object]) -> str:
    by_topic: dict[str, dict[str, object]] = {}
    for partition, value in sorted(values.items(), key=lambda item: item[0]):
        by_topic.setdefault(partition.topic, {})[str(partition.number)] = value
    return json.dumps(by_topic)
