"""Compacts the benchmark's day in a bucket; the JSON is kept. Argument: bucket."""

import sys
from datetime import timedelta

from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.stream.names import TRANSACTIONS
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings

from benchmarks.harness.lake_day import DAY, without_tables
from benchmarks.harness.outcome import timed

if __name__ == "__main__":
    lake = Lake.connect(Settings(), sys.argv[1])
    without_tables(lake)
    lake.tables.load_or_create(TRANSACTIONS)  # not timed: this happens once in a lake's life
    with timed() as work:
        report = compact(lake, TRANSACTIONS, DAY, keep_json=timedelta(days=1))
        work.items = report.json_rows
        work.also = {"json_bytes": report.json_bytes, "parquet_bytes": report.file_bytes}
