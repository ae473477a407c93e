"""The same query of one day, on a lake that has only that day and on one that has sixty; medians of seconds."""

import statistics
import time
from datetime import UTC, datetime, timedelta

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

from benchmarks.lake_day import DAY, batch_of, settle
from benchmarks.outcome import timed

_DAYS = 60
_ROWS = 20_000
_TIMES = 7
_PLACE = Partition(NON_FRAUD_TRANSACTION, 0)
_SQL = f"SELECT type, count(*), sum(amount) FROM transaction WHERE dt = DATE '{DAY}' GROUP BY ALL"  # noqa: S608


def lake_of(days: int) -> Lake:
    """A lake of so many compacted days that end with the benchmark's."""
    bucket = f"days-{days}"
    storage.Client().create_bucket(bucket)
    lake = Lake.connect(Settings(), bucket)
    for number in range(days):
        day = DAY - timedelta(days=days - 1 - number)
        midnight = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
        made: Batch = batch_of(_ROWS, _PLACE, number * _ROWS, midnight)
        link = Link(_PLACE, number * _ROWS, number * _ROWS, (number + 1) * _ROWS, totals_of(made.offsets, made.rows))
        lake.store.create(
            names.object_name(names.TRANSACTIONS, day, *_PLACE, link.first),
            igzip.compress(bytes(lines.transaction(made)), 1),
            content_type=GZIP,
            metadata=link.metadata(),
        )
        settle(lake.store, names.TRANSACTIONS, {_PLACE: link.end})
        compact(lake, names.TRANSACTIONS, day)
    return lake


def seconds(lake: Lake) -> float:
    """The query once."""
    started = time.perf_counter()
    with query(lake, _SQL) as rows:
        if sum(rows.read_all()["count_star()"].to_pylist()) != _ROWS:
            raise SystemExit("the query missed rows")
    return time.perf_counter() - started


if __name__ == "__main__":
    alone, many = lake_of(1), lake_of(_DAYS)
    with timed() as work:
        pairs = [(seconds(alone), seconds(many)) for _ in range(_TIMES)]
        work.also["alone"] = statistics.median(pair[0] for pair in pairs)
        work.also["of sixty"] = statistics.median(pair[1] for pair in pairs)
        work.items = _TIMES * 2
