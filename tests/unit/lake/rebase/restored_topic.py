"""A topic that was restored to an earlier state, the lake that it fills, and the rebase of that lake."""

import gzip
import json
from dataclasses import dataclass, field

from fraudstream.kafka.records import Partition
from fraudstream.lake.rebase.rebase import apply_plan, plan
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.sink import JsonSink
from fraudstream.lake.stream.totals import totals_of_lines

from tests.unit.lake.chains import Clock
from tests.unit.lake.rows import PARTITION, batch, row

TOPIC, FOLDER = PARTITION.topic, "transaction"


@dataclass
class Topics:
    """The topic in the brokers' current state: its id, and the offsets of each partition."""

    identity: str = "first id"
    ends: dict[int, int] = field(default_factory=lambda: {3: 10})
    firsts: dict[int, int] = field(default_factory=dict)

    def id(self, topic):
        return self.identity

    def partitions(self, topic):
        return [Partition(topic, number) for number in self.ends]

    def first_offset(self, partition):
        return self.firsts.get(partition.number, 0)

    def end_offset(self, partition):
        return self.ends[partition.number]


class Crash(Exception):
    """A crash of the process."""


def read(store, topics, version, *, rows=4):
    """Writes the topic's records that the lake doesn't have to the lake; each contains the topic's version."""
    clock = Clock()
    chain = AppendingChain(store, FOLDER, topics, clock=clock, sleep=clock.sleep)
    sink = JsonSink(chain, lines.transaction, flush_rows=rows, flush_seconds=5)
    start = sink.assigned(PARTITION, None)
    for first in range(start, topics.ends[3], rows):
        offsets = range(first, min(first + rows, topics.ends[3]))
        sink.write(batch(offsets, rows=[row(offset, nameDest=version) for offset in offsets]))
        sink.flush()
    sink.flush()
    sink.close()


def lake(store):
    """The offset and the version of each row."""
    return sorted(
        (record["offset"], record["nameDest"])
        for name, stored in store.objects.items()
        if name.startswith(f"{FOLDER}/")
        for record in map(json.loads, gzip.decompress(stored.data).splitlines())
    )


def rebased(store, topics, agreed=None):
    """Rebases; lake and topic have equal records below `agreed`, or up to the topic's end if it is None."""
    found = plan(store, topics, TOPIC, lambda partition, end: end if agreed is None else min(agreed, end))
    if found:
        apply_plan(store, found)
    return found


def expected(kept, end):
    return [(offset, "old" if offset < kept else "new") for offset in range(end)]


def assert_chain_is_whole(store, end):
    links = [(Link.of(stored.info), stored) for name, stored in store.objects.items() if names.parse_object_name(name)]
    links.sort(key=lambda pair: pair[0].first)
    assert [link.start for link, _ in links] == [0, *(link.end for link, _ in links)][: len(links)]
    assert links[-1][0].end == end
    for link, stored in links:
        assert link.totals == totals_of_lines(gzip.decompress(stored.data).splitlines(), link.totals.columns)
