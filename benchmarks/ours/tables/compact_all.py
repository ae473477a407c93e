"""Compacts all folders of the lake as compact_lake does, but up to and including today."""

from datetime import UTC, datetime

from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from benchmarks.harness.outcome import timed

if __name__ == "__main__":
    lake = Lake.connect(Settings())
    today = datetime.now(UTC).date()
    with timed() as work:
        work.items = sum(compact(lake, folder, today).json_rows for folder in FOLDERS)
