"""A compaction changes no row for any reader, whenever it is killed and whatever runs in parallel."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pyarrow.compute as pc
import pytest
from fraudstream.errors import LakeError, LakeUnavailable, ProofFailed
from fraudstream.lake.compaction import duckdb_engine
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.stream.chain import Link, ObjectChain
from fraudstream.lake.stream.totals import Totals, totals_of
from fraudstream.lake.table.catalog import BRANCH
from fraudstream.lake.table.positions import offsets_of, totals_added
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fakes.lakes import catalog_of, new_lake
from tests.unit.lake.filled_day import DAY, EXPECTED, FOLDER, NOW, OTHER, Killed, filled, json_objects, put, run, seen
from tests.unit.lake.rows import PARTITION


def offsets(lake):
    return lake.tables.offsets(FOLDER)


def test_the_day_is_in_the_table_afterwards_and_reads_the_same():
    lake = filled()
    report = run(lake)
    assert (report.json_objects, report.json_rows, report.files, report.days) == (5, 12, 1, [DAY])
    assert report.deleted_objects == 5
    assert seen(lake) == EXPECTED
    assert json_objects(lake) == []
    assert offsets(lake) == {OTHER: 3, PARTITION: 9}


def test_running_again_changes_nothing():
    lake = filled()
    run(lake)
    before = lake.tables.load(FOLDER).metadata_location
    report = run(lake)
    assert lake.tables.load(FOLDER).metadata_location == before
    assert (report.json_rows, report.files, report.deleted_objects) == (0, 0, 0)


def test_each_snapshot_says_which_offsets_it_has():
    lake = filled()
    run(lake)
    put(lake, 9, 12)
    run(lake)
    table = lake.tables.load(FOLDER)
    history = sorted(table.snapshots(), key=lambda one: one.sequence_number)
    assert [offsets_of(table, one) for one in history] == [
        {},
        {OTHER: 3, PARTITION: 9},
        {OTHER: 3, PARTITION: 12},
    ]
    for snapshot, rows in zip(history, (0, 12, 15), strict=True):
        assert len(table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()) == rows
    assert BRANCH not in table.refs()


def test_each_snapshot_says_the_control_totals_of_the_rows_that_it_adds():
    lake = filled()
    run(lake)
    put(lake, 9, 12)
    run(lake)
    table = lake.tables.load(FOLDER)
    first, second = sorted(table.snapshots(), key=lambda one: one.sequence_number)[1:]
    assert {place: one.rows for place, one in totals_added(first).items()} == {OTHER: 3, PARTITION: 9}
    of_table = table.scan(snapshot_id=second.snapshot_id).to_arrow()
    for partition in (OTHER, PARTITION):
        rows = of_table.filter(pc.equal(of_table["partition"], partition.number))
        expected = totals_of(rows["offset"].to_numpy(), rows.drop_columns(["topic"]))
        found = totals_added(first)[partition] + totals_added(second).get(partition, Totals())
        assert expected.differences(found) == {}
        assert found.columns.keys() >= {"amount", "nameOrig"}


@pytest.mark.parametrize("say", [{}, {"fraudstream.added": '{"non_fraud_transaction":{"0":{"rows":9,"offsets":1}}}'}])
def test_a_snapshot_that_says_other_totals_than_the_objects_is_not_published(say):
    lake = filled()

    def careless(work):
        kept = {name: text for name, text in work.properties.items() if name != "fraudstream.added"}
        return duckdb_engine.stage(replace(work, properties=kept | say))

    with pytest.raises(ProofFailed, match="the summary of the branch's snapshot have different control totals"):
        compact(lake, FOLDER, DAY, engine=careless)
    assert offsets(lake) == {}
    assert seen(lake) == EXPECTED


def interrupted(lake, side, action):
    """Runs `action` before each call of store and catalog, or after each call that changed something."""

    def called(operation, name=""):
        if side == "before" or operation in {"commit_table", "create_table", "delete"}:
            action()

    setattr(lake.store, side, called)
    setattr(catalog_of(lake), side, called)


def calm(lake):
    lake.store.before = lake.store.after = lambda operation, name: None
    catalog_of(lake).before = catalog_of(lake).after = lambda operation: None


@pytest.mark.parametrize("side", ["before", "after"])
def test_killed_at_any_call_a_reader_sees_every_row_once_and_the_next_run_ends_the_same(side):
    whole, calls = filled(), []
    interrupted(whole, side, lambda: calls.append(1))
    run(whole)
    for fatal in range(len(calls)):
        lake, left = filled(), iter(range(1000))

        def die(left=left, fatal=fatal):
            if next(left) == fatal:
                raise Killed

        interrupted(lake, side, die)
        with suppress(Killed):
            run(lake)
        calm(lake)
        assert seen(lake) == EXPECTED
        run(lake)
        assert seen(lake) == EXPECTED
        assert json_objects(lake) == []
        assert offsets(lake) == {OTHER: 3, PARTITION: 9}
        assert len(lake.tables.load(FOLDER).scan().to_arrow()) == len(EXPECTED)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 40), st.booleans())
@example(9, False)  # between the creation of a table's branch and the check that it exists
def test_two_runs_at_once_leave_every_row_once(moment, late):
    """The whole second run happens during any call of the first one; sometimes late JSON is written before it."""
    lake, left = filled(), iter(range(1000))

    def interfere():
        if next(left) == moment:
            calm(lake)
            if late:
                put(lake, 9, 12)
            run(lake)

    interrupted(lake, "before", interfere)
    run(lake)
    calm(lake)
    if late and moment >= next(left) - 1:
        put(lake, 9, 12)
    expected = EXPECTED + ([(3, o) for o in range(9, 12)] if late else [])
    assert seen(lake) == expected
    run(lake)
    assert seen(lake) == expected
    assert json_objects(lake) == []


def test_whoever_always_loses_gives_up_in_the_end():
    lake = filled()
    number = iter(range(9, 1000))

    def put_another():
        start = next(number)
        put(lake, start, start + 1)

    def interfere(operation):
        if operation == "commit_table":
            calm(lake)
            run(lake)
            put_another()
            catalog_of(lake).before = interfere

    lake.tables.load_or_create(FOLDER)
    catalog_of(lake).before = interfere
    with pytest.raises(LakeUnavailable, match="other runs of compaction were faster"):
        run(lake)
    calm(lake)
    run(lake)
    assert seen(lake) == [*EXPECTED, *((3, o) for o in range(9, next(number)))]


def test_a_reader_in_the_middle_of_its_rows_isnt_disturbed_by_a_compaction():
    for position in range(1, 6):
        lake, read = filled(), []
        for number, table in enumerate(read_rows(lake, FOLDER, ["partition", "offset"]), 1):
            read += zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
            if number == position:
                run(lake)
        assert sorted(read) == EXPECTED


def test_json_stays_for_as_long_as_it_is_asked_to_and_isnt_read_twice():
    lake = filled()
    run(lake, keep_json=timedelta(days=1))
    assert len(json_objects(lake)) == 5
    assert seen(lake) == EXPECTED
    report = compact(lake, FOLDER, DAY, keep_json=timedelta(days=1), now=NOW + timedelta(days=1))
    assert report.deleted_objects == 5
    assert seen(lake) == EXPECTED


def test_what_a_zombie_writes_again_after_its_compaction_doesnt_count():
    lake = filled()
    run(lake)
    put(lake, 4, 11, link=Link(PARTITION, 4, 4, 11, Totals(7)), settled=False)
    assert seen(lake) == EXPECTED
    run(lake)
    assert json_objects(lake) == []
    assert seen(lake) == EXPECTED


def test_a_closed_days_object_behind_one_of_the_open_day_waits_for_it():
    lake, after = filled(), DAY + timedelta(days=1)
    put(lake, 9, 12, day=after)
    put(lake, 12, 13)
    assert run(lake).json_rows == 12
    assert offsets(lake) == {OTHER: 3, PARTITION: 9}
    assert seen(lake, DAY) == [*EXPECTED, (3, 12)]
    assert compact(lake, FOLDER, after).days == [DAY, after]
    assert seen(lake, DAY) == [*EXPECTED, (3, 12)]
    assert seen(lake, after) == [(3, 9), (3, 10), (3, 11)]


def test_a_missing_object_stops_the_run_and_nothing_changes():
    lake = filled()
    run(lake)
    put(lake, 10, 12)
    before = lake.tables.load(FOLDER).metadata_location
    with pytest.raises(ProofFailed, match=r"no object of non_fraud_transaction\[3\] starts at offset 9"):
        run(lake)
    assert lake.tables.load(FOLDER).metadata_location == before


def test_a_lake_of_an_earlier_version_is_refused():
    lake = filled()
    lake.store.create("_manifest/transaction/dt=2023-10-06.json", b"{}", content_type="", metadata={})
    with pytest.raises(LakeError, match="an earlier version compacted transaction/"):
        run(lake)


def test_a_chain_whose_progress_is_lost_goes_on_after_the_tables_rows():
    lake = filled()
    run(lake)
    for name in [name for name in lake.store.objects if name.startswith("_progress/")]:
        del lake.store.objects[name]
    assert ObjectChain(lake.store, FOLDER, in_table=lambda: offsets(lake)).open(PARTITION) == 9


def changed_by_another_program(lake):
    table = lake.tables.load(FOLDER)
    with table.transaction() as transaction, transaction.update_snapshot().fast_append():
        pass
    return table


def test_a_snapshot_of_another_program_counts_as_its_ancestor():
    lake = filled()
    run(lake)
    changed_by_another_program(lake)
    assert offsets(lake) == {OTHER: 3, PARTITION: 9}
    put(lake, 9, 12)
    run(lake)
    assert seen(lake) == EXPECTED + [(3, o) for o in range(9, 12)]


def test_a_table_whose_offsets_were_expired_is_refused_not_filled_twice():
    lake = filled()
    run(lake, keep_json=timedelta(days=9))
    table = changed_by_another_program(lake)
    current = table.current_snapshot().snapshot_id
    table.maintenance.expire_snapshots().by_ids(
        [one.snapshot_id for one in table.snapshots() if one.snapshot_id != current]
    ).commit()
    with pytest.raises(LakeError, match=r"no snapshot of table lake\.transaction has fraudstream\.offsets"):
        run(lake)


def test_an_empty_lake_gets_an_empty_table():
    lake = new_lake()
    assert run(lake).json_rows == 0
    assert seen(lake) == []


def test_a_catalog_that_ignores_branches_is_refused_before_the_first_row(monkeypatch):
    """Nessie does so: commits to a branch are on main."""
    lake = filled()
    commit = type(catalog_of(lake)).commit_table

    def without_branches(self, table, requirements, updates):
        kept = tuple(one for one in updates if getattr(one, "ref_name", "main") == "main")
        return commit(self, table, (), kept)

    monkeypatch.setattr(type(catalog_of(lake)), "commit_table", without_branches)
    with pytest.raises(LakeError, match="keeps no branches"):
        run(lake)
    assert seen(lake) == EXPECTED
    assert len(lake.tables.load(FOLDER).scan().to_arrow()) == 0
