"""Objects that are written while further records arrive: no record and no error gets lost."""

import pytest
from fraudstream.errors import LakeUnavailable
from fraudstream.lake.stream.chain import Link

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.chains import Clock, sink_on, written_offsets
from tests.unit.lake.rows import PARTITION, batch


def test_rows_enough_are_written_without_a_flush_and_counted_by_the_next_one():
    store, clock = MemoryStore(), Clock()
    sink = sink_on(store, clock, rows=3, seconds=5.0)
    sink.assigned(PARTITION, None)
    for offsets in ([0, 1], [2], [3, 4, 5], [6]):
        sink.write(batch(offsets))
    clock.now = 5.0
    assert sink.due()
    assert sink.flush() == {PARTITION: 7}
    assert [Link.of(info).rows for info in store.list("transaction/")] == [3, 3, 1]
    assert written_offsets(store) == list(range(7))
    sink.write(batch([7, 8, 9]))
    sink.revoked([PARTITION])  # waits for the current write
    assert written_offsets(store) == list(range(10))
    assert not sink.due()
    sink.close()


def test_what_went_wrong_with_rows_written_without_a_flush_is_raised_by_the_next_call():
    for call in (lambda sink: sink.write(batch([3, 4, 5])), lambda sink: sink.flush()):
        store = MemoryStore()
        sink = sink_on(store, rows=3)
        sink.assigned(PARTITION, None)

        def down(operation, name):
            raise LakeUnavailable("down")

        store.before = down
        sink.write(batch([0, 1, 2]))
        with pytest.raises(LakeUnavailable):
            call(sink)
        sink.close()


def test_a_lost_partition_is_given_up_however_its_last_write_ends(caplog):
    store = MemoryStore()
    old, new = sink_on(store, rows=3), sink_on(store)
    for sink in (old, new):
        sink.assigned(PARTITION, None)
    new.write(batch([0, 1]))
    new.flush()
    old.write(batch([0, 1, 2]))
    old.revoked([PARTITION])
    assert old.flush() == {}
    assert "another reader moved the progress" in caplog.text
    old.close()
    new.close()
