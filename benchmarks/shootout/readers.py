"""Readers without special knowledge of what wrote the records: they list files and read those that are there."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
from fraudstream.lake.store.cloud_storage import Store
from isal import igzip
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

_ID = "idTransaction"
_IN_LINE = re.compile(rb'"idTransaction" ?: ?"([^"]*)"|idTransaction=([^,}]*)')


class Reader(ABC):
    """Looks once or again: what it has read already isn't read again."""

    @abstractmethod
    def new(self) -> list[str]:
        """The ids that came since the last look, a copy for each row."""


class Objects(Reader):
    """Gzipped JSON lines in a store."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._seen: set[str] = set()

    def new(self) -> list[str]:
        found = []
        for info in list(self._store.list(self._prefix)):
            if info.name in self._seen:
                continue
            self._seen.add(info.name)
            found += ids_in_lines(igzip.decompress(self._store.download(info) or b""))
        return found


class Files(Reader):
    """Files in a folder; hidden ones, which begin with . or _, don't count. One that changed is read again."""

    def __init__(self, folder: Path, read: Callable[[Path], Iterable[str]], pattern: str = "*") -> None:
        self._folder = folder
        self._read = read
        self._pattern = pattern
        self._seen: dict[Path, int] = {}

    def new(self) -> list[str]:
        found: list[str] = []
        for path in sorted(self._folder.rglob(self._pattern)):
            hidden = any(part.startswith((".", "_")) for part in path.relative_to(self._folder).parts)
            if hidden or not path.is_file() or self._seen.get(path) == (size := path.stat().st_size):
                continue
            self._seen[path] = size
            found += self._read(path)
        return found


class IcebergTable(Reader):
    """The data files of a table's current snapshot."""

    def __init__(self, load: Callable[[], Table]) -> None:
        self._load = load
        self._seen: set[str] = set()

    def new(self) -> list[str]:
        found: list[str] = []
        try:
            table = self._load()
        except NoSuchTableError:
            return found
        for task in table.scan().plan_files():
            if task.file.file_path not in self._seen:
                self._seen.add(task.file.file_path)
                found += ids_in_parquet(Path(urlsplit(task.file.file_path).path))
        return found


class GrowingFile(Reader):
    """One file of lines that grows; a line counts once it is ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def new(self) -> list[str]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._at)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._at += len(text)
        return ids_in_lines(text)


def ids_in_lines(text: bytes) -> list[str]:
    """Of JSON lines, or of Connect's printed structs; a line without an id counts with what it is."""
    found = []
    for line in text.splitlines():
        match = _IN_LINE.findall(line)
        found += [(first or second).decode(errors="replace") for first, second in match] or [repr(line)]
    return found


def ids_in_file(path: Path) -> list[str]:
    """Of one file of lines."""
    return ids_in_lines(path.read_bytes())


def ids_in_parquet(path: Path) -> list[str]:
    """Of one Parquet file."""
    return pl.read_parquet(path, columns=[_ID])[_ID].to_list()
