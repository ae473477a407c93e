"""The producer through a day: each hour's rows in that hour.

Arguments: URI, rows of the day, its seconds, when it starts.
"""

import math
import sys
import time

from fraudstream.dataset.source.source import open_source
from fraudstream.kafka.produce.publisher import Publisher
from fraudstream.settings import Settings
from google.cloud import storage

from benchmarks.daily.pattern import HOURS, rows_until
from benchmarks.outcome import timed

#: Of an hour: the rest is for the start of the next hour's run.
_SHARE = 0.85


def main(uri: str, rows: int, seconds: float, started: float) -> None:
    """A run of the publisher for each hour, as produce_transactions with its params limit and rows_per_second."""
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
