"""The common behaviour of all compaction engines, for the pipeline's own one and for Spark."""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from urllib.parse import urlparse

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fraudstream.errors import FraudstreamError
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, NON_FRAUD_TRANSACTION, Batch, Partition
from fraudstream.lake.compaction.protocol import CompactionReport
from fraudstream.lake.query.view import open_view, read_rows, table_days
from fraudstream.lake.store.objects import GZIP
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import totals_of
from fraudstream.lake.table.lake import Lake
from fraudstream.lake.table.positions import totals_added
from fraudstream.lake.table.schemas import SORT_ORDER, rows_schema
from isal import igzip

from tests.fakes.lakes import new_lake
from tests.fakes.settled import settle
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, answer, batch, row

DAY = date(2023, 10, 7)
NEXT_DAY = DAY + timedelta(days=1)
Compact = Callable[[Lake, str, date], CompactionReport]


def put(lake: Lake, folder: str, made: Batch, *, body: bytes | None = None, day: date = DAY) -> None:
    """Writes an object with the records of a batch, or with another body but the batch's totals."""
    start, end = int(made.offsets[0]), made.next_offset
    settle(lake.store, folder, made.partition, end)
    lake.store.create(
        names.object_name(folder, day, *made.partition, start),
        igzip.compress(bytes(lines.LINES_OF[made.partition.topic](made)) if body is None else body),
        content_type=GZIP,
        metadata=Link(made.partition, start, start, end, totals_of(made.offsets, made.rows)).metadata(),
    )


def all_folders(lake: Lake | None = None) -> Lake:
    """A day with several objects on several partitions, and with every kind of line."""
    lake = lake or new_lake()
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
                    nameDest='M"quoted, \\ "amount":1.0' if n == 40 else f"M{n}",
                )
                for n in range(start, start + 30)
            ]
            put(lake, names.TRANSACTIONS, batch(range(start, start + 30), rows=rows, partition=partition))
    cases, answers = Partition(FRAUD_TRANSACTION, 1), Partition(FRAUD_CONFIRMATION, 2)
    put(lake, names.FRAUD_CASES, batch(range(3), rows=[row(n) for n in range(3)], partition=cases))
    said = [answer(0, "REPORTED_FRAUD"), answer(1, "NO_RESPONSE")]
    put(lake, names.FRAUD_CASES, batch([0, 1], rows=said, partition=answers))
    return lake


def read(lake: Lake, folder: str) -> pa.Table:
    """All rows of a folder, in its sort order."""
    order = [(name, "ascending") for name in SORT_ORDER[folder]]
    return pa.concat_tables(list(read_rows(lake, folder))).sort_by(order)


def files(lake: Lake, folder: str) -> list[str]:
    with open_view(lake, folder) as view:
        return [urlparse(file.file_path).path for file in view.files()]


class EngineBehaviour:
    """Test classes that inherit this give a fixture `compact`, which compacts a folder up to a day, and `lake`."""

    @pytest.mark.parametrize("folder", [names.TRANSACTIONS, names.FRAUD_CASES])
    def test_rows_types_and_order_are_those_of_the_json(self, lake: Lake, compact: Compact, folder: str) -> None:
        all_folders(lake)
        before = read(lake, folder)
        report = compact(lake, folder, DAY)
        assert (report.json_rows, report.days, report.deleted_objects) == (len(before), [DAY], report.json_objects)
        with open_view(lake, folder) as view:
            assert view.json == []
        assert read(lake, folder).equals(before)
        written = pa.concat_tables([pq.read_table(path) for path in files(lake, folder)])
        assert written.select(["offset"]).equals(before.select(["offset"]))
        assert written.schema.names == rows_schema(folder).names
        table = lake.tables.load(folder)
        said = totals_added(table.current_snapshot())
        assert sum(one.rows for one in said.values()) == len(before)
        assert all(one.columns.keys() >= {"amount", "nameOrig"} for one in said.values())

    def test_money_is_exact_and_a_refund_is_flat(self, lake: Lake, compact: Compact) -> None:
        all_folders(lake)
        compact(lake, names.TRANSACTIONS, DAY)
        compact(lake, names.FRAUD_CASES, DAY)
        amounts = read(lake, names.TRANSACTIONS)["amount"].to_pylist()
        assert Decimal("1000000000000000.80") in amounts
        refunds = read(lake, names.FRAUD_CASES)["refund_amount"].to_pylist()
        assert sorted(refund for refund in refunds if refund is not None) == [Decimal("9839.64")]

    def test_files_have_the_tables_field_ids_zstd_and_statistics(self, lake: Lake, compact: Compact) -> None:
        all_folders(lake)
        compact(lake, names.TRANSACTIONS, DAY)
        path, *_ = files(lake, names.TRANSACTIONS)
        table = lake.tables.load(names.TRANSACTIONS)
        ids = {field.name: field.metadata[b"PARQUET:field_id"] for field in pq.read_schema(path)}
        assert ids == {field.name: str(field.field_id).encode() for field in table.schema().fields}
        group = pq.read_metadata(path).row_group(0)
        chunks = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
        assert {chunk.compression for chunk in chunks.values()} == {"ZSTD"}
        assert chunks["nameOrig"].statistics.min.startswith("C")
        assert chunks["amount"].physical_type == "INT64"

    def test_late_json_and_other_days_are_files_of_their_own(self, lake: Lake, compact: Compact) -> None:
        all_folders(lake)
        compact(lake, names.TRANSACTIONS, DAY)
        partition = Partition(NON_FRAUD_TRANSACTION, 0)
        put(lake, names.TRANSACTIONS, batch(range(90, 95), partition=partition))
        times = [MIDNIGHT_MS + DAY_MS] * 4
        put(lake, names.TRANSACTIONS, batch(range(95, 99), partition=partition, timestamps=times), day=NEXT_DAY)
        report = compact(lake, names.TRANSACTIONS, NEXT_DAY)
        assert (report.json_rows, report.days) == (9, [DAY, NEXT_DAY])
        with open_view(lake, names.TRANSACTIONS) as view:
            assert {day: (found.files, found.rows) for day, found in table_days(view).items()} == {
                DAY: (2, 275),
                NEXT_DAY: (1, 4),
            }

    @pytest.mark.parametrize("change", [(b"tx-1", b"tx-12"), (b'"amount":9839.66', b'"amount":9839.67'), (b"\n", b"")])
    def test_an_object_that_holds_something_else_than_it_says_stops_the_run(
        self, lake: Lake, compact: Compact, change: tuple[bytes, bytes]
    ) -> None:
        all_folders(lake)
        partition = Partition(NON_FRAUD_TRANSACTION, 0)
        made = batch(range(90, 94), rows=[row(n) for n in range(4)], partition=partition)
        body = bytes(lines.transaction(made))
        if change[1]:
            assert change[0] in body
            put(lake, names.TRANSACTIONS, made, body=body.replace(*change))
        else:  # a missing line
            put(lake, names.TRANSACTIONS, made, body=body[: body.rindex(b"\n", 0, -1) + 1])
        with pytest.raises(FraudstreamError, match=r"of non_fraud_transaction\[0\].* different control totals"):
            compact(lake, names.TRANSACTIONS, DAY)
        with open_view(lake, names.TRANSACTIONS) as view:
            assert (len(view.json), view.files()) == (10, [])
