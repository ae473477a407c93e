"""Parquet files of a folder's rows, on local disk: sorted over all files, closed at a target size, read back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from fraudstream.errors import ProofFailed
from fraudstream.lake.compaction.checksum import add
from fraudstream.lake.compaction.compiled import checksum_for
from fraudstream.lake.compaction.sorting import sorted_lanes
from fraudstream.lake.query.reading import in_order
from fraudstream.lake.table.schemas import (
    BLOOM_FILTERS,
    CODED_COLUMNS,
    DICTIONARY_COLUMNS,
    SCHEMA_VERSION,
    SORT_ORDER,
    coded_schema,
    rows_schema,
)

ROW_GROUP_ROWS = 128_000
ZSTD_LEVEL = 1
#: How often a bloom filter lets a row group pass in vain. Sizes are powers of two: for a row group of different values
#: this takes 128 KiB, and 0.01 would take 256.
_IN_VAIN = 0.025
#: So that the numbers of files rise with their rows, whichever lane is ahead.
_FILES_OF_A_LANE = 10_000

Stored = TypeVar("Stored")


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file that was written and read back."""

    rows: int
    checksum: int


def write_files(
    folder: str,
    tables: Iterable[pa.Table],
    directory: Path,
    target_bytes: int,
    store: Callable[[int, Path], Stored],
) -> list[tuple[LocalFile, Stored]]:
    """Writes all rows in order to files of about `target_bytes`, and returns each with what `store` made of it.

    Where there are enough rows, two files are written at a time, by a thread each. Needs memory for about a million
    rows, however many there are. The same rows give the same files.

    :param tables: of :func:`~fraudstream.lake.table.schemas.coded_schema`
    :param store: gets the number of each file, which rises with its rows, and its path; called in a thread, while the
        file is read back; then the file is deleted
    :raises ProofFailed: a file doesn't read back as so many rows as were written to it
    """
    lanes = sorted_lanes(tables, SORT_ORDER[folder], directory)
    coded = [name for name in CODED_COLUMNS if name in rows_schema(folder).names]

    def write_lane(lane: int) -> list[tuple[LocalFile, Stored]]:
        results: list[tuple[LocalFile, Stored]] = []
        with ThreadPoolExecutor(1) as pool:
            for path in _files(folder, lanes[lane], directory, f"lane-{lane}", target_bytes):
                stored = pool.submit(store, lane * _FILES_OF_A_LANE + len(results), path)
                results.append((read_back(path, coded), stored.result()))
                path.unlink()
        return results

    return [one for results in in_order(write_lane, range(len(lanes)), max(1, len(lanes))) for one in results]


def _files(folder: str, pieces: Iterator[pa.Table], directory: Path, name: str, target_bytes: int) -> Iterator[Path]:
    """Closed files, each with as many rows as were written to it."""
    writer: pq.ParquetWriter | None = None
    number = rows = 0
    path = directory
    for piece in pieces:
        if writer is None:
            path, rows = directory / f"{name}-{number:05d}.parquet", 0
            writer = _writer(folder, path)
        writer.write_table(piece, row_group_size=ROW_GROUP_ROWS)
        rows += len(piece)
        if path.stat().st_size >= target_bytes:
            _close(writer, path, rows)
            yield path
            writer, number = None, number + 1
    if writer is not None:
        _close(writer, path, rows)
        yield path


def read_back(source: Path | pa.NativeFile, coded: Sequence[str] = ()) -> LocalFile:
    """Rows and checksum of a whole file, a row group at a time.

    :param coded: columns that are read as dictionaries, which is faster
    """
    with pq.ParquetFile(source, read_dictionary=list(coded)) as opened:
        rows = opened.metadata.num_rows
        checksum = checksum_for(rows)
        groups = (opened.read_row_group(number, use_threads=False) for number in range(opened.num_row_groups))
        return LocalFile(rows, add(*map(checksum, groups)))


def file_schema(folder: str) -> pa.Schema:
    """Columns of a folder's files, and what their metadata say."""
    return rows_schema(folder).with_metadata(file_metadata(folder))


def file_metadata(folder: str) -> dict[str, str]:
    """What a file says of its rows."""
    return {"fraudstream.schema": SCHEMA_VERSION, "fraudstream.folder": folder}


def _writer(folder: str, path: Path) -> pq.ParquetWriter:
    schema = coded_schema(folder)
    writer = pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=[name for name in DICTIONARY_COLUMNS if name in schema.names],
        store_decimal_as_integer=True,
        store_schema=False,  # that some texts were dictionaries here is no reader's business
        write_page_index=True,
        bloom_filter_options={name: {"ndv": ROW_GROUP_ROWS, "fpp": _IN_VAIN} for name in BLOOM_FILTERS[folder]},
    )
    writer.add_key_value_metadata(file_metadata(folder))
    return writer


def _close(writer: pq.ParquetWriter, path: Path, rows: int) -> None:
    writer.close()
    with pq.ParquetFile(path) as opened:
        found = opened.metadata.num_rows
    if found != rows:
        raise ProofFailed(
            f"a Parquet file reads back as {found} rows, written were {rows}: nothing was changed in the lake; look"
            " for a faulty disk, then run it again"
        )
