"""The engine for one machine: DuckDB reads the JSON lines, sorts them and writes Parquet files.

DuckDB's memory is limited; larger intermediate results are spilled to disk.

DuckDB converts JSON numbers to doubles, which are exact for 15 digits. If the written files have an amount of ten
trillion or more, or if DuckDB can't convert a double to the column's type, the files are written again from amounts
that are read as text. That takes twice as long.
"""

import logging
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from fraudstream.errors import LakeError, ProofFailed
from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction import statements
from fraudstream.lake.compaction.local_lines import download, view_of_lines
from fraudstream.lake.compaction.work import Staged, Work, day_of
from fraudstream.lake.compaction.workspace import NO_ROOM, connection, view_of_files, workspace
from fraudstream.lake.store.objects import ObjectInfo, unpacked
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table import publishing
from fraudstream.lake.table.catalog import BRANCH, translated
from fraudstream.lake.table.schemas import rows_of_lines, rows_schema

log = logging.getLogger(__name__)

ZSTD_LEVEL = 1
#: Rows of a row group. A look-up reads at least one row group.
ROW_GROUP_ROWS = 122_880
#: Size of the pieces in which table files are read from the store. With 2 MiB and more, a write to the page cache took
#: ten times as long.
_CHUNK = 1 << 20
#: Size of the pieces in which a file is uploaded. The next piece is sent after the store has answered the requests of
#: the one before.
_SENT_AT_ONCE = 64 << 20
#: Decimals of at most 15 digits are unchanged after a conversion to a double and back. An amount below this has at most
#: 13 digits before the point and two after it.
_EXACT_BELOW = 10**13


@dataclass(frozen=True, slots=True)
class _Stored:
    """Addresses of files that are in the store, and the control totals of their rows."""

    addresses: list[str]
    totals: dict[Partition, Totals]


def stage(work: Work) -> Staged:
    """The :data:`~fraudstream.lake.compaction.work.Engine` for this machine: steps 2 and 3 up to the comparison.

    :raises Vanished: an object is gone, because another run was faster
    :raises Overtaken: another run changed the table
    :raises LakeError: an object has lines that don't fit the folder
    :raises ProofFailed: the bytes of a file in the store differ from those that were written
    """
    # 2. write and read back; 3. add to the branch
    return _staged(work, list(_write(work)), [])


def rewrite(work: Work, files: Mapping[date, Sequence[DataFile]]) -> Staged:
    """Rewrites the files of each day as a few sorted files, and adds a snapshot with these to the branch.

    :raises Overtaken: another run changed the table
    :raises ProofFailed: the bytes of a file in the store differ from those that were written
    """
    written = []
    for day, of_day in files.items():
        with workspace() as (directory, db):
            copies = _copies(work.table, [file.file_path for file in of_day], directory)
            # The table's own columns: another version of the pipeline may have added one.
            columns = work.table.schema().as_arrow()
            view_of_files(db, "rows", copies, columns, directory)
            names = ", ".join(f'"{field.name}"' for field in columns)
            statement = f"SELECT {names} FROM rows ORDER BY {statements.order_of(work.folder)}"
            made = _copied(db, work.table, statement, directory / "sorted", work.target_bytes)
            written.append(_store(work, day, made, db.close))
    return _staged(work, written, [file for of_day in files.values() for file in of_day])


def _staged(work: Work, written: Sequence[_Stored], instead_of: Sequence[DataFile]) -> Staged:
    """Adds written files to the branch, and checks that the branch adds exactly these files.

    :raises LakeError: the branch adds other files
    """
    addresses = [address for one in written for address in one.addresses]
    snapshot = publishing.stage(work.table, work.base, addresses, work.properties, instead_of=instead_of)
    added = publishing.added_files(work.table, snapshot)
    if sorted(file.file_path for file in added) != sorted(addresses):
        raise LakeError(
            f"branch {BRANCH} of {work.folder}/ adds {len(added)} files, not the {len(addresses)} that were written:"
            " another program wrote to it; run again"
        )
    totals: dict[Partition, Totals] = {}
    for one in written:
        for partition, found in one.totals.items():
            totals[partition] = totals.get(partition, Totals()) + found
    return Staged(snapshot, totals, len(added), sum(file.file_size_in_bytes for file in added))


def totals_of(table: Table, folder: str, addresses: Sequence[str]) -> dict[Partition, Totals]:
    """Returns the control totals of the rows in files of a table, which are read from the store."""
    with workspace() as (directory, _):
        return _totals(folder, _copies(table, addresses, directory), directory)


def _totals(folder: str, files: Sequence[str], directory: Path) -> dict[Partition, Totals]:
    """Returns the control totals of the rows in files on local disk."""
    with connection(directory) as db:
        view_of_files(db, "added", files, rows_schema(folder), directory)
        return statements.by_partition(db.sql(statements.totals(folder, "added")).to_arrow_table().to_pylist())


def _write(work: Work) -> Iterator[_Stored]:
    """Writes the rows of the objects to sorted Parquet files in the table's location, one day after another.

    :raises Vanished: an object is gone, because another run was faster
    :raises LakeError: an object has lines that don't fit the folder
    :raises ProofFailed: the bytes of a file in the store differ from those that were written
    """
    by_day = sorted(work.sources, key=lambda one: (day_of(one), one.info.name))
    for day, of_day in groupby(by_day, key=day_of):
        with workspace() as (directory, db):
            infos = [one.info for one in of_day]
            lines = directory / "lines"
            download(work.store, infos, lines)
            try:
                files = _sorted_files(db, work.folder, work.table, f"{lines}/*", directory, work.target_bytes)
            except LakeError:
                _require_lines(work, infos)
                raise
            yield _store(work, day, files, partial(_free, db, lines))


def _free(db: duckdb.DuckDBPyConnection, lines: Path) -> None:
    """Frees DuckDB's memory and the disk space of the lines."""
    db.close()
    shutil.rmtree(lines)


def _store(work: Work, day: date, files: Sequence[Path], free: Callable[[], None]) -> _Stored:
    """Uploads a day's files to the table's location and reads them back. Another thread sums their rows meanwhile.

    :param free: frees the memory of the sort before the rows are summed
    :raises ProofFailed: the bytes of a file in the store differ from those that were written
    """

    def summed() -> dict[Partition, Totals]:
        free()
        return _totals(work.folder, [str(path) for path in files], files[0].parent)

    with ThreadPoolExecutor(1) as pool:
        totals = pool.submit(summed)
        addresses = [_uploaded(work.table, day, path) for path in files]
        for address, path in zip(addresses, files, strict=True):
            _require_same(work.table, address, path)
        return _Stored(addresses, totals.result())


def _chunks(table: Table, address: str) -> Iterator[bytes]:
    """Yields a file of a table in pieces."""
    with translated("read a file of a table of"), table.io.new_input(address).open(seekable=False) as stored:
        while chunk := stored.read(_CHUNK):
            yield chunk


def _require_same(table: Table, address: str, path: Path) -> None:
    """Reads a file back from the store and compares it with the local file, byte by byte.

    :raises ProofFailed: they differ
    """
    with path.open("rb") as written:
        if all(chunk == written.read(len(chunk)) for chunk in _chunks(table, address)) and not written.read(1):
            return
    raise ProofFailed(
        f"{address} has other bytes than the {path.stat().st_size:,} that were written; nothing was changed for"
        " readers; run again"
    )


def _copies(table: Table, addresses: Sequence[str], directory: Path) -> list[str]:
    """Copies files of a table to local disk, and returns the paths of the copies."""
    copies = []
    for number, address in enumerate(addresses):
        copies.append(str(directory / f"{number}.parquet"))
        with Path(copies[-1]).open("wb") as copy:
            copy.writelines(_chunks(table, address))
    return copies


def _require_lines(work: Work, infos: Sequence[ObjectInfo]) -> None:
    """Looks for the object with the lines that DuckDB couldn't read, which reads files with lines of many objects.

    :raises LakeError: this object has lines that don't fit the folder
    """
    for info in infos:
        if (data := work.store.download(info)) is not None:
            rows_of_lines(work.folder, info.name, unpacked(info.name, data))


def _sorted_files(
    db: duckdb.DuckDBPyConnection, folder: str, table: Table, pattern: str, directory: Path, target_bytes: int
) -> list[Path]:
    """Writes the sorted files of a day to local disk and returns their paths, in the order of the rows.

    :param pattern: of the files with the day's lines
    :raises LakeError: lines don't fit the folder
    """
    statement = statements.sorted_rows_of_lines(folder)
    try:
        view_of_lines(db, folder, pattern, exact=False)
        files = _copied(db, table, statement, directory / "fast", target_bytes)
        if _all_amounts_exact(files):
            return files
    except duckdb.InvalidInputException as error:
        log.info("%s/: reading amounts as text, since DuckDB says: %s", folder, error)
    try:
        view_of_lines(db, folder, pattern, exact=True)
        return _copied(db, table, statement, directory / "exact", target_bytes)
    except NO_ROOM:
        raise
    except duckdb.Error as error:
        raise LakeError(
            f"objects of {folder}/ hold lines that don't fit the folder ({str(error).strip()}): they were written by"
            " another version of the pipeline or by something else; use the version that wrote them, or move them away"
        ) from error


def _copied(db: duckdb.DuckDBPyConnection, table: Table, statement: str, target: Path, target_bytes: int) -> list[Path]:
    """Writes the result of a statement, in its order, to Parquet files with the table's field ids."""
    columns = db.sql(statement).columns
    ids = ", ".join(f'"{field.name}": {field.field_id}' for field in table.schema().fields if field.name in columns)
    db.execute(
        f"COPY ({statement}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL},"
        f" FIELD_IDS {{{ids}}}, ROW_GROUP_SIZE {ROW_GROUP_ROWS}, FILE_SIZE_BYTES {target_bytes})"
    )
    return sorted(target.iterdir(), key=lambda path: int(path.stem.rpartition("_")[2]))


def _all_amounts_exact(files: list[Path]) -> bool:
    """Whether all amounts in the files have so few digits that a double represented them exactly."""
    for path in files:
        metadata = pq.read_metadata(path)
        for group in range(metadata.num_row_groups):
            for number in range(metadata.num_columns):
                column = metadata.row_group(group).column(number)
                found = column.statistics
                if found is None or found.logical_type.type != "DECIMAL" or not found.has_min_max:
                    continue
                if max(abs(found.min), abs(found.max)) >= _EXACT_BELOW:
                    return False
    return True


def _uploaded(table: Table, day: date, path: Path) -> str:
    """Uploads a file to a new address in the table's location, and returns the address."""
    name = f"recordTimestamp_day={day.isoformat()}/{uuid.uuid4()}.parquet"
    address: str = table.location_provider().new_data_location(name)
    with (
        translated("write a file of a table of"),
        pa.memory_map(str(path)) as file,
        table.io.new_output(address).create() as out,
    ):
        while chunk := file.read_buffer(_SENT_AT_ONCE):
            out.write(chunk)
    return address
