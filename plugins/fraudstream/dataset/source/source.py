"""The source of a dataset: one generation of a local file or a Cloud Storage object, read in ranges.

Positions are bytes of the unpacked content. The first bytes decide how a source is compressed, not its name or
Content-Encoding. Objects are downloaded as they are stored: if Cloud Storage decompressed an object during the
download, ranges would refer to other bytes.
"""

import base64
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import google_crc32c
import requests
from google.api_core import exceptions as google
from google.auth import exceptions as auth
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY

from fraudstream.dataset.source.formats import MAGIC_BYTES, packing_of
from fraudstream.dataset.source.stream import Stream
from fraudstream.errors import DatasetError, DatasetNotFound, LakeUnavailable, SettingsError
from fraudstream.lake.store.credentials import renewal_may_pass
from fraudstream.lake.store.downloads import Downloads

BLOCK_BYTES = 4 << 20
#: Number of hexadecimal digits in a row id that identify the file.
ID_PREFIX_DIGITS = 10
_SHOWN = 100
T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """One generation of a file or an object.

    `generation` is that of the object, or size and modification time of the file. Another generation may have other
    content. `size` is the number of stored bytes, and `checksum` their CRC32C. Files with the same content are the same
    file, even in other places or with other names. Another `replay` makes it a different file, which is produced again.
    `fetch(start, length)` returns exactly `length` stored bytes of this generation, or raises a DatasetError if the
    source was replaced since.
    """

    uri: str
    generation: str
    size: int
    checksum: str
    packing: str
    fetch: Callable[[int, int], bytes]
    block_bytes: int = BLOCK_BYTES
    replay: str = ""

    def stream(self, byte: int = 0) -> Stream:
        """Returns the unpacked content from `byte` on, in blocks of about `block_bytes`.

        A compressed source is unpacked from its beginning to reach `byte`.

        :raises DatasetError: `byte` lies beyond the end
        """
        return Stream(self, byte)

    @property
    def identity(self) -> str:
        """Identifies the file: its size and checksum, and its replay if it has one."""
        return f"{self.size}-{self.checksum}" + (f"-{self.replay}" if self.replay else "")

    @property
    def id_prefix(self) -> str:
        """Ten hexadecimal digits that represent the file's identity in row ids."""
        return hashlib.sha256(self.identity.encode()).hexdigest()[:ID_PREFIX_DIGITS]


def open_source(uri: str, client: storage.Client | None, replay: str = "") -> Source:
    """Opens the current generation of gs://bucket/object or of a local path.

    A local file is read once for its checksum.

    :raises DatasetNotFound: no such file, object or bucket
    :raises DatasetError: it is empty, or may not be read
    :raises LakeUnavailable: the object store doesn't answer
    :raises SettingsError: the URI has another scheme, or `client` is None for a gs:// URI
    """
    scheme, separator, rest = uri.partition("://")
    if separator and scheme != "gs":
        raise SettingsError(f"dataset {uri!r}: found scheme {scheme}://, expected gs://bucket/object or a local path")
    return _open_object(uri, rest, client, replay) if separator else _open_file(uri, replay)


def _open_file(uri: str, replay: str) -> Source:
    path = Path(uri)
    try:
        generation, size = _file_generation(path.stat())
        if not path.is_file():
            raise DatasetError(f"dataset {uri!r} is not a regular file")

        def fetch(start: int, length: int) -> bytes:
            try:
                with path.open("rb", buffering=0) as file:
                    found, _ = _file_generation(os.fstat(file.fileno()))
                    content = os.pread(file.fileno(), length, start)
            except FileNotFoundError as error:
                raise _replaced(uri, generation, "none") from error
            except OSError as error:  # translated here: Stream would report it as damaged content
                raise _unreadable(uri, error) from error
            if found != generation or len(content) != length:
                raise _replaced(uri, generation, found)
            return content

        return _source(uri, generation, size, lambda: _checksum(path), fetch, replay)
    except FileNotFoundError as error:
        if path.is_symlink():
            raise DatasetNotFound(
                f"dataset {uri!r} is a link to {str(path.readlink())[-_SHOWN:]!r}, which doesn't exist; "
                "a link of git-annex: `git annex get` fetches the data"
            ) from error
        raise DatasetNotFound(f"dataset {uri!r}: no such file in {path.absolute().parent}") from error
    except OSError as error:
        raise _unreadable(uri, error) from error


def _open_object(uri: str, rest: str, client: storage.Client | None, replay: str) -> Source:
    bucket, _, name = rest.partition("/")
    if not bucket or not name:
        raise SettingsError(f"dataset {uri!r}: found no bucket and object, expected gs://bucket/object")
    if client is None:
        raise SettingsError(f"dataset {uri!r} needs a Cloud Storage client: pass one, or name a local path")
    current = _translated(uri, "?", lambda: client.bucket(bucket).get_blob(name))
    if current is None:
        raise DatasetNotFound(f"dataset {uri!r}: no object {name!r} in bucket {bucket!r}, or no such bucket")
    generation = str(current.generation)
    # The client library copies 10 KiB at a time in its own downloads, which takes ten times as long.
    read = DEFAULT_RETRY(Downloads(client, bucket).content)

    def fetch(start: int, length: int) -> bytes:
        span = (start, start + length)
        content: bytes = _translated(uri, generation, lambda: read(name, current.generation, span))
        if len(content) != length:
            raise DatasetError(f"{uri}: the store sent {len(content):,} bytes from {start:,} on, expected {length:,}")
        return content

    return _source(uri, generation, int(current.size), lambda: _hex(current.crc32c), fetch, replay)


def _source(
    uri: str,
    generation: str,
    size: int,
    checksum: Callable[[], str],
    fetch: Callable[[int, int], bytes],
    replay: str,
) -> Source:
    if size == 0:
        raise DatasetError(f"dataset {uri!r} is empty: found 0 bytes, expected a header and rows")
    packing = packing_of(fetch(0, min(MAGIC_BYTES, size)))
    return Source(uri, generation, size, checksum(), packing, fetch, replay=replay)


def _checksum(path: Path) -> str:
    found = 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            found = google_crc32c.extend(found, block)
    return f"{found:08x}"


def _hex(crc32c: str) -> str:
    """Converts a checksum of Cloud Storage, which is in base64, to hexadecimal digits."""
    return base64.b64decode(crc32c).hex()


def _file_generation(status: os.stat_result) -> tuple[str, int]:
    return f"{status.st_size}-{status.st_mtime_ns}", status.st_size


def _translated(uri: str, generation: str, call: Callable[[], T]) -> T:
    """Returns the result of `call`; translates the errors of Google's libraries to those of fraudstream."""
    try:
        return call()
    except (google.PreconditionFailed, google.NotFound, google.RequestRangeNotSatisfiable) as error:
        raise _replaced(uri, generation, "another, or none") from error
    except (google.Forbidden, google.Unauthorized, auth.RefreshError) as error:
        if renewal_may_pass(error):
            raise LakeUnavailable(f"dataset {uri!r}: credentials can't be renewed now ({error}); try again") from error
        raise DatasetError(f"dataset {uri!r} may not be read with this connection: {error}") from error
    except google.ClientError as error:
        raise DatasetError(f"dataset {uri!r} can't be read: {error.message}") from error
    except (google.GoogleAPIError, auth.TransportError, requests.RequestException, ConnectionError) as error:
        raise LakeUnavailable(f"dataset {uri!r}: the object store doesn't answer ({error}); try again") from error


def _unreadable(uri: str, error: OSError) -> DatasetError:
    return DatasetError(f"dataset {uri!r} can't be read: {error.strerror or error}")


def _replaced(uri: str, generation: str, found: str) -> DatasetError:
    return DatasetError(
        f"{uri} was replaced while it was read: expected generation {generation}, found {found}; start again with it"
    )
