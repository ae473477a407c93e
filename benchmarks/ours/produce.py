"""Produces a file of the object store to both topics in transactions. Arguments: URI, rows per second (no limit)."""

import sys

import httpcore2  # noqa: F401  # the registry's client imports it at its first request; imports must not be timed
from fraudstream.dataset.source.source import open_source
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.harness.outcome import timed

if __name__ == "__main__":
    settings = Settings()
    source = open_source(sys.argv[1], storage.Client(), replay=sys.argv[1])  # each URI gives other ids
    rate = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with timed() as work:
        progress = Publisher(settings, source, rows_per_second=rate).run()
        work.items = progress.row
    if not progress.done or progress.rejected:
        raise SystemExit(f"not what was expected: {progress}")
