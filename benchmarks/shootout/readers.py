"""Plain readers, which know nothing of the sink that wrote the records: they list files and read them."""

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
    """Reads the ids of records; each call skips files that an earlier call has read."""

    @abstractmethod
    def new(self) -> list[str]:
        """The ids of the rows that were written since the last call, with duplicates."""


class Objects(Reader):
    """Reads objects with gzipped JSON lines."""

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
    """Reads files in a folder, without hidden ones (. or _ at the start). A file whose size changed is read again."""

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
    """Reads the data files of a table's current snapshot."""

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
    """Reads one file to which lines are appended. A line counts when it is complete."""

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
    """The ids in JSON lines or in Connect's printed structs. For a line without an id, the line itself is its id."""
    found = []
    for line in text.splitlines():
        match = _IN_LINE.findall(line)
        found += [(first or second).decode(errors="replace") for first, second in match] or [repr(line)]
    return found


def ids_in_file(path: Path) -> list[str]:
    """The ids in one file of lines."""
    return ids_in_lines(path.read_bytes())


def ids_in_parquet(path: Path) -> list[str]:
    """Returns the ids in a Parquet file; a file that isn't whole counts as one unknown record."""
    try:
        return pl.read_parquet(path, columns=[_ID])[_ID].to_list()
    except pl.exceptions.ComputeError as error:
        return [f"{path.name}: {error}"]
