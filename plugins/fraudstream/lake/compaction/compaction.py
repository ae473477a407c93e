"""A day's JSON objects become a few Parquet files, and no reader ever sees a row twice or misses one.

The steps, numbered as in the code. A run that is killed after any of them leaves a lake that reads the same, and
the next run ends in the same state; so do two runs at once.

1. read the progress of the chains, list the day's objects, then read its manifest: what the manifest doesn't cover is
   new, if it ends at or before the progress; a dead writer's object behind it waits until its successor adopted it
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
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from fraudstream.errors import LakeUnavailable, ProofFailed
from fraudstream.lake.compaction import manifest
from fraudstream.lake.compaction.checksum import add
from fraudstream.lake.compaction.continuity import joined_ranges
from fraudstream.lake.compaction.engine import Engine, Rows, Vanished, Work
from fraudstream.lake.compaction.manifest import Compaction
from fraudstream.lake.compaction.one_machine import one_machine
from fraudstream.lake.query.reading import DayListing, in_order, list_day
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream import progress
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.table.schemas import SCHEMA_VERSION

log = logging.getLogger(__name__)

TARGET_BYTES = 256 << 20
_TRIES = 5
_DELETERS = 8


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


def compact(
    store: ObjectStore,
    folder: str,
    day: date,
    *,
    keep_json: timedelta = timedelta(0),
    target_bytes: int = TARGET_BYTES,
    engine: Engine = one_machine,
    now: datetime | None = None,
) -> CompactionReport:
    """Compacts what of a day isn't compacted yet; see the module for the steps.

    :param keep_json: how long JSON stays after it was compacted
    :param target_bytes: about the size of a Parquet file
    :param engine: does step 3
    :raises ProofFailed: offsets, rows or checksums don't agree; nothing has changed
    :raises LakeUnavailable: other runs were faster each time
    """
    started = time.monotonic()
    now = now or datetime.now(UTC)
    for _ in range(_TRIES):
        # 1. progress, list, then the manifest
        listing = settled_day(store, folder, day)
        current, files, rows = listing.manifest, [], 0
        if listing.json:
            try:
                compaction = _new_files(store, folder, day, listing, target_bytes, now, engine)
            except Vanished as error:
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
    store: ObjectStore, folder: str, day: date, listing: DayListing, target_bytes: int, now: datetime, engine: Engine
) -> Compaction:
    # 2. offsets
    links = {info.name: Link.of(info) for info in listing.json}
    ranges = joined_ranges(store, folder, day, listing.manifest, list(links.values()))
    # 3. write and read back
    work = Work(store, folder, day, listing.json, links, run_id(listing.json, target_bytes), target_bytes)
    read, files = engine(work)
    # 4. the whole
    written = Rows(sum(file.rows for file in files), add(*(file.checksum for file in files)))
    if written != read:
        raise ProofFailed(
            f"{folder} of {day}: the JSON has {read.count} rows with checksum {read.checksum:016x}, the Parquet files"
            f" {written.count} with {written.checksum:016x}; the manifest was not changed"
        )
    return Compaction(now, read.count, read.checksum, ranges, tuple(files))


def run_id(sources: list[ObjectInfo], target_bytes: int) -> str:
    """Identifies the files that come of these sources, made by this version with this target size."""
    parts = [f"{info.name} {info.generation}" for info in sources]
    parts += [SCHEMA_VERSION, pa.__version__, str(target_bytes)]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=10).hexdigest()


def settled_day(store: ObjectStore, folder: str, day: date) -> DayListing:
    """The day, of what isn't compacted only the objects that nobody will write again."""
    ends = progress.ends(store, folder)
    listing = list_day(store, folder, day)
    links = [(info, Link.of(info)) for info in listing.json]
    return replace(listing, json=[info for info, link in links if link.end <= ends.get(link.partition, 0)])


def needed(store: ObjectStore, folder: str, day: date, *, keep_json: timedelta, now: datetime) -> bool:
    """Whether :func:`compact` would change anything on that day."""
    listing = settled_day(store, folder, day)
    return bool(listing.json or _superfluous(listing, listing.manifest, now - keep_json))


def _delete(store: ObjectStore, listing: DayListing, current: manifest.Manifest, compacted_before: datetime) -> int:
    doomed = _superfluous(listing, current, compacted_before)
    return sum(in_order(lambda info: store.delete(info.name, info.generation), doomed, _DELETERS))


def _superfluous(listing: DayListing, current: manifest.Manifest, compacted_before: datetime) -> list[ObjectInfo]:
    kept = {file.name for file in current.files}
    doomed = [info for info in listing.strays if info.name not in kept]
    for info in [*listing.covered, *listing.json]:
        compaction = current.covering(info)
        if compaction is not None and compaction.at <= compacted_before:
            doomed.append(info)
    return doomed
