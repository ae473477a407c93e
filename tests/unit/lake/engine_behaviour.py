"""What every engine of compaction does, told once for one machine and for Spark."""

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fraudstream.errors import FraudstreamError
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Partition
from fraudstream.lake.compaction import manifest
from fraudstream.lake.compaction.checksum import checksum
from fraudstream.lake.compaction.compaction import CompactionReport
from fraudstream.lake.compaction.verification import verify
from fraudstream.lake.query.reading import list_day, read_day
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table.schemas import SCHEMA_VERSION, SORT_ORDER, rows_schema
from isal import igzip

from tests.fakes.memory_store import MemoryStore
from tests.fakes.settled import settle
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, answer, batch, row

DAY = date(2023, 10, 7)
Compact = Callable[[MemoryStore, str, date], CompactionReport]


def put(store: MemoryStore, folder: str, partition: Partition, start: int, body: bytes, rows: int) -> None:
    """An object with `rows` records from `start` on."""
    settle(store, folder, partition, start + rows)
    store.create(
        names.object_name(folder, DAY, *partition, start),
        igzip.compress(body),
        content_type=GZIP,
        metadata=Link(partition, start, start, start + rows, Totals(rows)).metadata(),
    )


def all_folders() -> MemoryStore:
    """A day with several objects on several partitions, and with every kind of line."""
    store = MemoryStore(lambda: datetime(2023, 10, 8, tzinfo=UTC))
    for number in range(3):
        partition = Partition(NON_FRAUD_TRANSACTION, number)
        for start in range(0, 90, 30):
            rows = [
                row(
                    1000 * number + n,
                    nameOrig=f"C{n * 7919 % 97}é",
                    amount=10**17 + n if n % 10 == 0 else n,
                    timestamp=MIDNIGHT_MS + n * DAY_MS // 90,
                    step=None if n % 5 == 0 else n,
                    nameDest='M"quoted, \\ "' if n == 40 else f"M{n}",
                )
                for n in range(start, start + 30)
            ]
            made = batch(range(start, start + 30), rows=rows, partition=partition)
            put(store, names.TRANSACTIONS, partition, start, bytes(lines.transaction(made)), 30)
    cases, answers = Partition(FRAUD_TRANSACTION, 1), Partition(FRAUD_CONFIRMATION, 2)
    pending = batch(range(3), rows=[row(n) for n in range(3)], partition=cases)
    said = [answer(0, "REPORTED_FRAUD"), answer(1, "NO_RESPONSE")]
    put(store, names.FRAUD_CASES, cases, 0, bytes(lines.pending(pending)), 3)
    put(store, names.FRAUD_CASES, answers, 0, bytes(lines.outcome(batch([0, 1], rows=said, partition=answers))), 2)
    return store


def read(store: MemoryStore, folder: str) -> pa.Table:
    return pa.concat_tables(list(read_day(store, folder, DAY)))


class EngineBehaviour:
    """Test classes that inherit this give a fixture `compact`, which compacts a day and keeps its JSON."""

    @pytest.mark.parametrize("folder", [names.TRANSACTIONS, names.FRAUD_CASES])
    def test_rows_types_order_ranges_and_checksum_are_those_of_the_json(self, compact: Compact, folder: str) -> None:
        store = all_folders()
        before = read(store, folder)
        report = compact(store, folder, DAY)
        made = manifest.load(store, folder, DAY)
        after = pa.concat_tables(
            [pq.read_table(io.BytesIO(store.objects[file.name].data)).replace_schema_metadata() for file in made.files]
        )
        assert after.schema == rows_schema(folder)
        order = [(name, "ascending") for name in SORT_ORDER[folder]]
        assert after.equals(before.sort_by(order))
        assert (made.rows, report.parquet_rows, len(made.files)) == (len(before), len(before), 1)
        assert made.compactions[0].checksum == checksum(before)
        by_partition = before.group_by(["topic", "partition"]).aggregate([("offset", "min"), ("offset", "max")])
        assert {(*found.partition, found.start, found.end) for found in made.ranges} == {
            (found["topic"], found["partition"], found["offset_min"], found["offset_max"] + 1)
            for found in by_partition.to_pylist()
        }
        assert verify(store, folder, DAY).problems == []
        assert [info.name for info in store.list("_spark/")] == []

    def test_money_is_exact_and_a_refund_is_flat(self, compact: Compact) -> None:
        store = all_folders()
        compact(store, names.TRANSACTIONS, DAY)
        compact(store, names.FRAUD_CASES, DAY)
        amounts = read(store, names.TRANSACTIONS)["amount"].to_pylist()
        assert Decimal("1000000000000000.80") in amounts
        refunds = read(store, names.FRAUD_CASES)["refund_amount"].to_pylist()
        assert sorted(refund for refund in refunds if refund is not None) == [Decimal("9839.64")]

    def test_files_are_sorted_files_of_parquet_with_zstd_statistics_and_bloom_filters(self, compact: Compact) -> None:
        store = all_folders()
        compact(store, names.TRANSACTIONS, DAY)
        (file,) = manifest.load(store, names.TRANSACTIONS, DAY).files
        metadata = pq.read_metadata(io.BytesIO(store.objects[file.name].data))
        assert metadata.metadata[b"fraudstream.schema"] == SCHEMA_VERSION.encode()
        group = metadata.row_group(0)
        chunks = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
        assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
        assert chunks["nameOrig"].statistics.min.startswith("C")
        assert "PLAIN_DICTIONARY" in chunks["type"].encodings or "RLE_DICTIONARY" in chunks["type"].encodings
        assert chunks["amount"].physical_type == "INT64"
        assert chunks["idTransaction"].bloom_filter_offset is not None

    def test_late_json_becomes_one_more_file(self, compact: Compact) -> None:
        store = all_folders()
        compact(store, names.TRANSACTIONS, DAY)
        partition = Partition(NON_FRAUD_TRANSACTION, 0)
        late = batch(range(90, 95), partition=partition)
        put(store, names.TRANSACTIONS, partition, 90, bytes(lines.transaction(late)), 5)
        compact(store, names.TRANSACTIONS, DAY)
        assert [c.rows for c in manifest.load(store, names.TRANSACTIONS, DAY).compactions] == [270, 5]
        assert len(read(store, names.TRANSACTIONS)) == 275

    def test_an_object_that_holds_less_than_it_says_stops_the_run(self, compact: Compact) -> None:
        store = all_folders()
        partition = Partition(NON_FRAUD_TRANSACTION, 0)
        late = batch(range(90, 94), partition=partition)
        put(store, names.TRANSACTIONS, partition, 90, bytes(lines.transaction(late)), 5)
        with pytest.raises(FraudstreamError, match="should hold 5 rows"):
            compact(store, names.TRANSACTIONS, DAY)
        assert manifest.load(store, names.TRANSACTIONS, DAY).generation == 0
        assert len(list_day(store, names.TRANSACTIONS, DAY).json) == 10


KEEP = timedelta(days=365_000)
