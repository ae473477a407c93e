"""A customer directory in a file or an object. The first lookup builds an index on disk.

The index is a temporary SQLite file without a name. So is the copy of an object. The operating system deletes both when
the process ends, even if it is killed.
"""

import logging
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TypeVar

from fraudstream.errors import DirectoryUnavailable, LakeError, LakeUnavailable, SettingsError
from fraudstream.lake.store.objects import ObjectInfo, ObjectStore
from fraudstream.mail.customers.directory import Entry
from fraudstream.mail.customers.rows import rows_of

logger = logging.getLogger(__name__)

T = TypeVar("T")
_AT_ONCE = 500
_CACHE_KIB = 32 * 1024
_BLOCK_BYTES = 16 << 20


class FileTable:
    """A :class:`~fraudstream.mail.customers.directory.Table` in a local file or in gs://bucket/object.

    The first call of :meth:`entries` reads the file. Later changes of the file have no effect.

    :param connect: opens a bucket
    :raises SettingsError: no such file or object, or the object may not be read
    :raises DirectoryUnavailable: the object store doesn't answer
    """

    def __init__(self, uri: str, connect: Callable[[str], ObjectStore]) -> None:
        self._uri = uri
        self._connect = connect
        self._index: sqlite3.Connection | None = None
        if uri.startswith("gs://"):
            self._call_store(self._object)
        elif not Path(uri).is_file():
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {uri!r}: no such file in {Path(uri).absolute().parent}; expected a "
                "path or gs://bucket/object of a CSV or Parquet file, or postgres:table"
            )

    def entries(self, accounts: Sequence[str]) -> Iterator[Entry]:
        """Yields all entries of these accounts.

        :raises SettingsError: the file can't be read or isn't such a table, or the index can't be written
        :raises DirectoryUnavailable: the object store doesn't answer, or the object was replaced while it was read
        """
        if self._index is None:
            with self._opened() as file:
                self._index = self._indexed(rows_of(file, self._uri))
            weakref.finalize(self, self._index.close)
        for first in range(0, len(accounts), _AT_ONCE):
            asked = accounts[first : first + _AT_ONCE]
            statement = f"SELECT * FROM customer WHERE account IN ({', '.join('?' * len(asked))})"  # noqa: S608  marks
            yield from map(Entry._make, self._index.execute(statement, asked))

    def _indexed(self, rows: Iterable[Entry]) -> sqlite3.Connection:
        began = time.monotonic()
        # SQLite deletes a file without a name as soon as it is open. check_same_thread: it is used by one thread at a
        # time, but not always by the same one.
        index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        insert = f"INSERT INTO customer VALUES ({', '.join('?' * len(Entry._fields))})"  # noqa: S608  marks
        try:
            index.execute("PRAGMA journal_mode = OFF")
            index.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            index.execute(f"CREATE TABLE customer ({', '.join(Entry._fields)})")
            index.execute("BEGIN")
            index.executemany(insert, rows)
            index.execute("COMMIT")
            index.execute("CREATE INDEX by_account ON customer (account)")
        except sqlite3.Error as error:
            index.close()
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {self._uri}, whose index can't be written to the folder for "
                f"temporary files: {error}; it needs about 200 bytes for each account"
            ) from error
        except BaseException:
            index.close()
            raise
        (count,) = index.execute("SELECT count(*) FROM customer").fetchone()
        logger.info("customer directory %s: %d entries indexed in %.1f s", self._uri, count, time.monotonic() - began)
        return index

    def _opened(self) -> IO[bytes]:
        if self._uri.startswith("gs://"):
            return self._call_store(self._download)
        try:
            return Path(self._uri).open("rb")
        except OSError as error:
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {self._uri}, which can't be read: {error}"
            ) from error

    def _call_store(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except LakeUnavailable as error:
            raise DirectoryUnavailable(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {self._uri}, which isn't read: {error}"
            ) from error
        except LakeError as error:
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {self._uri}, which can't be read: {error}"
            ) from error

    def _object(self) -> tuple[ObjectStore, ObjectInfo]:
        bucket, _, name = self._uri.removeprefix("gs://").partition("/")
        if not bucket or not name:
            raise SettingsError(f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {self._uri!r}; expected gs://bucket/object")
        store = self._connect(bucket)
        info = store.look_up(name)
        if info is None:
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {self._uri!r}: no object {name!r} in bucket {bucket!r}"
            )
        return store, info

    def _download(self) -> IO[bytes]:
        store, info = self._object()
        file = TemporaryFile()  # noqa: SIM115  the caller closes it
        try:
            for start in range(0, info.size, _BLOCK_BYTES):
                block = store.download(info, start, min(start + _BLOCK_BYTES, info.size))
                if block is None:
                    raise DirectoryUnavailable(
                        f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {self._uri}, which was replaced while it was read"
                    )
                file.write(block)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file
