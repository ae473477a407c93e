"""A case as JSON in a DAG run's conf, and back."""

from datetime import UTC, datetime, timedelta

from fraudstream.cases.opening import case_of, transaction_of

from tests.unit.lake.rows import row

LIMIT = timedelta(hours=72)


def test_a_case_is_json_with_exact_money_and_comes_back_whole():
    transaction = row(1, isFraud=1, amount=5, step=None) | {"timestamp": datetime(2023, 10, 7, tzinfo=UTC)}
    opened = datetime(2026, 1, 1, 12, tzinfo=UTC)
    case = case_of(transaction, opened, LIMIT)
    assert (case["amount"], case["openedAt"], case["expiresAt"]) == (
        "0.05",
        "2026-01-01T12:00:00.000Z",
        "2026-01-04T12:00:00.000Z",
    )
    assert transaction_of(case) == transaction


def test_a_case_of_another_version_comes_back_with_the_fields_of_this_one():
    transaction = row(1, isFraud=1, step=3) | {"timestamp": datetime(2023, 10, 7, tzinfo=UTC)}
    case = case_of(transaction, datetime(2026, 1, 1, 12, tzinfo=UTC), LIMIT)
    assert transaction_of(case | {"channel": "app"}) == transaction
    del case["step"]
    assert transaction_of(case) == transaction | {"step": None}
