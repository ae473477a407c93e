"""Produces a day's rows: each simulated hour's rows within that hour.

Arguments: URI of the file, number of rows, duration of the day in seconds, its start in seconds since 1970.
"""

import math
import sys
import time

from fraudstream.dataset.source.source import open_source
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.daily.pattern import HOURS, rows_until
from benchmarks.harness.outcome import timed

#: Share of an hour in which its rows are produced; the rest is for the start of the next hour's run.
_SHARE = 0.85


def main(uri: str, rows: int, seconds: float, started: float) -> None:
    """Runs the publisher once for each hour, as produce_transactions does with the params limit and rows_per_second."""
    settings, source = Settings(), open_source(uri, storage.Client(), replay=uri)
    hour_seconds = seconds / HOURS
    with timed() as work:
        for hour, until in enumerate(rows_until(rows)):
            time.sleep(max(0.0, started + hour * hour_seconds - time.time()))
            if (count := until - work.items) == 0:
                continue
            rate = math.ceil(count / (hour_seconds * _SHARE))
            work.items = Publisher(settings, source, limit=until, rows_per_second=rate).run().row
        work.also["late"] = max(0.0, time.time() - started - seconds)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
