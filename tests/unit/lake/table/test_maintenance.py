"""Maintenance changes no row: it leaves fewer files and snapshots, and no files without a reference."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlparse

import pytest
from fraudstream.errors import LakeUnavailable, ProofFailed
from fraudstream.lake.audit.contents import measured_columns
from fraudstream.lake.compaction import duckdb_engine
from fraudstream.lake.compaction.complete import mark_complete
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.compaction.upkeep import maintain
from fraudstream.lake.query.view import open_view
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import totals_of_lines
from fraudstream.lake.table.catalog import BRANCH
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table.statistics import PartitionStatisticsFile
from pyiceberg.table.update import SetPartitionStatisticsUpdate

from tests.fakes.lakes import catalog_of, new_lake
from tests.unit.lake.added_field import add_field, with_channel
from tests.unit.lake.filled_day import DAY, EXPECTED, FOLDER, filled, put, seen
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, PARTITION

NEXT_DAY = DAY + timedelta(days=1)
LATER = timedelta(days=9)


def hourly():
    """Two days that were compacted in five parts."""
    lake = new_lake()
    for number in range(5):
        day = DAY if number < 3 else NEXT_DAY
        put(lake, number * 10, number * 10 + 10, day=day)
        compact(lake, FOLDER, day)
    return lake


def files(lake):
    with open_view(lake, FOLDER) as view:
        return view.files()


def maintain_later(lake, folder, before):
    maintain(lake, folder, before, keep=timedelta(hours=1), now=datetime.now(UTC) + LATER)


def on_disk(lake):
    root = Path(urlparse(lake.tables.load(FOLDER).location()).path)
    return {path for path in root.rglob("*") if path.is_file()}


def test_small_files_of_closed_days_become_one_in_one_snapshot():
    lake = hourly()
    before, snapshots = seen(lake), len(lake.tables.load(FOLDER).snapshots())
    report = maintain(lake, FOLDER, NEXT_DAY, keep=LATER)
    assert (report.days, report.files_before, report.files_after) == ([DAY], 3, 1)
    assert len(files(lake)) == 3
    assert len(lake.tables.load(FOLDER).snapshots()) == snapshots + 1
    assert seen(lake) == before
    assert lake.tables.offsets(FOLDER) == {PARTITION: 50}
    assert maintain(lake, FOLDER, NEXT_DAY, keep=LATER).files_before == 0
    assert maintain(lake, FOLDER, NEXT_DAY + LATER, keep=LATER).days == [NEXT_DAY]
    put(lake, 50, 60, day=NEXT_DAY)
    compact(lake, FOLDER, NEXT_DAY)
    assert len(seen(lake)) == 60


def channels(lake):
    with open_view(lake, FOLDER) as view:
        rows = view.table.scan().to_arrow()
    return Counter(rows["channel"].to_pylist()) if "channel" in rows.column_names else None


def test_small_files_from_before_a_field_was_added_become_one(monkeypatch):
    lake = hourly()
    before = seen(lake)
    add_field(monkeypatch)
    assert maintain(lake, FOLDER, NEXT_DAY, keep=LATER).files_after == 1
    assert seen(lake) == before
    assert channels(lake) == {None: 50}
    put(lake, 50, 60, day=NEXT_DAY, body=with_channel(50, 60, [MIDNIGHT_MS + DAY_MS] * 10))
    compact(lake, FOLDER, NEXT_DAY)
    assert maintain(lake, FOLDER, NEXT_DAY + LATER, keep=LATER).files_after == 1
    assert channels(lake) == {None: 50, "app": 10}


def test_an_earlier_version_keeps_the_field_that_a_later_one_added(monkeypatch):
    """After a rollback: the table has a column that the schema of the records doesn't have."""
    lake = hourly()
    with monkeypatch.context() as later:
        add_field(later)
        put(lake, 50, 60, day=NEXT_DAY, body=with_channel(50, 60, [MIDNIGHT_MS + DAY_MS] * 10))
        compact(lake, FOLDER, NEXT_DAY)
    put(lake, 60, 70, day=NEXT_DAY)
    compact(lake, FOLDER, NEXT_DAY)
    assert channels(lake) == {None: 60, "app": 10}
    assert maintain(lake, FOLDER, NEXT_DAY + LATER, keep=LATER).files_after == 2
    assert channels(lake) == {None: 60, "app": 10}
    assert len(seen(lake)) == 70


def test_an_earlier_version_doesnt_compact_lines_with_a_field_that_it_doesnt_know(monkeypatch):
    lake = hourly()
    with monkeypatch.context() as later:
        add_field(later)
        body = with_channel(50, 60, [MIDNIGHT_MS + DAY_MS] * 10)
        put(
            lake,
            50,
            60,
            day=NEXT_DAY,
            body=body,
            link=Link(
                PARTITION, 50, 50, 60, totals_of_lines(body.splitlines(), [*measured_columns(FOLDER), "channel"])
            ),
        )
    with pytest.raises(ProofFailed, match="channel"):
        compact(lake, FOLDER, NEXT_DAY)
    assert len(seen(lake)) == 60


def test_old_snapshots_and_what_only_they_name_go_and_the_rest_stays():
    lake = hourly()
    maintain(lake, FOLDER, NEXT_DAY + LATER, keep=LATER)
    stray = Path(urlparse(lake.tables.load(FOLDER).location()).path) / "data" / "of-a-killed-run.parquet"
    stray.write_bytes(b"x")
    assert maintain(lake, FOLDER, NEXT_DAY, keep=timedelta(hours=1)).orphans == 0
    report = maintain(lake, FOLDER, NEXT_DAY, keep=timedelta(hours=1), now=datetime.now(UTC) + LATER)
    assert report.snapshots == 6
    assert not stray.exists()
    assert len([path for path in on_disk(lake) if path.suffix == ".parquet"]) == 2
    assert len(seen(lake)) == 50
    again = maintain(lake, FOLDER, NEXT_DAY, keep=timedelta(hours=1), now=datetime.now(UTC) + LATER)
    assert (again.snapshots, again.orphans) == (0, 0)


def test_statistics_that_another_program_made_stay():
    lake = hourly()
    table = lake.tables.load(FOLDER)
    path = Path(urlparse(table.location()).path) / "metadata" / "partition-stats.parquet"
    path.write_bytes(b"x")
    made = PartitionStatisticsFile(
        snapshot_id=table.current_snapshot().snapshot_id, statistics_path=path.as_uri(), file_size_in_bytes=1
    )
    table.catalog.commit_table(table, (), (SetPartitionStatisticsUpdate(partition_statistics=made),))
    maintain(lake, FOLDER, DAY, keep=timedelta(hours=1), now=datetime.now(UTC) + LATER)
    assert path.exists()


def test_what_says_the_offsets_of_another_programs_snapshots_stays():
    """Spark's rewrite_data_files makes snapshots without offsets: the nearest ancestor's offsets count."""
    lake = hourly()
    maintain(lake, FOLDER, NEXT_DAY + LATER, keep=LATER)
    table = lake.tables.load(FOLDER)
    for _ in range(2):
        with table.transaction() as transaction, transaction.update_snapshot().fast_append():
            pass
    now = datetime.now(UTC) + LATER
    maintain(lake, FOLDER, NEXT_DAY, keep=timedelta(hours=1), now=now)
    assert len(lake.tables.load(FOLDER).snapshots()) == 3
    assert lake.tables.offsets(FOLDER) == {PARTITION: 50}
    put(lake, 50, 60, day=NEXT_DAY)
    compact(lake, FOLDER, NEXT_DAY)
    assert len(seen(lake)) == 60
    maintain(lake, FOLDER, NEXT_DAY, keep=timedelta(hours=1), now=now)
    assert len(lake.tables.load(FOLDER).snapshots()) == 1


def test_a_branch_that_a_killed_run_left_goes():
    lake = filled()

    def die(operation):
        if operation == "commit_table" and BRANCH in catalog_of(lake).load_table(("lake", FOLDER)).refs():
            raise KeyboardInterrupt

    compact(lake, FOLDER, DAY)
    put(lake, 9, 12)
    catalog_of(lake).before = die
    with pytest.raises(KeyboardInterrupt):
        compact(lake, FOLDER, DAY)
    catalog_of(lake).before = lambda operation: None
    assert BRANCH in lake.tables.load(FOLDER).refs()
    maintain(lake, FOLDER, DAY, keep=timedelta(hours=1), now=datetime.now(UTC) + LATER)
    assert BRANCH not in lake.tables.load(FOLDER).refs()
    assert seen(lake) == EXPECTED + [(3, o) for o in range(9, 12)]


def test_files_that_dont_hold_what_the_small_ones_do_are_not_published(monkeypatch):
    lake = hourly()
    before = lake.tables.load(FOLDER).current_snapshot()
    monkeypatch.setattr(duckdb_engine.statements, "order_of", lambda folder: '"offset" LIMIT 20')
    with pytest.raises(ProofFailed, match="3 small files hold"):
        maintain(lake, FOLDER, NEXT_DAY, keep=LATER)
    assert lake.tables.load(FOLDER).current_snapshot() == before


def test_a_compaction_that_is_faster_goes_first():
    lake = hourly()
    put(lake, 50, 60, day=NEXT_DAY)

    def interfere(operation):
        if operation == "commit_table":
            catalog_of(lake).before = lambda operation: None
            compact(lake, FOLDER, NEXT_DAY)

    catalog_of(lake).before = interfere
    assert maintain(lake, FOLDER, NEXT_DAY, keep=LATER).files_after == 0
    assert len(seen(lake)) == 60
    assert maintain(lake, FOLDER, NEXT_DAY, keep=LATER).files_after == 1
    assert len(seen(lake)) == 60


@pytest.mark.parametrize("upkeep", [maintain_later, mark_complete])
def test_upkeep_that_a_compaction_overtakes_may_be_tried_again(upkeep):
    lake = hourly()
    maintain(lake, FOLDER, NEXT_DAY + LATER, keep=LATER)

    def overtake(operation):
        if operation == "commit_table":
            catalog_of(lake).before = lambda operation: None
            raise CommitFailedException("requirement failed")

    catalog_of(lake).before = overtake
    with pytest.raises(LakeUnavailable, match=r"another run changed it meanwhile \(requirement failed\)"):
        upkeep(lake, FOLDER, NEXT_DAY)
    upkeep(lake, FOLDER, NEXT_DAY)
    assert len(seen(lake)) == 50


def test_a_folder_without_a_table_needs_nothing():
    assert maintain(new_lake(), FOLDER, DAY, keep=LATER).files_before == 0
