"""Parquet files of a folder's rows, on local disk: sorted over all files, closed at a target size, read back."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import ProofFailed
from fraudstream.lake.checksum import add, checksum
from fraudstream.lake.reading import in_order
from fraudstream.lake.schemas import BLOOM_FILTERS, DICTIONARY_COLUMNS, SCHEMA_VERSION, SORT_ORDER, rows_schema
from fraudstream.lake.sorting import sorted_lanes

ROW_GROUP_ROWS = 128_000
ZSTD_LEVEL = 1
#: So that the numbers of files rise with their rows, whichever lane is ahead.
_FILES_OF_A_LANE = 10_000

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that was written and read back."""

    path: Path
    rows: int
    checksum: int


def write_files(
    folder: str,
    tables: Iterable[pa.Table],
    directory: Path,
    target_bytes: int,
    done: Callable[[int, LocalFile], Done],
) -> list[Done]:
    """Writes all rows in order to files of about `target_bytes`, and returns what `done` made of each.

    Where there are enough rows, two files are written at a time, by a thread each. Needs memory for about a million
    rows, however many there are. The same rows give the same files.

    :param done: gets the number of each file, which rises with its rows, and the file once it is read back; called in
        these threads; the file is deleted after it
    :raises ProofFailed: a file doesn't read back as so many rows as were written to it
    """
    lanes = sorted_lanes(tables, SORT_ORDER[folder], directory)

    def write_lane(lane: int) -> list[Done]:
        results: list[Done] = []
        for file in _files(folder, lanes[lane], directory, f"lane-{lane}", target_bytes):
            results.append(done(lane * _FILES_OF_A_LANE + len(results), file))
            file.path.unlink()
        return results

    return [one for results in in_order(write_lane, range(len(lanes)), max(1, len(lanes))) for one in results]


def _files(
    folder: str, pieces: Iterator[pl.DataFrame], directory: Path, name: str, target_bytes: int
) -> Iterator[LocalFile]:
    writer: pq.ParquetWriter | None = None
    number = rows = 0
    path = directory
    for piece in pieces:
        if writer is None:
            path, rows = directory / f"{name}-{number:05d}.parquet", 0
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
    """Checksum of all rows of a file, a row group at a time.

    :param open_file: gives a reader of the file
    """
    with open_file() as opened:
        groups = range(opened.num_row_groups)
        return add(*(checksum(opened.read_row_group(number, use_threads=False)) for number in groups))


def file_schema(folder: str) -> pa.Schema:
    """Columns of a folder's files, and what their metadata say."""
    return rows_schema(folder).with_metadata({"fraudstream.schema": SCHEMA_VERSION, "fraudstream.folder": folder})


def _arrow(folder: str, rows: pl.DataFrame) -> pa.Table:
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(rows_schema(folder))


def _writer(folder: str, path: Path) -> pq.ParquetWriter:
    schema = file_schema(folder)
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
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
