"""Reading a day's rows, each once, while readers of topics add objects and compactions replace them."""

import io
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from isal import igzip

from fraudstream.errors import LakeError, LakeUnavailable
from fraudstream.lake.compaction import manifest
from fraudstream.lake.compaction.manifest import Manifest, OffsetRange, ParquetFile
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream import names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.table.schemas import rows_of_lines, rows_schema

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

_TRIES = 20
_WORKERS = 4
_AHEAD = 2
_PLACE = ("topic", "partition", "offset")


def list_days(store: ObjectStore, folder: str) -> list[date]:
    """The days that a folder has rows of, oldest first."""
    listed = [info.name for prefix in (f"{folder}/", names.manifest_prefix(folder)) for info in store.list(prefix)]
    with_lines = {named.day for name in listed if (named := names.parse_object_name(name))}
    compacted = {manifest_of[1] for name in listed if (manifest_of := names.parse_manifest_name(name))}
    return sorted(with_lines | compacted)


@dataclass(frozen=True, slots=True)
class DayListing:
    """What lies in a day's folder, and the manifest as it was after the folder was listed.

    In this order nothing slips through: an object that a compaction replaced between the two steps is in both, and
    the manifest says that it doesn't count; one that was added after the listing is news.
    """

    manifest: Manifest
    #: Objects with JSON lines that aren't compacted: with the manifest's files, all rows, each once.
    json: list[ObjectInfo]
    #: Objects with JSON lines that the manifest's files cover, or that a zombie wrote.
    covered: list[ObjectInfo]
    #: Parquet files that the manifest doesn't know: of a run that was killed, or is at work.
    strays: list[ObjectInfo]


def list_day(store: ObjectStore, folder: str, day: date) -> DayListing:
    """The objects of a day, sorted by what they count for."""
    listed = store.list(names.day_prefix(folder, day))
    current = manifest.load(store, folder, day)
    lines = [info for info in listed if names.parse_object_name(info.name)]
    counted = {file.name for file in current.files}
    return DayListing(
        current,
        [info for info in lines if current.covering(info) is None],
        [info for info in lines if current.covering(info) is not None],
        [info for info in listed if info.name.endswith(".parquet") and info.name not in counted],
    )


def read_day(store: ObjectStore, folder: str, day: date, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """A day's rows, each once, in tables of bounded size with the folder's columns (or some that aren't nested).

    When an object is gone by the time it is read, a compaction replaced it: the day is listed again, and of the new
    files come the rows that haven't come yet.

    :raises LakeUnavailable: objects went on vanishing
    """
    wanted = list(columns or rows_schema(folder).names)
    read = list({*wanted, *_PLACE})
    read_files: set[str] = set()
    passed: list[OffsetRange] = []
    for _ in range(_TRIES):
        listing = list_day(store, folder, day)
        vanished = None
        for file in listing.manifest.files:
            if file.name not in read_files:
                for table in _parquet_rows(store, folder, file, read):
                    yield _without(table, passed).select(wanted)
                read_files.add(file.name)
        links = [(info, Link.of(info)) for info in listing.json]
        left = [(i, link) for i, link in links if not any(_holds(r, link) for r in passed)]
        contents = in_order(lambda pair: read_lines(store, folder, pair[0], columns), left, _WORKERS)
        for (info, link), rows in zip(left, contents, strict=True):
            if rows is None:
                vanished = info.name
                break
            yield rows.select(wanted)
            passed.append(OffsetRange(link.partition, link.start, link.end))
        if vanished is None:
            return
        log.info("%s was compacted while %s of %s was read; listing the day again", vanished, folder, day)
    raise LakeUnavailable(
        f"objects of {folder}/ of {day} vanished {_TRIES} times while they were read; try again later"
    )


def read_lines(
    store: ObjectStore, folder: str, info: ObjectInfo, columns: Sequence[str] | None = None
) -> pa.Table | None:
    """Rows of an object with JSON lines, all columns or some; None: it is gone."""
    lines = lines_of(store, info)
    return None if lines is None else rows_of_lines(folder, info.name, lines, columns)


def lines_of(store: ObjectStore, info: ObjectInfo) -> bytes | None:
    """The JSON lines of an object; None: it is gone."""
    data = store.download(info)
    return None if data is None else unpacked(info.name, data)


def unpacked(name: str, data: bytes) -> bytes:
    """The lines that an object holds gzipped."""
    try:
        return bytes(igzip.decompress(data))
    except (igzip.BadGzipFile, EOFError, OSError) as error:
        raise LakeError(f"object {name} is no whole gzip file ({error}): restore it, or replay its topic") from error


def in_order(work: Callable[[T], R], items: Iterable[T], workers: int, ahead_of_caller: int = _AHEAD) -> Iterator[R]:
    """``map`` with some threads, which run ahead of the caller by a few items each and no more."""
    with ThreadPoolExecutor(workers) as pool:
        ahead: list[Future[R]] = []
        try:
            for item in items:
                ahead.append(pool.submit(work, item))
                if len(ahead) > ahead_of_caller * workers:
                    yield ahead.pop(0).result()
            while ahead:
                yield ahead.pop(0).result()
        finally:
            for future in ahead:
                future.cancel()


def _parquet_rows(store: ObjectStore, folder: str, file: ParquetFile, columns: list[str]) -> Iterator[pa.Table]:
    data = store.download(ObjectInfo.named(file.name, file.generation, file.size))
    if data is None:
        raise LakeError(
            f"file {file.name} (generation {file.generation}) is in the manifest but gone: restore it, or delete the"
            " manifest and replay the day's offsets"
        )
    schema = rows_schema(folder)
    opened = pq.ParquetFile(io.BytesIO(data))
    there = [name for name in columns if name in opened.schema_arrow.names]
    for group in range(opened.num_row_groups):
        rows = opened.read_row_group(group, there)
        missing = [name for name in columns if name not in there]  # added to the schema since
        for name in missing:
            rows = rows.append_column(schema.field(name), pa.nulls(len(rows), schema.field(name).type))
        yield rows.select(columns).cast(pa.schema([schema.field(name) for name in columns]))


def _holds(passed: OffsetRange, link: Link) -> bool:
    return passed.partition == link.partition and passed.start <= link.first < passed.end


def _without(rows: pa.Table, passed: list[OffsetRange]) -> pa.Table:
    """The rows whose offsets lie in none of the ranges."""
    if not passed:
        return rows
    offsets = rows["offset"].to_numpy()
    partitions = rows["partition"].to_numpy()
    fresh = np.ones(len(rows), bool)
    for range_ in passed:
        topic = pc.equal(rows["topic"], range_.partition.topic).to_numpy()
        inside = (range_.start <= offsets) & (offsets < range_.end)
        fresh &= ~(topic & (partitions == range_.partition.number) & inside)
    return rows.filter(pa.array(fresh))
