"""Reads lines of the mail log that a compaction moved to the table of folder email_confirmation/."""

from collections.abc import Callable
from typing import Any

from pyiceberg.expressions import And, EqualTo, GreaterThanOrEqual, NotEqualTo, Or

from fraudstream.kafka.records import Partition
from fraudstream.lake.stream.names import MAILS
from fraudstream.lake.table.catalog import Tables, translated
from fraudstream.lake.table.positions import offsets_of

_TIMES = ("firstTriedAt", "finishedAt")
_COLUMNS = ("offset", "status", "reply", "attempts", *_TIMES)


class CompactedLog:
    """Reads the table. Each call opens the catalog, because calls are rare."""

    def __init__(self, open_tables: Callable[[], Tables]) -> None:
        self._open_tables = open_tables

    def __call__(self, partition: Partition, start: int) -> tuple[int, dict[int, dict[str, Any]]]:
        """Returns the table's end offset for a partition, and the lines from offset `start` on, by offset.

        Leaves out sent mails that are not fraud notices: they have no follow-up.

        :raises LakeUnavailable: the catalog or the store doesn't answer
        """
        table = self._open_tables().load(MAILS)
        end = offsets_of(table).get(partition, 0) if table else 0
        if table is None or end <= start:
            return end, {}
        rows = And(
            EqualTo("topic", partition.topic),
            EqualTo("partition", partition.number),
            GreaterThanOrEqual("offset", start),
            Or(NotEqualTo("status", "sent"), EqualTo("kind", "fraud_notice")),
        )
        with translated(f"read table {MAILS} of"):
            lines = table.scan(rows, _COLUMNS).to_arrow().to_pylist()
        for line in lines:
            line |= {name: line[name].isoformat() for name in _TIMES if line[name] is not None}
        return end, {line["offset"]: line for line in lines}
