"""Finds all rows of a folder that have a value in a text column, and the object or table that each row is in.

A query parses all lines of JSON that isn't in the table yet. A look-up parses only the lines that contain the value. It
opens only the files of the table whose statistics allow the value, and DuckDB uses their bloom filters.
"""

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import orjson
from pyiceberg.expressions import EqualTo
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from fraudstream.errors import LakeError, LakeUnavailable
from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction.workspace import connection
from fraudstream.lake.query.files import TableFiles
from fraudstream.lake.query.view import View, open_view
from fraudstream.lake.store.objects import ObjectInfo, unpacked
from fraudstream.lake.stream import names
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.positions import offsets_of
from fraudstream.lake.table.schemas import rows_of_lines, rows_schema

_TRIES = 20
_WORKERS = 4


@dataclass(frozen=True, slots=True)
class Found:
    """A row, with money as Decimal and times in UTC, and a description of where the row is stored."""

    row: dict[str, Any]
    place: str

    @property
    def record(self) -> tuple[str, int, int]:
        """Topic, partition and offset of the row's record."""
        return self.row["topic"], self.row["partition"], self.row["offset"]


def look_up(
    lake: Lake,
    folder: str,
    column: str,
    value: str,
    *,
    first: date = date.min,
    objects_of: Callable[[Partition], bool] = lambda _: True,
) -> list[Found]:
    """Returns the rows that have `value` in `column`, in the order of their record timestamps.

    :param first: skips the days before this one
    :param objects_of: returns whether the objects of a topic-partition are read; rows of the table may be of any
    :raises LakeError: an object or a file of the table is unreadable
    :raises LakeUnavailable: the store or the catalog doesn't answer, or objects vanished during each of the tries
    """
    for _ in range(_TRIES):
        with open_view(lake, folder, first=first, expression=EqualTo(column, value), copy=False) as view:
            json = [
                info
                for info in view.json
                if (named := names.parse_object_name(info.name)) and objects_of(named.partition)
            ]
            with ThreadPoolExecutor(_WORKERS) as pool:
                answers = list(pool.map(lambda info: _of_object(lake, folder, info, column, value), json))
            if None in answers:  # a compaction deleted an object, whose rows are in the table now
                continue
            found = [row for rows in answers for row in rows or ()]
            found += _of_table(view, column, value)
            return sorted(found, key=lambda one: (one.row["recordTimestamp"], one.record))
    raise LakeUnavailable(f"objects of {folder}/ vanished {_TRIES} times while they were read; try again later")


def _of_object(lake: Lake, folder: str, info: ObjectInfo, column: str, value: str) -> list[Found] | None:
    """Returns the rows of an object that have the value; None: the object is gone."""
    data = lake.store.download(info)
    if data is None:
        return None
    lines = b"".join(_lines_with(unpacked(info.name, data), orjson.dumps({column: value})[1:-1]))
    rows = rows_of_lines(folder, info.name, lines).to_pylist()
    return [Found(row, f"object {info.name}") for row in rows if row[column] == value]


def _lines_with(lines: bytes, text: bytes) -> Iterator[bytes]:
    place = lines.find(text)
    while place >= 0:
        end = lines.find(b"\n", place) + 1 or len(lines)
        yield lines[lines.rfind(b"\n", 0, place) + 1 : end]
        place = lines.find(text, end)


def _of_table(view: View, column: str, value: str) -> list[Found]:
    files = view.files()
    if view.table is None or not files:
        return []
    reader = TableFiles()
    paths = [reader.add(view.table.io, file) for file in files]
    columns = ", ".join(f'"{field.name}"' for field in rows_schema(view.folder))
    with tempfile.TemporaryDirectory(prefix="fraudstream-lookup-") as name, connection(Path(name)) as db:
        db.register_filesystem(reader)
        try:
            # The empty table adds the columns that older files don't have.
            db.register("none", rows_schema(view.folder).empty_table())
            rows = db.sql(
                f"SELECT {columns} FROM (FROM none UNION ALL BY NAME FROM read_parquet($1, union_by_name = true)) "
                f'WHERE "{column}" = $2',
                params=[paths, value],
            ).to_arrow_table()
        except duckdb.Error as error:
            raise LakeError(f"a file of table {view.folder} can't be read: {str(error).strip()}") from error
    schema = rows_schema(view.folder)
    return [
        Found(row, _in_table(view.table, Partition(row["topic"], row["partition"]), row["offset"]))
        for row in rows.cast(schema).to_pylist()
    ]


def _in_table(table: Table, partition: Partition, offset: int) -> str:
    """Describes the table, and the oldest of its snapshots that has the record."""
    holding = [shot for shot in table.snapshots() if _holds(table, shot, partition, offset)]
    since = min(holding, key=lambda shot: shot.timestamp_ms, default=table.current_snapshot())
    if since is None:
        return f"table {table.name()[-1]}"
    at = datetime.fromtimestamp(since.timestamp_ms / 1000, UTC)
    return f"table {table.name()[-1]}, since snapshot {since.snapshot_id} of {at:%Y-%m-%d %H:%M:%S} UTC or before"


def _holds(table: Table, snapshot: Snapshot, partition: Partition, offset: int) -> bool:
    try:
        return offsets_of(table, snapshot).get(partition, 0) > offset
    except LakeError:  # the snapshot is of another program, and its ancestors are expired
        return False
