"""Sinks on a store, and the contents of the objects in their chains."""

import gzip
import json
from datetime import date

from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.appending import AppendingChain
from fraudstream.lake.stream.sink import JsonSink

from tests.unit.lake.rows import PARTITION

DAY = date(2023, 10, 7)


class Crash(Exception):
    """A crash of the process."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def chain_on(store, topics=None, clock=None):
    clock = clock or Clock()
    return AppendingChain(store, "transaction", topics, clock=clock, sleep=clock.sleep)


def sink_on(store, clock=None, **limits):
    clock = clock or Clock()
    return JsonSink(
        chain_on(store, clock=clock),
        lines.transaction,
        flush_rows=limits.get("rows", 1_000),
        flush_seconds=limits.get("seconds", 5.0),
        clock=clock,
    )


def written_offsets(store, partition=PARTITION):
    """The offsets of all lines of a partition, object by object in the order of their first offsets."""
    found = sorted(
        (named.first_offset, name)
        for name in store.objects
        if (named := names.parse_object_name(name)) and named.partition == partition
    )
    return [
        json.loads(line)["offset"]
        for _, name in found
        for line in gzip.decompress(store.objects[name].data).splitlines()
    ]
