"""A compaction changes no row for any reader, whenever it is killed and whoever else runs."""

import logging
from contextlib import suppress
from datetime import timedelta

import pytest
from fraudstream.lake.compaction import manifest
from fraudstream.lake.compaction.compaction import compact
from fraudstream.lake.query.reading import list_day, read_day
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import Totals
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.filled_day import DAY, EXPECTED, FOLDER, NOW, OTHER, Killed, filled, put, run, seen
from tests.unit.lake.rows import PARTITION


def state(store):
    """All that a later reader or run can tell apart, but the generations."""
    found = manifest.load(store, FOLDER, DAY)
    files = [(file.name, file.rows, file.checksum) for file in found.files]
    return sorted(store.objects), found.ranges, files


def test_the_day_is_parquet_afterwards_and_reads_the_same():
    store = filled()
    report = run(store)
    assert (report.json_objects, report.json_rows, report.parquet_files, report.parquet_rows) == (5, 12, 1, 12)
    assert report.deleted_objects == 5
    assert seen(store) == EXPECTED
    assert [name for name in store.objects if name.endswith(".json.gz")] == []
    assert manifest.load(store, FOLDER, DAY).ranges == [
        manifest.OffsetRange(OTHER, 0, 3),
        manifest.OffsetRange(PARTITION, 0, 9),
    ]


def test_running_again_changes_nothing():
    store = filled()
    run(store)
    before = {name: stored.info.generation for name, stored in store.objects.items()}
    report = run(store)
    assert {name: stored.info.generation for name, stored in store.objects.items()} == before
    assert (report.json_rows, report.parquet_files, report.deleted_objects) == (0, 0, 0)


def test_an_empty_day_needs_no_manifest():
    store = MemoryStore()
    assert run(store).json_rows == 0
    assert store.objects == {}


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_any_call_of_the_store_a_reader_sees_every_row_once_and_the_next_run_ends_the_same(side):
    whole = filled()
    calls = []
    whole.before = lambda operation, name: calls.append(operation)
    run(whole)
    whole.before = lambda operation, name: None
    assert {"list", "get", "download", "create", "replace", "delete"} == set(calls)
    for fatal in range(len(calls)):
        store = filled()
        left = iter(range(len(calls) + 1))

        def die(operation, name, left=left, fatal=fatal):
            if next(left) == fatal:
                raise Killed

        setattr(store, side, die)
        with suppress(Killed):
            run(store)
        store.before = store.after = lambda operation, name: None
        assert seen(store) == EXPECTED
        run(store)
        assert seen(store) == EXPECTED
        assert state(store) == state(whole)


def test_a_reader_in_the_middle_of_its_day_isnt_disturbed_by_a_compaction(monkeypatch):
    # As good as no reading ahead, so that objects are gone before they are read.
    monkeypatch.setattr("fraudstream.lake.query.reading._WORKERS", 1)
    monkeypatch.setattr("fraudstream.lake.query.reading._AHEAD", 1)
    for position in range(1, 6):
        store = filled()
        tables = read_day(store, FOLDER, DAY, ["partition", "offset"])
        read = []
        for number, table in enumerate(tables, 1):
            read += zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
            if number == position:
                run(store)
        assert sorted(read) == EXPECTED


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 40), st.booleans())
def test_two_runs_at_once_leave_every_row_once(moment, late):
    """The second run happens, whole, at any call of the first one; sometimes with late JSON before it."""
    store = filled()
    left = iter(range(1000))

    def interfere(operation, name):
        if next(left) == moment:
            store.before = lambda operation, name: None
            if late:
                put(store, 9, 12)
            run(store)

    store.before = interfere
    run(store)
    store.before = lambda operation, name: None
    if late and moment >= next(left) - 1:
        put(store, 9, 12)
    expected = EXPECTED + ([(3, o) for o in range(9, 12)] if late else [])
    assert seen(store) == expected
    run(store)
    assert seen(store) == expected
    listing = list_day(store, FOLDER, DAY)
    assert (listing.json, listing.covered, listing.strays) == ([], [], [])


def test_late_json_becomes_one_more_file_and_the_manifest_grows():
    store = filled()
    run(store)
    before = manifest.load(store, FOLDER, DAY)
    put(store, 9, 12)
    assert seen(store) == EXPECTED + [(3, o) for o in range(9, 12)]
    run(store)
    after = manifest.load(store, FOLDER, DAY)
    assert after.compactions[:1] == before.compactions
    assert after.rows == 15
    assert len(after.files) == 2
    assert seen(store) == EXPECTED + [(3, o) for o in range(9, 12)]


def test_json_stays_for_as_long_as_it_is_asked_to_and_isnt_read_twice():
    store = filled()
    run(store, keep_json=timedelta(days=1))
    assert len(list_day(store, FOLDER, DAY).covered) == 5
    assert seen(store) == EXPECTED
    report = compact(store, FOLDER, DAY, keep_json=timedelta(days=1), now=NOW + timedelta(days=1))
    assert report.deleted_objects == 5
    assert list_day(store, FOLDER, DAY).covered == []


def test_what_a_zombie_writes_again_after_its_compaction_doesnt_count():
    store = filled()
    run(store)
    put(store, 4, 11, link=Link(PARTITION, 4, 4, 11, Totals(7)))
    assert seen(store) == EXPECTED
    run(store)
    assert list_day(store, FOLDER, DAY).covered == []
    assert seen(store) == EXPECTED


def test_a_gap_that_lies_on_the_next_day_is_none():
    store = filled()
    put(store, 9, 12, day=DAY + timedelta(days=1))
    put(store, 12, 13)
    run(store)
    assert seen(store) == [*EXPECTED, (3, 12)]
    assert seen(store, DAY + timedelta(days=1)) == [(3, 9), (3, 10), (3, 11)]


def test_progress_is_logged(caplog):
    caplog.set_level(logging.INFO)
    run(filled())
    assert "transaction of 2023-10-07: 12 rows read, file of " in caplog.text
