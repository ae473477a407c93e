"""A directory in a file or an object: indexed on disk once, when a task starts, and looked up there.

The index is a temporary SQLite file that has no name, so nothing of it stays behind, however the process ends.
"""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fraudstream.errors import DirectoryUnavailable, LakeError, LakeUnavailable, SettingsError
from fraudstream.lake.store.objects import ObjectStore
from fraudstream.mail.customers.directory import Entry
from fraudstream.mail.customers.rows import rows_of

logger = logging.getLogger(__name__)

_AT_ONCE = 500
_CACHE_KIB = 32 * 1024
_BLOCK_BYTES = 16 << 20


class FileTable:
    """A :class:`~fraudstream.mail.customers.directory.Table` of rows that are read once.

    :param rows: all entries, in any order
    """

    def __init__(self, rows: Iterable[Entry], shown: str) -> None:
        began = time.monotonic()
        # Without a name, SQLite deletes the file as soon as it is open. One thread at a time uses it, not always the
        # same one.
        self._index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        fields = ", ".join(Entry._fields)
        insert = f"INSERT INTO customer VALUES ({', '.join('?' * len(Entry._fields))})"  # noqa: S608  marks
        try:
            self._index.execute("PRAGMA journal_mode = OFF")
            self._index.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._index.execute(f"CREATE TABLE customer ({fields})")
            self._index.execute("BEGIN")
            self._index.executemany(insert, rows)
            self._index.execute("COMMIT")
            self._index.execute("CREATE INDEX by_account ON customer (account)")
        except sqlite3.Error as error:
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {shown}, whose index can't be written to the folder for "
                f"temporary files: {error}; it needs about 200 bytes for each account"
            ) from error
        (count,) = self._index.execute("SELECT count(*) FROM customer").fetchone()
        logger.info("customer directory %s: %d entries indexed in %.1f s", shown, count, time.monotonic() - began)

    def entries(self, accounts: Sequence[str]) -> Iterator[Entry]:
        """All entries of these accounts."""
        for first in range(0, len(accounts), _AT_ONCE):
            asked = accounts[first : first + _AT_ONCE]
            statement = f"SELECT * FROM customer WHERE account IN ({', '.join('?' * len(asked))})"  # noqa: S608  marks
            yield from map(Entry._make, self._index.execute(statement, asked))


def file_table(uri: str, connect: Callable[[str], ObjectStore]) -> FileTable:
    """The table of a path, or of gs://bucket/object as it is now.

    :raises SettingsError: no such file or object, it may not be read, or it is no such table
    :raises DirectoryUnavailable: the object store doesn't answer
    """
    with _local(uri, connect) as file:
        return FileTable(rows_of(file, uri), uri)


@contextmanager
def _local(uri: str, connect: Callable[[str], ObjectStore]) -> Iterator[Path]:
    if not uri.startswith("gs://"):
        path = Path(uri)
        if not path.is_file():
            raise SettingsError(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {uri!r}: no such file in {path.absolute().parent}; expected a path "
                "or gs://bucket/object of a CSV or Parquet file, or postgres:table"
            )
        yield path
        return
    with TemporaryDirectory() as folder:
        file = Path(folder) / "customers"
        try:
            _download(uri, connect, file)
        except LakeUnavailable as error:
            raise DirectoryUnavailable(
                f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {uri}, which isn't read: {error}"
            ) from error
        except LakeError as error:
            raise SettingsError(f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {uri}, which can't be read: {error}") from error
        yield file


def _download(uri: str, connect: Callable[[str], ObjectStore], file: Path) -> None:
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not bucket or not name:
        raise SettingsError(f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {uri!r}; expected gs://bucket/object")
    store = connect(bucket)
    info = store.look_up(name)
    if info is None:
        raise SettingsError(f"FRAUDSTREAM_CUSTOMER_DIRECTORY is {uri!r}: no object {name!r} in bucket {bucket!r}")
    with file.open("wb") as target:
        for start in range(0, info.size, _BLOCK_BYTES):
            block = store.download(info, start, min(start + _BLOCK_BYTES, info.size))
            if block is None:
                raise DirectoryUnavailable(
                    f"FRAUDSTREAM_CUSTOMER_DIRECTORY names {uri}, which was replaced while it was read"
                )
            target.write(block)
