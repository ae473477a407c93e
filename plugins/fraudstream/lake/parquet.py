"""Parquet files of a folder's rows, on local disk: written in sorted pieces, closed at a target size, read back."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import ProofFailed
from fraudstream.lake.checksum import add, checksum
from fraudstream.lake.schemas import BLOOM_FILTERS, DICTIONARY_COLUMNS, SCHEMA_VERSION, SORT_ORDER, rows_schema

#: Rows that are sorted at once: what bounds the memory, and how often a file's order starts anew.
PIECE_ROWS = 500_000
_ROW_GROUP_ROWS = 128_000


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that was written and read back."""

    path: Path
    rows: int
    checksum: int


def write_files(folder: str, tables: Iterable[pa.Table], directory: Path, target_bytes: int) -> Iterator[LocalFile]:
    """Writes all rows to files of about `target_bytes` and yields each file once it is read back.

    Needs memory for a few pieces, however many rows there are. The same tables give the same files.

    :raises ProofFailed: a file doesn't read back as what was written to it
    """
    writer: pq.ParquetWriter | None = None
    number = rows = total = 0
    path = directory
    for piece in _pieces(tables):
        if writer is None:
            path = directory / f"{number:05d}.parquet"
            writer, rows, total = _writer(folder, path), 0, 0
        writer.write_table(_sorted(folder, piece), row_group_size=_ROW_GROUP_ROWS)
        rows, total = rows + len(piece), add(total, checksum(piece))
        if path.stat().st_size >= target_bytes:
            writer.close()
            yield _read_back(LocalFile(path, rows, total))
            writer, number = None, number + 1
    if writer is not None:
        writer.close()
        yield _read_back(LocalFile(path, rows, total))


def checksum_of(file: pq.ParquetFile) -> int:
    """Checksum of all rows of a file, a row group at a time."""
    return add(*(checksum(file.read_row_group(group)) for group in range(file.num_row_groups)))


def _pieces(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= PIECE_ROWS:
            yield pa.concat_tables(waiting)
            waiting, rows = [], 0
    if rows:
        yield pa.concat_tables(waiting)


def _sorted(folder: str, rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in SORT_ORDER[folder]])


def _writer(folder: str, path: Path) -> pq.ParquetWriter:
    schema = rows_schema(folder)
    return pq.ParquetWriter(
        path,
        schema.with_metadata({"fraudstream.schema": SCHEMA_VERSION, "fraudstream.folder": folder}),
        compression="zstd",
        use_dictionary=[name for name in DICTIONARY_COLUMNS if name in schema.names],
        store_decimal_as_integer=True,
        write_page_index=True,
        bloom_filter_options={name: {"ndv": _ROW_GROUP_ROWS, "fpp": 0.01} for name in BLOOM_FILTERS[folder]},
    )


def _read_back(file: LocalFile) -> LocalFile:
    with pq.ParquetFile(file.path) as opened:
        rows, found = opened.metadata.num_rows, checksum_of(opened)
    if (rows, found) != (file.rows, file.checksum):
        raise ProofFailed(
            f"a Parquet file reads back as {rows} rows with checksum {found:016x}; written were {file.rows} rows with"
            f" {file.checksum:016x}: nothing was changed in the lake; look for a faulty disk, then run it again"
        )
    return file
