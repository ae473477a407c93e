"""A consistent view of a folder: JSON objects and a snapshot of the table, which together have each row once.

The steps, numbered as in the code:

1. list the JSON objects,
2. load the table, and skip the objects before its offsets: the table has their rows,
3. copy the JSON objects to local disk; if one is gone, a compaction has deleted it: start over.

In this order no row is missed or doubled. An object that a compaction moves between steps 1 and 2 is in the listing and
is skipped because of the table's offsets. An object that is written after step 1 isn't part of the view. The snapshot
of the table doesn't change, and :mod:`fraudstream.lake.table.maintenance` keeps its files for the retention time.
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
    """The JSON objects and the table of a folder at one time. Rows of the JSON objects aren't in the table."""

    folder: str
    json: list[ObjectInfo]
    #: The local copies of the objects, in the same order; empty if no copies were wanted.
    copies: list[Path]
    #: None: nothing is compacted yet.
    table: Table | None
    #: Selects rows of the table.
    expression: BooleanExpression

    def scan(self, columns: Sequence[str] | None = None) -> DataScan | None:
        """Returns a scan of the table's rows for which the expression is true; None: the table has no snapshot.

        :param columns: columns to read; those that were added after the snapshot are left out. None: all columns
        """
        snapshot = self.table.current_snapshot() if self.table else None
        if self.table is None or snapshot is None:
            return None
        wanted: tuple[str, ...] = ("*",)
        if columns is not None and snapshot.schema_id is not None:
            known = self.table.schemas()[snapshot.schema_id].column_names
            wanted = tuple(name for name in columns if name in known)
        return self.table.scan(self.expression, wanted, snapshot_id=snapshot.snapshot_id)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yields all rows of the view, in tables of limited size. The view must have copies of its objects.

        A column is null in rows that are older than the column.

        :param columns: the columns to read, which must not be of a nested value; None: all columns of the folder
        """
        wanted = list(columns or rows_schema(self.folder).names)
        for info, copy in zip(self.json, self.copies, strict=True):
            yield rows_of_lines(self.folder, info.name, unpacked(info.name, copy.read_bytes()), columns).select(wanted)
        yield from self.table_rows(wanted)

    def table_rows(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yields the rows that are in the table, in the same form as :meth:`rows`."""
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
        """Returns the files of the table that may have rows for which the expression is true."""
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
    """Opens a consistent view of a folder, or of some of its days. Leaving the ``with`` deletes the local copies.

    :param expression: of pyiceberg, selects rows of the table; JSON objects are selected only by day and by `since`
    :param since: skips JSON objects that end at or before the offset of their topic-partition
    :param copy: whether to copy the JSON objects to local disk (step 3)
    :raises LakeUnavailable: the store or the catalog doesn't answer, or objects vanished during each of the tries
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
            # 3. copy
            copies = _copied(lake, json, Path(name) / str(attempt)) if copy else []
            if copies is not None:
                yield View(folder, json, copies, table, And(_of_days(first, last), expression or AlwaysTrue()))
                return
    raise LakeUnavailable(f"objects of {folder}/ vanished {_TRIES} times while they were read; try again later")


def read_rows(
    lake: Lake, folder: str, columns: Sequence[str] | None = None, *, day: date | None = None
) -> Iterator[pa.Table]:
    """Yields each row of a folder once, in tables of limited size.

    :param columns: the columns to read, which must not be of a nested value; None: all columns of the folder
    :param day: yields only the rows of this day
    :raises LakeUnavailable: the store or the catalog doesn't answer, or objects vanished during each of the tries
    """
    with open_view(lake, folder, first=day or date.min, last=day or date.max) as view:
        yield from view.rows(columns)


def list_days(lake: Lake, folder: str) -> list[date]:
    """Returns the days for which a folder has rows, oldest first."""
    with open_view(lake, folder, copy=False) as view:
        days = {named.day for info in view.json if (named := names.parse_object_name(info.name))}
        return sorted(days | table_days(view).keys())


@dataclass(slots=True)
class TableDay:
    """Number of files and rows of a day in a table, and the size of the files in bytes."""

    files: int = 0
    rows: int = 0
    bytes: int = 0


def table_days(view: View) -> dict[date, TableDay]:
    """Returns the numbers of files, rows and bytes of each day in a view's table."""
    found: dict[date, TableDay] = {}
    for file in view.files():
        day = found.setdefault(day_of_file(file), TableDay())
        day.files += 1
        day.rows += file.record_count
        day.bytes += file.file_size_in_bytes
    return found


def _copied(lake: Lake, infos: list[ObjectInfo], directory: Path) -> list[Path] | None:
    """Copies objects to local disk and returns the paths in the same order; None: an object is gone."""
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
