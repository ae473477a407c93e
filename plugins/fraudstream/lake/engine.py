"""What turns a day's new JSON into Parquet files in the store: on one machine, or on Spark."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from fraudstream.errors import LakeError
from fraudstream.lake import names
from fraudstream.lake.chain import Link
from fraudstream.lake.manifest import ParquetFile
from fraudstream.lake.objects import PARQUET, ObjectInfo, ObjectStore
from fraudstream.lake.parquet import LocalFile


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


def upload(work: Work, number: int, local: LocalFile) -> ParquetFile:
    """Puts a file that was read back under its name, or takes the same one that a killed run left there.

    :raises LakeError: another file is there
    """
    name = names.parquet_name(work.folder, work.day, work.run, number)
    proof = {"rows": str(local.rows), "checksum": f"{local.checksum:016x}"}
    created = work.store.create(name, local.path, content_type=PARQUET, metadata=proof)
    if not created.ours and any(created.info.metadata.get(key) != value for key, value in proof.items()):
        raise LakeError(
            f"file {name} is there already with {dict(created.info.metadata)}, this run made {proof} of the same"
            " sources: delete the file, which no manifest names, and run again"
        )
    return ParquetFile(name, created.info.generation, created.info.size, local.rows, local.checksum)
