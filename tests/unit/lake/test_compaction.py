"""A compaction changes no row for any reader, whenever it is killed and whoever else runs."""

import io
import logging
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fraudstream.errors import LakeError, ProofFailed
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake import lines, manifest, names
from fraudstream.lake.chain import Link
from fraudstream.lake.compaction import compact
from fraudstream.lake.reading import list_day, read_day
from fraudstream.lake.schemas import rows_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import igzip

from tests.fakes.memory_store import MemoryStore
from tests.unit.lake.rows import PARTITION, answer, batch, row

FOLDER = "transaction"
DAY = date(2023, 10, 7)
OTHER = Partition(PARTITION.topic, 0)
NOW = datetime(2023, 10, 8, 0, 5, tzinfo=UTC)


class Killed(BaseException):
    """The process dies here."""


def put(store, start, end, partition=PARTITION, day=DAY, body=None, link=None):
    """An object with the records `start` to `end`."""
    made = batch(range(start, end), partition=partition)
    return store.create(
        names.object_name(FOLDER, day, *partition, start),
        igzip.compress(body or bytes(lines.transaction(made))),
        content_type="application/gzip",
        metadata=(link or Link(partition, start, start, end, end - start)).metadata(),
    )


def filled():
    """A store with a day of five objects on two partitions."""
    store = MemoryStore(lambda: NOW)
    for start, end in ((0, 4), (4, 5), (5, 9)):
        put(store, start, end)
    for start, end in ((0, 2), (2, 3)):
        put(store, start, end, OTHER)
    return store


EXPECTED = [(0, o) for o in range(3)] + [(3, o) for o in range(9)]


def seen(store, day=DAY):
    return sorted(
        pair
        for table in read_day(store, FOLDER, day, ["partition", "offset"])
        for pair in zip(table["partition"].to_pylist(), table["offset"].to_pylist(), strict=True)
    )


def state(store):
    """All that a later reader or run can tell apart, but the generations."""
    found = manifest.load(store, FOLDER, DAY)
    files = [(file.name, file.rows, file.checksum) for file in found.files]
    return sorted(store.objects), found.ranges, files


def run(store, **options):
    return compact(store, FOLDER, DAY, now=NOW, **options)


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
    monkeypatch.setattr("fraudstream.lake.reading._WORKERS", 1)
    monkeypatch.setattr("fraudstream.lake.reading._AHEAD", 1)
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
    put(store, 4, 11, link=Link(PARTITION, 4, 4, 11, 7))
    assert seen(store) == EXPECTED
    run(store)
    assert list_day(store, FOLDER, DAY).covered == []
    assert seen(store) == EXPECTED


@pytest.mark.parametrize(
    ("start", "end", "link", "problem"),
    [
        (10, 12, Link(PARTITION, 10, 10, 12, 2), r"nothing covers non_fraud_transaction\[3\] 9 to 9"),
        (8, 12, Link(PARTITION, 8, 8, 12, 4), r"two objects of non_fraud_transaction\[3\] cover offsets 8 to 8"),
        (9, 12, Link(PARTITION, 9, 9, 12, 4), "should hold 4 rows"),
        (9, 12, Link(PARTITION, 9, 9, 11, 3), "found 3 rows with offsets 9 to 11"),
    ],
)
def test_offsets_that_dont_fit_stop_the_run_and_change_nothing(start, end, link, problem):
    store = filled()
    put(store, start, end, link=link)
    before = dict(store.objects)
    with pytest.raises(ProofFailed, match=problem):
        run(store)
    assert {n: o for n, o in store.objects.items() if not n.endswith(".parquet")} == before
    assert manifest.load(store, FOLDER, DAY) == manifest.Manifest(FOLDER, DAY)


def test_records_of_another_partition_or_out_of_order_stop_the_run():
    for made in (batch(range(9, 12), partition=OTHER), batch([9, 11, 10])):
        store = filled()
        put(store, 9, 12, body=bytes(lines.transaction(made)))
        with pytest.raises(ProofFailed, match="should hold 3 rows"):
            run(store)


def test_a_gap_that_lies_on_the_next_day_is_none():
    store = filled()
    put(store, 9, 12, day=DAY + timedelta(days=1))
    put(store, 12, 13)
    run(store)
    assert seen(store) == [*EXPECTED, (3, 12)]
    assert seen(store, DAY + timedelta(days=1)) == [(3, 9), (3, 10), (3, 11)]


def test_a_file_that_lost_a_row_on_its_way_stops_the_run(monkeypatch):
    store = filled()
    write = pq.ParquetWriter.write_table
    monkeypatch.setattr(pq.ParquetWriter, "write_table", lambda self, rows, **o: write(self, rows.slice(1), **o))
    with pytest.raises(ProofFailed, match="reads back as 11 rows"):
        run(store)
    assert manifest.load(store, FOLDER, DAY).generation == 0


@pytest.mark.parametrize("body", [b"not gzip", igzip.compress(b"{]\n"), igzip.compress(b'{"offset": 1, "new": 2}\n')])
def test_an_object_that_is_no_json_of_the_folder_is_named(body):
    store = filled()
    name = names.object_name(FOLDER, DAY, *PARTITION, 9)
    store.create(name, body, content_type="text/plain", metadata=Link(PARTITION, 9, 9, 10, 1).metadata())
    with pytest.raises(LakeError, match=name):
        run(store)


def test_files_have_the_target_size_and_rows_are_sorted_by_customer_over_all_of_them(monkeypatch):
    monkeypatch.setattr("fraudstream.lake.sorting.RUN_ROWS", 4)
    monkeypatch.setattr("fraudstream.lake.sorting.PIECE_ROWS", 4)
    monkeypatch.setattr("fraudstream.lake.sorting._SAMPLE_DISTANCE", 1)
    monkeypatch.setattr("fraudstream.lake.one_machine._GROUP_ROWS", 1)
    store = filled()
    report = run(store, target_bytes=1)
    assert report.parquet_files == 3
    customers = []
    for file in manifest.load(store, FOLDER, DAY).files:
        read = pq.read_table(io.BytesIO(store.objects[file.name].data))
        assert len(read) == file.rows
        customers += read["nameOrig"].to_pylist()
    assert customers == sorted(customers)
    assert seen(store) == EXPECTED


def test_a_file_says_what_it_is_and_money_and_times_have_their_types():
    store = filled()
    run(store)
    (file,) = manifest.load(store, FOLDER, DAY).files
    opened = pq.ParquetFile(io.BytesIO(store.objects[file.name].data))
    assert opened.schema_arrow.metadata[b"fraudstream.schema"] == b"1"
    assert opened.schema_arrow.remove_metadata() == rows_schema(FOLDER)
    assert opened.schema_arrow.field("amount").type == pa.decimal128(18, 2)
    assert opened.schema_arrow.field("timestamp").type == pa.timestamp("ms", "UTC")
    first = min(opened.read().to_pylist(), key=lambda r: (r["partition"], r["offset"]))
    assert first["amount"] == Decimal("9839.64")
    assert first["recordTimestamp"] == datetime(2023, 10, 7, tzinfo=UTC)


def test_pending_cases_and_outcomes_share_a_file_and_only_a_reported_fraud_has_a_refund():
    store = MemoryStore()
    cases, answers = Partition(FRAUD_TRANSACTION, 1), Partition(FRAUD_CONFIRMATION, 2)
    made = [
        lines.pending(batch([0, 1], rows=[row(0), row(1)], partition=cases)),
        lines.outcome(batch([0, 1], rows=[answer(0, "REPORTED_FRAUD"), answer(1, "NO_RESPONSE")], partition=answers)),
    ]
    for partition, body in zip((cases, answers), made, strict=True):
        store.create(
            names.object_name("fraud_confirmation", DAY, *partition, 0),
            igzip.compress(bytes(body)),
            content_type="application/gzip",
            metadata=Link(partition, 0, 0, 2, 2).metadata(),
        )
    before = [row for table in read_day(store, "fraud_confirmation", DAY) for row in table.to_pylist()]
    compact(store, "fraud_confirmation", DAY)
    (after,) = [table.to_pylist() for table in read_day(store, "fraud_confirmation", DAY)]
    assert sorted(map(str, after)) == sorted(map(str, before))
    assert [(r["idTransaction"], r["status"], r["refund_amount"], r["answeredAt"] is None) for r in after] == [
        ("tx-0", "REPORTED_FRAUD", Decimal("9839.64"), False),
        ("tx-0", "PENDING", None, True),
        ("tx-1", "NO_RESPONSE", None, False),
        ("tx-1", "PENDING", None, True),
    ]


def test_a_column_added_to_the_schema_is_null_in_files_of_before(monkeypatch):
    store = filled()
    run(store)
    wider = rows_schema(FOLDER).append(pa.field("channel", pa.string()))
    monkeypatch.setattr("fraudstream.lake.reading.rows_schema", lambda folder: wider)
    (table,) = read_day(store, FOLDER, DAY)
    assert table["channel"].null_count == len(table) == 12


def test_progress_is_logged(caplog):
    caplog.set_level(logging.INFO)
    run(filled())
    assert "transaction of 2023-10-07: 12 rows read, file of 12 rows written" in caplog.text
