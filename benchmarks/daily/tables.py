"""The compaction through a day, each hour, until SIGTERM. Arguments: seconds of the day, its start.

As compact_lake with FRAUDSTREAM_LAKE_COMPACTION=hourly; the JSON is kept. The outcome has the commits to the table of
transactions. A run moves what lies before the progress of a topic-partition, which is written every 30 s at most: where
an hour is shorter, not every run has something to move.
"""

import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.view import open_view
from fraudstream.lake.stream.names import FOLDERS, TRANSACTIONS
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from benchmarks.daily.pattern import HOURS
from benchmarks.outcome import timed

_TIME = "recordTimestamp"


def last_commit(lake: Lake) -> tuple[float, float] | None:
    """When the table of transactions got its snapshot, and the time of its newest row, seconds since 1970.

    None: the table isn't there, or has no rows. It is made with an empty snapshot, before the first rows are moved.
    """
    with open_view(lake, TRANSACTIONS, copy=False) as view:
        snapshot = view.table.current_snapshot() if view.table else None
        rows = list(view.table_rows((_TIME,)))
    if snapshot is None or not rows:
        return None
    newest: datetime = pc.max(pa.concat_tables(rows)[_TIME]).as_py()
    return snapshot.timestamp_ms / 1000, newest.timestamp()


def main(seconds: float, started: float) -> None:
    """A run that takes longer than an hour delays the next one, as in the DAG."""
    lake, stop = Lake.connect(Settings()), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    hour_seconds = seconds / HOURS
    commits: list[tuple[float, float]] = []
    durations: list[float] = []
    with timed() as work:
        while not stop.wait(hour_seconds - (time.time() - started) % hour_seconds):
            begun = time.time()
            today = datetime.now(UTC).date()
            reports = [compact(lake, folder, today, keep_json=timedelta(days=1)) for folder in FOLDERS]
            ended = time.time()
            durations.append(ended - begun)
            work.items += sum(report.json_rows for report in reports)
            if (commit := last_commit(lake)) and commit not in commits:
                commits.append(commit)
        work.also |= {"commits": commits, "durations": durations}


if __name__ == "__main__":
    main(float(sys.argv[1]), float(sys.argv[2]))
