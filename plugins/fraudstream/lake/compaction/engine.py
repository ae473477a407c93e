"""What turns a day's new JSON into Parquet files in the store: on one machine, or on Spark."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa

from fraudstream.errors import LakeError
from fraudstream.lake.compaction.manifest import ParquetFile
from fraudstream.lake.compaction.parquet import LocalFile, read_back
from fraudstream.lake.store.objects import PARQUET, Created, ObjectInfo, ObjectStore
from fraudstream.lake.stream import names
from fraudstream.lake.stream.chain import Link


class Vanished(Exception):
    """A source is gone: another run compacted the day meanwhile."""


@dataclass(frozen=True, slots=True)
class Work:
    """One day's objects that have to become Parquet files; `run` is the same for the same objects."""

    store: ObjectStore
    folder: str
    day: date
    sources: list[ObjectInfo]
    links: dict[str, Link]
    run: str
    target_bytes: int


@dataclass(frozen=True, slots=True)
class Rows:
    """How many, and their checksum."""

    count: int
    checksum: int


#: Proves each source to hold what its link says, writes all rows in the folder's order to Parquet files in the store,
#: and reads each back. Returns the rows as they were read from the sources, and the files with the rows read back.
#: Raises Vanished when a source is gone, FraudstreamError for anything else.
Engine = Callable[[Work], tuple[Rows, list[ParquetFile]]]


def upload(work: Work, number: int, path: Path) -> Created:
    """Puts a file under its name, or finds the one there that a killed run left."""
    name = names.parquet_name(work.folder, work.day, work.run, number)
    return work.store.create(name, path, content_type=PARQUET, metadata={})


def in_manifest(work: Work, created: Created, local: LocalFile) -> ParquetFile:
    """A file as the manifest names it; one that this run didn't put there is read, and must hold the same rows.

    :raises Vanished: another run compacted the day meanwhile
    :raises LakeError: another file is there
    """
    info = created.info
    if not created.ours:
        data = work.store.download(info)
        if data is None:
            raise Vanished(info.name)
        if (there := read_back(pa.BufferReader(data))) != local:
            raise LakeError(
                f"file {info.name} is there already with {there}, this run made {local} of the same sources: delete"
                " the file, which no manifest names, and run again"
            )
    return ParquetFile(info.name, info.generation, info.size, local.rows, local.checksum)
