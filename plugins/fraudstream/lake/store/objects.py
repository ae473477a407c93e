"""What the lake asks of an object store: whole objects, preconditions on their generation, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from isal import igzip, igzip_lib

from fraudstream.errors import LakeError

#: What is raised for content that is not a whole gzip file.
_DAMAGED = (OSError, EOFError, cast(type[Exception], igzip_lib.IsalError))  # the stub says the last is an instance
GZIP = "application/gzip"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored version of an object."""

    name: str
    size: int
    generation: int
    updated: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def named(cls, name: str, generation: int, size: int) -> "ObjectInfo":
        """As much as it takes to download an object that was written down elsewhere."""
        return cls(name, size, generation, datetime.min.replace(tzinfo=UTC))


class Created(NamedTuple):
    """What is under a name after :meth:`ObjectStore.create`, and whether this call put it there."""

    info: ObjectInfo
    ours: bool


class StoredObject(NamedTuple):
    """An object with its content, both of the same generation."""

    info: ObjectInfo
    data: bytes


class ObjectStore(Protocol):
    """A bucket. Every call either did what it says or raises; a retried call never happens twice.

    :raises LakeUnavailable: the store didn't answer in time, or asked to come back later
    :raises LakeError: the bucket is missing or closed to these credentials
    """

    bucket: str

    def create(self, name: str, data: bytes | Path, *, content_type: str, metadata: Mapping[str, str]) -> Created:
        """Puts an object (the bytes, or the content of a file) under a name that nothing has.

        Of any number of callers one gets ``ours``, the others get what that one wrote.
        """

    def replace(self, name: str, data: bytes, generation: int, *, content_type: str) -> ObjectInfo | None:
        """Puts `data` in place of exactly that generation (0: of nothing); None: another one is there."""

    def look_up(self, name: str) -> ObjectInfo | None:
        """An object without its content; None: nothing has this name."""

    def get(self, name: str) -> StoredObject | None:
        """An object and its content; None: nothing has this name."""

    def download(self, info: ObjectInfo, start: int = 0, end: int | None = None) -> bytes | None:
        """Content of exactly this generation, or its bytes [`start`, `end`); None: it is gone."""

    def list(self, prefix: str, start: str = "") -> list[ObjectInfo]:
        """All objects whose names start with `prefix` and aren't less than `start`, by name."""

    def delete(self, name: str, generation: int) -> bool:
        """Removes exactly this generation; False: it was gone already."""


def unpacked(name: str, data: bytes) -> bytes:
    """The lines that an object holds gzipped.

    :raises LakeError: it doesn't
    """
    try:
        return bytes(igzip.decompress(data))
    except _DAMAGED as error:
        raise LakeError(f"object {name} is not a whole gzip file ({error}): restore it, or replay its topic") from error
