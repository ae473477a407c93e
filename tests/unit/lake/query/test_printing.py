"""Results of queries as tables, CSV and JSON."""

import csv
import io
import json

import pytest
from fraudstream.lake.__main__ import main
from fraudstream.lake.table.lake import Lake

from tests.unit.lake.query.queried_lake import with_cases


@pytest.fixture
def printed(monkeypatch, capsys):
    def run(*arguments, lake=None):
        chosen = lake or with_cases()
        monkeypatch.setattr(Lake, "connect", classmethod(lambda cls, settings, bucket: chosen))
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
