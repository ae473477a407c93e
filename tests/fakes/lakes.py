"""Lakes with their own catalog: real Iceberg tables in a folder, and a SQL catalog in a file."""

import shutil
import tempfile
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fraudstream.lake.store.objects import ObjectStore
from fraudstream.lake.table.catalog import CATALOG, Tables
from fraudstream.lake.table.lake import Lake
from pyiceberg.catalog.sql import SqlCatalog

from tests.fakes.memory_store import MemoryStore


class HookedCatalog(SqlCatalog):
    """A SQL catalog that calls `before` before each call and `after` after it; both may raise or change something."""

    def __init__(self, name: str, **properties: str) -> None:
        super().__init__(name, **properties)
        self.before: Callable[[str], None] = lambda operation: None
        self.after: Callable[[str], None] = lambda operation: None

    def load_table(self, identifier: Any) -> Any:
        return self._hooked("load_table", super().load_table, identifier)

    def create_table(self, *arguments: Any, **options: Any) -> Any:
        return self._hooked("create_table", super().create_table, *arguments, **options)

    def commit_table(self, *arguments: Any, **options: Any) -> Any:
        return self._hooked("commit_table", super().commit_table, *arguments, **options)

    def _hooked(self, operation: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        self.before(operation)
        found = call(*arguments, **options)
        self.after(operation)
        return found


def new_lake(store: ObjectStore | None = None, directory: Path | None = None) -> Lake:
    """A lake on a store, by default an empty one in memory. The tables' files are deleted with the lake."""
    folder = directory or Path(tempfile.mkdtemp(prefix="fraudstream-tests-"))
    catalog = HookedCatalog(CATALOG, uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri())
    tables = Tables(catalog, "lake")
    if directory is None:
        weakref.finalize(tables, _discard, catalog.engine, folder)
    return Lake(store or MemoryStore(), tables)


def catalog_of(lake: Lake) -> HookedCatalog:
    """The catalog of a lake of :func:`new_lake`."""
    catalog: HookedCatalog = lake.tables.catalog
    return catalog


def _discard(engine: Any, folder: Path) -> None:
    engine.dispose()
    shutil.rmtree(folder, ignore_errors=True)
