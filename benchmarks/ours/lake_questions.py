"""Three typical questions over JSON, over Parquet in the order of arrival, and over what compaction makes.

Argument: bucket, with a day of JSON only. Each question is asked three times, the median counts; with it come the
bytes that were read from the store.
"""

import statistics
import sys
import time
from datetime import timedelta
from unittest.mock import patch

import pandas as pd  # noqa: F401  # Arrow imports it at its first call; imports are timed for nobody
from fraudstream.lake.compaction.compaction import compact
from fraudstream.lake.query.query import query
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import ObjectInfo
from fraudstream.lake.stream.names import FOLDERS
from fraudstream.lake.table import schemas
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from benchmarks.lake_day import DAY
from benchmarks.outcome import timed

_TIMES = 3
_ARRIVAL = dict.fromkeys(FOLDERS, ("topic", "partition", "offset"))
_NO_FILTERS: dict[str, tuple[str, ...]] = dict.fromkeys(FOLDERS, ())


class CountingStore(Store):
    """Counts the bytes that are downloaded."""

    read = 0

    def download(self, info: ObjectInfo, start: int = 0, end: int | None = None) -> bytes | None:
        data = super().download(info, start, end)
        self.read += len(data or b"")
        return data


def answers(store: CountingStore, questions: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Seconds and megabytes of each question."""
    found = {}
    for name, sql in questions.items():
        seconds = []
        for _ in range(_TIMES):
            store.read = 0
            started = time.perf_counter()
            with query(store, sql) as rows:
                if rows.read_all().num_rows == 0:
                    raise SystemExit(f"no row answers {sql}")
            seconds.append(time.perf_counter() - started)
        found[name] = (round(statistics.median(seconds), 3), round(store.read / 1e6, 3))
    return found


if __name__ == "__main__":
    store = CountingStore(storage.Client(project="local", credentials=AnonymousCredentials()), sys.argv[1])
    with query(store, "SELECT nameOrig, idTransaction FROM transaction LIMIT 1") as first:
        customer, transaction = (column[0].as_py() for column in first.read_all().columns)
    # The values come out of the lake itself.
    questions = {
        "a customer's history": f"SELECT * FROM transaction WHERE nameOrig = '{customer}' ORDER BY timestamp",  # noqa: S608
        "fraud by type and day": "SELECT dt, type, count(*), sum(amount) FROM fraud_confirmation"
        " WHERE status = 'PENDING' GROUP BY ALL",
        "mails that failed": "SELECT idTransaction, reply FROM email_confirmation WHERE status = 'failed'",
        "a transaction by its id": f"SELECT * FROM transaction WHERE idTransaction = '{transaction}'",  # noqa: S608
    }
    with timed() as work:
        work.also["json"] = answers(store, questions)
        for layout in ("arrival", "parquet"):
            arrival = layout == "arrival"
            with (
                patch.dict(schemas.SORT_ORDER, _ARRIVAL if arrival else {}),
                patch.dict(schemas.BLOOM_FILTERS, _NO_FILTERS if arrival else {}),
            ):
                for folder in FOLDERS:
                    compact(store, folder, DAY, keep_json=timedelta(days=1))
            work.also[layout] = answers(store, questions)
            if arrival:
                for info in (info for prefix in ("_manifest", *FOLDERS) for info in store.list(f"{prefix}/")):
                    if not info.name.endswith(".json.gz"):
                        store.delete(info.name, info.generation)
        work.items = len(questions)
