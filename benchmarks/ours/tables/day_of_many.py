"""Times the same query of one day on a lake with only that day and on a lake with sixty days (median of seconds)."""

import statistics
import time
from datetime import UTC, date, datetime, timedelta

from fraudstream.kafka.records import NON_FRAUD_TRANSACTION, Batch, Partition
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.query import query
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import totals_of
from fraudstream.lake.table.lake import Lake
from fraudstream.settings import Settings
from google.cloud import storage
from isal import igzip

from benchmarks.harness.lake_day import DAY, batch_of, settle
from benchmarks.harness.outcome import timed

_DAYS = 60
ROWS = 20_000
_TIMES = 7
_PLACE = Partition(NON_FRAUD_TRANSACTION, 0)
_SQL = "SELECT type, count(*), sum(amount) FROM transaction WHERE dt = DATE '{}' GROUP BY ALL"


def empty_lake(bucket: str) -> Lake:
    """Creates a bucket and returns its empty lake."""
    storage.Client().create_bucket(bucket)
    return Lake.connect(Settings(), bucket)


def add_day(lake: Lake, number: int, day: date) -> float:
    """Adds a day to the lake and compacts it; returns the seconds that the compaction took.

    :param number: how many days the lake has already
    """
    midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    made: Batch = batch_of(ROWS, _PLACE, number * ROWS, midnight)
    link = Link(_PLACE, number * ROWS, number * ROWS, (number + 1) * ROWS, totals_of(made.offsets, made.rows))
    lake.store.create(
        names.object_name(names.TRANSACTIONS, day, *_PLACE, link.first),
        igzip.compress(bytes(lines.transaction(made)), 1),
        content_type=GZIP,
        metadata=link.metadata(),
    )
    settle(lake.store, names.TRANSACTIONS, {_PLACE: link.end})
    started = time.perf_counter()
    compact(lake, names.TRANSACTIONS, day)
    return time.perf_counter() - started


def lake_of(days: int) -> Lake:
    """Creates a lake with this many compacted days, of which the benchmark's day is the last."""
    lake = empty_lake(f"days-{days}")
    for number in range(days):
        add_day(lake, number, DAY - timedelta(days=days - 1 - number))
    return lake


def seconds(lake: Lake, day: date = DAY) -> float:
    """Runs the query of a day once and returns the seconds that it took."""
    started = time.perf_counter()
    with query(lake, _SQL.format(day)) as rows:
        if sum(rows.read_all()["count_star()"].to_pylist()) != ROWS:
            raise SystemExit("the query missed rows")
    return time.perf_counter() - started


if __name__ == "__main__":
    alone, many = lake_of(1), lake_of(_DAYS)
    with timed() as work:
        pairs = [(seconds(alone), seconds(many)) for _ in range(_TIMES)]
        work.also["alone"] = statistics.median(pair[0] for pair in pairs)
        work.also["of sixty"] = statistics.median(pair[1] for pair in pairs)
        work.items = _TIMES * 2
