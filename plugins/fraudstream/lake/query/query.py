"""SQL over the lake, each row once: DuckDB on the manifests' Parquet files and the JSON that isn't compacted yet.

Views: ``transaction``, ``fraud_confirmation``, ``email_confirmation`` with the columns of their folders and ``dt``,
the day; and ``fraud_case``, a row a case in its latest state.

1. for each day of the folders that the SQL names: list its objects, then read its manifest
2. copy the JSON that the manifest doesn't cover to local disk; where some of it is gone by now, a compaction took
   it: begin the day again
3. let DuckDB read the copies, and of the manifest's files, which stay, the byte ranges that it needs

So a query sees each day as it was at one instant, whatever compactions do before, during and after.
"""

import re
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from fraudstream.errors import LakeError, LakeUnavailable, QueryRefused
from fraudstream.lake.compaction.manifest import ParquetFile
from fraudstream.lake.query.reading import in_order, list_day, list_days, read_lines
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream import names
from fraudstream.lake.table.schemas import rows_schema

_TRIES = 20
_WORKERS = 4
_ROWS_AT_ONCE = 10_000
_ALLOWED = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
#: The outcome of a case goes before its PENDING row; of outcomes the first in log order counts.
_CASES = """
    CREATE VIEW fraud_case AS
    SELECT * EXCLUDE (topic, "partition", "offset", recordTimestamp, dt),
        min(recordTimestamp) OVER (PARTITION BY idTransaction) AS openedAt, recordTimestamp AS changedAt
    FROM fraud_confirmation
    QUALIFY row_number() OVER
        (PARTITION BY idTransaction ORDER BY status = 'PENDING', topic, "partition", "offset") = 1
"""


@contextmanager
def query(store: ObjectStore, sql: str) -> Iterator[pa.RecordBatchReader]:
    """Result of one SELECT (or EXPLAIN, DESCRIBE) as a stream, to be read inside the ``with``.

    :raises QueryRefused: the SQL is wrong, is no single SELECT, or reads something else than the views; what goes
        wrong while the stream is read, like a division by zero, comes as an error of DuckDB or Arrow
    :raises LakeUnavailable: the store doesn't answer, or objects went on vanishing
    """
    with tempfile.TemporaryDirectory(prefix="fraudstream-query-") as directory, _connection() as connection:
        _require_one_select(connection, sql)
        files = _LakeFiles(store)
        connection.register_filesystem(files)
        paths = [path for folder in names.FOLDERS for path in _view(connection, files, folder, sql, Path(directory))]
        connection.execute(_CASES)
        # From here on nothing but those files can be opened, and no statement can change that.
        connection.execute("SET temp_directory = $1", [f"{directory}/spilled"])
        connection.execute("SET allowed_paths = $1", [paths])
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
        with refusing():
            yield connection.sql(sql).to_arrow_reader(_ROWS_AT_ONCE)


@contextmanager
def refusing() -> Iterator[None]:
    """Errors of DuckDB as the lake's."""
    try:
        yield
    except duckdb.Error as error:
        raise QueryRefused(f"the query can't be run: {str(error).strip()}") from error


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(duckdb.connect(":memory:")) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def _require_one_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with refusing():
        statements = connection.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in _ALLOWED:
        found = ", ".join(statement.type.name for statement in statements) or "nothing"
        raise QueryRefused(f"the lake is read-only: write one SELECT over the views, found {found}")


def _view(
    connection: duckdb.DuckDBPyConnection, files: "_LakeFiles", folder: str, sql: str, directory: Path
) -> list[str]:
    """Makes a folder's view and returns the paths that it reads; one that the SQL doesn't name has no rows."""
    # A file without rows gives a view its columns: those of the present schema, where no file or only older ones are.
    paths = [_without_rows(folder, directory)]
    if re.search("fraud_confirmation|fraud_case" if folder == names.FRAUD_CASES else folder, sql, re.IGNORECASE):
        for day in list_days(files.store, folder):
            paths += _paths_of_day(files, folder, day, directory)
    connection.read_parquet(paths, union_by_name=True, hive_partitioning=True).create_view(folder)
    return paths


def _paths_of_day(files: "_LakeFiles", folder: str, day: date, directory: Path) -> list[str]:
    path = directory / names.day_prefix(folder, day) / "json.parquet"
    path.parent.mkdir(parents=True)
    for _ in range(_TRIES):
        # 1. list, then the manifest
        listing = list_day(files.store, folder, day)
        # 2. copy the JSON
        if _copied(files.store, folder, listing.json, path):
            # 3. the manifest's files stay where they are
            compacted = [files.add(file) for file in listing.manifest.files]
            return [*compacted, str(path)] if listing.json else compacted
    raise LakeUnavailable(
        f"objects of {folder}/ of {day} vanished {_TRIES} times while they were read; try again later"
    )


def _copied(store: ObjectStore, folder: str, infos: list[ObjectInfo], path: Path) -> bool:
    """Copies the rows of objects with JSON lines to one file; False: one of them is gone."""
    with pq.ParquetWriter(path, rows_schema(folder), compression="none", use_dictionary=False) as writer:
        for rows in in_order(lambda info: read_lines(store, folder, info), infos, _WORKERS):
            if rows is None:
                return False
            writer.write_table(rows)
    return True


def _without_rows(folder: str, directory: Path) -> str:
    path = directory / names.day_prefix(folder, date(1970, 1, 1)) / "no-rows.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(rows_schema(folder).empty_table(), path)
    return str(path)


class _LakeFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """The Parquet files that were added, for DuckDB to read parts of: ``lake://<object name>``."""

    protocol = "lake"
    cachable = False

    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self.store = store
        self._files: dict[str, ObjectInfo] = {}

    def add(self, file: ParquetFile) -> str:
        """Makes a file of a manifest readable and returns its path."""
        self._files[file.name] = ObjectInfo.named(file.name, file.generation, file.size)
        return f"{self.protocol}://{file.name}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        found = self._found(path)
        return {"name": found.name, "size": found.size, "type": "file"}

    def modified(self, path: str) -> datetime:
        """The same for ever: files are read by their generation."""
        return datetime.fromtimestamp(self._found(path).generation % 1_000_000_000, UTC)

    def glob(self, path: str, **_: Any) -> list[str]:
        """The path itself: names are given, not looked for."""
        return [path]

    def _open(self, path: str, mode: str = "rb", **_: Any) -> "_LakeFile":
        found = self._found(path)
        return _LakeFile(self, found.name, mode, cache_type="none", size=found.size)

    def read(self, path: str, start: int, end: int) -> bytes:
        """Bytes [`start`, `end`) of a file."""
        part = self.store.download(self._found(path), start, end)
        if part is None:
            raise LakeError(f"file {path} is in the manifest but gone: restore it")
        return part

    def _found(self, path: str) -> ObjectInfo:
        return self._files[self._strip_protocol(path)]


class _LakeFile(AbstractBufferedFile):  # type: ignore[misc]
    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.read(self.path, start, end))
