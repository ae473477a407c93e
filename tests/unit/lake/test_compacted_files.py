"""What a compaction makes of a day: no file of objects that don't hold what they should, else typed, sorted Parquet."""

import io
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fraudstream.errors import LakeError, ProofFailed
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake.compaction import manifest
from fraudstream.lake.compaction.compaction import compact
from fraudstream.lake.query.reading import read_day
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table.schemas import rows_schema
from isal import igzip

from tests.fakes.memory_store import MemoryStore
from tests.fakes.settled import settle
from tests.unit.lake.filled_day import DAY, EXPECTED, FOLDER, OTHER, filled, put, run, seen
from tests.unit.lake.rows import PARTITION, answer, batch, row


@pytest.mark.parametrize(
    ("start", "end", "link", "problem"),
    [
        (10, 12, Link(PARTITION, 10, 10, 12, Totals(2)), r"nothing covers non_fraud_transaction\[3\] 9 to 9"),
        (
            8,
            12,
            Link(PARTITION, 8, 8, 12, Totals(4)),
            r"two objects of non_fraud_transaction\[3\] cover offsets 8 to 8",
        ),
        (9, 12, Link(PARTITION, 9, 9, 12, Totals(4)), "should hold 4 rows"),
        (9, 12, Link(PARTITION, 9, 9, 11, Totals(3)), "found 3 rows with offsets 9 to 11"),
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
    settle(store, FOLDER, PARTITION, 10)
    store.create(name, body, content_type="text/plain", metadata=Link(PARTITION, 9, 9, 10, Totals(1)).metadata())
    with pytest.raises(LakeError, match=name):
        run(store)


def test_a_file_that_a_killed_run_left_is_taken_if_it_holds_the_same_rows():
    store, other = filled(), filled()
    run(other)
    (file,) = manifest.load(other, FOLDER, DAY).files
    left = store.create(file.name, other.objects[file.name].data, content_type="x", metadata={})
    run(store)
    assert [f.generation for f in manifest.load(store, FOLDER, DAY).files] == [left.info.generation]
    assert seen(store) == EXPECTED


def test_a_file_of_other_rows_under_the_same_name_stops_the_run():
    store, other, more = filled(), filled(), filled()
    run(other)
    put(more, 9, 12)
    run(more)
    (file,) = manifest.load(other, FOLDER, DAY).files
    (another,) = manifest.load(more, FOLDER, DAY).files
    store.create(file.name, more.objects[another.name].data, content_type="x", metadata={})
    with pytest.raises(LakeError, match=f"{file.name} is there already"):
        run(store)
    assert manifest.load(store, FOLDER, DAY).generation == 0


def test_files_have_the_target_size_and_rows_are_sorted_by_customer_over_all_of_them(monkeypatch):
    monkeypatch.setattr("fraudstream.lake.compaction.sorting.RUN_ROWS", 4)
    monkeypatch.setattr("fraudstream.lake.compaction.sorting.PIECE_ROWS", 4)
    monkeypatch.setattr("fraudstream.lake.compaction.sorting._SAMPLE_DISTANCE", 1)
    monkeypatch.setattr("fraudstream.lake.compaction.one_machine._GROUP_ROWS", 1)
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
        settle(store, "fraud_confirmation", partition, 2)
        store.create(
            names.object_name("fraud_confirmation", DAY, *partition, 0),
            igzip.compress(bytes(body)),
            content_type="application/gzip",
            metadata=Link(partition, 0, 0, 2, Totals(2)).metadata(),
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
    monkeypatch.setattr("fraudstream.lake.query.reading.rows_schema", lambda folder: wider)
    (table,) = read_day(store, FOLDER, DAY)
    assert table["channel"].null_count == len(table) == 12
