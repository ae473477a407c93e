"""Compacts the lake in each simulated hour, until SIGTERM.

Arguments: duration of the day in seconds, its start in seconds since 1970.

It works as compact_lake with FRAUDSTREAM_LAKE_COMPACTION=hourly, but keeps the JSON. The outcome has the commits to the
table transaction. A run moves the rows before the stored progress of each topic-partition. The progress is written
every 30 s at most, so if an hour is shorter, some runs have nothing to move.
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
from benchmarks.harness.outcome import timed

_TIME = "recordTimestamp"


def last_commit(lake: Lake) -> tuple[float, float] | None:
    """The commit time of the current snapshot of table transaction, and the time of its newest row, seconds since 1970.

    None if the table doesn't exist or has no rows: it is created with an empty snapshot before the first rows come.
    """
    with open_view(lake, TRANSACTIONS, copy=False) as view:
        snapshot = view.table.current_snapshot() if view.table else None
        rows = list(view.table_rows((_TIME,)))
    if snapshot is None or not rows:
        return None
    newest: datetime = pc.max(pa.concat_tables(rows)[_TIME]).as_py()
    return snapshot.timestamp_ms / 1000, newest.timestamp()


def main(seconds: float, started: float) -> None:
    """Starts a compaction every hour. A run that takes longer than an hour delays the next one, as in the DAG."""
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
