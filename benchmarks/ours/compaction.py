"""compact() of the benchmark's day in its bucket; the JSON stays. Argument: bucket."""

import sys
from datetime import timedelta

import pandas as pd  # noqa: F401  # Arrow imports it at its first call; imports are timed for nobody
from fraudstream.lake.compaction import compiled
from fraudstream.lake.compaction.compaction import compact
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.names import TRANSACTIONS
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from benchmarks.lake_day import DAY
from benchmarks.outcome import timed

if __name__ == "__main__":
    # Addressed by STORAGE_EMULATOR_HOST, which the client reads itself.
    client = storage.Client(project="local", credentials=AnonymousCredentials())
    store = Store(client, sys.argv[1])
    for prefix in ("_manifest/", f"{TRANSACTIONS}/"):
        for info in store.list(prefix):
            if not info.name.endswith(".json.gz"):
                store.delete(info.name, info.generation)
    compiled.load()  # like an import
    with timed() as work:
        report = compact(store, TRANSACTIONS, DAY, keep_json=timedelta(days=1))
        work.items = report.parquet_rows
        work.also = {"json_bytes": report.json_bytes, "parquet_bytes": report.parquet_bytes}
