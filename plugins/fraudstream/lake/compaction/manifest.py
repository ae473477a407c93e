"""Which Parquet files hold a day's compacted rows, and which offsets those rows cover: one object for each day.

::

    {"format": 1, "folder": "transaction", "day": "2023-10-07", "rows": 130000,
     "compactions": [
       {"at": "2023-10-08T00:05:11+00:00", "rows": 130000, "checksum": "9b0f…",
        "ranges": [{"topic": "non_fraud_transaction", "partition": 3, "start": 12000, "end": 34000}],
        "files": [{"name": "transaction/dt=2023-10-07/compacted-….parquet", "generation": "17…", "size": 5400000,
                   "rows": 130000, "checksum": "9b0f…"}]}]}

It only grows: each run that found JSON adds a compaction. An object with JSON lines whose first offset lies in a
range is compacted (or was written by a zombie) and doesn't count any more. Checksums are those of checksum.py.
"""

import json
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from fraudstream.errors import LakeError
from fraudstream.kafka.records import Partition
from fraudstream.lake.store.objects import JSON, ObjectInfo, ObjectStore
from fraudstream.lake.stream import names

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """Offsets [`start`, `end`) of a topic-partition."""

    partition: Partition
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.partition} {self.start} to {self.end - 1}"


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A file of a compaction."""

    name: str
    generation: int
    size: int
    rows: int
    checksum: int


@dataclass(frozen=True, slots=True)
class Compaction:
    """What one run of compaction added."""

    at: datetime
    rows: int
    checksum: int
    ranges: tuple[OffsetRange, ...]
    files: tuple[ParquetFile, ...]

    def covers(self, partition: Partition, offset: int) -> bool:
        """Whether the record at `offset` is in the files, if there is a record."""
        return any(r.partition == partition and r.start <= offset < r.end for r in self.ranges)


@dataclass(frozen=True, slots=True)
class Manifest:
    """A day's compactions; `generation` is that of the object it was read from, 0 where there is none."""

    folder: str
    day: date
    generation: int = 0
    compactions: tuple[Compaction, ...] = ()

    @property
    def rows(self) -> int:
        """Rows in all files."""
        return sum(compaction.rows for compaction in self.compactions)

    @property
    def files(self) -> list[ParquetFile]:
        """The files that count."""
        return [file for compaction in self.compactions for file in compaction.files]

    @property
    def ranges(self) -> list[OffsetRange]:
        """Offsets that the files cover."""
        return [range_ for compaction in self.compactions for range_ in compaction.ranges]

    def covering(self, info: ObjectInfo) -> Compaction | None:
        """The compaction that makes an object with JSON lines superfluous."""
        named = names.parse_object_name(info.name)
        if named is None:
            return None
        return next((c for c in self.compactions if c.covers(named.partition, named.first_offset)), None)

    def with_compaction(self, compaction: Compaction) -> "Manifest":
        """The manifest after one more compaction; still of the generation that it takes the place of."""
        return replace(self, compactions=(*self.compactions, compaction))


def load(store: ObjectStore, folder: str, day: date) -> Manifest:
    """The manifest of a day, an empty one where nothing is compacted yet."""
    name = names.manifest_name(folder, day)
    found = store.get(name)
    if found is None:
        return Manifest(folder, day)
    try:
        document = json.loads(found.data)
        if document["format"] != _FORMAT:
            raise LakeError(f"manifest {name} has format {document['format']}, this version reads {_FORMAT}: upgrade")
        return Manifest(folder, day, found.info.generation, tuple(map(_compaction, document["compactions"])))
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError(f"manifest {name} is unreadable ({error!r}): restore an earlier version of it") from error


def save(store: ObjectStore, manifest: Manifest) -> Manifest | None:
    """Puts a manifest in place of the generation it was read from; None: another run was faster."""
    document = {
        "format": _FORMAT,
        "folder": manifest.folder,
        "day": manifest.day.isoformat(),
        "rows": manifest.rows,
        "compactions": [_document(compaction) for compaction in manifest.compactions],
    }
    name = names.manifest_name(manifest.folder, manifest.day)
    info = store.replace(name, json.dumps(document, indent=1).encode(), manifest.generation, content_type=JSON)
    return None if info is None else replace(manifest, generation=info.generation)


def _document(compaction: Compaction) -> dict[str, Any]:
    return {
        "at": compaction.at.isoformat(),
        "rows": compaction.rows,
        "checksum": f"{compaction.checksum:016x}",
        "ranges": [
            {"topic": r.partition.topic, "partition": r.partition.number, "start": r.start, "end": r.end}
            for r in compaction.ranges
        ],
        "files": [
            {
                "name": file.name,
                "generation": str(file.generation),
                "size": file.size,
                "rows": file.rows,
                "checksum": f"{file.checksum:016x}",
            }
            for file in compaction.files
        ],
    }


def _compaction(document: dict[str, Any]) -> Compaction:
    return Compaction(
        datetime.fromisoformat(document["at"]),
        int(document["rows"]),
        int(document["checksum"], 16),
        tuple(
            OffsetRange(Partition(r["topic"], int(r["partition"])), int(r["start"]), int(r["end"]))
            for r in document["ranges"]
        ),
        tuple(
            ParquetFile(f["name"], int(f["generation"]), int(f["size"]), int(f["rows"]), int(f["checksum"], 16))
            for f in document["files"]
        ),
    )
