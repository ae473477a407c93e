"""The engine for one machine: DuckDB reads the JSON lines, sorts them, and writes Parquet; what is too much, it spills.

DuckDB reads JSON numbers through doubles, which are exact for 15 digits. So where the files turn out to hold an amount
of ten trillion or more, or one that no double comes near enough to, they are made again from numbers read as text,
which takes twice as long.
"""

import logging
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
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
from fraudstream.lake.store.objects import ObjectInfo, unpacked
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table import publishing
from fraudstream.lake.table.catalog import BRANCH, translated
from fraudstream.lake.table.schemas import rows_of_lines, rows_schema

log = logging.getLogger(__name__)

MEMORY = "1GiB"
ZSTD_LEVEL = 1
#: What a look-up reads at least.
ROW_GROUP_ROWS = 122_880
#: Files of a table are copied in pieces of this size: from 2 MiB on, a write to the page cache took ten times as long.
_CHUNK = 1 << 20
#: Each piece is a request or more that the store has to answer before the next.
_SENT_AT_ONCE = 64 << 20
#: Decimals of at most 15 digits are the same after a way through doubles: below this, two of them after the point.
_EXACT_BELOW = 10**13


def connection(directory: Path) -> closing[duckdb.DuckDBPyConnection]:
    """DuckDB with bounded memory, which spills to a directory."""
    made = duckdb.connect(":memory:")
    made.execute("SET TimeZone = 'UTC'")
    made.execute(f"SET memory_limit = '{MEMORY}'")
    made.execute("SET temp_directory = $1", [str(directory / "spilled")])
    return closing(made)


@dataclass(frozen=True, slots=True)
class _Stored:
    """Files that are in the store, and the control totals of their rows."""

    addresses: list[str]
    totals: dict[Partition, Totals]


def stage(work: Work) -> Staged:
    """:data:`~fraudstream.lake.compaction.protocol.Engine` on this machine."""
    # 2. write and read back; 3. add to the branch
    return _staged(work, list(_write(work)), [])


def rewrite(work: Work, files: Mapping[date, Sequence[DataFile]]) -> Staged:
    """A snapshot on the branch in which the files of each day are rewritten as a few sorted files."""
    written = []
    for day, of_day in files.items():
        with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as name, connection(Path(name)) as db:
            copies = _copies(work.table, [file.file_path for file in of_day], Path(name))
            # The table's own columns: another version of the pipeline may have added one.
            columns = work.table.schema().as_arrow()
            _make_view(db, "rows", copies, columns, Path(name))
            names = ", ".join(f'"{field.name}"' for field in columns)
            statement = f"SELECT {names} FROM rows ORDER BY {statements.order_of(work.folder)}"
            made = _copied(db, work.table, statement, Path(name) / "sorted", work.target_bytes)
            written.append(_store(work, day, made, db.close))
    return _staged(work, written, [file for of_day in files.values() for file in of_day])


def _staged(work: Work, written: Sequence[_Stored], instead_of: Sequence[DataFile]) -> Staged:
    """Adds written files to the branch.

    :raises LakeError: the branch has other files
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
    """Control totals of files of a table, as they are in the store."""
    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as name:
        return _totals(folder, _copies(table, addresses, Path(name)), Path(name))


def _totals(folder: str, files: Sequence[str], directory: Path) -> dict[Partition, Totals]:
    """Control totals of files on local disk."""
    with connection(directory) as db:
        _make_view(db, "added", files, rows_schema(folder), directory)
        return statements.by_partition(db.sql(statements.totals(folder, "added")).to_arrow_table().to_pylist())


def _make_view(
    db: duckdb.DuckDBPyConnection, name: str, files: Sequence[str], columns: pa.Schema, directory: Path
) -> None:
    """Makes Parquet files a view with at least these columns; a file from before one was added has null in it."""
    none = directory / f"{name}-none.parquet"
    pq.write_table(columns.empty_table(), none)
    db.read_parquet([str(none), *files], union_by_name=True, hive_partitioning=False).create_view(name)


def _write(work: Work) -> Iterator[_Stored]:
    """Writes the rows of objects as sorted Parquet files into the table's location, a day after the other.

    :raises Vanished: another run was faster
    :raises LakeError: an object holds what isn't the folder's lines
    :raises ProofFailed: the store has other bytes than were written
    """
    by_day = sorted(work.sources, key=lambda one: (day_of(one), one.info.name))
    for day, of_day in groupby(by_day, key=day_of):
        with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as name, connection(Path(name)) as db:
            directory = Path(name)
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
    """Gives back memory and disk."""
    db.close()
    shutil.rmtree(lines)


def _store(work: Work, day: date, files: Sequence[Path], free: Callable[[], None]) -> _Stored:
    """Copies a day's files into the table's location, and reads them back; sums their rows meanwhile.

    :param free: gives back memory
    :raises ProofFailed: the store has other bytes than were written
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


def _require_same(table: Table, address: str, path: Path) -> None:
    """Reads a file back from the store.

    :raises ProofFailed: it is not what was written
    """
    with (
        translated("read a file of a table of"),
        table.io.new_input(address).open(seekable=False) as stored,
        path.open("rb") as written,
    ):
        while (found := stored.read(_CHUNK)) == written.read(_CHUNK):
            if not found:
                return
    raise ProofFailed(
        f"{address} has other bytes than the {path.stat().st_size:,} that were written; nothing was changed for"
        " readers; run again"
    )


def _copies(table: Table, addresses: Sequence[str], directory: Path) -> list[str]:
    """Copies of files of a table on local disk."""
    copies = []
    for number, address in enumerate(addresses):
        copies.append(str(directory / f"{number}.parquet"))
        with (
            translated("read a file of a table of"),
            table.io.new_input(address).open(seekable=False) as source,
            Path(copies[-1]).open("wb") as copy,
        ):
            while chunk := source.read(_CHUNK):
                copy.write(chunk)
    return copies


def _require_lines(work: Work, infos: Sequence[ObjectInfo]) -> None:
    """Names the object whose lines DuckDB couldn't read: what it read were files of many objects.

    :raises LakeError: this one isn't the folder's lines
    """
    for info in infos:
        if (data := work.store.download(info)) is not None:
            rows_of_lines(work.folder, info.name, unpacked(info.name, data))


def _sorted_files(
    db: duckdb.DuckDBPyConnection, folder: str, table: Table, pattern: str, directory: Path, target_bytes: int
) -> list[Path]:
    """The sorted files of a day."""
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
    except duckdb.Error as error:
        raise LakeError(
            f"objects of {folder}/ hold lines that don't fit the folder ({str(error).strip()}): they were written by"
            " another version of the pipeline or by something else; use the version that wrote them, or move them away"
        ) from error


def _copied(db: duckdb.DuckDBPyConnection, table: Table, statement: str, target: Path, target_bytes: int) -> list[Path]:
    """Parquet files with the result of a statement, in its order, and with the table's field ids."""
    columns = db.sql(statement).columns
    ids = ", ".join(f'"{field.name}": {field.field_id}' for field in table.schema().fields if field.name in columns)
    db.execute(
        f"COPY ({statement}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL {ZSTD_LEVEL},"
        f" FIELD_IDS {{{ids}}}, ROW_GROUP_SIZE {ROW_GROUP_ROWS}, FILE_SIZE_BYTES {target_bytes})"
    )
    return sorted(target.iterdir(), key=lambda path: int(path.stem.rpartition("_")[2]))


def _all_amounts_exact(files: list[Path]) -> bool:
    """Whether no amount in the files has more digits than a double holds."""
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
    """Copies a file to a new address in the table's location."""
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
