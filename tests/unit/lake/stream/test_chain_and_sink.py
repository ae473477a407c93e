"""Every record is in exactly one object, in order, even if a writer is killed, slow or no longer owns the partition."""

import gzip
import json

import numpy as np
import pytest
from fraudstream.errors import LakeError, LakeUnavailable, PartitionLost
from fraudstream.kafka.records import Batch, Partition
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link, ObjectChain
from fraudstream.lake.stream.totals import total, totals_of
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.chains import DAY, Clock, Crash, sink_on, written_offsets
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, PARTITION, batch

# A log: offsets with gaps (markers, dead letters), and timestamps that may go back and forth over midnight.
logs = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 2)), min_size=1, max_size=25).map(
    lambda steps: (
        np.cumsum([gap for gap, _ in steps]).tolist(),
        [MIDNIGHT_MS + day * DAY_MS for _, day in steps],
    )
)


class Reader:
    """Uses a sink as the engine does: reads the log from the sink's position, in batches of any size."""

    def __init__(self, store, log, rows=1_000):
        self.log = log
        self.rows = rows
        self.sink = sink_on(store, rows=rows)
        self.position = None

    def step(self, choice):
        try:
            if self.position is None:
                self.position = self.sink.assigned(PARTITION, None)
            elif choice == 0:
                self.sink.flush()
            else:
                self.sink.write(self._batch(choice))
        except (Crash, PartitionLost):
            self.die()

    def die(self):
        self.sink.close()
        self.sink = sink_on(self.sink._chain.store, rows=self.rows)
        self.position = None

    def finish(self):
        for _ in range(3):
            self.step(1)
            self.step(len(self.log[0]))
            self.step(0)

    def _batch(self, size):
        offsets, timestamps = self.log
        start = int(np.searchsorted(offsets, self.position))
        chosen = offsets[start : start + size]
        self.position = max(self.position, chosen[-1] + 1 if chosen else 0)
        return batch(chosen, timestamps=timestamps[start : start + size], next_offset=self.position)


@settings(max_examples=200, deadline=None)
@given(
    log=logs,
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), max_size=40),
    crashes=st.sets(st.integers(0, 60), max_size=12),
    after=st.booleans(),
    rows=st.sampled_from([3, 1_000]),
)
def test_interleaved_zombies_and_crashes_leave_every_record_in_one_object(log, steps, crashes, after, rows):
    """Three readers that all think they own the partition; the store call numbers in `crashes` kill their caller,
    before or after the store did what was asked."""
    store = MemoryStore()
    calls = iter(range(10_000))

    def crash(operation, name):
        if operation in {"create", "replace"} and next(calls) in crashes:
            raise Crash

    setattr(store, "after" if after else "before", crash)
    readers = [Reader(store, log, rows) for _ in range(3)]
    for reader, choice in steps:
        readers[reader].step(choice)
    store.before = store.after = lambda operation, name: None
    for reader in readers[1:]:
        reader.sink.close()
    readers[0].die()  # the remaining reader starts again, as the engine does after an error
    readers[0].finish()
    readers[0].sink.close()
    assert written_offsets(store) == log[0]
    whole = batch(log[0])
    of_objects = total(Link.of(info).totals for info in store.list("transaction/"))
    assert of_objects == totals_of(whole.offsets, whole.rows)
    assert Link.of(max(store.list("transaction/"), key=lambda info: Link.of(info).first)).end == log[0][-1] + 1


@settings(deadline=None)
@given(logs)
def test_an_object_holds_records_of_one_day(log):
    store = MemoryStore()
    reader = Reader(store, log)
    reader.finish()
    reader.sink.close()
    for name, stored in store.objects.items():
        named = names.parse_object_name(name)
        if named:
            found = {json.loads(line)["recordTimestamp"][:10] for line in gzip.decompress(stored.data).splitlines()}
            assert found == {named.day.isoformat()}


def test_an_object_links_to_the_one_before_it():
    store = MemoryStore()
    sink = sink_on(store)
    sink.assigned(PARTITION, None)
    for offsets, next_offset in (([3, 4], 6), ([8], 9)):
        sink.write(batch(offsets, next_offset=next_offset))
        assert sink.flush() == {PARTITION: next_offset}
    sink.close()
    written = [batch([3, 4]), batch([8])]
    assert [Link.of(info) for info in store.list("transaction/")] == [
        Link(PARTITION, 0, 3, 6, totals_of(written[0].offsets, written[0].rows)),
        Link(PARTITION, 6, 8, 9, totals_of(written[1].offsets, written[1].rows)),
    ]


def test_a_reader_that_lost_its_partition_stops():
    store = MemoryStore()
    old, new = sink_on(store), sink_on(store)
    for sink in (old, new):
        sink.assigned(PARTITION, None)
    new.write(batch([0, 1]))
    new.flush()
    old.write(batch([0, 1, 2]))
    with pytest.raises(PartitionLost, match=r"non_fraud_transaction\[3\]"):
        old.flush()
    old.close()
    new.close()
    assert written_offsets(store) == [0, 1]


def test_the_rest_behind_an_adopted_object_is_written_and_the_start_of_the_next_batch_skipped():
    store = MemoryStore()
    sink = sink_on(store)
    assert sink.assigned(PARTITION, 77) == 0
    rival = ObjectChain(store, "transaction")  # it writes one object and crashes
    rival.open(PARTITION)
    made = batch([0, 1, 2, 3, 4])
    body = gzip.compress(bytes(lines.transaction(made)))
    rival.claim(PARTITION, 0, 5, DAY, body, totals_of(made.offsets, made.rows))
    sink.write(batch([0, 1, 2]))
    assert sink.flush() == {PARTITION: 5}
    sink.write(batch([3, 4, 5]))
    assert sink.flush() == {PARTITION: 6}
    sink.close()
    assert written_offsets(store) == [0, 1, 2, 3, 4, 5]


def test_a_lost_progress_object_is_found_again_from_the_objects():
    store = MemoryStore()
    sink = sink_on(store)
    sink.assigned(PARTITION, None)
    for offset in (0, 1, 2):
        sink.write(batch([offset]))
        sink.flush()
    sink.close()
    del store.objects[names.progress_name("transaction", *PARTITION)]
    sink = sink_on(store)
    assert sink.assigned(PARTITION, None) == 3
    sink.write(batch([3]))
    assert sink.flush() == {PARTITION: 4}
    sink.close()
    assert written_offsets(store) == [0, 1, 2, 3]
    assert ObjectChain(store, "transaction").open(Partition(PARTITION.topic, 4)) is None


def test_a_batch_of_dropped_records_moves_on_without_an_object():
    store = MemoryStore()
    clock = Clock()
    sink = sink_on(store, clock)
    sink.assigned(PARTITION, None)
    sink.write(batch([], next_offset=9))
    clock.now = 5.0
    assert sink.due()
    assert sink.flush() == {PARTITION: 9}
    assert not sink.due()
    assert store.objects == {}
    sink.close()


def test_due_by_age():
    clock = Clock()
    sink = sink_on(MemoryStore(), clock, seconds=5.0)
    sink.assigned(PARTITION, None)
    assert not sink.due()
    sink.write(batch([3]))
    clock.now = 4.9
    assert not sink.due()
    clock.now = 5.0
    assert sink.due()
    sink.flush()
    assert not sink.due()
    sink.close()


def test_what_waits_of_a_revoked_partition_is_not_written():
    store = MemoryStore()
    sink = sink_on(store)
    kept = Partition(PARTITION.topic, 0)
    for partition in (PARTITION, kept):
        sink.assigned(partition, None)
        sink.write(batch([0], partition=partition))
    sink.revoked([PARTITION])
    assert sink.flush() == {kept: 1}
    sink.close()
    assert written_offsets(store, PARTITION) == []
    assert written_offsets(store, kept) == [0]


def test_an_error_of_the_store_reaches_the_engine():
    store = MemoryStore()
    sink = sink_on(store)
    sink.assigned(PARTITION, None)
    sink.write(batch([0]))

    def down(operation, name):
        raise LakeUnavailable("down")

    store.before = down
    with pytest.raises(LakeUnavailable):
        sink.flush()
    sink.close()


def test_a_strange_object_under_a_name_of_the_chain_is_named():
    store = MemoryStore()
    name = names.object_name("transaction", DAY, *PARTITION, 0)
    store.create(name, b"", content_type="text/plain", metadata={})
    sink = sink_on(store)
    with pytest.raises(LakeError, match=name):
        sink.assigned(PARTITION, None)
    sink.close()


def test_batches_out_of_order_are_refused():
    sink = sink_on(MemoryStore())
    sink.assigned(PARTITION, None)
    later: Batch = batch([5])
    sink.write(later)
    with pytest.raises(ValueError, match="not in offset order"):
        sink.write(batch([1]))
    sink.close()
