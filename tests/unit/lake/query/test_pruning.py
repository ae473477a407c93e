"""Rows are skipped only if the result of the query can't change."""

from datetime import date

import duckdb
import pytest
from fraudstream.lake.query.pruning import Wanted, wanted
from fraudstream.lake.stream.names import FOLDERS

DAY = date(2023, 10, 9)
ALL = (date.min, date.max)


def days(sql, folder="transaction"):
    found = wanted(duckdb.connect(), sql, FOLDERS).get(folder)
    return found and (found.first, found.last)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("dt = '2023-10-09'", (DAY, DAY)),
        ("'2023-10-09'::DATE = DT AND amount > 3", (DAY, DAY)),
        ("dt > '2023-10-08' AND dt < '2023-10-10'", (DAY, DAY)),
        ("recordTimestamp > TIMESTAMPTZ '2023-10-09 10:00:00+00'", (DAY, date.max)),
        ("recordTimestamp < DATE '2023-10-09'", (date.min, DAY)),
        ("recordTimestamp >= '2023-10-09T01:00:00+02:00'", (date(2023, 10, 8), date.max)),
        ("dt IN ('2023-10-09', '2023-10-11')", (DAY, date(2023, 10, 11))),
        ("dt BETWEEN DATE '2023-10-09' AND '2023-10-10'", (DAY, date(2023, 10, 10))),
        ("t.dt = '2023-10-09'", (DAY, DAY)),
        # A condition that isn't certain, or not on this table, skips no rows.
        ("NOT dt = '2023-10-09'", ALL),
        ("dt = '2023-10-09' OR amount > 3", ALL),
        ("dt != '2023-10-09'", ALL),
        ("dt = TIMESTAMP '2023-10-09 10:00:00'", ALL),
        ("dt = current_date", ALL),
        ("dt = 'nonsense'", ALL),
        ("(dt = '2023-10-09') IS NOT TRUE", ALL),
        ("u.dt = '2023-10-09'", ALL),
        ("timestamp = '2023-10-09'", ALL),
        ("true", ALL),
    ],
)
def test_conditions_on_the_day(condition, expected):
    assert days(f"SELECT 1 FROM transaction t WHERE {condition}") == expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("FROM transaction WHERE dt = '2023-10-09'", (DAY, DAY)),
        ("WITH a AS (FROM Transaction WHERE dt = '2023-10-09') SELECT * FROM a WHERE dt = '2023-10-01'", (DAY, DAY)),
        ("SELECT * FROM (SELECT * FROM transaction) WHERE dt = '2023-10-09'", ALL),
        ("SELECT 1 WHERE EXISTS (FROM transaction WHERE dt = '2023-10-09')", (DAY, DAY)),
        ("FROM transaction WHERE dt = '2023-10-09' UNION ALL FROM transaction WHERE dt = '2023-10-11'",
         (DAY, date(2023, 10, 11))),
        ("FROM transaction WHERE dt = '2023-10-09' UNION ALL FROM transaction", ALL),
        ("SELECT * FROM transaction a JOIN transaction b USING (idTransaction) WHERE a.dt = '2023-10-09'", ALL),
        ("SELECT * FROM email_confirmation e LEFT JOIN transaction t USING (idTransaction) WHERE t.dt = '2023-10-09'",
         (DAY, DAY)),
        ("SELECT * FROM email_confirmation e LEFT JOIN transaction t ON t.dt = '2023-10-09'", ALL),
        ("SELECT * FROM email_confirmation e JOIN transaction t USING (idTransaction) WHERE dt = '2023-10-09'", ALL),
        ("FROM (FROM email_confirmation) e ANTI JOIN transaction USING (idTransaction) WHERE dt = '2023-10-09'", ALL),
        ("FROM (FROM email_confirmation) e JOIN transaction t USING (idTransaction) WHERE t.dt = '2023-10-09'",
         (DAY, DAY)),
        ("SELECT * FROM email_confirmation e ASOF JOIN transaction t ON e.recordTimestamp >= t.recordTimestamp"
         " WHERE t.dt = '2023-10-09'", ALL),
        ("SELECT * FROM email_confirmation e POSITIONAL JOIN transaction t WHERE t.dt = '2023-10-09'", ALL),
        ("SELECT * FROM transaction AS t(dt) WHERE dt = '2023-10-09'", ALL),
        ("SELECT * FROM transaction TABLESAMPLE 10% WHERE dt = '2023-10-09'", ALL),
        ("EXPLAIN SELECT * FROM transaction WHERE dt = '2023-10-09'", ALL),
        ("SELECT 'transaction'", None),
        ("SELECT 1 AS transaction FROM email_confirmation", None),
    ],
)  # fmt: skip
def test_places_where_the_view_is_named(sql, expected):
    assert days(sql) == expected


def test_a_case_needs_all_rows_of_its_folder():
    sql = "SELECT * FROM fraud_case WHERE status = 'PENDING' AND nameOrig = 'C1'"
    assert wanted(duckdb.connect(), sql, FOLDERS) == {"fraud_confirmation": Wanted()}


def test_conditions_on_text_reach_the_files_statistics():
    sql = "SELECT * FROM transaction WHERE nameorig = 'C1' AND idTransaction IN ('a', 'b') AND amount = 1"
    found = str(wanted(duckdb.connect(), sql, FOLDERS)["transaction"].expression)
    assert "nameOrig" in found
    assert "idTransaction" in found
    assert "amount" not in found
