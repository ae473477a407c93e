"""A folder's compaction and its reader, behind the two calls that tests of the whole lake make."""

from datetime import UTC, datetime, timedelta

from fraudstream.lake.compaction.compaction import compact
from fraudstream.lake.query.reading import list_days, read_day

from tests.fakes.memory_store import MemoryStore

FOLDER = "transaction"
#: Every day that tests write is closed, and what was compacted is deleted at once.
_NOW = datetime(2024, 1, 1, tzinfo=UTC)


class Lake:
    """Folder transaction/ of a store."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def compact(self) -> None:
        """Compacts and deletes all that can be."""
        for day in list_days(self.store, FOLDER):
            compact(self.store, FOLDER, day, keep_json=timedelta(0), now=_NOW)

    def offsets(self) -> list[int]:
        """Offsets of all rows that a reader gets, sorted, an offset as often as it is there."""
        return sorted(
            offset
            for day in list_days(self.store, FOLDER)
            for rows in read_day(self.store, FOLDER, day, ["offset"])
            for offset in rows["offset"].to_pylist()
        )
