"""Lets DuckDB read byte ranges of the files of Iceberg tables, through the file access of pyiceberg."""

import threading
from datetime import UTC, datetime
from typing import Any

from fsspec.spec import AbstractFileSystem
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile

from fraudstream.lake.table.catalog import translated


class TableFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A file system with only the files that were added, under the paths ``lake://<number>.parquet``."""

    protocol = "lake"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.bytes_read = 0
        self._added: dict[str, tuple[FileIO, DataFile]] = {}
        self._lock = threading.Lock()

    def add(self, io: FileIO, file: DataFile) -> str:
        """Adds a file and returns its path."""
        name = f"{len(self._added)}.parquet"
        self._added[name] = (io, file)
        return f"{self.protocol}://{name}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        _, file = self._added[self._strip_protocol(path)]
        return {"name": path, "size": file.file_size_in_bytes, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Returns a constant: files of a table never change."""
        return datetime.fromtimestamp(0, UTC)

    def glob(self, path: str, **_: Any) -> list[str]:
        """Returns the path itself: paths have no patterns."""
        return [path]

    def open(self, path: str, mode: str = "rb", **_: Any) -> "_TableFile":
        return _TableFile(self, *self._added[self._strip_protocol(path)])

    def count(self, number: int) -> None:
        """Adds a number of bytes to :attr:`bytes_read`. Any thread may call it."""
        with self._lock:
            self.bytes_read += number


class _TableFile:
    """An open file, with the methods that DuckDB calls.

    DuckDB's threads share a file, and each of them seeks before it reads. So each thread has its own position.
    """

    def __init__(self, files: TableFiles, io: FileIO, file: DataFile) -> None:
        self._files = files
        self._size = file.file_size_in_bytes
        self._place = threading.local()
        with translated("read a file of a table of"):
            self._source = io.new_input(file.file_path).open(seekable=True)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves this thread's position."""
        start = {0: 0, 1: self.tell(), 2: self._size}[whence]
        self._place.offset = start + offset
        return self.tell()

    def tell(self) -> int:
        """Returns this thread's position."""
        return int(getattr(self._place, "offset", 0))

    def read(self, length: int = -1) -> bytes:
        """Returns the bytes at this thread's position, at most `length`, and moves the position behind them."""
        start = self.tell()
        end = self._size if length < 0 else min(start + length, self._size)
        with translated("read a file of a table of"):
            data = bytes(self._source.read_at(end - start, start)) if end > start else b""
        self._place.offset = start + len(data)
        self._files.count(len(data))
        return data

    def close(self) -> None:
        """Closes the file for all threads."""
        self._source.close()
