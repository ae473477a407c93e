"""Crashed writers, zombies and compactions in any order: every record is there exactly once at every moment."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from fraudstream.errors import PartitionLost
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.chains import Clock, sink_on
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, PARTITION, batch
from tests.unit.lake.whole_lake import Lake

_WRITERS = st.integers(0, 2)
#: Which of the next writes to the store crashes, and whether it was done before; None: no crash.
_DEATHS = st.none() | st.tuples(st.integers(1, 3), st.booleans())


class Dies(Exception):
    """A crash of the process."""


class Writer:
    """Reads a log from the position of its sink. It never learns that another writer also owns the partition."""

    def __init__(self, store: MemoryStore, offsets: list[int], timestamps: list[int]) -> None:
        self.store = store
        self.offsets, self.timestamps = offsets, timestamps
        self.clock = Clock()
        self.sink = sink_on(store, self.clock)
        self.position: int | None = None

    def open(self) -> None:
        if self.position is None:
            self.position = self.sink.assigned(PARTITION, None)

    def write(self, records: int) -> None:
        self.open()
        start = int(np.searchsorted(self.offsets, self.position))
        chosen = self.offsets[start : start + records]
        if chosen:
            self.position = chosen[-1] + 1
            self.sink.write(batch(chosen, timestamps=self.timestamps[start : start + records]))
            self.sink.flush()

    def settle(self) -> None:
        """Does what a flush without data does."""
        self.open()
        self.sink.flush()

    def die(self) -> None:
        self.sink.close()
        self.sink = sink_on(self.store, self.clock)
        self.position = None


class Interleaving(RuleBasedStateMachine):
    """Three writers of one topic-partition, each of which believes that it owns the partition, and a compaction."""

    @initialize(log=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1)), min_size=1, max_size=30))
    def begin(self, log: list[tuple[int, int]]) -> None:
        # Transaction markers make gaps between offsets; timestamps go back and forth over midnight.
        self.offsets = np.cumsum([gap for gap, _ in log]).tolist()
        timestamps = [MIDNIGHT_MS + day * DAY_MS for _, day in log]
        self.store = MemoryStore()
        self.lake = Lake(self.store)
        self.writers = [Writer(self.store, self.offsets, timestamps) for _ in range(3)]

    @rule(writer=_WRITERS)
    def open(self, writer: int) -> None:
        self.writers[writer].open()

    @rule(writer=_WRITERS, records=st.integers(1, 12), death=_DEATHS)
    def write(self, writer: int, records: int, death: tuple[int, bool] | None) -> None:
        with self._dying(death):
            try:
                self.writers[writer].write(records)
            except (Dies, PartitionLost):
                self.writers[writer].die()

    @rule(writer=_WRITERS, death=_DEATHS)
    def settle(self, writer: int, death: tuple[int, bool] | None) -> None:
        with self._dying(death):
            try:
                self.writers[writer].settle()
            except (Dies, PartitionLost):
                self.writers[writer].die()

    @rule(writer=_WRITERS)
    def half_a_minute_passes(self, writer: int) -> None:
        self.writers[writer].clock.now += 30

    @rule(death=_DEATHS)
    def compact(self, death: tuple[int, bool] | None) -> None:
        with self._dying(death), suppress(Dies):
            self.lake.compact()

    @invariant()
    def readers_see_each_record_once_up_to_some_offset(self) -> None:
        if hasattr(self, "lake"):
            seen = self.lake.offsets()
            assert seen == self.offsets[: len(seen)]

    def teardown(self) -> None:
        if not hasattr(self, "lake"):
            return
        for writer in self.writers:
            writer.die()
        self.writers[0].write(len(self.offsets))
        self.writers[0].settle()
        self.lake.compact()
        self.writers[0].die()
        assert self.lake.offsets() == self.offsets

    @contextmanager
    def _dying(self, death: tuple[int, bool] | None) -> Iterator[None]:
        left = [death[0] if death else 0]

        def die(operation: str, name: str) -> None:
            if operation in {"create", "replace", "delete"}:
                left[0] -= 1
                if left[0] == 0:
                    raise Dies

        setattr(self.store, "after" if death and death[1] else "before", die)
        try:
            yield
        finally:
            self.store.before = self.store.after = lambda operation, name: None


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_an_object_that_no_progress_covers_is_left_to_the_writer_who_adopts_it() -> None:
    """Its writer crashed before the progress moved. If it were compacted, a longer object could later get its name."""
    store = MemoryStore()
    lake = Lake(store)
    log = list(range(460))
    first = Writer(store, log, [MIDNIGHT_MS] * 460)
    first.write(100)
    first.settle()

    def die(operation: str, name: str) -> None:
        if operation == "create":
            raise Dies

    store.after = die
    with suppress(Dies):
        first.write(50)
    store.after = lambda operation, name: None
    first.die()
    lake.compact()
    again = Writer(store, log, [MIDNIGHT_MS] * 460)
    again.write(200)
    lake.compact()
    again.settle()
    lake.compact()
    again.write(360)
    again.settle()
    again.die()
    lake.compact()
    assert lake.offsets() == log
