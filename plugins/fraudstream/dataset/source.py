"""Where a dataset lies: a local file or a Cloud Storage object, read by ranges of exactly one generation.

Positions are bytes of the uncompressed content. A gzip is told by its first bytes, whatever the name or the
Content-Encoding say: objects are downloaded as they are stored, so that Cloud Storage never decompresses one on the
way, where ranges would count other bytes.
"""

import gzip
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import requests
from google.api_core import exceptions as google
from google.cloud import storage
from isal import igzip, igzip_lib

from fraudstream.errors import DatasetError, DatasetNotFound, LakeUnavailable, SettingsError

GZIP_MAGIC = b"\x1f\x8b"
BLOCK_BYTES = 4 << 20
_IsalError = cast(type[Exception], igzip_lib.IsalError)  # the stub says it is an instance
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """One generation of a file or an object.

    `generation` is the object's, or size and modification time of a file: another one is another content. `size` is
    in bytes as stored. `name` is bucket/object, or the file's name without its directories: what row ids are made of.
    `fetch(start, length)` returns exactly so many stored bytes of this generation; one that was replaced meanwhile
    is a DatasetError.
    """

    uri: str
    name: str
    generation: str
    size: int
    compressed: bool
    fetch: Callable[[int, int], bytes]
    block_bytes: int = BLOCK_BYTES

    def stream(self, byte: int = 0) -> "Stream":
        """The uncompressed content from `byte` on, in blocks of about `block_bytes`; memory stays flat.

        A plain source is read from there; a gzip is decompressed from its beginning up to there.

        :raises DatasetError: `byte` lies beyond the end
        """
        return Stream(self, byte)

    @property
    def id_prefix(self) -> str:
        """Ten hexadecimal digits that stand for this name and generation in row ids."""
        return hashlib.sha256(f"{self.name}#{self.generation}".encode()).hexdigest()[:10]


class Stream(Iterator[bytes]):
    """Blocks of a source's uncompressed content in order.

    :raises DatasetError: while reading: the source was replaced, or its gzip is damaged or ends too early
    :raises LakeUnavailable: while reading: the object store doesn't answer
    """

    def __init__(self, source: Source, byte: int) -> None:
        self._source = source
        self._stored = _Stored(source, 0 if source.compressed else byte)
        if not source.compressed:
            if byte > source.size:
                raise _beyond(source, byte, source.size)
            self._content: BinaryIO = cast(BinaryIO, self._stored)
            return
        buffered = io.BufferedReader(self._stored, source.block_bytes)
        self._content = cast(BinaryIO, igzip.IGzipFile(fileobj=buffered, mode="rb"))
        skipped = 0
        while skipped < byte:
            block = self._read(min(byte - skipped, source.block_bytes))
            if not block:
                raise _beyond(source, byte, skipped)
            skipped += len(block)

    def __next__(self) -> bytes:
        block = self._read(self._source.block_bytes)
        if not block:
            raise StopIteration
        return block

    @property
    def stored_bytes(self) -> int:
        """Position in the stored content: what is read of `Source.size`."""
        return self._stored.position

    def _read(self, size: int) -> bytes:
        try:
            return self._content.read(size)
        except EOFError:
            raise DatasetError(
                f"{self._source.uri} ends inside its gzip stream after {self._source.size:,} bytes: upload it again"
            ) from None
        except (gzip.BadGzipFile, _IsalError) as error:
            raise DatasetError(f"{self._source.uri} is a damaged gzip ({error}): upload it again") from error


class _Stored(io.RawIOBase):
    """The stored bytes of a source as a raw file."""

    def __init__(self, source: Source, position: int) -> None:
        self.position = position
        self._source = source

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        left = self._source.size - self.position
        length = left if size < 0 else min(size, left)
        content = self._source.fetch(self.position, length) if length > 0 else b""
        self.position += len(content)
        return content

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io's stub says WriteableBuffer
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def open_source(uri: str, client: storage.Client | None) -> Source:
    """The current generation of gs://bucket/object, or of a local path.

    :raises DatasetNotFound: no such file, object or bucket
    :raises DatasetError: it is empty, or may not be read
    :raises LakeUnavailable: the object store doesn't answer
    :raises SettingsError: the URI is of another kind, or there is no client for a gs:// one
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme != "gs":
        raise SettingsError(f"dataset {uri!r}: found scheme {scheme}://, expected gs://bucket/object or a local path")
    return _open_object(uri, rest, client) if separator else _open_file(uri)


def _open_file(uri: str) -> Source:
    path = Path(uri)
    try:
        generation, size = _file_generation(path.stat())
        if not path.is_file():
            raise DatasetError(f"dataset {uri!r} is no regular file")

        def fetch(start: int, length: int) -> bytes:
            with path.open("rb", buffering=0) as file:
                found, _ = _file_generation(os.fstat(file.fileno()))
                content = os.pread(file.fileno(), length, start)
            if found != generation or len(content) != length:
                raise _replaced(uri, generation, found)
            return content

        return _source(uri, path.name, generation, size, fetch)
    except FileNotFoundError as error:
        raise DatasetNotFound(f"dataset {uri!r}: no such file in {path.absolute().parent}") from error
    except OSError as error:
        raise DatasetError(f"dataset {uri!r} can't be read: {error.strerror or error}") from error


def _open_object(uri: str, rest: str, client: storage.Client | None) -> Source:
    bucket, _, name = rest.partition("/")
    if not bucket or not name:
        raise SettingsError(f"dataset {uri!r}: found no bucket and object, expected gs://bucket/object")
    if client is None:
        raise SettingsError(f"dataset {uri!r} needs a Cloud Storage client: pass one, or name a local path")
    current = _translated(uri, "?", lambda: client.bucket(bucket).get_blob(name))
    if current is None:
        raise DatasetNotFound(f"dataset {uri!r}: no object {name!r} in bucket {bucket!r}, or no such bucket")
    generation = str(current.generation)
    # Names the generation, rather than a precondition on it: some emulators ignore preconditions of downloads.
    blob = client.bucket(bucket).blob(name, generation=current.generation)

    def fetch(start: int, length: int) -> bytes:
        def download() -> bytes:
            content: bytes = blob.download_as_bytes(
                start=start,
                end=start + length - 1,
                raw_download=True,
                single_shot_download=True,  # else the client library copies 8 KiB at a time, seven times as long
                checksum=None,  # the store has one for the whole object only
            )
            return content

        content = _translated(uri, generation, download)
        if len(content) != length:
            raise DatasetError(f"{uri}: the store sent {len(content):,} bytes from {start:,} on, expected {length:,}")
        return content

    return _source(uri, f"{bucket}/{name}", generation, int(current.size), fetch)


def _source(uri: str, name: str, generation: str, size: int, fetch: Callable[[int, int], bytes]) -> Source:
    if size == 0:
        raise DatasetError(f"dataset {uri!r} is empty: found 0 bytes, expected a header and rows")
    return Source(uri, name, generation, size, fetch(0, min(2, size)) == GZIP_MAGIC, fetch)


def _file_generation(status: os.stat_result) -> tuple[str, int]:
    return f"{status.st_size}-{status.st_mtime_ns}", status.st_size


def _translated(uri: str, generation: str, call: Callable[[], T]) -> T:
    """What `call` returns; the library's errors become ours here."""
    try:
        return call()
    except (google.PreconditionFailed, google.NotFound, google.RequestRangeNotSatisfiable) as error:
        raise _replaced(uri, generation, "another, or none") from error
    except (google.Forbidden, google.Unauthorized) as error:
        raise DatasetError(f"dataset {uri!r} may not be read with this connection: {error.message}") from error
    except google.ClientError as error:
        raise DatasetError(f"dataset {uri!r} can't be read: {error.message}") from error
    except (google.GoogleAPICallError, google.RetryError, requests.RequestException) as error:
        raise LakeUnavailable(f"dataset {uri!r}: the object store doesn't answer ({error}); try again") from error


def _replaced(uri: str, generation: str, found: str) -> DatasetError:
    return DatasetError(
        f"{uri} was replaced while it was read: expected generation {generation}, found {found}; start again with it"
    )


def _beyond(source: Source, byte: int, size: int) -> DatasetError:
    return DatasetError(f"{source.uri}: position {byte:,} lies beyond its end at byte {size:,} (uncompressed)")
