"""A folder's compaction and its reader, behind the two calls that tests of the whole lake use."""

from datetime import UTC, date, datetime, timedelta

from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.view import read_rows

from tests.fakes.lakes import new_lake
from tests.fakes.memory_store import MemoryStore

FOLDER = "transaction"
#: Every day that tests write is closed, and compacted JSON is deleted at once.
_NOW = datetime(2100, 1, 1, tzinfo=UTC)
_LAST = date(2023, 12, 31)


class Lake:
    """The folder transaction/ of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self._lake = new_lake(store)

    def compact(self) -> None:
        """Compacts, and deletes all objects that can be deleted."""
        compact(self._lake, FOLDER, _LAST, keep_json=timedelta(0), now=_NOW)

    def offsets(self) -> list[int]:
        """The offsets of all rows that a reader gets, sorted, with duplicates."""
        return sorted(
            offset for rows in read_rows(self._lake, FOLDER, ["offset"]) for offset in rows["offset"].to_pylist()
        )
