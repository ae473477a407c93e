"""Compacts a day with one of the engines. Arguments: ``ours`` or ``spark``, bucket, folder with the same day."""

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
from fraudstream.lake.compaction import spark
from fraudstream.lake.compaction.protocol import CompactionReport, compact
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream.names import TRANSACTIONS
from fraudstream.lake.table.catalog import CATALOG, Tables
from fraudstream.lake.table.lake import Lake
from pyiceberg.catalog.sql import SqlCatalog

from benchmarks.harness.lake_day import DAY
from benchmarks.harness.outcome import Timed, timed
from local.programs import spark as local_spark

_EVERY_SECONDS = 0.2
_KEEP_JSON = timedelta(days=1)


@contextmanager
def peak_of_all(work: Timed) -> Iterator[None]:
    """Records the peak of the summed resident memory of this process and all its descendants in the outcome."""
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


def on_spark(lake: Lake, directory: Path, day: Path) -> CompactionReport:
    """Compacts with Spark, which reads the day's files from disk instead of a bucket; totals are compared here.

    :param directory: working folder for the job's files, the catalog and the table
    :param day: folder with the day's objects
    """
    job = spark.prepare(lake, TRANSACTIONS, DAY)
    prepared = lake.store.get(job) if job is not None else None
    if job is None or prepared is None:
        raise SystemExit(f"bucket {lake.store.bucket} has no JSON of {DAY}")
    (directory / TRANSACTIONS).symlink_to((day / TRANSACTIONS).resolve())
    (directory / job).parent.mkdir(parents=True)
    (directory / job).write_bytes(prepared.data)
    local_spark.compact(directory, job, local_spark.catalog(directory / "catalog.db", directory.as_uri()))
    for path in sorted((directory / job).parent.glob("result/part-*")):
        lake.store.create(path.relative_to(directory).as_posix(), path, content_type="text/plain", metadata={})
    return spark.finish(lake, job, keep_json=_KEEP_JSON)


if __name__ == "__main__":
    engine, bucket, folder = sys.argv[1:]
    store = Store.connect(bucket)
    with tempfile.TemporaryDirectory() as name:
        # Both engines write the table's files to the local disk: Spark can't reach the emulated store.
        catalog = SqlCatalog(CATALOG, uri=f"sqlite:///{name}/catalog.db", warehouse=Path(name).as_uri())
        lake = Lake(store, Tables(catalog, bucket))
        lake.tables.load_or_create(TRANSACTIONS)
        with timed() as work, peak_of_all(work):
            if engine == "spark":
                report = on_spark(lake, Path(name), Path(folder))
            else:
                report = compact(lake, TRANSACTIONS, DAY, keep_json=_KEEP_JSON)
            work.items = report.json_rows
