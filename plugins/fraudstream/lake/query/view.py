"""A folder at one instant: the JSON objects that count, and the table's files; together each row once.

1. list the JSON
2. load the table: what lies before its offsets is in it, or was written again by a zombie
3. take the JSON away to local disk; where an object has vanished, a compaction took it: start over

In this order nothing slips through. An object that a compaction moved between 1 and 2 is listed, and the table's
offsets say that it doesn't count; one that was written after 1 is news. A table's snapshot doesn't change, and its
files stay for as long as :mod:`fraudstream.lake.table.maintenance` says.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, GreaterThanOrEqual, LessThan
from pyiceberg.manifest import DataFile
from pyiceberg.table import DataScan, Table

from fraudstream.errors import LakeUnavailable
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import ObjectInfo, unpacked
from fraudstream.lake.stream import names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.table.catalog import translated
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.maintenance import day_of_file
from fraudstream.lake.table.positions import offsets_of
from fraudstream.lake.table.schemas import rows_of_lines, rows_schema

_TRIES = 20
_WORKERS = 4
_TIME = "recordTimestamp"


@dataclass(frozen=True, slots=True)
class View:
    """What counts of a folder."""

    folder: str
    #: Objects with JSON lines, and the local copies of those that were asked for.
    json: list[ObjectInfo]
    copies: list[Path]
    #: None: nothing is compacted yet.
    table: Table | None
    #: Chooses the table's rows.
    expression: BooleanExpression

    def scan(self, columns: Sequence[str] | None = None) -> DataScan | None:
        """The rows of the table that may be wanted; without the columns that were added after its snapshot."""
        snapshot = self.table.current_snapshot() if self.table else None
        if self.table is None or snapshot is None:
            return None
        wanted: tuple[str, ...] = ("*",)
        if columns is not None and snapshot.schema_id is not None:
            known = self.table.schemas()[snapshot.schema_id].column_names
            wanted = tuple(name for name in columns if name in known)
        return self.table.scan(self.expression, wanted, snapshot_id=snapshot.snapshot_id)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows with the folder's columns, or some that aren't nested, in tables of bounded size.

        Null where a row is older than a column.
        """
        wanted = list(columns or rows_schema(self.folder).names)
        for info, copy in zip(self.json, self.copies, strict=True):
            yield rows_of_lines(self.folder, info.name, unpacked(info.name, copy.read_bytes()), columns).select(wanted)
        yield from self.table_rows(wanted)

    def table_rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows that the table has, as :meth:`rows` gives them."""
        scan = self.scan(columns)
        if scan is None:
            return
        schema = pa.schema([rows_schema(self.folder).field(name) for name in columns])
        with translated("read a table of"):
            for batch in scan.to_arrow_batch_reader():
                rows = pa.Table.from_batches([batch])
                for field in schema:
                    if field.name not in rows.column_names:
                        rows = rows.append_column(field, pa.nulls(len(rows), field.type))
                yield rows.select(columns).cast(schema)

    def files(self) -> list[DataFile]:
        """The files of the table that may have rows that are wanted."""
        scan = self.scan()
        with translated("read a table of"):
            return [task.file for task in scan.plan_files()] if scan else []


@contextmanager
def open_view(
    lake: Lake,
    folder: str,
    *,
    first: date = date.min,
    last: date = date.max,
    expression: BooleanExpression | None = None,
    since: Mapping[Partition, int] | None = None,
    copy: bool = True,
) -> Iterator[View]:
    """A folder, or some days of it, at one instant.

    :param expression: of pyiceberg, leaves out files of the table; JSON is only chosen by its day and by `since`
    :param since: leaves out JSON objects that end at or before the offset of their topic-partition
    :param copy: without it, only say what counts
    :raises LakeUnavailable: objects went on vanishing
    """
    with tempfile.TemporaryDirectory(prefix="fraudstream-lake-") as name:
        for attempt in range(_TRIES):
            # 1. list
            listed = [
                (info, named)
                for info in lake.store.list(f"{folder}/")
                if (named := names.parse_object_name(info.name)) and first <= named.day <= last
            ]
            # 2. the table
            table = lake.tables.load(folder)
            offsets = offsets_of(table) if table else {}
            json = [info for info, named in listed if named.first_offset >= offsets.get(named.partition, 0)]
            if since is not None:
                json = [info for info in json if (link := Link.of(info)).end > since.get(link.partition, 0)]
            # 3. take away
            copies = _copied(lake, json, Path(name) / str(attempt)) if copy else []
            if copies is not None:
                yield View(folder, json, copies, table, And(_of_days(first, last), expression or AlwaysTrue()))
                return
    raise LakeUnavailable(f"objects of {folder}/ vanished {_TRIES} times while they were read; try again later")


def read_rows(
    lake: Lake, folder: str, columns: Sequence[str] | None = None, *, day: date | None = None
) -> Iterator[pa.Table]:
    """A folder's rows, each once, in tables of bounded size with the folder's columns (or some that aren't nested).

    :param day: only the rows of this one
    :raises LakeUnavailable: store or catalog don't answer, or objects went on vanishing
    """
    with open_view(lake, folder, first=day or date.min, last=day or date.max) as view:
        yield from view.rows(columns)


def list_days(lake: Lake, folder: str) -> list[date]:
    """The days that a folder has rows of, oldest first."""
    with open_view(lake, folder, copy=False) as view:
        days = {named.day for info in view.json if (named := names.parse_object_name(info.name))}
        return sorted(days | table_days(view).keys())


@dataclass(slots=True)
class TableDay:
    """What a table holds of a day."""

    files: int = 0
    rows: int = 0
    bytes: int = 0


def table_days(view: View) -> dict[date, TableDay]:
    """Files, rows and bytes of each day of a view's table."""
    found: dict[date, TableDay] = {}
    for file in view.files():
        day = found.setdefault(day_of_file(file), TableDay())
        day.files += 1
        day.rows += file.record_count
        day.bytes += file.file_size_in_bytes
    return found


def _copied(lake: Lake, infos: list[ObjectInfo], directory: Path) -> list[Path] | None:
    """Copies of objects on local disk; None: one of them is gone."""
    directory.mkdir()

    def copy(info: ObjectInfo) -> Path | None:
        data = lake.store.download(info)
        if data is None:
            return None
        path = directory / info.name.replace("/", "~")
        path.write_bytes(data)
        return path

    with ThreadPoolExecutor(_WORKERS) as pool:
        copies = list(pool.map(copy, infos))
    return [path for path in copies if path] if all(copies) else None


def _of_days(first: date, last: date) -> BooleanExpression:
    since = GreaterThanOrEqual(_TIME, _midnight(first)) if first > date.min else AlwaysTrue()
    until = LessThan(_TIME, _midnight(last + timedelta(days=1))) if last < date.max else AlwaysTrue()
    return And(since, until)


def _midnight(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()
