"""A day's JSON objects become a few Parquet files, and no reader ever sees a row twice or misses one.

The steps, numbered as in the code. A run that is killed after any of them leaves a lake that reads the same, and
the next run ends in the same state; so do two runs at once.

1. list the day's objects, then read its manifest: what the manifest doesn't cover is new
2. check that the new objects' offsets follow each other with no gap and no overlap
3. write their rows to Parquet files, and prove each by reading it back
4. prove the whole: rows and checksum of both sides agree, and each object has the rows it says
5. swap the manifest by compare-and-set; if another run was faster, start over
6. delete the files of killed runs, and the JSON that has been compacted for long enough

Why 6 can't delete what another run is about to use: a Parquet file is a stray only if it was listed before the
manifest was read. The run that wrote it started from that manifest or an older one, so it loses the compare-and-set
against this run; and if this run had nothing to compact, then there is no other at work, since its sources would
have been new here too. File names are made of their sources, which later runs don't meet again.
"""

import hashlib
import logging
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from fraudstream.errors import LakeError, LakeUnavailable, ProofFailed
from fraudstream.lake import manifest, names
from fraudstream.lake.chain import Link
from fraudstream.lake.checksum import add, checksum
from fraudstream.lake.continuity import joined_ranges, require_rows
from fraudstream.lake.manifest import Compaction, ParquetFile
from fraudstream.lake.objects import PARQUET, ObjectInfo, ObjectStore
from fraudstream.lake.parquet import LocalFile, write_files
from fraudstream.lake.reading import DayListing, in_order, lines_of, list_day
from fraudstream.lake.schemas import SCHEMA_VERSION, regular_rows_of, rows_of_lines

log = logging.getLogger(__name__)

TARGET_BYTES = 256 << 20
_TRIES = 5
_WORKERS = 2
#: Rows that are read at once, and how many such groups each reader may be ahead while others are sorted and written.
_GROUP_ROWS = 8_000
_GROUPS_AHEAD = 12


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What a run did to one day of one folder."""

    folder: str
    day: date
    json_objects: int
    json_rows: int
    json_bytes: int
    parquet_files: int
    parquet_rows: int
    parquet_bytes: int
    deleted_objects: int
    seconds: float


class _Vanished(Exception):
    """A source is gone: another run compacted the day meanwhile."""


@dataclass
class _Sides:
    """What was read, to be compared with what was written."""

    rows: int = 0
    checksum: int = 0


def compact(
    store: ObjectStore,
    folder: str,
    day: date,
    *,
    keep_json: timedelta = timedelta(0),
    target_bytes: int = TARGET_BYTES,
    now: datetime | None = None,
) -> CompactionReport:
    """Compacts what of a day isn't compacted yet; see the module for the steps.

    :param keep_json: how long JSON stays after it was compacted
    :param target_bytes: about the size of a Parquet file
    :raises ProofFailed: offsets, rows or checksums don't agree; nothing has changed
    :raises LakeUnavailable: other runs were faster each time
    """
    started = time.monotonic()
    now = now or datetime.now(UTC)
    for _ in range(_TRIES):
        # 1. list, then the manifest
        listing = list_day(store, folder, day)
        current, files, rows = listing.manifest, [], 0
        if listing.json:
            try:
                compaction = _new_files(store, folder, day, listing, target_bytes, now)
            except _Vanished as error:
                log.info("%s was compacted by another run, starting over", error)
                continue
            # 5. swap
            swapped = manifest.save(store, current.with_compaction(compaction))
            if swapped is None:
                log.info("another run compacted %s of %s meanwhile, starting over", folder, day)
                continue
            current, files, rows = swapped, list(compaction.files), compaction.rows
        # 6. delete
        deleted = _delete(store, listing, current, now - keep_json)
        return CompactionReport(
            folder,
            day,
            len(listing.json),
            rows,
            sum(info.size for info in listing.json),
            len(files),
            sum(file.rows for file in files),
            sum(file.size for file in files),
            deleted,
            time.monotonic() - started,
        )
    raise LakeUnavailable(
        f"{folder} of {day}: other runs compacted the day {_TRIES} times meanwhile; run fewer at once"
    )


def _new_files(
    store: ObjectStore, folder: str, day: date, listing: DayListing, target_bytes: int, now: datetime
) -> Compaction:
    # 2. offsets
    links = {info.name: Link.of(info) for info in listing.json}
    ranges = joined_ranges(store, folder, day, listing.manifest, list(links.values()))
    run = _run_id(listing.json, target_bytes)
    read = _Sides()
    files: list[ParquetFile] = []
    # 3. write and read back
    with tempfile.TemporaryDirectory(prefix="fraudstream-compaction-") as directory:
        tables = _sources(store, folder, listing.json, links, read)
        for local in write_files(folder, tables, Path(directory), target_bytes):
            files.append(_upload(store, names.parquet_name(folder, day, run, len(files)), local))
            local.path.unlink()
            log.info("%s of %s: %d rows read, %d files written", folder, day, read.rows, len(files))
    # 4. the whole
    written = _Sides(sum(file.rows for file in files), add(*(file.checksum for file in files)))
    if written != read:
        raise ProofFailed(
            f"{folder} of {day}: the JSON has {read.rows} rows with checksum {read.checksum:016x}, the Parquet files"
            f" {written.rows} with {written.checksum:016x}; the manifest was not changed"
        )
    return Compaction(now, read.rows, read.checksum, ranges, tuple(files))


def _run_id(sources: list[ObjectInfo], target_bytes: int) -> str:
    """Identifies the files that come of these sources, made by this version with this target size."""
    parts = [f"{info.name} {info.generation}" for info in sources]
    parts += [SCHEMA_VERSION, pa.__version__, str(target_bytes)]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=10).hexdigest()


def _sources(
    store: ObjectStore, folder: str, infos: list[ObjectInfo], links: dict[str, Link], read: _Sides
) -> Iterator[pa.Table]:
    def rows_of(group: list[ObjectInfo]) -> tuple[pa.Table, int]:
        rows = _read(store, folder, group, links)
        return rows, checksum(rows)

    for rows, of_rows in in_order(rows_of, _groups(infos, links), _WORKERS, _GROUPS_AHEAD):
        read.rows += len(rows)
        read.checksum = add(read.checksum, of_rows)
        yield rows


def _groups(infos: list[ObjectInfo], links: dict[str, Link]) -> Iterator[list[ObjectInfo]]:
    """Consecutive objects, so many that what a call costs doesn't count."""
    group: list[ObjectInfo] = []
    for info in infos:
        group.append(info)
        if sum(links[member.name].rows for member in group) >= _GROUP_ROWS:
            yield group
            group = []
    if group:
        yield group


def _read(store: ObjectStore, folder: str, group: list[ObjectInfo], links: dict[str, Link]) -> pa.Table:
    """Rows of some objects, each proven to hold what it says."""
    bodies = []
    for info in group:
        body = lines_of(store, info)
        if body is None:
            raise _Vanished(info.name)
        bodies.append(body)
    together = regular_rows_of(folder, b"".join(bodies))
    if together is None:
        tables = [rows_of_lines(folder, info.name, body) for info, body in zip(group, bodies, strict=True)]
        together = pa.concat_tables(tables)
    else:
        counts = [int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord("\n"))) for body in bodies]
        ends = np.cumsum(counts).tolist()
        tables = [together.slice(end - count, count) for end, count in zip(ends, counts, strict=True)]
    for info, rows in zip(group, tables, strict=True):
        require_rows(info.name, links[info.name], rows)
    return together


def _upload(store: ObjectStore, name: str, local: LocalFile) -> ParquetFile:
    proof = {"rows": str(local.rows), "checksum": f"{local.checksum:016x}"}
    created = store.create(name, local.path, content_type=PARQUET, metadata=proof)
    if not created.ours and any(created.info.metadata.get(key) != value for key, value in proof.items()):
        raise LakeError(
            f"file {name} is there already with {dict(created.info.metadata)}, this run made {proof} of the same"
            " sources: delete the file, which no manifest names, and run again"
        )
    return ParquetFile(name, created.info.generation, created.info.size, local.rows, local.checksum)


def _delete(store: ObjectStore, listing: DayListing, current: manifest.Manifest, compacted_before: datetime) -> int:
    kept = {file.name for file in current.files}
    doomed = [info for info in listing.strays if info.name not in kept]
    for info in [*listing.covered, *listing.json]:
        compaction = current.covering(info)
        if compaction is not None and compaction.at <= compacted_before:
            doomed.append(info)
    return sum(in_order(lambda info: store.delete(info.name, info.generation), doomed, 4 * _WORKERS))
