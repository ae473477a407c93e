"""Offsets and control totals in the summaries of snapshots.

The summary of a snapshot has the offsets up to which the table has all records, and the control totals of the rows that
the snapshot adds. Both are committed with the rows in one atomic step, so a snapshot shows which records it has.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.stream.totals import Totals

#: The first offset that a table doesn't have yet, by topic-partition.
Offsets = Mapping[Partition, int]

_OFFSETS = "fraudstream.offsets"
_TOTALS = "fraudstream.added"
#: Summary properties of the first snapshot, which has no rows.
NOTHING = {_OFFSETS: "{}"}


def summary(offsets: Offsets, added: Mapping[Partition, Totals] | None = None) -> dict[str, str]:
    """Returns the summary properties for a snapshot that has all records before `offsets`.

    :param added: control totals of the rows that the snapshot adds; None: it only rewrites rows
    """
    properties = {_OFFSETS: _text(offsets)}
    if added is not None:
        properties[_TOTALS] = _text({partition: totals.to_dict() for partition, totals in added.items()})
    return properties


def offsets_of(table: Table, snapshot: Snapshot | None = None) -> dict[Partition, int]:
    """Returns the offsets of a snapshot, by default of the current one.

    The summary of a snapshot of another program (such as Spark's rewrite_data_files) has no offsets. Then those of its
    nearest ancestor that has some are returned.

    :raises LakeError: no ancestor has offsets in its summary either
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
    """Yields a snapshot and its ancestors up to the first one with offsets in its summary, nearest first."""
    while snapshot is not None:
        yield snapshot
        if _property(snapshot, _OFFSETS) is not None or snapshot.parent_snapshot_id is None:
            return
        snapshot = table.snapshot_by_id(snapshot.parent_snapshot_id)


def totals_added(snapshot: Snapshot) -> dict[Partition, Totals]:
    """Returns the control totals of the rows that a snapshot adds; empty if its summary has none."""
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
