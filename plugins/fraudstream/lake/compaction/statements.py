"""The SQL of a compaction, the same for DuckDB and for Spark (with ANSI mode and double-quoted identifiers).

The JSON lines are in the view ``lines``, whose columns are the fields of
:func:`fraudstream.lake.table.schemas.json_schema`. The rows of a table are in any relation that has its columns.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from fraudstream.kafka.records import Partition
from fraudstream.lake.stream.lines import is_text
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table.schemas import SORT_ORDER, json_schema, rows_schema


def rows_of_lines(folder: str) -> str:
    """Returns a SELECT of a folder's rows from the view ``lines``; fields of nested values become separate columns."""
    columns = ", ".join(
        f'"{field.name}"' if inner is None else f'"{field.name}"."{inner.name}" AS "{field.name}_{inner.name}"'
        for field in json_schema(folder)
        for inner in (list(field.type) if pa.types.is_struct(field.type) else [None])
    )
    return f"SELECT {columns} FROM lines"


def sorted_rows_of_lines(folder: str) -> str:
    """Returns the SELECT of :func:`rows_of_lines`, in the folder's sort order."""
    return f"{rows_of_lines(folder)} ORDER BY {order_of(folder)}"


def order_of(folder: str) -> str:
    """Returns the expressions of the ORDER BY for a folder's files."""
    return ", ".join(f'"{name}"' for name in SORT_ORDER[folder])


def totals(folder: str, relation: str) -> str:
    """Returns a SELECT of the control totals of a relation, with one row for each topic-partition.

    The totals are those of :mod:`fraudstream.lake.stream.totals`, of all money and text columns except the topic.
    """
    sums = []
    for field in rows_schema(folder):
        if pa.types.is_decimal(field.type):
            sums.append(f'CAST(sum("{field.name}") * 100 AS DECIMAL(38,0)) AS "{field.name}"')
        elif is_text(field.type) and field.name != "topic":
            sums.append(f'CAST(sum(length("{field.name}")) AS BIGINT) AS "{field.name}"')
    return (
        'SELECT "topic", "partition", count(*) AS "rows", CAST(sum("offset") AS DECIMAL(38,0)) AS "offsets",'
        f' {", ".join(sums)} FROM {relation} GROUP BY "topic", "partition"'
    )


def by_partition(rows: Iterable[dict[str, Any]]) -> dict[Partition, Totals]:
    """Parses the rows of the result of :func:`totals`.

    A missing topic becomes "(no topic)", a missing partition -1.
    """
    found = {}
    for row in rows:
        sums = {name: int(value or 0) for name, value in row.items() if name not in {"topic", "partition"}}
        number = -1 if row["partition"] is None else int(row["partition"])
        partition = Partition(row["topic"] or "(no topic)", number)
        found[partition] = Totals(sums.pop("rows"), sums.pop("offsets"), sums)
    return found
