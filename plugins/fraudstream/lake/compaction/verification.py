"""A day's proof on demand: everything stored is read again and held against what was said when it was written."""

from dataclasses import dataclass, field
from datetime import date

import pyarrow as pa

from fraudstream.errors import LakeError
from fraudstream.lake.compaction.checksum import add
from fraudstream.lake.compaction.continuity import joined_ranges, require_rows
from fraudstream.lake.compaction.manifest import ParquetFile
from fraudstream.lake.compaction.parquet import read_back
from fraudstream.lake.query.reading import DayListing, list_day, read_lines
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.lake.stream.chain import Link


@dataclass(slots=True)
class Verification:
    """What was found of one day of one folder."""

    folder: str
    day: date
    parquet_files: int = 0
    parquet_rows: int = 0
    json_objects: int = 0
    json_rows: int = 0
    problems: list[str] = field(default_factory=list)


def verify(store: ObjectStore, folder: str, day: date) -> Verification:
    """Rows and checksums of the manifest's files, rows and offsets of the JSON, no gap and no overlap in a day.

    :raises LakeUnavailable: the store doesn't answer
    """
    listing = list_day(store, folder, day)
    found = Verification(folder, day)
    _verify_files(store, listing, found)
    try:
        links = [Link.of(info) for info in listing.json]
        joined_ranges(store, folder, day, listing.manifest, links)
        for info, link in zip(listing.json, links, strict=True):
            rows = read_lines(store, folder, info)
            if rows is None:
                # Compacted between the listing and now: then the manifest has moved, and all of it is looked at anew.
                return verify(store, folder, day)
            require_rows(info.name, link, rows)
            found.json_objects += 1
            found.json_rows += len(rows)
    except LakeError as error:
        if error.retryable:
            raise
        found.problems.append(str(error))
    return found


def _verify_files(store: ObjectStore, listing: DayListing, found: Verification) -> None:
    for compaction in listing.manifest.compactions:
        for file in compaction.files:
            problem = _problem(store, file, listing.manifest.folder, found)
            if problem:
                found.problems.append(problem)
        rows, total = sum(file.rows for file in compaction.files), add(*(file.checksum for file in compaction.files))
        if (rows, total) != (compaction.rows, compaction.checksum):
            found.problems.append(
                f"manifest of {listing.manifest.folder}/ of {listing.manifest.day}: the compaction of {compaction.at}"
                f" says {compaction.rows} rows, its files {rows}: restore an earlier version of the manifest"
            )


def _problem(store: ObjectStore, file: ParquetFile, folder: str, found: Verification) -> str | None:
    data = store.download(ObjectInfo.named(file.name, file.generation, file.size))
    if data is None:
        return f"file {file.name} (generation {file.generation}) is in the manifest of {folder}/ but gone: restore it"
    there = read_back(pa.BufferReader(data))
    found.parquet_files += 1
    found.parquet_rows += there.rows
    if (there.rows, there.checksum) == (file.rows, file.checksum):
        return None
    return (
        f"file {file.name} has {there.rows} rows with checksum {there.checksum:016x}, its manifest says"
        f" {file.rows} with {file.checksum:016x}: restore the generation {file.generation}"
    )
