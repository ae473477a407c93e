"""Times typical queries over JSON, and over the tables to which compaction moves the JSON.

Argument: a bucket that has a day of JSON only. Each query runs three times; the outcome has the median of the times and
the bytes that were read from data files of tables and from JSON objects.
"""

import statistics
import sys
import time
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.files import TableFiles
from fraudstream.lake.query.query import query
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from benchmarks.harness.lake_day import DAY
from benchmarks.harness.outcome import timed

_TIMES = 3


class Counted:
    """Counts the bytes that are read from the lake while the context is entered."""

    def __init__(self) -> None:
        self.read = 0

    def __enter__(self) -> "Counted":
        download = Store.download

        def counted(store: Store, *arguments: Any, **options: Any) -> bytes | None:
            data = download(store, *arguments, **options)
            self.add(len(data or b""))
            return data

        self._patches: list[Any] = [
            patch.object(TableFiles, "count", self.add),
            patch.object(Store, "download", counted),
        ]
        for one in self._patches:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()

    def add(self, number: int) -> None:
        self.read += number


def answers(lake: Lake, questions: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Seconds and megabytes read, by the name of each query."""
    found = {}
    for name, sql in questions.items():
        seconds = []
        for _ in range(_TIMES):
            started = time.perf_counter()
            with Counted() as counted, query(lake, sql) as rows:
                if rows.read_all().num_rows == 0:
                    raise SystemExit(f"no row answers {sql}")
            seconds.append(time.perf_counter() - started)
        found[name] = (round(statistics.median(seconds), 3), round(counted.read / 1e6, 3))
    return found


if __name__ == "__main__":
    lake = Lake.connect(Settings(), sys.argv[1])
    with query(lake, "SELECT nameOrig, idTransaction FROM transaction LIMIT 1") as first:
        customer, transaction = (column[0].as_py() for column in first.read_all().columns)
    # No injection: both values were read from the lake.
    questions = {
        "a customer's history": f"SELECT * FROM transaction WHERE nameOrig = '{customer}' ORDER BY timestamp",  # noqa: S608
        "fraud by type and day": "SELECT dt, type, count(*), sum(amount) FROM fraud_confirmation"
        " WHERE status = 'PENDING' GROUP BY ALL",
        "mails that failed": "SELECT idTransaction, reply FROM email_confirmation WHERE status = 'failed'",
        "a transaction by its id": f"SELECT * FROM transaction WHERE idTransaction = '{transaction}'",  # noqa: S608
    }
    with timed() as work:
        work.also["json"] = answers(lake, questions)
        for folder in FOLDERS:
            compact(lake, folder, DAY, keep_json=timedelta(days=1))
        work.also["table"] = answers(lake, questions)
        work.items = len(questions)
