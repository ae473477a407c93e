"""A day with five objects on two partitions, and what a reader sees of it."""

from datetime import UTC, date, datetime

from fraudstream.kafka.records import Partition
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import totals_of
from isal import igzip

from tests.fakes.lakes import new_lake
from tests.fakes.memory_store import MemoryStore
from tests.fakes.settled import settle
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, PARTITION, batch

FOLDER = "transaction"
DAY = date(2023, 10, 7)
OTHER = Partition(PARTITION.topic, 0)
NOW = datetime(2023, 10, 8, 0, 5, tzinfo=UTC)
EXPECTED = [(0, o) for o in range(3)] + [(3, o) for o in range(9)]


class Killed(BaseException):
    """A crash of the process."""


def put(lake, start, end, partition=PARTITION, day=DAY, body=None, link=None, settled=True):
    """Writes an object with the records `start` to `end` to a lake, or to a store."""
    store = getattr(lake, "store", lake)
    times = [MIDNIGHT_MS + (day - DAY).days * DAY_MS] * (end - start)
    made = batch(range(start, end), partition=partition, timestamps=times)
    if settled:
        settle(store, FOLDER, partition, link.end if link else end)
    return store.create(
        names.object_name(FOLDER, day, partition.topic, partition.number, start),
        igzip.compress(body or bytes(lines.transaction(made))),
        content_type="application/gzip",
        metadata=(link or Link(partition, start, start, end, totals_of(made.offsets, made.rows))).metadata(),
    )


def filled():
    """A lake that has a day with five objects on two partitions."""
    lake = new_lake(MemoryStore(lambda: NOW))
    for start, end in ((0, 4), (4, 5), (5, 9)):
        put(lake, start, end)
    for start, end in ((0, 2), (2, 3)):
        put(lake, start, end, OTHER)
    return lake


def seen(lake, day=None):
    return sorted(
        pair
        for table in read_rows(lake, FOLDER, ["partition", "offset"], day=day)
        for pair in zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
    )


def run(lake, **options):
    return compact(lake, FOLDER, DAY, now=NOW, **options)


def json_objects(lake):
    return [name for name in sorted(lake.store.objects) if name.endswith(".json.gz")]
