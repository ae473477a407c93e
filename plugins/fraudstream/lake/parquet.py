"""Parquet files of a folder's rows, on local disk: sorted over all files, closed at a target size, read back."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import ProofFailed
from fraudstream.lake.checksum import add, checksum
from fraudstream.lake.reading import in_order
from fraudstream.lake.schemas import BLOOM_FILTERS, DICTIONARY_COLUMNS, SCHEMA_VERSION, SORT_ORDER, rows_schema
from fraudstream.lake.sorting import in_sorted_pieces

ROW_GROUP_ROWS = 128_000
_READERS = 2


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that was written and read back."""

    path: Path
    rows: int
    checksum: int


def write_files(folder: str, tables: Iterable[pa.Table], directory: Path, target_bytes: int) -> Iterator[LocalFile]:
    """Writes all rows in order to files of about `target_bytes` and yields each file once it is read back.

    Needs memory for about a million rows, however many there are. The same rows give the same files.

    :raises ProofFailed: a file doesn't read back as so many rows as were written to it
    """
    writer: pq.ParquetWriter | None = None
    number = rows = 0
    path = directory
    for piece in in_sorted_pieces(tables, SORT_ORDER[folder], directory):
        if writer is None:
            path, rows = directory / f"{number:05d}.parquet", 0
            writer = _writer(folder, path)
        for group in piece.iter_slices(ROW_GROUP_ROWS):
            writer.write_table(_arrow(folder, group), row_group_size=ROW_GROUP_ROWS)
        rows += piece.height
        if path.stat().st_size >= target_bytes:
            writer.close()
            yield _read_back(path, rows)
            writer, number = None, number + 1
    if writer is not None:
        writer.close()
        yield _read_back(path, rows)


def checksum_of(open_file: Callable[[], pq.ParquetFile]) -> int:
    """Checksum of all rows of a file, a row group at a time, in some threads.

    :param open_file: gives a reader of the file, for one thread
    """
    with open_file() as opened:
        groups = opened.num_row_groups

    def of_group(number: int) -> int:
        with open_file() as opened:
            return checksum(opened.read_row_group(number, use_threads=False))

    return add(*in_order(of_group, range(groups), _READERS))


def _arrow(folder: str, rows: pl.DataFrame) -> pa.Table:
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(rows_schema(folder))


def _writer(folder: str, path: Path) -> pq.ParquetWriter:
    schema = rows_schema(folder)
    return pq.ParquetWriter(
        path,
        schema.with_metadata({"fraudstream.schema": SCHEMA_VERSION, "fraudstream.folder": folder}),
        compression="zstd",
        use_dictionary=[name for name in DICTIONARY_COLUMNS if name in schema.names],
        store_decimal_as_integer=True,
        write_page_index=True,
        bloom_filter_options={name: {"ndv": ROW_GROUP_ROWS, "fpp": 0.01} for name in BLOOM_FILTERS[folder]},
    )


def _read_back(path: Path, rows: int) -> LocalFile:
    with pq.ParquetFile(path) as opened:
        found = opened.metadata.num_rows
    if found != rows:
        raise ProofFailed(
            f"a Parquet file reads back as {found} rows, written were {rows}: nothing was changed in the lake; look"
            " for a faulty disk, then run it again"
        )
    return LocalFile(path, rows, checksum_of(lambda: pq.ParquetFile(path)))
