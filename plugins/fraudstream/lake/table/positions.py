"""What each snapshot's summary says: the next offset of each topic-partition that is not in the table yet.

Rows and offsets are committed in one atomic step, so that a snapshot proves which records it holds.
"""

import json
from collections.abc import Mapping

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition

#: By topic-partition, the first offset that a table doesn't have yet.
Offsets = Mapping[Partition, int]

_OFFSETS = "fraudstream.offsets"
_TOTALS = "fraudstream.added"
#: Summary of a table without rows.
NOTHING = {_OFFSETS: "{}"}


def summary(offsets: Offsets, added: Mapping[Partition, Mapping[str, int]] | None = None) -> dict[str, str]:
    """Properties for a snapshot that holds all records before `offsets`.

    :param added: control totals of the rows that the snapshot adds
    """
    properties = {_OFFSETS: _text(offsets)}
    return properties if added is None else properties | {_TOTALS: _text(added)}


def offsets_of(table: Table, snapshot: Snapshot | None = None) -> dict[Partition, int]:
    """The offsets of a snapshot, by default of the current one.

    A snapshot that another program made (Spark's rewrite_data_files) says nothing: then its nearest ancestor counts.

    :raises LakeError: no ancestor says it either
    """
    found = snapshot or table.current_snapshot()
    while found is not None:
        if found.summary is not None and (text := found.summary.additional_properties.get(_OFFSETS)) is not None:
            return {
                Partition(topic, int(number)): int(offset)
                for topic, partitions in json.loads(text).items()
                for number, offset in partitions.items()
            }
        found = table.snapshot_by_id(found.parent_snapshot_id) if found.parent_snapshot_id is not None else None
    raise LakeError(
        f"no snapshot of table {'.'.join(table.name())} has {_OFFSETS} in its summary: another program wrote to the"
        " table and expired the snapshots of compact_lake; roll back to a snapshot that has it, or create the table"
        " anew and replay its topics"
    )


def _text(values: Mapping[Partition, object]) -> str:
    by_topic: dict[str, dict[str, object]] = {}
    for partition, value in sorted(values.items(), key=lambda item: item[0]):
        by_topic.setdefault(partition.topic, {})[str(partition.number)] = value
    return json.dumps(by_topic)
