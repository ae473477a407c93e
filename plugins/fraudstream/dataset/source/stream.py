"""The unpacked content of a source, block by block."""

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, cast
from zipfile import BadZipFile, ZipFile

import pyarrow as pa
from isal import igzip, igzip_lib

from fraudstream.dataset.source.formats import conversion, only_csv
from fraudstream.errors import DatasetError

if TYPE_CHECKING:
    from fraudstream.dataset.source.source import Source

_IsalError = cast(type[Exception], igzip_lib.IsalError)  # the stub says it is an instance
#: The errors that decompressors raise for content that they can't unpack.
_DAMAGED = (gzip.BadGzipFile, _IsalError, BadZipFile, zlib.error, pa.ArrowInvalid, NotImplementedError)
#: Their messages if a gzip or zstd stream is followed by bytes that don't begin another one.
_BEHIND = ("Not a gzipped file", "Unknown frame descriptor")
#: Maximum length of an error text in a message: errors of zips contain file names.
_SHOWN = 100


class Stream(Iterator[bytes]):
    """Yields the blocks of a source's unpacked content in order, with constant memory.

    The constructor reads a zip's directory, and a compressed source up to the start position, so it raises these errors
    too.

    :raises WrongFormat: a zip has no CSV that can be read; only raised by the constructor
    :raises DatasetError: the source was replaced, its compressed data is damaged or truncated, or the start position
        lies beyond its end
    :raises LakeUnavailable: the object store doesn't answer
    """

    def __init__(self, source: "Source", byte: int) -> None:
        self._source = source
        self._stored = _Stored(source)
        #: In a zip, the name of the file that is read.
        self.member = ""
        if source.packing == "none":
            if byte > source.size:
                raise _beyond(source, byte, source.size)
            self._stored.seek(byte)
            self._content: BinaryIO = cast(BinaryIO, self._stored)
            return
        self._content = self._unpacked()
        skipped = 0
        while skipped < byte:
            block = self.read(min(byte - skipped, source.block_bytes))
            if not block:
                raise _beyond(source, byte, skipped)
            skipped += len(block)

    def __next__(self) -> bytes:
        block = self.read(self._source.block_bytes)
        if not block:
            raise StopIteration
        return block

    @property
    def stored_bytes(self) -> int:
        """The number of stored bytes that were read, of `Source.size`."""
        return self._stored.tell()

    def read(self, size: int) -> bytes:
        """Returns up to `size` bytes; no bytes at the end.

        :raises DatasetError: the source was replaced, or its compressed data is damaged or truncated
        """
        try:
            return self._content.read(size)
        except EOFError:
            raise self._ended() from None
        except _DAMAGED as error:
            raise self._damaged(error) from error
        except OSError as error:  # Arrow raises it for zstd
            raise (self._cut_off() if "Truncated" in str(error) else self._damaged(error)) from error

    def _unpacked(self) -> BinaryIO:
        buffered = io.BufferedReader(self._stored, self._source.block_bytes)
        if self._source.packing == "gzip":
            return cast(BinaryIO, igzip.IGzipFile(fileobj=buffered, mode="rb"))
        if self._source.packing == "zstd":
            return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(buffered, "r"), "zstd"))
        try:
            archive = ZipFile(buffered)
            csv = only_csv(archive, self._source.uri)
            self.member = csv.filename
            return cast(BinaryIO, archive.open(csv))
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def _ended(self) -> DatasetError:
        """Returns the error for a source whose decompressor reports an unexpected end.

        A gzip may be truncated, or a few bytes may follow its end, fewer than a header. isal, which is used because it
        is fast, reports both in the same way. So the source is read again with Python's own gzip module.
        """
        if self._source.packing == "gzip":
            self._stored.seek(0)
            try:
                with gzip.open(io.BufferedReader(self._stored, self._source.block_bytes)) as content:
                    while content.read(self._source.block_bytes):
                        pass
            except (gzip.BadGzipFile, zlib.error) as error:
                return self._damaged(error)
            except EOFError:
                pass
        return self._cut_off()

    def _cut_off(self) -> DatasetError:
        return DatasetError(
            f"{self._source.uri} ends inside its {self._source.packing} stream after {self._source.size:,} bytes: "
            "upload it again"
        )

    def _damaged(self, error: Exception) -> DatasetError:
        uri, packing = self._source.uri, self._source.packing
        if any(words in str(error) for words in _BEHIND):
            return DatasetError(
                f"{uri} has bytes behind the end of its {packing} that are not {packing} ({str(error)[:_SHOWN]}): "
                f"upload it again. If they aren't part of the data, {conversion(uri, '', packing, '')} leaves them "
                f"out; it makes another file, so rows that were produced of this one would come again"
            )
        return DatasetError(f"{self._source.uri} is a damaged {packing} ({str(error)[:_SHOWN]}): upload it again")


class _Stored(io.RawIOBase):
    """A raw file object for the stored bytes of a source."""

    def __init__(self, source: "Source") -> None:
        self._position = 0
        self._source = source

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._source.size - self._position)
        length = left if size < 0 else min(size, left)
        content = self._source.fetch(self._position, length) if length > 0 else b""
        self._position += len(content)
        return content

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # io's stub says WriteableBuffer
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _beyond(source: "Source", byte: int, size: int) -> DatasetError:
    return DatasetError(f"{source.uri}: position {byte:,} lies beyond its end at byte {size:,} (unpacked)")
