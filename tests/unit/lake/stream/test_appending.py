"""A progress that lags behind its chain: how often it is written, and who notices that another process moved it."""

from datetime import timedelta

import pytest
from fraudstream.errors import PartitionLost
from fraudstream.lake.stream import names, progress
from fraudstream.lake.stream.appending import AppendingChain, written_end
from fraudstream.lake.stream.chain import Link, ObjectChain
from fraudstream.lake.stream.totals import Totals

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.chains import Clock, sink_on
from tests.unit.lake.filled_day import DAY, FOLDER
from tests.unit.lake.rows import PARTITION, batch

PROGRESS = names.progress_name(FOLDER, *PARTITION)


class Lake:
    """A store that counts its writes and accepts one per second and object; chains and sinks use its clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.store.clock_of_limit = self.clock
        self.writes: list[str] = []
        self.store.after = self._count

    def _count(self, operation: str, name: str) -> None:
        if operation in {"create", "replace", "delete"}:
            self.writes.append(name)

    def chain(self) -> AppendingChain:
        return AppendingChain(self.store, FOLDER, clock=self.clock, sleep=self.clock.sleep)

    def progress(self) -> int | None:
        there = progress.load(self.store, FOLDER, PARTITION)
        return there.end if there else None

    def writes_of_progress(self) -> int:
        return self.writes.count(PROGRESS)


def append(chain: AppendingChain, start: int, end: int, day=DAY) -> int:
    return chain.append(PARTITION, start, end, day, b"", Totals(end - start)).end


@pytest.fixture
def lake() -> Lake:
    return Lake()


def test_a_thousand_objects_a_second_move_the_progress_once_in_half_a_minute(lake):
    chain = lake.chain()
    chain.open(PARTITION)
    for number in range(2_000):
        append(chain, number, number + 1)
        lake.clock.now += 0.03
    chain.settle()
    assert lake.progress() == 2_000
    assert len(lake.writes) - lake.writes_of_progress() == 2_000
    assert lake.writes_of_progress() <= 1 + 60 / 30 + 1


def test_a_flush_that_writes_costs_one_write_and_a_quiet_half_minute_one_more(lake):
    sink = sink_on(lake.store, lake.clock, seconds=5.0)
    sink.assigned(PARTITION, None)
    for number in range(12):  # a minute
        sink.write(batch([number]))
        lake.clock.now += 5
        assert sink.due()
        assert sink.flush() == {PARTITION: number + 1}
    assert len(lake.writes) <= 12 + 1 + 60 / 30
    assert not sink.due()
    lake.clock.now += 30
    assert sink.due()
    before = len(lake.writes)
    assert sink.flush() == {}
    assert (len(lake.writes), lake.progress()) == (before + 1, 12)
    lake.clock.now += 3_600
    assert not sink.due()
    sink.close()


def test_a_progress_that_was_just_written_is_moved_a_second_later(lake):
    chain = lake.chain()
    chain.open(PARTITION)
    append(chain, 0, 1)
    append(chain, 1, 2)
    chain.settle()  # the store would answer 429 before that
    assert (lake.clock.now, lake.progress()) == (1.0, 2)


def test_the_next_reader_adopts_what_lies_behind_the_progress_over_midnight_too(lake):
    dead = lake.chain()
    dead.open(PARTITION)
    append(dead, 0, 4)
    append(dead, 4, 7)
    append(dead, 7, 9, DAY + timedelta(days=1))
    assert lake.progress() == 4
    assert written_end(lake.store, FOLDER, PARTITION) == 9
    lake.clock.now += 1
    assert lake.chain().open(PARTITION) == 9
    assert lake.progress() == 9


def test_a_progress_that_is_lost_is_made_anew_from_the_objects_and_reports_no_lost_records(lake):
    dead = lake.chain()
    dead.open(PARTITION)
    append(dead, 0, 4)
    append(dead, 4, 7)
    lake.store.delete(PROGRESS, lake.store.look_up(PROGRESS).generation)
    lake.clock.now += 1
    assert lake.chain().open(PARTITION) == 7
    made = progress.load(lake.store, FOLDER, PARTITION)
    assert (made.end, made.taken, made.day) == (7, 0, DAY)


def test_objects_that_no_link_joins_to_the_progress_are_not_adopted(lake):
    dead = lake.chain()
    dead.open(PARTITION)
    append(dead, 0, 4)
    stray = Link(PARTITION, 5, 5, 8, Totals(3))
    name = names.object_name(FOLDER, DAY, *PARTITION, 5)
    lake.store.create(name, b"", content_type="", metadata=stray.metadata())
    lake.clock.now += 1
    assert lake.chain().open(PARTITION) == 4


def test_opening_a_chain_stops_who_had_it_open(lake):
    old = lake.chain()
    old.open(PARTITION)
    append(old, 0, 1)
    lake.clock.now += 1
    assert lake.chain().open(PARTITION) == 1
    with pytest.raises(PartitionLost, match=r"non_fraud_transaction\[3\]"):
        append(old, 1, 2)


def test_a_zombie_under_whose_name_compaction_deleted_stops_before_it_goes_on(lake):
    zombie = lake.chain()
    zombie.open(PARTITION)
    append(zombie, 0, 1)
    lake.clock.now += 1
    owner = lake.chain()
    owner.open(PARTITION)
    append(owner, 1, 3)
    lake.clock.now += 1
    owner.settle()
    (deleted,) = [info for info in lake.store.list(f"{FOLDER}/") if info.name.endswith(f"{1:020d}.json.gz")]
    lake.store.delete(deleted.name, deleted.generation)
    with pytest.raises(PartitionLost, match=rf"progress of folder {FOLDER}/ while this one was at offset 1;"):
        append(zombie, 1, 5)
    assert not [info for info in lake.store.list(f"{FOLDER}/") if info.name.endswith(f"{5:020d}.json.gz")]


def test_a_progress_that_moves_while_a_chain_is_opened_is_read_again(lake):
    first = lake.chain()
    first.open(PARTITION)
    append(first, 0, 1)
    lake.store.clock_of_limit = None

    def another_opens(operation: str, name: str) -> None:
        if operation == "list":
            lake.store.before = lambda operation, name: None
            other = ObjectChain(lake.store, FOLDER)
            other.open(PARTITION)
            other.advance(PARTITION, other.claim(PARTITION, 1, 6, DAY, b"", Totals(5)).end, DAY)

    lake.store.before = another_opens
    assert lake.chain().open(PARTITION) == 6
