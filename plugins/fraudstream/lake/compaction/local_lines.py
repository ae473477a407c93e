"""Copies JSON objects to files on local disk, and makes these files a view for DuckDB."""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from fraudstream.errors import LakeError
from fraudstream.lake.compaction.work import Vanished
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore, unpacked
from fraudstream.lake.table.schemas import json_schema

_DOWNLOADS = 4
#: Number of files that the lines of the objects are written to.
_FILES = 16
#: Bytes of local disk for each gzipped byte of a day, if the lines are unpacked. The lines have seven times the size,
#: sorting them needs the same once more, then come the Parquet files. The result is doubled to leave room for other
#: users of the disk.
_ROOM = 32
#: The minimum, if the lines are not unpacked: a copy of each gzipped object, and the Parquet files.
_LEAST_ROOM = 2
_TYPES = {
    "string": "VARCHAR",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "double": "DOUBLE",
    "decimal128(18, 2)": "DECIMAL(18,2)",
    "timestamp[ms, tz=UTC]": "TIMESTAMPTZ",
}


def download(store: ObjectStore, infos: Sequence[ObjectInfo], directory: Path) -> None:
    """Copies objects to files in a new directory.

    If the disk has enough room, the objects are unpacked and the lines of many objects written to each file. Otherwise
    the gzipped objects are copied as they are. DuckDB needs more than twice as long as ISA-L to unpack gzip, and some
    time for each file.

    :raises Vanished: an object is gone
    :raises LakeError: an object is not a whole gzip file, or the disk has no room for the objects
    """
    directory.mkdir()
    free, packed = shutil.disk_usage(directory).free, sum(info.size for info in infos)
    if free < _LEAST_ROOM * packed:
        raise LakeError(
            f"{directory.parent.parent} has {free >> 20:,} MiB free. The {len(infos):,} JSON objects of a day have"
            f" {packed >> 20:,} MiB, and compaction needs at least {_LEAST_ROOM} times as much for their copies and the"
            " Parquet files: free some, or set TMPDIR to a folder on a larger disk"
        )
    room = free > _ROOM * packed

    def content(info: ObjectInfo) -> bytes:
        data = store.download(info)
        if data is None:
            raise Vanished(info.name)
        return data

    def copy_packed(info: ObjectInfo) -> None:
        (directory / info.name.replace("/", "~")).write_bytes(content(info))

    def copy_lines(number: int) -> None:
        with (directory / f"{number}.json").open("wb") as file:
            for info in infos[number::_FILES]:
                lines = unpacked(info.name, content(info))
                file.write(lines if lines.endswith(b"\n") else lines + b"\n")

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        for _ in pool.map(copy_lines, range(min(_FILES, len(infos)))) if room else pool.map(copy_packed, infos):
            pass


def view_of_lines(db: duckdb.DuckDBPyConnection, folder: str, pattern: str, *, exact: bool) -> None:
    """Creates the view ``lines`` of files with a folder's JSON lines.

    :param pattern: of the paths of the files
    :param exact: reads amounts as text, so that all are exact; otherwise only amounts of at most 15 digits are exact
    """
    schema = json_schema(folder)
    if exact:
        amounts = "|".join(sorted({field.name for field in _leaves(schema) if pa.types.is_decimal(field.type)}))
        text = rf"""regexp_replace("json"::VARCHAR, '"({amounts})":(-?[0-9.]+)', '"\1":"\2"', 'g')"""
        columns = ", ".join(f'r."{field.name}" AS "{field.name}"' for field in schema)
        source = (
            f"SELECT {columns} FROM (SELECT from_json({text}, '{json.dumps(_structure(schema))}') AS r"
            f" FROM read_json_objects('{pattern}', format = 'newline_delimited'))"
        )
    else:
        columns = ", ".join(f"'{field.name}': '{_sql_type(field.type)}'" for field in schema)
        source = f"FROM read_json('{pattern}', format = 'newline_delimited', columns = {{{columns}}})"
    db.execute(f"CREATE OR REPLACE VIEW lines AS {source}")


def _leaves(fields: Iterable[pa.Field]) -> Iterator[pa.Field]:
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from field.type
        else:
            yield field


def _structure(fields: Iterable[pa.Field]) -> dict[str, Any]:
    """Returns the structure of the JSON in the form that DuckDB's from_json expects."""
    return {
        field.name: _structure(field.type) if pa.types.is_struct(field.type) else _sql_type(field.type)
        for field in fields
    }


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        fields = ", ".join(f'"{field.name}" {_sql_type(field.type)}' for field in kind)
        return f"STRUCT({fields})"
    return _TYPES[str(kind)]
