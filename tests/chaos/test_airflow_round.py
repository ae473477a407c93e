"""What the round through Airflow concludes from logs and contents."""

import json
from pathlib import Path

import pytest
from fraudstream.kafka.records import FRAUD_CONFIRMATION, FRAUD_TRANSACTION

from tests.chaos.airflow_round import logs
from tests.chaos.airflow_round.contents import Outcome, Outcomes, check_outcomes, with_receipts
from tests.chaos.airflow_round.tasks import Attempt
from tests.chaos.fleet import Interruption
from tests.chaos.test_verdict import content

DAG, TASK = "consume_fraud_transactions", "send_mail"
#: 2026-11-27 12:00:07 UTC.
AT = 1795780807.0
ANSWER = ((FRAUD_CONFIRMATION, 0, 1), Outcome("f-1", "NO_RESPONSE"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tests.chaos.airflow_round.logs.AIRFLOW_HOME", tmp_path)
    monkeypatch.setattr("tests.chaos.airflow_round.tasks.AIRFLOW_HOME", tmp_path)
    return tmp_path


def write(number: int, *entries: dict[str, object], rest: str = "") -> None:
    log = Attempt(DAG, TASK, "manual__1", 0, number, pid=1).log
    log.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"timestamp": f"2026-11-27T12:00:0{n}Z"} | entry) for n, entry in enumerate(entries, start=6)]
    log.write_text("\n".join(lines) + "\n" + rest)


def error(kind: str) -> dict[str, object]:
    return {"event": "Task failed with exception", "error_detail": [{"exc_type": kind, "exc_value": "it says why"}]}


@pytest.mark.parametrize(
    ("entries", "what"),
    [
        ([{"event": "works"}, error("MailError")], "MailError"),
        ([{"event": "works"}, {"event": "works on"}], "ended in its work"),
        (
            [
                {"event": "send_mail didn't finish its batch in time: what isn't durable is read again"},
                {"event": "Pushing xcom"},
            ],
            "ended in its work",
        ),
    ],
)
def test_a_try_that_left_something_in_hand_is_an_interruption(
    home: Path, entries: list[dict[str, object]], what: str
) -> None:
    write(1, *entries, rest='{"timestamp": "2026-11')
    assert logs.interruptions(AT - 1) == [Interruption(AT, "send_mail-fraud_transaction", what)]
    assert logs.interruptions(AT + 1) == []


def test_a_try_that_ended_by_itself_is_none(home: Path) -> None:
    write(1, {"event": "works"}, {"event": "Pushing xcom"})
    assert logs.interruptions(AT - 1) == []
    assert logs.ends(AT - 1) == ({"finished": 1}, {})


def test_an_error_that_no_retry_heals_is_a_finding_and_another_is_none(home: Path) -> None:
    write(1, error("MailError"))
    write(2, error("TypeError"))
    kinds, findings = logs.ends(0)
    assert kinds == {"MailError": 1, "TypeError": 1}
    assert findings == {"send_mail-fraud_transaction ended with TypeError: it says why": 1}


def test_a_case_without_outcome_or_with_another_one_in_the_lake_is_seen() -> None:
    assert check_outcomes(content(), Outcomes([ANSWER], [ANSWER])).ok
    assert not check_outcomes(content(), Outcomes([], [])).ok
    assert not check_outcomes(content(), Outcomes([ANSWER], [])).ok
    assert not check_outcomes(content(), Outcomes([ANSWER], [ANSWER, ANSWER])).ok
    other = ANSWER[0], Outcome("f-1", "REPORTED_FRAUD")
    assert not check_outcomes(content(), Outcomes([ANSWER], [other])).ok


def test_a_receipt_is_due_for_each_outcome() -> None:
    due = with_receipts(content(), Outcomes([ANSWER], [])).topics
    assert [(place, row.id_transaction) for place, row in due][-1] == (ANSWER[0], "f-1")
    assert len(due) == 1 + len([row for _, row in content().topics if row.topic != FRAUD_CONFIRMATION])
    assert FRAUD_TRANSACTION in {row.topic for _, row in due}
