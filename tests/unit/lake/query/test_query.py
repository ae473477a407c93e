"""SQL on the lake: each row once, from tables and JSON, and only the files that a query needs are read."""

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fraudstream.errors import QueryRefused
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake.compaction import duckdb_engine
from fraudstream.lake.compaction.protocol import compact
from fraudstream.lake.query.files import TableFiles
from fraudstream.lake.query.view import read_rows
from fraudstream.lake.table import positions

from tests.fakes.lakes import catalog_of, new_lake
from tests.unit.lake.added_field import add_field, with_channel
from tests.unit.lake.compaction import engine_behaviour
from tests.unit.lake.filled_day import DAY, EXPECTED, FOLDER, Killed, filled, put
from tests.unit.lake.query.queried_lake import ADDED, CASES, PLACES, ask, with_cases
from tests.unit.lake.rows import DAY_MS, MIDNIGHT_MS, answer, batch, row


def test_rows_are_the_same_before_and_after_a_compaction_and_with_late_json_beside_it():
    lake = filled()
    before = ask(lake, "SELECT * FROM transaction ORDER BY ALL")
    assert [(found[14], found[15]) for found in ask(lake, "SELECT * FROM transaction ORDER BY 15, 16")] == EXPECTED
    compact(lake, FOLDER, DAY)
    assert ask(lake, "SELECT * FROM transaction ORDER BY ALL") == before
    put(lake, 9, 12)
    assert ask(lake, PLACES) == [*EXPECTED, (3, 9), (3, 10), (3, 11)]


def test_a_table_from_before_a_column_was_added_is_read_with_null_in_it(tmp_path):
    before, lake = with_cases(), new_lake()
    rows = pa.concat_tables(read_rows(before, CASES))
    table = lake.tables.load_or_create(CASES)
    with table.update_schema(allow_incompatible_changes=True) as update:
        for name in ADDED:
            update.delete_column(name)
    at = {Partition(FRAUD_TRANSACTION, 1): 3, Partition(FRAUD_CONFIRMATION, 2): 2}
    pq.write_table(rows.drop_columns(ADDED), tmp_path / "old.parquet")
    table.add_files([str(tmp_path / "old.parquet")], snapshot_properties=positions.summary(at))
    late = answer(2, "REPORTED_FRAUD", channel="STAFF", decidedBy="ana", reason="called")
    engine_behaviour.put(lake, CASES, batch([2], rows=[late], partition=Partition(FRAUD_CONFIRMATION, 2)))

    def channels():
        return [
            (row["topic"], row["offset"], row["channel"])
            for part in read_rows(lake, CASES, ["topic", "offset", "channel"])
            for row in part.to_pylist()
        ]

    old = [(place["topic"], place["offset"], None) for place in rows.to_pylist()]
    assert sorted(channels()) == sorted([*old, (FRAUD_CONFIRMATION, 2, "STAFF")])
    assert ask(lake, "SELECT count(*), count(channel) FROM fraud_case") == [(3, 1)]
    compact(lake, CASES, DAY)
    assert sorted(channels()) == sorted([*old, (FRAUD_CONFIRMATION, 2, "STAFF")])


def test_types_are_the_lakes_in_json_in_parquet_and_without_a_row():
    expected = [("DECIMAL(18,2)", "TIMESTAMP WITH TIME ZONE", "DATE")]
    sql = "SELECT any_value(typeof(amount)), any_value(typeof(timestamp)), any_value(typeof(dt)) FROM transaction"
    lake = filled()
    assert ask(lake, sql) == expected
    compact(lake, FOLDER, DAY)
    assert ask(lake, sql) == expected
    described = {
        found[0]: found[1] for found in ask(new_lake(), "DESCRIBE SELECT amount, timestamp, dt FROM transaction")
    }
    assert described == dict(zip(("amount", "timestamp", "dt"), expected[0], strict=True))


def test_a_case_is_one_row_in_its_latest_state():
    lake = with_cases()
    sql = "SELECT idTransaction, status, refund_amount::VARCHAR FROM fraud_case ORDER BY 1"
    expected = [("tx-0", "REPORTED_FRAUD", "9839.64"), ("tx-1", "NO_RESPONSE", None), ("tx-2", "PENDING", None)]
    assert ask(lake, sql) == expected
    compact(lake, CASES, DAY)
    assert ask(lake, sql) == expected


def test_the_last_staff_decision_is_that_of_the_log_though_the_clock_of_its_broker_was_set_back():
    lake = with_cases()
    staff = {"channel": "STAFF", "decidedBy": "ana", "reason": "called"}
    for number, offsets, times in ((2, [2, 3], [50, 10]), (5, [0], [20])):
        said = [answer(0, "REPORTED_NOT_FRAUD" if time == 10 else "REPORTED_FRAUD", **staff) for time in times]
        places = {
            "timestamps": [MIDNIGHT_MS + time for time in times],
            "partition": Partition(FRAUD_CONFIRMATION, number),
        }
        engine_behaviour.put(lake, CASES, batch(offsets, rows=said, **places))
    sql = "SELECT status, epoch_ms(changedAt) FROM fraud_case WHERE idTransaction = 'tx-0'"
    assert ask(lake, sql) == [("REPORTED_NOT_FRAUD", MIDNIGHT_MS + 10)]


def test_the_last_staff_decision_is_the_state_of_its_case():
    lake = with_cases()
    answers = Partition(FRAUD_CONFIRMATION, 2)
    staff = {"channel": "STAFF", "decidedBy": "ana", "reason": "called"}
    said = [answer(1, "REPORTED_FRAUD", **staff), answer(0, "REPORTED_FRAUD", **staff)]
    said.append(answer(0, "REPORTED_NOT_FRAUD", **staff))
    engine_behaviour.put(lake, CASES, batch([2, 3, 4], rows=said, partition=answers))
    sql = "SELECT idTransaction, status, channel FROM fraud_case ORDER BY 1"
    expected = [
        ("tx-0", "REPORTED_NOT_FRAUD", "STAFF"),
        ("tx-1", "REPORTED_FRAUD", "STAFF"),
        ("tx-2", "PENDING", None),
    ]
    assert ask(lake, sql) == expected
    assert ask(lake, "SELECT count(*) FROM fraud_confirmation WHERE idTransaction = 'tx-0'") == [(4,)]
    compact(lake, CASES, DAY)
    assert ask(lake, sql) == expected


def test_every_row_is_there_once_whenever_a_compaction_comes_or_is_killed():
    """A compaction, complete or killed at one of its calls, happens during each store call of a query."""
    calls = []
    lake = filled()
    lake.store.before = lambda operation, name: calls.append(operation)
    ask(lake, PLACES)
    for moment in range(len(calls)):
        for fatal in (None, 9, 14, 17) if moment < 2 else (None, 14):
            assert ask(_compacted_at(filled(), moment, fatal), PLACES) == EXPECTED


def _compacted_at(lake, moment, fatal):
    left = iter(range(10_000))

    def interfere(operation, name):
        if next(left) != moment:
            return
        steps = iter(range(10_000))

        def die(operation, name=""):
            if next(steps) == fatal:
                raise Killed

        lake.store.before = catalog_of(lake).before = die
        try:
            compact(lake, FOLDER, DAY)
        except Killed:
            pass
        finally:
            lake.store.before = lambda operation, name: None
            catalog_of(lake).before = lambda operation: None

    lake.store.before = interfere
    return lake


def bytes_read(monkeypatch, lake, sql):
    """The rows of a query, and the bytes that it reads of the table's files."""
    read = []
    monkeypatch.setattr(TableFiles, "count", lambda self, number: read.append(number))
    return len(ask(lake, sql)), sum(read)


def test_a_look_up_of_a_customer_reads_a_part_of_the_file(monkeypatch):
    monkeypatch.setattr(duckdb_engine, "ROW_GROUP_ROWS", 2_048)
    lake = new_lake()
    rows = [row(n, nameOrig=f"C{n * 7919 % 20_000:06}") for n in range(20_000)]
    engine_behaviour.put(lake, FOLDER, batch(range(20_000), rows=rows))
    compact(lake, FOLDER, DAY)
    _, footer = bytes_read(monkeypatch, lake, "SELECT count(*) FROM transaction")
    everybody, whole = bytes_read(monkeypatch, lake, "SELECT * FROM transaction")
    customer, part = bytes_read(monkeypatch, lake, "SELECT * FROM transaction WHERE nameOrig = 'C000003'")
    assert (everybody, customer) == (20_000, 1)
    assert 0 < part - footer < (whole - footer) / 3


@pytest.mark.parametrize(
    "condition",
    [
        "dt = DATE '2023-10-09'",
        "recordTimestamp BETWEEN '2023-10-09' AND '2023-10-09 23:59:59'",
        "TIMESTAMPTZ '2023-10-09 00:00:00Z' <= recordTimestamp AND dt < '2023-10-10'",
        "dt IN ('2023-10-09')",
    ],
)
def test_a_filter_on_one_day_of_many_reads_that_day_and_no_json_of_others(monkeypatch, condition):
    lake = new_lake()
    days = [DAY + timedelta(days=n) for n in range(6)]
    for number, day in enumerate(days):
        put(lake, number * 10, number * 10 + 10, day=day)
    for day in days[:4]:
        compact(lake, FOLDER, day)
    (files, downloaded) = ([], [])
    add = TableFiles.add
    monkeypatch.setattr(TableFiles, "add", lambda self, io, file: files.append(file) or add(self, io, file))
    lake.store.before = lambda operation, name: downloaded.append(name) if operation == "download" else None
    assert ask(lake, f'SELECT "offset" FROM transaction WHERE {condition} ORDER BY 1') == [
        (offset,) for offset in range(20, 30)
    ]
    assert (len(files), downloaded) == (1, [])
    assert ask(lake, "SELECT count(*) FROM transaction WHERE dt = DATE '2023-10-12'") == [(10,)]
    assert len(downloaded) == 1


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("SELECT nope FROM transaction", 'column "nope" not found'),
        ("SELECT 1 FROM transactio", 'Did you mean "transaction"'),
        ("DROP VIEW transaction", "read-only.*found DROP"),
        ("SELECT 1; SELECT 2", "found SELECT, SELECT"),
        ("", "found nothing"),
        ("COPY transaction TO 'out.csv'", "found COPY"),
        ("SET enable_external_access = true", "found SET"),
        ("INSTALL httpfs", "found LOAD"),
        ("SELECT * FROM read_csv('/etc/hostname')", "Cannot access file"),
        ("SELECT * FROM 'pyproject.toml'", "Cannot access file|does not exist"),
    ],
)
def test_what_isnt_a_select_over_the_views_is_refused_with_the_reason(sql, problem):
    with pytest.raises(QueryRefused, match=problem):
        ask(filled(), sql)


def test_an_error_in_a_later_row_is_refused_as_one_in_the_first():
    sql = "SELECT CAST(if(i = 900000, concat('x', i), '1') AS INTEGER) FROM range(1000000) t(i)"
    with pytest.raises(QueryRefused, match="x900000"):
        ask(filled(), sql)


def test_an_anti_join_with_a_subquery_is_not_pruned_by_a_column_of_the_subquery():
    lake = filled()
    put(lake, 9, 12, day=DAY + timedelta(days=1))
    compact(lake, FOLDER, DAY + timedelta(days=1))
    known = "(SELECT 'tx-0' AS idTransaction, DATE '2023-10-08' AS dt)"
    sql = f"SELECT count(*) FROM {known} ANTI JOIN transaction USING (idTransaction) WHERE dt = '2023-10-08'"
    assert ask(lake, sql) == [(0,)]


def test_other_days_and_folders_dont_mix():
    lake = filled()
    put(lake, 9, 10, day=DAY + timedelta(days=1))
    assert ask(lake, "SELECT dt::VARCHAR, count(*) FROM transaction GROUP BY 1 ORDER BY 1") == [
        ("2023-10-07", 12),
        ("2023-10-08", 1),
    ]
    assert ask(lake, "SELECT count(*) FROM fraud_confirmation") == [(0,)]


def test_a_field_added_to_the_schema_is_null_on_old_days_and_there_on_new_ones(monkeypatch):
    """Day one is written and compacted before the optional field is added, day two after it."""
    lake = filled()
    compact(lake, FOLDER, DAY)
    add_field(monkeypatch)
    body = with_channel(9, 12, [MIDNIGHT_MS + DAY_MS] * 3)
    put(lake, 9, 12, day=DAY + timedelta(days=1), body=body)
    put(lake, 0, 1, partition=Partition(FOLDER, 5))  # a late record, written before the field was added
    sql = "SELECT dt::VARCHAR, channel, count(*) FROM transaction GROUP BY ALL ORDER BY ALL"
    expected = [("2023-10-07", None, 13), ("2023-10-08", "app", 3)]
    assert ask(lake, sql) == expected
    compact(lake, FOLDER, DAY + timedelta(days=1))
    compact(lake, FOLDER, DAY)
    assert ask(lake, sql) == expected
