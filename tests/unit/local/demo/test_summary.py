"""The demo's summary: every count that differs from the count that it should equal is named."""

import copy
from typing import Any

import pytest

from local.demo.summary import Summary, disagreements, table

#: Forty frauds: four customers have no mailbox, six of eight reminded customers answer, staff decides one case.
AGREED: Summary = {
    "dataset": {"rows": 20_000, "fraud": 40, "rejected": 3},
    "topics": {
        "non_fraud_transaction": 19_957,
        "fraud_transaction": 40,
        "fraud_confirmation": 41,
        "dead_letter": 3,
    },
    "lake": {
        "transaction": 19_957,
        "fraud_confirmation": {"pending": 40, "outcome": 41},
        "email_confirmation": 20_046,
    },
    "mail": {"sent": 20_046, "failed": 0},
    "cases": {"opened": 40, "REPORTED_FRAUD": 22, "REPORTED_NOT_FRAUD": 12, "NO_RESPONSE": 6},
    "answers": {"REPORTED_FRAUD": 22, "REPORTED_NOT_FRAUD": 12, "NO_RESPONSE": 6},
    "sensors": {"resolved": 40},
    "bounces": {"customers": 4, "returned_mails": 8, "events": 8, "in_the_lake": 8, "customers_by_the_audit": 4},
    "reminders": {
        "answered": 6,
        "events": 8,
        "in_the_lake": 8,
        "in_the_mail_log": 8,
        "by_watch_cases": 8,
        "mails": 8,
    },
    "escalations": {
        "cases": 6,
        "not_reached": 4,
        "no_answer": 2,
        "disagreement": 0,
        "events": 6,
        "in_the_lake": 6,
        "by_watch_cases": 6,
    },
    "staff_decisions": {"records": 1, "in_the_lake": 1, "of_escalated_cases": 1, "after_another_answer": 1},
    "compaction": {"json_rows": 60_000, "table_rows": 60_000},
    "audit": {"ok": True, "missing": 0, "duplicated": 0},
    "seconds": {"stack": 30.0},
}
#: Counts without a second source, and counts that are only shown.
NOT_COMPARED = {"reminders.answered", "escalations.cases", "seconds.stack"}


def places(values: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for name, value in values.items():
        found += places(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return found


def test_counts_that_are_equal_where_they_should_be_agree() -> None:
    assert disagreements(AGREED) == []


@pytest.mark.parametrize("place", [place for place in places(AGREED) if place not in NOT_COMPARED])
def test_each_count_that_is_off_by_one_is_told(place: str) -> None:
    summary = copy.deepcopy(AGREED)
    *path, name = place.split(".")
    values = summary
    for part in path:
        values = values[part]
    values[name] = not values[name] if name == "ok" else values[name] + 1
    assert disagreements(summary)


def test_every_count_is_shown() -> None:
    assert table(AGREED).row_count == len(places(AGREED))
