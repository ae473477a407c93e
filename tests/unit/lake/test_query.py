"""A query sees each row once, changes nothing, and reaches for nothing but the lake."""

import csv
import io
import json
from datetime import timedelta

import pyarrow as pa
import pytest
from fraudstream.errors import QueryRefused
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION, Partition
from fraudstream.lake.__main__ import main
from fraudstream.lake.compaction.compaction import compact
from fraudstream.lake.query.query import query
from fraudstream.lake.store.cloud_storage import Store
from fraudstream.lake.stream import lines, names
from fraudstream.lake.stream.chain import Link
from fraudstream.lake.stream.totals import Totals
from fraudstream.lake.table import schemas
from isal import igzip

from tests.fakes.memory_store import MemoryStore
from tests.fakes.settled import settle
from tests.unit.lake.filled_day import DAY, EXPECTED, FOLDER, Killed, filled, put
from tests.unit.lake.rows import answer, batch, row

PLACES = 'SELECT "partition", "offset" FROM transaction ORDER BY ALL'


def ask(store, sql):
    with query(store, sql) as rows:
        return [tuple(found.values()) for found in rows.read_all().to_pylist()]


def with_cases():
    """Three cases: reported as fraud, without an answer, and still pending."""
    store = MemoryStore()
    cases, answers = Partition(FRAUD_TRANSACTION, 1), Partition(FRAUD_CONFIRMATION, 2)
    made = [
        lines.pending(batch([0, 1, 2], rows=[row(0), row(1), row(2)], partition=cases)),
        lines.outcome(batch([0, 1], rows=[answer(0, "REPORTED_FRAUD"), answer(1, "NO_RESPONSE")], partition=answers)),
    ]
    for partition, body, rows in zip((cases, answers), made, (3, 2), strict=True):
        settle(store, "fraud_confirmation", partition, rows)
        store.create(
            names.object_name("fraud_confirmation", DAY, *partition, 0),
            igzip.compress(bytes(body)),
            content_type="application/gzip",
            metadata=Link(partition, 0, 0, rows, Totals(rows)).metadata(),
        )
    return store


def test_rows_are_the_same_before_and_after_a_compaction_and_with_late_json_beside_it():
    store = filled()
    before = ask(store, "SELECT * FROM transaction ORDER BY ALL")
    assert [(found[14], found[15]) for found in ask(store, "SELECT * FROM transaction ORDER BY 15, 16")] == EXPECTED
    compact(store, FOLDER, DAY)
    assert ask(store, "SELECT * FROM transaction ORDER BY ALL") == before
    put(store, 9, 12)
    assert ask(store, PLACES) == [*EXPECTED, (3, 9), (3, 10), (3, 11)]


def test_types_are_the_lakes_in_json_in_parquet_and_without_a_row():
    expected = [("DECIMAL(18,2)", "TIMESTAMP WITH TIME ZONE", "DATE")]
    sql = "SELECT any_value(typeof(amount)), any_value(typeof(timestamp)), any_value(typeof(dt)) FROM transaction"
    store = filled()
    assert ask(store, sql) == expected
    compact(store, FOLDER, DAY)
    assert ask(store, sql) == expected
    described = {
        found[0]: found[1] for found in ask(MemoryStore(), "DESCRIBE SELECT amount, timestamp, dt FROM transaction")
    }
    assert described == dict(zip(("amount", "timestamp", "dt"), expected[0], strict=True))


def test_a_case_is_one_row_in_its_latest_state():
    store = with_cases()
    sql = "SELECT idTransaction, status, refund_amount::VARCHAR FROM fraud_case ORDER BY 1"
    expected = [("tx-0", "REPORTED_FRAUD", "9839.64"), ("tx-1", "NO_RESPONSE", None), ("tx-2", "PENDING", None)]
    assert ask(store, sql) == expected
    compact(store, "fraud_confirmation", DAY)
    assert ask(store, sql) == expected


def test_every_row_is_there_once_whenever_a_compaction_comes_or_is_killed():
    """A compaction, whole or killed at one of its calls, happens at each call of the store that a query makes."""
    calls = []
    store = filled()
    store.before = lambda operation, name: calls.append(operation)
    ask(store, PLACES)
    for moment in range(len(calls)):
        for fatal in (None, 3, 9, 14, 17):
            store = filled()
            assert ask(_compacted_at(store, moment, fatal), PLACES) == EXPECTED


def _compacted_at(store, moment, fatal):
    left = iter(range(10_000))

    def interfere(operation, name):
        if next(left) != moment:
            return
        steps = iter(range(10_000))

        def die(operation, name):
            if next(steps) == fatal:
                raise Killed

        store.before = die
        try:
            compact(store, FOLDER, DAY)
        except Killed:
            pass
        finally:
            store.before = lambda operation, name: None

    store.before = interfere
    return store


def test_a_look_up_of_a_customer_reads_a_part_of_the_file(monkeypatch):
    monkeypatch.setattr("fraudstream.lake.compaction.parquet.ROW_GROUP_ROWS", 2_000)
    store = filled()
    put(store, 9, 20_009)
    compact(store, FOLDER, DAY)
    read = []
    download = store.download

    def counted(info, start=0, end=None):
        part = download(info, start, end)
        read.append(len(part))
        return part

    store.download = counted

    def rows_and_bytes(what):
        read.clear()
        return len(ask(store, f"SELECT {what}")), sum(read)

    _, footer = rows_and_bytes("count(*) FROM transaction")
    everybody, whole = rows_and_bytes("* FROM transaction")
    customer, part = rows_and_bytes("* FROM transaction WHERE nameOrig = 'C3'")
    assert (everybody, customer) == (20_012, 2_858)
    assert 0 < part - footer < (whole - footer) / 3


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


@pytest.fixture
def printed(monkeypatch, capsys):
    def run(*arguments, store=None):
        chosen = store or with_cases()
        monkeypatch.setattr(Store, "connect", classmethod(lambda cls, bucket: chosen))
        monkeypatch.setenv("COLUMNS", "120")
        code = main(["query", *arguments])
        return code, *capsys.readouterr()

    return run


SOME = "SELECT idTransaction, amount, refund_amount, answeredAt FROM fraud_case ORDER BY 1 LIMIT 2"


def test_a_table_is_printed_for_people(printed):
    code, out, _ = printed(SOME)
    assert code == 0
    assert "│ tx-0          │ 9839.64 │       9839.64 │ 2023-10-07T00:00:00.000Z │" in out


def test_csv_has_a_header_and_exact_money(printed):
    code, out, _ = printed("--format", "csv", SOME)
    assert code == 0
    assert list(csv.DictReader(io.StringIO(out))) == [
        {
            "idTransaction": "tx-0",
            "amount": "9839.64",
            "refund_amount": "9839.64",
            "answeredAt": "2023-10-07T00:00:00.000Z",
        },
        {"idTransaction": "tx-1", "amount": "9839.65", "refund_amount": "", "answeredAt": "2023-10-07T00:00:00.001Z"},
    ]


def test_json_is_a_document_a_line_and_money_is_a_number_as_written_in_the_lake(printed):
    code, out, _ = printed("--format", "json", SOME)
    assert code == 0
    assert '"amount":9839.64,' in out
    assert [json.loads(line)["idTransaction"] for line in out.splitlines()] == ["tx-0", "tx-1"]
    _, out, _ = printed(
        "--format", "json", "SELECT {'a': [1.50, NULL], 'b': 'ä\"'} AS x, DATE '2023-10-07' AS d, 1 > 0 AS t"
    )
    assert json.loads(out) == {"x": {"a": [1.5, None], "b": 'ä"'}, "d": "2023-10-07", "t": True}


def test_bad_sql_is_exit_code_2_and_says_where(printed):
    code, out, err = printed("SELECT nope FROM fraud_case")
    assert (code, out) == (2, "")
    assert err.startswith("lake: the query can't be run: Binder Error")
    assert "Candidate bindings" in err


def test_an_error_in_the_middle_of_the_rows_is_exit_code_2(printed):
    code, _, err = printed("--format", "csv", "SELECT CAST(nameOrig AS INTEGER) FROM fraud_case")
    assert code == 2
    assert "Could not convert string" in err


def test_other_days_and_folders_dont_mix():
    store = filled()
    put(store, 9, 10, day=DAY + timedelta(days=1))
    assert ask(store, "SELECT dt::VARCHAR, count(*) FROM transaction GROUP BY 1 ORDER BY 1") == [
        ("2023-10-07", 12),
        ("2023-10-08", 1),
    ]
    assert ask(store, "SELECT count(*) FROM fraud_confirmation") == [(0,)]


def test_a_field_added_to_the_schema_is_null_on_old_days_and_there_on_new_ones(monkeypatch):
    """Day one is written and compacted before the optional field comes, day two after it."""
    store = filled()
    compact(store, FOLDER, DAY)
    old = schemas.json_schema(FOLDER)
    place = old.get_field_index("topic")
    wider = old.insert(place, pa.field("channel", pa.string()))
    json_schema, rows_schema = schemas.json_schema, schemas.rows_schema
    monkeypatch.setattr(schemas, "json_schema", lambda folder: wider if folder == FOLDER else json_schema(folder))
    for module in ("query.reading", "query.query", "compaction.parquet", "table.schemas"):
        monkeypatch.setattr(
            f"fraudstream.lake.{module}.rows_schema",
            lambda folder: wider if folder == FOLDER else rows_schema(folder),
        )
    body = bytes(lines.transaction(batch(range(9, 12)))).replace(b',"topic":', b',"channel":"app","topic":')
    put(store, 9, 12, day=DAY + timedelta(days=1), body=body)
    put(store, 9, 10, partition=Partition(FOLDER, 5))  # late, and written before the field came
    sql = "SELECT dt::VARCHAR, channel, count(*) FROM transaction GROUP BY ALL ORDER BY ALL"
    expected = [("2023-10-07", None, 13), ("2023-10-08", "app", 3)]
    assert ask(store, sql) == expected
    compact(store, FOLDER, DAY + timedelta(days=1))
    compact(store, FOLDER, DAY)
    assert ask(store, sql) == expected
