"""The lake's interface to an object store: whole objects, with preconditions on their generation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from isal import igzip, igzip_lib

from fraudstream.errors import LakeError

#: Errors that are raised for content that is not a complete gzip file.
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
        """The info that :meth:`ObjectStore.download` needs, for an object that is listed elsewhere."""
        return cls(name, size, generation, datetime.min.replace(tzinfo=UTC))


class Created(NamedTuple):
    """The object that has a name after :meth:`ObjectStore.create`, and whether this call created it."""

    info: ObjectInfo
    ours: bool


class StoredObject(NamedTuple):
    """An object with its content, both of the same generation."""

    info: ObjectInfo
    data: bytes


class ObjectStore(Protocol):
    """A bucket. A method that returns has done what it says. Its retries of a request have no effect twice.

    :raises LakeUnavailable: from every method, if the store didn't answer in time, or asked to retry later
    :raises LakeError: from every method, if the credentials give no access to the bucket; from :meth:`create`,
        :meth:`replace` and :meth:`list` also if the bucket doesn't exist: for other methods it has no objects then
    """

    bucket: str

    def create(self, name: str, data: bytes | Path, *, content_type: str, metadata: Mapping[str, str]) -> Created:
        """Creates an object from bytes or from a file's content, unless the name exists.

        If several callers create the same name, exactly one gets ``ours``. The others get the object of that one.
        """

    def replace(self, name: str, data: bytes, generation: int, *, content_type: str) -> ObjectInfo | None:
        """Replaces exactly this generation of an object; 0: creates it. None: the object has another generation."""

    def look_up(self, name: str) -> ObjectInfo | None:
        """An object without its content; None: no object has this name."""

    def get(self, name: str) -> StoredObject | None:
        """An object and its content; None: no object has this name."""

    def download(self, info: ObjectInfo, start: int = 0, end: int | None = None) -> bytes | None:
        """The content of exactly this generation, or its bytes [`start`, `end`); None: this generation is gone."""

    def list(self, prefix: str, start: str = "") -> list[ObjectInfo]:
        """All objects whose names start with `prefix` and aren't less than `start`, in the order of their names."""

    def delete(self, name: str, generation: int) -> bool:
        """Deletes exactly this generation; False: it was gone already, maybe by an earlier attempt of this call."""


def unpacked(name: str, data: bytes) -> bytes:
    """The uncompressed content of a gzipped object.

    :param name: the object's name, for the error
    :raises LakeError: the data isn't a complete gzip file
    """
    try:
        return bytes(igzip.decompress(data))
    except _DAMAGED as error:
        raise LakeError(f"object {name} is not a whole gzip file ({error}): restore it, or replay its topic") from error
