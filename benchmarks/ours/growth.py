"""A day's compaction by one of the engines. Arguments: ours or spark, bucket, folder with the same day."""

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pandas as pd  # noqa: F401  # Arrow imports it at its first call; imports are timed for nobody
import psutil
from fraudstream.lake.compaction import spark
from fraudstream.lake.compaction.compaction import CompactionReport, compact
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.store.objects import PARQUET
from fraudstream.lake.stream.names import TRANSACTIONS
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from benchmarks.lake_day import DAY
from benchmarks.outcome import Timed, timed
from local import spark as local_spark

_EVERY_SECONDS = 0.2
_KEEP_JSON = timedelta(days=1)


@contextmanager
def peak_of_all(work: Timed) -> Iterator[None]:
    """Takes as the peak the memory of this process and all that it started, in sum."""
    peak, over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(_EVERY_SECONDS):
            resident = 0
            for process in (own, *own.children(recursive=True)):
                try:
                    resident += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue  # it ended between the two calls
            peak = max(peak, resident)

    own = psutil.Process()
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
        work.also["peak_rss_mib"] = peak / 2**20


def on_spark(store: Store, day: Path) -> CompactionReport:
    """Spark reads the day's files from disk, as it would from a bucket; what it makes goes to the store."""
    job = spark.prepare(store, TRANSACTIONS, DAY)
    prepared = store.get(job) if job is not None else None
    if job is None or prepared is None:
        raise SystemExit(f"bucket {store.bucket} has no JSON of {DAY}")
    with tempfile.TemporaryDirectory() as directory:
        lake = Path(directory)
        (lake / TRANSACTIONS).symlink_to((day / TRANSACTIONS).resolve())
        (lake / job).parent.mkdir(parents=True)
        (lake / job).write_bytes(prepared.data)
        local_spark.compact(lake, job)
        for path in sorted((lake / job).parent.rglob("part-*")):
            store.create(path.relative_to(lake).as_posix(), path, content_type=PARQUET, metadata={})
    return compact(store, TRANSACTIONS, DAY, keep_json=_KEEP_JSON, engine=spark.finished)


if __name__ == "__main__":
    engine, bucket, folder = sys.argv[1:]
    # Addressed by STORAGE_EMULATOR_HOST, which the client reads itself.
    store = Store(storage.Client(project="local", credentials=AnonymousCredentials()), bucket)
    with timed() as work, peak_of_all(work):
        if engine == "spark":
            report = on_spark(store, Path(folder))
        else:
            report = compact(store, TRANSACTIONS, DAY, keep_json=_KEEP_JSON)
        work.items = report.parquet_rows
