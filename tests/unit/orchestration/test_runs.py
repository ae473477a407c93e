"""A run is opened with a note about what it waits for."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import ErrorResponse, TriggerDagRun
from fraudstream.cases.opening import case_of, run_note
from fraudstream.errors import RunNotOpened
from fraudstream.orchestration.runs import open_run

from tests.fakes.cases import transaction

OPENED = datetime(2026, 1, 1, 12, tzinfo=UTC)
CASES = [case_of(transaction(f"case-{n}", amount=1_000_50), OPENED, timedelta(hours=n)) for n in (1, 2)]


class Supervisor:
    """Receives a task's requests to Airflow."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[TriggerDagRun] = []

    def send(self, message: TriggerDagRun) -> Any:
        self.asked.append(message)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    made = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", made, raising=False)
    return made


def test_the_note_says_how_many_answers_about_how_much_and_until_when() -> None:
    expected = (
        "Waits for 2 answers about payments of 2,001.00, until 2026-01-01 14:00 UTC or later."
        " The page Cases lists them."
    )
    assert run_note(CASES) == expected
    one = "Waits for 1 answer about payments of 1,000.50, until 2026-01-01 13:00 UTC or later."
    assert run_note(CASES[:1]).startswith(one)


def test_a_run_has_its_cases_and_its_note(supervisor: Supervisor) -> None:
    open_run("a-run", {"cases": CASES})
    (asked,) = supervisor.asked
    assert (asked.run_id, asked.conf, asked.note) == ("a-run", {"cases": CASES}, run_note(CASES))


def test_a_run_that_is_there_already_is_fine_and_any_other_refusal_is_not(supervisor: Supervisor) -> None:
    supervisor.answer = ErrorResponse(error=ErrorType.DAGRUN_ALREADY_EXISTS)
    open_run("a-run", {"cases": CASES})
    supervisor.answer = ErrorResponse(error=ErrorType.GENERIC_ERROR)
    with pytest.raises(RunNotOpened, match="run a-run of DAG fraud_confirmation can't be opened"):
        open_run("a-run", {"cases": CASES})
    # As Airflow's SDK tells a task that the API server has no such DAG.
    refused = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 404})
    supervisor.answer = AirflowRuntimeError(refused)
    with pytest.raises(RunNotOpened, match=r"can't be opened: API_SERVER_ERROR.*404.*free of import errors"):
        open_run("a-run", {"cases": CASES})
